//! What a committed record does.

use bytes::Bytes;

use super::change::{Change, Does};
use super::chunks::Chunks;
use super::decide::written;
use super::head::{Brief, after};
use super::snapshots::SNAPSHOT_MS;
use super::staged::{StageId, Staged};
use super::table::{Elements, Entry, Partial, Value, Values};
use crate::wire::shards::StateKey;
use crate::wire::state::{Extent, MAX_EXTENTS, Version, WriteId, Written};
use xxhash_rust::xxh3::xxh3_128;

/// A file of a shard: what it is for, and the record that began it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileId {
    /// The bytes of a value.
    Value(u64),
    /// The bounds of elements.
    Bounds(u64),
    /// Bytes held back for a push, where they belong in the value.
    Stage(u64),
    /// Bytes held back for a push, one behind the other.
    Packed(u64),
}

/// Why a record could not be applied, or something not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The disk refused.
    #[error("{0}")]
    Io(String),
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The bytes are not what was written, or do not fit together.
    #[error("{0}")]
    Damaged(String),
}

/// The files of a shard.
pub trait Files {
    /// Reads; what is behind the end of a file, or in none, is zeros.
    fn read(&self, file: FileId, off: u64, into: &mut [u8]) -> Result<(), Fault>;
    /// Writes; makes the file if there is none.
    fn write(&self, file: FileId, off: u64, bytes: &[u8]) -> Result<(), Fault>;
    /// Cuts a file off, if there is one.
    fn cut(&self, file: FileId, len: u64) -> Result<(), Fault>;
    /// Gives a file another name; it loses its own when it is doomed. False where that cannot be.
    fn adopt(&mut self, file: FileId, name: FileId) -> Result<bool, Fault>;
    /// Whether two names are of one file.
    fn same(&self, one: FileId, other: FileId) -> bool;
    /// Nobody needs the file once this state is durable.
    fn doom(&mut self, file: FileId);
    /// Keeps bytes until they are freed; says where. `None` when there is no room.
    fn keep(&self, bytes: &[u8]) -> Option<u64>;
}

/// What came of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The write, and its answer.
    pub written: Option<(WriteId, Written)>,
}

/// How far a record came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It is applied.
    Done(Applied),
    /// It is long and was applied in part: to be called again with the same record.
    Part,
    /// It must wait for the one that is applied in part.
    Waits,
}

/// One element in the file of bounds.
pub const BOUND: u64 = 32;

/// One element: where it lies, where it ends among all, and the record.
pub struct Bound {
    /// Its place in the value.
    pub off: u64,
    /// The bytes of it and those before.
    pub end: u64,
    /// The record that appended it.
    pub seq: u64,
}

impl Bound {
    /// As in the file.
    pub fn encode(&self) -> [u8; BOUND as usize] {
        let mut bytes = [0; BOUND as usize];
        let words = [self.off, self.end, self.seq];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let hash = xxhash_rust::xxh3::xxh3_64(&bytes[..24]);
        bytes[24..].copy_from_slice(&hash.to_le_bytes());
        bytes
    }

    /// From the file; `None` if it is damaged.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (words, _) = bytes.as_chunks::<8>();
        let [off, end, seq, hash] = words else { return None };
        let number = |word: &[u8; 8]| u64::from_le_bytes(*word);
        let intact = xxhash_rust::xxh3::xxh3_64(bytes.get(..24)?) == number(hash);
        intact.then(|| Self { off: number(off), end: number(end), seq: number(seq) })
    }
}

/// The record that is being applied.
pub(super) struct Record<'a> {
    /// Its number.
    pub seq: u64,
    /// Names the write.
    id: WriteId,
    /// It need not fit what is there.
    pub lenient: bool,
    /// Of which value.
    pub key: &'a StateKey,
    /// Of that value from then on.
    version: Version,
    /// What it does.
    does: &'a Does,
    /// The bytes beside it.
    bytes: &'a Bytes,
    /// What it names of what is staged.
    staged: Option<StageId>,
    /// The time.
    now: u64,
}

impl Values {
    /// The record that is applied in part.
    pub fn partial(&self) -> Option<u64> {
        self.partial.as_ref().map(|partial| partial.seq)
    }

