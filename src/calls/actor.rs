//! The actor of calls: a clock, and an ear for peers that come and go.

use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::Calls;
use super::watch::Watch;
use crate::actor::Kept;

/// How often deadlines are looked at while few calls live.
const TICK: Duration = Duration::from_millis(10);

/// Starts the actor.
pub(super) async fn spawn(calls: Calls) -> anyhow::Result<Kept> {
    Ok(crate::actor::keep(move || Clock { calls: calls.clone() }).await?)
}

struct Clock {
    calls: Calls,
}

enum Message {
    Tick,
    PeersChanged,
}

impl Actor for Clock {
    type Msg = Message;
    type State = Watch;
    type Arguments = ();

    async fn pre_start(&self, me: ActorRef<Message>, (): ()) -> Result<Watch, ActorProcessingErr> {
        me.send_interval(TICK, || Message::Tick);
        let mut peers = self.calls.net().peers();
        tokio::spawn(async move {
            while peers.changed().await.is_ok() {
                if me.cast(Message::PeersChanged).is_err() {
                    return;
                }
            }
        });
        Ok(Watch::new(self.calls.clone()))
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        watch: &mut Watch,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::PeersChanged => watch.peers_changed(),
            Message::Tick => watch.tick(),
        }
        Ok(())
    }
}
