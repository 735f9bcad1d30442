//! Communicators, as one rank holds them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::agree::Past;
use super::attributes::Attributes;
use super::coll::layout::Layout;
use super::group::{Group, Likeness};
use super::hints::Hints;
use super::topology::{Neighbours, Topology};

/// What happens on an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errhandler {
    /// The job ends.
    Fatal,
    /// The processes of the communicator end; here that is the job.
    Abort,
    /// The call returns its code.
    Return,
    /// A function of the program, by its place in the table, and the handle that it was set by.
    Guest(u32, i32),
}

/// A communicator. Its own messages are in `context`, those of its collectives in `context + 1`.
#[derive(Debug)]
pub struct Comm {
    /// The same on all its ranks, and on no other communicator; even.
    pub context: u64,
    /// Its group; the local one of an intercommunicator.
    pub group: Group,
    /// This process's rank in that.
    pub rank: u32,
    /// The remote group of an intercommunicator.
    pub remote: Option<Group>,
    /// The session that it comes from, by its handle; 0 if from none.
    pub session: i32,
    /// How its ranks are laid out.
    pub topology: Option<Arc<Topology>>,
    /// Of one that is not complete yet: what it becomes.
    pub becomes: Option<Arc<OnceLock<Arc<Comm>>>>,
    /// Collectives begun: all ranks begin them in the same order.
    begun: AtomicU32,
    /// Where its ranks are, once that was asked for.
    pub layout: OnceLock<Layout>,
    /// Agreements of its ranks.
    pub agreements: Past,
    /// What may change.
    pub state: Mutex<CommState>,
}

/// What may change of a communicator.
#[derive(Debug)]
pub struct CommState {
    /// Its name.
    pub name: Vec<u8>,
    /// What happens on an error.
    pub errhandler: Errhandler,
    /// Attributes that it caches, by key.
    pub attributes: Attributes,
    /// Hints.
    pub info: Hints,
}

/// How two communicators are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alike {
    /// They are one.
    Identical,
    /// Their groups have the same members in the same order.
    Congruent,
    /// Their groups have the same members.
    Similar,
    /// Neither.
    Unequal,
}

impl Comm {
    /// A communicator of this group. An error of it ends the job until told otherwise.
    pub fn new(context: u64, group: Group, rank: u32, remote: Option<Group>) -> Self {
        let state = CommState {
            name: Vec::new(),
            errhandler: Errhandler::Fatal,
            attributes: Attributes::default(),
            info: Hints::new(),
        };
        Self {
            context,
            group,
            rank,
            remote,
            session: 0,
            topology: None,
            becomes: None,
            begun: AtomicU32::new(0),
            layout: OnceLock::new(),
            agreements: Past::default(),
            state: Mutex::new(state),
        }
    }

    /// The same, laid out like this.
    pub fn laid_out(mut self, topology: Topology) -> Self {
        self.topology = Some(Arc::new(topology));
        self
    }

    /// The group that ranks in its calls name: the remote one of an intercommunicator.
    pub fn peers(&self) -> &Group {
        self.remote.as_ref().unwrap_or(&self.group)
    }

    /// The context of its collectives.
    pub fn collective(&self) -> u64 {
        self.context + 1
    }

    /// Begins a collective: the tag of its messages.
    pub fn begin(&self) -> i32 {
        (self.begun.fetch_add(1, Ordering::Relaxed) & 0x3fff_ffff).cast_signed()
    }

    /// This rank's neighbours in its topology, if it has one.
    pub fn neighbours(&self) -> Option<Neighbours> {
        self.topology.as_ref().map(|topology| topology.neighbours(self.rank))
    }

    /// How alike they are.
    pub fn compare(&self, other: &Self) -> Alike {
        if self.context == other.context && self.group == other.group {
            return Alike::Identical;
        }
        let groups = match (&self.remote, &other.remote) {
            (None, None) => self.group.compare(&other.group),
            (Some(one), Some(two)) => self.group.compare(&other.group).max(one.compare(two)),
            _ => Likeness::Unequal,
        };
        match groups {
            Likeness::Same => Alike::Congruent,
            Likeness::Similar => Alike::Similar,
            Likeness::Unequal => Alike::Unequal,
        }
    }
}
