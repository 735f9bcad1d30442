//! Linearizable reads: a read waits until the leader, confirmed by a majority, has named its commit
//! index, and until that index is applied here. Pure. Reads that come together share one question.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::id::{Incarnation, NodeId};

/// Reads that may be open on one node; more are refused with `Full`.
pub const MAX_OPEN: usize = 4096;
/// How long after it was asked a question is asked again: raft-rs drops those that find no leader,
/// and messages may be lost.
pub const RESEND: Duration = Duration::from_millis(500);

/// Length of a question's name.
const CONTEXT_LEN: usize = 25;

/// Why a read index is asked for; with the names below it makes a question's name unique in the
/// cluster, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// Reads of this node.
    Read = 1,
    /// Renewals of sessions that the leader is to grant.
    Renewals = 2,
}

/// Writes a question's name.
pub fn context(purpose: Purpose, node: NodeId, incarnation: Incarnation, number: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(CONTEXT_LEN);
    bytes.push(purpose as u8);
    for part in [node.0, incarnation.0, number] {
        bytes.extend_from_slice(&part.to_be_bytes());
    }
    bytes
}

/// Reads a question's name; `None` if it is of another life or node.
pub fn parse(bytes: &[u8], node: NodeId, incarnation: Incarnation) -> Option<(Purpose, u64)> {
    let number = u64::from_be_bytes(*bytes.last_chunk()?);
    let purpose = match bytes.first()? {
        1 => Purpose::Read,
        2 => Purpose::Renewals,
        _ => return None,
    };
    (context(purpose, node, incarnation, number) == bytes).then_some((purpose, number))
}

#[derive(Debug)]
struct Open {
    deadline: Instant,
    index: Option<u64>,
    /// The first question asked after the read began: an older one may name an older index.
    round: Option<u64>,
}

/// The open reads of one node.
#[derive(Debug, Default)]
pub struct Reads {
    open: BTreeMap<u64, Open>,
    next: u64,
    round: u64,
    asked: Option<Instant>,
}

impl Reads {
    /// No reads. Questions are numbered after `after`.
    pub fn new(after: u64) -> Self {
        Self { round: after, ..Self::default() }
    }

    /// Opens a read; gives its number, or `None` if there are too many.
    pub fn open(&mut self, deadline: Instant) -> Option<u64> {
        if self.open.len() >= MAX_OPEN {
            return None;
        }
        self.next += 1;
        self.open.insert(self.next, Open { deadline, index: None, round: None });
        Some(self.next)
    }

    /// Somebody else leads: the questions asked so far may be lost.
    pub fn leader_changed(&mut self) {
        self.asked = None;
    }

    /// The number of a question to ask now, if there is one to ask.
    pub fn ask(&mut self, now: Instant) -> Option<u64> {
        let waits = self.open.values().any(|open| open.index.is_none());
        let fresh = self.open.values().any(|open| open.round.is_none());
        let again = self.asked.is_none_or(|at| now.saturating_duration_since(at) >= RESEND);
        if !waits || !(fresh || again) {
            return None;
        }
        self.round += 1;
        self.asked = Some(now);
        for open in self.open.values_mut() {
            open.round.get_or_insert(self.round);
        }
        Some(self.round)
    }

    /// A question was answered with an index: it serves the reads that began before it was asked.
    pub fn answered(&mut self, round: u64, index: u64) {
        for open in self.open.values_mut() {
            if open.index.is_none() && open.round.is_some_and(|first| first <= round) {
                open.index = Some(index);
            }
        }
    }

    /// This index is applied: gives the reads that are done.
    pub fn applied(&mut self, applied: u64) -> Vec<u64> {
        self.take(|open| open.index.is_some_and(|index| index <= applied))
    }

    /// Gives up the reads whose deadline passed.
    pub fn expire(&mut self, now: Instant) -> Vec<u64> {
        self.take(|open| open.deadline <= now)
    }

    fn take(&mut self, which: impl Fn(&Open) -> bool) -> Vec<u64> {
        let taken: Vec<u64> =
            self.open.iter().filter(|(_, open)| which(open)).map(|(number, _)| *number).collect();
        self.open.retain(|number, _| taken.binary_search(number).is_err());
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads() -> (Reads, Instant, Instant) {
        let now = Instant::now();
        (Reads::default(), now, now + Duration::from_secs(60))
    }

    #[test]
    fn a_read_is_not_served_by_a_question_asked_before_it() {
        let (mut reads, now, deadline) = reads();
        assert_eq!(reads.open(deadline), Some(1));
        assert_eq!(reads.ask(now), Some(1));
        assert_eq!(reads.open(deadline), Some(2));
        reads.answered(1, 10);
        assert_eq!(reads.applied(10), vec![1]);
        assert_eq!(reads.ask(now), Some(2));
        reads.answered(2, 11);
        assert_eq!(reads.applied(10), Vec::<u64>::new());
        assert_eq!(reads.applied(11), vec![2]);
    }

    #[test]
    fn a_later_question_serves_earlier_reads_too() {
        let (mut reads, now, deadline) = reads();
        reads.open(deadline);
        assert_eq!(reads.ask(now), Some(1));
        assert_eq!(reads.ask(now + RESEND / 2), None);
        assert_eq!(reads.ask(now + RESEND), Some(2));
        reads.answered(2, 5);
        assert_eq!(reads.applied(5), vec![1]);
    }

    #[test]
    fn a_change_of_leader_asks_at_once() {
        let (mut reads, now, deadline) = reads();
        reads.open(deadline);
        assert_eq!(reads.ask(now), Some(1));
        reads.leader_changed();
        assert_eq!(reads.ask(now), Some(2));
    }

    #[test]
    fn nothing_waits_past_its_deadline_or_past_the_limit() {
        let (mut reads, now, deadline) = reads();
        for _ in 0..MAX_OPEN {
            assert!(reads.open(deadline).is_some());
        }
        assert_eq!(reads.open(deadline), None);
        assert_eq!(reads.expire(now), Vec::<u64>::new());
        assert_eq!(reads.expire(deadline).len(), MAX_OPEN);
    }

    #[test]
    fn names_are_of_one_life_only() {
        let bytes = context(Purpose::Read, NodeId(2), Incarnation(3), 4);
        assert_eq!(bytes.len(), CONTEXT_LEN);
        assert_eq!(parse(&bytes, NodeId(2), Incarnation(3)), Some((Purpose::Read, 4)));
        assert_eq!(parse(&bytes, NodeId(2), Incarnation(4)), None);
        assert_eq!(parse(&bytes[..24], NodeId(2), Incarnation(3)), None);
        assert_eq!(parse(&[], NodeId(2), Incarnation(3)), None);
    }
}
