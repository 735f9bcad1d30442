//! Counting what is taken: slots bound new starts, places bound live instances. Atomic, since every
//! call takes and gives some on its way.

use std::sync::atomic::{AtomicUsize, Ordering};

/// So many of something.
#[derive(Debug)]
pub struct Pool {
    taken: AtomicUsize,
    total: usize,
}

impl Pool {
    /// A pool of `total`.
    pub fn new(total: usize) -> Self {
        Self { taken: AtomicUsize::new(0), total }
    }

    /// Takes one, if one is left.
    pub fn try_take(&self) -> bool {
        self.taken
            .try_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n < self.total).then_some(n + 1))
            .is_ok()
    }

    /// Gives one back.
    pub fn give(&self) {
        let before = self.taken.fetch_sub(1, Ordering::SeqCst);
        debug_assert!(before > 0, "more was given back than taken");
    }

    /// How many are left.
    pub fn free(&self) -> usize {
        self.total.saturating_sub(self.taken())
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// How many there are.
    pub fn total(&self) -> usize {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_are_taken_than_there_are() {
        let pool = Pool::new(3);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        if pool.try_take() {
                            assert!(pool.taken() <= 3);
                            pool.give();
                        }
                    }
                });
            }
        });
        assert_eq!(pool.free(), 3);
    }
}
