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

    /// Bytes on disk of a user's values, in all shards of this node.
    pub fn usage(&self, shard: ShardId, user: &str) -> Result<u64, StoreError> {
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
        let mut len = 0;
        for ((chunk, source), into) in chunks.iter().zip(bytes.chunks_exact_mut(CHUNK as usize)) {
            self.chunk(shard, &plan.key, plan.version, (*chunk, *source), into)?;
            len += CHUNK.min(plan.len.saturating_sub(chunk * CHUNK)) as usize;
        }
        bytes.truncate(len);
        Ok(bytes.freeze())
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
        let count = (*most).min(of.count);
        let (mut bytes, mut at, mut total) = (BytesMut::new(), 0, 0);
        let mut found = 0;
        'all: while at < count {
            let some = (count - at).min(MAX_BOUNDS);
            let mut raw = vec![0; (some * BOUND) as usize];
            self.usable(shard)?.files.read(FileId::Bounds(of.file), at * BOUND, &mut raw)?;
            for one in raw.chunks_exact(BOUND as usize) {
                let bound = Bound::decode(one)
                    .filter(|bound| bound.end >= total)
                    .ok_or_else(|| damaged(&plan.key, "the bounds of its elements"))?;
                if bound.seq > plan.version.seq {
                    break 'all;
                }
                let len = bound.end - total;
                if bound.end > *off {
                    let skip = off.saturating_sub(total);
                    let room = (MAX_PIECE - bytes.len()) as u64;
                    let range = Extent { off: bound.off + skip, len: (len - skip).min(room) };
                    self.range(shard, plan, range, &mut bytes)?;
                }
                total = bound.end;
                found += 1;
            }
            at += some;
        }
        let extents = vec![Extent { off: *off, len: bytes.len() as u64 }];
        let done = off + bytes.len() as u64;
        let _ = found;
        Ok((Pulled { version: plan.version, len: total, extents, done }, bytes.freeze()))
    }

    /// Adds the bytes of a range.
    fn range(
        &self,
        shard: ShardId,
        plan: &Plan,
        range: Extent,
        bytes: &mut BytesMut,
    ) -> Result<(), Trouble> {
        let mut whole = [0; CHUNK as usize];
        let (mut off, end) = (range.off, range.off + range.len);
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
