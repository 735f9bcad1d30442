//! Point-to-point messages and requests: two chapters of the standard, "Point-to-point
//! communication" and "Partitioned point-to-point communication".
//!
//! | part | what it does |
//! |---|---|
//! | [`status`] | `MPI_Status` in a program's memory, and the calls about it |
//! | [`entry`] | what a request handle names, and how it ends |
//! | `check` | arguments of sends and receives, in the standard's order of errors |
//! | `send`, `receive`, `both`, `persistent` | what begins a request |
//! | `wait`, `test`, `finish`, `free`, `look` | what ends it, or looks at it |
//! | `probe` | messages before they are received |
//! | `tasks` | what goes on while the program computes |
//! | `buffer` | buffered sends and their buffers |
//! | `generalized`, `partitioned` | requests of the program's own; messages in parts |

mod both;
mod buffer;
mod check;
pub mod entry;
mod finish;
mod free;
mod generalized;
mod look;
mod partitioned;
mod persistent;
mod probe;
mod receive;
mod send;
pub mod status;
mod table;
mod tasks;
mod test;
mod wait;

use std::sync::Arc;

pub use buffer::{Owner, drain};
pub use entry::{Again, Entry, Held, Kind};
pub use table::TABLE;

use super::super::comm::Comm;
use super::super::constants as c;
use super::super::engine::Request;
use super::super::error::{Error, Result, error};
use super::super::handles::Handles;

/// The attribute `MPI_TAG_UB`: the largest tag of a message. Nothing else shares a context with the
/// program's messages, so that is every number that an `int` can be.
pub const TAG_UB: i32 = i32::MAX;

/// Most requests that a rank may have at once, and longest array of them.
pub const MAX_REQUESTS: usize = 100_000;

/// What this section keeps of a rank.
#[derive(Debug)]
pub struct P2p {
    requests: Handles<Held>,
    live: usize,
    /// Messages that a matching probe took.
    messages: Handles<probe::Taken>,
    /// Where buffered sends go.
    buffers: buffer::Buffers,
    /// Sends whose requests were freed before they were complete.
    orphans: Vec<Arc<Request>>,
    /// What goes on by itself.
    tasks: tasks::Tasks,
    /// Channels of partitioned messages.
    channels: u32,
    /// Of which communicator the request is whose error a call is about to return: the error goes
    /// to that one's handler. Set before such an error only; who reads it takes it.
    pub blame: Option<Arc<Comm>>,
}

impl Default for P2p {
    fn default() -> Self {
        Self {
            requests: Handles::new(3),
            live: 0,
            messages: Handles::new(4),
            buffers: buffer::Buffers::default(),
            orphans: Vec::new(),
            tasks: tasks::Tasks::default(),
            channels: 0,
            blame: None,
        }
    }
}

impl P2p {
    /// Takes in a request of no communicator; its handle.
    pub fn insert(&mut self, entry: Entry) -> Result<i32> {
        self.hold(Held { entry, comm: None, kind: Kind::Other })
    }

    /// Takes in a request; its errors go to the handler of `comm`.
    pub fn insert_on(&mut self, comm: &Arc<Comm>, entry: Entry) -> Result<i32> {
        self.hold(Held { entry, comm: Some(comm.clone()), kind: Kind::Other })
    }

    /// Takes in a request of a message.
    fn insert_message(&mut self, comm: &Arc<Comm>, entry: Entry, kind: Kind) -> Result<i32> {
        self.hold(Held { entry, comm: Some(comm.clone()), kind })
    }

    /// Whether there is room for one more request: asked before anything begins.
    pub fn has_room(&self) -> Result<()> {
        match self.live < MAX_REQUESTS {
            true => Ok(()),
            false => error(c::MPI_ERR_OTHER, format!("there are {MAX_REQUESTS} requests already")),
        }
    }

    fn hold(&mut self, held: Held) -> Result<i32> {
        self.has_room()?;
        let full = || Error::new(c::MPI_ERR_OTHER, "there are too many requests");
        let handle = self.requests.insert(held).ok_or_else(full)?;
        self.live += 1;
        Ok(handle)
    }

    /// The request of a handle.
    pub fn request(&self, handle: i32) -> Result<&Held> {
        self.requests.get(handle).ok_or_else(|| no_request(handle))
    }

    fn request_mut(&mut self, handle: i32) -> Result<&mut Held> {
        self.requests.get_mut(handle).ok_or_else(|| no_request(handle))
    }

    fn remove(&mut self, handle: i32) -> Option<Held> {
        let held = self.requests.remove(handle)?;
        self.live -= 1;
        Some(held)
    }

    /// A communicator or session is gone, and its buffer with it; what is in that goes on.
    pub fn release(&mut self, owner: Owner) {
        for message in self.buffers.release(owner) {
            self.orphan(message);
        }
    }

    /// Keeps a freed send in mind until it is complete.
    fn orphan(&mut self, request: Arc<Request>) {
        if self.orphans.len() >= 64 && self.orphans.len().is_power_of_two() {
            self.orphans.retain(|orphan| !orphan.is_done());
        }
        self.orphans.push(request);
    }
}

fn no_request(handle: i32) -> Error {
    Error::new(c::MPI_ERR_REQUEST, format!("{handle:#x} is no request"))
}
