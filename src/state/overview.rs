//! What tools ask of the whole cluster: which values there are, who holds copies, shards, locks.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::BoxFuture;

use super::State;
use super::global::StateError;
use crate::consensus::Consensus;
use crate::consensus::locks::LockView;
use crate::id::NodeId;
use crate::wire::shards::{SHARDS, Shard, ShardId, StateKey};
use crate::wire::state::{List, Listed};

/// Most locks that are shown.
const MAX_LOCKS: usize = 50_000;

/// A node's copy of a value in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalCopy {
    /// Where.
    pub node: NodeId,
    /// Bytes that are in memory.
    pub bytes: u64,
    /// Whether a running function has it mapped.
    pub mapped: bool,
}

/// What is known of the state of the cluster.
pub trait Overview: Send + Sync + 'static {
    /// Values, in order of their names, of all shards or an error.
    fn list(&self, list: List, by: Instant) -> BoxFuture<'_, Result<Vec<Listed>, StateError>>;

    /// Copies in the memory of nodes, of those that answer in time.
    fn copies(&self, key: Arc<StateKey>, by: Instant) -> BoxFuture<'_, Vec<LocalCopy>>;

    /// The table of shards, in order; empty until they are founded.
    fn shards(&self) -> Vec<(ShardId, Arc<Shard>)>;

    /// Global locks, in order of their keys.
    fn locks(&self, by: Instant) -> BoxFuture<'_, Result<Vec<LockView>, StateError>>;
}

/// The overview of a node, which asks the others.
#[derive(Clone)]
pub struct Tools {
    state: State,
    consensus: Consensus,
}

impl Tools {
    /// Over these.
    pub fn new(state: State, consensus: Consensus) -> Self {
        Self { state, consensus }
    }
}

impl Overview for Tools {
    fn list(&self, list: List, by: Instant) -> BoxFuture<'_, Result<Vec<Listed>, StateError>> {
        Box::pin(async move {
            let (values, served) = self.state.list(list, by).await;
            complete(served)?;
            Ok(values)
        })
    }

    fn copies(&self, key: Arc<StateKey>, by: Instant) -> BoxFuture<'_, Vec<LocalCopy>> {
        Box::pin(async move {
            let copies = self.state.copies(&key, by).await;
            let copy = |(node, bytes, mapped)| LocalCopy { node, bytes, mapped };
            copies.into_iter().map(copy).collect()
        })
    }

    fn shards(&self) -> Vec<(ShardId, Arc<Shard>)> {
        self.consensus.shards().iter().map(|(id, shard)| (id, shard.clone())).collect()
    }

    fn locks(&self, by: Instant) -> BoxFuture<'_, Result<Vec<LockView>, StateError>> {
        Box::pin(async move {
            let locks = self.consensus.locks(MAX_LOCKS, by).await;
            locks.map_err(|error| StateError::Unavailable(format!("the locks: {error}")))
        })
    }
}

/// Whether a list is of all shards: one with holes would pass for the truth.
fn complete(served: u32) -> Result<(), StateError> {
    if served >= u32::from(SHARDS) {
        return Ok(());
    }
    let why = format!("only {served} of {SHARDS} shards are served at the moment");
    Err(StateError::Unavailable(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_with_holes_is_an_error() {
        assert_eq!(complete(128), Ok(()));
        let error = complete(127).unwrap_err().to_string();
        assert!(error.contains("127 of 128"), "{error}");
    }
}
