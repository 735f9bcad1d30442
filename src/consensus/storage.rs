//! The Raft log on disk: raft-engine for entries and small state, a file of its own for each
//! snapshot.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use raft::eraftpb::{Entry, HardState};
use raft_engine::{Command, Config, Engine, LogBatch, MessageExt, ReadableSize};

use super::disk_thread::Store;
use super::log::{DiskError, Loaded, Position, Write};
use super::snapshot_file;
use crate::id::NodeId;

/// The only group in the engine.
const GROUP: u64 = 1;
/// Version of what the engine's keys mean.
const FORMAT: u64 = 2;
/// Size at which the engine begins another log file.
const FILE_SIZE: ReadableSize = ReadableSize::mb(8);
/// Size past which the engine rewrites and deletes old files.
const PURGE_SIZE: ReadableSize = ReadableSize::mb(32);

const KEY_FORMAT: &[u8] = b"format";
const KEY_HARD_STATE: &[u8] = b"hard-state";
const KEY_BASE: &[u8] = b"base";
const KEY_BIRTH: &[u8] = b"birth";
const KEY_WITNESSED: &[u8] = b"witnessed";
const KEY_SNAPSHOT: &[u8] = b"snapshot";

struct Entries;

impl MessageExt for Entries {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.index
    }
}

/// The log on this node's disk.
pub struct EngineDisk {
    engine: Engine,
    dir: PathBuf,
    birth: u64,
    witnessed: BTreeMap<NodeId, u64>,
}

impl EngineDisk {
    /// Opens (or makes) the log under `dir`. Blocks on the disk.
    pub fn open(dir: &Path) -> Result<(Self, Loaded), DiskError> {
        let io = |what: &str, why: String| DiskError::Io { what: what.into(), why };
        std::fs::create_dir_all(dir).map_err(|e| io("making its directory", e.to_string()))?;
        let path = dir.join("log");
        let config = Config {
            dir: path.to_str().ok_or_else(|| io("its path", "not UTF-8".into()))?.to_owned(),
            target_file_size: FILE_SIZE,
            purge_threshold: PURGE_SIZE,
            recovery_threads: 1,
            enable_log_recycle: false,
            ..Config::default()
        };
        let engine = Engine::open(config).map_err(|error| opening(&path, error))?;
        let birth = rand::random();
        let mut disk = Self { engine, dir: dir.to_owned(), birth, witnessed: BTreeMap::new() };
        let loaded = disk.load()?;
        Ok((disk, loaded))
    }

    fn load(&mut self) -> Result<Loaded, DiskError> {
        match self.number(KEY_FORMAT)? {
            None => {
                self.first_write()?;
                return Ok(Loaded { birth: self.birth, ..Loaded::default() });
            }
            Some(FORMAT) => {}
            Some(other) => {
                let why = format!("it has format {other}, and this build reads {FORMAT}");
                return Err(self.corrupt(&why));
            }
        }
        self.birth = self.number(KEY_BIRTH)?.ok_or_else(|| self.corrupt("it has no birth"))?;
        self.witnessed = self.births()?;
        let hard_state: HardState = self.message(KEY_HARD_STATE)?.unwrap_or_default();
        let base = self.position(KEY_BASE)?.unwrap_or_default();
        let snapshot = match self.position(KEY_SNAPSHOT)? {
            Some(at) => Some((at, snapshot_file::read(&self.dir, at)?)),
            None => None,
        };
        snapshot_file::remove_others(&self.dir, snapshot.as_ref().map(|(at, _)| *at));
        let mut entries = Vec::new();
        if let (Some(first), Some(last)) =
            (self.engine.first_index(GROUP), self.engine.last_index(GROUP))
        {
            self.engine
                .fetch_entries_to::<Entries>(GROUP, first, last + 1, None, &mut entries)
                .map_err(|error| self.corrupt(&error.to_string()))?;
        }
        let (birth, witnessed) = (self.birth, self.witnessed.clone());
        Ok(Loaded { hard_state, base, entries, snapshot, birth, witnessed })
    }

    fn first_write(&mut self) -> Result<(), DiskError> {
        let mut batch = LogBatch::default();
        self.put_constants(&mut batch)?;
        self.commit(&mut batch, true)
    }

    fn put_constants(&self, batch: &mut LogBatch) -> Result<(), DiskError> {
        put(batch, KEY_FORMAT, FORMAT.to_be_bytes().to_vec())?;
        put(batch, KEY_BIRTH, self.birth.to_be_bytes().to_vec())?;
        put(batch, KEY_WITNESSED, births(&self.witnessed))
    }

    fn births(&self) -> Result<BTreeMap<NodeId, u64>, DiskError> {
        let bytes = self.engine.get(GROUP, KEY_WITNESSED).unwrap_or_default();
        let (pairs, rest) = bytes.as_chunks::<16>();
        if !rest.is_empty() {
            return Err(self.corrupt("the births of others have the wrong size"));
        }
        let pair = |bytes: &[u8; 16]| {
            let (node, birth) = bytes.split_first_chunk::<8>()?;
            let birth = u64::from_be_bytes(birth.try_into().ok()?);
            Some((NodeId(u64::from_be_bytes(*node)), birth))
        };
        Ok(pairs.iter().filter_map(pair).collect())
    }

