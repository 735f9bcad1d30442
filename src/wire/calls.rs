//! Calls between nodes. `Start` and what answers it travel on one ordered stream per pair of
//! nodes; inputs and outputs are the bytes beside the message, or a bulk stream when larger than
//! [`INLINE_MAX`].

use rkyv::{Archive, Deserialize, Serialize};

use crate::errno::CallError;
use crate::id::{Attempt, BlobHash, CallId, Incarnation, NodeId};
use crate::wire::function::Limits;
use crate::wire::jobs::{JobRecord, RankEnd, RankSummary, Reserve};
use crate::wire::load::Load;
use crate::wire::mpi::Seat;

/// Inputs, outputs and logs up to this many bytes travel with the message.
pub const INLINE_MAX: usize = 64 << 10;

/// Where a call begins in its module.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// `_start`, and so `main`.
    Main,
    /// An entry of the function table, by index.
    Table(u32),
}

/// What all calls of a tree share.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct TreeContext {
    /// The call at the root.
    pub root: CallId,
    /// The node that answers for the root; when it is lost the tree ends.
    pub home: NodeId,
    /// Time the tree has left when the message was sent, in milliseconds.
    pub left_ms: u64,
    /// Calls above this one.
    pub depth: u32,
    /// W3C trace id of the tree.
    pub trace: u128,
    /// Logical clock of the sender.
    pub clock: u64,
}

/// A call to run on the receiver.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Start {
    /// Its id.
    pub call: CallId,
    /// Which try this is.
    pub attempt: Attempt,
    /// Its user.
    pub user: String,
    /// Its function.
    pub name: String,
    /// The registry version that the caller resolved, with the module's hash: a chained pointer
    /// must run in the very module of its caller.
    pub version: u64,
    /// The module.
    pub wasm: BlobHash,
    /// The limits of that version.
    pub limits: Limits,
    /// Bytes of input: those of the message's body, or of the bulk stream behind it.
    pub input_len: u64,
    /// Where it begins.
    pub entry: Entry,
    /// What `main` is given after the function's name.
    pub args: Vec<String>,
    /// Its tree.
    pub tree: TreeContext,
    /// The calls between the root and this one, its parent last.
    pub above: Vec<CallId>,
    /// Whether it may wait at the receiver when no slot is free.
    pub may_queue: bool,
    /// Its seat, if it is a rank of an MPI job, and the ticket of the place that the receiver keeps for
    /// it.
    pub seat: Option<(Seat, u64)>,
}

/// What one node did for one function in a tree; the root's record sums these.
#[derive(Archive, Serialize, Deserialize, serde::Serialize, Clone, PartialEq, Eq, Debug)]
pub struct Work {
    /// Where.
    #[serde(serialize_with = "as_text")]
    pub node: NodeId,
    /// The function's name; pointer calls are `name@table-index`.
    pub function: String,
    /// Calls that ended.
    pub calls: u64,
    /// Time between start and end, summed, in microseconds.
    pub busy_us: u64,
}

fn as_text<S: serde::Serializer>(node: &NodeId, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(node)
}

/// Bytes that a call produced, or where they are.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kept {
    /// With the message: so many bytes of its body, after those of the fields before.
    Inline(u64),
    /// At the node that made them.
    At(KeptAt),
}

/// Bytes that stayed where they were made.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeptAt {
    /// Which node.
    pub node: NodeId,
    /// Its incarnation when they were made; a restarted node has them no more.
    pub incarnation: Incarnation,
    /// Which try of the call made them: another one on that node may have made others.
    pub attempt: Attempt,
    /// Their number.
    pub len: u64,
}

impl Kept {
    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        match self {
            Self::Inline(len) => *len,
            Self::At(at) => at.len,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// When a call was where, in microseconds since 1970 by the clock of the node that ran it.
#[derive(
    Archive, Serialize, Deserialize, serde::Serialize, Clone, Copy, PartialEq, Eq, Debug, Default,
)]
pub struct Times {
    /// Accepted.
    pub accepted_us: u64,
    /// Begun to run.
    pub started_us: u64,
    /// Ended.
    pub ended_us: u64,
}

/// How a call ended. The message's body holds the inline output, then the inline log.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Done {
    /// The call.
    pub call: CallId,
    /// The try that ended.
    pub attempt: Attempt,
    /// The function's own result, or what stopped it.
    pub result: Result<u8, CallError>,
    /// Its output.
    pub output: Kept,
    /// Its log.
    pub log: Kept,
    /// When.
    pub times: Times,
    /// What the call and its awaited descendants did where.
    pub work: Vec<Work>,
    /// Logical clock of the sender.
    pub clock: u64,
    /// What the sender can take now.
    pub room: Room,
    /// How it left its job, if it was a rank of one.
    pub rank: Option<RankEnd>,
}

/// What a node can take at the moment, told with every reply.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Room {
    /// Starts it can take at once.
    pub free_slots: u32,
    /// Instances it can still hold.
    pub free_places: u32,
    /// Calls that run now and do not wait.
    pub running: u32,
}

