//! Which node should own which shard: from the table and what the leader knows of the nodes, the
//! next changes. Pure.
//!
//! A copy stays where it is while its node stays and has no more than its share; what is free goes
//! where rendezvous hashing says. So a node that comes takes its share and nothing else moves, and
//! what a node leaves behind is spread over the others.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::shards::Shards;
use crate::id::NodeId;
use crate::wire::shards::{COPIES, SHARDS, Shard, ShardChange, ShardCommand, ShardId, ShardStep};

/// What the leader knows of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Whether it has a live session.
    pub live: bool,
    /// Whether it is to take nothing new.
    pub draining: bool,
    /// For how long it has no session.
    pub down: Duration,
}

/// All members.
pub type Nodes = BTreeMap<NodeId, Health>;

/// The changes to make now; `None` when all is as it should be. A node that is down for `patience`
/// gives its copies to others. Shards are founded only when `found` says so.
pub fn next(
    shards: &Shards,
    nodes: &Nodes,
    patience: Duration,
    found: bool,
) -> Option<ShardCommand> {
    let targets = aim(shards, nodes, patience);
    let mut urgent = Vec::new();
    let mut others = Vec::new();
    for (id, targets) in targets {
        match shards.get(id) {
            None if found => {
                let live = |node: &NodeId| nodes.get(node).is_some_and(|node| node.live);
                let targets: Vec<_> = targets.into_iter().filter(live).collect();
                if !targets.is_empty() {
                    let step = ShardStep::Found { targets };
                    others.push(ShardChange { shard: id, was: 0, step });
                }
            }
            None => {}
            Some(shard) => {
                let steps = steps(shard, &targets, nodes);
                let promotes = matches!(steps.first(), Some(ShardStep::Promote { .. }));
                let list = if promotes { &mut urgent } else { &mut others };
                let numbered = (shard.revision..).zip(steps);
                list.extend(numbered.map(|(was, step)| ShardChange { shard: id, was, step }));
            }
        }
    }
    urgent.append(&mut others);
    urgent.truncate(usize::from(SHARDS));
    (!urgent.is_empty()).then_some(ShardCommand { changes: urgent })
}

/// What is to be done with one shard, in order: each step is made from what the one before left.
fn steps(shard: &Shard, targets: &[NodeId], nodes: &Nodes) -> Vec<ShardStep> {
    let live = |node: &NodeId| nodes.get(node).is_some_and(|node| node.live);
    let mut shard = shard.clone();
    let mut steps = Vec::new();
    if !live(&shard.owner) {
        let heirs = shard.targets.iter().filter(|node| shard.in_sync.contains(node));
        let heir = heirs.chain(&shard.in_sync).find(|node| live(node)).copied();
        // Without an heir all waits for one of the set to come back.
        if let Some(owner) = heir {
            steps.push(ShardStep::Promote { owner });
            shard.owner = owner;
        }
    }
    if shard.targets != targets {
        steps.push(ShardStep::Aim { targets: targets.to_vec() });
        shard.targets = targets.to_vec();
    }
    let complete = targets.iter().all(|node| shard.in_sync.contains(node));
    for node in shard.in_sync.clone() {
        let surplus = complete && !targets.contains(&node);
        let drops = node != shard.owner && (surplus || !live(&node));
        if drops && shard.in_sync.len() > shard.quorum() {
            steps.push(ShardStep::Drop { node });
            shard.in_sync.retain(|member| *member != node);
        }
    }
    steps
}

/// Who should have each shard; the first should own it.
pub fn aim(shards: &Shards, nodes: &Nodes, patience: Duration) -> BTreeMap<ShardId, Vec<NodeId>> {
    let (candidates, copies) = candidates(nodes, patience);
    let mut plan = Plan::new(shards, &candidates, copies);
    plan.fill(&candidates, copies);
    plan.level_copies(&candidates, copies);
    plan.level_owners(&candidates);
    plan.targets
}

/// The nodes that should have copies, and how many copies there should be of a shard.
fn candidates(nodes: &Nodes, patience: Duration) -> (Vec<NodeId>, usize) {
    let pick = |which: &dyn Fn(&Health) -> bool| -> Vec<NodeId> {
        nodes.iter().filter(|(_, node)| which(node)).map(|(id, _)| *id).collect()
    };
    let mut stay = pick(&|node| !node.draining);
    if stay.is_empty() {
        stay = pick(&|_| true);
    }
    let copies = COPIES.min(stay.len());
    let well = pick(&|node| !node.draining && (node.live || node.down < patience));
    // With fewer nodes than copies a copy waits for a node that is down: fewer copies would be
    // fewer failures that an acknowledged write survives.
    if well.len() >= copies && !well.is_empty() { (well, copies) } else { (stay, copies) }
}

/// How much a shard is drawn to a node.
fn weight(shard: ShardId, node: NodeId) -> u64 {
    let mut text = [0; 10];
    let (first, rest) = text.split_at_mut(2);
    first.copy_from_slice(&shard.0.to_le_bytes());
    rest.copy_from_slice(&node.0.to_le_bytes());
    xxh3_64(&text)
}

struct Plan {
    targets: BTreeMap<ShardId, Vec<NodeId>>,
    in_sync: BTreeMap<ShardId, Vec<NodeId>>,
}

