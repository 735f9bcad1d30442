//! Differences: how a copy is made equal to another one without a common log. What the two sides
//! say to each other, and the side that has the values.
//!
//! Staged bytes come first, then values, each as of one version of its own, then answers to
//! writes. What changed meanwhile is made right by the log from the point on that was the base.
// rkyv's derive makes fields of its own for the variants below, without a word on them.
#![allow(missing_docs)]

use bytes::{Bytes, BytesMut};
use rkyv::{Archive, Deserialize, Serialize};

use super::meta::{ChunkRow, KeyRow, SessionRow, StageRow};
use super::shard::Shard;
use super::{Store, StoreError};
use crate::state::values::{BOUND, FileId, Files, SNAPSHOT_MS, Source, StageId, Value};
use crate::wire::consensus::SessionId;
use crate::wire::shards::{ShardId, StateKey};
use crate::wire::state::{CHUNK, Version};
use crate::wire::{self, Encode, Malformed};

/// Bytes of a part beyond which nothing more is added.
const FULL: usize = 900 << 10;
/// Most pages in one request.
pub const MAX_PAGES: u64 = 224;
/// Bytes of a row, about.
const ROW: usize = 40;
/// Most keys in one part: each is held for readers.
const MAX_KEYS: usize = 4_096;

/// What the side without the values asks for.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Staged bytes, from this piece on.
    Staged(Option<(StageId, u64)>),
    /// Keys behind this one.
    Keys(Option<StateKey>),
    /// One key, and its chunks from this one on, if it still is of this version.
    Key { key: StateKey, at: Option<(Version, u64)> },
    /// Bytes.
    Pages(Vec<Want>),
    /// Answers, behind this session.
    Sessions(Option<SessionId>),
}

/// Bytes of a value, in pages of [`CHUNK`] bytes.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Want {
    pub key: StateKey,
    pub version: Version,
    /// Of the bounds of its elements, which are in this file.
    pub bounds: Option<u64>,
    /// First, and how many.
    pub pages: (u64, u64),
}

/// What is sent; bytes follow.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Pieces from this number on, and their bytes.
    Staged { rows: Vec<(StageRow, u64)>, next: Option<(StageId, u64)> },
    /// Keys in order; if `next` is given, more of them are behind the last.
    Keys { keys: Vec<(KeyRow, Vec<ChunkRow>)>, more: Option<u64>, next: bool },
    /// One key, or chunks behind those sent before; nothing if it is gone.
    Key { row: Option<(KeyRow, Vec<ChunkRow>)>, first: u64, more: Option<u64> },
    /// The bytes of these, and values whose version is not there any more.
    Pages { got: Vec<Want>, gone: Vec<StateKey> },
    /// Answers, and the last record applied.
    Sessions { rows: Vec<SessionRow>, next: Option<SessionId>, applied: u64 },
}

/// An archive with bytes behind it.
pub fn frame(head: &impl Encode, bytes: &[u8]) -> Bytes {
    let head = wire::encode(head);
    let len = u32::try_from(head.len()).unwrap_or(u32::MAX);
    [&len.to_le_bytes(), head.as_slice(), bytes].concat().into()
}

/// The archive's bytes, and those behind it.
pub fn unframe(bytes: &Bytes) -> Result<(Bytes, Bytes), Malformed> {
    let short = || Malformed { what: "difference of a shard", why: "it is cut off".into() };
    let (len, rest) = bytes.split_first_chunk::<4>().ok_or_else(short)?;
    let len = u32::from_le_bytes(*len) as usize;
    if len > rest.len() {
        return Err(short());
    }
    Ok((bytes.slice(4..4 + len), bytes.slice(4 + len..)))
}

impl Store {
    /// Makes what another copy's [`import_begin`](Self::import_begin) or [`import`](Self::import)
    /// asked for.
    pub fn export(&self, shard: ShardId, request: &Bytes, now: u64) -> Result<Bytes, StoreError> {
        let malformed = |error: Malformed| StoreError::Misuse(error.to_string());
        let (head, _) = unframe(request).map_err(malformed)?;
        let request: Request = wire::decode("request of a difference", &head).map_err(malformed)?;
        if self.outline(shard)?.lock().note.blank {
            return Err(StoreError::Misuse(format!("the copy of {shard} is not whole")));
        }
        let mut bytes = BytesMut::new();
        let part = match request {
            Request::Staged(from) => self.export_staged(shard, from, &mut bytes)?,
            Request::Keys(after) => export_keys(&mut *self.usable(shard)?, after.as_ref(), now),
            Request::Key { key, at } => {
                let mut copy = self.usable(shard)?;
                match at {
                    Some((version, from)) => export_more(&mut copy, &key, version, from, now),
                    None => export_key(&mut copy, &key, now),
                }
            }
            Request::Pages(wants) => self.export_pages(shard, wants, &mut bytes)?,
            Request::Sessions(after) => export_sessions(&*self.usable(shard)?, after),
        };
        Ok(frame(&part, &bytes))
    }

