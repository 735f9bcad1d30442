//! Changing what is mapped in an instance's memory.

use std::io;
use std::os::fd::AsFd;

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous};

use super::memfd::Memfd;

/// Maps `len` bytes of `file`, from `off` on, at `at`, shared with all who map them.
///
/// # Safety
/// `at..at+len` must be whole pages within the accessible part of one live instance's memory, of
/// which no reference exists, `off` whole pages, and `off + len` at most the length of `file`.
pub unsafe fn map_shared(at: *mut u8, len: usize, file: &Memfd, off: u64) -> io::Result<()> {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::SHARED | MapFlags::FIXED;
    // SAFETY: the caller answers for the range; wasm code and raw copies go on working over the
    // new pages, all of them within the file, so that no access gets SIGBUS (`Memfd` cannot
    // shrink). Test: `one_byte_values_do_not_fault_and_cannot_shrink`.
    unsafe { mmap(at.cast(), len, protection, flags, file.as_fd(), off)? };
    Ok(())
}

/// Maps fresh zeros at `at`, as the rest of the memory is.
///
/// # Safety
/// As for [`map_shared`].
pub unsafe fn map_zeros(at: *mut u8, len: usize) -> io::Result<()> {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
    // SAFETY: the caller answers for the range. What was mapped there stays with its other users.
    // Test: `a_shared_region_never_reaches_the_next_instance`.
    unsafe { mmap_anonymous(at.cast(), len, protection, flags)? };
    Ok(())
}