    /// All records up to this one are applied, but for the one that is applied in part.
    pub fn reached(&self) -> u64 {
        self.partial.as_ref().map_or(self.applied, |partial| partial.seq + partial.ahead.0)
    }

    /// Applies a committed record, if it was not applied before. An empty body does nothing.
    pub fn apply(
        &mut self,
        term: u64,
        seq: u64,
        body: &Bytes,
        now: u64,
        files: &mut dyn Files,
    ) -> Result<Progress, Fault> {
        let partial = self.partial();
        let goes_on = partial == Some(seq);
        if seq <= self.reached() && !goes_on {
            return Ok(Progress::Done(Applied { written: None }));
        }
        if seq != self.reached() + 1 && !goes_on {
            let why = format!("record {seq} comes after record {}", self.reached());
            return Err(Fault::Damaged(why));
        }
        let ahead = self.partial.as_ref().map_or((0, 0), |partial| partial.ahead);
        let mut applied = Applied { written: None };
        if !body.is_empty() {
            let (change, bytes) =
                Change::decode(body).map_err(|error| Fault::Damaged(error.to_string()))?;
            if !goes_on && self.partial.as_ref().is_some_and(|partial| partial.holds_up(&change)) {
                return Ok(Progress::Waits);
            }
            applied.written = self.change(seq, &change, &bytes, now, files)?;
            if self.partial() == Some(seq) {
                return Ok(Progress::Part);
            }
            self.settle_head(seq, &change);
        }
        match &mut self.partial {
            Some(partial) => partial.ahead = (partial.ahead.0 + 1, term),
            None if ahead.0 > 0 => (self.applied, self.term) = (seq + ahead.0, ahead.1),
            None => (self.applied, self.term) = (seq, term),
        }
        Ok(Progress::Done(applied))
    }

    fn change(
        &mut self,
        seq: u64,
        change: &Change,
        bytes: &Bytes,
        now: u64,
        files: &mut dyn Files,
    ) -> Result<Option<(WriteId, Written)>, Fault> {
        match change {
            Change::Fence { key, token } => {
                let mut entry = self.take(key);
                entry.token = entry.token.max(*token);
                entry.seq = entry.seq.max(seq);
                self.put(key, entry);
                Ok(None)
            }
            Change::Write { id, key, token, version, does } => {
                self.snapshots.expire_of(key, now);
                let staged = match does {
                    Does::Push { staged, .. } => staged.map(|push| (id.session, push)),
                    Does::Stage { push, .. } => Some((id.session, *push)),
                    _ => None,
                };
                let (version, lenient) = (*version, seq <= self.lenient);
                let record =
                    Record { seq, id: *id, lenient, key, version, does, bytes, staged, now };
                let mut parts = Vec::new();
                if let Does::Stage { at, extents, .. } = does {
                    self.stage(&record, *at, extents, files)?;
                } else {
                    parts = self.write(&record, *token, files)?;
                }
                if self.partial() == Some(seq) {
                    return Ok(None);
                }
                let mut answer = self.answer(key, version, does);
                answer.parts = parts;
                if !(record.lenient && self.sessions.has(id)) {
                    self.sessions.keep(id, answer.clone());
                }
                Ok(Some((*id, answer)))
            }
            Change::Unstage { pushes } => {
                for id in pushes {
                    self.unstage(*id, files);
                }
                Ok(None)
            }
            Change::Forget { sessions } => {
                for session in sessions {
                    self.sessions.forget(*session);
                }
                Ok(None)
            }
        }
    }

    fn answer(&self, key: &StateKey, version: Version, does: &Does) -> Written {
        let there = || self.keys.get(key).and_then(|entry| entry.value.as_ref());
        match does {
            Does::Create { len } | Does::Push { len, .. } => written(version, *len, 0),
            Does::Stage { .. } => written(version, there().map_or(0, |value| value.len), 0),
            Does::Append { at, len, .. } => written(version, at + len, *at),
            Does::Clear | Does::Delete => written(version, 0, 0),
        }
    }

