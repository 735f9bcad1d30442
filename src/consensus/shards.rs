//! The part of the state that says which node owns which shard, and which hold copies. Pure and
//! deterministic.

use std::sync::Arc;

use super::machine::{Change, Machine};
use super::members::Members;
use crate::id::NodeId;
use crate::wire::Malformed;
use crate::wire::consensus::Response;
use crate::wire::shards::{COPIES, SHARDS, Shard, ShardChange, ShardCommand, ShardId, ShardStep};

/// All shards. Those that were not founded yet are nobody's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shards {
    /// One place per shard; empty before the first is founded.
    table: Vec<Option<Arc<Shard>>>,
}

/// What a change is judged by.
#[derive(Clone, Copy)]
pub struct Judge<'a> {
    /// Who belongs to the cluster.
    pub members: &'a Members,
    /// Whether a node has a live session.
    pub live: &'a dyn Fn(NodeId) -> bool,
    /// Who proposes.
    pub proposer: NodeId,
}

impl Shards {
    /// A shard, if it was founded.
    pub fn get(&self, id: ShardId) -> Option<&Arc<Shard>> {
        self.table.get(usize::from(id.0))?.as_ref()
    }

    /// All that were founded, in order.
    pub fn iter(&self) -> impl Iterator<Item = (ShardId, &Arc<Shard>)> {
        let numbered = (0..SHARDS).zip(&self.table);
        numbered.filter_map(|(id, shard)| Some((ShardId(id), shard.as_ref()?)))
    }

    /// Whether none was founded yet.
    pub fn is_empty(&self) -> bool {
        self.table.iter().all(Option::is_none)
    }

    /// The shards that differ from those of an older table.
    pub fn changed_since(&self, older: &Self) -> Vec<ShardId> {
        let differs = |id: &ShardId| self.get(*id) != older.get(*id);
        (0..SHARDS).map(ShardId).filter(differs).collect()
    }

    /// What a snapshot holds of it.
    pub(super) fn image(&self) -> Vec<(ShardId, Shard)> {
        self.iter().map(|(id, shard)| (id, Shard::clone(shard))).collect()
    }

    /// The table of which a snapshot holds this.
    pub(super) fn restore(image: Vec<(ShardId, Shard)>) -> Result<Self, Malformed> {
        let mut shards = Self::default();
        for (id, shard) in image {
            if id.0 >= SHARDS || !shard.in_sync.contains(&shard.owner) {
                let why = format!("{id} is none, or its owner is not in sync");
                return Err(Malformed { what: "snapshot of the state", why });
            }
            shards.put(id, shard);
        }
        Ok(shards)
    }

    fn put(&mut self, id: ShardId, shard: Shard) {
        self.table.resize(usize::from(SHARDS), None);
        if let Some(place) = self.table.get_mut(usize::from(id.0)) {
            *place = Some(Arc::new(shard));
        }
    }

    /// Makes one change, or says why not.
    pub fn change(&mut self, change: &ShardChange, judge: Judge<'_>) -> Result<(), String> {
        let id = change.shard;
        if id.0 >= SHARDS {
            return Err(format!("there is no {id}"));
        }
        let now = self.get(id).cloned();
        let revision = now.as_ref().map_or(0, |shard| shard.revision);
        if revision != change.was {
            return Err(format!("{id} has revision {revision}, not {}", change.was));
        }
        let after = match (now, &change.step) {
            (None, ShardStep::Found { targets }) => found(targets, judge)?,
            (None, _) => return Err(format!("{id} is nobody's yet")),
            (Some(_), ShardStep::Found { .. }) => return Err(format!("{id} was founded before")),
            (Some(shard), step) => {
                let mut shard = Shard::clone(&shard);
                step_of(&mut shard, step, judge).map_err(|why| format!("{id}: {why}"))?;
                shard.revision += 1;
                shard
            }
        };
        self.put(id, after);
        Ok(())
    }

    /// The shards of which a node has the only copy in sync.
    pub fn only_at(&self, node: NodeId) -> Vec<ShardId> {
        self.iter().filter(|(_, shard)| shard.in_sync == [node]).map(|(id, _)| id).collect()
    }

    /// Of how many shards a node has a copy in sync.
    pub fn kept_by(&self, node: NodeId) -> usize {
        self.iter().filter(|(_, shard)| shard.in_sync.contains(&node)).count()
    }

    /// A node is no member any more: it has no shard and no copy from now on. What it owned goes
    /// to a member in sync, one with a live session if there is one; of a shard of which it had
    /// the only copy nothing is left, and another member begins it anew.
    pub fn remove(&mut self, node: NodeId, judge: Judge<'_>) {
        let touched = |(_, shard): &(ShardId, &Arc<Shard>)| {
            shard.in_sync.contains(&node) || shard.targets.contains(&node)
        };
        let shards: Vec<_> =
            self.iter().filter(touched).map(|(id, s)| (id, Shard::clone(s))).collect();
        for (id, mut shard) in shards {
            shard.in_sync.retain(|member| *member != node);
            shard.targets.retain(|member| *member != node);
            let known = shard.in_sync.iter().chain(&shard.targets).copied();
            let mut heirs = known.chain(judge.members.all().keys().copied());
            let heir = if shard.in_sync.is_empty() {
                heirs.next()
            } else {
                let live = shard.in_sync.iter().find(|member| (judge.live)(**member));
                live.or(shard.in_sync.first()).copied()
            };
            // The last member is never removed.
            let Some(heir) = heir else { continue };
            if shard.in_sync.is_empty() {
                shard.in_sync.push(heir);
            }
            if shard.targets.is_empty() {
                shard.targets.push(heir);
            }
            if shard.owner == node {
                shard.owner = heir;
                shard.epoch += 1;
            }
            shard.revision += 1;
            self.put(id, shard);
        }
    }
}

