//! What other components are told of the peers.

use std::time::{Duration, Instant};

use crate::id::{Incarnation, NodeId};

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

/// What is known of one peer.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// The live connection, if there is one.
    pub up: Option<Peer>,
    /// When that last changed.
    pub since: Instant,
    /// Smoothed round trip time, when up; brought up to date every second.
    pub rtt: Option<Duration>,
    /// Why it is down: the last error, for people.
    pub last_error: Option<String>,
}

impl PeerStatus {
    /// Of a peer that there was no connection to yet.
    pub(super) fn unseen() -> Self {
        Self { up: None, since: Instant::now(), rtt: None, last_error: None }
    }
}

/// All peers, without this node. One that was removed is not there any more.
pub type PeerTable = std::collections::BTreeMap<NodeId, PeerStatus>;
