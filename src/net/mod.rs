//! Connections between nodes: QUIC with mutual TLS, one connection per pair of nodes.
//!
//! Other components see [`Net`] and implement [`Inbound`]; they know nothing of connections.
//!
//! The way of a message: [`Net::send`] encodes it and appends it to the queue of its (peer,
//! service), from whatever thread; a task per queue writes all there is to that service's stream;
//! at the other end a task per stream cuts what arrives into frames and calls [`Inbound`]. No
//! actor is on that way: the actor of a peer only makes and ends connections. The supervision
//! tree is in `supervisor.rs`.

mod actor;
mod admission;
mod backoff;
mod doors;
mod error;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod handover;
mod handshake;
mod hello;
mod identity;
mod link;
pub mod metrics;
mod outbox;
mod peer;
mod peers;
mod pem_files;
mod pending;
mod renew;
mod setup;
mod shared;
mod slots;
mod stamp;
mod streams;
mod supervisor;
#[cfg(test)]
mod tests;
mod tls;
mod transport;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use crate::id::NodeId;
use crate::wire::{Encode, Malformed};

pub use admission::{Admission, NewKey, authority_hash};
pub use error::{NetError, RequestError, SendError};
pub use handover::Handover;
pub use identity::{CertName, CertificateAuthority, Identity, IdentityError, key_hash};
pub use peers::{Peer, PeerStatus, PeerTable};
pub use setup::NetSetup;
pub use slots::PeerSpec;
pub use stamp::{Shown, Stamp};

use link::{Link, with_archive};
use setup::Running;
use shared::Shared;

/// Longest datagram, in bytes: what the smallest packet carries.
pub const MAX_DATAGRAM: usize = 1_150;

/// What a message is for. Each service of a peer has one ordered stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum ServiceId {
    /// Raft messages, sessions and forwarded proposals.
    Consensus = 1,
    /// Calls and their records.
    Calls = 2,
    /// Blobs.
    Blobs = 3,
    /// Load reports (datagrams).
    Load = 4,
    /// Questions to the owners of state.
    State = 5,
    /// The copies of shards among each other.
    Shards = 6,
    /// Messages between the ranks of MPI jobs.
    Mpi = 7,
}

impl ServiceId {
    /// Every service.
    pub const ALL: [ServiceId; 7] = [
        ServiceId::Consensus,
        ServiceId::Calls,
        ServiceId::Blobs,
        ServiceId::Load,
        ServiceId::State,
        ServiceId::Shards,
        ServiceId::Mpi,
    ];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Consensus => "consensus",
            Self::Calls => "calls",
            Self::Blobs => "blobs",
            Self::Load => "load",
            Self::State => "state",
            Self::Shards => "shards",
            Self::Mpi => "mpi",
        }
    }

    /// The place in [`ServiceId::ALL`].
    fn index(self) -> usize {
        self as usize - 1
    }

    /// Which stream goes first when the network is the bottleneck: a heartbeat waits for nothing,
    /// and bulk streams, at 0, let everything pass.
    fn priority(self) -> i32 {
        match self {
            Self::Consensus => 3,
            Self::Calls | Self::Load | Self::Mpi => 2,
            Self::Blobs | Self::State | Self::Shards => 1,
        }
    }
}

/// A component's door for what peers send. Methods are called on the control runtime, in the
/// order of arrival per peer, and must not wait: they hand on or spawn. An `Err` ends the
/// connection: the peer sent what no honest peer sends.
pub trait Inbound: Send + Sync + 'static {
    /// A one-way message.
    fn message(&self, from: Peer, head: &[u8], body: Bytes) -> Result<(), Malformed>;
    /// A request; answer through `reply`, at once or later. Dropping it answers with an error.
    fn request(
        &self,
        from: Peer,
        head: &[u8],
        body: Bytes,
        reply: Replier,
    ) -> Result<(), Malformed>;
    /// A bulk stream that the peer opened.
    fn bulk(&self, from: Peer, head: &[u8], stream: BulkStream) -> Result<(), Malformed>;
    /// A datagram.
    fn datagram(&self, from: Peer, bytes: &[u8]) -> Result<(), Malformed>;
}