    fn commit(&self, batch: &mut LogBatch, sync: bool) -> Result<(), DiskError> {
        // raft-engine panics when an fsync fails. That must end in an error, which is fatal, and
        // not in a restart: nothing is known of what is durable.
        let written = catch_unwind(AssertUnwindSafe(|| self.engine.write(batch, sync)));
        match written {
            Ok(written) => written.map(drop).map_err(|error| failed("writing the log", error)),
            Err(_) => Err(DiskError::Io {
                what: "syncing the log".into(),
                why: "raft-engine gave up; its message is on stderr".into(),
            }),
        }
    }

    fn number(&self, key: &[u8]) -> Result<Option<u64>, DiskError> {
        let Some(bytes) = self.engine.get(GROUP, key) else { return Ok(None) };
        let bytes = bytes.try_into().map_err(|_| self.corrupt("a number has the wrong size"))?;
        Ok(Some(u64::from_be_bytes(bytes)))
    }

    fn message<M: protobuf::Message>(&self, key: &[u8]) -> Result<Option<M>, DiskError> {
        self.engine.get_message(GROUP, key).map_err(|error| self.corrupt(&error.to_string()))
    }

    fn position(&self, key: &[u8]) -> Result<Option<Position>, DiskError> {
        let Some(bytes) = self.engine.get(GROUP, key) else { return Ok(None) };
        let parts = bytes.split_first_chunk::<8>().and_then(|(index, rest)| {
            Some((u64::from_be_bytes(*index), u64::from_be_bytes(rest.try_into().ok()?)))
        });
        let (index, term) = parts.ok_or_else(|| self.corrupt("a position has the wrong size"))?;
        Ok(Some(Position { index, term }))
    }

    fn corrupt(&self, why: &str) -> DiskError {
        let what = self.dir.join("log").display().to_string();
        DiskError::Corrupt { what, why: why.to_owned() }
    }

    fn reset(&self, hard_state: &HardState, snapshot: Position) -> Result<(), DiskError> {
        let mut batch = LogBatch::default();
        batch.add_command(GROUP, Command::Clean);
        self.put_constants(&mut batch)?;
        put(&mut batch, KEY_HARD_STATE, bytes(hard_state)?)?;
        put_position(&mut batch, KEY_BASE, snapshot)?;
        put_position(&mut batch, KEY_SNAPSHOT, snapshot)?;
        self.commit(&mut batch, true)?;
        self.tidy(snapshot)
    }

    fn compact(&self, snapshot: Position, base: Position) -> Result<(), DiskError> {
        let mut batch = LogBatch::default();
        batch.add_command(GROUP, Command::Compact { index: base.index + 1 });
        put_position(&mut batch, KEY_BASE, base)?;
        put_position(&mut batch, KEY_SNAPSHOT, snapshot)?;
        self.commit(&mut batch, true)?;
        self.tidy(snapshot)
    }

    fn tidy(&self, snapshot: Position) -> Result<(), DiskError> {
        snapshot_file::remove_others(&self.dir, Some(snapshot));
        let purged = self.engine.purge_expired_files();
        purged.map(drop).map_err(|error| failed("deleting old log files", error))
    }
}

impl Store for EngineDisk {
    fn carry_out(&mut self, write: &Write, sync: bool) -> Result<(), DiskError> {
        match write {
            Write::Append { hard_state, entries, .. } => {
                let mut batch = LogBatch::default();
                batch
                    .add_entries::<Entries>(GROUP, entries)
                    .map_err(|error| failed("adding entries", error))?;
                if let Some(hard_state) = hard_state {
                    put(&mut batch, KEY_HARD_STATE, bytes(hard_state)?)?;
                }
                self.commit(&mut batch, sync)
            }
            Write::Reset { hard_state, snapshot, data } => {
                snapshot_file::write(&self.dir, *snapshot, data)?;
                self.reset(hard_state, *snapshot)
            }
            Write::Compact { snapshot, data, base } => {
                snapshot_file::write(&self.dir, *snapshot, data)?;
                self.compact(*snapshot, *base)
            }
            Write::Witness(all) => {
                self.witnessed.clone_from(all);
                let mut batch = LogBatch::default();
                put(&mut batch, KEY_WITNESSED, births(all))?;
                self.commit(&mut batch, true)
            }
        }
    }
}

fn put(batch: &mut LogBatch, key: &[u8], value: Vec<u8>) -> Result<(), DiskError> {
    batch.put(GROUP, key.to_vec(), value).map_err(|error| failed("adding a value", error))
}

fn put_position(batch: &mut LogBatch, key: &[u8], at: Position) -> Result<(), DiskError> {
    put(batch, key, [at.index.to_be_bytes(), at.term.to_be_bytes()].concat())
}

fn births(all: &BTreeMap<NodeId, u64>) -> Vec<u8> {
    all.iter()
        .flat_map(|(node, birth)| [node.0.to_be_bytes(), birth.to_be_bytes()].concat())
        .collect()
}

fn bytes<M: protobuf::Message>(message: &M) -> Result<Vec<u8>, DiskError> {
    message
        .write_to_bytes()
        .map_err(|error| DiskError::Io { what: "encoding a value".into(), why: error.to_string() })
}

fn failed(what: &str, error: raft_engine::Error) -> DiskError {
    DiskError::Io { what: what.into(), why: error.to_string() }
}

fn opening(path: &Path, error: raft_engine::Error) -> DiskError {
    match error {
        raft_engine::Error::Corruption(why) => {
            DiskError::Corrupt { what: path.display().to_string(), why }
        }
        other => failed(&format!("opening {}", path.display()), other),
    }
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
