//! The global tier of the state: what a node asks the owner of a key, and its answers.
//!
//! An operation is one request, with at most [`MAX_PIECE`] bytes of the value beside it. What is
//! larger goes piece by piece: a pull names the version that its first piece was read at, a push
//! stages its pieces and then commits them.
// rkyv's derive makes fields of its own for the variants below, without a word on them.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::consensus::SessionId;
use super::locks::Proof;
use super::shards::StateKey;

/// A chunk, in bytes: what changes are counted in.
pub const CHUNK: u64 = 4 << 10;
/// Most bytes of a value in one message.
pub const MAX_PIECE: usize = 1 << 20;
/// Most extents in one message: with [`MAX_PIECE`] bytes they are one message between copies.
pub const MAX_EXTENTS: usize = 1 << 11;
/// Most values that one answer lists.
pub const MAX_LISTED: u32 = 1_000;
/// Most users that one question is about.
pub const MAX_USERS: usize = 1_000;
/// Longest value, in bytes.
pub const MAX_VALUE: u64 = 1 << 40;

/// A version of a value.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug,
)]
pub struct Version {
    /// Differs for each creation of a key.
    pub generation: u64,
    /// Grows with each change, also from one generation to the next.
    pub seq: u64,
}

/// Names a write, so that a repeat is recognised, also by a new owner. Numbers of a session grow
/// by one; at most [`WRITE_WINDOW`] of them are under way.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug,
)]
pub struct WriteId {
    /// The writing node's session.
    pub session: SessionId,
    /// Grows by one with each write of the session, from 1.
    pub number: u64,
    /// Every lower number is answered: what was kept of those may be forgotten.
    pub settled: u64,
}

/// Most writes of one session that are under way.
pub const WRITE_WINDOW: u64 = 4_096;

/// A range of bytes of a value.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// From here.
    pub off: u64,
    /// So many bytes.
    pub len: u64,
}

impl Extent {
    /// The end; `None` when it is no number.
    pub fn end(&self) -> Option<u64> {
        self.off.checked_add(self.len)
    }
}

/// What a node asks the owner of `key`.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Ask {
    /// Of which value.
    pub key: StateKey,
    /// The asking call holds the key's global lock.
    pub proof: Option<Proof>,
    /// What.
    pub op: Op,
    /// Longest that the owner may take, in milliseconds.
    pub wait_ms: u32,
}

/// An operation on one value.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// What there is. Answered by [`Answer::Stat`].
    Stat,
    /// Bytes. Answered by [`Answer::Pulled`].
    Pull(Pull),
    /// The first `most` elements appended since the last clear, at most [`MAX_PIECE`] bytes from
    /// `off` on of them. Answered by [`Answer::Pulled`], its extent counted from the first.
    Appended { most: u64, off: u64, at: Option<Version> },
    /// A change. Answered by [`Answer::Written`].
    Write { id: WriteId, write: Write },
}

/// Bytes of a value, as of one version.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Pull {
    /// The whole of what is wanted; the answer has what fits.
    pub range: Extent,
    /// Only chunks that changed after this version, if it is of this generation.
    pub since: Option<Version>,
    /// These chunks also (first chunk and number), whether they changed or not.
    pub also: Vec<(u64, u64)>,
    /// Read as of this version: that of an earlier piece. [`Refusal::Again`] when it is too old.
    pub at: Option<Version>,
}

/// A change of one value. The bytes are beside the message, one extent after the other.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum Write {
    /// Makes it, zeros of this length. [`Refusal::Exists`].
    Create { len: u64 },
    /// Holds bytes back until [`Write::Push`] names them, by the number of the first such write
    /// of this push. Given up when the session ends, or 60 s after the last.
    Stage { push: u64, extents: Vec<Extent> },
    /// Writes these bytes, and those staged, all at once.
    Push(Push),
    /// Appends one element; makes the value if there is none.
    Append,
    /// Forgets what was appended: the value has no bytes from then on.
    ClearAppended,
    /// Removes it.
    Delete { only: Only },
}

/// See [`Write::Push`].
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Push {
    /// What was staged before under this number.
    pub staged: Option<u64>,
    /// The bytes beside the message.
    pub extents: Vec<Extent>,
    /// The length from then on; else it grows as far as the extents need.
    pub len: Option<u64>,
    /// Makes the value if there is none.
    pub create: bool,
    /// Every byte that is not written is zero from then on.
    pub replace: bool,
    /// What must be there.
    pub only: Only,
}