/// Answers one request.
pub struct Replier {
    link: Arc<Link>,
    service: ServiceId,
    id: u64,
    answered: bool,
}

impl Replier {
    /// Sends the answer. Never waits; the answer is lost if the connection is. One that is too
    /// long, or that finds the queue full, reaches the requester as [`RequestError::Bad`].
    pub fn send<T: Encode>(mut self, head: &T, body: Bytes) {
        self.answered = true;
        self.link.reply(self.service, self.id, head, body);
    }

    /// Says that there is no answer, and why: [`RequestError::Bad`] for the requester. The text
    /// is cut at 512 bytes.
    pub fn fail(mut self, why: &str) {
        self.answered = true;
        self.link.fail_request(self.service, self.id, why);
    }
}

impl Drop for Replier {
    fn drop(&mut self) {
        if !self.answered {
            self.link.fail_request(self.service, self.id, "it dropped the request");
        }
    }
}

/// A bulk stream: bytes both ways beside the ordered streams, with flow control.
pub struct BulkStream {
    /// To the peer.
    pub send: quinn::SendStream,
    /// From the peer.
    pub recv: quinn::RecvStream,
}

/// An answer: its archive and its bulk bytes.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The archive; read it with [`crate::wire::decode`].
    pub head: Bytes,
    /// Bytes beside it.
    pub body: Bytes,
}

/// This node's connections. Cheap to clone. When the last clone is dropped, all connections
/// close; [`Net::close`] does so in good order.
#[derive(Clone)]
pub struct Net {
    shared: Arc<Shared>,
    running: Arc<Running>,
}

impl Net {
    /// Binds the socket. Neither dials nor accepts before [`Net::open`]. Everything runs on the
    /// tokio runtime on which this is called, which must have its I/O and timers enabled.
    pub fn start(setup: NetSetup) -> Result<Self, NetError> {
        let shared = Arc::new(setup.prepare()?);
        let running = Arc::new(Running::new(&shared));
        Ok(Self { shared, running })
    }

    /// Makes `inbound` the receiver of a service. To be called for every service before
    /// [`Net::open`]: until then no connection is made or taken.
    pub fn register(&self, service: ServiceId, inbound: Arc<dyn Inbound>) {
        self.shared.inbounds.lock()[service.index()] = Some(inbound);
    }

    /// Starts to dial and to accept. A second call does nothing.
    pub fn open(&self) {
        self.running.open();
    }

    /// Changes where a peer is to be found: for a cluster whose ports the system picks. The peer
    /// is dialed there at once, unless there is a connection to it.
    pub fn set_peer_addr(&self, node: NodeId, addr: SocketAddr) {
        if let Some(slot) = self.shared.slot(node)
            && slot.move_to(addr)
        {
            slot.tell(actor::PeerMsg::Event(peer::Event::Moved));
        }
    }

    /// Replaces the set of peers: all of them, this node's own entry is passed over. New ones are
    /// dialed, or may dial, at once. One that is gone is cut off at once, its requests fail, and
    /// it is refused from then on; so is a connection whose key is not registered any more.
    pub fn set_peers(&self, peers: Vec<PeerSpec>) {
        if self.shared.set_peers(peers) {
            self.running.peers_changed();
        }
    }

    /// Replaces this node's certificate and the authorities that it trusts, for all connections
    /// that begin from now on. Those that there are stay; see [`Net::renew`].
    pub fn set_identity(&self, identity: Identity) -> Result<(), NetError> {
        let name = CertName { node: self.shared.me(), cluster: self.shared.cluster() };
        setup::check_name(&identity, name)?;
        Ok(self.shared.doors.replace(identity, &self.shared.endpoint)?)
    }

    /// Its certificate and the authorities that it trusts, as they change.
    pub fn identity(&self) -> watch::Receiver<Arc<Identity>> {
        self.shared.doors.identity()
    }

