//! The supervisor of this component.
//!
//! | child | on failure | on shutdown |
//! |---|---|---|
//! | [`Child::Peer`]: the actor of a peer, one per peer; stopped when the peer is removed | its connection is closed, the peer is down; restarted after [`RESTART_PAUSE`] | flushes and closes its connection |
//! | [`Child::Acceptor`]: the task that accepts connections | restarted after [`RESTART_PAUSE`] | aborted |
//!
//! The tasks of a connection are watched by the connection's own loop (`streams.rs`): one that
//! fails costs the connection, of whose end the peer's actor hears.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::Incoming;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::id::NodeId;
use crate::net::actor::{PeerActor, PeerMsg};
use crate::net::handshake;
use crate::net::peer::Event;
use crate::net::shared::Shared;
use crate::net::slots::Slot;

/// Pause before a failed child starts again, so that one that fails at once does no harm.
const RESTART_PAUSE: Duration = Duration::from_millis(100);
/// How often round trip times and gauges are brought up to date.
const REFRESH: Duration = Duration::from_secs(1);
/// Most handshakes of strangers and peers at a time: each costs a signature.
const MAX_HANDSHAKES: usize = 64;

/// What is supervised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Child {
    /// The actor of a peer.
    Peer(NodeId),
    /// The task that accepts connections.
    Acceptor,
}

/// What the supervisor is told.
pub(super) enum Msg {
    /// Start a child (again).
    Start(Child),
    /// A child failed.
    Failed(Child, String),
    /// Peers came or went.
    Peers,
    /// Time to refresh.
    Refresh,
    /// Close all connections, and accept no more.
    Close,
}

/// The actor.
pub(super) struct Supervisor;

/// Its state.
pub(super) struct State {
    shared: Arc<Shared>,
    peers: HashMap<ActorId, Arc<Slot>>,
    accepting: Option<AbortHandle>,
    closing: bool,
}

impl Actor for Supervisor {
    type Msg = Msg;
    type State = State;
    type Arguments = Arc<Shared>;

    async fn pre_start(
        &self,
        myself: ActorRef<Msg>,
        shared: Arc<Shared>,
    ) -> Result<State, ActorProcessingErr> {
        shared.doors.open(&shared.endpoint);
        let mut state = State { shared, peers: HashMap::new(), accepting: None, closing: false };
        state.peers_changed(&myself).await?;
        state.start(&myself, Child::Acceptor).await?;
        myself.send_interval(REFRESH, || Msg::Refresh);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        message: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Msg::Start(_) | Msg::Failed(..) | Msg::Peers if state.closing => {}
            Msg::Peers => state.peers_changed(&myself).await?,
            Msg::Start(child) => state.start(&myself, child).await?,
            Msg::Failed(child, why) => {
                tracing::error!(?child, why, "a part of the network failed and is restarted");
                myself.send_after(RESTART_PAUSE, move || Msg::Start(child));
            }
            Msg::Refresh => state.shared.refresh(),
            Msg::Close => state.close(),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Msg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (id, why) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell.get_id(), error.to_string()),
            SupervisionEvent::ActorTerminated(cell, ..) => (cell.get_id(), "it ended".to_owned()),
            _ => return Ok(()),
        };
        // One that was stopped on purpose is not there any more.
        if let Some(slot) = state.peers.remove(&id) {
            slot.actor.lock().take();
            myself.send_message(Msg::Failed(Child::Peer(slot.node), why))?;
        }
        Ok(())
    }
}

impl State {
    async fn start(
        &mut self,
        myself: &ActorRef<Msg>,
        child: Child,
    ) -> Result<(), ActorProcessingErr> {
        match child {
            Child::Peer(node) => self.start_peer(myself, node).await,
            Child::Acceptor => {
                self.accept(myself.clone());
                Ok(())
            }
        }
    }

    /// Stops the actors of peers that went, and starts those of new ones.
    async fn peers_changed(&mut self, myself: &ActorRef<Msg>) -> Result<(), ActorProcessingErr> {
        let shared = Arc::clone(&self.shared);
        self.peers.retain(|_, slot| {
            let stays = shared.is_current(slot);
            if !stays && let Some(actor) = slot.actor.lock().take() {
                actor.stop(None);
            }
            stays
        });
        for node in shared.slots().keys() {
            self.start_peer(myself, *node).await?;
        }
        Ok(())
    }

    /// Starts the actor of a peer, unless there is one or the peer is gone.
    async fn start_peer(
        &mut self,
        myself: &ActorRef<Msg>,
        node: NodeId,
    ) -> Result<(), ActorProcessingErr> {
        let Some(slot) = self.shared.slot(node) else { return Ok(()) };
        if slot.actor.lock().is_some() {
            return Ok(());
        }
        let arguments = (Arc::clone(&slot), Arc::clone(&self.shared));
        let (actor, _) = Actor::spawn_linked(None, PeerActor, arguments, myself.get_cell()).await?;
        self.peers.insert(actor.get_id(), Arc::clone(&slot));
        *slot.actor.lock() = Some(actor);
        Ok(())
    }

    fn accept(&mut self, myself: ActorRef<Msg>) {
        let task = tokio::spawn(accept_all(Arc::clone(&self.shared)));
        self.accepting = Some(task.abort_handle());
        tokio::spawn(async move {
            // It ends otherwise when it is aborted, or the endpoint closes.
            if let Err(error) = task.await
                && error.is_panic()
            {
                let _ = myself.send_message(Msg::Failed(Child::Acceptor, error.to_string()));
            }
        });
    }

    fn close(&mut self) {
        self.closing = true;
        self.shared.doors.close(&self.shared.endpoint);
        self.stop_accepting();
        for slot in self.peers.values() {
            slot.tell(PeerMsg::Event(Event::Stop));
        }
    }

    fn stop_accepting(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.stop_accepting();
    }
}

/// Accepts connections until the endpoint closes. Those beyond [`MAX_HANDSHAKES`] are refused at
/// once: the dialer tries again.
async fn accept_all(shared: Arc<Shared>) {
    let permits = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    while let Some(incoming) = shared.endpoint.accept().await {
        match Arc::clone(&permits).try_acquire_owned() {
            Ok(permit) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    welcome(&shared, incoming).await;
                    drop(permit);
                });
            }
            Err(_) => incoming.refuse(),
        }
    }
}

async fn welcome(shared: &Shared, incoming: Incoming) {
    let from = incoming.remote_address();
    match handshake::accept(shared, incoming).await {
        Ok(None) => {}
        Ok(Some(established)) => {
            shared.tell(established.hello.node, PeerMsg::Arrived(established));
        }
        Err(rejected) => {
            let known = rejected.node.filter(|node| shared.slot(*node).is_some());
            match known {
                // The actor logs it, once.
                Some(node) => {
                    shared.tell(node, PeerMsg::Event(Event::Refused { why: rejected.why }));
                }
                None => {
                    if let Some(withheld) = shared.strangers.lock().pass(Instant::now()) {
                        let why = rejected.why;
                        tracing::warn!(%from, why, withheld, "a connection was refused");
                    }
                }
            }
        }
    }
}
