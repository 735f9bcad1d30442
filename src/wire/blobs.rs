//! Blobs between nodes. A blob moves on a bulk stream that begins with a [`BlobBulk`]:
//!
//! | asking node | answering node |
//! |---|---|
//! | `Fetch(hash)` | `Found(len)`, or `NotFound` or `Refused` and the end |
//! | `Go` | the bytes |
//!
//! | asking node | answering node |
//! |---|---|
//! | `Store(hash, len)` | `Go`, or `Refused` or `Full` and the end |
//! | the bytes | `Stored`, `Refused` or `Full` |
//!
//! Bytes move only after the receiver's `Go`: those that wait unread for room would use up the
//! flow control of the whole connection, and stop everything else on it.
//!
//! A [`BulkReply`] is framed by its length (u32, little endian), at most [`MAX_REPLY`].

use rkyv::{Archive, Deserialize, Serialize};

use crate::id::BlobHash;

/// Most hashes in one [`Have`], so that question and answer stay far below
/// [`MAX_HEAD`](super::MAX_HEAD).
pub const MAX_HAVE: usize = 1024;
/// Largest archive of a [`BulkReply`], in bytes. Checked before allocation.
pub const MAX_REPLY: usize = 1024;
/// Longest text in [`BulkReply::Refused`], in bytes, so that the reply fits [`MAX_REPLY`].
pub const MAX_REASON: usize = 512;

/// What a bulk stream is opened for.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlobBulk {
    /// Send me this blob.
    Fetch(BlobHash),
    /// Keep this blob, which has this many bytes.
    Store(BlobHash, u64),
}

/// What is said on a bulk stream after its [`BlobBulk`].
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum BulkReply {
    /// I have it, and it has this many bytes.
    Found(u64),
    /// There is room for the bytes: send them.
    Go,
    /// I do not have it.
    NotFound,
    /// It is on my disk to stay.
    Stored,
    /// I could not do it, and why: at most [`MAX_REASON`] bytes.
    Refused(String),
    /// My disk has no room for it: at most [`MAX_REASON`] bytes on how much there is.
    Full(String),
}

impl BulkReply {
    /// A refusal, its reason cut to [`MAX_REASON`] bytes.
    pub fn refused(reason: impl Into<String>) -> Self {
        Self::Refused(cut(reason.into()))
    }

    /// A refusal for want of room, its reason cut to [`MAX_REASON`] bytes.
    pub fn full(reason: impl Into<String>) -> Self {
        Self::Full(cut(reason.into()))
    }
}

fn cut(mut reason: String) -> String {
    if reason.len() > MAX_REASON {
        let mut end = MAX_REASON;
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
    }
    reason
}

/// Which of these blobs do you lack? At most [`MAX_HAVE`]; answered by [`Lacking`].
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Have(pub Vec<BlobHash>);

/// Those of a [`Have`] that the answering node lacks.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Lacking(pub Vec<BlobHash>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{decode, encode};

    #[test]
    fn a_refusal_of_any_length_fits_its_frame() {
        let reply = BulkReply::refused("ä".repeat(MAX_REASON));
        let bytes = encode(&reply);
        assert!(bytes.len() <= MAX_REPLY, "{} bytes", bytes.len());
        assert_eq!(decode::<BulkReply>("reply", &bytes), Ok(reply));
    }

    #[test]
    fn any_cut_or_flipped_message_is_read_or_refused_without_a_panic() {
        let whole = encode(&BlobBulk::Store(BlobHash::of(b"x"), 7));
        for at in 0..whole.len() {
            let _ = decode::<BlobBulk>("bulk", &whole[..at]);
            let mut flipped = whole.to_vec();
            flipped[at] ^= 0xff;
            let _ = decode::<BlobBulk>("bulk", &flipped);
        }
        assert!(decode::<BlobBulk>("bulk", &[]).is_err());
        let have = encode(&Have(vec![BlobHash::of(b"x"); MAX_HAVE]));
        assert!(have.len() < crate::wire::MAX_HEAD / 2);
    }
}