    fn export_staged(
        &self,
        shard: ShardId,
        from: Option<(StageId, u64)>,
        bytes: &mut BytesMut,
    ) -> Result<Part, StoreError> {
        let copy = self.usable(shard)?;
        let start = from.map(|(id, _)| id);
        let mut rows = Vec::new();
        let mut size = 0;
        for (id, staged) in &copy.values.staged {
            if start.is_some_and(|start| *id < start) {
                continue;
            }
            let first = from.filter(|(start, _)| start == id).map_or(0, |(_, first)| first);
            let mut row = StageRow::of(*id, staged);
            row.pieces.clear();
            for (number, piece) in (0..).zip(staged.pieces()) {
                let len = piece.bytes();
                if number >= first {
                    let more =
                        usize::try_from(len).unwrap_or(usize::MAX) + piece.extents.len() * 16;
                    if size > 0 && size + more > FULL {
                        rows.push((row, first));
                        return Ok(Part::Staged { rows, next: Some((*id, number)) });
                    }
                    size += more;
                    let some = staged
                        .read(piece, &copy.files)
                        .map_err(|fault| StoreError::copy(shard, &fault))?;
                    bytes.extend_from_slice(&some);
                    row.pieces.push((piece.extents.clone(), piece.hash));
                }
            }
            rows.push((row, first));
        }
        Ok(Part::Staged { rows, next: None })
    }

    fn export_pages(
        &self,
        shard: ShardId,
        wants: Vec<Want>,
        bytes: &mut BytesMut,
    ) -> Result<Part, StoreError> {
        let (mut got, mut gone) = (Vec::new(), Vec::new());
        let mut pages = 0_u64;
        for want in wants {
            pages = pages.saturating_add(want.pages.1);
            if pages > MAX_PAGES {
                return Err(StoreError::Misuse("too many pages are asked for".into()));
            }
            let before = bytes.len();
            if self.export_want(shard, &want, bytes)? {
                got.push(want);
            } else {
                bytes.truncate(before);
                gone.push(want.key);
            }
        }
        Ok(Part::Pages { got, gone })
    }

    /// Adds the bytes of some pages; false if they are not there any more.
    fn export_want(
        &self,
        shard: ShardId,
        want: &Want,
        bytes: &mut BytesMut,
    ) -> Result<bool, StoreError> {
        let mut page = [0; CHUNK as usize];
        for at in want.pages.0..want.pages.0.saturating_add(want.pages.1) {
            if let Some(file) = want.bounds {
                let copy = self.usable(shard)?;
                let value = copy.values.keys.get(&want.key).and_then(|entry| entry.value.as_ref());
                if value.is_none_or(|value| value.elements.file != file) {
                    return Ok(false);
                }
                copy.files
                    .read(FileId::Bounds(file), at * CHUNK, &mut page)
                    .map_err(|fault| StoreError::copy(shard, &fault))?;
            } else {
                let source = {
                    let copy = self.usable(shard)?;
                    let value = copy.values.value_at(&want.key, want.version);
                    value.and_then(|value| {
                        copy.values.source(&want.key, value, at, want.version.seq)
                    })
                };
                let Some(source @ (Source::File(..) | Source::Kept(..))) = source else {
                    return Ok(false);
                };
                if !self.read_chunk(shard, &want.key, want.version, (at, source), &mut page)? {
                    return Ok(false);
                }
            }
            bytes.extend_from_slice(&page);
        }
        Ok(true)
    }
}

/// How many pages the bounds of elements take.
pub fn bound_pages(count: u64) -> u64 {
    (count * BOUND).div_ceil(CHUNK)
}

/// A key, and chunks of it.
type Listed = (KeyRow, Vec<ChunkRow>);

