//! Applying what is committed, a little at a time: a push of many bytes must not hold up the other
//! shards, which share the thread.

use std::collections::VecDeque;
use std::time::Instant;

use super::driver::Driver;
use super::replica::Effect;
use crate::wire::shards::ShardId;

/// What waits until a copy has applied what it was told to.
pub struct Applying {
    through: u64,
    /// What comes behind it.
    then: VecDeque<Effect>,
}

impl Driver {
    /// Keeps an effect that must come behind what is being applied; else gives it back.
    pub(super) fn hold_back(&mut self, shard: ShardId, effect: Effect) -> Option<Effect> {
        let waits = match &effect {
            // The log is ahead of the values anyway.
            Effect::Append { .. } | Effect::Truncate { .. } | Effect::Read { .. } => false,
            Effect::Send { .. } | Effect::Propose(_) | Effect::Compact { .. } => false,
            Effect::Apply { .. } | Effect::Settle { .. } | Effect::Export { .. } => true,
            Effect::ImportBegin { .. } | Effect::Import { .. } => true,
            Effect::Discard => false,
        };
        match self.applying.get_mut(&shard).filter(|_| waits) {
            Some(applying) => {
                applying.then.push_back(effect);
                None
            }
            None => Some(effect),
        }
    }

    /// Applies records up to this one; what does not fit into a turn is done later. False when the
    /// copy failed.
    pub(super) fn apply(&mut self, shard: ShardId, through: u64, now: Instant) -> bool {
        let mut applied = Vec::new();
        let all = self.store.apply_some(shard, through, self.ms(now), &mut applied);
        if let Some(copy) = self.copies.get_mut(&shard) {
            let last = applied.last().map(|(seq, _)| *seq);
            for (seq, applied) in applied {
                if let Some((_, written)) = applied.written {
                    copy.jobs.applied(seq, written);
                }
            }
            for job in last.map(|last| copy.jobs.released(last)).unwrap_or_default() {
                self.ask(job, now);
            }
        }
        match all {
            Ok(true) => true,
            Ok(false) => {
                self.applying.insert(shard, Applying { through, then: VecDeque::new() });
                true
            }
            Err(error) => {
                self.copy_failed(shard, &error, now);
                false
            }
        }
    }

    /// Goes on with one copy that has something to apply.
    pub(super) fn go_on(&mut self, now: Instant) {
        // In turns: the one behind the last.
        let next = self.applying.range(self.applied_last..).next();
        let next = next.or_else(|| self.applying.iter().next()).map(|(shard, _)| *shard);
        let Some(shard) = next else { return };
        self.applied_last = ShardId(shard.0.saturating_add(1));
        let Some(Applying { through, then }) = self.applying.remove(&shard) else { return };
        let well = self.apply(shard, through, now);
        // What one of these begins, the others wait for.
        for effect in then {
            if well || matches!(effect, Effect::Settle { .. }) {
                self.effect(shard, effect, now);
            }
        }
    }

    /// The copy begins anew: what was to be applied is not. Who waits is told.
    pub(super) fn give_up_applying(&mut self, shard: ShardId, now: Instant) {
        let then = self.applying.remove(&shard).map(|applying| applying.then);
        for effect in then.into_iter().flatten() {
            if matches!(effect, Effect::Settle { .. }) {
                self.effect(shard, effect, now);
            }
        }
    }
}
