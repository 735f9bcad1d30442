//! The blob store: bytes named by their hash, kept on the nodes that rendezvous hashing names.

use std::time::Instant;

use bytes::Bytes;

use crate::id::{BlobHash, NodeId};

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

/// Handle of the component. Cheap to clone.
#[derive(Clone)]
pub struct Blobs {}

impl Blobs {
    /// Stores bytes; returns when a majority of their target copies is durable.
    pub async fn put(&self, _bytes: Bytes, _deadline: Instant) -> Result<BlobHash, BlobError> {
        todo!()
    }

    /// Reads a blob from here or from the nodes that keep it; verified by its hash.
    pub async fn get(&self, _hash: BlobHash, _deadline: Instant) -> Result<Bytes, BlobError> {
        todo!()
    }

    /// The nodes that should keep it.
    pub fn targets(&self, _hash: &BlobHash) -> Vec<NodeId> {
        todo!()
    }
}