    fn stage(
        &mut self,
        record: &Record<'_>,
        at: u64,
        extents: &[Extent],
        files: &mut dyn Files,
    ) -> Result<(), Fault> {
        let Some(id) = record.staged else { return Ok(()) };
        let bytes = record.bytes;
        let there = self.staged.get(&id).map_or(0, Staged::bytes);
        if there < at && !record.lenient {
            return Err(inconsistent(record, "staged bytes are missing"));
        }
        if there < at {
            return Ok(());
        }
        let new = || Staged::new(record.key.clone(), record.seq, record.now);
        let staged = self.staged.entry(id).or_insert_with(new);
        staged.since = record.now;
        staged.write((at, extents), (xxh3_128(bytes), bytes), files)
    }

    fn unstage(&mut self, id: StageId, files: &mut dyn Files) {
        if let Some(staged) = self.staged.remove(&id) {
            files.doom(FileId::Stage(staged.file));
            files.doom(FileId::Packed(staged.file));
        }
    }

    fn write(
        &mut self,
        record: &Record<'_>,
        token: Option<u64>,
        files: &mut dyn Files,
    ) -> Result<Vec<(u64, u128)>, Fault> {
        let staged = record.staged;
        if self.keys.get(record.key).is_some_and(|entry| entry.seq >= record.seq) {
            staged.into_iter().for_each(|id| self.unstage(id, files));
            return Ok(Vec::new());
        }
        let mut entry = self.take(record.key);
        let result = self.write_entry(record, &mut entry, files);
        if result.is_ok() && self.partial() == Some(record.seq) {
            self.put(record.key, entry);
            return Ok(Vec::new());
        }
        entry.token = entry.token.max(token.unwrap_or(0));
        entry.seq = record.seq;
        self.put(record.key, entry);
        let parts = result?;
        staged.into_iter().for_each(|id| self.unstage(id, files));
        Ok(parts)
    }

    fn write_entry(
        &mut self,
        record: &Record<'_>,
        entry: &mut Entry,
        files: &mut dyn Files,
    ) -> Result<Vec<(u64, u128)>, Fault> {
        let Record { seq, version, does, .. } = *record;
        let makes = version.seq == seq && (version.generation & ((1 << 40) - 1)) == seq;
        let same = entry.value.as_ref().is_some_and(|v| v.version.generation == version.generation);
        if !makes && !same {
            // It was deleted, or made anew, before this copy was made.
            return if record.lenient {
                Ok(Vec::new())
            } else {
                Err(inconsistent(record, "no such value"))
            };
        }
        if makes && entry.value.is_some() {
            return Err(inconsistent(record, "there is a value already"));
        }
        let fresh = matches!(does, Does::Create { .. } | Does::Clear | Does::Delete)
            || matches!(does, Does::Push { fresh: true, .. } | Does::Append { fresh: true, .. });
        let was = entry.value.as_ref().map(super::head::brief);
        let Some(brief) = after(was, seq, version, does) else {
            let old = entry.value.take();
            old.into_iter().for_each(|old| self.drop_value(record, old, files));
            return Ok(Vec::new());
        };
        let mut begun = self.begin(record, was, fresh);
        let there =
            if fresh { begun.as_mut().and_then(|b| b.value.take()) } else { entry.value.take() };
        let mut value = there.unwrap_or_else(|| Value {
            version,
            len: 0,
            file: seq,
            elements: Elements::default(),
            chunks: Chunks::new(seq),
        });
        let parts = match self.write_value(record, &mut value, (brief.len, begun.as_mut()), files) {
            Ok(Some(parts)) => Ok(parts),
            Ok(None) => {
                let place = match &mut begun {
                    Some(begun) if fresh => &mut begun.value,
                    _ => &mut entry.value,
                };
                *place = Some(value);
                self.partial = begun;
                return Ok(Vec::new());
            }
            Err(fault) => Err(fault),
        };
        let old = entry.value.take();
        old.into_iter().for_each(|old| self.drop_value(record, old, files));
        if begun.is_some()
            && let Some(was) = was
        {
            self.snapshots.let_go(record.key, was.version, record.now + SNAPSHOT_MS);
        }
        let old = value.elements.file;
        if old != 0 && old != brief.elements.file {
            files.doom(FileId::Bounds(old));
        }
        (value.version, value.len, value.elements) = (version, brief.len, brief.elements);
        entry.value = Some(value);
        parts
    }

