//! A door for tests that feed malformed bytes to what reads blob files. No part of the API.

use bytes::Bytes;

use super::format;
use crate::id::BlobHash;

/// The bytes of a blob's file.
pub fn file(blob: &[u8]) -> Vec<u8> {
    [&format::header(blob.len() as u64)[..], blob].concat()
}

/// Takes the blob out of a file.
pub fn open(hash: &BlobHash, file: Vec<u8>) -> Result<Bytes, String> {
    format::open(hash, &Bytes::from(file)).map_err(|error| error.to_string())
}
