//! A disk that forgets, in a crash, a part of what was not synced.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType, HardState};
use rand::Rng;
use rand::rngs::StdRng;

use crate::consensus::log::{Disk, DiskError, Loaded, Position, Write};
use crate::id::NodeId;

#[derive(Clone)]
enum Op {
    Append(Option<HardState>, Vec<Entry>),
    Reset(HardState, Position),
    Compact(Position, Position),
}

#[derive(Default)]
struct Platter {
    durable: Image,
    unsynced: Vec<Op>,
    /// The log as the process sees it, with what was compacted.
    history: BTreeMap<u64, (u64, Bytes)>,
    lies: bool,
    birth: u64,
    witnessed: BTreeMap<NodeId, u64>,
    dying: bool,
}

#[derive(Default, Clone)]
struct Image {
    hard_state: HardState,
    base: Position,
    entries: Vec<Entry>,
    snapshot: Option<Position>,
    files: BTreeMap<(u64, u64), Vec<u8>>,
}

/// A node's disk; it outlives the node's process.
#[derive(Clone, Default)]
pub struct SimDisk(Rc<RefCell<Platter>>);

impl SimDisk {
    /// An empty disk; one that lies says "synced" and is not.
    pub fn new(lies: bool, birth: u64) -> Self {
        let disk = Self::default();
        disk.0.borrow_mut().lies = lies;
        disk.0.borrow_mut().birth = birth;
        disk
    }

    /// The next write fails, half-way: the process dies in it.
    pub fn die_in_next_write(&self) {
        self.0.borrow_mut().dying = true;
    }

    /// Whether a write failed because of [`SimDisk::die_in_next_write`]. Asking clears it.
    pub fn take_dying(&self) -> bool {
        std::mem::take(&mut self.0.borrow_mut().dying)
    }

    /// The process was killed: a random part of what was not synced is lost, the latest first.
    pub fn crash(&self, rng: &mut StdRng) {
        let mut platter = self.0.borrow_mut();
        platter.dying = false;
        let kept = rng.random_range(0..=platter.unsynced.len());
        platter.unsynced.truncate(kept);
        platter.flush();
        let entries = platter.durable.entries.clone();
        platter.history = entries.iter().map(line).collect();
    }

    /// The entries between two indexes that went over this disk, compacted ones too: their term
    /// and data.
    pub fn history(&self, low: u64, high: u64) -> Vec<(u64, (u64, Bytes))> {
        let platter = self.0.borrow();
        platter.history.range(low..=high).map(|(index, entry)| (*index, entry.clone())).collect()
    }

    /// What a process finds at its start.
    pub fn load(&self) -> Loaded {
        let mut platter = self.0.borrow_mut();
        platter.flush();
        let image = &platter.durable;
        let snapshot = image.snapshot.map(|at| (at, image.files[&(at.index, at.term)].clone()));
        Loaded {
            hard_state: image.hard_state.clone(),
            base: image.base,
            entries: image.entries.clone(),
            snapshot,
            birth: platter.birth,
            witnessed: platter.witnessed.clone(),
        }
    }
}

/// First byte of what stands in a history for a change of the group; entries begin with 1.
pub const CHANGE: u8 = 0xcc;

fn line(entry: &Entry) -> (u64, (u64, Bytes)) {
    let data = match entry.get_entry_type() {
        EntryType::EntryNormal => entry.data.clone(),
        _ => [&[CHANGE], &entry.data[..]].concat().into(),
    };
    (entry.index, (entry.term, data))
}

impl Platter {
    fn flush(&mut self) {
        for op in std::mem::take(&mut self.unsynced) {
            self.durable.carry_out(op);
        }
    }

    fn write(&mut self, op: Op, sync: bool) -> Result<(), DiskError> {
        match &op {
            Op::Append(_, entries) => {
                if let Some(first) = entries.first() {
                    drop(self.history.split_off(&first.index));
                }
                self.history.extend(entries.iter().map(line));
            }
            Op::Reset(..) => self.history.clear(),
            Op::Compact(..) => {}
        }
        self.unsynced.push(op);
        if self.dying {
            return Err(DiskError::Io { what: "a write".into(), why: "killed".into() });
        }
        if sync && !self.lies {
            self.flush();
        }
        Ok(())
    }
}

impl Image {
    fn carry_out(&mut self, op: Op) {
        match op {
            Op::Append(hard_state, entries) => {
                if let Some(first) = entries.first() {
                    self.entries.retain(|entry| entry.index < first.index);
                }
                self.entries.extend(entries);
                self.hard_state = hard_state.unwrap_or_else(|| self.hard_state.clone());
            }
            Op::Reset(hard_state, snapshot) => {
                self.entries.clear();
                self.base = snapshot;
                self.snapshot = Some(snapshot);
                self.hard_state = hard_state;
            }
            Op::Compact(snapshot, base) => {
                self.entries.retain(|entry| entry.index > base.index);
                self.base = base;
                self.snapshot = Some(snapshot);
            }
        }
    }
}

impl Disk for SimDisk {
    fn write(&mut self, write: Write<'_>) -> Result<(), DiskError> {
        let (op, sync) = match write {
            Write::Append { hard_state, entries, sync } => {
                (Op::Append(hard_state.cloned(), entries.to_vec()), sync)
            }
            Write::Reset { hard_state, snapshot } => {
                (Op::Reset(hard_state.clone(), snapshot), true)
            }
            Write::Compact { snapshot, base } => (Op::Compact(snapshot, base), true),
        };
        self.0.borrow_mut().write(op, sync)
    }

    fn save_snapshot(&mut self, at: Position, data: &[u8]) -> Result<(), DiskError> {
        let mut platter = self.0.borrow_mut();
        platter.durable.files.insert((at.index, at.term), data.to_vec());
        Ok(())
    }

    fn witness(&mut self, births: &BTreeMap<NodeId, u64>) -> Result<(), DiskError> {
        self.0.borrow_mut().witnessed.clone_from(births);
        Ok(())
    }
}
