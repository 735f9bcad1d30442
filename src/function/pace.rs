//! Fairness between guests that compute: who runs long takes turns with its like, so that a start
//! never queues behind all of them.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A call that used this many slices of [`TICK`](super::count::TICK) without waiting runs long.
/// Slices, not time: one that only stood in the queue behind others must not be taken for them.
const LONG: u32 = 20;

/// What to do with a guest at the end of a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Let the others have theirs.
    Yield,
    /// It has just become long-running: say so, then wait for a permit.
    BecomesLong,
    /// Wait for a permit.
    Queue,
}

/// How long a call has been computing. Pure.
#[derive(Debug, Default)]
pub struct Pace {
    slices: u32,
    long: bool,
}

impl Pace {
    /// A slice ended.
    pub fn slice_ended(&mut self) -> Turn {
        self.slices = self.slices.saturating_add(1);
        if self.long {
            Turn::Queue
        } else if self.slices >= LONG {
            self.long = true;
            Turn::BecomesLong
        } else {
            Turn::Yield
        }
    }

    /// A wait ended.
    pub fn waited(&mut self) {
        self.slices = 0;
    }
}

/// The permits of long-running calls: as many as workers, first come, first served.
pub struct Gate {
    permits: Arc<Semaphore>,
    /// Turns given.
    #[cfg(test)]
    pub turns: std::sync::atomic::AtomicU64,
}

impl Gate {
    /// A gate for this many workers.
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(workers)),
            #[cfg(test)]
            turns: Default::default(),
        })
    }
}

/// The permit of one call, while it holds one.
#[derive(Default)]
pub struct Permit {
    held: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Permit {
    /// Gives it back: the call waits, or its slice ended.
    pub fn release(&self) {
        self.held.lock().take();
    }

    /// Lets the others run, gives it back, and takes the next one that is free. Dropping the
    /// future leaves the queue.
    pub async fn next(self: Arc<Self>, gate: Arc<Gate>) {
        // In this order: the one who gets the permit runs at once, before all that this worker
        // has queued, so they must have had their turn.
        yield_now().await;
        self.release();
        // The semaphore is never closed.
        if let Ok(permit) = gate.permits.clone().acquire_owned().await {
            #[cfg(test)]
            gate.turns.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            *self.held.lock() = Some(permit);
        }
    }
}

/// Lets the other guests of this worker run first.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_call_is_long_running_once_and_from_then_on() {
        let mut pace = Pace::default();
        let mut turns = |count: u32| (0..count).map(|_| pace.slice_ended()).collect::<Vec<_>>();
        assert_eq!(turns(LONG - 1), vec![Turn::Yield; LONG as usize - 1]);
        assert_eq!(turns(3), [Turn::BecomesLong, Turn::Queue, Turn::Queue]);
        pace.waited();
        assert_eq!(pace.slice_ended(), Turn::Queue);
    }

    #[test]
    fn a_call_that_waits_now_and_then_is_not_long_running() {
        let mut pace = Pace::default();
        for _ in 0..5 {
            for _ in 0..LONG - 1 {
                assert_eq!(pace.slice_ended(), Turn::Yield);
            }
            pace.waited();
        }
    }

    #[test]
    fn permits_go_round_in_order() {
        let gate = Gate::new(1);
        let calls: Vec<Arc<Permit>> = (0..3).map(|_| Arc::default()).collect();
        let mut waits: Vec<_> =
            calls.iter().map(|call| Box::pin(call.clone().next(gate.clone()))).collect();
        for _ in 0..2 {
            for wait in &mut waits {
                wait.as_mut().now_or_never();
            }
        }
        let holders = || calls.iter().map(|c| c.held.lock().is_some()).collect::<Vec<_>>();
        assert_eq!(holders(), [true, false, false]);
        waits[0] = Box::pin(calls[0].clone().next(gate.clone()));
        assert!(waits[0].as_mut().now_or_never().is_none());
        assert!(waits[0].as_mut().now_or_never().is_none());
        assert!(waits[1].as_mut().now_or_never().is_some());
        assert_eq!(holders(), [false, true, false]);
        calls[1].release();
        assert!(waits[2].as_mut().now_or_never().is_some());
        assert_eq!(holders(), [false, false, true]);
    }
}