/// What one node says to another about calls, in order.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum CallMessage {
    /// Run this; the body is the input.
    Start(Start),
    /// It was taken: it has its place at the sender.
    Accepted(CallId, Attempt, Room),
    /// It was not taken, for want of room or of a quorum.
    Refused(CallId, Attempt, CallError, Room),
    /// It ended.
    Done(Done),
    /// Stop this try of it, and those before, and all below it. It may overtake the start of that try.
    Cancel(CallId, Attempt),
    /// Stop every call of the tree with this root.
    CancelTree(CallId),
    /// Stop every call below this one, which need not live any more.
    CancelBelow(CallId),
    /// Keep this record; the body is the inline output, then the inline log.
    Keep(Box<Record>),
    /// It, or a call below it, stands in line for a global lock.
    Involved(CallId),
    /// A rank of this job, which you launched, has written; the body is the text.
    Printed(CallId, u32),
    /// A rank of this job handles errors itself: the end of another rank is not the job's.
    Tolerates(CallId, u32),
    /// Keep no places for this job any more that have this ticket.
    Release(CallId, u64),
}

/// Where a root call is in its life.
#[derive(Archive, Serialize, Deserialize, serde::Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Waiting for a slot or a node.
    Queued,
    /// Running.
    Running,
    /// Ended.
    Done,
}

/// What is kept of a call. The output and log bytes are beside it.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The call.
    pub call: CallId,
    /// Its user.
    pub user: String,
    /// Its function.
    pub name: String,
    /// The call above, if it was chained.
    pub parent: Option<CallId>,
    /// The node that answers for it.
    pub home: NodeId,
    /// That node's incarnation.
    pub home_incarnation: Incarnation,
    /// The log index that opened the session in which it answers: it says nothing of the call's
    /// end once that session is over.
    pub home_session: u64,
    /// The node that runs or ran it.
    pub node: Option<NodeId>,
    /// Which try is current.
    pub attempt: Attempt,
    /// Where it is.
    pub phase: Phase,
    /// How it ended.
    pub result: Option<Result<u8, CallError>>,
    /// Its output, once it ended.
    pub output: Kept,
    /// Its log, once it ended.
    pub log: Kept,
    /// When.
    pub times: Times,
    /// When the request came, in microseconds since 1970.
    pub requested_us: u64,
    /// What the tree did where.
    pub work: Vec<Work>,
    /// W3C trace id.
    pub trace: u128,
    /// The ranks, if it is an MPI job.
    pub job: Option<JobRecord>,
}

/// What one node asks another about calls, answered by [`CallReply`].
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum CallRequest {
    /// Keep this record unless one of the same call is there, which is then the answer.
    Claim(Box<Record>),
    /// The record of this call, if you have it.
    Lookup(CallId),
    /// Cancel the call if you answer for it or run it.
    Cancel(CallId),
    /// The calls that live on you, at most this many.
    List(u32),
    /// The calls of this user that live on you, at most this many.
    ListOf(u32, String),
    /// I stop, and this is my last load: send me no more calls. Done once you have heard of all
    /// that you sent me whether I took it.
    Leaving(Load),
    /// Keep places for ranks.
    Reserve(Reserve),
    /// What the ranks of this job have written, from this byte on.
    Follow(CallId, u64),
    /// A vote on how a call ends whose home's session is over, by its number: take nothing from
    /// votes before it. The answer is what was taken so far.
    Prepare(u64, Box<Record>),
    /// The call shall end as this record says, by the vote of this number: keep that aside until it
    /// is told in a [`CallMessage::Keep`]. The body is as there.
    Accept(u64, Box<Record>),
}

/// The first message on a bulk stream.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum CallBulk {
    /// Run this; its input follows.
    Start(Box<Start>),
    /// Send the output of this try of a call, which you made: its length in 8 bytes, then the bytes.
    Output(CallId, Attempt),
    /// Send its log, likewise.
    Log(CallId, Attempt),
    /// Keep what a node that stops has kept of this try of a call: its log, or else its output, and how
    /// many bytes there are; they follow.
    Hand(CallId, Attempt, bool, u64),
}

/// The answer to a [`CallRequest`].
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum CallReply {
    /// Done as asked.
    Done,
    /// Nothing is known of it.
    Unknown,
    /// The record; the body is the inline output, then the inline log.
    Record(Box<Record>),
    /// The living calls.
    Calls(Vec<CallSummary>),
    /// It could not be done.
    Error(CallError),
    /// Not done yet; ask again.
    NotYet,
    /// There is no room for that; this is what there is.
    NoRoom(Room),
    /// Text of a job is in the body, from the byte that was asked for; whether no more will come.
    Text(bool),
    /// The end that was taken last in a vote, and in which; the body is as in `Record`.
    Accepted(u64, Box<Record>),
}

/// A line of `faasm ps`.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct CallSummary {
    /// The call.
    pub call: CallId,
    /// The root of its tree.
    pub root: CallId,
    /// Its user.
    pub user: String,
    /// Its function.
    pub name: String,
    /// The node it runs on or waits at.
    pub node: NodeId,
    /// Calls above it.
    pub depth: u32,
    /// Where it is.
    pub phase: Phase,
    /// Since when, in microseconds since 1970.
    pub since_us: u64,
    /// What a job waits for, or where its ranks are; empty for other calls.
    pub note: String,
    /// What it has sent, if it is a rank.
    pub rank: Option<RankSummary>,
}
