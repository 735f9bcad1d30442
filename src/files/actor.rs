//! The repair actor: feeds [`Repair`] and performs its effects.
//!
//! | child | on failure | on shutdown |
//! |---|---|---|
//! | round | taken for an incomplete round, retried | aborted |
//! | peers watch | ends with the connections | aborted |
//! | timer | | aborted |

use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::BlobError;
use super::repair::{Effect, Event, Repair};
use super::round::Rounds;
use crate::id::NodeId;
use crate::net::PeerTable;

/// Handle of the repair actor. Cheap to clone.
#[derive(Clone)]
pub struct Repairs {
    actor: ActorRef<Event>,
}

impl Repairs {
    /// Starts it.
    pub async fn start(rounds: Rounds) -> Result<Self, BlobError> {
        match Actor::spawn(None, RepairActor, rounds).await {
            Ok((actor, _)) => Ok(Self { actor }),
            Err(e) => Err(BlobError::Io(format!("the repair actor did not start: {e}"))),
        }
    }

    /// Tells that a copy that should have been made on this peer was not.
    pub fn missed(&self, peer: NodeId) {
        // It fails only when the node stops, and then the peers will ask.
        let _ = self.actor.send_message(Event::Missed(peer));
    }

    /// Stops it; what it had begun is given up. Bounded by `grace`.
    pub async fn stop(&self, grace: Duration) {
        if self.actor.stop_and_wait(None, Some(grace)).await.is_err() {
            self.actor.kill();
        }
    }
}

struct RepairActor;

struct State {
    core: Repair,
    rounds: Rounds,
    members: Vec<NodeId>,
    watch: AbortHandle,
    round: Option<AbortHandle>,
    timer: Option<AbortHandle>,
}

impl Actor for RepairActor {
    type Msg = Event;
    type State = State;
    type Arguments = Rounds;

    async fn pre_start(
        &self,
        myself: ActorRef<Event>,
        rounds: Rounds,
    ) -> Result<State, ActorProcessingErr> {
        let watch = tokio::spawn(forward(rounds.remote.peers(), myself)).abort_handle();
        let members = rounds.members.all();
        let core = Repair::default();
        Ok(State { core, rounds, members, watch, round: None, timer: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<Event>,
        event: Event,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.look_at_members();
        for effect in state.core.on(Instant::now(), event) {
            match effect {
                Effect::Round(peer) => state.begin_round(peer, myself.clone()),
                Effect::Wake(at) => state.wake_at(at, myself.clone()),
            }
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<Event>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.watch.abort();
        for child in state.round.iter().chain(&state.timer) {
            child.abort();
        }
        Ok(())
    }
}

impl State {
    fn begin_round(&mut self, peer: NodeId, myself: ActorRef<Event>) {
        let rounds = self.rounds.clone();
        let round = tokio::spawn(async move { rounds.run(peer).await });
        self.round = Some(round.abort_handle());
        tokio::spawn(async move {
            let complete = match round.await {
                Ok(Ok(())) => true,
                Ok(Err(error)) => {
                    tracing::info!(%peer, error = error.told(peer), "repair was not completed");
                    false
                }
                Err(error) => {
                    tracing::error!(%peer, %error, "repair was abandoned");
                    false
                }
            };
            let _ = myself.send_message(Event::Ended { peer, complete });
        });
    }

    fn wake_at(&mut self, at: Instant, myself: ActorRef<Event>) {
        if let Some(timer) = self.timer.take() {
            timer.abort();
        }
        let timer = tokio::spawn(async move {
            tokio::time::sleep_until(at.into()).await;
            let _ = myself.send_message(Event::Woken);
        });
        self.timer = Some(timer.abort_handle());
    }

    /// A change of members comes with connections, so that looking at each event is enough.
    fn look_at_members(&mut self) {
        let members = self.rounds.members.all();
        if members != self.members {
            self.members = members;
            let local = self.rounds.local.clone();
            tokio::spawn(async move { local.members_changed().await });
        }
    }
}

async fn forward(mut peers: watch::Receiver<Arc<PeerTable>>, to: ActorRef<Event>) {
    loop {
        let links = {
            let table = peers.borrow_and_update();
            table.iter().filter_map(|(node, s)| Some((*node, s.up?.link))).collect()
        };
        if to.send_message(Event::Connected(links)).is_err() || peers.changed().await.is_err() {
            return;
        }
    }
}