/// A key with as many chunks as `room` has space for, and where the rest begins.
fn key_part(
    copy: &mut Shard,
    key: &StateKey,
    room: usize,
    now: u64,
) -> Option<(Listed, Option<u64>)> {
    let entry = copy.values.keys.get(key)?;
    let row = KeyRow::of(key, entry);
    let Some(value) = &entry.value else { return Some(((row, Vec::new()), None)) };
    let (rows, more) = rows(value, 0, room);
    let (version, len) = (value.version, value.len);
    if more.is_some() {
        let value = value.clone();
        copy.exports.retain(|(_, _, until)| *until > now);
        copy.exports.push((key.clone(), value, now + super::shard::EXPORT_MS));
    }
    copy.values.snapshots.hold(key, (version, len), now + SNAPSHOT_MS);
    Some(((row, rows), more))
}

fn rows(value: &Value, from: u64, room: usize) -> (Vec<ChunkRow>, Option<u64>) {
    let most = (room / ROW).max(1);
    let mut all = value.chunks.iter_from(from).map(|(at, chunk)| (at, chunk.seq, chunk.hash));
    let rows = all.by_ref().take(most).collect();
    (rows, all.next().map(|(at, ..)| at))
}

fn export_keys(copy: &mut Shard, after: Option<&StateKey>, now: u64) -> Part {
    use std::ops::Bound::{Excluded, Unbounded};
    let from = after.map_or(Unbounded, Excluded);
    let names: Vec<StateKey> = copy
        .values
        .keys
        .range::<StateKey, _>((from, Unbounded))
        .map(|(key, _)| key.clone())
        .take(MAX_KEYS + 1)
        .collect();
    let mut keys = Vec::new();
    let mut size = 0;
    for name in names.iter().take(MAX_KEYS) {
        let base = 256 + name.key.len() + name.user.len();
        let chunks = copy.values.keys.get(name).and_then(|entry| entry.value.as_ref());
        let chunks = chunks.map_or(0, |value| value.chunks.count() as usize * ROW);
        if size > 0 && size + base + chunks.min(FULL / 2) > FULL {
            return Part::Keys { keys, more: None, next: true };
        }
        let room = FULL.saturating_sub(size + base);
        if let Some((row, more)) = key_part(copy, name, room, now) {
            size += base + row.1.len() * ROW;
            keys.push(row);
            if more.is_some() {
                return Part::Keys { keys, more, next: true };
            }
        }
    }
    Part::Keys { keys, more: None, next: names.len() > MAX_KEYS }
}

fn export_key(copy: &mut Shard, key: &StateKey, now: u64) -> Part {
    match key_part(copy, key, FULL, now) {
        Some((row, more)) => Part::Key { row: Some(row), first: 0, more },
        None => Part::Key { row: None, first: 0, more: None },
    }
}

fn export_more(copy: &mut Shard, key: &StateKey, version: Version, from: u64, now: u64) -> Part {
    let kept = copy
        .exports
        .iter_mut()
        .find(|(name, value, until)| name == key && value.version == version && *until > now);
    let Some((_, value, until)) = kept else { return export_key(copy, key, now) };
    *until = now + super::shard::EXPORT_MS;
    let (chunks, more) = rows(value, from, FULL);
    let (version, len) = (value.version, value.len);
    let entry = crate::state::values::Entry { value: Some(value.clone()), ..Default::default() };
    let row = KeyRow::of(key, &entry);
    // As long as the listing goes on, what it names can be read.
    if copy.values.snapshots.held(key, version, now).is_some() {
        copy.values.snapshots.hold(key, (version, len), now + SNAPSHOT_MS);
    }
    Part::Key { row: Some((row, chunks)), first: from, more }
}

fn export_sessions(copy: &Shard, after: Option<SessionId>) -> Part {
    let (mut rows, mut size) = (Vec::new(), 0);
    let all = copy.values.sessions.all.iter();
    let applied = copy.values.applied;
    for (id, session) in all.filter(|(id, _)| after.is_none_or(|after| **id > after)) {
        let row = SessionRow::of(*id, session);
        let parts: usize = row.answers.iter().map(|(_, written)| written.parts.len()).sum();
        let more = 64 + row.answers.len() * 80 + parts * 32;
        if size > 0 && size + more > FULL {
            let next = rows.last().map(|row: &SessionRow| row.session);
            return Part::Sessions { rows, next, applied };
        }
        size += more;
        rows.push(row);
    }
    Part::Sessions { rows, next: None, applied }
}
