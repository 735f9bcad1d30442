//! The time by which calls and placement decide. It is tokio's, which a test can make virtual; in a
//! running node it is the system's monotonic clock. No decision reads the wall clock: it jumps.

use std::time::{Duration, Instant};

/// Now.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Time left until `deadline`; zero when it passed.
pub fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(now())
}
