//! Starts that wait for a slot: users in turn, first come first served among what one user has that
//! can start. Pure.
//!
//! What needs the same stands in one line, of which only the first is looked at: if that cannot
//! start, neither can the rest. So a user's calls that must wait for a node or a function do not
//! hold up its others, however many they are.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::id::{CallId, Name};

/// Lines of one user that are looked at for one that can start: bounds the work of one
/// [`StartQueue::pop`].
const LINES: usize = 256;

/// Where an entry stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its user.
    pub user: Name,
    /// What it needs; entries with the same number need the same.
    pub kind: u64,
}

/// The queue. Its length is bounded by whoever pushes: each entry holds a place.
#[derive(Debug)]
pub struct StartQueue<T> {
    entries: HashMap<CallId, (Name, T)>,
    users: HashMap<Name, User>,
    turns: VecDeque<Name>,
    pushed: u64,
}

/// One user's entries.
#[derive(Debug, Default)]
struct User {
    /// By what they need; those taken out by id still stand here.
    lines: BTreeMap<u64, VecDeque<(u64, CallId)>>,
    /// How many wait.
    waiting: usize,
}

impl<T> Default for StartQueue<T> {
    fn default() -> Self {
        let (entries, users, turns) = Default::default();
        Self { entries, users, turns, pushed: 0 }
    }
}

impl<T> StartQueue<T> {
    /// Adds an entry at the end of its line.
    pub fn push(&mut self, line: &Line, call: CallId, entry: T) {
        self.pushed += 1;
        self.entries.insert(call, (line.user.clone(), entry));
        let user = self.users.entry(line.user.clone()).or_insert_with(|| {
            self.turns.push_back(line.user.clone());
            User::default()
        });
        user.lines.entry(line.kind).or_default().push_back((self.pushed, call));
        user.waiting += 1;
    }

    /// Takes an entry out, wherever it stands.
    pub fn remove(&mut self, call: CallId) -> Option<T> {
        let (user, entry) = self.entries.remove(&call)?;
        if let Some(user) = self.users.get_mut(&user) {
            user.waiting -= 1;
        }
        Some(entry)
    }

    /// Takes the first entry that `can_start`, of the user whose turn it is.
    pub fn pop(&mut self, can_start: impl Fn(&T) -> bool) -> Option<T> {
        for _ in 0..self.turns.len() {
            let name = self.turns.pop_front()?;
            let Some(user) = self.users.get_mut(&name) else { continue };
            user.forget(|call| self.entries.contains_key(&call));
            let entries = &self.entries;
            let starts = |call| entries.get(&call).is_some_and(|(_, entry)| can_start(entry));
            let found = user.first(starts);
            let call = found.and_then(|kind| user.lines.get_mut(&kind)?.pop_front());
            if user.waiting == 0 {
                self.users.remove(&name);
            } else {
                self.turns.push_back(name);
            }
            if let Some((_, call)) = call {
                return self.remove(call);
            }
        }
        None
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (CallId, &T)> {
        self.entries.iter().map(|(call, (_, entry))| (*call, entry))
    }

    /// Entries of a user that wait.
    pub fn len_of(&self, user: &Name) -> usize {
        self.users.get(user).map_or(0, |user| user.waiting)
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

impl User {
    /// Drops what stands first in a line and was taken out, and lines that end.
    fn forget(&mut self, waits: impl Fn(CallId) -> bool) {
        self.lines.retain(|_, line| {
            while line.front().is_some_and(|(_, call)| !waits(*call)) {
                line.pop_front();
            }
            !line.is_empty()
        });
    }

    /// The line with the earliest entry that can start. `starts` is asked about no entry after one
    /// that it took.
    fn first(&self, starts: impl Fn(CallId) -> bool) -> Option<u64> {
        let mut heads: Vec<_> = self
            .lines
            .iter()
            .take(LINES)
            .filter_map(|(kind, line)| line.front().map(|(at, call)| (*at, *call, *kind)))
            .collect();
        heads.sort_unstable_by_key(|(at, _, _)| *at);
        heads.into_iter().find(|(_, call, _)| starts(*call)).map(|(_, _, kind)| kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(entries: &[(&str, u128)]) -> StartQueue<u128> {
        let mut queue = StartQueue::default();
        for (user, id) in entries {
            queue.push(&line(user, 0), CallId(*id), *id);
        }
        queue
    }

    fn line(user: &str, kind: u64) -> Line {
        Line { user: Name::new(user).unwrap(), kind }
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
        let mut queue = StartQueue::default();
        for id in 1000..2000 {
            queue.push(&line("a", 1), CallId(id), 1);
        }
        queue.push(&line("a", 2), CallId(2), 2);
        queue.push(&line("b", 1), CallId(10), 10);
        assert_eq!(queue.pop(|id| *id != 1), Some(2));
        assert_eq!(queue.pop(|id| *id != 1), Some(10));
        assert_eq!(queue.pop(|id| *id != 1), None);
        assert_eq!(queue.pop(|_| true), Some(1));
    }

    #[test]
    fn lines_of_one_user_are_served_in_the_order_of_coming() {
        let mut queue = StartQueue::default();
        for id in 1..=6_u128 {
            queue.push(&line("a", (id % 3) as u64), CallId(id), id);
        }
        assert_eq!(queue.len_of(&Name::new("a").unwrap()), 6);
        assert_eq!(drain(&mut queue), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_user_who_comes_back_gets_a_turn_again() {
        let mut queue = queue(&[("a", 1)]);
        queue.remove(CallId(1));
        assert_eq!(queue.len_of(&Name::new("a").unwrap()), 0);
        assert_eq!(queue.pop(|_| true), None);
        queue.push(&line("a", 0), CallId(2), 2);
        assert_eq!(drain(&mut queue), [2]);
    }
}
