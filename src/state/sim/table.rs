//! The made-up Raft: one log of tables and sessions, that nodes learn of when they reach it.
//! Sessions expire 10 % later than nodes believe, and a promotion by the leader is refused while
//! the owner has a session.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::NodeId;
use crate::wire::shards::{COPIES, Shard, ShardChange, ShardId, ShardStep};

/// A session, by the node's clock, in microseconds.
pub const LEASE: u64 = 3_000_000;

/// An entry of its log.
#[derive(Debug, Clone)]
pub enum Entry {
    Shard(ShardId, Shard),
    /// A node has a session, of this life.
    Opened(NodeId, u64),
    /// It has none.
    Ended(NodeId),
}

/// See the top.
#[derive(Debug, Default)]
pub struct Table {
    pub log: Vec<Entry>,
    pub shards: BTreeMap<ShardId, Shard>,
    /// Life of the node, and when it ends.
    pub sessions: BTreeMap<NodeId, (u64, u64)>,
    /// Who should hold shards.
    pub members: BTreeSet<NodeId>,
}

impl Table {
    /// Shards on some of the first members.
    pub fn found(members: BTreeSet<NodeId>, shards: u16) -> Self {
        let mut table = Self { members, ..Self::default() };
        for shard in (0..shards).map(ShardId) {
            let targets = table.aim(shard);
            let Some(owner) = targets.first().copied() else { continue };
            let (in_sync, epoch, revision) = (targets.clone(), 1, 1);
            table.put(shard, Shard { epoch, revision, owner, in_sync, targets });
        }
        table
    }

    fn put(&mut self, id: ShardId, shard: Shard) {
        self.log.push(Entry::Shard(id, shard.clone()));
        self.shards.insert(id, shard);
    }

    fn aim(&self, shard: ShardId) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = self.members.iter().copied().collect();
        nodes.sort_by_key(|node| {
            xxhash_rust::xxh3::xxh3_64(&[u64::from(shard.0), node.0].map(u64::to_le_bytes).concat())
        });
        nodes.truncate(COPIES);
        nodes
    }

    /// A renewal arrived.
    pub fn renewed(&mut self, node: NodeId, life: u64, now: u64) -> bool {
        if self.sessions.get(&node).is_some_and(|(newest, _)| *newest > life) {
            return false;
        }
        let before = self.sessions.insert(node, (life, now + LEASE * 11 / 10));
        if before.is_none_or(|(old, _)| old != life) {
            self.log.push(Entry::Opened(node, life));
        }
        true
    }

    /// Ends sessions.
    pub fn expire(&mut self, now: u64) {
        let over: Vec<NodeId> =
            self.sessions.iter().filter(|(_, (_, until))| *until <= now).map(|(n, _)| *n).collect();
        for node in over {
            self.sessions.remove(&node);
            self.log.push(Entry::Ended(node));
        }
    }

    /// What the leader would change of a shard.
    pub fn plan(&self, id: ShardId) -> Option<ShardChange> {
        let shard = self.shards.get(&id)?;
        let lives = |node: &NodeId| self.sessions.contains_key(node);
        let targets = self.aim(id);
        let step = if targets != shard.targets {
            ShardStep::Aim { targets }
        } else if !lives(&shard.owner) {
            let best = targets.iter().chain(&shard.in_sync);
            let owner = *best.into_iter().find(|n| shard.in_sync.contains(n) && lives(n))?;
            ShardStep::Promote { owner }
        } else {
            let whole = targets.iter().all(|node| shard.in_sync.contains(node));
            let mut others = shard.in_sync.iter().filter(|node| **node != shard.owner);
            let node = *others.find(|n| !lives(n) || (whole && !targets.contains(n)))?;
            ShardStep::Drop { node }
        };
        Some(ShardChange { shard: id, was: shard.revision, step })
    }

    /// Makes a change, proposed by this owner or by the leader, or refuses it.
    pub fn change(&mut self, change: &ShardChange, by: Option<NodeId>) -> bool {
        let Some(mut shard) = self.shards.get(&change.shard).cloned() else { return false };
        let of_owner = by == Some(shard.owner);
        let lives = |node: &NodeId| self.sessions.contains_key(node);
        let fine = shard.revision == change.was
            && match &change.step {
                ShardStep::Found { .. } => false,
                ShardStep::Aim { .. } => by.is_none(),
                ShardStep::Promote { owner } => {
                    shard.in_sync.contains(owner)
                        && lives(owner)
                        && (of_owner || (by.is_none() && !lives(&shard.owner)))
                }
                ShardStep::Admit { node } => {
                    of_owner && shard.targets.contains(node) && !shard.in_sync.contains(node)
                }
                ShardStep::Drop { node } => {
                    (of_owner || by.is_none())
                        && *node != shard.owner
                        && shard.in_sync.contains(node)
                        && shard.in_sync.len() > shard.quorum()
                }
            };
        if !fine {
            return false;
        }
        shard.revision += 1;
        match &change.step {
            ShardStep::Found { .. } => {}
            ShardStep::Aim { targets } => shard.targets = targets.clone(),
            ShardStep::Promote { owner } => {
                (shard.owner, shard.epoch) = (*owner, shard.epoch + 1);
            }
            ShardStep::Admit { node } => shard.in_sync.push(*node),
            ShardStep::Drop { node } => shard.in_sync.retain(|member| member != node),
        }
        self.put(change.shard, shard);
        true
    }
}
