//! The actor of one peer: a shell around [`PeerCore`] that performs its effects. Handlers do not
//! wait; what takes time runs in a task and reports back.

use std::sync::Arc;
use std::time::Instant;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::{AbortHandle, JoinHandle};
use tracing::Instrument;

use crate::id::NodeId;
use crate::net::error::{CloseCode, Fault};
use crate::net::handshake::{self, Established};
use crate::net::link::Link;
use crate::net::peer::{Effect, Event, PeerCore};
use crate::net::shared::Shared;
use crate::net::slots::Slot;
use crate::net::{Peer, streams};

/// What a peer's actor is told.
pub(super) enum PeerMsg {
    /// What the core takes as it is.
    Event(Event),
    /// A connection to the peer was made.
    Arrived(Established),
    /// Fails the actor, to see what its supervisor does.
    #[cfg(test)]
    Panic,
}

/// The actor.
pub(super) struct PeerActor;

/// Its state.
pub(super) struct PeerState {
    node: NodeId,
    slot: Arc<Slot>,
    shared: Arc<Shared>,
    core: PeerCore,
    /// The attempt to dial that is under way.
    dialing: Option<AbortHandle>,
    /// Serves the newest connection.
    serving: Option<(Arc<Link>, JoinHandle<()>)>,
}

impl Actor for PeerActor {
    type Msg = PeerMsg;
    type State = PeerState;
    type Arguments = (Arc<Slot>, Arc<Shared>);

    async fn pre_start(
        &self,
        myself: ActorRef<PeerMsg>,
        (slot, shared): (Arc<Slot>, Arc<Shared>),
    ) -> Result<PeerState, ActorProcessingErr> {
        let node = slot.node;
        let core = PeerCore::new(shared.me() < node);
        myself.send_message(PeerMsg::Event(Event::Start))?;
        Ok(PeerState { node, slot, shared, core, dialing: None, serving: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<PeerMsg>,
        message: PeerMsg,
        state: &mut PeerState,
    ) -> Result<(), ActorProcessingErr> {
        let (event, arrived) = match message {
            PeerMsg::Event(event) => (event, None),
            PeerMsg::Arrived(established) => {
                let link = state.shared.next_link();
                let incarnation = established.hello.incarnation;
                (Event::Arrived { link, incarnation }, Some(established))
            }
            #[cfg(test)]
            PeerMsg::Panic => panic!("asked to"),
        };
        let mut arrived = arrived;
        for effect in state.core.handle(event, Instant::now(), rand::random()) {
            state.perform(&myself, effect, &mut arrived);
        }
        Ok(())
    }
}

impl PeerState {
    fn perform(
        &mut self,
        myself: &ActorRef<PeerMsg>,
        effect: Effect,
        arrived: &mut Option<Established>,
    ) {
        match effect {
            Effect::Dial { attempt } => self.dial(myself.clone(), attempt),
            Effect::Wait { attempt, pause } => {
                myself.send_after(pause, move || PeerMsg::Event(Event::Due { attempt }));
            }
            Effect::Install { link } => {
                if let Some(established) = arrived.take() {
                    self.install(myself.clone(), established, link);
                }
            }
            Effect::Replace { link } => {
                let why = "a newer connection took its place".to_owned();
                self.close(link, &Fault { code: CloseCode::Replaced, why });
            }
            Effect::Discard { why } => {
                if let Some(established) = arrived.take() {
                    tracing::info!(peer = %self.node, why, "a connection is refused");
                    established.conn.close(CloseCode::Refused.into(), why.as_bytes());
                }
            }
            Effect::Down { why } => {
                tracing::warn!(peer = %self.node, why, "the peer is down");
                self.shared.set_down(&self.slot, &why);
            }
            Effect::Note { why } => {
                if self.shared.note(self.node, &why) {
                    tracing::warn!(peer = %self.node, why, "there is no connection to the peer");
                }
            }
            Effect::Drain { link } => match &self.serving {
                Some((current, _)) if current.peer.link == link => current.drain(),
                _ => {}
            },
            Effect::GiveUp => self.give_up(),
        }
    }

    fn dial(&mut self, myself: ActorRef<PeerMsg>, attempt: u64) {
        self.give_up();
        let (node, addr) = (self.node, *self.slot.addr.lock());
        let shared = Arc::clone(&self.shared);
        let span = tracing::info_span!("dial", peer = %node, %addr, attempt);
        let task = async move {
            let message = match handshake::dial(&shared, node, addr).await {
                Ok(established) => PeerMsg::Arrived(established),
                Err(why) => PeerMsg::Event(Event::Failed { attempt, why }),
            };
            // An actor that is gone has nobody to tell.
            let _ = myself.send_message(message);
        };
        self.dialing = Some(tokio::spawn(task.instrument(span)).abort_handle());
    }

    fn give_up(&mut self) {
        if let Some(dialing) = self.dialing.take() {
            dialing.abort();
        }
    }

    fn install(&mut self, myself: ActorRef<PeerMsg>, established: Established, number: u64) {
        let Established { conn, hello, key } = established;
        let peer = Peer { node: self.node, incarnation: hello.incarnation, link: number };
        let link = Arc::new(Link::new(peer, conn, key, self.shared.options.queue_bytes));
        if let Err(why) = self.shared.set_up(&self.slot, &link) {
            link.close(&Fault { code: CloseCode::Refused, why: why.clone() });
            let _ = myself.send_message(PeerMsg::Event(Event::Ended { link: number, why }));
            return;
        }
        let inbounds = self.shared.inbounds.lock().clone();
        let before = self.serving.take();
        let span = tracing::info_span!("link", peer = %self.node, link = number);
        let served = Arc::clone(&link);
        let task = async move {
            // The messages of the link before come first, and its end is over when ours begins.
            if let Some((_, before)) = before {
                let _ = before.await;
            }
            tracing::info!(incarnation = %peer.incarnation, "connected");
            let why = streams::serve(served, inbounds).await;
            let ended = Event::Ended { link: number, why };
            let _ = myself.send_message(PeerMsg::Event(ended));
        };
        self.serving = Some((link, tokio::spawn(task.instrument(span))));
    }

    fn close(&self, number: u64, fault: &Fault) {
        match &self.serving {
            Some((link, _)) if link.peer.link == number => link.close(fault),
            _ => {}
        }
    }
}

impl Drop for PeerState {
    /// However the actor ends, no task dials on, and no connection stays that nobody watches.
    fn drop(&mut self) {
        self.give_up();
        if let Some((link, _)) = &self.serving {
            let why = "the actor of this connection ended".to_owned();
            link.close(&Fault { code: CloseCode::Internal, why: why.clone() });
            self.shared.set_down(&self.slot, &why);
        }
    }
}
