//! An owner that is not the first target hands the shard over when that one has everything. It
//! serves nobody from then on until it knows what became of it: the other may have begun.

use std::time::{Duration, Instant};

use super::base::Base;
use super::owner::{Owner, Stage};
use super::progress::Way;
use crate::wire::shards::ShardStep;

/// Longest that it waits for all to be durable; then it takes up again.
const DRAIN: Duration = Duration::from_secs(2);
/// Pause after an attempt that came to nothing.
const REST: Duration = Duration::from_secs(5);
/// How far the other may be behind when it begins.
const NEAR: u64 = 256;

/// How far it has come.
pub enum Handing {
    /// Takes no more writes, and waits until all are committed.
    Draining { until: Instant },
    /// It was proposed; only the table can say what became of it.
    Proposed,
    /// Serves, and does not try again before.
    Resting { until: Instant },
}

impl Owner {
    /// Begins, goes on or gives up.
    pub fn hand_over(&mut self, base: &mut Base, now: Instant) {
        if !matches!(self.stage, Stage::Serving) {
            return;
        }
        let Some(table) = &base.table else { return };
        let Some(first) = table.targets.first().copied().filter(|node| *node != base.me) else {
            if !matches!(self.handing, Some(Handing::Proposed)) {
                self.handing = None;
            }
            return;
        };
        let last = base.log.last().seq;
        let near = self
            .copies
            .get(&first)
            .is_some_and(|copy| copy.way == Way::Streaming && copy.matched + NEAR >= last);
        let able = table.in_sync.contains(&first) && near;
        match &self.handing {
            Some(Handing::Proposed) => {}
            Some(Handing::Resting { until }) if now < *until => {}
            Some(Handing::Draining { until }) if now >= *until || !able => self.rest(now),
            Some(Handing::Draining { .. }) => {
                if base.commit == last && self.may_propose(now) {
                    self.handing = Some(Handing::Proposed);
                    self.propose(base, now, ShardStep::Promote { owner: first });
                }
            }
            _ if able && self.may_propose(now) => {
                self.handing = Some(Handing::Draining { until: now + DRAIN });
            }
            _ => self.handing = None,
        }
    }

    /// Takes up again.
    pub fn rest(&mut self, now: Instant) {
        self.handing = Some(Handing::Resting { until: now + REST });
    }

    /// Whether it serves nobody for the moment.
    pub fn hands_over(&self) -> bool {
        matches!(self.handing, Some(Handing::Draining { .. } | Handing::Proposed))
    }
}
