//! What a copy of a shard is told, and what it wants done.

use bytes::Bytes;

use crate::id::NodeId;
use crate::wire::replicas::{Message, Point, Term};
use crate::wire::shards::{Shard, ShardChange};

/// A record of a shard's log. One with an empty body does nothing: an owner begins with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The owner that made it; a plain number for the store.
    pub term: Term,
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// What the store reads. At most [`MAX_BODY`](crate::wire::replicas::MAX_BODY) bytes.
    pub body: Bytes,
}

/// What the store found on its disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// The log begins behind this record; all before is in the values.
    pub before: Point,
    /// Where each term in the log begins, in order.
    pub starts: Vec<(Term, u64)>,
    /// The last record in the log; `before.seq` when it is empty.
    pub last: u64,
    /// The values hold the records up to here, at least `before.seq`.
    pub applied: u64,
    /// The values are not whole: damaged, or an import was not finished.
    pub blank: bool,
}

/// The caller's number for a write, repeated when it is settled.
pub type Ticket = u64;

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It is durable on the whole set, and applied by an [`Effect::Apply`] before.
    Committed {
        /// The record's number.
        seq: u64,
    },
    /// This node lost the shard, or its disk failed: the write may or may not be done later. To be
    /// repeated under the same `WriteId`.
    Lost,
}

/// What came of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was made.
    Done,
    /// It was refused.
    Refused,
    /// It may be made later: no majority, no time.
    Unknown,
}

/// Something happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The table as this node has applied it. A newer one must be told before the
    /// [`Event::Proposed`] of the change that made it.
    Table(Option<Shard>),
    /// A peer said something.
    Message {
        /// Who.
        from: NodeId,
        /// What.
        message: Message,
        /// The bytes beside it.
        body: Bytes,
    },
    /// There is a new connection to a peer.
    Connected(NodeId),
    /// Time passed; to be told every [`TICK`](super::TICK).
    Tick,
    /// Every write to the log up to this number is durable.
    Synced {
        /// [`Effect::Append`]'s.
        op: u64,
    },
    /// To [`Effect::Read`]: at least one record, or none if the log does not have `from`.
    Read {
        /// Repeated.
        to: NodeId,
        /// Repeated.
        round: u64,
        /// Repeated.
        from: u64,
        /// What was read, without gaps.
        records: Vec<Record>,
    },
    /// A proposal came to an end.
    Proposed {
        /// Which.
        change: ShardChange,
        /// How.
        outcome: Outcome,
    },
    /// To [`Effect::Export`].
    Exported {
        /// Repeated.
        to: NodeId,
        /// Repeated.
        round: u64,
        /// Repeated.
        number: u64,
        /// What the other store is to eat. At most
        /// [`MAX_BODY`](crate::wire::replicas::MAX_BODY) bytes.
        part: Bytes,
    },
    /// To [`Effect::ImportBegin`] and [`Effect::Import`]: what the other store is to be asked.
    ImportWants {
        /// Repeated.
        round: u64,
        /// The question. At most [`MAX_BODY`](crate::wire::replicas::MAX_BODY) bytes.
        request: Bytes,
    },
    /// To [`Effect::ImportBegin`] and [`Effect::Import`]: the values are whole, as of the base or
    /// later; the log is empty and goes on behind the base; all of that is durable.
    ImportDone {
        /// Repeated.
        round: u64,
    },
    /// The disk failed, or what it gave was damaged: this copy stands back.
    Failed(String),
    /// After [`Event::Failed`]: the copy was wiped or repaired, and begins with this.
    Reopened(Opened),
}

/// Something to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Write to the log, behind what is there. Sync it soon, together with what other shards
    /// write, and tell [`Event::Synced`].
    Append {
        /// Grows with every write to the log.
        op: u64,
        /// Without gaps.
        records: Vec<Record>,
    },
    /// Remove from the log what is behind this record. Needs [`Event::Synced`] too.
    Truncate {
        /// Grows with every write to the log.
        op: u64,
        /// The last record that stays.
        after: u64,
    },
    /// Put the records up to this one into the values: they are committed. To be done before the
    /// effects that follow.
    Apply {
        /// The last.
        through: u64,
    },
    /// Tell a peer. It may be lost.
    Send {
        /// Whom.
        to: NodeId,
        /// What.
        message: Message,
        /// The bytes beside it.
        body: Bytes,
    },
    /// Read from the log, at most so many bytes but at least one record. Answer with
    /// [`Event::Read`].
    Read {
        /// To be repeated.
        to: NodeId,
        /// To be repeated.
        round: u64,
        /// The first.
        from: u64,
        /// How much.
        bytes: usize,
    },
    /// A write has come to an end.
    Settle {
        /// The caller's number.
        ticket: Ticket,
        /// How.
        outcome: Settled,
    },
    /// Propose to Raft; answer with [`Event::Proposed`], at the latest after some seconds.
    Propose(ShardChange),
    /// Make a part of a difference for a peer, from the values as they are now. Answer with
    /// [`Event::Exported`].
    Export {
        /// To be repeated.
        to: NodeId,
        /// To be repeated.
        round: u64,
        /// To be repeated.
        number: u64,
        /// What the peer's store asks.
        request: Bytes,
    },
    /// Begin to make the values equal to the owner's, as of this point or later. Until
    /// [`Event::ImportDone`] the copy is blank, also after a restart. An import under way is given
    /// up; what it brought may stay.
    ImportBegin {
        /// To be repeated.
        round: u64,
        /// Where the log will go on.
        base: Point,
    },
    /// Eat a part.
    Import {
        /// To be repeated.
        round: u64,
        /// What the owner's store made.
        part: Bytes,
    },
    /// The log may be removed up to this record, and is, as far as the values are checkpointed.
    /// [`Replica::compacted`](super::Replica::compacted) tells that it was.
    Compact {
        /// The last.
        through: u64,
    },
    /// The node is to have no copy any more: remove log and values, and this replica with them.
    Discard,
}
