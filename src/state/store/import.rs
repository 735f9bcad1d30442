//! Differences: the side that is made whole.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::diff::{MAX_PAGES, Part, Request, Want, bound_pages, frame, unframe};
use super::log::{Note, Point, Step};
use super::meta::{self, ChunkRow, KeyRow, StageRow};
use super::shard::{Outline, Shard};
use super::{Store, StoreError};
use crate::state::values::{BOUND, Bound, Entry, Fault, FileId, Files, StageId, Staged, Values};
use crate::wire;
use crate::wire::shards::{ShardId, StateKey};
use crate::wire::state::{CHUNK, chunk_hash};

/// An import under way.
#[derive(Debug)]
pub struct Import {
    base: Point,
    /// What is whole.
    values: Values,
    /// Keys up to this one were listed.
    after: Option<StateKey>,
    /// There are more keys.
    more: bool,
    /// A key of which more chunks are to be listed, from there on.
    listing: Option<(StateKey, u64)>,
    /// Keys of which bytes are missing: how many pages.
    missing: BTreeMap<StateKey, (Entry, u64)>,
    /// The pages.
    wants: VecDeque<Want>,
    /// Keys that changed too much.
    again: VecDeque<StateKey>,
}

impl Store {
    /// Begins to make a copy equal to another, as of this record or later. The copy is blank until
    /// that is done, its log empty. What it returns is for [`export`](Self::export).
    pub fn import_begin(&self, shard: ShardId, base: Point) -> Result<Bytes, StoreError> {
        let _one = self.checkpoints.lock();
        self.reset(shard, (0, 0), true)?;
        let mut copy = self.shard(shard)?.lock();
        std::fs::create_dir_all(copy.files.dir()).map_err(|error| {
            StoreError::copy(shard, &super::files::fault("making its folder", &error))
        })?;
        // Checkpoints of the life before would tell of records that the log need not have.
        super::open::remove_metas(&copy, None);
        // Files of staged bytes may be those of values, too.
        let all = copy.files.list().unwrap_or_default().into_iter();
        let staged = all.filter(|file| matches!(file, FileId::Stage(_) | FileId::Packed(_)));
        copy.files.remove(&staged.collect::<Vec<_>>());
        copy.long = None;
        copy.values.snapshots.clear();
        let mut freed = std::mem::take(&mut copy.values.snapshots.freed);
        self.kept.free(&mut freed);
        copy.values = Values::default();
        copy.damage = None;
        copy.files.doomed.clear();
        copy.import = Some(Import {
            base,
            values: Values::default(),
            after: None,
            more: true,
            listing: None,
            missing: BTreeMap::new(),
            wants: VecDeque::new(),
            again: VecDeque::new(),
        });
        Ok(frame(&Request::Staged(None), &[]))
    }

    /// Takes what [`export`](Self::export) made. Tells what to ask next; none when the copy is
    /// whole and durable, and its log goes on behind the base.
    pub fn import(&self, shard: ShardId, part: &Bytes) -> Result<Option<Bytes>, StoreError> {
        let bad = |error: wire::Malformed| StoreError::Copy { shard, why: error.to_string() };
        let (head, bytes) = unframe(part).map_err(bad)?;
        let part: Part = wire::decode("part of a difference", &head).map_err(bad)?;
        if self.free() < bytes.len() as u64 + self.options.reserve / 2 {
            return Err(StoreError::Full);
        }
        let done = {
            let mut copy = self.usable(shard)?;
            let Shard { import, files, .. } = &mut *copy;
            let none = || StoreError::Misuse(format!("no import of {shard} is under way"));
            let import = import.as_mut().ok_or_else(none)?;
            let next = import.eat(part, &bytes, files);
            match next.map_err(|fault| StoreError::copy(shard, &fault))? {
                Some(request) => return Ok(Some(frame(&request, &[]))),
                None => copy.import.take().ok_or_else(none)?,
            }
        };
        self.import_done(shard, done)?;
        Ok(None)
    }

