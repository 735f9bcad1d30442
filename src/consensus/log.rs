//! The Raft log in memory, as raft-rs reads it. Every entry since the last compaction is here, so
//! that no read waits for the disk or can fail on it; [`Disk`] is written behind it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use crate::id::NodeId;

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Log index.
    pub index: u64,
    /// Term of the entry there.
    pub term: u64,
}

/// One change of what is on disk. Each is carried out whole or not at all.
#[derive(Debug, Clone)]
pub enum Write {
    /// Appends entries; those that are there from the first one's index on are cut off.
    Append {
        /// Replaces the hard state.
        hard_state: Option<HardState>,
        /// Contiguous.
        entries: Vec<Entry>,
        /// Whether anybody waits until it is durable. Without, it may be lost, but only together
        /// with all later writes.
        sync: bool,
    },
    /// Saves a snapshot; the log begins anew behind it.
    Reset {
        /// Replaces the hard state.
        hard_state: HardState,
        /// The snapshot.
        snapshot: Position,
        /// Its bytes.
        data: Bytes,
    },
    /// Saves a snapshot; the log is forgotten up to `base`.
    Compact {
        /// The snapshot.
        snapshot: Position,
        /// Its bytes.
        data: Bytes,
        /// The last entry forgotten.
        base: Position,
    },
    /// Replaces what is noted of the births of others' logs.
    Witness(BTreeMap<NodeId, u64>),
}

impl Write {
    /// Whether anybody waits until it is durable.
    pub fn syncs(&self) -> bool {
        !matches!(self, Self::Append { sync: false, .. })
    }

    /// About how many bytes it has.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Append { entries, .. } => entries.iter().map(size).sum(),
            Self::Reset { data, .. } | Self::Compact { data, .. } => data.len(),
            Self::Witness(_) => 0,
        }
    }
}

/// The disk refused, or its content is damaged. Fatal: after a failed fsync nothing is known of
/// what is durable, and a second try would lie.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// Reading or writing failed.
    #[error("the log's disk failed at {what}: {why}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's words.
        why: String,
    },
    /// The content is not what was written.
    #[error(
        "{what} is damaged ({why}): this node's copy cannot be used; restore the file from a \
         backup, or take the node out of the cluster"
    )]
    Corrupt {
        /// The file.
        what: String,
        /// What the check found.
        why: String,
    },
}

/// Where the log is durable. Writes are carried out in order, while whoever wrote goes on.
pub trait Disk {
    /// Takes a write, under a mark that is greater than that of each earlier one which
    /// [syncs](Write::syncs), if it does.
    fn submit(&mut self, mark: u64, write: Write) -> Result<(), DiskError>;
    /// The mark up to which all is durable.
    fn durable(&mut self) -> Result<u64, DiskError>;
    /// Waits until all is durable.
    fn settle(&mut self) -> Result<(), DiskError>;
}

/// What a disk held at the start.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The hard state.
    pub hard_state: HardState,
    /// The last entry forgotten.
    pub base: Position,
    /// Entries after `base`.
    pub entries: Vec<Entry>,
    /// The snapshot, with its bytes.
    pub snapshot: Option<(Position, Vec<u8>)>,
    /// Drawn when the log was made.
    pub birth: u64,
    /// The births of others' logs.
    pub witnessed: BTreeMap<NodeId, u64>,
}

impl Loaded {
    /// Whether nothing was ever written.
    pub fn is_blank(&self) -> bool {
        self.hard_state == HardState::default()
            && self.base == Position::default()
            && self.entries.is_empty()
            && self.snapshot.is_none()
    }

    /// Checks that the parts fit together; raft-rs would panic on some that do not.
    pub fn check(&self) -> Result<(), DiskError> {
        let corrupt = |why: String| DiskError::Corrupt { what: "the Raft log".into(), why };
        let mut last = self.base;
        for entry in &self.entries {
            if entry.index != last.index + 1 || entry.term < last.term {
                let found = (entry.index, entry.term);
                return Err(corrupt(format!("entry {found:?} follows {last:?}")));
            }
            last = Position { index: entry.index, term: entry.term };
        }
        let snapshot = self.snapshot.as_ref().map_or(0, |(at, _)| at.index);
        let commit = self.hard_state.commit;
        if !(self.base.index..=last.index).contains(&snapshot) {
            let range = (self.base.index, last.index);
            return Err(corrupt(format!("a snapshot at {snapshot} with a log of {range:?}")));
        }
        if !(snapshot..=last.index).contains(&commit) {
            let range = (snapshot, last.index);
            return Err(corrupt(format!("commit {commit} is not inside {range:?}")));
        }
        Ok(())
    }
}

