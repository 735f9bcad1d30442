//! Turns of ranks on the workers that run them. A rank that another one wakes comes next on that
//! one's worker, where no idle worker finds it. When the waker waits for it now, that is the fastest
//! by far: to wake a core takes longer than most calls. When the waker computes on, the woken one
//! would wait for it however many workers are idle, so it is offered to them.

use std::cell::Cell;
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// Between two calls, this is long: about what it takes to wake an idle worker.
const LONG: Duration = Duration::from_micros(30);
/// After so many calls without one, a long computation is not expected any more.
const MEMORY: u8 = 8;

thread_local! {
    /// Whether the rank that runs here has woken another one since it began its turn.
    static WOKE: Cell<bool> = const { Cell::new(false) };
}

/// Wakes a rank.
pub fn wake(waker: Waker) {
    waker.wake();
    WOKE.set(true);
}

/// Whether one that the rank here has woken waits for it to give way.
pub fn woke() -> bool {
    WOKE.get()
}

/// The rank here gives way.
pub fn gives_way() {
    WOKE.set(false);
}

/// What a rank does between its calls.
#[derive(Debug, Default)]
pub struct Turn {
    /// When it went on after it had woken another one.
    left: Option<Instant>,
    computes: u8,
}

impl Turn {
    /// A call begins.
    pub fn begins(&mut self) {
        if let Some(left) = self.left.take() {
            let long = left.elapsed() >= LONG;
            self.computes = if long { MEMORY } else { self.computes.saturating_sub(1) };
        }
    }

    /// A call ends, and the rank goes on: whom it has woken is offered to idle workers, if a long
    /// computation is to be expected.
    pub fn ends(&mut self, workers: &Handle) {
        if !WOKE.get() {
            return;
        }
        self.left = Some(Instant::now());
        if self.computes() {
            WOKE.set(false);
            // What comes next on a worker is the last that was woken; those before can be taken.
            workers.spawn(std::future::ready(()));
        }
    }

    /// Whether it computes for long between calls.
    pub fn computes(&self) -> bool {
        self.computes > 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Poll;
    use std::time::{Duration, Instant};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_rank_that_computed_between_calls_is_expected_to_do_so_again_for_a_while() {
        let mut turn = Turn::default();
        let gap = |turn: &mut Turn, gap: Duration| {
            WOKE.set(true);
            turn.ends(&Handle::current());
            assert_eq!(woke(), !turn.computes(), "whom it woke is offered, or comes next");
            // However long this test takes, a gap of nothing is one that has not begun.
            turn.left = turn.left.and_then(|left| match gap {
                Duration::ZERO => left.checked_add(Duration::from_secs(3600)),
                gap => left.checked_sub(gap),
            });
            turn.begins();
            turn.computes()
        };
        assert!(!gap(&mut turn, Duration::ZERO));
        assert!(gap(&mut turn, LONG));
        for _ in 1..MEMORY {
            assert!(gap(&mut turn, Duration::ZERO));
        }
        assert!(!gap(&mut turn, Duration::ZERO));
        gives_way();
        assert!(!woke());
        // Who woke nobody is not asked what it does.
        turn.ends(&Handle::current());
        assert!(turn.left.is_none());
    }

    #[test]
    fn a_woken_rank_runs_on_an_idle_worker_while_its_waker_computes() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let ran = Arc::new(AtomicBool::new(false));
        let (waker, woken) = oneshot::channel();
        let mut waker = Some(waker);
        let seen = ran.clone();
        let woken_one = runtime.spawn(async move {
            std::future::poll_fn(|context| match waker.take() {
                Some(waker) => {
                    waker.send(context.waker().clone()).unwrap();
                    Poll::Pending
                }
                None => Poll::Ready(()),
            })
            .await;
            seen.store(true, Ordering::Release);
        });
        let workers = runtime.handle().clone();
        let timers = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let control = timers.handle().clone();
        let computes = runtime.spawn(async move {
            // It has computed for long before.
            let mut turn = Turn { left: None, computes: MEMORY };
            let woken = woken.await.unwrap();
            // As guests do, it runs within the runtime of its timers.
            let _timers = control.enter();
            wake(woken);
            turn.ends(&workers);
            let begun = Instant::now();
            while !ran.load(Ordering::Acquire) {
                assert!(begun.elapsed() < Duration::from_secs(20), "it waits for its waker");
                std::thread::yield_now();
            }
        });
        runtime.block_on(async move {
            computes.await.unwrap();
            woken_one.await.unwrap();
        });
    }
}
