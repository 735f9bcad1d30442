//! The global tier as the local one sees it: reads and writes at the owner of a key, wherever that
//! is, and global locks. The local tier is tested with tiers in memory in their place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::errno::Errno;
use crate::id::CallId;
use crate::wire::locks::{Mode, Proof};
use crate::wire::shards::StateKey;
use crate::wire::state::{Answer, Op, Refusal, Write, Written};

/// Of which value, for whom, and until when.
#[derive(Debug, Clone)]
pub struct To {
    /// The value.
    pub key: Arc<StateKey>,
    /// The asking call holds the key's global lock.
    pub proof: Option<Proof>,
    /// Until then the request is repeated while no owner answers.
    pub deadline: Instant,
}

/// Slowest rate, in bytes a second, at which a push is expected to be made one with its value.
const SLOWEST: u64 = 4 << 20;

/// How much longer than others the commit of a push of so many bytes may take.
pub fn commit_time(bytes: u64) -> Duration {
    Duration::from_millis(bytes.saturating_mul(1000) / SLOWEST)
}

impl To {
    /// The same, with at least so much time from now on: each piece of a large value has its own.
    pub fn within(&self, time: Duration) -> Self {
        let deadline = self.deadline.max(Instant::now() + time);
        Self { deadline, ..self.clone() }
    }
}

/// Why the global tier did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The owner refused. Never [`Refusal::NotOwner`] or [`Refusal::Unavailable`]: those are
    /// repeated until the deadline.
    #[error("{0:?}")]
    Refused(Refusal),
    /// Nobody could do it before the deadline, and why.
    #[error("{0}")]
    Unavailable(String),
}

impl StateError {
    /// What a guest sees.
    pub fn errno(&self) -> Errno {
        let Self::Refused(refusal) = self else { return Errno::Unavailable };
        match refusal {
            Refusal::Missing => Errno::NoEnt,
            Refusal::Exists | Refusal::Mismatch(_) => Errno::Exist,
            Refusal::Stale => Errno::Stale,
            Refusal::Again => Errno::Again,
            Refusal::Locked => Errno::Locked,
            Refusal::LockLost => Errno::LockLost,
            Refusal::ReadLock => Errno::Perm,
            Refusal::NotOwner | Refusal::Unavailable(_) => Errno::Unavailable,
            Refusal::NoSpace => Errno::Io,
            Refusal::TooBig(_) => Errno::Quota,
            Refusal::Invalid(_) => Errno::Inval,
        }
    }
}

/// Reads and writes at the owners of keys. Retries are the implementation's: it finds the owner,
/// repeats what no owner answered, and a write under one number only.
pub trait Global: Send + Sync + 'static {
    /// A read: any [`Op`] but a write. Its answer, never a refusal, with the bytes beside it.
    fn read(&self, to: To, op: Op) -> BoxFuture<'_, Result<(Answer, Bytes), StateError>>;

    /// A write, with the bytes of its extents. The implementation numbers it; its number is given
    /// back, to name what was staged. [`Write::Stage`] with `push` 0 begins a push: it is staged
    /// under its own number.
    fn write(
        &self,
        to: To,
        write: Write,
        body: Bytes,
    ) -> BoxFuture<'_, Result<(u64, Written), StateError>>;
}

/// Why a global lock was not taken or released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Not within the time given.
    #[error("the lock was not granted in time")]
    TimedOut,
    /// Waiting would never end, or the call has the lock already.
    #[error("waiting for the lock would never end")]
    Deadlock,
    /// The call does not hold it.
    #[error("the call does not hold the lock")]
    NotHeld,
    /// Too many locks or waiters.
    #[error("too many locks, or waiters for them")]
    Full,
    /// The session in which it was held is over.
    #[error("the lock was lost")]
    Lost,
    /// This node cannot reach the others.
    #[error("no majority of the nodes can be reached")]
    Unavailable,
}

impl LockError {
    /// What a guest sees.
    pub fn errno(self) -> Errno {
        match self {
            Self::TimedOut => Errno::TimedOut,
            Self::Deadlock => Errno::DeadLk,
            Self::NotHeld => Errno::Perm,
            Self::Full => Errno::Full,
            Self::Lost => Errno::LockLost,
            Self::Unavailable => Errno::Unavailable,
        }
    }
}

/// Cluster-wide locks. A call's locks end with the call by other means: whoever ends it releases
/// them before its completion is delivered.
pub trait GlobalLocks: Send + Sync + 'static {
    /// Takes the lock for a call, or fails at the deadline. Dropping the future gives it up.
    fn lock(
        &self,
        key: Arc<StateKey>,
        mode: Mode,
        call: CallId,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Proof, LockError>>;

    /// Releases it. It is released from then on, also when no answer came in time.
    fn unlock(
        &self,
        key: Arc<StateKey>,
        mode: Mode,
        call: CallId,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<(), LockError>>;

    /// Whether a grant still stands, as far as this node knows: its session has not ended since.
    fn stands(&self, key: &StateKey, call: CallId, proof: Proof) -> bool;
}
