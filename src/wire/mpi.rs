//! MPI jobs between nodes. All that the ranks of a job say to those on another node goes over one
//! ordered stream per pair of nodes, so that messages arrive in the order they were sent; bytes of
//! long messages have a stream of their own.

use rkyv::{Archive, Deserialize, Serialize};

use crate::id::{CallId, NodeId};

/// Most ranks of a world.
pub const MAX_RANKS: u32 = 4096;
/// Most bytes of a message that travels with its envelope.
pub const MAX_EAGER: usize = 16 << 10;
/// Longest reason of an abort, in bytes.
pub const MAX_WHY: usize = 1 << 10;

/// What a call is in an MPI job.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Seat {
    /// The job, by its root call.
    pub world: CallId,
    /// Which try at the job this is.
    pub epoch: u32,
    /// The rank of the call.
    pub rank: u32,
    /// The node of each rank.
    pub nodes: Vec<NodeId>,
}

/// A job.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug,
)]
pub struct WorldId {
    /// Its root call.
    pub world: CallId,
    /// Which try at it this is.
    pub epoch: u32,
}

/// From a rank of the world to another.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Route {
    /// Who says it.
    pub from: u32,
    /// To whom.
    pub to: u32,
}

/// What a message is matched by.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The communicator's context.
    pub context: u64,
    /// The sender's rank in the communicator.
    pub source: u32,
    /// The tag.
    pub tag: i32,
}

/// What a node tells another about a job.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct MpiMessage {
    /// Which job.
    pub world: WorldId,
    /// What.
    pub what: MpiTold,
}

/// See [`MpiMessage`].
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum MpiTold {
    /// A short message: its bytes are the body. The sender waits under this number until it is
    /// taken; 0 if it does not wait.
    Eager(Route, Mark, u64),
    /// A message of so many bytes, which stay with the sender, under a number.
    Ask(Route, Mark, u64, u64),
    /// The message with this number was taken.
    Taken(Route, u64),
    /// There was no room for the message with this number.
    Refused(Route, u64),
    /// So many bytes of short messages were taken.
    Credit(Route, u64),
    /// The sender withdraws the message with this number.
    Cancel(Route, u64),
    /// It was withdrawn before it was taken.
    Cancelled(Route, u64),
    /// A rank has ended; whether in order.
    Ended(u32, bool),
    /// The job ends: the code, and why.
    Abort(i32, String),
    /// A communicator is revoked, by its context.
    Revoke(u64),
    /// The node has no rank of the job.
    Absent,
    /// A rank could not do its part in a collective: its context, its tag, and the class of the
    /// error.
    Parted(u32, u64, i32, i32),
}

/// Asks on a stream of its own for the bytes of a message.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct MpiPull {
    /// Which job.
    pub world: WorldId,
    /// From the receiver to the sender.
    pub route: Route,
    /// The message's number.
    pub number: u64,
    /// How many of its bytes.
    pub most: u64,
}
