//! Memory that several instances map: a file in memory that can never be shorter than its mappings.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate, memfd_create,
};
use rustix::io::{Errno, pread, pwrite};

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

    /// Reads bytes, all of them within its length. Others may write there at the same time: what
    /// is read may be torn, and is the caller's own from then on.
    pub fn read_at(&self, mut off: u64, mut into: &mut [u8]) -> io::Result<()> {
        while !into.is_empty() {
            match pread(&self.file, &mut *into, off) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    off += count as u64;
                    into = into.get_mut(count..).unwrap_or_default();
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Writes bytes, all of them within its length; all who map them see them.
    pub fn write_at(&self, mut off: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match pwrite(&self.file, bytes, off) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    off += count as u64;
                    bytes = bytes.get(count..).unwrap_or_default();
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Makes a range zeros, and gives its memory back. Who has it mapped sees zeros.
    pub fn clear(&self, off: u64, len: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if len > 0 {
            fallocate(&self.file, flags, off, len)?;
        }
        Ok(())
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
    fn a_huge_one_is_sparse_and_gives_memory_back() {
        let file = Memfd::new(1 << 40).unwrap();
        file.write_at((1 << 40) - 3, b"end").unwrap();
        assert!(file.write_at(1 << 40, b"end").is_err(), "written past the end");
        let mut read = [1; 4];
        file.read_at((1 << 40) - 4, &mut read).unwrap();
        assert_eq!(&read, b"\0end");
        assert!(file.read_at((1 << 40) - 3, &mut read).is_err(), "read past the end");
        file.clear((1 << 40) - PAGE, PAGE).unwrap();
        file.read_at((1 << 40) - 4, &mut read).unwrap();
        assert_eq!(read, [0; 4]);
        assert_eq!(rustix::fs::fstat(&file).unwrap().st_blocks, 0);
    }

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
