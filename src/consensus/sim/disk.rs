//! A disk that forgets, in a crash, a part of what was not synced.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use raft::eraftpb::{Entry, EntryType, HardState};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::setup::Setup;
use crate::consensus::log::{Disk, DiskError, Loaded, Position, Write};
use crate::id::NodeId;

#[derive(Default)]
struct Platter {
    durable: Image,
    /// What is not synced, with its marks.
    unsynced: Vec<(u64, Write)>,
    /// The marks up to which all was submitted, and is durable.
    submitted: u64,
    synced: u64,
    /// Whether it takes its time: what was submitted is synced when it is told so.
    slow: bool,
    /// What decides, whenever an eager one is looked at, whether it is done with one write more.
    eager: Option<StdRng>,
    /// The log as the process sees it, with what was compacted.
    history: BTreeMap<u64, (u64, Bytes)>,
    lies: bool,
    birth: u64,
    dying: bool,
}

#[derive(Default, Clone)]
struct Image {
    hard_state: HardState,
    base: Position,
    entries: Vec<Entry>,
    snapshot: Option<Position>,
    saved: Vec<u8>,
    witnessed: BTreeMap<NodeId, u64>,
}

/// A node's disk; it outlives the node's process.
#[derive(Clone, Default)]
pub struct SimDisk(Rc<RefCell<Platter>>);

impl SimDisk {
    /// An empty disk; one that lies says "synced" and is not, one that is slow does when
    /// [`SimDisk::sync`] is called, and not before, unless it is eager.
    pub fn new(setup: &Setup, birth: u64) -> Self {
        let slow = setup.sync.1 > 0 || setup.eager;
        let lies = setup.disks_lie;
        let eager = setup.eager.then(|| StdRng::seed_from_u64(birth));
        let platter = Platter { lies, slow, eager, birth, ..Platter::default() };
        Self(Rc::new(RefCell::new(platter)))
    }

    /// The next write fails, half-way: the process dies in it.
    pub fn die_in_next_write(&self) {
        self.0.borrow_mut().dying = true;
    }

    /// Whether a write failed because of [`SimDisk::die_in_next_write`]. Asking clears it.
    pub fn take_dying(&self) -> bool {
        std::mem::take(&mut self.0.borrow_mut().dying)
    }

    /// What a slow disk is to sync next, up to which mark.
    pub fn behind(&self) -> Option<u64> {
        let platter = self.0.borrow();
        (platter.synced < platter.submitted).then_some(platter.submitted)
    }

    /// A slow disk has synced all up to a mark.
    pub fn sync(&self, mark: u64) {
        self.0.borrow_mut().sync(mark);
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
        (platter.submitted, platter.synced) = (0, 0);
        let image = &platter.durable;
        let snapshot = image.snapshot.map(|at| (at, image.saved.clone()));
        Loaded {
            hard_state: image.hard_state.clone(),
            base: image.base,
            entries: image.entries.clone(),
            snapshot,
            birth: platter.birth,
            witnessed: image.witnessed.clone(),
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
        for (_, write) in std::mem::take(&mut self.unsynced) {
            self.durable.carry_out(write);
        }
    }

    fn sync(&mut self, mark: u64) {
        let later = self.unsynced.iter().position(|(of, write)| write.syncs() && *of > mark);
        let later = self.unsynced.split_off(later.unwrap_or(self.unsynced.len()));
        if !self.lies {
            self.flush();
        }
        self.unsynced.extend(later);
        self.synced = self.synced.max(mark);
    }

    fn write(&mut self, mark: u64, write: Write) -> Result<(), DiskError> {
        match &write {
            Write::Append { entries, .. } => {
                if let Some(first) = entries.first() {
                    drop(self.history.split_off(&first.index));
                }
                self.history.extend(entries.iter().map(line));
            }
            Write::Reset { .. } => self.history.clear(),
            Write::Compact { .. } | Write::Witness(_) => {}
        }
        let syncs = write.syncs();
        self.unsynced.push((mark, write));
        if self.dying {
            return Err(DiskError::Io { what: "a write".into(), why: "killed".into() });
        }
        if syncs {
            self.submitted = mark;
            if !self.slow {
                self.sync(mark);
            }
        }
        Ok(())
    }
}

impl Image {
    fn carry_out(&mut self, write: Write) {
        match write {
            Write::Append { hard_state, entries, .. } => {
                if let Some(first) = entries.first() {
                    self.entries.retain(|entry| entry.index < first.index);
                }
                self.entries.extend(entries);
                self.hard_state = hard_state.unwrap_or_else(|| self.hard_state.clone());
            }
            Write::Reset { hard_state, snapshot, data } => {
                self.entries.clear();
                self.base = snapshot;
                (self.snapshot, self.saved) = (Some(snapshot), data.to_vec());
                self.hard_state = hard_state;
            }
            Write::Compact { snapshot, data, base } => {
                self.entries.retain(|entry| entry.index > base.index);
                self.base = base;
                (self.snapshot, self.saved) = (Some(snapshot), data.to_vec());
            }
            Write::Witness(births) => self.witnessed = births,
        }
    }
}

impl Disk for SimDisk {
    fn submit(&mut self, mark: u64, write: Write) -> Result<(), DiskError> {
        self.0.borrow_mut().write(mark, write)
    }

    fn durable(&mut self) -> Result<u64, DiskError> {
        let mut platter = self.0.borrow_mut();
        let goes_on = platter.eager.as_mut().is_some_and(|rng| rng.random_ratio(1, 3));
        if goes_on && platter.synced < platter.submitted {
            let next = platter.synced + 1;
            platter.sync(next);
        }
        Ok(platter.synced)
    }

    fn settle(&mut self) -> Result<(), DiskError> {
        let mut platter = self.0.borrow_mut();
        let all = platter.submitted;
        platter.sync(all);
        Ok(())
    }
}