fn found(targets: &[NodeId], judge: Judge<'_>) -> Result<Shard, String> {
    check_targets(targets, judge)?;
    let owner = *targets.first().ok_or("it has no targets")?;
    let (in_sync, targets) = (targets.to_vec(), targets.to_vec());
    Ok(Shard { epoch: 1, revision: 1, owner, in_sync, targets })
}

fn step_of(shard: &mut Shard, step: &ShardStep, judge: Judge<'_>) -> Result<(), String> {
    let by_owner = judge.proposer == shard.owner;
    match step {
        ShardStep::Found { .. } => return Err("it was founded before".into()),
        ShardStep::Aim { targets } => {
            check_targets(targets, judge)?;
            shard.targets.clone_from(targets);
        }
        ShardStep::Promote { owner } => {
            if *owner == shard.owner {
                return Err(format!("{owner} owns it already"));
            }
            if !shard.in_sync.contains(owner) {
                return Err(format!("{owner} is not in sync"));
            }
            if !by_owner && (judge.live)(shard.owner) {
                return Err(format!("the session of {}, which owns it, is live", shard.owner));
            }
            if !(judge.live)(*owner) {
                return Err(format!("{owner} has no live session"));
            }
            shard.owner = *owner;
            shard.epoch += 1;
        }
        ShardStep::Admit { node } => {
            if !by_owner {
                return Err(format!("only its owner, {}, lets copies in", shard.owner));
            }
            if !shard.targets.contains(node) {
                return Err(format!("{node} should have no copy"));
            }
            if shard.in_sync.contains(node) {
                return Err(format!("{node} is in sync already"));
            }
            if !(judge.live)(*node) {
                return Err(format!("{node} has no live session"));
            }
            shard.in_sync.push(*node);
        }
        ShardStep::Drop { node } => {
            if *node == shard.owner {
                return Err(format!("{node} owns it"));
            }
            if !shard.in_sync.contains(node) {
                return Err(format!("{node} is not in sync"));
            }
            if !by_owner && (judge.live)(*node) && shard.targets.contains(node) {
                return Err(format!("{node} lives, and should have a copy"));
            }
            if shard.in_sync.len() <= shard.quorum() {
                return Err(format!("without {node} fewer than {} are left", shard.quorum()));
            }
            shard.in_sync.retain(|member| member != node);
        }
    }
    Ok(())
}

fn check_targets(targets: &[NodeId], judge: Judge<'_>) -> Result<(), String> {
    if targets.is_empty() || targets.len() > COPIES {
        return Err(format!("a shard has 1 to {COPIES} copies"));
    }
    for (at, node) in targets.iter().enumerate() {
        if judge.members.get(*node).is_none() {
            return Err(format!("{node} is no member"));
        }
        if targets.iter().take(at).any(|other| other == node) {
            return Err(format!("{node} is named twice"));
        }
    }
    Ok(())
}

impl Machine {
    /// Which node owns which shard.
    pub fn shards(&self) -> &Arc<Shards> {
        &self.shards
    }

    pub(super) fn change_shards(
        &mut self,
        proposer: NodeId,
        command: &ShardCommand,
        changes: &mut Vec<Change>,
    ) -> Response {
        if command.changes.len() > usize::from(SHARDS) {
            return Response::Refused(format!("at most {SHARDS} shards are changed at once"));
        }
        let mut shards = Shards::clone(&self.shards);
        let live = |node| self.session(node).is_some();
        let judge = Judge { members: &self.members, live: &live, proposer };
        let mut refused = None;
        for change in &command.changes {
            if let Err(why) = shards.change(change, judge) {
                refused.get_or_insert(why);
            }
        }
        if shards != *self.shards {
            self.shards = Arc::new(shards);
            changes.push(Change::Shards(self.shards.clone()));
        }
        refused.map_or(Response::Done, Response::Refused)
    }

    /// Why a member may not be removed for what only it has, if so. One that is down for ever is
    /// not waited for.
    pub(super) fn shards_allow_removal(&self, node: NodeId) -> Result<(), String> {
        let only = self.shards.only_at(node).len();
        if only == 0 || self.members.all().len() < 2 || self.session(node).is_none() {
            return Ok(());
        }
        Err(format!(
            "{node} has the only copy in sync of {only} shards of the state: drain it, and wait \
             until others have them"
        ))
    }

    /// Takes nodes that are no members any more out of all shards.
    pub(super) fn forget_removed_owners(&mut self, changes: &mut Vec<Change>) {
        let mut shards = Shards::clone(&self.shards);
        let live = |node| self.session(node).is_some();
        let judge = Judge { members: &self.members, live: &live, proposer: NodeId(0) };
        let mut gone: Vec<NodeId> = shards
            .iter()
            .flat_map(|(_, shard)| shard.in_sync.iter().chain(&shard.targets).copied())
            .filter(|node| self.members.get(*node).is_none())
            .collect();
        gone.sort_unstable();
        gone.dedup();
        if gone.is_empty() {
            return;
        }
        gone.into_iter().for_each(|node| shards.remove(node, judge));
        self.shards = Arc::new(shards);
        changes.push(Change::Shards(self.shards.clone()));
    }
}

#[cfg(test)]
#[path = "shards_tests.rs"]
mod tests;
