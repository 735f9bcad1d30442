//! Deciding and reading.

use bytes::{Bytes, BytesMut};

use super::files::read_at;
use super::log::Record;
use super::{Store, StoreError};
use crate::state::values::{
    BOUND, Bound, Change, Decision, Fault, FileId, Files, Next, Plan, Source, What, damaged,
};
use crate::wire::shards::{ShardId, StateKey};
use crate::wire::state::{
    Answer, Ask, CHUNK, Extent, List, Listed, MAX_PIECE, Pulled, Refusal, Version, chunk_hash,
};

/// Most elements of which bounds are read at once.
const MAX_BOUNDS: u64 = 4_096;

impl Store {
    /// Decides an operation on a value of this shard; see
    /// [`Values::decide`](crate::state::values::Values::decide).
    pub fn decide(
        &self,
        shard: ShardId,
        ask: &Ask,
        body: &Bytes,
        next: &Next<'_>,
    ) -> Result<Decision, StoreError> {
        Ok(self.usable(shard)?.values.decide(ask, body, next))
    }

    /// Notes a record that is being logged, so that the next decision knows of it.
    pub fn note(&self, shard: ShardId, record: &Record) -> Result<(), StoreError> {
        if record.body.is_empty() {
            return Ok(());
        }
        let change = Change::decode(&record.body);
        let (change, _) = change.map_err(|error| StoreError::Misuse(error.to_string()))?;
        self.usable(shard)?.values.note(record.seq, &change);
        Ok(())
    }

    /// Forgets all that was noted and is not applied: the node has lost the shard, or begins to
    /// serve it.
    pub fn forget_head(&self, shard: ShardId) -> Result<(), StoreError> {
        self.usable(shard)?.values.forget_head();
        Ok(())
    }

    /// The record that gives up staged bytes, if any are too old or of sessions that are over.
    pub fn overdue(
        &self,
        shard: ShardId,
        now: u64,
        is_over: &dyn Fn(crate::wire::consensus::SessionId) -> bool,
    ) -> Result<Option<Bytes>, StoreError> {
        let copy = self.usable(shard)?;
        Ok(copy.values.overdue(now, is_over).or_else(|| copy.values.forget(is_over)))
    }

    /// Values of a shard, in order of their names.
    pub fn list(&self, shard: ShardId, list: &List) -> Result<Vec<Listed>, StoreError> {
        Ok(self.usable(shard)?.values.list(list))
    }

    /// What a user's values in this shard count for, and what is staged, in bytes.
    pub fn usage(&self, shard: ShardId, user: &str) -> Result<(u64, u64), StoreError> {
        Ok(self.shard(shard)?.lock().values.usage(user))
    }

    /// Reads what was planned.
    pub fn read(&self, shard: ShardId, plan: &Plan) -> Result<(Answer, Bytes), StoreError> {
        let read = match &plan.what {
            What::Chunks { chunks, done } => self.chunks(shard, plan, chunks).map(|bytes| {
                let pulled = plan.pulled(chunks.iter().map(|(chunk, _)| *chunk), *done);
                (pulled, bytes)
            }),
            What::Elements { .. } => self.elements(shard, plan),
        };
        match read {
            Ok((pulled, bytes)) => Ok((Answer::Pulled(pulled), bytes)),
            Err(Trouble::Again) => Ok((Answer::Refused(Refusal::Again), Bytes::new())),
            Err(Trouble::Store(error)) => Err(error),
            Err(Trouble::Fault(fault)) => {
                self.shard(shard)?.lock().damage = Some(fault.to_string());
                Err(StoreError::copy(shard, &fault))
            }
        }
    }

    fn chunks(
        &self,
        shard: ShardId,
        plan: &Plan,
        chunks: &[(u64, Source)],
    ) -> Result<Bytes, Trouble> {
        let mut bytes = BytesMut::zeroed(chunks.len() * CHUNK as usize);
        let (mut left, mut into) = (chunks, bytes.as_mut());
        while let Some((first, _)) = left.first() {
            let (run, others) = left.split_at(neighbours(left));
            let (mine, behind) = into.split_at_mut(run.len() * CHUNK as usize);
            (left, into) = (others, behind);
            let read = self.read_run(shard, *first, run, mine)?;
            for ((chunk, source), page) in run.iter().zip(mine.chunks_exact_mut(CHUNK as usize)) {
                let intact =
                    read && matches!(source, Source::File(_, hash) if chunk_hash(page) == *hash);
                if !intact {
                    self.chunk(shard, &plan.key, plan.version, (*chunk, *source), page)?;
                }
            }
        }
        let len = chunks.iter().map(|(chunk, _)| CHUNK.min(plan.len.saturating_sub(chunk * CHUNK)));
        bytes.truncate(len.sum::<u64>() as usize);
        Ok(bytes.freeze())
    }

