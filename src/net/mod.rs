//! Connections between nodes: QUIC with mutual TLS, one connection per pair of nodes.
//!
//! Other components see [`Net`] and implement [`Inbound`]; they know nothing of connections.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use crate::id::{Incarnation, NodeId};
use crate::wire::{Encode, Malformed};

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
}

/// The node at the other end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Peer {
    /// Which node.
    pub node: NodeId,
    /// Which of its lives.
    pub incarnation: Incarnation,
    /// Which connection to it: a new number after each reconnection. Messages of an older link
    /// may have been lost.
    pub link: u64,
}

/// What is known of one configured peer.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// The live connection, if there is one.
    pub up: Option<Peer>,
    /// When that last changed.
    pub since: Instant,
    /// Smoothed round trip time, when up.
    pub rtt: Option<Duration>,
    /// Why it is down: the last error, for people.
    pub last_error: Option<String>,
}

/// All configured peers, without this node.
pub type PeerTable = std::collections::BTreeMap<NodeId, PeerStatus>;

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
pub struct Replier {}

impl Replier {
    /// Sends the answer. Never waits; the answer is lost if the connection is.
    pub fn send<T: Encode>(self, _head: &T, _body: Bytes) {
        todo!()
    }
}

/// A bulk stream: bytes both ways beside the ordered streams, with flow control.
pub struct BulkStream {
    /// To the peer.
    pub send: quinn::SendStream,
    /// From the peer.
    pub recv: quinn::RecvStream,
}

/// Why something could not be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No connection to the node now.
    #[error("{0} is not reachable: {1}")]
    Down(NodeId, String),
    /// The queue to it is full.
    #[error("the queue to {0} is full: it takes messages slower than they are made")]
    Full(NodeId),
    /// The message is larger than the protocol allows.
    #[error("a message of {0} bytes exceeds the protocol's limit")]
    TooBig(usize),
}

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The deadline passed; it may have been done.
    #[error("{0} did not answer in time")]
    TimedOut(NodeId),
    /// The connection was lost; it may have been done.
    #[error("the connection to {0} was lost before it answered")]
    Lost(NodeId),
    /// The peer dropped the request, or answered what is no answer.
    #[error("{0} gave no answer: {1}")]
    Bad(NodeId, String),
}

/// An answer: its archive and its bulk bytes.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The archive; read it with [`crate::wire::decode`].
    pub head: Bytes,
    /// Bytes beside it.
    pub body: Bytes,
}

/// This node's connections. Cheap to clone.
#[derive(Clone)]
pub struct Net {}

impl Net {
    /// Makes `inbound` the receiver of a service. To be called for every service before
    /// [`Net::open`]: until then no connection is made or taken.
    pub fn register(&self, _service: ServiceId, _inbound: Arc<dyn Inbound>) {
        todo!()
    }

    /// Starts to dial and to accept.
    pub fn open(&self) {
        todo!()
    }

    /// Queues a one-way message on the service's ordered stream. Never waits; callable from any
    /// thread. Bodies above `wire::calls::INLINE_MAX` + 1 MiB are refused: use [`Net::bulk`].
    pub fn send<T: Encode>(
        &self,
        _to: NodeId,
        _service: ServiceId,
        _head: &T,
        _body: Bytes,
    ) -> Result<(), SendError> {
        todo!()
    }

    /// Sends a request on the service's ordered stream and waits for its answer.
    pub async fn request<T: Encode>(
        &self,
        _to: NodeId,
        _service: ServiceId,
        _head: &T,
        _body: Bytes,
        _deadline: Instant,
    ) -> Result<Reply, RequestError> {
        todo!()
    }

    /// Opens a bulk stream, sends `head` on it, and leaves the rest to the caller.
    pub async fn bulk<T: Encode>(
        &self,
        _to: NodeId,
        _service: ServiceId,
        _head: &T,
        _deadline: Instant,
    ) -> Result<BulkStream, RequestError> {
        todo!()
    }

    /// Sends a datagram of at most 1,150 bytes; it may be lost.
    pub fn datagram(&self, _to: NodeId, _service: ServiceId, _bytes: &[u8]) {
        todo!()
    }

    /// The peers; changes at each connect and disconnect.
    pub fn peers(&self) -> watch::Receiver<Arc<PeerTable>> {
        todo!()
    }

    /// The address it listens on (port 0 resolved).
    pub fn local_addr(&self) -> std::net::SocketAddr {
        todo!()
    }

    /// Flushes what is queued, tells the peers, closes. Bounded by `grace`.
    pub async fn close(&self, _grace: Duration) {
        todo!()
    }
}
