//! Turns of ranks on the workers that run them. A rank that another one wakes comes next on that
//! one's worker, where no idle worker finds it. That is the fastest when the waker waits now; when
//! it computes on, the woken one would wait for it, however many workers are idle.

use std::cell::Cell;
use std::task::Waker;

use tokio::runtime::Handle;

thread_local! {
    /// Whether the rank that runs here has woken another one since it began its turn.
    static WOKE: Cell<bool> = const { Cell::new(false) };
}

/// Wakes a rank.
pub fn wake(waker: Waker) {
    waker.wake();
    WOKE.set(true);
}

/// The rank here goes on to run: whom it has woken is offered to idle workers.
pub fn goes_on() {
    if WOKE.replace(false)
        && let Ok(worker) = Handle::try_current()
    {
        // What comes next on a worker is the last that was woken; those before it can be taken.
        worker.spawn(std::future::ready(()));
    }
}

/// The rank here gives way.
pub fn gives_way() {
    WOKE.set(false);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Poll;
    use std::time::{Duration, Instant};

    use tokio::sync::oneshot;

    use super::*;

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
        let computes = runtime.spawn(async move {
            wake(woken.await.unwrap());
            goes_on();
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
