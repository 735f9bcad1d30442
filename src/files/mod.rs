//! The blob store: bytes named by their hash, kept on the nodes that rendezvous hashing names.
//!
//! A put succeeds when a majority of a blob's targets have it durably; the other copies are made
//! in the background, or by repair when their node comes back. A get reads the local copy, or
//! fetches one from the targets or, failing those, from anybody, and keeps it: for good where this
//! node is a target, else in a bounded cache. Whatever comes from a disk or a peer is checked
//! against the hash first; what fails the check is taken for missing.

mod actor;
mod disk;
mod format;
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod local;
mod locks;
mod members;
pub mod metrics;
mod plan;
mod remote;
mod rendezvous;
mod repair;
mod round;
mod serve;
mod store;
mod transfer;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use members::Nodes;

use crate::config::FileOptions;
use crate::id::{BlobHash, NodeId};
use crate::net::{Net, ServiceId};
use members::Members;
use serve::Server;
use store::Store;

/// Why a blob could not be stored or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// Nobody has it.
    #[error("blob {0} is on none of the nodes that can be reached: {1}")]
    NotFound(BlobHash, String),
    /// Too few copies could be made.
    #[error("only {have} of the {need} copies needed could be stored: {why}")]
    TooFewCopies {
        /// Copies made durable.
        have: usize,
        /// Copies needed.
        need: usize,
        /// The errors of the others.
        why: String,
    },
    /// Larger than [`MAX_BLOB`].
    #[error("{0} bytes are more than a blob may have ({MAX_BLOB})")]
    TooBig(u64),
    /// The disk refused.
    #[error("the blob store's disk refused: {0}")]
    Io(String),
    /// The deadline passed.
    #[error("the blob could not be moved in time: {0}")]
    TimedOut(String),
}

/// Largest blob, in bytes.
pub const MAX_BLOB: u64 = 256 << 20;

/// What the blob store of a node is started with.
pub struct BlobSetup {
    /// This node.
    pub me: NodeId,
    /// Where its blobs are; made when missing.
    pub dir: PathBuf,
    /// Copies and cache.
    pub options: FileOptions,
    /// The connections, not opened yet.
    pub net: Net,
    /// All members of the cluster.
    pub nodes: Nodes,
}

/// Handle of the component. Cheap to clone.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<Store>,
}

impl Blobs {
    /// Opens the directory, lists what is in it, serves it to the other nodes, and begins to
    /// repair. [`BlobError::Io`] when the directory cannot be used.
    pub async fn start(setup: BlobSetup) -> Result<Self, BlobError> {
        let BlobSetup { me, dir, options, net, nodes } = setup;
        let members = Members { me, copies: options.copies, nodes };
        let store = Store::start(members, dir, options.cache_bytes, Arc::new(net.clone())).await?;
        net.register(
            ServiceId::Blobs,
            Arc::new(Server::new(store.local.clone(), transfer::REPLY_WAIT)),
        );
        Ok(Self { store })
    }

    /// Stores bytes, at most [`MAX_BLOB`]; returns when a majority of their target copies is
    /// durable, and goes on with the rest. It goes on, too, when the future is dropped.
    pub async fn put(&self, bytes: Bytes, deadline: Instant) -> Result<BlobHash, BlobError> {
        self.store.put(bytes, deadline).await
    }

    /// Reads a blob from here or from the nodes that keep it; verified by its hash.
    pub async fn get(&self, hash: BlobHash, deadline: Instant) -> Result<Bytes, BlobError> {
        self.store.get(hash, deadline).await
    }

    /// The nodes that should keep it.
    pub fn targets(&self, hash: &BlobHash) -> Vec<NodeId> {
        self.store.members.targets(hash)
    }

    /// Ends repair; transfers under way are left to the end of the connections. Bounded by
    /// `grace`.
    pub async fn stop(&self, grace: Duration) {
        self.store.repairs.stop(grace).await;
    }
}
