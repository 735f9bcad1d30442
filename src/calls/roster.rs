//! Which nodes may keep claims, and whether that changed lately. Two claims of one id are each kept by
//! most of the first nodes by hashing, so that they meet at one; while those nodes change, and what
//! they keep moves, more of them have to agree. Pure; time is passed in.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::root::RECORD_COPIES;
use crate::id::{Incarnation, NodeId};

/// With so many nodes a claim is kept by one more of them, so that two may die at once.
const ENOUGH: usize = 4;
/// Nodes that are asked when some came or went lately.
const MANY: usize = 7;
/// For how long after a change: until it is known to all that have a session, and the records are
/// where they belong by it.
const SETTLES: Duration = Duration::from_secs(6);
/// Changes that are remembered.
const CHANGES: usize = 64;

/// What was seen of them.
#[derive(Debug, Default)]
pub struct Roster {
    known: BTreeMap<NodeId, Incarnation>,
    changes: VecDeque<Change>,
}

/// Nodes came or went.
#[derive(Debug)]
struct Change {
    at: Instant,
    /// How many there were before.
    before: usize,
    /// How many of those went, or came back with nothing in memory.
    lost: usize,
}

/// Who is to keep a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// So many of the first by hashing are asked.
    pub asked: usize,
    /// So many of those must keep it.
    pub keep: usize,
}

impl Roster {
    /// These may keep claims now.
    pub fn see(&mut self, nodes: BTreeMap<NodeId, Incarnation>, now: Instant) {
        if self.known != nodes {
            let lost = self.known.iter().filter(|(node, life)| nodes.get(node) != Some(life));
            let (before, lost) = match self.known.len() {
                // This node has just started, and has nothing in memory.
                0 => (nodes.len(), 1),
                before => (before, lost.count()),
            };
            self.changes.push_back(Change { at: now, before, lost });
            self.known = nodes;
        }
        let old = |change: &Change| now.saturating_duration_since(change.at) >= SETTLES;
        while self.changes.len() > CHANGES || self.changes.front().is_some_and(old) {
            self.changes.pop_front();
        }
    }

    /// By whom a claim must be kept, of the nodes that were seen last. Of those that keep a claim made
    /// before the changes, one must be there to say so; one node at most may be silent.
    pub fn wanted(&self) -> Wanted {
        let nodes = self.known.len();
        let keep = copies(nodes);
        if self.changes.is_empty() {
            return Wanted { asked: 2 * keep - 1, keep };
        }
        let lost: usize = self.changes.iter().map(|change| change.lost).sum();
        let kept_before = self.changes.iter().map(|change| copies(change.before)).min();
        let spare = kept_before.unwrap_or(keep).saturating_sub(1 + lost).min(1);
        let all = nodes.min(MANY);
        Wanted { asked: MANY, keep: all.saturating_sub(spare).max(keep) }
    }
}

/// How many keep a claim, of so many nodes.
fn copies(nodes: usize) -> usize {
    let most = if nodes < ENOUGH { RECORD_COPIES } else { RECORD_COPIES + 1 };
    nodes.clamp(1, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(lives: &[(u64, u64)]) -> BTreeMap<NodeId, Incarnation> {
        lives.iter().map(|(node, life)| (NodeId(*node), Incarnation(*life))).collect()
    }

    /// What is wanted right after each of these is seen in place of so many nodes that were long there.
    fn after(count: u64, then: &[&[(u64, u64)]]) -> Wanted {
        let (mut roster, start) = (Roster::default(), Instant::now());
        let first: Vec<_> = (1..=count).map(|node| (node, 1)).collect();
        roster.see(nodes(&first), start);
        roster.see(nodes(&first), start + SETTLES);
        then.iter().for_each(|lives| roster.see(nodes(lives), start + SETTLES));
        roster.wanted()
    }

    #[test]
    fn most_of_the_first_nodes_keep_a_claim_while_nothing_changes() {
        assert_eq!(after(1, &[]), Wanted { asked: 1, keep: 1 });
        assert_eq!(after(2, &[]), Wanted { asked: 3, keep: 2 });
        assert_eq!(after(3, &[]), Wanted { asked: 3, keep: 2 });
        assert_eq!(after(5, &[]), Wanted { asked: 5, keep: 3 });
        assert_eq!(after(100, &[]), Wanted { asked: 5, keep: 3 });
    }

    #[test]
    fn when_nodes_come_and_go_all_keep_it_but_for_one_that_can_be_spared() {
        let four = [(1, 1), (2, 1), (3, 1), (4, 1)];
        let again = [(1, 1), (2, 2), (3, 1), (4, 1)];
        assert_eq!(after(3, &[&four]), Wanted { asked: 7, keep: 3 });
        assert_eq!(after(5, &[&four]), Wanted { asked: 7, keep: 3 });
        // Two were lost: the third that kept a claim may not be silent.
        assert_eq!(after(5, &[&four, &again]), Wanted { asked: 7, keep: 4 });
        // Of three nodes, two keep a claim.
        assert_eq!(after(3, &[&four[..2]]), Wanted { asked: 7, keep: 2 });
        assert_eq!(after(3, &[&four[..2], &four[..3]]), Wanted { asked: 7, keep: 3 });
    }

    #[test]
    fn a_node_that_knows_no_other_keeps_its_own_claims() {
        let (mut roster, start) = (Roster::default(), Instant::now());
        assert_eq!(roster.wanted().keep, 1);
        roster.see(nodes(&[(1, 1)]), start);
        assert_eq!(roster.wanted().keep, 1);
        roster.see(nodes(&[(1, 1), (2, 1)]), start);
        assert_eq!(roster.wanted().keep, 2);
    }
}
