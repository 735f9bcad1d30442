//! The values that this node knows: for each its lock and, where there is one, its copy.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use dashmap::DashMap;
use parking_lot::Mutex;

use super::copy::Copy;
use super::locks::Lock;
use crate::wire::shards::StateKey;

/// What there is of one key.
pub struct Slot {
    /// The key.
    pub key: Arc<StateKey>,
    /// Its lock among the instances of this node.
    pub lock: Lock,
    /// Held while a copy is made: there is at most one.
    pub making: tokio::sync::Mutex<()>,
    copy: Mutex<Option<Arc<Copy>>>,
}

impl Slot {
    /// The copy, if there is one.
    pub fn copy(&self) -> Option<Arc<Copy>> {
        self.copy.lock().clone()
    }

    /// A copy of this slot that was there before, if it is still somewhere.
    pub fn still(&self, copy: &Weak<Copy>) -> Option<Arc<Copy>> {
        // Under this lock it cannot be found unused at the same moment.
        let _place = self.copy.lock();
        copy.upgrade()
    }
}

/// All of them.
#[derive(Default)]
pub struct Table {
    slots: DashMap<Arc<StateKey>, Arc<Slot>>,
    copies: AtomicUsize,
    clock: AtomicU64,
}

impl Table {
    /// The slot of a key; made if there is none.
    pub fn slot(&self, key: StateKey) -> Arc<Slot> {
        if let Some(slot) = self.slots.get(&key) {
            return slot.clone();
        }
        let key = Arc::new(key);
        let make = || {
            Arc::new(Slot {
                key: key.clone(),
                lock: Lock::default(),
                making: tokio::sync::Mutex::default(),
                copy: Mutex::default(),
            })
        };
        self.slots.entry(key.clone()).or_insert_with(make).clone()
    }

    /// The slot of a key, if there is one.
    pub fn find(&self, key: &StateKey) -> Option<Arc<Slot>> {
        self.slots.get(key).map(|slot| slot.clone())
    }

    /// Forgets a slot of which nothing is left but what the caller has.
    pub fn leave(&self, slot: Arc<Slot>) {
        if slot.copy.lock().is_some() || !slot.lock.is_idle() {
            return;
        }
        // Counts only grow under the table's lock, or from others that count too.
        self.slots.remove_if(&slot.key, |_, known| {
            Arc::strong_count(known) == 2 && known.lock.is_idle() && known.copy.lock().is_none()
        });
    }

    /// Puts a copy into its slot.
    pub fn put(&self, slot: &Slot, copy: Arc<Copy>) {
        copy.touch(self.now());
        if slot.copy.lock().replace(copy).is_none() {
            self.copies.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes this copy out of its slot, if it is there: it is of a value that was deleted.
    pub fn forget(&self, slot: &Slot, copy: &Arc<Copy>) {
        copy.set_stale();
        let mut place = slot.copy.lock();
        if place.as_ref().is_some_and(|known| Arc::ptr_eq(known, copy)) {
            *place = None;
            self.copies.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Takes the copy out of a slot if nobody uses it and `may_go` says so.
    pub fn evict(&self, slot: &Slot, may_go: impl FnOnce(&Copy) -> bool) -> bool {
        let mut place = slot.copy.lock();
        // Others get it only from here, under this lock.
        let unused = |copy: &&Arc<Copy>| Arc::strong_count(copy) == 1;
        if !place.as_ref().filter(unused).is_some_and(|copy| may_go(copy)) {
            return false;
        }
        let gone = place.take();
        drop(place);
        self.copies.fetch_sub(1, Ordering::Relaxed);
        drop(gone);
        true
    }

    /// A moment later than all before.
    pub fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    /// How many copies there are.
    pub fn copies(&self) -> usize {
        self.copies.load(Ordering::Relaxed)
    }

    /// How many keys it knows.
    #[cfg(test)]
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Slots whose copies nobody uses, those first that were used longest ago.
    pub fn unused(&self) -> Vec<Arc<Slot>> {
        let mut unused: Vec<(u64, Arc<Slot>)> = Vec::new();
        for slot in self.slots.iter() {
            let copy = slot.copy.lock();
            if let Some(copy) = copy.as_ref()
                && Arc::strong_count(copy) == 1
            {
                unused.push((copy.used(), slot.clone()));
            }
        }
        unused.sort_unstable_by_key(|(used, _)| *used);
        unused.into_iter().map(|(_, slot)| slot).collect()
    }
}