    /// Reads neighbours in one file at once; false if that cannot be done, or did not work.
    fn read_run(
        &self,
        shard: ShardId,
        first: u64,
        run: &[(u64, Source)],
        into: &mut [u8],
    ) -> Result<bool, Trouble> {
        let Some((_, Source::File(file, _))) = run.first() else { return Ok(false) };
        let reader = self.usable(shard)?.files.reader(FileId::Value(*file))?;
        Ok(read_at(reader.as_deref(), first * CHUNK, into).is_ok())
    }

    /// Reads one chunk; if it changed since that was planned, what was kept of it.
    fn chunk(
        &self,
        shard: ShardId,
        key: &StateKey,
        version: Version,
        (chunk, source): (u64, Source),
        into: &mut [u8],
    ) -> Result<(), Trouble> {
        if source == Source::Zeros {
            into.fill(0);
            return Ok(());
        }
        let intact = |into: &[u8], hash: u128| chunk_hash(into) == hash;
        let fast = {
            let copy = self.usable(shard)?;
            match source {
                Source::File(file, hash) => Some((copy.files.reader(FileId::Value(file))?, hash)),
                _ => None,
            }
        };
        if let Some((file, hash)) = fast {
            let read = read_at(file.as_deref(), chunk * CHUNK, into);
            if read.is_ok() && intact(into, hash) {
                return Ok(());
            }
        }
        // It may have been replaced while it was read; nothing is while the shard is held.
        let copy = self.usable(shard)?;
        let value = copy.values.value_at(key, version).ok_or(Trouble::Again)?;
        let source = copy.values.source(key, value, chunk, version.seq).ok_or(Trouble::Again)?;
        let hash = match source {
            Source::Zeros => {
                into.fill(0);
                return Ok(());
            }
            Source::File(file, hash) => {
                copy.files.read(FileId::Value(file), chunk * CHUNK, into)?;
                hash
            }
            Source::Kept(place, hash) => {
                copy.files.kept().read(place, into)?;
                hash
            }
        };
        if intact(into, hash) {
            Ok(())
        } else {
            Err(damaged(key, &format!("chunk {chunk}")).into())
        }
    }

    /// Reads one chunk; false if it is not kept any more.
    pub(super) fn read_chunk(
        &self,
        shard: ShardId,
        key: &StateKey,
        version: Version,
        chunk: (u64, Source),
        into: &mut [u8],
    ) -> Result<bool, StoreError> {
        match self.chunk(shard, key, version, chunk, into) {
            Ok(()) => Ok(true),
            Err(Trouble::Again) => Ok(false),
            Err(Trouble::Store(error)) => Err(error),
            Err(Trouble::Fault(fault)) => {
                self.shard(shard)?.lock().damage = Some(fault.to_string());
                Err(StoreError::copy(shard, &fault))
            }
        }
    }

    fn elements(&self, shard: ShardId, plan: &Plan) -> Result<(Pulled, Bytes), Trouble> {
        let What::Elements { of, most, off } = &plan.what else { return Err(Trouble::Again) };
        let one = |at: u64| -> Result<Bound, Trouble> {
            let found = self.bounds(shard, plan, of.file, at, 1)?;
            found.into_iter().next().ok_or(Trouble::Again)
        };
        // Those behind the version are not there yet.
        let count = first(0, (*most).min(of.count), |at| Ok(one(at)?.seq > plan.version.seq))?;
        let len = if count == 0 { 0 } else { one(count - 1)?.end };
        let mut at = first(0, count, |at| Ok(one(at)?.end > *off))?;
        let mut total = if at == 0 { 0 } else { one(at - 1)?.end };
        let mut bytes = BytesMut::new();
        let mut next: Option<Extent> = None;
        while at < count && total < off + MAX_PIECE as u64 {
            let some = self.bounds(shard, plan, of.file, at, (count - at).min(MAX_BOUNDS))?;
            at += some.len() as u64;
            for bound in some {
                let long = bound.end.saturating_sub(total);
                let skip = off.saturating_sub(total);
                total = bound.end;
                let range = Extent { off: bound.off + skip, len: long.saturating_sub(skip) };
                match &mut next {
                    Some(next) if next.end() == Some(range.off) => next.len += range.len,
                    _ => {
                        if let Some(range) = next.replace(range) {
                            self.range(shard, plan, range, &mut bytes)?;
                        }
                    }
                }
                if total >= off + MAX_PIECE as u64 {
                    break;
                }
            }
        }
        if let Some(range) = next {
            self.range(shard, plan, range, &mut bytes)?;
        }
        let extents = vec![Extent { off: *off, len: bytes.len() as u64 }];
        let done = off + bytes.len() as u64;
        Ok((Pulled { version: plan.version, len, extents, done }, bytes.freeze()))
    }

