//! Who votes and who follows, as one value. It belongs to the state: each node holds the one of
//! the index that it has applied, and snapshots carry it.

use raft::eraftpb::ConfState;
use rkyv::{Archive, Deserialize, Serialize};

use crate::config::ClusterConfig;
use crate::id::NodeId;

/// The configuration of the Raft group.
#[derive(Archive, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
pub struct Conf {
    voters: Vec<NodeId>,
    learners: Vec<NodeId>,
    /// The voters before, while a change is under way: majorities of both must agree.
    outgoing: Vec<NodeId>,
    /// Voters before that follow once the change is over.
    learners_next: Vec<NodeId>,
    auto_leave: bool,
}

impl Conf {
    /// These vote, and these follow.
    pub fn new(voters: Vec<NodeId>, learners: Vec<NodeId>) -> Self {
        Self { voters, learners, ..Self::default() }
    }

    /// The nodes of a configuration file.
    pub fn of(cluster: &ClusterConfig) -> Self {
        let voters = cluster.voters();
        let nodes = cluster.nodes.iter().map(|node| NodeId(node.id));
        let learners = nodes.filter(|node| !voters.contains(node)).collect();
        Self::new(voters, learners)
    }

    /// The voters; while a change is under way, those that will vote.
    pub fn voters(&self) -> &[NodeId] {
        &self.voters
    }

    /// The voters before, while a change is under way.
    pub fn outgoing(&self) -> &[NodeId] {
        &self.outgoing
    }

    /// Those that follow only.
    pub fn learners(&self) -> &[NodeId] {
        &self.learners
    }

    /// Whether a change is under way.
    pub fn joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether a node's vote counts, also in the configuration before.
    pub fn votes(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.outgoing.contains(&node)
    }

    /// Whether a node is in it.
    pub fn contains(&self, node: NodeId) -> bool {
        self.votes(node) || self.learners.contains(&node) || self.learners_next.contains(&node)
    }

    /// All nodes that are in it.
    pub fn all(&self) -> impl Iterator<Item = NodeId> {
        let mut all: Vec<NodeId> =
            [&self.voters[..], &self.outgoing, &self.learners, &self.learners_next].concat();
        all.sort_unstable();
        all.dedup();
        all.into_iter()
    }

    /// Whether nobody is in it: a node that never heard from the group.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether these are a majority, of the voters before too if a change is under way.
    pub fn quorum(&self, has: impl Fn(NodeId) -> bool) -> bool {
        let most = |of: &[NodeId]| 2 * of.iter().filter(|node| has(**node)).count() > of.len();
        most(&self.voters) && (!self.joint() || most(&self.outgoing))
    }
}

impl From<&ConfState> for Conf {
    fn from(state: &ConfState) -> Self {
        Self {
            voters: nodes(state.get_voters()),
            learners: nodes(state.get_learners()),
            outgoing: nodes(state.get_voters_outgoing()),
            learners_next: nodes(state.get_learners_next()),
            auto_leave: state.auto_leave,
        }
    }
}

impl From<&Conf> for ConfState {
    fn from(conf: &Conf) -> Self {
        let mut state = Self::default();
        state.set_voters(ids(&conf.voters));
        state.set_learners(ids(&conf.learners));
        state.set_voters_outgoing(ids(&conf.outgoing));
        state.set_learners_next(ids(&conf.learners_next));
        state.auto_leave = conf.auto_leave;
        state
    }
}

/// In order: raft-rs keeps them in sets, and equal states are to be equal here.
fn nodes(ids: &[u64]) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = ids.iter().copied().map(NodeId).collect();
    nodes.sort_unstable();
    nodes
}

fn ids(nodes: &[NodeId]) -> Vec<u64> {
    nodes.iter().map(|node| node.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[u64]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn it_survives_the_way_through_raft() {
        let mut conf = Conf::new(nodes(&[1, 2, 4]), nodes(&[5]));
        conf.outgoing = nodes(&[1, 2, 3]);
        conf.learners_next = nodes(&[3]);
        conf.auto_leave = true;
        assert_eq!(Conf::from(&ConfState::from(&conf)), conf);
        assert_eq!(conf.all().collect::<Vec<_>>(), nodes(&[1, 2, 3, 4, 5]));
        assert!(conf.joint() && conf.votes(NodeId(3)) && !conf.votes(NodeId(5)));
    }

    #[test]
    fn while_it_changes_majorities_of_both_are_needed() {
        let mut conf = Conf::new(nodes(&[3, 4, 5]), vec![]);
        conf.outgoing = nodes(&[1, 2, 3]);
        let quorum = |ids: &[u64]| conf.quorum(|node| ids.contains(&node.0));
        assert!(quorum(&[2, 3, 4]) && !quorum(&[3, 4, 5]) && !quorum(&[1, 2, 3]));
    }
}
