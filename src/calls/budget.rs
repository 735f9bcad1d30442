//! The bytes that calls hold on this node outside of any instance: inputs of calls that have not
//! ended, outputs and logs that their parents have not let go, and those that a client has not read.
//! Bounded for the node, and for each user to a part of that: what a guest can make the host keep must
//! end somewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::spec::UserBook;
use crate::errno::{CallError, Errno};

/// The part of the budget that one user may hold: half, so that another has room.
const USER_PART: usize = 2;

/// What may be held.
#[derive(Debug)]
pub struct Budget {
    held: AtomicUsize,
    total: usize,
}

/// Bytes taken from a budget; given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    user: Arc<UserBook>,
    bytes: usize,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(total: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), total })
    }

    /// Takes bytes for a user's call. `FAASM_ENOMEM` when the user or the node holds too many.
    pub fn take(self: &Arc<Self>, user: &Arc<UserBook>, bytes: usize) -> Result<Share, CallError> {
        if !add(&user.held, bytes, self.total / USER_PART) {
            return Err(too_much("the user's calls", self.total / USER_PART));
        }
        if !add(&self.held, bytes, self.total) {
            user.held.fetch_sub(bytes, Ordering::AcqRel);
            return Err(too_much("all calls", self.total));
        }
        Ok(Share { budget: self.clone(), user: user.clone(), bytes })
    }

    /// Bytes held now.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }
}

impl Share {
    /// Bytes that hold this share until the last copy of them is gone.
    pub fn around(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Around { bytes, _share: self })
    }
}

struct Around {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Around {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::AcqRel);
        self.user.held.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

fn add(held: &AtomicUsize, bytes: usize, most: usize) -> bool {
    let update = |now: usize| now.checked_add(bytes).filter(|sum| *sum <= most);
    held.try_update(Ordering::AcqRel, Ordering::Acquire, update).is_ok()
}

fn too_much(whose: &str, most: usize) -> CallError {
    let detail = format!(
        "the inputs and outputs that {whose} hold on this node would exceed {most} bytes; await \
         calls and end sooner, read outputs faster, or pass less"
    );
    CallError::new(Errno::NoMem, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Name;

    fn user(name: &str) -> Arc<UserBook> {
        UserBook::new(Name::new(name).unwrap(), 1, 0)
    }

    #[test]
    fn bytes_hold_their_share_until_the_last_copy_is_gone() {
        let (budget, alice) = (Budget::new(100), user("alice"));
        let bytes = budget.take(&alice, 5).unwrap().around(Bytes::from_static(b"bytes"));
        let part = bytes.slice(1..3);
        assert_eq!((&bytes[..], &part[..]), (&b"bytes"[..], &b"yt"[..]));
        drop(bytes);
        assert_eq!(budget.held(), 5);
        drop(part);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_user_has_half_and_what_is_dropped_comes_back() {
        let (budget, alice, bob) = (Budget::new(100), user("alice"), user("bob"));
        let share = budget.take(&alice, 50).unwrap();
        assert_eq!(budget.take(&alice, 1).unwrap_err().code, Errno::NoMem);
        let other = budget.take(&bob, 50).unwrap();
        assert_eq!(budget.take(&user("carol"), 1).unwrap_err().code, Errno::NoMem);
        drop(share);
        assert_eq!(budget.held(), 50);
        assert!(budget.take(&alice, 50).is_ok());
        drop(other);
        assert_eq!(budget.held(), 0);
        assert!(budget.take(&alice, usize::MAX).is_err(), "no overflow");
    }
}
