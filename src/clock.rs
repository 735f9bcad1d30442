//! The time by which calls and placement decide. It is tokio's, which a test can make virtual; in a
//! running node it is the system's monotonic clock. No decision reads the wall clock: it jumps.

use std::time::{Duration, Instant};

/// Now.
pub fn now() -> Instant {
    let now = tokio::time::Instant::now().into_std();
    #[cfg(test)]
    let now = skew::by_node(now);
    now
}

/// Time left until `deadline`; zero when it passed.
pub fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(now())
}

/// When a moment of this clock comes, for tokio's timers.
pub fn at(moment: Instant) -> tokio::time::Instant {
    #[cfg(test)]
    let moment = skew::in_truth(moment);
    moment.into()
}

/// Clocks of simulated nodes that run faster or slower than time.
#[cfg(test)]
pub mod skew {
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    /// A clock: when it was right, and how fast it runs, in percent.
    #[derive(Debug, Clone, Copy)]
    pub struct Skew(pub Instant, pub u32);

    thread_local! {
        static CURRENT: Cell<Option<Skew>> = const { Cell::new(None) };
    }

    /// Does something by this clock.
    pub fn with<T>(skew: Skew, act: impl FnOnce() -> T) -> T {
        let _before = Before(CURRENT.replace(Some(skew)));
        act()
    }

    /// Puts the clock back, also when what was done by another one panicked.
    struct Before(Option<Skew>);

    impl Drop for Before {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }

    /// What the clock of whoever acts shows.
    pub fn by_node(now: Instant) -> Instant {
        CURRENT.get().map_or(now, |Skew(zero, rate)| zero + scale(now - zero, rate, 100))
    }

    /// Microseconds that the clock of whoever acts has shown since it was right, if it is simulated.
    pub fn micros() -> Option<u64> {
        let Skew(zero, _) = CURRENT.get()?;
        u64::try_from((super::now() - zero).as_micros()).ok()
    }

    /// When the clock of whoever acts shows this.
    pub fn in_truth(shown: Instant) -> Instant {
        CURRENT.get().map_or(shown, |Skew(zero, rate)| zero + scale(shown - zero, 100, rate))
    }

    fn scale(length: Duration, by: u32, of: u32) -> Duration {
        length * by / of
    }
}
