//! What one call has of each key that it used: its copy, its locks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;

use super::Shared;
use super::copy::Copy;
use super::locks::Who;
use super::pull::{Wish, pull};
use super::table::Slot;
use crate::errno::Errno;
use crate::id::CallId;
use crate::state::global::To;
use crate::wire::locks::{Mode, Proof};
use crate::wire::shards::StateKey;

/// Most keys that one call may use.
const MAX_KEYS: usize = 100_000;

/// One key, as a call has it.
pub struct Held {
    /// The key's place on this node.
    pub slot: Arc<Slot>,
    /// The copy that the call asked for last, as long as somebody has it: also when the value was
    /// deleted since.
    pub copy: Weak<Copy>,
    /// Its lock among the instances of this node.
    pub local: Option<Mode>,
    /// Its lock of the cluster.
    pub global: Option<Proof>,
    /// It lost that lock.
    pub lost: bool,
}

impl Held {
    /// The copy that the call uses: the one that it asked for, else the node's.
    fn copy(&self) -> Option<Arc<Copy>> {
        self.slot.still(&self.copy).or_else(|| self.slot.copy())
    }
}

/// What a call has of all keys.
pub struct Inner {
    /// The tier.
    pub shared: Arc<Shared>,
    /// The call.
    pub call: CallId,
    /// The call, as a holder of local locks.
    pub who: Who,
    user: String,
    held: Mutex<HashMap<Box<str>, Held>>,
    /// Locks of the cluster that it holds or lost.
    special: AtomicUsize,
}

impl Inner {
    /// Of a call that used none yet.
    pub fn new(shared: Arc<Shared>, call: CallId, user: String) -> Self {
        let who = Who::next();
        shared.waits.enter(call, who);
        let (held, special) = (Mutex::default(), AtomicUsize::new(0));
        Self { shared, call, who, user, held, special }
    }

    /// Whether no lock of the cluster makes a difference.
    pub fn is_plain(&self) -> bool {
        self.special.load(Ordering::Acquire) == 0
    }

    /// Does something with a key.
    pub fn with<T>(
        &self,
        key: &str,
        act: impl FnOnce(&mut Held) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut held = self.held.lock();
        if let Some(held) = held.get_mut(key) {
            return act(held);
        }
        let name = StateKey { user: self.user.clone(), key: key.to_owned() };
        if !name.is_valid() {
            return Err(Errno::Inval);
        }
        if held.len() >= MAX_KEYS {
            return Err(Errno::Limit);
        }
        let slot = self.shared.table.slot(name);
        let fresh = Held { slot, copy: Weak::new(), local: None, global: None, lost: false };
        act(held.entry(key.into()).or_insert(fresh))
    }

    /// Its place.
    pub fn slot(&self, key: &str) -> Result<Arc<Slot>, Errno> {
        self.with(key, |held| Ok(held.slot.clone()))
    }

    /// How to ask the key's owner; `FAASM_ELOCKLOST` once the call lost its lock.
    pub fn to(&self, key: &str) -> Result<To, Errno> {
        let shared = &self.shared;
        let (to, lost) = self.with(key, |held| {
            if held.lost {
                return Err(Errno::LockLost);
            }
            let key = held.slot.key.clone();
            let stands = |proof| shared.locks.stands(&key, self.call, proof);
            let lost = held.global.is_some_and(|proof| !stands(proof));
            let deadline = Instant::now() + shared.patience;
            Ok((To { key, proof: held.global, deadline }, lost))
        })?;
        if lost {
            self.lose(key);
            return Err(Errno::LockLost);
        }
        Ok(to)
    }

    /// The same for a write; `FAASM_EPERM` under a read lock.
    pub fn to_write(&self, key: &str) -> Result<To, Errno> {
        let to = self.to(key)?;
        match to.proof.map(|proof| proof.mode) {
            Some(Mode::Read) => Err(Errno::Perm),
            _ => Ok(to),
        }
    }

    /// The copy that this call uses: the one that it asked for, else the node's.
    pub fn copy(&self, key: &str) -> Result<Option<Arc<Copy>>, Errno> {
        self.with(key, |held| Ok(held.copy()))
    }

