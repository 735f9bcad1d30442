//! Changing the group that a member leads.

use raft::eraftpb::{
    ConfChangeSingle, ConfChangeType, ConfChangeV2, Message as RaftMessage, MessageType,
};
use raft::{Progress, ProgressState};

use super::log::Disk;
use super::raft_node::RaftNode;
use super::voters::Change;
use crate::id::NodeId;

/// Entries that a follower may be behind and still counts as caught up: some are always on the
/// way to it.
const NEAR: u64 = 256;

impl<D: Disk> RaftNode<D> {
    /// The members that have (nearly) all that was committed, as the leader knows.
    pub fn caught_up(&self) -> Vec<NodeId> {
        let (me, commit) = (self.raw.raft.id, self.commit());
        // One that has installed a snapshot is probed until the next entry, which may be long. One
        // that has confirmed nothing has nothing, however short the log is.
        let near = |progress: &Progress| {
            progress.state != ProgressState::Snapshot
                && progress.matched > 0
                && progress.matched + NEAR >= commit
        };
        let all = self.raw.raft.prs().iter();
        let mut nodes: Vec<NodeId> = all
            .filter(|(id, progress)| **id == me || near(progress))
            .map(|(id, _)| NodeId(*id))
            .collect();
        nodes.sort_unstable();
        nodes
    }

    /// Whether a change of the group may be in the log and is not applied.
    pub fn changes_voters(&self) -> bool {
        self.raw.raft.has_pending_conf()
    }

    /// Proposes these changes, as one. They take effect when they are applied, or never.
    pub fn change_voters(&mut self, changes: &[Change]) -> bool {
        let single = |change: &Change| {
            let (node, kind) = match *change {
                Change::Voter(node) => (node, ConfChangeType::AddNode),
                Change::Learner(node) => (node, ConfChangeType::AddLearnerNode),
                Change::Remove(node) => (node, ConfChangeType::RemoveNode),
            };
            let mut single = ConfChangeSingle { node_id: node.0, ..ConfChangeSingle::default() };
            single.set_change_type(kind);
            single
        };
        let mut change = ConfChangeV2::default();
        // Several at once go through a joint configuration, which is left by itself.
        change.set_changes(changes.iter().map(single).collect::<Vec<_>>().into());
        self.raw.propose_conf_change(Vec::new(), change).is_ok()
    }

    /// Ends a change of the voters that is under way.
    pub fn end_change(&mut self) -> bool {
        self.raw.propose_conf_change(Vec::new(), ConfChangeV2::default()).is_ok()
    }

    /// Whether a voter was asked to lead, and may still do so.
    pub fn hands_over(&self) -> bool {
        self.raw.raft.lead_transferee.is_some()
    }

    /// Asks a voter to lead; nothing is proposed meanwhile, for at most an election timeout.
    pub fn hand_over(&mut self, to: NodeId) {
        self.raw.transfer_leader(to.0);
        self.claims.hands_over(self.term(), to.0);
        let others = self.raw.raft.prs().iter().map(|(id, _)| *id);
        let others = others.filter(|id| *id != self.raw.raft.id && *id != to.0);
        let news = others.map(|other| RaftMessage {
            msg_type: MessageType::MsgTransferLeader,
            from: self.raw.raft.id,
            to: other,
            term: self.raw.raft.term,
            index: to.0,
            ..RaftMessage::default()
        });
        self.news = news.collect();
    }

    /// Whether a message is the leader's announcement that it hands over, which is noted: the
    /// others then believe its successor before they have not heard from it for long.
    pub(super) fn takes_news(&mut self, message: &RaftMessage) -> bool {
        let news = message.get_msg_type() == MessageType::MsgTransferLeader;
        let raft = &self.raw.raft;
        if news && message.from == raft.leader_id && message.term == raft.term {
            self.claims.hands_over(message.term, message.index);
        }
        news
    }
}
