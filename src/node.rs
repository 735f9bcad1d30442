//! One node: its components, started in order, and stopped in the reverse one.

use std::net::SocketAddr;
use std::time::Duration;

use crate::calls::Calls;
use crate::config::NodeConfig;
use crate::consensus::Consensus;
use crate::files::Blobs;
use crate::function::Functions;
use crate::id::{Incarnation, NodeId};
use crate::net::Net;

/// The handles of a running node, for the gateway. Cheap to clone.
#[derive(Clone)]
pub struct Handles {
    /// This node.
    pub node: NodeId,
    /// Which of its lives.
    pub incarnation: Incarnation,
    /// Connections.
    pub net: Net,
    /// Consensus.
    pub consensus: Consensus,
    /// Blobs.
    pub blobs: Blobs,
    /// Functions.
    pub functions: Functions,
    /// Calls.
    pub calls: Calls,
}

/// A running node.
pub struct Node {}

impl Node {
    /// Starts a node: returns once it listens; it may not have a quorum yet (`/readyz` says).
    pub async fn start(_config: NodeConfig) -> anyhow::Result<Self> {
        todo!()
    }

    /// Its handles.
    pub fn handles(&self) -> &Handles {
        todo!()
    }

    /// Where its HTTP API listens.
    pub fn http(&self) -> SocketAddr {
        todo!()
    }

    /// Stops it: no new calls, running ones get `grace` to end, then everything closes.
    pub async fn stop(self, _grace: Duration) {}
}
