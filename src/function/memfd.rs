//! Memory that several instances map: a file in memory that can never be shorter than its mappings.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

/// A wasm page, in bytes: regions are whole ones.
pub const PAGE: u64 = 64 << 10;

/// A file in memory, of a fixed length. wasmtime does not handle SIGBUS, so touching a mapping past
/// the end of its file would kill the node: the length is a multiple of [`PAGE`], and sealed.
#[derive(Debug)]
pub struct Memfd {
    file: OwnedFd,
    len: u64,
}

impl Memfd {
    /// A file of zeros for `bytes` bytes (at least one page).
    pub fn new(bytes: u64) -> io::Result<Self> {
        let len = bytes.max(1).checked_next_multiple_of(PAGE).ok_or(io::ErrorKind::FileTooLarge)?;
        let file = memfd_create("faasm", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, len)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok(Self { file, len })
    }

    /// Its length in bytes, a multiple of [`PAGE`].
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Never: it has at least one page.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl AsFd for Memfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_whole_pages_and_fixed() {
        for (bytes, len) in [(0, PAGE), (1, PAGE), (PAGE, PAGE), (PAGE + 1, 2 * PAGE)] {
            let file = Memfd::new(bytes).unwrap();
            assert_eq!(file.len(), len);
            assert!(ftruncate(&file, 0).is_err(), "it could be shrunk");
            assert!(ftruncate(&file, len * 2).is_err(), "it could be grown");
        }
        assert!(Memfd::new(u64::MAX).is_err());
    }
}
