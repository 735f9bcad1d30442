//! Calls that were cancelled here before their start had come: it may be on a stream of its own, and
//! be overtaken. Bounded in age and number; pure, time is passed in.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::id::{Attempt, CallId};

/// For how long: longer than an input may take to arrive.
const AGE: Duration = Duration::from_secs(120);
/// How many.
const MOST: usize = 10_000;

/// What was cancelled lately and did not live here.
#[derive(Debug, Default)]
pub struct Cancelled {
    tries: HashMap<CallId, (Attempt, Instant)>,
    order: VecDeque<(Instant, CallId)>,
}

impl Cancelled {
    /// This try of a call was cancelled, and those before it.
    pub fn note(&mut self, call: CallId, attempt: Attempt, now: Instant) {
        let known = self.tries.get(&call).map_or(attempt, |(known, _)| *known);
        self.tries.insert(call, (attempt.max(known), now));
        self.order.push_back((now, call));
        self.trim(now);
    }

    /// Whether this try is not to begin.
    pub fn covers(&mut self, call: CallId, attempt: Attempt, now: Instant) -> bool {
        self.trim(now);
        self.tries.get(&call).is_some_and(|(cancelled, _)| attempt <= *cancelled)
    }

    fn trim(&mut self, now: Instant) {
        while let Some((at, call)) = self.order.front().copied() {
            if self.order.len() <= MOST && now.saturating_duration_since(at) < AGE {
                return;
            }
            self.order.pop_front();
            if self.tries.get(&call).is_some_and(|(_, noted)| *noted == at) {
                self.tries.remove(&call);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: CallId = CallId(1);

    #[test]
    fn a_cancel_is_of_one_try_and_of_those_before() {
        let (mut cancelled, now) = (Cancelled::default(), Instant::now());
        cancelled.note(CALL, Attempt(1), now);
        cancelled.note(CALL, Attempt(0), now);
        let covered = [0, 1, 2].map(|attempt| cancelled.covers(CALL, Attempt(attempt), now));
        assert_eq!(covered, [true, true, false]);
        assert!(!cancelled.covers(CallId(2), Attempt(0), now));
    }

    #[test]
    fn old_ones_are_forgotten_and_the_oldest_of_too_many() {
        let (mut cancelled, now) = (Cancelled::default(), Instant::now());
        cancelled.note(CALL, Attempt(0), now);
        cancelled.note(CALL, Attempt(0), now + AGE / 2);
        assert!(cancelled.covers(CALL, Attempt(0), now + AGE));
        assert!(!cancelled.covers(CALL, Attempt(0), now + AGE / 2 + AGE));
        (0..=MOST as u128).for_each(|call| cancelled.note(CallId(call), Attempt(0), now));
        assert!(!cancelled.covers(CallId(0), Attempt(0), now));
        assert!(cancelled.covers(CALL, Attempt(0), now));
        assert!(cancelled.tries.len() == MOST && cancelled.order.len() == MOST);
    }
}
