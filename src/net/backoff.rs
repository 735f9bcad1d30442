//! How long to wait before dialing again: doubling, with jitter, up to a cap.

use std::time::Duration;

/// The first wait. A restarting process is back after tens of milliseconds.
const FIRST: Duration = Duration::from_millis(50);
/// The longest wait: a node that comes back is found again this soon.
const LONGEST: Duration = Duration::from_secs(1);

/// The waits between failed attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    /// Starts with the shortest wait.
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The next wait: between half of it and the whole, by `jitter` (0 to 1), so that nodes that
    /// lost the same peer do not dial it in step.
    pub(super) fn wait(&mut self, jitter: f64) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        whole.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }

    /// Begins anew after a success.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_begin_anew() {
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..7).map(|_| backoff.wait(1.0).as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.wait(1.0), FIRST);
    }

    #[test]
    fn jitter_takes_up_to_half_away_whatever_number_comes() {
        for (jitter, ms) in [(0.0, 25), (0.5, 37), (1.0, 50), (-3.0, 25), (f64::INFINITY, 50)] {
            assert_eq!(Backoff::new().wait(jitter).as_millis(), ms, "jitter {jitter}");
        }
    }
}
