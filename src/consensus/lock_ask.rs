//! What calls of this node ask for of the global locks, and what they are told.
// The fields of the variants below say all by their names.
#![allow(missing_docs)]

use crate::id::CallId;
use crate::wire::locks::{Mode, Token};
use crate::wire::shards::StateKey;

/// What a call asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// A lock. Answered by [`Told::Answer`] with this ticket.
    Lock { ticket: u64, call: CallId, key: StateKey, mode: Mode },
    /// It does not want what it asked for under this ticket, whether it has it by now or not.
    GiveUp { ticket: u64, call: CallId },
    /// It releases a lock.
    Unlock { call: CallId, key: StateKey, mode: Mode },
    /// It waits for one of these calls.
    Await { call: CallId, children: Vec<CallId> },
    /// It waits for none any more. Answered by [`Told::Done`].
    Resume { ticket: u64, call: CallId },
    /// It has ended. Answered by [`Told::Done`] when all its locks are released.
    End { ticket: u64, call: CallId },
}

/// Why a lock was not granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Waiting would never end, or the call has the lock already.
    #[error("the lock is held by this call, or by one that waits for it")]
    Deadlock,
    /// The call does not hold it so.
    #[error("the call does not hold the lock")]
    NotHeld,
    /// Too many locks, or requests.
    #[error("too many locks are held or waited for; try again")]
    Full,
    /// It was not granted in time.
    #[error("the lock was not granted in time")]
    TimedOut,
    /// The node's session is over, and all its locks with it.
    #[error("the session of this node with the cluster is over, and its locks with it")]
    Lost,
    /// There is no such key.
    #[error("{0}")]
    Invalid(String),
    /// It cannot be decided now, and why.
    #[error("{0}")]
    Unavailable(String),
}

/// A lock that was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The log index that granted it.
    pub token: Token,
    /// The epoch of the key's shard, at that index or a little later; 0 before it is founded.
    pub epoch: u64,
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// To [`Ask::Lock`].
    Answer {
        ticket: u64,
        call: CallId,
        key: StateKey,
        mode: Mode,
        result: Result<Grant, LockError>,
    },
    /// A call stands in line.
    Queued(CallId),
    /// What was asked for under this ticket is done.
    Done(u64),
    /// A lock ended other than by [`Ask::Unlock`].
    Ended { call: CallId, key: StateKey, mode: Mode },
}
