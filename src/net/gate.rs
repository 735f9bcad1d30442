//! How often strangers may write to our log: a pure decision.

use std::time::{Duration, Instant};

/// Refusals of strangers are logged at most this often; the rest are counted.
const PAUSE: Duration = Duration::from_secs(1);

/// Lets one through per [`PAUSE`].
#[derive(Debug, Default)]
pub(super) struct LogGate {
    next: Option<Instant>,
    withheld: u64,
}

impl LogGate {
    /// Whether to log now; then also how many were withheld since the last one.
    pub(super) fn pass(&mut self, now: Instant) -> Option<u64> {
        if self.next.is_some_and(|next| now < next) {
            self.withheld += 1;
            return None;
        }
        self.next = Some(now + PAUSE);
        Some(std::mem::take(&mut self.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_passes_per_pause_and_says_how_many_did_not() {
        let mut gate = LogGate::default();
        let start = Instant::now();
        let at = |gate: &mut LogGate, ms| gate.pass(start + Duration::from_millis(ms));
        assert_eq!(at(&mut gate, 0), Some(0));
        assert_eq!(at(&mut gate, 1), None);
        assert_eq!(at(&mut gate, 999), None);
        assert_eq!(at(&mut gate, 1000), Some(2));
        assert_eq!(at(&mut gate, 5000), Some(0));
    }
}
