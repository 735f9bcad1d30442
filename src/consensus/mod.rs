//! What all nodes agree on, by Raft: members, sessions, the function registry, artifact hashes.
//!
//! ```text
//! Consensus (handle) ── Inbox ──▶ driver thread ── Core ─┬─ RaftNode ─ raft-rs, MemLog, Machine, Disk
//!      ▲                              │                  ├─ Proposals, Reads   (this node's)
//!      └────────── Shared ◀───────────┘                  ├─ Keeper             (this node's session)
//!                                                        └─ Sessions           (the leader's memory)
//! ```
//! Everything below [`core`] is pure; the driver's thread is supervised by [`actor`].

mod actor;
mod admission;
mod begin_end;
mod claims;
mod conf;
mod core;
mod core_locks;
mod dedup;
mod disk_thread;
mod driver;
mod error;
mod founding;
mod frames;
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod guard;
mod handle;
mod handle_locks;
mod handle_shards;
pub mod identity;
mod image;
mod inbox;
mod keeper;
mod knocking;
mod lock_ask;
mod lock_changes;
mod lock_cycles;
mod lock_desk;
pub mod locks;
mod log;
mod machine;
pub mod members;
pub mod metrics;
mod proposals;
mod raft_node;
mod reads;
mod service;
mod sessions;
mod settling;
mod setup;
mod shard_keeper;
mod shard_plan;
pub mod shards;
mod shared;
mod shared_locks;
mod slog_bridge;
mod snapshot_file;
mod steering;
mod storage;
mod timeouts;
mod transport;
pub mod users;
mod voters;
mod writer;

#[cfg(test)]
mod lock_nodes_tests;
#[cfg(test)]
mod membership_tests;
#[cfg(test)]
mod shard_nodes_tests;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod testnet;
#[cfg(test)]
mod three_nodes_tests;

pub use error::{ProposeError, StartError};
pub use handle::Consensus;
pub use handle_locks::LockListener;
pub use lock_ask::{Grant, LockError};
pub use setup::{ConsensusSetup, Start};

use crate::id::{Incarnation, NodeId};
use crate::wire::consensus::Response;
use crate::wire::members::KeyHash;

/// A command that was applied, at this log index, with this answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Log index.
    pub index: u64,
    /// What the state machine answered.
    pub response: Response,
}

/// One member as consensus knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Which.
    pub node: NodeId,
    /// Whether it votes.
    pub voter: bool,
    /// Whether it leads, as this node believes.
    pub leader: bool,
    /// Whether it has (nearly) all that was committed; only the leader knows.
    pub caught_up: Option<bool>,
    /// QUIC address.
    pub quic: String,
    /// HTTP address, as it announced it.
    pub http: String,
    /// The public keys that it may show; empty while the cluster knows none.
    pub keys: Vec<KeyHash>,
    /// Whether it takes no new calls, by an admin's word.
    pub draining: bool,
    /// Incarnation of its live session, if it has one.
    pub session: Option<Incarnation>,
}

/// How Raft stands, for people and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
    /// Who votes, as of the applied index; while a change is under way, who will.
    pub voters: Vec<NodeId>,
    /// Who follows only.
    pub learners: Vec<NodeId>,
    /// Whether a change of the voters is under way.
    pub changing: bool,
    /// The followers that have (nearly) all that was committed, if this node leads.
    pub caught_up: Option<Vec<NodeId>>,
    /// Why a change of the voters that is due cannot be made now, if this node leads.
    pub waits: Option<String>,
}
