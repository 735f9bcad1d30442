//! The bytes of a blob's file: a header, then the blob. Pure.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `FSMB` |
//! | 4 | 2 | format version, little endian |
//! | 6 | 2 | zero |
//! | 8 | 8 | length of the blob, little endian |
//! | 16 | | the blob |

use bytes::Bytes;

use super::MAX_BLOB;
use crate::id::BlobHash;

/// Length of the header, in bytes.
pub const HEADER: usize = 16;
/// The format version that this build writes, and the newest it reads.
pub const VERSION: u16 = 1;

const MAGIC: [u8; 4] = *b"FSMB";

/// Why a file is not the blob that its name says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Its bytes changed or are not all there: of no use to anybody.
    #[error("{0}")]
    Corrupt(String),
    /// A newer build wrote it: to be left alone.
    #[error("file format version {0} is newer than this build's {VERSION}")]
    Newer(u16),
}

/// The header of a blob of `len` bytes.
pub fn header(len: u64) -> [u8; HEADER] {
    let mut out = [0; HEADER];
    out[..4].copy_from_slice(&MAGIC);
    out[4..6].copy_from_slice(&VERSION.to_le_bytes());
    out[8..].copy_from_slice(&len.to_le_bytes());
    out
}

/// The length of the blob in a file of `file_len` bytes, if a blob's file can have that length.
pub fn blob_len(file_len: u64) -> Option<u64> {
    file_len.checked_sub(HEADER as u64).filter(|len| *len <= MAX_BLOB)
}

/// Takes the blob out of a whole file, after checking header, length and hash. Hashes all of it:
/// about a millisecond per megabyte.
pub fn open(hash: &BlobHash, file: &Bytes) -> Result<Bytes, Unreadable> {
    let mut check = Check::new();
    check.take(file);
    check.end(hash)?;
    Ok(file.slice(HEADER..))
}

/// The same check of a file that is read in pieces.
#[derive(Default)]
pub struct Check {
    head: Vec<u8>,
    body: u64,
    hasher: blake3::Hasher,
}

impl Check {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece in.
    pub fn take(&mut self, piece: &[u8]) {
        let (head, body) = piece.split_at(piece.len().min(HEADER - self.head.len()));
        self.head.extend_from_slice(head);
        self.hasher.update(body);
        self.body += body.len() as u64;
    }

    /// The file ended here.
    pub fn end(self, hash: &BlobHash) -> Result<(), Unreadable> {
        let corrupt = |why: String| Err(Unreadable::Corrupt(why));
        let Some(head) = self.head.first_chunk::<HEADER>() else {
            return corrupt(format!("{} bytes are shorter than the header", self.head.len()));
        };
        if head[..4] != MAGIC {
            return corrupt("it does not begin as a blob's file does".to_owned());
        }
        let version = u16::from_le_bytes([head[4], head[5]]);
        if version > VERSION {
            return Err(Unreadable::Newer(version));
        }
        if *head != header(self.body) {
            return corrupt(format!("its header does not fit the {} bytes after it", self.body));
        }
        if *self.hasher.finalize().as_bytes() != hash.0 {
            return corrupt("its bytes do not have its hash".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(blob: &[u8]) -> Vec<u8> {
        let mut file = header(blob.len() as u64).to_vec();
        file.extend_from_slice(blob);
        file
    }

    #[test]
    fn what_is_written_is_read_back() {
        for blob in [&b""[..], b"x", &[7; 5000]] {
            let read = open(&BlobHash::of(blob), &file(blob).into());
            assert_eq!(read.as_deref(), Ok(blob));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_found() {
        let blob = b"a blob of some bytes";
        let hash = BlobHash::of(blob);
        let whole = file(blob);
        for at in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert!(open(&hash, &flipped.into()).is_err(), "bit {at} went unnoticed");
        }
        for len in 0..whole.len() {
            let cut = Bytes::copy_from_slice(&whole[..len]);
            assert!(matches!(open(&hash, &cut), Err(Unreadable::Corrupt(_))), "cut to {len}");
        }
        let mut longer = whole;
        longer.push(0);
        assert!(open(&hash, &longer.into()).is_err());
    }

    #[test]
    fn a_file_read_in_pieces_of_any_size_is_the_same() {
        let blob = [7; 100];
        let file = file(&blob);
        for size in 1..=file.len() {
            let mut check = Check::new();
            file.chunks(size).for_each(|piece| check.take(piece));
            assert_eq!(check.end(&BlobHash::of(&blob)), Ok(()), "pieces of {size}");
        }
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let mut newer = file(b"x");
        newer[4] = 2;
        assert_eq!(open(&BlobHash::of(b"x"), &newer.into()), Err(Unreadable::Newer(2)));
    }

    #[test]
    fn only_lengths_that_a_blob_may_have_are_taken() {
        assert_eq!(blob_len(15), None);
        assert_eq!(blob_len(16), Some(0));
        assert_eq!(blob_len(16 + MAX_BLOB), Some(MAX_BLOB));
        assert_eq!(blob_len(17 + MAX_BLOB), None);
    }
}
