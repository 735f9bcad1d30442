//! The supervisor of the driver thread.
//!
//! | the driver | then |
//! |---|---|
//! | ended because the node stops | the supervisor ends |
//! | panicked (raft-rs found its invariants broken) | it is started again from what is on disk, at most [`MAX_RESTARTS`] times |
//! | ended with an error (the disk failed, the log was lost, the cluster refuses the node) | it stays down: the node's session runs out, and proposals are refused with that error |

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::core::Core;
use super::disk_thread::DiskThread;
use super::driver::{Driver, DriverParts};
use super::raft_node::Fatal;

/// Restarts of a driver that panicked: what panics again and again is not cured by restarting.
pub const MAX_RESTARTS: u32 = 3;
/// Pause before a restart.
const RESTART_PAUSE: Duration = Duration::from_millis(500);

/// What the supervisor hears.
pub enum Event {
    /// The driver ended.
    Ended(End),
    /// The pause before a restart is over.
    Restart,
}

/// How a driver ended.
pub enum End {
    /// The node stops.
    Stopped,
    /// It cannot go on.
    Fatal(Fatal),
    /// It panicked, with this message.
    Panicked(String),
}

/// The supervisor.
pub struct Supervisor;

/// What it keeps.
pub struct State {
    parts: DriverParts,
}

impl Actor for Supervisor {
    type Msg = Event;
    type State = State;
    type Arguments = (DriverParts, Core<DiskThread>);

    async fn pre_start(
        &self,
        myself: ActorRef<Event>,
        (parts, core): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        start(&myself, parts.clone(), Some(core))?;
        Ok(State { parts })
    }

    async fn handle(
        &self,
        myself: ActorRef<Event>,
        event: Event,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let shared = &state.parts.shared;
        match event {
            Event::Ended(End::Stopped) => myself.stop(None),
            Event::Ended(_) if shared.stopping() => myself.stop(None),
            Event::Ended(End::Fatal(fatal)) => {
                tracing::error!(error = %fatal, "consensus cannot go on");
                shared.fail(fatal.to_string());
            }
            Event::Ended(End::Panicked(why)) if state.parts.settings.restarts >= MAX_RESTARTS => {
                tracing::error!(error = %why, "consensus panicked again; it stays down");
                shared.fail(format!("it failed {} times: {why}", MAX_RESTARTS + 1));
            }
            Event::Ended(End::Panicked(why)) => {
                state.parts.settings.restarts += 1;
                tracing::error!(error = %why, "consensus panicked; starting it again");
                shared.set_live_until(None);
                myself.send_after(RESTART_PAUSE, || Event::Restart);
            }
            Event::Restart if shared.stopping() => myself.stop(None),
            Event::Restart => {
                if let Err(error) = start(&myself, state.parts.clone(), None) {
                    shared.fail(error.to_string());
                }
            }
        }
        Ok(())
    }
}

fn start(
    supervisor: &ActorRef<Event>,
    parts: DriverParts,
    core: Option<Core<DiskThread>>,
) -> std::io::Result<()> {
    let supervisor = supervisor.clone();
    let thread = std::thread::Builder::new().name("faasm-raft".into());
    thread.spawn(move || {
        let end = match catch_unwind(AssertUnwindSafe(|| run(parts, core))) {
            Ok(Ok(())) => End::Stopped,
            Ok(Err(fatal)) => End::Fatal(fatal),
            Err(panic) => End::Panicked(text(panic.as_ref())),
        };
        // When the supervisor has gone, nobody waits for the driver.
        let _ = supervisor.send_message(Event::Ended(end));
    })?;
    Ok(())
}

fn run(parts: DriverParts, core: Option<Core<DiskThread>>) -> Result<(), Fatal> {
    let core = match core {
        Some(core) => core,
        None => parts.open()?,
    };
    Driver::new(parts, core).run()
}

fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
#[path = "actor_tests.rs"]
mod tests;