    /// The copy of the value as it is now, if there is one here.
    pub fn current(&self, key: &str) -> Result<Option<Arc<Copy>>, Errno> {
        let now = self.shared.table.now();
        self.with(key, |held| {
            let mine = held.copy().filter(|copy| !copy.is_stale());
            let copy = mine.or_else(|| held.slot.copy()).filter(|copy| !copy.is_stale());
            if let Some(copy) = &copy {
                copy.touch(now);
                held.copy = Arc::downgrade(copy);
            }
            Ok(copy)
        })
    }

    /// Removes what was written under a lock that was lost, before anything else is done.
    pub async fn cleanse(&self, copy: &Arc<Copy>, to: &To) -> Result<(), Errno> {
        if !copy.must_discard() {
            return Ok(());
        }
        let wish = Wish { range: 0..u64::MAX, absent: false, changed: true };
        let pulled = pull(&self.shared, copy, to.clone(), wish).await;
        if let Err(Errno::NoEnt | Errno::Stale) = pulled
            && let Some(slot) = self.shared.table.find(&copy.key)
        {
            // There is nothing else that it could be; also when it was begun here.
            self.shared.table.forget(&slot, copy);
        }
        pulled?;
        copy.discard(false);
        Ok(())
    }

    /// Looks at what came of an operation: a lock that was lost, a value that was deleted.
    pub fn told<T>(
        &self,
        key: &str,
        copy: Option<&Arc<Copy>>,
        result: Result<T, Errno>,
    ) -> Result<T, Errno> {
        match result {
            Err(Errno::LockLost) => {
                self.lose(key);
                Err(Errno::LockLost)
            }
            Err(error @ (Errno::Stale | Errno::NoEnt)) => {
                if let Some(copy) = copy.filter(|copy| copy.chunks().generation.is_some()) {
                    let slot = self.slot(key)?;
                    self.shared.table.forget(&slot, copy);
                    self.shared.meters.copies(self.shared.table.copies());
                }
                Err(error)
            }
            result => result,
        }
    }

    /// Notes that the lock of a key was lost: what was written under it goes.
    pub fn lose(&self, key: &str) {
        // Only keys in use are lost.
        let _ = self.with(key, |held| {
            if !std::mem::replace(&mut held.lost, true) && held.global.is_none() {
                self.special.fetch_add(1, Ordering::AcqRel);
            }
            if let Some(copy) = held.copy() {
                copy.discard(true);
            }
            Ok(())
        });
    }

    /// Notes a lock of the cluster.
    pub fn locked(&self, key: &str, proof: Proof) -> Result<(), Errno> {
        self.with(key, |held| {
            if held.global.replace(proof).is_none() && !held.lost {
                self.special.fetch_add(1, Ordering::AcqRel);
            }
            Ok(())
        })
    }

    /// Takes note that it is released: `FAASM_EPERM` when it was not held so.
    pub fn unlocked(&self, key: &str, mode: Mode) -> Result<(), Errno> {
        self.with(key, |held| {
            if held.lost {
                return Err(Errno::LockLost);
            }
            if held.global.is_none_or(|proof| proof.mode != mode) {
                return Err(Errno::Perm);
            }
            held.global = None;
            self.special.fetch_sub(1, Ordering::AcqRel);
            Ok(())
        })
    }

    /// The call ended: its locks here are released, and what it wrote under a write lock of the
    /// cluster that it did not release is never pushed by anybody.
    pub fn end(&self) {
        let held = std::mem::take(&mut *self.held.lock());
        for (_, held) in held {
            let copy = held.copy();
            let wrote = |copy: &Arc<Copy>| {
                let chunks = copy.chunks();
                chunks.is_touched() || chunks.is_flagged()
            };
            if held.global.is_some_and(|proof| proof.mode == Mode::Write)
                && let Some(copy) = copy.filter(wrote)
            {
                copy.discard(true);
            }
            if let Some(mode) = held.local {
                // It held it, so this cannot fail.
                let _ = held.slot.lock.release(self.who, mode);
            }
            self.shared.table.leave(held.slot);
        }
        self.shared.waits.exit(self.call, self.who);
    }
}
