//! What a record of a shard's log says: a change with everything resolved, so that doing it again
//! changes nothing.
// rkyv's derive makes fields of its own for the variants below, without a word on them.
#![allow(missing_docs)]

use bytes::Bytes;
use rkyv::{Archive, Deserialize, Serialize};

use crate::wire::consensus::SessionId;
use crate::wire::shards::StateKey;
use crate::wire::state::{Extent, Version, WriteId};
use crate::wire::{self, Malformed};

/// A change of one shard.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A holder of this token was here.
    Fence { key: StateKey, token: u64 },
    /// A write.
    Write {
        id: WriteId,
        key: StateKey,
        /// Of the writer's lock.
        token: Option<u64>,
        /// Of the value from then on; of a deletion, what was deleted; of [`Does::Stage`], what is
        /// there.
        version: Version,
        does: Does,
    },
    /// Staged bytes that nobody will name any more.
    Unstage { pushes: Vec<(SessionId, u64)> },
    /// Sessions that are over: what was kept to recognise their repeats is forgotten.
    Forget { sessions: Vec<SessionId> },
}

/// What a write does.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum Does {
    /// Makes it, zeros.
    Create { len: u64 },
    /// Holds bytes back, from `at` on of those of this push.
    Stage { push: u64, at: u64, extents: Vec<Extent> },
    /// Writes what is staged, then the bytes beside it.
    Push {
        staged: Option<u64>,
        extents: Vec<Extent>,
        /// From then on.
        len: u64,
        /// Begins with zeros: it is made, or replaced.
        fresh: bool,
        /// What was appended is no more elements.
        forget: bool,
    },
    /// Appends the bytes beside it.
    Append {
        /// There.
        at: u64,
        /// As this element, from 0.
        index: u64,
        /// The length of the elements before.
        before: u64,
        /// Its length.
        len: u64,
        /// It is made.
        fresh: bool,
    },
    /// The value has no bytes.
    Clear,
    /// Removed.
    Delete,
}

/// Bytes before the archive of a record: its length.
const HEAD: usize = 4;

impl Change {
    /// The record's body, with the bytes of the write behind it.
    pub fn encode(&self, bytes: &[u8]) -> Bytes {
        let head = wire::encode(self);
        let mut body = Vec::with_capacity(HEAD + head.len() + bytes.len());
        body.extend_from_slice(&u32::try_from(head.len()).unwrap_or(u32::MAX).to_le_bytes());
        body.extend_from_slice(&head);
        body.extend_from_slice(bytes);
        body.into()
    }

    /// Reads a record's body.
    pub fn decode(body: &Bytes) -> Result<(Self, Bytes), Malformed> {
        let short = || Malformed { what: "record of a shard", why: "it is cut off".into() };
        let (len, rest) = body.split_first_chunk::<HEAD>().ok_or_else(short)?;
        let len = u32::from_le_bytes(*len) as usize;
        let head = rest.get(..len).ok_or_else(short)?;
        Ok((wire::decode("record of a shard", head)?, body.slice(HEAD + len..)))
    }

    /// The value that it is of.
    pub fn key(&self) -> Option<&StateKey> {
        match self {
            Self::Fence { key, .. } | Self::Write { key, .. } => Some(key),
            Self::Unstage { .. } | Self::Forget { .. } => None,
        }
    }
}
