//! What the actors of a node share: a supervisor that starts a child again when it failed.
//!
//! Actors are local ractor actors. They are thin: they take a message, ask a pure part what to do,
//! and do it. What must outlive a failure is kept outside of the actor, in the component's handle.

use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};

/// Pause before a failed child is started again: a child that fails at once must not spin.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// A supervisor of one child, made by a function that can make it again.
struct Keeper<F> {
    make: F,
}

/// What the supervisor is told.
#[derive(Debug)]
pub enum KeeperMessage {
    /// Start the child (again).
    Start,
}

/// An actor that is kept running until it is stopped.
#[derive(Debug, Clone)]
pub struct Kept(ActorRef<KeeperMessage>);

impl Kept {
    /// Stops the actor and its supervisor, soon.
    pub fn stop(&self) {
        self.0.stop_children(None);
        self.0.stop(None);
    }
}

/// Starts `make`'s actor under a supervisor that starts it again when it fails.
pub async fn keep<A, F>(make: F) -> Result<Kept, ractor::SpawnErr>
where
    A: Actor<Arguments = ()>,
    F: Fn() -> A + Send + Sync + 'static,
{
    let (keeper, _) = Actor::spawn(None, Keeper { make }, ()).await?;
    Ok(Kept(keeper))
}

impl<A, F> Actor for Keeper<F>
where
    A: Actor<Arguments = ()>,
    F: Fn() -> A + Send + Sync + 'static,
{
    type Msg = KeeperMessage;
    type State = ();
    type Arguments = ();

    async fn pre_start(
        &self,
        me: ActorRef<KeeperMessage>,
        (): (),
    ) -> Result<(), ActorProcessingErr> {
        me.cast(KeeperMessage::Start)?;
        Ok(())
    }

    async fn handle(
        &self,
        me: ActorRef<KeeperMessage>,
        _: KeeperMessage,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Actor::spawn_linked(None, (self.make)(), (), me.get_cell()).await?;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<KeeperMessage>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(who, error) = event {
            tracing::error!(actor = ?who.get_id(), %error, "an actor failed and is started again");
            me.send_after(RESTART_PAUSE, || KeeperMessage::Start);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    /// Fails in its first life, tells of every start.
    struct Fragile {
        starts: Arc<AtomicUsize>,
        started: Arc<Notify>,
    }

    impl Actor for Fragile {
        type Msg = ();
        type State = ();
        type Arguments = ();

        async fn pre_start(&self, me: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
            if self.starts.fetch_add(1, Ordering::SeqCst) == 0 {
                me.cast(())?;
            }
            self.started.notify_one();
            Ok(())
        }

        async fn handle(
            &self,
            _: ActorRef<()>,
            (): (),
            (): &mut (),
        ) -> Result<(), ActorProcessingErr> {
            panic!("as a bug would");
        }
    }

    #[tokio::test]
    async fn a_failed_actor_is_started_again_until_it_is_stopped() {
        let (starts, started) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (count, tell) = (starts.clone(), started.clone());
        let make = move || Fragile { starts: count.clone(), started: tell.clone() };
        let kept = keep(make).await.expect("it starts");
        for _ in 0..2 {
            let again = tokio::time::timeout(Duration::from_secs(10), started.notified());
            again.await.expect("it starts, and again after it failed");
        }
        kept.stop();
        assert_eq!(starts.load(Ordering::SeqCst), 2);
    }
}