    fn import_done(&self, shard: ShardId, done: Import) -> Result<(), StoreError> {
        let _one = self.checkpoints.lock();
        let mut values = done.values;
        (values.term, values.applied) = done.base;
        let mut copy = self.shard(shard)?.lock();
        let dir = copy.files.dir().to_owned();
        let io = |what: &str, error: std::io::Error| {
            StoreError::copy(shard, &super::files::fault(what, &error))
        };
        copy.files.flush().map_err(|fault| StoreError::copy(shard, &fault))?;
        let len = meta::write(&dir, (1, 0), &mut values, true)
            .map_err(|error| io("writing a checkpoint", error))?;
        self.sync_values()?;
        let meta = Some((1, len, values.applied));
        let note = Note { before: done.base, meta, ..Note::default() };
        {
            let _writer = self.writer.lock();
            self.log.commit(&[Step::Clean(shard), Step::Note(shard, &note)], true)?;
            let mut outline = self.outline(shard)?.lock();
            *outline = Outline { note, last: done.base.1, ..Outline::default() };
        }
        (copy.values, copy.whole) = (values, len);
        super::open::remove_others(&copy, Some(1), true);
        Ok(())
    }
}

impl Import {
    /// Takes a part; tells what to ask next.
    fn eat(
        &mut self,
        part: Part,
        bytes: &Bytes,
        files: &mut dyn Files,
    ) -> Result<Option<Request>, Fault> {
        match part {
            Part::Staged { rows, next } => {
                self.staged(rows, bytes, files)?;
                if next.is_some() {
                    return Ok(Some(Request::Staged(next)));
                }
            }
            Part::Keys { keys, more, next } => {
                self.after = keys.last().map(|(row, _)| row.key.clone()).or(self.after.take());
                self.more = next;
                let last = self.after.clone();
                for (row, chunks) in keys {
                    let more = more.filter(|_| last.as_ref() == Some(&row.key));
                    self.key(row, &chunks, 0, more, files)?;
                }
            }
            Part::Key { row: None, .. } => self.listing = None,
            Part::Key { row: Some((row, chunks)), first, more } => {
                self.key(row, &chunks, first, more, files)?;
            }
            Part::Pages { got, gone } => self.pages(&got, gone, bytes, files)?,
            Part::Sessions { rows, next, applied } => {
                for row in rows {
                    let (id, session) = row.session();
                    self.values.sessions.all.insert(id, session);
                }
                self.values.lenient = self.values.lenient.max(applied);
                return Ok(next.map(|next| Request::Sessions(Some(next))));
            }
        }
        Ok(Some(self.next()))
    }

    fn next(&mut self) -> Request {
        if let Some((key, from)) = &self.listing {
            let version = self.missing.get(key).and_then(|(entry, _)| entry.value.as_ref());
            let at = version.map(|value| (value.version, *from));
            return Request::Key { key: key.clone(), at };
        }
        let mut wants = Vec::new();
        let mut room = MAX_PAGES;
        while room > 0
            && let Some(mut want) = self.wants.pop_front()
        {
            let (first, count) = want.pages;
            if count > room {
                let rest = Want { pages: (first + room, count - room), ..want.clone() };
                self.wants.push_front(rest);
                want.pages.1 = room;
            }
            room -= want.pages.1;
            wants.push(want);
        }
        if !wants.is_empty() {
            return Request::Pages(wants);
        }
        if let Some(key) = self.again.pop_front() {
            return Request::Key { key, at: None };
        }
        if self.more {
            return Request::Keys(self.after.clone());
        }
        Request::Sessions(None)
    }

    fn staged(
        &mut self,
        rows: Vec<(StageRow, u64)>,
        bytes: &Bytes,
        files: &mut dyn Files,
    ) -> Result<(), Fault> {
        let mut rest: &[u8] = bytes;
        for (row, first) in rows {
            let (key, file) = (row.key.clone(), row.file);
            let (id, staged): (StageId, _) = row.staged(0);
            let there = self.values.staged.entry(id).or_insert_with(|| Staged::new(key, file, 0));
            for (number, piece) in (first..).zip(staged.pieces()) {
                let len = usize::try_from(piece.bytes()).unwrap_or(usize::MAX);
                let (mine, behind) = rest.split_at_checked(len).ok_or_else(cut_off)?;
                rest = behind;
                // What was used meanwhile is not needed: its value comes later.
                if number == there.pieces().len() as u64 {
                    there.import(piece, mine, files)?;
                }
            }
        }
        Ok(())
    }

