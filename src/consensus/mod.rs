//! What all nodes agree on, by Raft: members, sessions, the function registry, artifact hashes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::id::{BlobHash, FunctionKey, NodeId};
use crate::wire::consensus::{Command, Response};
use crate::wire::function::FunctionEntry;

/// A command that was applied, at this log index, with this answer.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Log index.
    pub index: u64,
    /// What the state machine answered.
    pub response: Response,
}

/// Why a proposal was not (or may not have been) carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// There was no leader, or no majority behind it, until the deadline; it may still be done.
    #[error("no quorum: {0}; nothing can be changed until a majority of the voters is back")]
    NoQuorum(String),
    /// Too many proposals wait.
    #[error("too many changes wait for the leader; try again")]
    Full,
    /// This node stops.
    #[error("this node is stopping")]
    Stopping,
}

/// One member as consensus knows it.
#[derive(Debug, Clone)]
pub struct MemberView {
    /// Which.
    pub node: NodeId,
    /// Whether it votes.
    pub voter: bool,
    /// QUIC address, from configuration.
    pub quic: String,
    /// HTTP address, as it announced it.
    pub http: String,
    /// Incarnation of its live session, if it has one.
    pub session: Option<crate::id::Incarnation>,
}

/// How Raft stands, for people and metrics.
#[derive(Debug, Clone, Default)]
pub struct RaftStatus {
    /// Who leads, as this node believes.
    pub leader: Option<NodeId>,
    /// Term.
    pub term: u64,
    /// Commit index.
    pub commit: u64,
    /// Applied index.
    pub applied: u64,
    /// First index still in the log.
    pub first: u64,
}

/// Handle of the component. Cheap to clone.
#[derive(Clone)]
pub struct Consensus {}

impl Consensus {
    /// Proposes a command, through the leader wherever it is, and waits until it is applied
    /// *here*. Matched by request id: retried after a change of leader without being done twice.
    pub async fn propose(
        &self,
        _command: Command,
        _deadline: Instant,
    ) -> Result<Applied, ProposeError> {
        todo!()
    }

    /// Waits until this node has applied all that was committed when it was asked (ReadIndex).
    pub async fn read_barrier(&self, _deadline: Instant) -> Result<u64, ProposeError> {
        todo!()
    }

    /// Waits until every node with a live session has applied `index`, or its session ended.
    pub async fn wait_applied_everywhere(
        &self,
        _index: u64,
        _deadline: Instant,
    ) -> Result<(), ProposeError> {
        todo!()
    }

    /// A function, from the local copy. Nanoseconds: on the way of every call.
    pub fn function(&self, _key: &FunctionKey) -> Option<Arc<FunctionEntry>> {
        todo!()
    }

    /// All functions (of one user), in order.
    pub fn functions(&self, _user: Option<&str>) -> Vec<(FunctionKey, Arc<FunctionEntry>)> {
        todo!()
    }

    /// The artifact hash recorded for a module and an engine.
    pub fn artifact(&self, _wasm: &BlobHash, _engine: u64) -> Option<BlobHash> {
        todo!()
    }

    /// The members, with their sessions.
    pub fn members(&self) -> Vec<MemberView> {
        todo!()
    }

    /// Whether this node's own session is alive at this moment: one atomic load. A node whose
    /// session lapsed starts no call and reports no result.
    pub fn session_is_live(&self) -> bool {
        todo!()
    }

    /// Changes whenever the applied index does.
    pub fn applied(&self) -> watch::Receiver<u64> {
        todo!()
    }

    /// How Raft stands.
    pub fn status(&self) -> RaftStatus {
        todo!()
    }

    /// Stops the driver, its log synced. Bounded by `grace`.
    pub async fn stop(&self, _grace: Duration) {
        todo!()
    }
}