/// What must be there for a write to be done.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Only {
    /// Anything.
    Any,
    /// This generation; else [`Refusal::Stale`].
    Generation(u64),
    /// This version; else [`Refusal::Mismatch`].
    Version(Version),
    /// Any value; else [`Refusal::Mismatch`].
    Exists,
    /// None; else [`Refusal::Mismatch`].
    Missing,
}

/// The answer to an [`Ask`].
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// To [`Op::Stat`].
    Stat(Stat),
    /// To [`Op::Pull`] and [`Op::Appended`].
    Pulled(Pulled),
    /// To [`Op::Write`].
    Written(Written),
    /// Not done.
    Refused(Refusal),
}

/// What there is of a value.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Stat {
    /// Now.
    pub version: Version,
    /// In bytes.
    pub len: u64,
    /// Elements appended since the last clear.
    pub appended: u64,
    /// The highest fencing token seen.
    pub token: u64,
}

/// Bytes of a value; they are beside the message, one extent after the other.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Pulled {
    /// All the bytes are as of this version.
    pub version: Version,
    /// The value's length then.
    pub len: u64,
    /// What is here: whole chunks, but for the end of the value. What was asked for and lies
    /// before the end of `done` and is not here has not changed.
    pub extents: Vec<Extent>,
    /// The range is dealt with up to here; ask again from here on.
    pub done: u64,
}

/// What came of a write.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Written {
    /// The value from then on; of a deletion, what was deleted.
    pub version: Version,
    /// Its length.
    pub len: u64,
    /// Where an appended element lies.
    pub at: u64,
    /// The chunks that were written in part, and the hash of what they hold now.
    pub parts: Vec<(u64, u128)>,
}

/// Why an operation was not done.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// There is no such value.
    Missing,
    /// There is one already.
    Exists,
    /// It was deleted, and perhaps made anew.
    Stale,
    /// The condition of the write does not hold; the value is at this version, if there is one.
    Mismatch(Option<Version>),
    /// The version to read at is too old.
    Again,
    /// A call holds the write lock, and this is not by it.
    Locked,
    /// The lock was lost: a later holder was here.
    LockLost,
    /// A read lock allows no writes.
    ReadLock,
    /// The node does not own the shard; look at the table again.
    NotOwner,
    /// It cannot be made durable now, and why. It may or may not be done later: repeat it under
    /// the same number.
    Unavailable(String),
    /// The disk is full.
    NoSpace,
    /// The user's quota is used up, or the value too long.
    TooBig(String),
    /// What no honest node asks.
    Invalid(String),
}

/// Lists values on the shards that a node owns.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct List {
    /// Whose; all users' when empty.
    pub user: String,
    /// Keys that begin so.
    pub prefix: String,
    /// Keys behind this one, in order of (user, key).
    pub after: Option<StateKey>,
    /// At most so many.
    pub most: u32,
}

/// One value in a list.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its name.
    pub key: StateKey,
    /// What there is.
    pub stat: Stat,
}

/// A question to a node.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// To the owner of a key.
    Ask(Ask),
    /// To a node that owns shards.
    List(List),
    /// Whether the node holds a local copy of a key.
    Copy(StateKey),
    /// What these users have on the node's shards; at most [`MAX_USERS`].
    Usage(Vec<String>),
}

/// The answer to a [`Request`].
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum Response {
    /// To [`Request::Ask`].
    Answer(Answer),
    /// To [`Request::List`]: in order, and of how many shards.
    Listed { values: Vec<Listed>, shards: u32 },
    /// To [`Request::Copy`]: bytes resident, if there is a copy, and whether it is mapped.
    Copy(Option<(u64, bool)>),
    /// To [`Request::Usage`]: bytes, of each.
    Usage(Vec<u64>),
}

/// The hash of a chunk: of [`CHUNK`] bytes, those past the end of the value being zeros.
pub fn chunk_hash(bytes: &[u8]) -> u128 {
    const LEN: usize = CHUNK as usize;
    match bytes.len() {
        LEN => xxh3_128(bytes),
        len => {
            let mut whole = [0; LEN];
            let len = len.min(LEN);
            whole[..len].copy_from_slice(&bytes[..len]);
            xxh3_128(&whole)
        }
    }
}
