//! Who should vote: from what the leader knows, the next change of the group. Pure.
//!
//! One or two nodes have one voter, three or four have three, more have five: the number is odd,
//! since an even one stands no more failures and needs one more node. Nodes that drain or were
//! removed are not counted; a voter among them gives way to a node that is well, and so does one
//! that is down for long. A group that can work is never changed into one that cannot, it becomes
//! no smaller than it should be while there is a choice, and nothing is changed without need.

use std::collections::BTreeMap;
use std::time::Duration;

use super::conf::Conf;
use crate::id::NodeId;

/// Most voters.
pub const MAX_VOTERS: usize = 5;

/// What the leader knows of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Whether it belongs to the cluster.
    pub member: bool,
    /// Whether it is to take nothing new.
    pub draining: bool,
    /// Whether it has a live session.
    pub live: bool,
    /// Whether it has (nearly) all that was committed.
    pub caught_up: bool,
    /// For how long it has no session.
    pub down: Duration,
    /// How often it was asked to lead, and did not.
    pub asked: u32,
}

impl Standing {
    fn stays(&self) -> bool {
        self.member && !self.draining
    }

    fn well(&self) -> bool {
        self.stays() && self.live && self.caught_up
    }
}

/// What is known of all members, and of all that are in the group.
pub type Standings = BTreeMap<NodeId, Standing>;

/// One change of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It votes.
    Voter(NodeId),
    /// It follows.
    Learner(NodeId),
    /// It leaves the group.
    Remove(NodeId),
}

/// What the leader does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// All is as it should be.
    Rest,
    /// Something should be changed, and cannot be now: why.
    Wait(String),
    /// Make these changes, all at once.
    Change(Vec<Change>),
    /// Let this node lead.
    HandOver(NodeId),
}

/// How many should vote among so many nodes.
pub fn wanted(nodes: usize) -> usize {
    match nodes {
        0 => 0,
        1 | 2 => 1,
        3 | 4 => 3,
        _ => MAX_VOTERS,
    }
}

/// The next step of the leader `me`; a voter is given up when it was down for `patience`.
pub fn next(me: NodeId, conf: &Conf, nodes: &Standings, patience: Duration) -> Plan {
    let unknown = nodes.iter().find(|(id, node)| node.member && !conf.contains(**id));
    if let Some((id, _)) = unknown {
        return Plan::Change(vec![Change::Learner(*id)]);
    }
    let voters = desired(me, conf, nodes, patience);
    if voters.is_empty() || same(&voters, conf.voters()) {
        return match conf.learners().iter().find(|id| !at(nodes, **id).member) {
            Some(gone) => Plan::Change(vec![Change::Remove(*gone)]),
            None => Plan::Rest,
        };
    }
    if let Err(why) = works(&voters, nodes) {
        return Plan::Wait(why);
    }
    if !voters.contains(&me) {
        return yield_to(me, conf, nodes, &voters);
    }
    Plan::Change(changes(conf, nodes, &voters))
}

/// Whether a removal can be carried out; why not, for people. Of those that are live it is
/// believed that they are caught up.
pub fn removable(node: NodeId, conf: &Conf, nodes: &Standings) -> Result<(), String> {
    if !conf.votes(node) {
        return Ok(());
    }
    works(conf.voters(), nodes).map_err(|why| format!("{node} cannot be removed now: {why}"))?;
    let mut after = nodes.clone();
    after.insert(node, Standing { member: false, ..at(nodes, node) });
    let voters = desired(node, conf, &after, Duration::MAX);
    works(&voters, &after).map_err(|why| format!("{node} cannot be removed now: {why}"))
}

/// To whom a leader that stops, or is to vote no more, hands over: a voter that stays, and that
/// has everything. One that was asked before may be dead, and not known to be.
pub fn successor(me: NodeId, conf: &Conf, nodes: &Standings) -> Option<NodeId> {
    let others = conf.voters().iter().copied().filter(|id| *id != me && at(nodes, *id).well());
    others.min_by_key(|id| (at(nodes, *id).asked, *id))
}

fn at(nodes: &Standings, id: NodeId) -> Standing {
    nodes.get(&id).copied().unwrap_or_default()
}

