//! What the copies of a shard say to each other. The bytes of records and of differences travel
//! beside the message, at most [`MAX_BODY`] of them.
// rkyv's derive makes fields of its own for the variants below, without a word on them.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};

use super::shards::ShardId;
use crate::id::Incarnation;

/// Most bytes beside one message; also the longest record, so that any record fits a message.
pub const MAX_BODY: usize = (1 << 20) + (64 << 10);
/// Most records in one message.
pub const MAX_RECORDS: usize = 1 << 12;
/// Most messages in one [`Batch`].
pub const MAX_BATCH: usize = 256;
/// Longest text of a failure, in bytes.
pub const MAX_REASON: usize = 512;

/// Bits of a term below the epoch: 24 for the starts of a node, and 8 for its attempts in one start.
const START_BITS: u32 = 32;

/// The reign of one owner: the shard's epoch and, below it, how often the owning node had started,
/// and begun anew after its disk failed. So a node that begins again in its own epoch has a new
/// term, and no two logs hold different records of the same term at the same place.
#[derive(
    Archive,
    Serialize,
    Deserialize,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
)]
pub struct Term(pub u64);

impl Term {
    /// The term of an owner in this attempt, from 0.
    pub fn new(epoch: u64, start: Incarnation, attempt: u8) -> Self {
        let starts = (start.0 << 8) & ((1 << START_BITS) - 1);
        Self((epoch << START_BITS) | starts | u64::from(attempt))
    }

    /// The shard's epoch.
    pub fn epoch(self) -> u64 {
        self.0 >> START_BITS
    }
}

/// A place in a log: a record's term and number. Of two logs the one with the greater last point
/// has more.
#[derive(
    Archive,
    Serialize,
    Deserialize,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
)]
pub struct Point {
    /// Of the record.
    pub term: Term,
    /// Its number, from 1; 0 is before the first.
    pub seq: u64,
}

/// A record, without its bytes.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Who made it.
    pub term: Term,
    /// How many bytes it has.
    pub len: u32,
}

/// How much of the log a copy has.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Held {
    /// Its last record.
    pub last: Point,
    /// Up to here it knows the records to be committed.
    pub known: u64,
    /// Its values are not whole: it needs a difference, and can own nothing.
    pub blank: bool,
}

/// A message between two copies of a shard.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Which shard.
    pub shard: ShardId,
    /// The owner's term: its own, or repeated to it.
    pub term: Term,
    /// Drawn by the owner whenever it begins anew with a copy, and repeated to it: answers to what
    /// went before are told apart by it.
    pub round: u64,
    /// What is said.
    pub what: What,
}

/// What the copies on one node say to those on another at once, in order. The bytes beside it are
/// those of all messages, one after the other.
#[derive(Archive, Serialize, Deserialize, Clone, Default, PartialEq, Eq, Debug)]
pub struct Batch {
    /// At most [`MAX_BATCH`].
    pub all: Vec<Message>,
    /// How many bytes each has beside it.
    pub lens: Vec<u32>,
}

/// See [`Message`].
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// The new owner asks what a copy has. Answered by [`What::Position`].
    Probe,
    /// The new owner asks for records that it lacks. Answered by [`What::Tail`].
    Fetch(Held),
    /// Records behind `prev`, whose bytes are the body. Answered by [`What::Ack`] when they are
    /// durable, or [`What::Behind`].
    Append {
        prev: Point,
        records: Vec<Head>,
        /// Everything up to here is committed.
        commit: u64,
        /// Every copy that counts has the log up to here: it may be compacted.
        keep: u64,
    },
    /// The copy is to be made whole by a difference: the owner's values as of this point or later.
    /// Answered by [`What::Want`].
    Begin { base: Point },
    /// What was wanted; the body is the store's.
    Part { number: u64 },
    /// To [`What::Probe`].
    Position(Held),
    /// To [`What::Fetch`]: records behind `prev`, whose bytes are the body.
    Tail { prev: Point, records: Vec<Head> },
    /// To [`What::Fetch`]: the log does not reach back that far.
    TailGone,
    /// Up to here the copy's log is that of the owner, and durable.
    Ack { through: u64 },
    /// The copy's log does not fit what came.
    Behind(Held),
    /// What a copy needs next; the body is the store's. Answered by [`What::Part`].
    Want { number: u64 },
    /// A copy has begun, or has not heard of the owner of this term's epoch for a while.
    Hello,
    /// The copy's disk failed.
    Failed { why: String },
}