    /// Begins to apply a push of staged bytes, or goes on.
    fn begin(&mut self, record: &Record<'_>, was: Option<Brief>, fresh: bool) -> Option<Partial> {
        let id = record.staged?;
        if self.partial() == Some(record.seq) {
            return self.partial.take();
        }
        // Who decided it may be asked for what was there before, until all of it is applied.
        if let (Some(was), false) = (was, fresh)
            && self.pending_write(id.0, record.id.number).is_some()
        {
            self.snapshots.hold(record.key, (was.version, was.len), u64::MAX);
        }
        let (seq, key) = (record.seq, record.key.clone());
        let (pieces, parts, value, ahead) = (0, Vec::new(), None, (0, 0));
        Some(Partial { seq, key, id, pieces, parts, value, ahead })
    }

    fn drop_value(&mut self, record: &Record<'_>, old: Value, files: &mut dyn Files) {
        let (file, bounds) = (old.file, old.elements.file);
        if bounds != 0 {
            files.doom(FileId::Bounds(bounds));
        }
        if !self.snapshots.keep_all(record.key, old, record.seq) {
            files.doom(FileId::Value(file));
        }
    }

    /// Writes the bytes of a value; `None` when they are many and not all are written.
    fn write_value(
        &mut self,
        record: &Record<'_>,
        value: &mut Value,
        (len, mut begun): (u64, Option<&mut Partial>),
        files: &mut dyn Files,
    ) -> Result<Option<Vec<(u64, u128)>>, Fault> {
        let bytes = record.bytes;
        let mut parts = Vec::new();
        if len < value.len && begun.as_ref().is_none_or(|begun| begun.pieces == 0) {
            self.shrink(record, value, len, files)?;
        }
        let whole = |off: u64, len: u64| Extent { off, len };
        match record.does {
            Does::Push { extents, .. } => {
                if let Some(begun) = &mut begun {
                    if !self.push_staged(record, value, begun, files)? {
                        return Ok(None);
                    }
                    parts = std::mem::take(&mut begun.parts);
                }
                parts.append(&mut self.extents(record, value, (extents, bytes), files)?);
            }
            Does::Append { at, index, before, len, .. } => {
                let extents = [whole(*at, *len)];
                self.extents(record, value, (&extents, bytes), files)?;
                let file = if *index == 0 { record.seq } else { value.elements.file };
                let bound = Bound { off: *at, end: before + len, seq: record.seq };
                files.write(FileId::Bounds(file), index * BOUND, &bound.encode())?;
            }
            _ => {}
        }
        parts.sort_unstable_by_key(|(chunk, _)| *chunk);
        parts.dedup_by_key(|(chunk, _)| *chunk);
        // An answer is one message. Who is not told the hash of a chunk asks for the chunk.
        parts.truncate(2 * MAX_EXTENTS);
        for (chunk, hash) in &mut parts {
            *hash = value.chunks.get(*chunk).map_or(0, |chunk| chunk.hash);
        }
        Ok(Some(parts))
    }
}

impl Partial {
    /// Whether a record behind this one cannot be applied before it is done.
    fn holds_up(&self, change: &Change) -> bool {
        match change {
            Change::Write { does: Does::Push { staged: Some(_), .. }, .. } => true,
            Change::Write { id, does: Does::Stage { push, .. }, .. } => {
                self.id == (id.session, *push)
            }
            Change::Unstage { pushes } => pushes.contains(&self.id),
            Change::Forget { .. } => false,
            Change::Write { key, .. } | Change::Fence { key, .. } => *key == self.key,
        }
    }
}

pub(super) fn inconsistent(record: &Record<'_>, why: &str) -> Fault {
    Fault::Damaged(format!("record {} does not fit the value {}: {why}", record.seq, record.key))
}

/// Something of a value is not what was written.
pub fn damaged(key: &StateKey, what: &str) -> Fault {
    Fault::Damaged(format!("{what} of {key} is damaged"))
}
