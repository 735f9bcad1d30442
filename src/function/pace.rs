//! Fairness between guests that compute: who runs long takes turns with its like, so that a start
//! never queues behind all of them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A call that ran this long without waiting runs long.
const LONG: Duration = Duration::from_millis(20);

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

/// How long a call has been computing. Pure: time is passed in.
#[derive(Debug)]
pub struct Pace {
    since: Instant,
    long: bool,
}

impl Pace {
    /// It starts now.
    pub fn new(now: Instant) -> Self {
        Self { since: now, long: false }
    }

    /// A slice ended.
    pub fn slice_ended(&mut self, now: Instant) -> Turn {
        if self.long {
            Turn::Queue
        } else if now.saturating_duration_since(self.since) > LONG {
            self.long = true;
            Turn::BecomesLong
        } else {
            Turn::Yield
        }
    }

    /// A wait ended.
    pub fn waited(&mut self, now: Instant) {
        self.since = now;
    }
}

/// The permits of long-running calls: as many as workers, first come, first served.
pub struct Gate {
    permits: Arc<Semaphore>,
}

impl Gate {
    /// A gate for this many workers.
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self { permits: Arc::new(Semaphore::new(workers)) })
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

    /// Gives it back, lets the others run, and takes the next one that is free. Dropping the
    /// future leaves the queue.
    pub async fn next(self: Arc<Self>, gate: Arc<Gate>) {
        self.release();
        yield_now().await;
        // The semaphore is never closed.
        if let Ok(permit) = gate.permits.clone().acquire_owned().await {
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
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::new(start);
        assert_eq!(pace.slice_ended(after(20)), Turn::Yield);
        pace.waited(after(20));
        assert_eq!(pace.slice_ended(after(40)), Turn::Yield);
        assert_eq!(pace.slice_ended(after(41)), Turn::BecomesLong);
        assert_eq!(pace.slice_ended(after(42)), Turn::Queue);
        pace.waited(after(50));
        assert_eq!(pace.slice_ended(after(51)), Turn::Queue);
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
