//! Starts that wait for a slot: first come first served for one user, users in turn. Pure.

use std::collections::{HashMap, VecDeque};

use crate::id::{CallId, Name};

/// How many entries of one user are looked at for one that can start, when those before it cannot
/// (their function has all its instances): bounds the work of one [`StartQueue::pop`].
const LOOK_AHEAD: usize = 64;

/// The queue. Its length is bounded by whoever pushes: each entry holds a place.
#[derive(Debug)]
pub struct StartQueue<T> {
    entries: HashMap<CallId, T>,
    users: HashMap<Name, VecDeque<CallId>>,
    turns: VecDeque<Name>,
}

impl<T> Default for StartQueue<T> {
    fn default() -> Self {
        Self { entries: HashMap::new(), users: HashMap::new(), turns: VecDeque::new() }
    }
}

impl<T> StartQueue<T> {
    /// Adds an entry at the end of its user's line.
    pub fn push(&mut self, user: &Name, call: CallId, entry: T) {
        self.entries.insert(call, entry);
        let line = self.users.entry(user.clone()).or_insert_with(|| {
            self.turns.push_back(user.clone());
            VecDeque::new()
        });
        line.push_back(call);
    }

    /// Takes an entry out, wherever it stands.
    pub fn remove(&mut self, call: CallId) -> Option<T> {
        self.entries.remove(&call)
    }

    /// Takes the first entry that `can_start`, of the user whose turn it is.
    pub fn pop(&mut self, can_start: impl Fn(&T) -> bool) -> Option<T> {
        for _ in 0..self.turns.len() {
            let user = self.turns.pop_front()?;
            let Some(line) = self.users.get_mut(&user) else { continue };
            line.retain_front(|call| self.entries.contains_key(call));
            let found = line
                .iter()
                .take(LOOK_AHEAD)
                .position(|call| self.entries.get(call).is_some_and(&can_start));
            let call = found.and_then(|at| line.remove(at));
            if line.is_empty() {
                self.users.remove(&user);
            } else {
                self.turns.push_back(user);
            }
            if let Some(call) = call {
                return self.entries.remove(&call);
            }
        }
        None
    }

    /// Entries that wait.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Dropping entries at the front that were removed by id.
trait RetainFront<C> {
    fn retain_front(&mut self, keep: impl Fn(&C) -> bool);
}

impl<C> RetainFront<C> for VecDeque<C> {
    fn retain_front(&mut self, keep: impl Fn(&C) -> bool) {
        while self.front().is_some_and(|first| !keep(first)) {
            self.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(entries: &[(&str, u128)]) -> StartQueue<u128> {
        let mut queue = StartQueue::default();
        for (user, id) in entries {
            queue.push(&Name::new(user).unwrap(), CallId(*id), *id);
        }
        queue
    }

    fn drain(queue: &mut StartQueue<u128>) -> Vec<u128> {
        std::iter::from_fn(|| queue.pop(|_| true)).collect()
    }

    #[test]
    fn users_take_turns_and_one_user_keeps_its_order() {
        let mut queue = queue(&[("a", 1), ("a", 2), ("a", 3), ("b", 10), ("c", 20), ("c", 21)]);
        assert_eq!(drain(&mut queue), [1, 10, 20, 2, 21, 3]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_removed_entry_is_skipped() {
        let mut queue = queue(&[("a", 1), ("a", 2), ("b", 10)]);
        assert_eq!(queue.remove(CallId(1)), Some(1));
        assert_eq!(queue.remove(CallId(1)), None);
        assert_eq!(drain(&mut queue), [2, 10]);
    }

    #[test]
    fn what_cannot_start_blocks_neither_its_user_nor_others() {
        let mut queue = queue(&[("a", 1), ("a", 2), ("b", 10)]);
        assert_eq!(queue.pop(|id| *id != 1), Some(2));
        assert_eq!(queue.pop(|id| *id != 1), Some(10));
        assert_eq!(queue.pop(|id| *id != 1), None);
        assert_eq!(queue.pop(|_| true), Some(1));
    }

    #[test]
    fn a_user_who_comes_back_gets_a_turn_again() {
        let mut queue = queue(&[("a", 1)]);
        queue.remove(CallId(1));
        assert_eq!(queue.pop(|_| true), None);
        queue.push(&Name::new("a").unwrap(), CallId(2), 2);
        assert_eq!(drain(&mut queue), [2]);
    }
}
