//! The actors of this component.
//!
//! | child | on failure | on shutdown |
//! |---|---|---|
//! | `Supervisor` | the guests go on; failed actors are not replaced | stopped with the runtime |
//! | `InstanceActor`, one per live instance and some idle | its call ends with `FAASM_EFAILED`; the `Supervisor` adds a fresh idle one | dropped with the runtime; its call ends with `FAASM_EFAILED` |

use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, MessagingErr, SupervisionEvent};
use tokio::runtime::Handle;
use tracing::Instrument;

use super::delivery::Task;
use super::runner::Runner;

/// Idle actors kept; each takes some 3 KiB, and a new one 7 µs.
const IDLE: usize = 1_024;

/// The actors that run instances: idle ones wait here for the next call.
pub struct Crew {
    idle: ArrayQueue<ActorRef<Box<Task>>>,
    runner: Arc<Runner>,
    guest: Handle,
    supervisor: std::sync::OnceLock<ActorCell>,
}

impl Crew {
    /// A crew of none on the guest runtime, with its supervisor.
    pub fn start(runner: Arc<Runner>, guest: Handle) -> Result<Arc<Self>, ractor::SpawnErr> {
        let crew = Arc::new(Self {
            idle: ArrayQueue::new(IDLE),
            runner,
            guest,
            supervisor: std::sync::OnceLock::new(),
        });
        let _guest = crew.guest.enter();
        let (supervisor, _) =
            ractor::ActorRuntime::spawn_instant(None, Supervisor { crew: crew.clone() }, ())?;
        // This is the first and only time.
        let _ = crew.supervisor.set(supervisor.get_cell());
        Ok(crew.clone())
    }

    /// Hands a task to an idle actor, or to a new one. Never waits.
    pub fn take(self: &Arc<Self>, task: Task) {
        let mut task = Box::new(task);
        while let Some(actor) = self.idle.pop() {
            match actor.cast(task) {
                Ok(()) => return,
                // It was stopped while idle.
                Err(MessagingErr::SendErr(unsent)) => task = unsent,
                // The task is dropped, which tells its caller.
                Err(_) => return,
            }
        }
        if let Some(actor) = self.hire() {
            // If it fails the task is dropped, which tells its caller.
            let _ = actor.cast(task);
        }
    }

    /// Actors that wait for a call.
    #[cfg(test)]
    pub fn idle(&self) -> usize {
        self.idle.len()
    }

    fn hire(self: &Arc<Self>) -> Option<ActorRef<Box<Task>>> {
        let supervisor = self.supervisor.get()?.clone();
        let _guest = self.guest.enter();
        let handler = InstanceActor { crew: self.clone() };
        let hired = ractor::ActorRuntime::spawn_linked_instant(None, handler, (), supervisor);
        match hired {
            Ok((actor, _)) => Some(actor),
            Err(error) => {
                tracing::error!(%error, "no actor for an instance could be spawned");
                None
            }
        }
    }
}

/// Runs one call after the other, each in an instance of its own.
struct InstanceActor {
    crew: Arc<Crew>,
}

impl Actor for InstanceActor {
    type Msg = Box<Task>;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Self::Msg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        task: Self::Msg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let span = task.span.clone();
        self.crew.runner.run(*task).instrument(span).await;
        if self.crew.idle.push(myself.clone()).is_err() {
            myself.stop(None);
        }
        Ok(())
    }
}

/// Replaces instance actors that failed.
struct Supervisor {
    crew: Arc<Crew>,
}

impl Actor for Supervisor {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(actor, error) = event {
            tracing::error!(actor = %actor.get_id(), %error, "an instance's actor failed");
            if let Some(fresh) = self.crew.hire()
                && let Err(extra) = self.crew.idle.push(fresh)
            {
                extra.stop(None);
            }
        }
        Ok(())
    }
}