fn same(a: &[NodeId], b: &[NodeId]) -> bool {
    a.len() == b.len() && a.iter().all(|id| b.contains(id))
}

/// Who should vote: the voters that are well, then those that could take a place, then voters
/// that are gone for long or that leave, and that nobody can stand in for.
fn desired(me: NodeId, conf: &Conf, nodes: &Standings, patience: Duration) -> Vec<NodeId> {
    let staying = nodes.iter().filter(|(_, node)| node.stays());
    let wanted = wanted(staying.clone().count());
    let mut kept: Vec<NodeId> =
        conf.voters().iter().copied().filter(|id| at(nodes, *id).stays()).collect();
    kept.sort_by_key(|id| (*id != me, !at(nodes, *id).live, *id));
    let (old, lost): (Vec<NodeId>, Vec<NodeId>) =
        kept.into_iter().partition(|id| at(nodes, *id).live || at(nodes, *id).down < patience);
    let spare = staying.clone().filter(|(id, node)| node.well() && !conf.voters().contains(id));
    let spare = spare.map(|(id, _)| *id);
    let coming = staying.clone().any(|(_, node)| node.live && !node.caught_up);
    let leaving = leaving(me, conf, nodes, patience, coming);
    let voters = old.into_iter().chain(spare).chain(lost).chain(leaving);
    let mut voters: Vec<NodeId> = voters.take(wanted).collect();
    // It grows by two, or not yet.
    if voters.len() > conf.voters().len() && voters.len().is_multiple_of(2) {
        let new = |id: &NodeId| !conf.voters().contains(id);
        if let Some(last) = voters.iter().rposition(new) {
            voters.remove(last);
        }
    }
    voters.sort_unstable();
    voters
}

/// Voters that leave and keep their place for now, if nobody can take it: those that drain while
/// they run, and those that were removed while somebody is `coming`. Without them the group would
/// stand one failure less, and it may have one that is not known yet.
fn leaving(
    me: NodeId,
    conf: &Conf,
    nodes: &Standings,
    patience: Duration,
    coming: bool,
) -> Vec<NodeId> {
    let stays = |id: &NodeId| {
        let node = at(nodes, *id);
        !node.stays() && (node.live || node.down < patience) && (node.member || coming)
    };
    let mut leaving: Vec<NodeId> = conf.voters().iter().copied().filter(stays).collect();
    leaving.sort_by_key(|id| (*id != me, !at(nodes, *id).live, *id));
    leaving
}

/// Whether a group of these voters could agree on anything.
fn works(voters: &[NodeId], nodes: &Standings) -> Result<(), String> {
    if Conf::new(voters.to_vec(), Vec::new()).quorum(|id| at(nodes, id).live) {
        return Ok(());
    }
    let down = voters.iter().filter(|id| !at(nodes, **id).live).map(NodeId::to_string);
    let down: Vec<String> = down.collect();
    Err(format!(
        "too few of the voters would be left: {} of {} are down ({}); start them, or remove them \
         first",
        down.len(),
        voters.len(),
        down.join(", ")
    ))
}

/// The leader is not to vote any more. Another voter leads first; if there is none that could, one
/// becomes a voter beside it.
fn yield_to(me: NodeId, conf: &Conf, nodes: &Standings, voters: &[NodeId]) -> Plan {
    if let Some(successor) = successor(me, conf, nodes) {
        return Plan::HandOver(successor);
    }
    let mut both = voters.to_vec();
    both.push(me);
    let changes: Vec<Change> = changes(conf, nodes, &both)
        .into_iter()
        .filter(|change| matches!(change, Change::Voter(_)))
        .collect();
    if changes.is_empty() {
        return Plan::Wait(format!("no voter has caught up to lead instead of {me}"));
    }
    Plan::Change(changes)
}

fn changes(conf: &Conf, nodes: &Standings, voters: &[NodeId]) -> Vec<Change> {
    let new = voters.iter().filter(|id| !conf.voters().contains(id)).map(|id| Change::Voter(*id));
    let old =
        conf.voters().iter().filter(|id| !voters.contains(id)).map(|id| {
            if at(nodes, *id).member { Change::Learner(*id) } else { Change::Remove(*id) }
        });
    new.chain(old).collect()
}

#[cfg(test)]
#[path = "voters_tests.rs"]
mod tests;
