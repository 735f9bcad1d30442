//! Numbers of this node's writes: each session counts from 1, and tells what is settled.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use crate::wire::consensus::SessionId;
use crate::wire::state::WriteId;

/// Counts. Cheap: one short lock for each write.
#[derive(Debug, Default)]
pub struct Numbers {
    counting: Mutex<Counting>,
}

#[derive(Debug, Default)]
struct Counting {
    session: Option<SessionId>,
    last: u64,
    open: BTreeSet<u64>,
}

/// A write that is under way; its number is settled when this is dropped.
#[derive(Debug)]
pub struct Number<'a> {
    numbers: &'a Numbers,
    id: WriteId,
}

impl Numbers {
    /// The next number of this session; a new session begins anew.
    pub fn next(&self, session: SessionId) -> Number<'_> {
        let mut counting = self.counting.lock();
        if counting.session != Some(session) {
            *counting = Counting { session: Some(session), ..Counting::default() };
        }
        counting.last += 1;
        let number = counting.last;
        counting.open.insert(number);
        let settled = counting.open.first().map_or(number, |first| *first) - 1;
        Number { numbers: self, id: WriteId { session, number, settled } }
    }
}

impl Number<'_> {
    /// The write's name.
    pub fn id(&self) -> WriteId {
        self.id
    }
}

impl Drop for Number<'_> {
    fn drop(&mut self) {
        let mut counting = self.numbers.counting.lock();
        if counting.session == Some(self.id.session) {
            counting.open.remove(&self.id.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Incarnation, NodeId};

    fn session(opened: u64) -> SessionId {
        SessionId { node: NodeId(1), incarnation: Incarnation(1), opened }
    }

    #[test]
    fn what_is_settled_is_below_all_that_is_under_way() {
        let numbers = Numbers::default();
        let told = |number: &Number<'_>| (number.id().number, number.id().settled);
        let one = numbers.next(session(7));
        let two = numbers.next(session(7));
        assert_eq!((told(&one), told(&two)), ((1, 0), (2, 0)));
        drop(two);
        let three = numbers.next(session(7));
        assert_eq!(told(&three), (3, 0));
        drop(one);
        assert_eq!(told(&numbers.next(session(7))), (4, 2));
        drop(three);
        let anew = numbers.next(session(9));
        assert_eq!(told(&anew), (1, 0));
    }
}
