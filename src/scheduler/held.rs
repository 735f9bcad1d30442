//! What calls hold of a node: slots, places, and instances of a function.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Inner;

/// How many instances of a function are alive on this node.
#[derive(Debug, Default)]
pub struct FunctionBook {
    live: AtomicUsize,
}

impl FunctionBook {
    /// Counts one more, if the function may have it.
    pub fn try_enter(&self, limit: u32) -> bool {
        let limit = limit as usize;
        let update = |n| (n < limit).then_some(n + 1);
        self.live.try_update(Ordering::SeqCst, Ordering::SeqCst, update).is_ok()
    }

    /// One ended.
    pub fn leave(&self) {
        self.live.fetch_sub(1, Ordering::SeqCst);
    }

    /// How many there are.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }
}

/// How many slots of this node a user's calls hold.
#[derive(Debug, Default)]
pub struct Holding(pub(super) AtomicUsize);

/// A start under way; given back when dropped, which starts what waits.
pub struct Slot {
    pub(super) inner: Arc<Inner>,
    pub(super) holding: Arc<Holding>,
    /// Whether giving it back starts what waits; not when nothing could start with it just now.
    pub(super) pumps: bool,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.holding.0.fetch_sub(1, Ordering::SeqCst);
        self.inner.slots.give();
        if self.pumps {
            Inner::pump(&self.inner);
        }
    }
}

/// The right to one instance; given back when dropped.
pub struct Place(pub(super) Arc<Inner>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.places.give();
    }
}
