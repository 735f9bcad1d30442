//! Messages between nodes: plain data, one file per service, and how they become bytes. `wire`
//! knows nothing of connections or actors.
//!
//! Every message is an rkyv archive, read with checked access: bytes that are no valid message
//! give [`Malformed`], never a panic. Bulk bytes (inputs, outputs, blobs) travel beside the
//! archive, not in it.

pub mod blobs;
pub mod bundle;
pub mod calls;
pub mod consensus;
pub mod function;
pub mod hello;
pub mod jobs;
pub mod load;
pub mod locks;
pub mod members;
pub mod mpi;
pub mod replicas;
pub mod shards;
pub mod state;
pub mod token;
pub mod users;

use rkyv::api::high::{HighDeserializer, HighSerializer, HighValidator};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Error;
use rkyv::ser::allocator::ArenaHandle;
use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize};

/// The oldest protocol version this build speaks.
pub const PROTOCOL_MIN: u16 = 2;
/// The newest protocol version this build speaks. Raised with every change of a message: who does
/// not know it takes it for malformed, where a refused hello says what to do.
pub const PROTOCOL_MAX: u16 = 2;

/// Largest archive of one message, in bytes; bulk bytes do not count. Checked before allocation.
pub const MAX_HEAD: usize = 1 << 20;

/// Bytes that are not the message they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what}: {why}")]
pub struct Malformed {
    /// The message that was expected.
    pub what: &'static str,
    /// What the check found.
    pub why: String,
}

/// A type that can be sent.
pub trait Encode: for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, Error>> {}
impl<T> Encode for T where T: for<'a> Serialize<HighSerializer<AlignedVec, ArenaHandle<'a>, Error>> {}

/// Appends the archive of `message` to `into`, which must be empty for the archive to be aligned.
///
/// # Panics
/// Never on the types of this module: their serializers cannot fail.
pub fn encode_into<T: Encode>(message: &T, into: AlignedVec) -> AlignedVec {
    rkyv::api::high::to_bytes_in::<_, Error>(message, into)
        .unwrap_or_else(|error| unreachable!("a wire type failed to serialize: {error}"))
}

/// The archive of `message` in a buffer of its own.
pub fn encode<T: Encode>(message: &T) -> AlignedVec {
    encode_into(message, AlignedVec::new())
}

/// An error's text without the addresses of this process in it: the text goes to the peer.
fn without_addresses(text: &str) -> String {
    let mut parts = text.split("0x");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str("0x?");
        out.push_str(part.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    }
    out
}

/// Reads a message from bytes of any alignment.
pub fn decode<T>(what: &'static str, bytes: &[u8]) -> Result<T, Malformed>
where
    T: Archive,
    T::Archived:
        for<'a> CheckBytes<HighValidator<'a, Error>> + Deserialize<T, HighDeserializer<Error>>,
{
    let read = |bytes: &[u8]| {
        rkyv::from_bytes::<T, Error>(bytes)
            .map_err(|error| Malformed { what, why: without_addresses(&error.to_string()) })
    };
    if bytes.as_ptr().align_offset(AlignedVec::<16>::ALIGNMENT) == 0 {
        return read(bytes);
    }
    let mut aligned = AlignedVec::<16>::with_capacity(bytes.len());
    aligned.extend_from_slice(bytes);
    read(&aligned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_tell_no_addresses() {
        let text = "ptr 0x7ffd01ab size 5 in range 0x7ffd0000..0x7ffd00ff (at 0x1)";
        assert_eq!(without_addresses(text), "ptr 0x? size 5 in range 0x?..0x? (at 0x?)");
        assert_eq!(without_addresses("invalid discriminant"), "invalid discriminant");
    }
}
