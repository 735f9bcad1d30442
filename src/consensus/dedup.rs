//! Which proposals of a node were applied, and what was answered: a proposal that is sent again
//! after a change of leader may stand in the log twice, and is done once.

use std::collections::BTreeMap;

use crate::id::Incarnation;
use crate::wire::consensus::{RequestId, Response};

/// How far the numbers of one node's open proposals may lie apart. The proposer keeps to it, so
/// that a number below the window is of a proposal that nobody waits for any more.
pub const WINDOW: u64 = 1024;

/// The answers to the last [`WINDOW`] proposals of one node's newest life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    incarnation: Incarnation,
    newest: u64,
    given: BTreeMap<u64, (u64, Response)>,
}

/// What is known of a proposal that stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It was not applied yet.
    Fresh,
    /// It was applied at this index, with this answer.
    Before(u64, Response),
    /// It is of an older life or older than the window: nobody waits for it.
    Stale,
}

impl Answers {
    /// Of a node that has proposed nothing yet in this life.
    pub fn new(incarnation: Incarnation) -> Self {
        Self { incarnation, newest: 0, given: BTreeMap::new() }
    }

    /// From what [`Answers::list`] gave.
    pub fn restore(
        incarnation: Incarnation,
        newest: u64,
        given: impl IntoIterator<Item = (u64, u64, Response)>,
    ) -> Self {
        let given = given.into_iter().map(|(number, index, r)| (number, (index, r))).collect();
        Self { incarnation, newest, given }
    }

    /// The newest life that proposed.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The highest number applied in this life.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Number, index and answer of each, in order.
    pub fn list(&self) -> impl Iterator<Item = (u64, u64, Response)> {
        self.given.iter().map(|(number, (index, response))| (*number, *index, response.clone()))
    }

    /// Looks a proposal up.
    pub fn seen(&self, id: RequestId) -> Seen {
        if id.incarnation > self.incarnation {
            return Seen::Fresh;
        }
        if id.incarnation < self.incarnation {
            return Seen::Stale;
        }
        if let Some((index, response)) = self.given.get(&id.number) {
            return Seen::Before(*index, response.clone());
        }
        if id.number.saturating_add(WINDOW) <= self.newest { Seen::Stale } else { Seen::Fresh }
    }

    /// Notes the answer to a [`Seen::Fresh`] proposal. A newer life forgets the older one's.
    pub fn note(&mut self, id: RequestId, index: u64, response: Response) {
        if id.incarnation > self.incarnation {
            *self = Self::new(id.incarnation);
        }
        self.newest = self.newest.max(id.number);
        self.given.insert(id.number, (index, response));
        let lowest = self.newest.saturating_sub(WINDOW - 1);
        while self.given.first_key_value().is_some_and(|(number, _)| *number < lowest) {
            self.given.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;

    fn id(incarnation: u64, number: u64) -> RequestId {
        RequestId { node: NodeId(1), incarnation: Incarnation(incarnation), number }
    }

    #[test]
    fn a_repeat_gets_the_first_answer() {
        let mut answers = Answers::new(Incarnation(1));
        assert_eq!(answers.seen(id(1, 1)), Seen::Fresh);
        answers.note(id(1, 1), 7, Response::NotFound);
        assert_eq!(answers.seen(id(1, 1)), Seen::Before(7, Response::NotFound));
        assert_eq!(answers.seen(id(1, 2)), Seen::Fresh);
    }

    #[test]
    fn numbers_may_come_in_any_order_inside_the_window() {
        let mut answers = Answers::new(Incarnation(1));
        answers.note(id(1, WINDOW), 5, Response::Done);
        assert_eq!(answers.seen(id(1, 1)), Seen::Fresh);
        answers.note(id(1, WINDOW + 1), 6, Response::Done);
        assert_eq!(answers.seen(id(1, 1)), Seen::Stale);
        assert_eq!(answers.seen(id(1, 2)), Seen::Fresh);
    }

    #[test]
    fn the_window_is_bounded() {
        let mut answers = Answers::new(Incarnation(1));
        for number in 1..=3 * WINDOW {
            answers.note(id(1, number), number, Response::Done);
        }
        assert_eq!(answers.list().count() as u64, WINDOW);
        assert_eq!(answers.seen(id(1, 2 * WINDOW)), Seen::Stale);
        assert_eq!(answers.seen(id(1, 2 * WINDOW + 1)), {
            Seen::Before(2 * WINDOW + 1, Response::Done)
        });
    }

    #[test]
    fn a_newer_life_ends_the_older_one() {
        let mut answers = Answers::new(Incarnation(1));
        answers.note(id(1, 1), 5, Response::Done);
        assert_eq!(answers.seen(id(2, 1)), Seen::Fresh);
        answers.note(id(2, 1), 6, Response::NotFound);
        assert_eq!(answers.seen(id(1, 2)), Seen::Stale);
        assert_eq!(answers.seen(id(2, 1)), Seen::Before(6, Response::NotFound));
    }
}
