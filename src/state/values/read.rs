//! What is to be read for a pull.

use super::decide::Decision;
use super::snapshots::{READ_MS, SNAPSHOT_MS};
use super::table::{Elements, Value, Values};
use crate::wire::shards::StateKey;
use crate::wire::state::{
    Answer, Ask, CHUNK, Extent, MAX_EXTENTS, MAX_PIECE, Op, Pull, Pulled, Refusal, Version,
};

/// Most chunks that are looked at for one piece.
const MAX_LOOK: u64 = 1 << 16;

/// A read that was decided; the store does it.
#[derive(Debug)]
pub struct Plan {
    /// Of this value.
    pub key: StateKey,
    /// As of this version.
    pub version: Version,
    /// The length then.
    pub len: u64,
    /// What.
    pub what: What,
}

/// What is to be read.
#[derive(Debug)]
pub enum What {
    /// Chunks, with where their bytes are.
    Chunks {
        /// In order.
        chunks: Vec<(u64, Source)>,
        /// Dealt with up to here.
        done: u64,
    },
    /// Elements.
    Elements {
        /// As they are now; those newer than the version do not count.
        of: Elements,
        /// At most so many.
        most: u64,
        /// From this byte of them on.
        off: u64,
    },
}

/// Where the bytes of a chunk are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In this file of a value, with this hash.
    File(u64, u128),
    /// Kept, there, with this hash.
    Kept(u64, u128),
    /// Nowhere.
    Zeros,
}

impl Values {
    /// What to read for an operation, or its answer.
    pub(super) fn plan(&mut self, ask: &Ask, now: u64) -> Decision {
        if let Some(seq) = self.unread(&ask.key)
            && !matches!(ask.op, Op::Stat)
        {
            return Decision::After(seq);
        }
        let planned = match &ask.op {
            Op::Stat => self
                .stat(&ask.key)
                .map(|stat| Decision::Answer(Answer::Stat(stat)))
                .ok_or(Refusal::Missing),
            Op::Pull(pull) => self.plan_pull(&ask.key, pull, now).map(Decision::Read),
            Op::Appended { most, off, at } => {
                self.plan_elements(&ask.key, *most, *off, *at, now).map(Decision::Read)
            }
            Op::Write { .. } => Err(Refusal::Invalid("a write is no read".into())),
        };
        planned.unwrap_or_else(|refusal| Decision::Answer(Answer::Refused(refusal)))
    }

    /// The record that is being applied to a value, when what was there before was not kept.
    fn unread(&self, key: &StateKey) -> Option<u64> {
        let partial = self.partial.as_ref().filter(|partial| partial.key == *key)?;
        let value = self.keys.get(key).and_then(|entry| entry.value.as_ref())?;
        let kept = partial.value.is_some() || self.snapshots.is_held(key, value.version);
        (!kept).then_some(partial.seq)
    }

    /// The version to read at, and the length then.
    fn read_at(
        &self,
        key: &StateKey,
        at: Option<Version>,
        now: u64,
    ) -> Result<(Version, u64), Refusal> {
        let current = self.keys.get(key).and_then(|entry| entry.value.as_ref());
        match (at, current) {
            (Some(at), current) if current.is_none_or(|value| value.version != at) => {
                let len = self.snapshots.held(key, at, now);
                len.map(|len| (at, len)).ok_or(Refusal::Again)
            }
            (_, Some(value)) => Ok((value.version, value.len)),
            (_, None) => Err(Refusal::Missing),
        }
    }

    /// A reader of this version may come again; what is old is held already, or not any more.
    fn hold(&mut self, key: &StateKey, at: (Version, u64), until: u64) {
        let current = self.keys.get(key).and_then(|entry| entry.value.as_ref());
        if current.is_some_and(|value| value.version == at.0) {
            self.snapshots.hold(key, at, until);
        }
    }

