//! Checkpoints: the metadata of a shard in a file, of which the log notes how much counts.
// rkyv's derive makes fields of its own for the variants below, without a word on them.
#![allow(missing_docs)]

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rkyv::{Archive, Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::state::values::{
    Chunk, Chunks, Elements, Entry, Session, StageId, Staged, Value, Values,
};
use crate::wire;
use crate::wire::consensus::SessionId;
use crate::wire::shards::StateKey;
use crate::wire::state::{Extent, Version, Written};

/// Most chunks in one item.
const MAX_CHUNKS: usize = 4_096;
/// Longest item, in bytes.
const MAX_ITEM: usize = 64 << 20;
/// Before each item: its length, and its hash.
const HEAD: usize = 12;

/// A chunk: where, its record, its hash.
pub type ChunkRow = (u64, u64, u128);

/// A value, without its chunks.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ValueRow {
    pub version: Version,
    pub len: u64,
    pub file: u64,
    /// File, count, bytes, end.
    pub elements: (u64, u64, u64, u64),
    pub cuts: Vec<(u64, u64)>,
}

/// What there is of a key, without its chunks.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    pub key: StateKey,
    pub seq: u64,
    pub token: u64,
    pub value: Option<ValueRow>,
}

/// Staged bytes.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct StageRow {
    pub id: StageId,
    pub key: StateKey,
    pub file: u64,
    pub pieces: Vec<(Vec<Extent>, u128)>,
}

/// The answers of a session.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    pub session: SessionId,
    pub settled: u64,
    pub answers: Vec<(u64, Written)>,
}

/// Part of a checkpoint. Later ones replace earlier ones.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A key, with the first of its chunks.
    Key(KeyRow, Vec<ChunkRow>),
    /// More chunks of the key before.
    More(Vec<ChunkRow>),
    /// There is nothing of a key.
    Gone(StateKey),
    /// A session.
    Session(SessionRow),
    /// A session is forgotten.
    SessionGone(SessionId),
    /// All that is staged.
    Staged(Vec<StageRow>),
    /// As of this record, and its term; records up to the third may be in the files already.
    Done(u64, u64, u64),
}

impl KeyRow {
    /// Of an entry.
    pub fn of(key: &StateKey, entry: &Entry) -> Self {
        let value = entry.value.as_ref().map(|value| ValueRow {
            version: value.version,
            len: value.len,
            file: value.file,
            elements: {
                let of = &value.elements;
                (of.file, of.count, of.bytes, of.end)
            },
            cuts: value.chunks.cuts().to_vec(),
        });
        Self { key: key.clone(), seq: entry.seq, token: entry.token, value }
    }

    /// The entry, without chunks.
    pub fn entry(self) -> (StateKey, Entry) {
        let value = self.value.map(|row| {
            let (file, count, bytes, end) = row.elements;
            Value {
                version: row.version,
                len: row.len,
                file: row.file,
                elements: Elements { file, count, bytes, end },
                chunks: Chunks::with_cuts(row.cuts),
            }
        });
        (self.key, Entry { seq: self.seq, token: self.token, value })
    }
}

impl StageRow {
    /// Of what is staged.
    pub fn of(id: StageId, staged: &Staged) -> Self {
        let pieces = staged.pieces().iter().map(|piece| (piece.extents.clone(), piece.hash));
        Self { id, key: staged.key.clone(), file: staged.file, pieces: pieces.collect() }
    }

    /// What is staged.
    pub fn staged(self, now: u64) -> (StageId, Staged) {
        let mut staged = Staged::new(self.key, self.file, now);
        for (extents, hash) in self.pieces {
            staged.add_known(extents, hash);
        }
        (self.id, staged)
    }
}

impl SessionRow {
    /// Of a session.
    pub fn of(id: SessionId, session: &Session) -> Self {
        let answers = session.answers.iter().map(|(number, written)| (*number, written.clone()));
        Self { session: id, settled: session.settled, answers: answers.collect() }
    }

    /// The session.
    pub fn session(self) -> (SessionId, Session) {
        let answers = self.answers.into_iter().collect();
        (self.session, Session { settled: self.settled, answers })
    }
}

/// Where a checkpoint of this number is.
pub fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("meta-{number}"))
}

/// The number in a name that [`path`] made.
pub fn number(name: &str) -> Option<u64> {
    name.strip_prefix("meta-")?.parse().ok()
}

struct Out(BufWriter<File>, u64);

impl Out {
    fn item(&mut self, item: &Item) -> std::io::Result<()> {
        let bytes = wire::encode(item);
        let len = u32::try_from(bytes.len()).map_err(std::io::Error::other)?;
        self.0.write_all(&len.to_le_bytes())?;
        self.0.write_all(&xxh3_64(&bytes).to_le_bytes())?;
        self.0.write_all(&bytes)?;
        self.1 += (HEAD + bytes.len()) as u64;
        Ok(())
    }

    fn key(&mut self, values: &Values, key: &StateKey) -> std::io::Result<()> {
        let Some(entry) = values.keys.get(key) else { return self.item(&Item::Gone(key.clone())) };
        let mut rows = chunk_rows(entry, 0);
        let mut next = || rows.by_ref().take(MAX_CHUNKS).collect::<Vec<_>>();
        self.item(&Item::Key(KeyRow::of(key, entry), next()))?;
        loop {
            let more = next();
            if more.is_empty() {
                return Ok(());
            }
            self.item(&Item::More(more))?;
        }
    }
}

