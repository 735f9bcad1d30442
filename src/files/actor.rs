//! The repair actor: feeds [`Repair`] and performs its effects.
//!
//! Its supervisor is [`crate::actor::keep`]: it is started again when it fails, and finds what is
//! due by itself, since every connected peer is new to it.
//!
//! | child | on failure | on shutdown |
//! |---|---|---|
//! | job | taken for an incomplete one, retried | aborted |
//! | peers watch | ends with the connections | aborted |
//! | timer | | aborted |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::BlobError;
use super::rendezvous;
use super::repair::{Effect, Event, Job, PERIOD, Repair};
use super::round::Rounds;
use crate::actor::Kept;
use crate::id::NodeId;
use crate::net::PeerTable;

/// How often the actor looks whether the members changed, which nothing tells it.
const LOOK: Duration = Duration::from_millis(250);

/// What the actor is told.
pub enum Msg {
    /// For [`Repair`].
    Event(Event),
    /// Look at the members and the blobs now.
    Look,
    /// Fail, as a bug would.
    #[cfg(test)]
    Fail,
}

/// Handle of the repair actor. Cheap to clone.
#[derive(Clone)]
pub struct Repairs {
    kept: Kept,
    current: Current,
}

/// The actor that lives now.
type Current = Arc<Mutex<Option<ActorRef<Msg>>>>;

impl Repairs {
    /// Starts it.
    pub async fn start(rounds: Rounds) -> Result<Self, BlobError> {
        let current = Current::default();
        let of_actor = current.clone();
        let make = move || RepairActor { rounds: rounds.clone(), current: of_actor.clone() };
        match crate::actor::keep(make).await {
            Ok(kept) => Ok(Self { kept, current }),
            Err(e) => Err(BlobError::Io(format!("the repair actor did not start: {e}"))),
        }
    }

    /// Tells that a copy that should have been made on this peer was not.
    pub fn missed(&self, peer: NodeId) {
        self.tell(Msg::Event(Event::Missed(peer)));
    }

    /// Makes it look at the members now.
    pub fn look(&self) {
        self.tell(Msg::Look);
    }

    fn tell(&self, message: Msg) {
        if let Some(actor) = &*self.current.lock() {
            // It fails when the actor has failed, or the node stops: who comes then looks at all.
            let _ = actor.send_message(message);
        }
    }

    /// Stops it; what it had begun is given up. Bounded by `grace`.
    pub async fn stop(&self, grace: Duration) {
        self.kept.stop();
        let actor = self.current.lock().take();
        if let Some(actor) = actor
            && actor.stop_and_wait(None, Some(grace)).await.is_err()
        {
            actor.kill();
        }
    }

    /// Makes the actor fail, as a bug would.
    #[cfg(test)]
    pub fn fail(&self) {
        self.tell(Msg::Fail);
    }
}

struct RepairActor {
    rounds: Rounds,
    current: Current,
}

struct State {
    core: Repair,
    rounds: Rounds,
    /// None before the first look, which then finds a change.
    members: Option<Vec<NodeId>>,
    /// When the blobs were last sorted by them.
    sorted: Instant,
    watch: AbortHandle,
    job: Option<AbortHandle>,
    timer: Option<AbortHandle>,
}

impl Actor for RepairActor {
    type Msg = Msg;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<Msg>, (): ()) -> Result<State, ActorProcessingErr> {
        let rounds = self.rounds.clone();
        let watch = tokio::spawn(forward(rounds.remote.peers(), myself.clone())).abort_handle();
        myself.send_message(Msg::Look)?;
        myself.send_interval(LOOK, || Msg::Look);
        *self.current.lock() = Some(myself);
        let core = Repair::default();
        let sorted = Instant::now();
        Ok(State { core, rounds, members: None, sorted, watch, job: None, timer: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        message: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let event = match message {
            Msg::Event(event) => event,
            #[cfg(test)]
            Msg::Fail => return Err("a test wants it".into()),
            Msg::Look => {
                let changed = state.look_at_members().await;
                Event::Looked { changed, surplus: state.rounds.local.surplus() > 0 }
            }
        };
        for effect in state.core.on(Instant::now(), event) {
            match effect {
                Effect::Begin(job) => state.begin(job, myself.clone()),
                Effect::Wake(at) => state.wake_at(at, myself.clone()),
            }
        }
        Ok(())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.watch.abort();
        for child in self.job.iter().chain(&self.timer) {
            child.abort();
        }
    }
}

impl State {
    fn begin(&mut self, job: Job, myself: ActorRef<Msg>) {
        let rounds = self.rounds.clone();
        let work = tokio::spawn(async move {
            match job {
                Job::Round(peer) => rounds.round(peer).await,
                Job::Settle => rounds.settle().await,
            }
        });
        self.job = Some(work.abort_handle());
        tokio::spawn(async move {
            let complete = match work.await {
                Ok(Ok(())) => true,
                Ok(Err(why)) => {
                    tracing::info!(?job, why = why.join("; "), "repair was not completed");
                    false
                }
                Err(error) => {
                    tracing::error!(?job, %error, "repair was abandoned");
                    false
                }
            };
            let _ = myself.send_message(Msg::Event(Event::Ended { job, complete }));
        });
    }

    fn wake_at(&mut self, at: Instant, myself: ActorRef<Msg>) {
        if let Some(timer) = self.timer.take() {
            timer.abort();
        }
        let timer = tokio::spawn(async move {
            tokio::time::sleep_until(at.into()).await;
            let _ = myself.send_message(Msg::Event(Event::Woken));
        });
        self.timer = Some(timer.abort_handle());
    }

    /// Whether the members changed; then kept and cached blobs are sorted anew. They are sorted
    /// every minute, too: a change that was taken back between two looks was not seen.
    async fn look_at_members(&mut self) -> bool {
        let nodes = self.rounds.members.all();
        let changed = self.members.as_ref() != Some(&nodes);
        if !changed && self.sorted.elapsed() < PERIOD {
            return false;
        }
        self.sorted = Instant::now();
        let Rounds { members, local, .. } = &self.rounds;
        if changed {
            tracing::info!(members = ?nodes, "blobs are kept by these nodes now");
        }
        let is_target =
            |hash: &_| rendezvous::targets(hash, &nodes, members.copies).contains(&members.me);
        local.members_changed(is_target).await;
        self.members = Some(nodes);
        changed
    }
}

async fn forward(mut peers: watch::Receiver<Arc<PeerTable>>, to: ActorRef<Msg>) {
    loop {
        let links: BTreeMap<NodeId, u64> = {
            let table = peers.borrow_and_update();
            table.iter().filter_map(|(node, s)| Some((*node, s.up?.link))).collect()
        };
        let event = Msg::Event(Event::Connected(links));
        if to.send_message(event).is_err() || peers.changed().await.is_err() {
            return;
        }
    }
}