    fn plan_pull(&mut self, key: &StateKey, pull: &Pull, now: u64) -> Result<Plan, Refusal> {
        let end = pull.range.end().ok_or_else(|| Refusal::Invalid("the range".into()))?;
        if pull.also.len() > MAX_EXTENTS {
            return Err(Refusal::Invalid("too many chunks".into()));
        }
        let (version, len) = self.read_at(key, pull.at, now)?;
        let value = self.value_at(key, version).ok_or(Refusal::Again)?;
        let since = pull.since.filter(|since| since.generation == version.generation);
        let mut also = pull.also.clone();
        also.sort_unstable();
        let stop = end.min(len).div_ceil(CHUNK);
        let mut at = pull.range.off / CHUNK;
        let (mut chunks, mut extents, mut looked) = (Vec::new(), 0, 0);
        let mut last = None;
        while at < stop {
            let Some(next) = next_wanted(value, &also, at, stop, since.map(|since| since.seq))
            else {
                at = stop;
                break;
            };
            looked += 1;
            extents += usize::from(last.is_none_or(|last: u64| last + 1 != next));
            let full = (chunks.len() as u64 + 1) * CHUNK > MAX_PIECE as u64;
            if full || extents > MAX_EXTENTS || looked > MAX_LOOK {
                at = next;
                break;
            }
            let source = self.source(key, value, next, version.seq).ok_or(Refusal::Again)?;
            chunks.push((next, source));
            last = Some(next);
            at = next + 1;
        }
        let done = if at >= stop { end } else { at * CHUNK };
        let all = pull.range.off == 0 && done >= len;
        let hold = if all { READ_MS } else { SNAPSHOT_MS };
        self.hold(key, (version, len), now + hold);
        Ok(Plan { key: key.clone(), version, len, what: What::Chunks { chunks, done } })
    }

    fn plan_elements(
        &mut self,
        key: &StateKey,
        most: u64,
        off: u64,
        at: Option<Version>,
        now: u64,
    ) -> Result<Plan, Refusal> {
        let (version, len) = self.read_at(key, at, now)?;
        let value = self.value_at(key, version).ok_or(Refusal::Again)?;
        let of = value.elements;
        // They were begun anew since.
        if of.file > version.seq {
            return Err(Refusal::Again);
        }
        self.hold(key, (version, len), now + SNAPSHOT_MS);
        Ok(Plan { key: key.clone(), version, len, what: What::Elements { of, most, off } })
    }

    /// The value that had this version: what there is, or what was there before.
    pub fn value_at(&self, key: &StateKey, version: Version) -> Option<&Value> {
        let current = self.keys.get(key).and_then(|entry| entry.value.as_ref());
        let fits = |value: &&Value| {
            value.version.generation == version.generation && value.file <= version.seq
        };
        if current.is_none_or(|value| value.version != version)
            && !self.snapshots.is_held(key, version)
        {
            return None;
        }
        current.filter(fits).or_else(|| self.snapshots.gone(key, version))
    }

    /// Where a chunk's bytes are as of a record; `None` if they are not kept any more.
    pub fn source(&self, key: &StateKey, value: &Value, chunk: u64, seq: u64) -> Option<Source> {
        if value.chunks.changed(chunk) <= seq {
            let there = value.chunks.get(chunk);
            return Some(there.map_or(Source::Zeros, |chunk| Source::File(value.file, chunk.hash)));
        }
        let Some(old) = self.snapshots.old(key, value.file, chunk, seq) else {
            // It was zeros, and was cut off.
            return value.chunks.get(chunk).is_none().then_some(Source::Zeros);
        };
        Some(old.kept.map_or(Source::Zeros, |kept| Source::Kept(kept, old.hash)))
    }
}

/// The first chunk that is wanted.
fn next_wanted(
    value: &Value,
    also: &[(u64, u64)],
    at: u64,
    stop: u64,
    since: Option<u64>,
) -> Option<u64> {
    let Some(since) = since else { return (at < stop).then_some(at) };
    let changed = value.chunks.next_changed(at, stop, since);
    let named = also
        .iter()
        .take_while(|(first, _)| *first < stop)
        .filter(|(first, count)| first.saturating_add(*count) > at)
        .map(|(first, _)| at.max(*first))
        .min();
    match (changed, named) {
        (Some(changed), Some(named)) => Some(changed.min(named)),
        (one, other) => one.or(other),
    }
}

impl Plan {
    /// The answer, once the bytes of the chunks are read.
    pub fn pulled(&self, chunks: impl Iterator<Item = u64>, done: u64) -> Pulled {
        let mut extents: Vec<Extent> = Vec::new();
        for chunk in chunks {
            let off = chunk * CHUNK;
            let len = CHUNK.min(self.len.saturating_sub(off));
            match extents.last_mut() {
                Some(last) if last.end() == Some(off) => last.len += len,
                _ => extents.push(Extent { off, len }),
            }
        }
        Pulled { version: self.version, len: self.len, extents, done }
    }
}
