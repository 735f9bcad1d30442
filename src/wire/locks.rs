//! Global locks: replicated state, granted in the order of the log.
// rkyv's derive makes fields of its own for the variants below, without a word on them.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};

use super::consensus::SessionId;
use super::shards::StateKey;
use crate::id::CallId;

/// How a lock is held.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mode {
    /// With other readers.
    Read,
    /// Alone.
    Write,
}

/// Who holds a lock or waits for one: a call, in one session of the node that runs it.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug,
)]
pub struct Holder {
    /// The call.
    pub call: CallId,
    /// The session of its node; the lock ends with it.
    pub session: SessionId,
}

/// The fencing token of a grant: the log index that granted it.
pub type Token = u64;

/// What a call shows the owner of a key that it has locked.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proof {
    /// Of its grant.
    pub token: Token,
    /// How it holds the lock.
    pub mode: Mode,
    /// The epoch of the key's shard when the lock was granted: an older owner refuses it.
    pub epoch: u64,
}

/// A change of the locks.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum LockCommand {
    /// Take a lock, or stand in line for it.
    Acquire { key: StateKey, mode: Mode, holder: Holder },
    /// Leave the line, if still in it; a lock that was granted meanwhile is released.
    GiveUp { key: StateKey, holder: Holder },
    /// Release a lock.
    Release { key: StateKey, mode: Mode, holder: Holder },
    /// A call has ended: all its locks and waits are over.
    End { holders: Vec<Holder> },
    /// A call waits for another to end, or does not any more (`None`): for finding cycles.
    Await { holder: Holder, child: Option<CallId> },
    /// A call waits until one of several others has ended; until [`LockCommand::Await`] says that
    /// it does not any more.
    AwaitAny { holder: Holder, children: Vec<CallId> },
}

/// What became of [`LockCommand::Acquire`].
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockAnswer {
    /// It is held, with this token.
    Granted(Token),
    /// It stands in line; the grant follows with the log.
    Queued,
    /// Waiting would never end, or the call has the lock already.
    Deadlock,
    /// The call does not hold it.
    NotHeld,
    /// Too many locks or waiters.
    Full,
}
