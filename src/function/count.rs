//! How many instances live, and the ticker that lives only while some do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Duration;

use metrics::Gauge;
use parking_lot::Mutex;
use wasmtime::Engine;

use super::metrics::INSTANCES;

/// Time between two epochs: how long a guest runs before others have their turn.
pub const TICK: Duration = Duration::from_millis(1);
/// Ticks without an instance before the ticker sleeps; waking it costs a call some microseconds.
const LINGER: u32 = 100;

/// Counts live instances against the capacity.
pub struct Count {
    live: AtomicUsize,
    /// Moved with `live`, never set: two that end at once would each set it to what it was before
    /// the other.
    shown: Gauge,
    capacity: usize,
    parked: AtomicBool,
    stop: AtomicBool,
    ticker: Mutex<Option<Thread>>,
}

impl Count {
    /// No instance lives yet.
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            live: AtomicUsize::new(0),
            shown: metrics::gauge!(INSTANCES),
            capacity,
            parked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            ticker: Mutex::new(None),
        })
    }

    /// Instances alive.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Most instances alive at once.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Takes a place; `false` when all are taken.
    pub fn enter(&self) -> bool {
        if self.live.fetch_add(1, Ordering::SeqCst) >= self.capacity {
            self.live.fetch_sub(1, Ordering::SeqCst);
            return false;
        }
        self.shown.increment(1.0);
        if self.parked.load(Ordering::SeqCst)
            && self.parked.swap(false, Ordering::SeqCst)
            && let Some(ticker) = &*self.ticker.lock()
        {
            ticker.unpark();
        }
        true
    }

    /// Gives a place back.
    pub fn leave(&self) {
        self.live.fetch_sub(1, Ordering::SeqCst);
        self.shown.decrement(1.0);
    }
}

/// The thread that moves the epoch on every [`TICK`]. Once this is dropped it ends with the last
/// instance: a guest that computes would never notice its end without it.
pub struct Ticker {
    count: Arc<Count>,
    thread: Thread,
}

impl Ticker {
    /// Starts it.
    pub fn start(engine: Engine, count: Arc<Count>) -> std::io::Result<Self> {
        let counted = count.clone();
        let handle = std::thread::Builder::new()
            .name("faasm-epoch".into())
            .spawn(move || tick(&engine, &counted))?;
        let thread = handle.thread().clone();
        *count.ticker.lock() = Some(thread.clone());
        Ok(Self { count, thread })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.count.stop.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

fn tick(engine: &Engine, count: &Count) {
    let mut idle = 0;
    while !(count.stop.load(Ordering::SeqCst) && count.live() == 0) {
        std::thread::sleep(TICK);
        engine.increment_epoch();
        idle = if count.live() == 0 { idle + 1 } else { 0 };
        if idle < LINGER {
            continue;
        }
        // `enter` first counts, then looks at `parked`; here it is the other way round, so that
        // one of the two sees the other.
        count.parked.store(true, Ordering::SeqCst);
        while count.parked.load(Ordering::SeqCst)
            && count.live.load(Ordering::SeqCst) == 0
            && !count.stop.load(Ordering::SeqCst)
        {
            std::thread::park();
        }
        count.parked.store(false, Ordering::SeqCst);
        idle = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_end_at_the_capacity() {
        let count = Count::new(1);
        assert!(count.enter());
        assert!(!count.enter());
        assert_eq!(count.live(), 1);
        count.leave();
        assert!(count.enter());
    }

    #[test]
    fn the_ticker_sleeps_without_instances_and_wakes_for_one() {
        let engine = super::super::engine::build(1).unwrap();
        let count = Count::new(1);
        let _ticker = Ticker::start(engine, count.clone()).unwrap();
        wait_until("the ticker parks", || count.parked.load(Ordering::SeqCst));
        assert!(count.enter());
        assert!(!count.parked.load(Ordering::SeqCst));
        count.leave();
        wait_until("the ticker parks again", || count.parked.load(Ordering::SeqCst));
    }

    fn wait_until(what: &str, reached: impl Fn() -> bool) {
        let start = std::time::Instant::now();
        while !reached() {
            assert!(start.elapsed() < Duration::from_secs(10), "waited in vain: {what}");
            std::thread::sleep(TICK);
        }
    }
}
