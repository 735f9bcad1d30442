//! The counter behind [`memory`](super::memory): how many copies touch an instance's memory, and
//! whether more may begin. It is on its own, over the atomics of `super::sync`, so that the loom
//! test can run it in every order of two threads.

use super::sync::atomic::{AtomicU64, Ordering};

const CLOSED: u64 = 1 << 63;

/// Counts pins until it is closed.
#[derive(Debug)]
pub struct Pins {
    state: AtomicU64,
}

impl Pins {
    /// Open, with no pin.
    pub fn new() -> Self {
        Self { state: AtomicU64::new(0) }
    }

    /// Takes a pin; `false` when closed. What was written before the closing is then not to be
    /// touched any more.
    pub fn pin(&self) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & CLOSED == 0 {
            let next =
                self.state.compare_exchange(state, state + 1, Ordering::Acquire, Ordering::Relaxed);
            match next {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// Gives a pin back. Its copies happen before whatever follows a `true` of [`Pins::idle`].
    pub fn unpin(&self) {
        self.state.fetch_sub(1, Ordering::Release);
    }

    /// Lets no further pin be taken.
    pub fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Whether it is closed and every pin is gone, for ever then.
    pub fn idle(&self) -> bool {
        self.state.load(Ordering::Acquire) == CLOSED
    }
}

impl Default for Pins {
    fn default() -> Self {
        Self::new()
    }
}