    /// Notes a key, or chunks behind those before, and what of it is missing here.
    fn key(
        &mut self,
        row: KeyRow,
        chunks: &[ChunkRow],
        first: u64,
        more: Option<u64>,
        files: &mut dyn Files,
    ) -> Result<(), Fault> {
        let key = row.key.clone();
        self.listing = more.map(|from| (key.clone(), from));
        let same = first > 0;
        let (mut entry, mut pages) = match self.missing.remove(&key) {
            Some(old) if same => old,
            _ => {
                self.wants.retain(|want| want.key != key);
                (row.entry().1, 0)
            }
        };
        meta::add(&mut entry, chunks);
        let Some(value) = &entry.value else {
            self.values.put(&key, entry);
            return Ok(());
        };
        let (file, version) = (FileId::Value(value.file), value.version);
        let mut want = |bounds: Option<u64>, page: u64, count: u64| {
            pages += count;
            match self.wants.back_mut() {
                Some(last)
                    if last.key == key
                        && last.bounds == bounds
                        && last.pages.0 + last.pages.1 == page =>
                {
                    last.pages.1 += count;
                }
                _ => {
                    let key = key.clone();
                    self.wants.push_back(Want { key, version, bounds, pages: (page, count) });
                }
            }
        };
        let mut page = [0; CHUNK as usize];
        for (at, _, hash) in chunks {
            files.read(file, at * CHUNK, &mut page)?;
            if chunk_hash(&page) != *hash {
                want(None, *at, 1);
            }
        }
        let elements = value.elements;
        if !same && elements.count > 0 {
            want(Some(elements.file), 0, bound_pages(elements.count));
        }
        if pages == 0 && more.is_none() {
            self.values.put(&key, entry);
        } else {
            self.missing.insert(key, (entry, pages));
        }
        Ok(())
    }

    fn pages(
        &mut self,
        got: &[Want],
        gone: Vec<StateKey>,
        bytes: &Bytes,
        files: &mut dyn Files,
    ) -> Result<(), Fault> {
        let mut rest: &[u8] = bytes;
        for want in got {
            let len = usize::try_from(want.pages.1 * CHUNK).unwrap_or(usize::MAX);
            let (mine, behind) = rest.split_at_checked(len).ok_or_else(cut_off)?;
            rest = behind;
            let Some((entry, pages)) = self.missing.get_mut(&want.key) else { continue };
            let Some(value) = entry.value.as_ref().filter(|v| v.version == want.version) else {
                continue;
            };
            let off = want.pages.0 * CHUNK;
            match want.bounds {
                Some(file) => {
                    let mine = bounds(mine, value.elements.count * BOUND, off)?;
                    files.write(FileId::Bounds(file), off, mine)?;
                }
                None => {
                    for (at, page) in (want.pages.0..).zip(mine.chunks(CHUNK as usize)) {
                        let hash = value.chunks.get(at).map(|chunk| chunk.hash);
                        if hash != Some(chunk_hash(page)) {
                            return Err(Fault::Damaged("a chunk from the other copy".into()));
                        }
                    }
                    files.write(FileId::Value(value.file), off, mine)?;
                }
            }
            *pages = pages.saturating_sub(want.pages.1);
            let listed = self.listing.as_ref().is_some_and(|(key, _)| *key == want.key);
            if *pages == 0
                && !listed
                && let Some((entry, _)) = self.missing.remove(&want.key)
            {
                self.values.put(&want.key, entry);
            }
        }
        for key in gone {
            self.missing.remove(&key);
            self.wants.retain(|want| want.key != key);
            if !self.again.contains(&key) {
                self.again.push_back(key);
            }
        }
        Ok(())
    }
}

/// Those of some bounds that count.
fn bounds(bytes: &[u8], end: u64, off: u64) -> Result<&[u8], Fault> {
    let len = usize::try_from(end.saturating_sub(off)).unwrap_or(usize::MAX);
    let bytes = bytes.get(..len.min(bytes.len())).unwrap_or_default();
    if bytes.chunks(BOUND as usize).any(|one| Bound::decode(one).is_none()) {
        return Err(Fault::Damaged("bounds of elements from the other copy".into()));
    }
    Ok(bytes)
}

fn cut_off() -> Fault {
    Fault::Damaged("a difference is cut off".into())
}
