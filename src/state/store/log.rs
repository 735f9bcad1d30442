//! The log: one engine for all shards of a node, one fsync for what is written together.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use raft::eraftpb::Entry;
use raft_engine::{Command, Config, Engine, LogBatch, MessageExt, ReadableSize};
use rkyv::{Archive, Deserialize, Serialize};

use super::StoreError;
use crate::wire;
use crate::wire::shards::ShardId;

/// Size at which the engine begins another file.
const FILE_SIZE: ReadableSize = ReadableSize::mb(16);
/// Size past which the engine removes old files, and moves what it needs of them.
const PURGE_SIZE: ReadableSize = ReadableSize::mb(64);
/// Most entries that are read at once.
const MAX_READ: u64 = 4_096;

const KEY: &[u8] = b"shard";
const KEY_FORMAT: &[u8] = b"format";
/// Region of what is of the whole node.
const NODE: u64 = 1_000;
/// Version of what the engine's keys mean.
const FORMAT: u8 = 1;

/// A record of a shard's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Of its owner.
    pub term: u64,
    /// Its number.
    pub seq: u64,
    /// What it says; empty for nothing.
    pub body: Bytes,
}

/// The last record of something: its term, then its number.
pub type Point = (u64, u64);

/// What is kept of a shard beside its records, in the engine.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// The log begins behind this.
    pub before: Point,
    /// Where each term begins.
    pub starts: Vec<Point>,
    /// The last record, where more are in the engine that were cut off.
    pub end: Option<u64>,
    /// The checkpoint: its file, how much of it, and the last record in it.
    pub meta: Option<(u64, u64, u64)>,
    /// The values are not whole.
    pub blank: bool,
}

struct Entries;

impl MessageExt for Entries {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.index
    }
}

/// One change of the log; see [`Log::commit`].
pub enum Step<'a> {
    /// Appends; what is there from the first number on goes.
    Entries(ShardId, &'a [Record]),
    /// Replaces the note.
    Note(ShardId, &'a Note),
    /// Removes the records below this number.
    Compact(ShardId, u64),
    /// Removes all of a shard.
    Clean(ShardId),
}

/// The engine.
pub struct Log {
    engine: Engine,
    failed: AtomicBool,
}

impl Log {
    /// Opens it, or makes it. Blocks.
    pub fn open(dir: &Path) -> Result<Self, raft_engine::Error> {
        let config = Config {
            dir: dir.to_string_lossy().into_owned(),
            target_file_size: FILE_SIZE,
            purge_threshold: PURGE_SIZE,
            recovery_threads: 2,
            // Records are mostly bytes of values: time is worth more.
            batch_compression_threshold: ReadableSize(0),
            enable_log_recycle: false,
            ..Config::default()
        };
        let opened = catch_unwind(AssertUnwindSafe(|| Engine::open(config)));
        let engine = opened.unwrap_or_else(|_| {
            Err(raft_engine::Error::Corruption(
                "the engine gave up; its message is on stderr".into(),
            ))
        })?;
        match engine.get(NODE, KEY_FORMAT) {
            Some(format) if format == [FORMAT] => {}
            Some(other) => {
                let why = format!("it has format {other:?}, and this build reads {FORMAT}");
                return Err(raft_engine::Error::Other(why.into()));
            }
            None => {
                let mut batch = LogBatch::default();
                batch.put(NODE, KEY_FORMAT.to_vec(), vec![FORMAT])?;
                engine.write(&mut batch, true)?;
            }
        }
        Ok(Self { engine, failed: AtomicBool::new(false) })
    }

    /// Makes changes, all or none of them.
    pub fn commit(&self, steps: &[Step<'_>], sync: bool) -> Result<(), StoreError> {
        if self.failed.load(Ordering::Acquire) {
            return Err(StoreError::Log("it failed before".into()));
        }
        let mut batch = LogBatch::default();
        for step in steps {
            add(&mut batch, step).map_err(|error| StoreError::Misuse(error.to_string()))?;
        }
        // The engine panics when an fsync fails. From then on nothing is known of the disk.
        let written = catch_unwind(AssertUnwindSafe(|| self.engine.write(&mut batch, sync)));
        let why = match written {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the engine gave up; its message is on stderr".into(),
        };
        Err(self.fail(&why))
    }

    /// Nothing can be written any more.
    pub fn fail(&self, why: &str) -> StoreError {
        self.failed.store(true, Ordering::Release);
        StoreError::Log(why.to_owned())
    }

    /// The note of a shard.
    pub fn note(&self, shard: ShardId) -> Result<Option<Note>, String> {
        let Some(bytes) = self.engine.get(region(shard), KEY) else { return Ok(None) };
        wire::decode("note of a shard", &bytes).map(Some).map_err(|error| error.to_string())
    }

    /// The numbers of the first and the last record in the engine.
    pub fn span(&self, shard: ShardId) -> Option<Point> {
        Some((self.engine.first_index(region(shard))?, self.engine.last_index(region(shard))?))
    }

    /// Reads records from `from` on and below `end`: at most so many bytes, but at least one.
    pub fn read(
        &self,
        shard: ShardId,
        from: u64,
        end: u64,
        bytes: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let mut entries = Vec::new();
        let end = end.min(from.saturating_add(MAX_READ));
        if from >= end {
            return Ok(Vec::new());
        }
        let read = catch_unwind(AssertUnwindSafe(|| {
            let region = region(shard);
            self.engine.fetch_entries_to::<Entries>(region, from, end, Some(bytes), &mut entries)
        }));
        let why = match read {
            Ok(Ok(_)) if entries.is_empty() => "a record is missing in the log".into(),
            Ok(Ok(_)) => {
                let record =
                    |entry: Entry| Record { term: entry.term, seq: entry.index, body: entry.data };
                return Ok(entries.into_iter().map(record).collect());
            }
            Ok(Err(error)) => format!("its log: {error}"),
            Err(_) => "its log: the engine gave up; its message is on stderr".into(),
        };
        Err(StoreError::Copy { shard, why })
    }

    /// Bytes on disk.
    pub fn size(&self) -> u64 {
        self.engine.get_used_size() as u64
    }

    /// Removes files that are not needed any more.
    pub fn purge(&self) {
        let purged = catch_unwind(AssertUnwindSafe(|| self.engine.purge_expired_files()));
        match purged {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "removing old files of the state's log"),
            Err(_) => self.failed.store(true, Ordering::Release),
        }
    }
}

fn add(batch: &mut LogBatch, step: &Step<'_>) -> Result<(), raft_engine::Error> {
    match step {
        Step::Entries(shard, records) => {
            let entry = |record: &Record| Entry {
                term: record.term,
                index: record.seq,
                data: record.body.clone(),
                ..Entry::default()
            };
            let entries: Vec<Entry> = records.iter().map(entry).collect();
            batch.add_entries::<Entries>(region(*shard), &entries)
        }
        Step::Note(shard, note) => {
            batch.put(region(*shard), KEY.to_vec(), wire::encode(*note).to_vec())
        }
        Step::Compact(shard, index) => {
            batch.add_command(region(*shard), Command::Compact { index: *index });
            Ok(())
        }
        Step::Clean(shard) => {
            batch.add_command(region(*shard), Command::Clean);
            Ok(())
        }
    }
}

fn region(shard: ShardId) -> u64 {
    u64::from(shard.0) + 1
}
