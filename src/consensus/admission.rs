//! Whether this member may take part at all. Pure.
//!
//! A voter that lost its log must not vote or acknowledge again: what it had confirmed would be
//! forgotten by a majority. An empty log alone does not tell a first start from a loss. So each
//! log has a random number, its *birth*, and others remember it:
//! - a founder with an empty log knocks at the other voters of the configuration, which write its
//!   birth down before they answer; it founds the group when more than half of them have noted the
//!   birth. One that was here before with another birth meets at least one that remembers;
//! - a node that joined knocks at the leader that writes to it. The birth stands in the replicated
//!   state from the node's first session on, and nobody votes who never had a session.
//!
//! Until then Raft messages are dropped. A node that hears of no leader knocks at all it knows of:
//! one that was removed is told so.

use std::collections::{BTreeMap, BTreeSet};

use super::conf::Conf;
use super::machine::MAX_NODES;
use super::raft_node::Fatal;
use crate::id::NodeId;
use crate::wire::consensus::Verdict;

/// Ticks between knocks while this member is not admitted.
const OFTEN: u32 = 2;
/// Ticks without a leader after which a member that was admitted knocks.
const SELDOM: u32 = 40;

/// How far a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// It takes part.
    In,
    /// It founds the group when enough of these have noted its birth.
    Founding { witnesses: Vec<NodeId>, noted: BTreeSet<NodeId> },
    /// It waits for the leader's word.
    Joining,
}

/// What a member knows of its own admission, and of others'.
#[derive(Debug)]
pub struct Admission {
    me: NodeId,
    birth: u64,
    stage: Stage,
    witnessed: BTreeMap<NodeId, u64>,
    ticks: u32,
}

impl Admission {
    /// Of a log with this birth; `blank` says whether nothing is in it, `founds` which group the
    /// node is to found then, `witnessed` the births that it has noted.
    pub fn new(
        me: NodeId,
        birth: u64,
        blank: bool,
        founds: Option<&Conf>,
        witnessed: BTreeMap<NodeId, u64>,
    ) -> Self {
        let stage = match founds {
            _ if !blank => Stage::In,
            Some(conf) => Stage::Founding {
                witnesses: conf.voters().iter().copied().filter(|id| *id != me).collect(),
                noted: BTreeSet::new(),
            },
            None => Stage::Joining,
        };
        Self { me, birth, stage, witnessed, ticks: 0 }
    }

    /// The birth of this node's log.
    pub fn birth(&self) -> u64 {
        self.birth
    }

    /// Whether this member takes part.
    pub fn admitted(&self) -> bool {
        self.stage == Stage::In
    }

    /// Whether it waits to found the group.
    pub fn founds(&self) -> bool {
        matches!(self.stage, Stage::Founding { .. })
    }

    /// Whether enough have noted the birth to found the group.
    pub fn may_found(&self) -> bool {
        match &self.stage {
            Stage::Founding { witnesses, noted } => {
                let heard = witnesses.iter().filter(|id| noted.contains(id)).count();
                witnesses.is_empty() || 2 * heard > witnesses.len()
            }
            Stage::In | Stage::Joining => false,
        }
    }

    /// The witnesses that have not answered, for people.
    pub fn missing(&self) -> Vec<NodeId> {
        match &self.stage {
            Stage::Founding { witnesses, noted } => {
                witnesses.iter().copied().filter(|id| !noted.contains(id)).collect()
            }
            Stage::In | Stage::Joining => Vec::new(),
        }
    }

    /// The group was founded here.
    pub fn founded(&mut self) {
        self.stage = Stage::In;
    }

    /// At each tick: whom to knock at. `known` are the nodes of the group, as far as is known.
    pub fn tick(&mut self, leader: bool, known: impl Iterator<Item = NodeId>) -> Vec<NodeId> {
        self.ticks += 1;
        match &self.stage {
            Stage::Founding { .. } if self.ticks >= OFTEN => {
                self.ticks = 0;
                self.missing()
            }
            Stage::In if leader => {
                self.ticks = 0;
                Vec::new()
            }
            Stage::In if self.ticks >= SELDOM => {
                self.ticks = 0;
                known.filter(|id| *id != self.me).collect()
            }
            Stage::In | Stage::Founding { .. } | Stage::Joining => Vec::new(),
        }
    }

    /// A Raft message came from a node: whom to knock at because of it.
    pub fn heard(&self, from: NodeId) -> Option<NodeId> {
        (self.stage == Stage::Joining).then_some(from)
    }