/// The log as raft-rs reads it.
#[derive(Debug)]
pub struct MemLog {
    hard_state: HardState,
    conf: ConfState,
    base: Position,
    entries: VecDeque<Entry>,
    bytes: usize,
    offered: RefCell<Option<Snapshot>>,
    wanted: Cell<bool>,
}

impl MemLog {
    /// The log that was loaded.
    pub fn new(loaded: &Loaded, conf: ConfState) -> Self {
        Self {
            hard_state: loaded.hard_state.clone(),
            conf,
            base: loaded.base,
            bytes: loaded.entries.iter().map(size).sum(),
            entries: loaded.entries.iter().cloned().collect(),
            offered: RefCell::new(None),
            wanted: Cell::new(false),
        }
    }

    /// The last entry forgotten.
    pub fn base(&self) -> Position {
        self.base
    }

    /// Bytes of all entries.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The last entry's index.
    pub fn last(&self) -> u64 {
        self.base.index + self.entries.len() as u64
    }

    /// The hard state.
    pub fn hard_state(&self) -> &HardState {
        &self.hard_state
    }

    /// Replaces the hard state.
    pub fn set_hard_state(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
    }

    /// Appends entries; those that are there from the first one's index on are cut off.
    pub fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        while self.last() >= first.index {
            match self.entries.pop_back() {
                Some(entry) => self.bytes -= size(&entry),
                None => break,
            }
        }
        self.bytes += entries.iter().map(size).sum::<usize>();
        self.entries.extend(entries.iter().cloned());
    }

    /// Begins anew behind a snapshot.
    pub fn reset(&mut self, snapshot: Position, conf: ConfState) {
        self.base = snapshot;
        self.entries.clear();
        self.bytes = 0;
        self.conf = conf;
        self.offered.replace(None);
    }

    /// Forgets all up to `base`.
    pub fn compact(&mut self, base: Position) {
        while self.base.index < base.index {
            match self.entries.pop_front() {
                Some(entry) => {
                    self.bytes -= size(&entry);
                    self.base = Position { index: entry.index, term: entry.term };
                }
                None => break,
            }
        }
    }

    /// Replaces the configuration of the group.
    pub fn set_conf(&mut self, conf: ConfState) {
        self.conf = conf;
    }

    /// Whether raft-rs asked for a snapshot that was not there. Asking clears it.
    pub fn take_wanted(&self) -> bool {
        self.wanted.take()
    }

    /// Gives a snapshot for the next time raft-rs asks. It is handed out once: it is large, and
    /// the next follower gets a newer one.
    pub fn offer(&self, snapshot: Snapshot) {
        self.offered.replace(Some(snapshot));
    }
}

impl Storage for MemLog {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.conf.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.base.index {
            return Err(StorageError::Compacted.into());
        }
        if high > self.last() + 1 {
            return Err(StorageError::Unavailable.into());
        }
        let limit = max_size.into().unwrap_or(u64::MAX);
        let skip = usize::try_from(low - self.base.index - 1).unwrap_or(usize::MAX);
        let count = usize::try_from(high.saturating_sub(low)).unwrap_or(usize::MAX);
        let mut total = 0_u64;
        let within = |entry: &&Entry| {
            let first = total == 0;
            total += u64::from(entry.compute_size());
            first || total <= limit
        };
        Ok(self.entries.iter().skip(skip).take(count).take_while(within).cloned().collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.base.index {
            return Ok(self.base.term);
        }
        let Some(skip) = index.checked_sub(self.base.index + 1) else {
            return Err(StorageError::Compacted.into());
        };
        let entry = usize::try_from(skip).ok().and_then(|skip| self.entries.get(skip));
        entry.map(|entry| entry.term).ok_or_else(|| StorageError::Unavailable.into())
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base.index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        match self.offered.take() {
            // An older one is of no use: the entries that follow it are forgotten.
            Some(snapshot)
                if snapshot.get_metadata().index >= request_index.max(self.base.index) =>
            {
                Ok(snapshot)
            }
            _ => {
                self.wanted.set(true);
                Err(StorageError::SnapshotTemporarilyUnavailable.into())
            }
        }
    }
}

fn size(entry: &Entry) -> usize {
    entry.data.len() + std::mem::size_of::<Entry>()
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
