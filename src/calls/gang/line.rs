//! Jobs of this node that wait for room. Those of one user go in the order in which they came; users
//! do not wait for each other. Bounded, for each user and for the node. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::id::{CallId, Name};

/// Jobs of one user that may wait on a node.
pub const PER_USER: usize = 64;
/// Jobs that may wait on a node.
pub const PER_NODE: usize = 1024;

/// The line.
#[derive(Debug, Default)]
pub struct Line {
    waiting: Mutex<HashMap<Name, VecDeque<CallId>>>,
}

/// A place in it; given up when dropped.
#[derive(Debug)]
pub struct Standing {
    line: Weak<Line>,
    user: Name,
    job: CallId,
}

impl Line {
    /// A job stands in line, unless as many do as may.
    pub fn join(self: &Arc<Self>, user: &Name, job: CallId) -> Option<Standing> {
        let mut waiting = self.waiting.lock();
        let total: usize = waiting.values().map(VecDeque::len).sum();
        let of_user = waiting.get(user).map_or(0, VecDeque::len);
        if total >= PER_NODE || of_user >= PER_USER {
            return None;
        }
        waiting.entry(user.clone()).or_default().push_back(job);
        Some(Standing { line: Arc::downgrade(self), user: user.clone(), job })
    }

    fn before(&self, user: &Name, job: CallId) -> usize {
        let waiting = self.waiting.lock();
        waiting.get(user).and_then(|line| line.iter().position(|at| *at == job)).unwrap_or(0)
    }

    fn leave(&self, user: &Name, job: CallId) {
        let mut waiting = self.waiting.lock();
        if let Some(line) = waiting.get_mut(user) {
            line.retain(|at| *at != job);
            if line.is_empty() {
                waiting.remove(user);
            }
        }
    }
}

impl Standing {
    /// How many jobs of its user go before it.
    pub fn before(&self) -> usize {
        self.line.upgrade().map_or(0, |line| line.before(&self.user, self.job))
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        if let Some(line) = self.line.upgrade() {
            line.leave(&self.user, self.job);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn jobs_of_a_user_go_in_order_and_users_do_not_wait_for_each_other() {
        let line = Arc::new(Line::default());
        let first = line.join(&name("a"), CallId(1)).unwrap();
        let second = line.join(&name("a"), CallId(2)).unwrap();
        let other = line.join(&name("b"), CallId(3)).unwrap();
        assert_eq!((first.before(), second.before(), other.before()), (0, 1, 0));
        drop(first);
        assert_eq!(second.before(), 0);
    }

    #[test]
    fn the_line_is_bounded_for_each_user_and_for_all() {
        let line = Arc::new(Line::default());
        let mut standing = Vec::new();
        for job in 0..PER_USER {
            standing.push(line.join(&name("a"), CallId(job as u128)).unwrap());
        }
        assert!(line.join(&name("a"), CallId(999)).is_none());
        for user in 1..PER_NODE / PER_USER {
            for job in 0..PER_USER {
                let job = CallId((user * PER_USER + job) as u128);
                standing.push(line.join(&name(&format!("u{user}")), job).unwrap());
            }
        }
        assert!(line.join(&name("late"), CallId(99_999)).is_none());
        drop(standing);
        assert!(line.waiting.lock().is_empty());
    }
}
