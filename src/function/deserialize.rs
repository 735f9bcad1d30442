//! The one door for native code. An artifact is machine code that wasmtime runs unchecked, so who
//! may come through is decided by its hash.

use bytes::Bytes;
use wasmtime::{Engine, Module};

use crate::id::BlobHash;

/// An artifact that may be loaded: its bytes hash to what was expected of it.
pub struct Trusted(Bytes);

impl Trusted {
    /// Takes the bytes if they are those that `expected` names. `expected` must come from a
    /// compilation of this process, or from the hashes recorded through Raft; never from whoever
    /// sent the bytes.
    pub fn check(bytes: Bytes, expected: BlobHash) -> Option<Self> {
        (BlobHash::of(&bytes) == expected).then_some(Self(bytes))
    }

    /// Loads the module.
    pub fn load(&self, engine: &Engine) -> wasmtime::Result<Module> {
        // SAFETY: `deserialize` demands bytes that `serialize` made. They hash (BLAKE3) to the
        // artifact of a member that compiled the module itself, and a member of the cluster is
        // trusted with its native code: see `check`. An artifact of another version or CPU is
        // refused by wasmtime's own header. Test: `a_swapped_artifact_is_not_loaded`.
        unsafe { Module::deserialize(engine, &self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_bytes_than_expected_are_not_trusted() {
        let bytes = Bytes::from_static(b"native code");
        assert!(Trusted::check(bytes.clone(), BlobHash::of(&bytes)).is_some());
        assert!(Trusted::check(bytes, BlobHash::of(b"other")).is_none());
    }
}
