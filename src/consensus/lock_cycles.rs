//! Whether a call waits for ever. Pure.
//!
//! A call in line goes on when the one before it in line may go on, and the first in line when all
//! holders may; a call that waits for others when one of those may; every other call may. A call is
//! stuck when it is not among those that may go on. Since nobody was stuck before, whoever is stuck
//! after a new wait is in a circle with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::locks::Locks;
use crate::id::{CallId, Incarnation, NodeId};
use crate::wire::consensus::SessionId;
use crate::wire::locks::Holder;

/// What a call waits for.
enum Wait {
    /// Nothing.
    Free,
    /// All of these.
    All(Vec<Holder>),
    /// One of these.
    Any(Vec<Holder>),
}

impl Locks {
    fn wait_of(&self, holder: &Holder) -> Wait {
        let Some(party) = self.parties.get(holder) else { return Wait::Free };
        if let Some((key, number)) = &party.waits {
            let Some(lock) = self.keys.get(key) else { return Wait::Free };
            return match lock.line.range(..number).next_back() {
                Some((_, (before, _))) => Wait::All(vec![*before]),
                None => Wait::All(lock.holders.keys().copied().collect()),
            };
        }
        let mut children = Vec::new();
        for child in &party.awaits {
            match self.party_of(*child) {
                Some(holder) => children.push(holder),
                // It has nothing to do with locks.
                None => return Wait::Free,
            }
        }
        if children.is_empty() { Wait::Free } else { Wait::Any(children) }
    }

    /// The call, as it waits or holds; another attempt of it may be of an older session.
    fn party_of(&self, call: CallId) -> Option<Holder> {
        let (low, high) = (0, u64::MAX);
        let holder = |node, at| Holder {
            call,
            session: SessionId { node: NodeId(node), incarnation: Incarnation(at), opened: at },
        };
        let all = self.parties.range(holder(low, low)..=holder(high, high));
        let mut all = all.map(|(holder, _)| *holder);
        all.next_back()
    }

    /// Whether a call waits for ever.
    pub(super) fn is_stuck(&self, start: Holder) -> bool {
        let mut numbers: BTreeMap<Holder, usize> = BTreeMap::from([(start, 0)]);
        let mut all = vec![start];
        // How many must be found free before a call is; whom its freedom is told.
        let (mut needs, mut tells): (Vec<usize>, Vec<Vec<usize>>) = (vec![], vec![vec![]]);
        let mut free = Vec::new();
        let mut at = 0;
        while let Some(holder) = all.get(at).copied() {
            let (need, others) = match self.wait_of(&holder) {
                Wait::Free => (0, Vec::new()),
                Wait::All(others) => (others.len(), others),
                Wait::Any(others) => (1, others),
            };
            needs.push(need);
            if need == 0 {
                free.push(at);
            }
            for other in others {
                let number = *numbers.entry(other).or_insert_with(|| {
                    all.push(other);
                    tells.push(Vec::new());
                    all.len() - 1
                });
                if let Some(tells) = tells.get_mut(number) {
                    tells.push(at);
                }
            }
            at += 1;
        }
        while let Some(number) = free.pop() {
            if number == 0 {
                return false;
            }
            for told in tells.get_mut(number).map(std::mem::take).unwrap_or_default() {
                let Some(need) = needs.get_mut(told).filter(|need| **need > 0) else { continue };
                *need -= 1;
                if *need == 0 {
                    free.push(told);
                }
            }
        }
        true
    }

    /// The first call in line among those that a call waits for, and that these wait for.
    pub(super) fn first_in_line_below(&self, start: Holder) -> Option<Holder> {
        let mut seen = BTreeSet::from([start]);
        let mut next = VecDeque::from([start]);
        while let Some(holder) = next.pop_front() {
            if self.parties.get(&holder).is_some_and(|party| party.waits.is_some()) {
                return Some(holder);
            }
            if let Wait::Any(children) = self.wait_of(&holder) {
                next.extend(children.into_iter().filter(|child| seen.insert(*child)));
            }
        }
        None
    }
}