impl Plan {
    /// What is kept of the targets that there are.
    fn new(shards: &Shards, candidates: &[NodeId], copies: usize) -> Self {
        let (mut targets, mut in_sync) = (BTreeMap::new(), BTreeMap::new());
        for id in (0..SHARDS).map(ShardId) {
            let shard = shards.get(id);
            let kept = shard.map(|shard| shard.targets.clone()).unwrap_or_default();
            let mut kept: Vec<_> = kept.into_iter().filter(|n| candidates.contains(n)).collect();
            kept.truncate(copies);
            targets.insert(id, kept);
            in_sync.insert(id, shard.map(|shard| shard.in_sync.clone()).unwrap_or_default());
        }
        Self { targets, in_sync }
    }

    fn loads(&self, candidates: &[NodeId]) -> BTreeMap<NodeId, usize> {
        let mut loads: BTreeMap<_, _> = candidates.iter().map(|node| (*node, 0)).collect();
        for node in self.targets.values().flatten() {
            *loads.entry(*node).or_default() += 1;
        }
        loads
    }

    /// Finds places for the copies that have none.
    fn fill(&mut self, candidates: &[NodeId], copies: usize) {
        let mut loads = self.loads(candidates);
        let most = share(usize::from(SHARDS) * copies, candidates.len());
        for (id, nodes) in &mut self.targets {
            while nodes.len() < copies {
                let load = |node: &NodeId| loads.get(node).copied().unwrap_or(0);
                let free = candidates.iter().filter(|node| !nodes.contains(node));
                let best = free.max_by_key(|node| {
                    let over = load(node).saturating_sub(most - 1);
                    (std::cmp::Reverse(over), weight(*id, **node))
                });
                let Some(best) = best.copied() else { break };
                nodes.push(best);
                *loads.entry(best).or_default() += 1;
            }
        }
    }

    /// Moves copies from nodes that have more than their share to those that have least.
    fn level_copies(&mut self, candidates: &[NodeId], copies: usize) {
        let most = share(usize::from(SHARDS) * copies, candidates.len());
        loop {
            let loads = self.loads(candidates);
            let over = loads.iter().find(|(_, load)| **load > most).map(|(node, _)| *node);
            let least = loads.iter().min_by_key(|(_, load)| **load);
            let (Some(from), Some(to)) = (over, least.map(|(node, _)| *node)) else { return };
            let moves = |(_, nodes): &(&ShardId, &mut Vec<NodeId>)| {
                nodes.contains(&from) && !nodes.contains(&to)
            };
            let in_sync = &self.in_sync;
            // What is still on its way is moved first: it costs least.
            let cost = |id: ShardId| in_sync.get(&id).is_some_and(|set| set.contains(&from));
            let best = self
                .targets
                .iter_mut()
                .filter(moves)
                .min_by_key(|(id, _)| (cost(**id), std::cmp::Reverse(weight(**id, to))));
            let Some((_, nodes)) = best else { return };
            nodes.iter_mut().filter(|node| **node == from).for_each(|node| *node = to);
        }
    }

    /// Changes the order of targets until no node is the first of more than its share. A chain of
    /// changes is needed when a node shares no shard with one that has room.
    fn level_owners(&mut self, candidates: &[NodeId]) {
        let most = share(usize::from(SHARDS), candidates.len());
        loop {
            let mut loads: BTreeMap<NodeId, usize> = candidates.iter().map(|n| (*n, 0)).collect();
            for owner in self.targets.values().filter_map(|nodes| nodes.first()) {
                *loads.entry(*owner).or_default() += 1;
            }
            let Some(from) = loads.iter().find(|(_, load)| **load > most).map(|(n, _)| *n) else {
                return;
            };
            let Some(chain) = self.chain(from, |node| loads.get(&node).is_some_and(|l| *l < most))
            else {
                return;
            };
            for (id, to) in chain {
                if let Some(nodes) = self.targets.get_mut(&id) {
                    nodes.sort_by_key(|node| *node != to);
                }
            }
        }
    }

    /// The shortest chain of shards from a node to one that has room: each goes from its first
    /// target to another one.
    fn chain(
        &self,
        from: NodeId,
        has_room: impl Fn(NodeId) -> bool,
    ) -> Option<Vec<(ShardId, NodeId)>> {
        let mut came: BTreeMap<NodeId, (ShardId, NodeId)> = BTreeMap::new();
        let mut next = VecDeque::from([from]);
        while let Some(node) = next.pop_front() {
            if node != from && has_room(node) {
                let mut chain = Vec::new();
                let mut at = node;
                while let Some((shard, before)) = came.get(&at).filter(|_| at != from) {
                    chain.push((*shard, at));
                    at = *before;
                }
                return Some(chain);
            }
            let owned = self.targets.iter().filter(|(_, nodes)| nodes.first() == Some(&node));
            for (id, nodes) in owned {
                for other in nodes.iter().skip(1) {
                    if *other != from && !came.contains_key(other) {
                        came.insert(*other, (*id, node));
                        next.push_back(*other);
                    }
                }
            }
        }
        None
    }
}

/// The most that one of so many may have of so much.
fn share(much: usize, many: usize) -> usize {
    much.div_ceil(many.max(1)).max(1)
}

#[cfg(test)]
#[path = "shard_plan_tests.rs"]
mod tests;