    /// Whether the birth of a node that knocks contradicts what is known of it.
    pub fn contradicts(&self, from: NodeId, birth: u64, recorded: Option<u64>) -> bool {
        let other = |known: &u64| *known != birth;
        self.witnessed.get(&from).is_some_and(other) || recorded.as_ref().is_some_and(other)
    }

    /// Notes a birth. Gives what must be durable before the answer, if it is new.
    pub fn note(&mut self, from: NodeId, birth: u64) -> Option<&BTreeMap<NodeId, u64>> {
        if self.witnessed.contains_key(&from) || self.witnessed.len() >= MAX_NODES {
            return None;
        }
        self.witnessed.insert(from, birth);
        Some(&self.witnessed)
    }

    /// Whether a birth is noted.
    pub fn noted(&self, from: NodeId, birth: u64) -> bool {
        self.witnessed.get(&from) == Some(&birth)
    }

    /// The answer of a node at which this one knocked.
    pub fn answered(&mut self, from: NodeId, verdict: Verdict) -> Result<(), Fatal> {
        match verdict {
            Verdict::Removed => return Err(Fatal::Removed(self.me)),
            Verdict::Lost => return Err(Fatal::Lost { node: self.me, by: from }),
            Verdict::Noted => {}
        }
        match &mut self.stage {
            Stage::In => {}
            Stage::Founding { noted, .. } => drop(noted.insert(from)),
            Stage::Joining => self.stage = Stage::In,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[u64]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    fn founder(me: u64, voters: &[u64]) -> Admission {
        let conf = Conf::new(nodes(voters), vec![]);
        Admission::new(NodeId(me), me, true, Some(&conf), BTreeMap::new())
    }

    #[test]
    fn a_founder_waits_for_its_witnesses() {
        assert!(founder(1, &[1]).may_found());
        let mut node = founder(1, &[1, 2, 3]);
        assert_eq!(node.tick(false, [].into_iter()), nodes(&[]));
        assert_eq!(node.tick(false, [].into_iter()), nodes(&[2, 3]));
        node.answered(NodeId(2), Verdict::Noted).unwrap();
        node.answered(NodeId(9), Verdict::Noted).unwrap();
        assert!(!node.may_found(), "one that was lost could have met the other one");
        assert_eq!(node.missing(), nodes(&[3]));
        node.answered(NodeId(3), Verdict::Noted).unwrap();
        assert!(node.may_found() && !node.admitted());
        let mut follower = founder(4, &[1, 2, 3]);
        follower.answered(NodeId(1), Verdict::Noted).unwrap();
        assert!(!follower.may_found());
        follower.answered(NodeId(3), Verdict::Noted).unwrap();
        assert!(follower.may_found());
    }

    #[test]
    fn a_second_birth_is_contradicted_by_whoever_knows_the_first() {
        let mut witness = founder(2, &[1, 2, 3]);
        assert!(!witness.contradicts(NodeId(1), 7, None));
        assert!(witness.note(NodeId(1), 7).is_some());
        assert!(witness.note(NodeId(1), 7).is_none() && witness.noted(NodeId(1), 7));
        assert!(witness.contradicts(NodeId(1), 8, None));
        assert!(witness.contradicts(NodeId(3), 8, Some(9)), "the state knows it");
        let mut lost = founder(1, &[1, 2, 3]);
        let why = lost.answered(NodeId(2), Verdict::Lost).unwrap_err().to_string();
        assert!(why.contains("data directory") && why.contains("--replace n1"), "{why}");
    }

    #[test]
    fn a_joiner_asks_whoever_leads_it() {
        let mut node = Admission::new(NodeId(8), 1, true, None, BTreeMap::new());
        assert!(!node.admitted());
        assert_eq!(node.heard(NodeId(2)), Some(NodeId(2)));
        node.answered(NodeId(2), Verdict::Noted).unwrap();
        assert!(node.admitted() && node.heard(NodeId(2)).is_none());
    }

    #[test]
    fn without_a_leader_for_long_it_knocks_at_all() {
        let mut node = Admission::new(NodeId(1), 1, false, None, BTreeMap::new());
        let known = || nodes(&[1, 2, 3]).into_iter();
        for _ in 1..SELDOM {
            assert!(node.tick(false, known()).is_empty());
        }
        assert_eq!(node.tick(false, known()), nodes(&[2, 3]));
        assert!((0..SELDOM * 2).all(|_| node.tick(true, known()).is_empty()));
    }
}
