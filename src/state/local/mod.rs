//! The local tier: at most one copy of a value per node, in memory that all instances which use it
//! have mapped, and what keeps it in step with the owner.
//!
//! *What changed here* is found by a hash per chunk as of the last synchronisation, and only where
//! somebody can have written since: what is or was mapped, or was written by a host call. A push
//! copies a chunk out first, then hashes and sends that copy. A pull brings what moved on and what
//! was written here and not pushed, all as of one version.
//!
//! Nothing here knows where owners are, nor how locks of the cluster are kept: see
//! [`Global`] and [`GlobalLocks`].

mod budget;
mod call;
mod chunks;
mod copy;
mod held;
mod locks;
pub mod metrics;
mod notes;
mod pull;
mod push;
mod ranges;
mod scan;
mod table;
#[cfg(test)]
mod tests;
mod value;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use budget::Budget;
use copy::Copy;
use locks::Waits;
use metrics::Meters;
use scan::Crew;
use table::Table;

use super::global::{Global, GlobalLocks};
use crate::errno::Errno;
use crate::function::{StateHost, StateSpace};
use crate::id::{CallId, Name};
use crate::wire::shards::StateKey;

/// What part of a limit is freed at once.
const SPARE: u64 = 32;
/// Copies there may be where the process has no limit on files.
const MANY: u64 = 1 << 20;

/// What it takes to start the local tier.
pub struct LocalSetup {
    /// The owners of values.
    pub global: Arc<dyn Global>,
    /// Locks of the cluster.
    pub locks: Arc<dyn GlobalLocks>,
    /// Bytes of memory that copies may take.
    pub memory: u64,
    /// The same for each user.
    pub user_memory: u64,
    /// Threads that look for changes.
    pub threads: usize,
    /// How long an operation waits for an owner that can answer.
    pub patience: Duration,
}

/// The local tier. Cheap to clone.
#[derive(Clone)]
pub struct Local {
    shared: Arc<Shared>,
}

impl Local {
    /// Starts with no copies.
    pub fn new(setup: LocalSetup) -> Self {
        let LocalSetup { global, locks, memory, user_memory, threads, patience } = setup;
        let shared = Arc::new(Shared {
            global,
            locks,
            budget: Arc::new(Budget::new(memory, user_memory)),
            meters: Arc::new(Meters::register()),
            crew: Crew::new(threads.max(1)),
            table: Table::default(),
            waits: Waits::default(),
            most_copies: most_copies(),
            patience,
        });
        Self { shared }
    }

    /// Bytes of a value that are here, and whether anybody has it mapped; `None` without a copy.
    pub fn copy(&self, key: &StateKey) -> Option<(u64, bool)> {
        let copy = self.shared.table.find(key)?.copy()?;
        let chunks = copy.chunks();
        Some((chunks.resident(), chunks.is_mapped()))
    }

    /// Copies here.
    pub fn copies(&self) -> usize {
        self.shared.table.copies()
    }

    /// Bytes of memory that they take.
    pub fn memory_used(&self) -> u64 {
        self.shared.budget.used()
    }

    /// The limit of that.
    pub fn memory_limit(&self) -> u64 {
        self.shared.budget.limit()
    }
}

impl StateSpace for Local {
    fn open(&self, call: CallId, user: &Name) -> Arc<dyn StateHost> {
        Arc::new(call::Call::new(self.shared.clone(), call, user))
    }
}

/// What all calls share.
struct Shared {
    global: Arc<dyn Global>,
    locks: Arc<dyn GlobalLocks>,
    budget: Arc<Budget>,
    meters: Arc<Meters>,
    crew: Crew,
    table: Table,
    waits: Waits,
    most_copies: usize,
    patience: Duration,
}

/// Half of the files that the process may have: the rest is for connections.
fn most_copies() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    usize::try_from(files.unwrap_or(MANY) / 2).unwrap_or(usize::MAX).max(1)
}

impl Shared {
    /// Takes memory for a part of a copy; copies that nobody uses and that have nothing unpushed
    /// make room for it: only the user's own for the user's share.
    async fn charge(&self, copy: &Arc<Copy>, range: Range<u64>) -> Result<(), Errno> {
        let mut charged = copy.charge(range.clone());
        if !matches!(charged, Err(Errno::NoMem | Errno::Quota)) {
            return charged;
        }
        for slot in self.table.unused() {
            if charged == Err(Errno::Quota) && slot.key.user != copy.key.user {
                continue;
            }
            self.evict(&slot).await?;
            self.table.leave(slot);
            self.meters.copies(self.table.copies());
            if charged.is_err() {
                charged = copy.charge(range.clone());
            }
            // A little more at once: finding out who goes takes a look at all.
            let limit = self.budget.limit();
            if charged.is_ok() && self.budget.used() <= limit - limit / SPARE {
                break;
            }
        }
        charged
    }

    /// Sees to it that another copy can be made: each takes one of the process's files.
    async fn have_place(&self) -> Result<(), Errno> {
        if self.table.copies() < self.most_copies {
            return Ok(());
        }
        for slot in self.table.unused() {
            self.evict(&slot).await?;
            self.table.leave(slot);
            if self.table.copies() < self.most_copies - self.most_copies / SPARE as usize {
                break;
            }
        }
        self.meters.copies(self.table.copies());
        if self.table.copies() < self.most_copies { Ok(()) } else { Err(Errno::NoMem) }
    }

    /// Drops the copy in a slot, unless somebody uses it or it has something unpushed.
    async fn evict(&self, slot: &table::Slot) -> Result<(), Errno> {
        let Some(copy) = slot.copy() else { return Ok(()) };
        let places = {
            let chunks = copy.chunks();
            if chunks.is_mapped() || chunks.is_flagged() || chunks.len() != chunks.synced_len {
                return Ok(());
            }
            chunks.candidates(0..u64::MAX)
        };
        if !places.is_empty() {
            let Ok(_gate) = copy.gate.try_lock() else { return Ok(()) };
            let mut notes = notes::Notes::none(&copy);
            let places = notes.take(0..u64::MAX);
            if !scan::dirty(&self.crew, &copy, places).await?.is_empty() {
                return Ok(());
            }
            notes.done();
        }
        drop(copy);
        self.table.evict(slot, |copy| {
            let chunks = copy.chunks();
            !chunks.is_touched() && !chunks.is_flagged() && !copy.must_discard()
        });
        Ok(())
    }
}
