//! The JSON about values, locks and shards, as types. Fields are only ever added.

use serde::{Deserialize, Serialize};

use super::conditions::etag;
use crate::consensus::locks;
use crate::id::NodeId;
use crate::state::overview::LocalCopy;
use crate::wire::locks::Mode;
use crate::wire::shards::{Shard, ShardId, StateKey};
use crate::wire::state::{Listed, Stat, Version, Written};

/// A value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueView {
    /// Whose.
    pub user: String,
    /// Its name below the user.
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// The version, as in the header `ETag`.
    pub etag: String,
}

impl ValueView {
    /// After a write.
    pub fn written(key: &StateKey, written: &Written) -> Self {
        Self::new(key, written.len, written.version)
    }

    /// In a list.
    pub fn listed(listed: &Listed) -> Self {
        Self::new(&listed.key, listed.stat.len, listed.stat.version)
    }

    fn new(key: &StateKey, size: u64, version: Version) -> Self {
        Self { user: key.user.clone(), key: key.key.clone(), size, etag: etag(version) }
    }
}

/// Some values of one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValuesView {
    /// In order of their keys.
    pub values: Vec<ValueView>,
    /// There may be more behind this key: ask with `?after=`.
    pub next: Option<String>,
}

/// All about one value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InfoView {
    /// Whose.
    pub user: String,
    /// Its name below the user.
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// The version, as in the header `ETag`.
    pub etag: String,
    /// Differs for each creation of the key.
    pub generation: u64,
    /// Grows with each change.
    pub seq: u64,
    /// Elements appended since the last clear.
    pub appended: u64,
    /// The shard that it is on; none before the shards are founded.
    pub shard: Option<ShardView>,
    /// Copies in the memory of nodes.
    pub copies: Vec<CopyView>,
    /// Its global lock, if it is held.
    pub lock: Option<LockView>,
}

impl InfoView {
    /// Of a value that is there.
    pub fn new(
        key: &StateKey,
        stat: &Stat,
        shard: Option<ShardView>,
        copies: &[LocalCopy],
        lock: Option<&locks::LockView>,
    ) -> Self {
        Self {
            user: key.user.clone(),
            key: key.key.clone(),
            size: stat.len,
            etag: etag(stat.version),
            generation: stat.version.generation,
            seq: stat.version.seq,
            appended: stat.appended,
            shard,
            copies: copies.iter().map(CopyView::from).collect(),
            lock: lock.map(LockView::from),
        }
    }
}

/// A node's copy of a value in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyView {
    /// Where.
    pub node: String,
    /// Bytes in memory.
    pub bytes: u64,
    /// Whether a running function has it mapped.
    pub mapped: bool,
}

impl From<&LocalCopy> for CopyView {
    fn from(copy: &LocalCopy) -> Self {
        Self { node: copy.node.to_string(), bytes: copy.bytes, mapped: copy.mapped }
    }
}

/// A shard of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardView {
    /// Its number.
    pub shard: u16,
    /// Grows by one with every new owner.
    pub epoch: u64,
    /// Who serves it.
    pub owner: String,
    /// Who has every acknowledged write.
    pub in_sync: Vec<String>,
    /// Who should have a copy; the first should own it.
    pub targets: Vec<String>,
}

impl ShardView {
    /// Of an entry of the table.
    pub fn new(id: ShardId, shard: &Shard) -> Self {
        let names = |nodes: &[NodeId]| nodes.iter().map(NodeId::to_string).collect();
        Self {
            shard: id.0,
            epoch: shard.epoch,
            owner: shard.owner.to_string(),
            in_sync: names(&shard.in_sync),
            targets: names(&shard.targets),
        }
    }
}

/// All shards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardsView {
    /// In order; empty until they are founded.
    pub shards: Vec<ShardView>,
}

/// A global lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockView {
    /// Whose value it is on.
    pub user: String,
    /// The value's name below the user.
    pub key: String,
    /// `read` or `write`.
    pub mode: String,
    /// Who has it.
    pub holders: Vec<HolderView>,
    /// Who stands in line, the first one first.
    pub waiters: Vec<WaiterView>,
}

/// A call that has a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderView {
    /// Which.
    pub call: String,
    /// The node that runs it.
    pub node: String,
    /// The grant's fencing token.
    pub token: u64,
}

/// A call that waits for a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaiterView {
    /// Which.
    pub call: String,
    /// The node that runs it.
    pub node: String,
    /// `read` or `write`.
    pub mode: String,
}

impl From<&locks::LockView> for LockView {
    fn from(lock: &locks::LockView) -> Self {
        let holders = lock.holders.iter().map(|(holder, token)| HolderView {
            call: holder.call.to_string(),
            node: holder.session.node.to_string(),
            token: *token,
        });
        let waiters = lock.waiters.iter().map(|(holder, mode)| WaiterView {
            call: holder.call.to_string(),
            node: holder.session.node.to_string(),
            mode: mode_name(*mode).to_owned(),
        });
        Self {
            user: lock.key.user.clone(),
            key: lock.key.key.clone(),
            mode: mode_name(lock.mode).to_owned(),
            holders: holders.collect(),
            waiters: waiters.collect(),
        }
    }
}

/// Global locks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocksView {
    /// In order of their keys.
    pub locks: Vec<LockView>,
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Read => "read",
        Mode::Write => "write",
    }
}
