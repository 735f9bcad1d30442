//! Applying what is committed, a little at a time: a push of many bytes must hold up neither other
//! shards, which share the thread, nor other values of its own shard.

use std::collections::VecDeque;
use std::time::Instant;

use super::driver::Driver;
use super::replica::{Effect, Settled};
use super::store::Turn;
use crate::wire::shards::ShardId;

/// What a copy has to apply yet.
#[derive(Default)]
pub struct Applying {
    /// Up to this record.
    through: u64,
    /// Records up to this one are applied.
    reached: u64,
    /// But for this one, of which some is.
    part: Option<u64>,
    /// Writes to be answered when they are applied.
    settles: Vec<Effect>,
    /// What needs all records up to one to be applied, in order.
    then: VecDeque<(u64, Effect)>,
}

impl Applying {
    fn has(&self, seq: u64) -> bool {
        seq <= self.reached && self.part != Some(seq)
    }

    fn has_all(&self, through: u64) -> bool {
        // What is exported must not be in part of another version.
        through <= self.reached && self.part.is_none()
    }
}

impl Driver {
    /// Keeps an effect that must come behind what is being applied; else gives it back.
    pub(super) fn hold_back(&mut self, shard: ShardId, effect: Effect) -> Option<Effect> {
        let Some(applying) = self.applying.get_mut(&shard) else { return Some(effect) };
        match &effect {
            Effect::Settle { outcome: Settled::Committed { seq }, .. } if !applying.has(*seq) => {
                applying.settles.push(effect);
            }
            Effect::Export { .. } | Effect::ImportBegin { .. } | Effect::Import { .. } => {
                applying.then.push_back((applying.through, effect));
            }
            _ => return Some(effect),
        }
        None
    }

    /// Applies records up to this one; what does not fit into a turn is done later.
    pub(super) fn apply(&mut self, shard: ShardId, through: u64, now: Instant) {
        if let Some(applying) = self.applying.get_mut(&shard) {
            applying.through = applying.through.max(through);
            return;
        }
        self.apply_turn(shard, Applying { through, ..Applying::default() }, now);
    }

    /// Goes on with one of the copies that have something to apply, each in its turn.
    pub(super) fn go_on(&mut self, now: Instant) {
        let next = self.applying.range(self.apply_next..).next();
        let next = next.or_else(|| self.applying.iter().next()).map(|(shard, _)| *shard);
        let Some(shard) = next else { return };
        self.apply_next = ShardId(shard.0.saturating_add(1));
        if let Some(applying) = self.applying.remove(&shard) {
            self.apply_turn(shard, applying, now);
        }
    }

    fn apply_turn(&mut self, shard: ShardId, mut applying: Applying, now: Instant) {
        let turn = match self.store.apply_some(shard, applying.through, self.ms(now)) {
            Ok(turn) => turn,
            Err(error) => {
                self.applying.insert(shard, applying);
                self.copy_failed(shard, &error, now);
                return self.give_up_applying(shard, now);
            }
        };
        let Turn { applied, reached, part } = turn;
        (applying.reached, applying.part) = (reached, part);
        let released = self.copies.get_mut(&shard).map(|copy| {
            for (seq, applied) in applied {
                if let Some((_, written)) = applied.written {
                    copy.jobs.applied(seq, written);
                }
            }
            copy.jobs.released(reached, part)
        });
        let mut ready: Vec<Effect> = Vec::new();
        let is_ready = |effect: &mut Effect| match effect {
            Effect::Settle { outcome: Settled::Committed { seq }, .. } => {
                reached >= *seq && part != Some(*seq)
            }
            _ => true,
        };
        ready.extend(applying.settles.extract_if(.., is_ready));
        while let Some((needs, _)) = applying.then.front()
            && applying.has_all(*needs)
        {
            ready.extend(applying.then.pop_front().map(|(_, effect)| effect));
        }
        if !applying.has_all(applying.through) {
            self.applying.insert(shard, applying);
        }
        for job in released.unwrap_or_default() {
            self.ask(job, now);
        }
        for effect in ready {
            self.effect(shard, effect, now);
        }
    }

    /// The copy begins anew, or is no more: what was to be applied is not. Who waits asks again.
    pub(super) fn give_up_applying(&mut self, shard: ShardId, now: Instant) {
        let applying = self.applying.remove(&shard);
        for effect in applying.map(|applying| applying.settles).into_iter().flatten() {
            self.effect(shard, effect, now);
        }
    }
}
