//! What may go wrong with the store.

use crate::state::values::Fault;
use crate::wire::shards::ShardId;

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The log failed: nothing is known of what is durable, and nothing can be written any more.
    /// All copies of this node stand back until it starts again.
    #[error("the log of the state failed: {0}")]
    Log(String),
    /// The disk has no room; nothing was changed.
    #[error("the disk is full: free some space below the data folder")]
    Full,
    /// What was read is not what was written, or the disk refused: this copy is to be wiped and
    /// made again from the others.
    #[error("the copy of {shard} cannot be used: {why}")]
    Copy {
        /// Of which shard.
        shard: ShardId,
        /// What was found.
        why: String,
    },
    /// The request makes no sense now; nothing was changed.
    #[error("{0}")]
    Misuse(String),
}

impl StoreError {
    pub(super) fn copy(shard: ShardId, fault: &Fault) -> Self {
        Self::Copy { shard, why: fault.to_string() }
    }
}
