//! Consensus between nodes, and the commands of the replicated state machine.

use rkyv::{Archive, Deserialize, Serialize};

use crate::id::{BlobHash, Incarnation, NodeId};
use crate::wire::function::FunctionEntry;

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
    },
    /// The leader declares a session over.
    ExpireSession {
        /// Which node.
        node: NodeId,
        /// Which life of it.
        incarnation: Incarnation,
    },
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
}
