//! Shards of the state: which node owns which, and which hold copies.
// rkyv's derive makes fields of its own for the variants below, without a word on them.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::id::NodeId;

/// How many shards a cluster has. Fixed for ever: keys are placed by it.
pub const SHARDS: u16 = 128;
/// How many copies a shard has, where there are as many nodes.
pub const COPIES: usize = 3;
/// Longest key, in bytes.
pub const MAX_KEY: usize = 512;

/// A value's name.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StateKey {
    /// Whose.
    pub user: String,
    /// 1 to [`MAX_KEY`] bytes, none of them NUL.
    pub key: String,
}

impl StateKey {
    /// The shard that it belongs to.
    pub fn shard(&self) -> ShardId {
        // A user's name holds no slash, so no two keys give the same text.
        let text = format!("{}/{}", self.user, self.key);
        ShardId((xxh3_64(text.as_bytes()) % u64::from(SHARDS)) as u16)
    }

    /// Whether the key may be used.
    pub fn is_valid(&self) -> bool {
        (1..=MAX_KEY).contains(&self.key.len()) && !self.key.contains('\0')
    }
}

impl std::fmt::Display for StateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.user, self.key)
    }
}

/// One of [`SHARDS`].
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug,
)]
pub struct ShardId(pub u16);

impl std::fmt::Display for ShardId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "shard {}", self.0)
    }
}

/// Who holds a shard, as all nodes agree.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Shard {
    /// Grows by one with every new owner, from 1.
    pub epoch: u64,
    /// Grows with every change of any of this; a change names the one it was made from.
    pub revision: u64,
    /// Who serves it. Always in the in-sync set.
    pub owner: NodeId,
    /// Who has every acknowledged write. Changed by Raft only.
    pub in_sync: Vec<NodeId>,
    /// Who should have a copy; the first should own it.
    pub targets: Vec<NodeId>,
}

impl Shard {
    /// Fewest members of the in-sync set with which a write is acknowledged: a majority of the
    /// copies that there should be.
    pub fn quorum(&self) -> usize {
        self.targets.len() / 2 + 1
    }
}

/// A change of one shard, made from the state with this revision; refused from any other.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct ShardChange {
    /// Which.
    pub shard: ShardId,
    /// The revision that it was made from; 0 when the shard was nobody's yet.
    pub was: u64,
    /// What is to be done.
    pub step: ShardStep,
}

/// What happens to a shard.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum ShardStep {
    /// It is made, empty, on these nodes; the first owns it. All of them are in sync.
    Found { targets: Vec<NodeId> },
    /// Others should have it, or another should own it.
    Aim { targets: Vec<NodeId> },
    /// This member of the in-sync set owns it from now on; the epoch grows. By the leader after
    /// the owner's session ended, or by the owner itself, which hands over.
    Promote { owner: NodeId },
    /// A copy has caught up and is in the set from now on. By the owner only.
    Admit { node: NodeId },
    /// A member leaves the set: its session ended, its disk failed, or it is no target any more.
    /// Refused for the owner, and when fewer than the quorum would be left.
    Drop { node: NodeId },
}

/// Changes of shards; each is made or refused on its own.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct ShardCommand {
    /// Most: [`SHARDS`].
    pub changes: Vec<ShardChange>,
}
