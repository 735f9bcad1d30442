//! Memory of copies on this node: a limit for all of them, and one for each user's.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::errno::Errno;

/// Bytes that copies may take.
pub struct Budget {
    limit: u64,
    per_user: u64,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: u64,
    users: HashMap<String, u64>,
}

impl Budget {
    /// So many bytes for all, and for each user.
    pub fn new(limit: u64, per_user: u64) -> Self {
        Self { limit, per_user, taken: Mutex::default() }
    }

    /// Takes bytes for a user: `FAASM_EQUOTA` past the user's share, `FAASM_ENOMEM` past what
    /// there is.
    pub fn take(&self, user: &str, bytes: u64) -> Result<(), Errno> {
        let mut taken = self.taken.lock();
        let own = taken.users.get(user).copied().unwrap_or_default();
        if own.checked_add(bytes).is_none_or(|own| own > self.per_user) {
            return Err(Errno::Quota);
        }
        if taken.all.checked_add(bytes).is_none_or(|all| all > self.limit) {
            return Err(Errno::NoMem);
        }
        taken.all += bytes;
        *taken.users.entry(user.to_owned()).or_default() += bytes;
        Ok(())
    }

    /// Gives bytes back.
    pub fn give(&self, user: &str, bytes: u64) {
        let mut taken = self.taken.lock();
        taken.all = taken.all.saturating_sub(bytes);
        if let Some(own) = taken.users.get_mut(user) {
            *own = own.saturating_sub(bytes);
            if *own == 0 {
                taken.users.remove(user);
            }
        }
    }

    /// Bytes taken.
    pub fn used(&self) -> u64 {
        self.taken.lock().all
    }

    /// The limit for all.
    pub fn limit(&self) -> u64 {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_all_of_them_have_limits() {
        let budget = Budget::new(100, 60);
        assert_eq!(budget.take("a", 61), Err(Errno::Quota));
        assert_eq!(budget.take("a", 60), Ok(()));
        assert_eq!(budget.take("a", 1), Err(Errno::Quota));
        assert_eq!(budget.take("b", 41), Err(Errno::NoMem));
        assert_eq!(budget.take("b", 40), Ok(()));
        budget.give("a", 60);
        assert_eq!((budget.used(), budget.take("b", 20)), (40, Ok(())));
        assert_eq!(budget.take("a", u64::MAX), Err(Errno::Quota));
    }
}