/// The chunks of an entry, from one on.
pub fn chunk_rows(entry: &Entry, from: u64) -> impl Iterator<Item = ChunkRow> + '_ {
    let value = entry.value.as_ref();
    let rows = move |value: &'_ Value| {
        value
            .chunks
            .iter_from(from)
            .map(|(at, chunk)| (at, chunk.seq, chunk.hash))
            .collect::<Vec<_>>()
    };
    value.map(rows).unwrap_or_default().into_iter()
}

/// Writes what changed behind the first `len` bytes of a checkpoint, or all into a new one. Returns
/// how long it is then; it is not durable yet.
pub fn write(dir: &Path, at: (u64, u64), values: &mut Values, all: bool) -> std::io::Result<u64> {
    let (number, len) = at;
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(false).open(path(dir, number))?;
    file.set_len(len)?;
    file.seek(SeekFrom::Start(len))?;
    let mut out = Out(BufWriter::with_capacity(1 << 18, file), len);
    if all {
        for key in values.keys.keys() {
            out.key(values, key)?;
        }
        for (id, session) in &values.sessions.all {
            out.item(&Item::Session(SessionRow::of(*id, session)))?;
        }
    } else {
        for key in &values.dirty {
            out.key(values, key)?;
        }
        for id in &values.sessions.dirty {
            out.item(&match values.sessions.all.get(id) {
                Some(session) => Item::Session(SessionRow::of(*id, session)),
                None => Item::SessionGone(*id),
            })?;
        }
    }
    let staged = values.staged.iter().map(|(id, staged)| StageRow::of(*id, staged));
    out.item(&Item::Staged(staged.collect()))?;
    out.item(&Item::Done(values.applied, values.term, values.lenient))?;
    out.0.flush()?;
    values.dirty.clear();
    values.sessions.dirty.clear();
    Ok(out.1)
}

/// Reads a checkpoint of this length.
pub fn read(dir: &Path, at: (u64, u64), now: u64) -> Result<Values, String> {
    let (number, len) = at;
    let path = path(dir, number);
    let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let damaged = |why: &str| format!("{} is damaged: {why}", path.display());
    if file.metadata().map_err(|error| damaged(&error.to_string()))?.len() < len {
        return Err(damaged("it is cut off"));
    }
    let mut reader = BufReader::with_capacity(1 << 18, file.take(len));
    let mut values = Values::default();
    let mut last: Option<StateKey> = None;
    let mut done = false;
    while let Some(item) = item(&mut reader).map_err(|why| damaged(&why))? {
        done = matches!(item, Item::Done(..));
        load(&mut values, &mut last, item, now);
    }
    if !done {
        return Err(damaged("it has no end"));
    }
    values.dirty.clear();
    values.sessions.dirty.clear();
    Ok(values)
}

/// The last record of any checkpoint that was begun, also if it was never noted: the log had it.
pub fn newest(dir: &Path) -> u64 {
    let mut newest = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_str().and_then(number).is_none() {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        let mut reader = BufReader::with_capacity(1 << 18, file);
        while let Ok(Some(found)) = item(&mut reader) {
            if let Item::Done(applied, ..) = found {
                newest = newest.max(applied);
            }
        }
    }
    newest
}

fn item(reader: &mut impl Read) -> Result<Option<Item>, String> {
    let mut head = [0; HEAD];
    let mut got = 0;
    while let Some(rest) = head.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest).map_err(|error| error.to_string())? {
            0 if got == 0 => return Ok(None),
            0 => return Err("it is cut off".into()),
            read => got += read,
        }
    }
    let [a, b, c, d, hash @ ..] = head;
    let len = u32::from_le_bytes([a, b, c, d]) as usize;
    if len > MAX_ITEM {
        return Err("an item is too long".into());
    }
    let mut bytes = vec![0; len];
    reader.read_exact(&mut bytes).map_err(|error| error.to_string())?;
    if xxh3_64(&bytes) != u64::from_le_bytes(hash) {
        return Err("the hash of an item is another".into());
    }
    wire::decode("item of a checkpoint", &bytes).map(Some).map_err(|error| error.to_string())
}

fn load(values: &mut Values, last: &mut Option<StateKey>, item: Item, now: u64) {
    match item {
        Item::Key(row, chunks) => {
            let (key, mut entry) = row.entry();
            add(&mut entry, &chunks);
            values.put(&key, entry);
            *last = Some(key);
        }
        Item::More(chunks) => {
            if let Some(key) = last {
                let mut entry = values.take(key);
                add(&mut entry, &chunks);
                values.put(key, entry);
            }
        }
        Item::Gone(key) => values.put(&key, Entry::default()),
        Item::Session(row) => {
            let (id, session) = row.session();
            values.sessions.all.insert(id, session);
        }
        Item::SessionGone(id) => {
            values.sessions.all.remove(&id);
        }
        Item::Staged(rows) => {
            values.staged = rows.into_iter().map(|row| row.staged(now)).collect();
        }
        Item::Done(applied, term, lenient) => {
            (values.applied, values.term, values.lenient) = (applied, term, lenient);
        }
    }
}

/// Adds chunks to an entry.
pub fn add(entry: &mut Entry, chunks: &[ChunkRow]) {
    if let Some(value) = &mut entry.value {
        for (at, seq, hash) in chunks {
            value.chunks.set(*at, Chunk { seq: *seq, hash: *hash });
        }
    }
}