    /// The bounds of some elements.
    fn bounds(
        &self,
        shard: ShardId,
        plan: &Plan,
        file: u64,
        at: u64,
        count: u64,
    ) -> Result<Vec<Bound>, Trouble> {
        let mut raw = vec![0; (count * BOUND) as usize];
        self.usable(shard)?.files.read(FileId::Bounds(file), at * BOUND, &mut raw)?;
        let bounds: Option<Vec<_>> = raw.chunks_exact(BOUND as usize).map(Bound::decode).collect();
        match bounds {
            Some(bounds) => Ok(bounds),
            None => Err(self.no_bounds(shard, &plan.key, file)?),
        }
    }

    /// Why there are no bounds where they should be: they were forgotten meanwhile, or damaged.
    fn no_bounds(&self, shard: ShardId, key: &StateKey, file: u64) -> Result<Trouble, StoreError> {
        let copy = self.usable(shard)?;
        let value = copy.values.keys.get(key).and_then(|entry| entry.value.as_ref());
        Ok(match value {
            Some(value) if value.elements.file == file => {
                damaged(key, "the bounds of its elements").into()
            }
            _ => Trouble::Again,
        })
    }

    /// Adds the bytes of a range, as far as they fit one piece.
    fn range(
        &self,
        shard: ShardId,
        plan: &Plan,
        range: Extent,
        bytes: &mut BytesMut,
    ) -> Result<(), Trouble> {
        let mut whole = [0; CHUNK as usize];
        let room = MAX_PIECE.saturating_sub(bytes.len()) as u64;
        let (mut off, end) = (range.off, range.off + range.len.min(room));
        while off < end {
            let chunk = off / CHUNK;
            let source = {
                let copy = self.usable(shard)?;
                let value = copy.values.value_at(&plan.key, plan.version).ok_or(Trouble::Again)?;
                copy.values
                    .source(&plan.key, value, chunk, plan.version.seq)
                    .ok_or(Trouble::Again)?
            };
            self.chunk(shard, &plan.key, plan.version, (chunk, source), &mut whole)?;
            let stop = end.min((chunk + 1) * CHUNK);
            let (from, to) = ((off % CHUNK) as usize, (stop - chunk * CHUNK) as usize);
            bytes.extend_from_slice(whole.get(from..to).unwrap_or_default());
            off = stop;
        }
        Ok(())
    }
}

/// How many of the first chunks are neighbours in one file; one, if the first is in none.
fn neighbours(chunks: &[(u64, Source)]) -> usize {
    let Some(&(first, Source::File(file, _))) = chunks.first() else { return 1 };
    let follows = |(at, (chunk, source)): (u64, &(u64, Source))| {
        *chunk == first + at && matches!(source, Source::File(of, _) if *of == file)
    };
    (0..).zip(chunks).take_while(|pair| follows(*pair)).count()
}

/// The first number from `low` on and below `high` of which something is so, as it is of all behind
/// it; else `high`.
fn first(
    mut low: u64,
    mut high: u64,
    is_so: impl Fn(u64) -> Result<bool, Trouble>,
) -> Result<u64, Trouble> {
    // Mostly it is so of none.
    if high > low && !is_so(high - 1)? {
        return Ok(high);
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if is_so(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}

/// Why something was not read.
enum Trouble {
    Again,
    Fault(Fault),
    Store(StoreError),
}

impl From<Fault> for Trouble {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
