//! Consensus between nodes, and the commands of the replicated state machine.
// rkyv's derive makes fields of its own for the variants below, without a word on them.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};

use crate::id::{BlobHash, Incarnation, NodeId};
use crate::wire::function::FunctionEntry;
use crate::wire::locks::{LockAnswer, LockCommand};
use crate::wire::members::{KeyHash, MemberCommand};
use crate::wire::shards::ShardCommand;
use crate::wire::users::UserCommand;

/// A change of the replicated state.
// The archived twins of the fields have no place for docs of their own.
#[allow(missing_docs)]
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Register a function, or a new version of it. The machine sets `entry.version`.
    PutFunction {
        /// Its user.
        user: String,
        /// Its name.
        name: String,
        /// Its entry.
        entry: FunctionEntry,
    },
    /// Remove a function.
    DeleteFunction {
        /// Its user.
        user: String,
        /// Its name.
        name: String,
    },
    /// Record what a member's compiler made of a module.
    RecordArtifact {
        /// The module.
        wasm: BlobHash,
        /// Fingerprint of the compiling engine.
        engine: u64,
        /// The artifact.
        artifact: BlobHash,
    },
    /// A node announces itself; ends its older session.
    OpenSession {
        /// Which node.
        node: NodeId,
        /// Which life of it.
        incarnation: Incarnation,
        /// Where its HTTP API is.
        http: String,
        /// The public key that it shows; must be one of its own, if the cluster knows any.
        key: Option<KeyHash>,
        /// Drawn when its log was made: another one means that the log was lost.
        birth: u64,
    },
    /// A session is over: the leader says so of one that was not renewed, a node of its own.
    ExpireSession {
        /// Which one; a later session of the same life is not meant.
        session: SessionId,
    },
    /// A change of the members.
    Member(MemberCommand),
    /// A change of the users.
    User(UserCommand),
    // Boxed: the entries of older logs keep their layout.
    /// Changes of shards.
    Shards(Box<ShardCommand>),
    /// A change of the global locks.
    Lock(Box<LockCommand>),
}

/// What the state machine answers to a [`Command`].
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum Response {
    /// Done.
    Done,
    /// There was no such thing.
    NotFound,
    /// Refused, and why.
    Refused(String),
    /// A node was let in, with this id.
    Joined(NodeId),
    /// The user has what its quota allows; which one.
    OverQuota(String),
    /// To [`Command::Lock`].
    Lock(Box<LockAnswer>),
}

/// Names a session: a life of a node may have several, one after the other.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug,
)]
pub struct SessionId {
    /// Whose.
    pub node: NodeId,
    /// Which of its lives.
    pub incarnation: Incarnation,
    /// The log index that opened it.
    pub opened: u64,
}

/// Names a proposal, so that it is done once however often it is sent.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug,
)]
pub struct RequestId {
    /// Who proposed.
    pub node: NodeId,
    /// In which of its lives.
    pub incarnation: Incarnation,
    /// Grows by one with each proposal of a life, from 1.
    pub number: u64,
}

/// What one log entry holds.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Proposal {
    /// Its name.
    pub id: RequestId,
    /// The change.
    pub command: Command,
}

/// A node asks the leader to keep its session alive.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Renewal {
    /// Which session.
    pub session: SessionId,
    /// Grows with each renewal; the answer repeats it.
    pub number: u64,
    /// The log index that the node has applied.
    pub applied: u64,
}

/// A one-way message. Any of them may be lost: what matters is sent again.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// A part of a Raft message; its bytes travel beside the archive.
    Raft(Part),
    /// Proposals of the sender, for the leader.
    Propose(Vec<Proposal>),
    /// For the leader.
    Renew(Renewal),
    /// The leader's answer to [`Message::Renew`].
    Renewed {
        /// Which session.
        session: SessionId,
        /// Of the renewal that is granted.
        number: u64,
    },
    /// A node that was not admitted yet, or hears of no leader, shows the birth of its log.
    Knock {
        /// Drawn when its log was made.
        birth: u64,
        /// Whether it founds the cluster; else only the leader may admit it.
        founds: bool,
    },
    /// The answer to [`Message::Knock`], and to Raft messages of nodes that were removed.
    Knocked(Verdict),
}

/// What is known of a node that knocks.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing speaks against it; its birth is noted.
    Noted,
    /// It was here before, with another log.
    Lost,
    /// It was removed from the cluster.
    Removed,
}

/// Which part of a Raft message this is. The parts of one follow each other on the stream.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// Number of the Raft message, new for each.
    pub message: u64,
    /// From 0.
    pub part: u32,
    /// How many there are; at least 1.
    pub parts: u32,
}

/// A question that waits for its [`Answer`].
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// Answer when this log index is applied, or when the time is over.
    WaitApplied {
        /// Log index.
        index: u64,
        /// Longest wait, in milliseconds.
        wait_ms: u64,
    },
}

/// The answer to a [`Request`].
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// How far the node has applied.
    Applied(u64),
}

/// Most proposals in one [`Message::Propose`].
pub const MAX_PROPOSALS: usize = 256;