    /// Proves the key of the current identity to the peers of all live connections, which live on:
    /// then the key before may be revoked without a loss. Tries again until the deadline; gives
    /// those that have not taken it, and why.
    pub async fn renew(&self, deadline: Instant) -> Vec<(NodeId, String)> {
        let all = self.shared.runtime.spawn(renew::all(Arc::clone(&self.shared), deadline));
        // Fails only with the runtime.
        all.await.unwrap_or_else(|error| vec![(self.shared.me(), error.to_string())])
    }

    /// What the peers that there is a connection to have shown last.
    pub fn shown(&self) -> Vec<Shown> {
        let slots = self.shared.slots();
        slots.values().filter_map(|slot| Some(slot.link.load_full()?.shown())).collect()
    }

    /// Queues a one-way message on the service's ordered stream. Never waits; callable from any
    /// thread. Bodies above `wire::calls::INLINE_MAX` + 1 MiB are refused: use [`Net::bulk`].
    pub fn send<T: Encode>(
        &self,
        to: NodeId,
        service: ServiceId,
        head: &T,
        body: Bytes,
    ) -> Result<(), SendError> {
        self.shared.link(to)?.send(service, head, body)
    }

    /// Sends a request on the service's ordered stream and waits for its answer. May be polled on
    /// any runtime, also one without timers. Dropping the future gives the answer up.
    pub async fn request<T: Encode>(
        &self,
        to: NodeId,
        service: ServiceId,
        head: &T,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Reply, RequestError> {
        let ticket = self.shared.link(to)?.request(service, head, body)?;
        self.by(deadline, to, ticket.answer()).await?
    }

    /// Opens a bulk stream, sends `head` (at most 64 KiB) on it, and leaves the rest to the
    /// caller. At most 256 of them are open to one peer: more wait until the deadline.
    pub async fn bulk<T: Encode>(
        &self,
        to: NodeId,
        service: ServiceId,
        head: &T,
        deadline: Instant,
    ) -> Result<BulkStream, RequestError> {
        let link = self.shared.link(to)?;
        let start = with_archive(head, |head| {
            if head.len() > streams::MAX_BULK_HEAD {
                return Err(SendError::TooBig(head.len()));
            }
            Ok(streams::bulk_start(service, head))
        })?;
        let open = async {
            let (mut send, recv) = link.conn.open_bi().await.ok()?;
            send.write_all(&start).await.ok()?;
            Some(BulkStream { send, recv })
        };
        self.by(deadline, to, open).await?.ok_or(RequestError::Lost(to))
    }

    /// Sends a datagram of at most [`MAX_DATAGRAM`] bytes; it may be lost, and is if it is longer
    /// or there is no connection.
    pub fn datagram(&self, to: NodeId, service: ServiceId, bytes: &[u8]) {
        let Ok(link) = self.shared.link(to) else { return };
        if bytes.len() <= MAX_DATAGRAM {
            let datagram = [&[service as u8], bytes].concat();
            // Whoever sends datagrams can do without them.
            let _ = link.conn.send_datagram(datagram.into());
        }
    }

    /// The peers; changes at each connect and disconnect, and when a new reason is found why one
    /// cannot be connected.
    pub fn peers(&self) -> watch::Receiver<Arc<PeerTable>> {
        self.shared.table.subscribe()
    }

    /// Whether a peer has ended the last connection to it because this node is no member of the
    /// cluster any more, as that peer knows.
    pub fn was_removed(&self) -> bool {
        self.shared.was_removed()
    }

    /// The address it listens on (port 0 resolved).
    pub fn local_addr(&self) -> SocketAddr {
        self.running.local_addr()
    }

    /// Flushes what is queued, tells the peers, closes. Bounded by `grace`.
    pub async fn close(&self, grace: Duration) {
        self.running.close(grace).await;
    }

    /// Waits for `future` with the timers of the component's own runtime: the caller's may have
    /// none.
    async fn by<F: Future>(
        &self,
        deadline: Instant,
        to: NodeId,
        future: F,
    ) -> Result<F::Output, RequestError> {
        let timed = {
            let _timers = self.shared.runtime.enter();
            tokio::time::timeout_at(deadline.into(), future)
        };
        timed.await.map_err(|_| RequestError::TimedOut(to))
    }
}
