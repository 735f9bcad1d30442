//! What tools ask of the whole cluster: which values there are, who holds copies, shards, locks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};

use super::global::StateError;
use crate::consensus::Consensus;
use crate::id::NodeId;
use crate::net::{Net, ServiceId};
use crate::wire;
use crate::wire::locks::{Holder, Mode, Token};
use crate::wire::shards::{SHARDS, Shard, ShardId, StateKey};
use crate::wire::state::{List, Listed, Request, Response};

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

/// A global lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockState {
    /// Of which value.
    pub key: StateKey,
    /// How it is held.
    pub mode: Mode,
    /// By whom, with their tokens.
    pub holders: Vec<(Holder, Token)>,
    /// Who stands in line, and for what.
    pub waiters: Vec<(Holder, Mode)>,
}

/// What a node says of itself.
pub trait Here: Send + Sync + 'static {
    /// Values of the shards that it owns and serves, and of how many shards.
    fn list(&self, list: List) -> BoxFuture<'_, (Vec<Listed>, u32)>;

    /// Its copy of a value: bytes in memory, and whether it is mapped.
    fn copy(&self, key: &StateKey) -> Option<(u64, bool)>;

    /// Global locks, in order of their keys, as far as it has heard.
    fn locks(&self) -> Vec<LockState>;
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
    fn locks(&self) -> Vec<LockState>;
}

/// The overview of a node: asks the others.
pub struct Tools {
    me: NodeId,
    net: Net,
    consensus: Consensus,
    here: Arc<dyn Here>,
}

impl Tools {
    /// Over this node and the others.
    pub fn new(me: NodeId, net: Net, consensus: Consensus, here: Arc<dyn Here>) -> Self {
        Self { me, net, consensus, here }
    }

    async fn ask(&self, node: NodeId, request: Request, by: Instant) -> Result<Response, String> {
        let reply = self.net.request(node, ServiceId::State, &request, Bytes::new(), by).await;
        let reply = reply.map_err(|error| format!("{node}: {error}"))?;
        wire::decode("answer about the state", &reply.head).map_err(|e| format!("{node}: {e}"))
    }

    async fn list_at(
        &self,
        node: NodeId,
        list: List,
        by: Instant,
    ) -> Result<(Vec<Listed>, u32), String> {
        if node == self.me {
            return Ok(self.here.list(list).await);
        }
        match self.ask(node, Request::List(list), by).await? {
            Response::Listed { values, shards } => Ok((values, shards)),
            _ => Err(format!("{node} answered another question")),
        }
    }

    async fn copy_at(&self, node: NodeId, key: &StateKey, by: Instant) -> Option<LocalCopy> {
        let (bytes, mapped) = match node == self.me {
            true => self.here.copy(key)?,
            false => match self.ask(node, Request::Copy(key.clone()), by).await.ok()? {
                Response::Copy(copy) => copy?,
                _ => return None,
            },
        };
        Some(LocalCopy { node, bytes, mapped })
    }
}

impl Overview for Tools {
    fn list(&self, list: List, by: Instant) -> BoxFuture<'_, Result<Vec<Listed>, StateError>> {
        Box::pin(async move {
            let owners: BTreeSet<NodeId> =
                self.shards().iter().map(|(_, shard)| shard.owner).collect();
            let asked = owners.iter().map(|owner| self.list_at(*owner, list.clone(), by));
            let answers = join_all(asked).await.into_iter().collect::<Result<Vec<_>, _>>();
            let answers = answers.map_err(StateError::Unavailable)?;
            merge(answers, list.most)
        })
    }

    fn copies(&self, key: Arc<StateKey>, by: Instant) -> BoxFuture<'_, Vec<LocalCopy>> {
        Box::pin(async move {
            let members = self.consensus.members();
            let nodes = members.iter().map(|member| member.node);
            let asked = nodes.map(|node| self.copy_at(node, &key, by));
            join_all(asked).await.into_iter().flatten().collect()
        })
    }

    fn shards(&self) -> Vec<(ShardId, Arc<Shard>)> {
        self.consensus.shards().iter().map(|(id, shard)| (id, shard.clone())).collect()
    }

    fn locks(&self) -> Vec<LockState> {
        self.here.locks()
    }
}

/// One list of the lists of several owners. Each is cut at `most` and in order, so the first
/// `most` of all are among them.
fn merge(answers: Vec<(Vec<Listed>, u32)>, most: u32) -> Result<Vec<Listed>, StateError> {
    let shards: u32 = answers.iter().map(|(_, shards)| shards).sum();
    if shards < u32::from(SHARDS) {
        let why = format!("only {shards} of {SHARDS} shards are served at the moment");
        return Err(StateError::Unavailable(why));
    }
    let mut values: Vec<Listed> = answers.into_iter().flat_map(|(values, _)| values).collect();
    values.sort_by(|a, b| a.key.cmp(&b.key));
    // A shard that moved meanwhile may be told by two owners.
    values.dedup_by(|a, b| a.key == b.key);
    values.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::state::{Stat, Version};

    fn listed(key: &str) -> Listed {
        let version = Version { generation: 1, seq: 1 };
        let key = StateKey { user: "a".into(), key: key.into() };
        Listed { key, stat: Stat { version, len: 0, appended: 0, token: 0 } }
    }

    #[test]
    fn lists_of_owners_become_one_and_a_shard_that_is_missing_is_told() {
        let (one, two) = (vec![listed("a"), listed("d")], vec![listed("b"), listed("d")]);
        let all = merge(vec![(one.clone(), 100), (two, 28)], 10).unwrap();
        let keys: Vec<&str> = all.iter().map(|listed| listed.key.key.as_str()).collect();
        assert_eq!(keys, ["a", "b", "d"]);
        assert_eq!(merge(vec![(one.clone(), 128)], 1).unwrap(), [listed("a")]);
        let error = merge(vec![(one, 127)], 10).unwrap_err();
        assert!(error.to_string().contains("127 of 128"), "{error}");
    }
}
