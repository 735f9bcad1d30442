//! The only door to an instance's memory from outside its own host calls: another rank's copy, the
//! network filling a buffer, a shard answering. Whoever comes through holds a counted [`Pin`]; the
//! end of the instance closes the door, waits until no pin is left, and only then un-maps.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::pins::Pins;

/// Longest range of one pin, in bytes: the copy takes about 100 µs, and so long may the end of an
/// instance have to wait for it.
pub const MAX_PIN: usize = 1 << 20;
/// A pin held this long is a bug that cannot be survived: the memory must not be un-mapped under
/// it, and the slot cannot be used again.
const STUCK: Duration = Duration::from_secs(30);

/// Why a range cannot be pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// The instance ended, or is ending.
    #[error("the instance has ended")]
    Gone,
    /// Not within the accessible memory.
    #[error("the range is outside the instance's memory")]
    OutOfBounds,
    /// More than [`MAX_PIN`] bytes.
    #[error("at most {MAX_PIN} bytes can be pinned at once")]
    TooLong,
}

/// An instance's memory, as others see it.
#[derive(Debug)]
pub struct Door {
    pins: Pins,
    base: usize,
    len: AtomicUsize,
}

impl Door {
    /// Opens the memory at `base`, of which `len` bytes are accessible.
    ///
    /// # Safety
    /// `base` must be the start of an instance's memory that stays mapped, at least `len` bytes
    /// of it readable and writable, until [`Door::close`] returned.
    pub unsafe fn open(base: *mut u8, len: usize) -> Self {
        Self { pins: Pins::new(), base: base as usize, len: AtomicUsize::new(len) }
    }

    /// Notes that the memory grew; it never shrinks and never moves.
    ///
    /// # Safety
    /// As for [`Door::open`], for this length.
    pub unsafe fn grown(&self, len: usize) {
        // Nearly always it did not grow since it was asked last.
        if self.len.load(Ordering::Relaxed) < len {
            self.len.fetch_max(len, Ordering::Release);
        }
    }

    /// Bytes that are accessible.
    pub fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire) as u64
    }

    /// Whether none are.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Pins `len` bytes at offset `at`.
    pub fn pin(&self, at: u64, len: usize) -> Result<Pin<'_>, PinError> {
        if len > MAX_PIN {
            return Err(PinError::TooLong);
        }
        let at = usize::try_from(at).map_err(|_| PinError::OutOfBounds)?;
        let end = at.checked_add(len).ok_or(PinError::OutOfBounds)?;
        if end > self.len.load(Ordering::Acquire) {
            return Err(PinError::OutOfBounds);
        }
        if !self.pins.pin() {
            return Err(PinError::Gone);
        }
        Ok(Pin { door: self, start: self.base + at, len, _not_send: PhantomData })
    }

    /// Lets nobody in any more, and returns when nobody is within.
    pub fn close(&self) {
        self.pins.close();
        let begun = Instant::now();
        while !self.pins.idle() {
            std::thread::yield_now();
            if begun.elapsed() > STUCK {
                tracing::error!("a copy never ended in the memory of an instance that did");
                std::process::abort();
            }
        }
    }
}

/// A range that stays mapped while this lives. It cannot cross an await: it is not `Send`.
#[derive(Debug)]
pub struct Pin<'a> {
    door: &'a Door,
    start: usize,
    len: usize,
    _not_send: PhantomData<*mut u8>,
}

impl Pin<'_> {
    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it is of no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies bytes in, as many as fit; gives their number.
    pub fn write(&self, from: &[u8]) -> usize {
        let len = from.len().min(self.len);
        // SAFETY: start..start+len is within the accessible memory (checked by `pin`), which stays
        // mapped while this pin is counted (`Door::open`). Others may write there at the same
        // time: no reference to it is made, and a torn byte order is the guest's own matter.
        // Test: `copies_never_meet_an_unmapped_memory`.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), self.start as *mut u8, len) };
        len
    }

    /// Copies the bytes of another range, which may overlap with this one, as many as fit.
    pub fn copy(&self, from: &Pin<'_>) {
        let len = from.len.min(self.len);
        // SAFETY: both ranges are mapped, as in `write`; `copy` allows them to overlap.
        unsafe { std::ptr::copy(from.start as *const u8, self.start as *mut u8, len) };
    }

    /// Copies bytes out, as many as fit; gives their number.
    pub fn read(&self, into: &mut [u8]) -> usize {
        let len = into.len().min(self.len);
        // SAFETY: as in `write`; `into` is ours alone.
        unsafe { std::ptr::copy_nonoverlapping(self.start as *const u8, into.as_mut_ptr(), len) };
        len
    }

    /// Copies out the bytes from `at` on; nothing, and `false`, when they are not all within.
    #[inline]
    pub fn get(&self, at: usize, into: &mut [u8]) -> bool {
        if !self.has(at, into.len()) {
            return false;
        }
        // SAFETY: as in `read`; `has` has seen that all are within this pin.
        for_size(into.len(), |len| unsafe {
            let from = (self.start + at) as *const u8;
            std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), len);
        });
        true
    }

    /// Copies bytes in from `at` on.
    #[inline]
    pub fn put(&self, at: usize, from: &[u8]) -> bool {
        if !self.has(at, from.len()) {
            return false;
        }
        // SAFETY: as in `get`.
        for_size(from.len(), |len| unsafe {
            let into = (self.start + at) as *mut u8;
            std::ptr::copy_nonoverlapping(from.as_ptr(), into, len);
        });
        true
    }

    fn has(&self, at: usize, len: usize) -> bool {
        at.checked_add(len).is_some_and(|end| end <= self.len)
    }

    /// Copies out pieces of `each` bytes, the first at `at` and the others `stride` apart, until
    /// `into` is full; nothing, and `false`, when they are not all within, or do not fill it.
    pub fn gather(&self, at: usize, stride: isize, each: usize, into: &mut [u8]) -> bool {
        let Some(count) = self.pieces(at, stride, each, into.len()) else { return false };
        let from = self.start + at;
        for_size(each, |len| {
            for n in 0..count {
                let place = from.wrapping_add_signed(stride.wrapping_mul(n.cast_signed()));
                // SAFETY: `pieces` has seen that all are within this pin, as in `write`, and that
                // `into` has room for `count` of them.
                unsafe {
                    let to = into.as_mut_ptr().add(n * len);
                    std::ptr::copy_nonoverlapping(place as *const u8, to, len);
                }
            }
        });
        true
    }

    /// Copies such pieces in.
    pub fn scatter(&self, at: usize, stride: isize, each: usize, from: &[u8]) -> bool {
        let Some(count) = self.pieces(at, stride, each, from.len()) else { return false };
        let to = self.start + at;
        for_size(each, |len| {
            for n in 0..count {
                let place = to.wrapping_add_signed(stride.wrapping_mul(n.cast_signed()));
                // SAFETY: as in `gather`.
                unsafe {
                    let from = from.as_ptr().add(n * len);
                    std::ptr::copy_nonoverlapping(from, place as *mut u8, len);
                }
            }
        });
        true
    }

    /// How many such pieces are in `len` bytes, if those are all within.
    fn pieces(&self, at: usize, stride: isize, each: usize, len: usize) -> Option<usize> {
        let count = len.checked_div(each)?;
        let first = isize::try_from(at).ok()?;
        let way = stride.checked_mul(isize::try_from(count).ok()?.saturating_sub(1))?;
        let (low, high) = (first.min(first.checked_add(way)?), first.max(first.checked_add(way)?));
        let end = high.checked_add(isize::try_from(each).ok()?)?;
        let within = low >= 0 && end <= isize::try_from(self.len).ok()?;
        (within && count * each == len).then_some(count)
    }
}

/// Runs a loop with the size of a piece known to the compiler, where that is a usual one: a copy
/// is then one instruction.
#[inline(always)]
fn for_size(each: usize, copies: impl FnOnce(usize)) {
    match each {
        1 => copies(1),
        2 => copies(2),
        4 => copies(4),
        8 => copies(8),
        16 => copies(16),
        24 => copies(24),
        each => copies(each),
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        self.door.pins.unpin();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_at_a_stride_are_copied_only_where_all_are_within() {
        let mut memory: Vec<u8> = (0..100).collect();
        // SAFETY: the vector outlives the door's use, and nothing else touches it meanwhile.
        let door = unsafe { Door::open(memory.as_mut_ptr(), 100) };
        let pin = door.pin(10, 50).unwrap();
        let mut read = [0; 6];
        assert!(pin.gather(0, 24, 2, &mut read));
        assert_eq!(read, [10, 11, 34, 35, 58, 59]);
        assert!(pin.gather(48, -24, 2, &mut read));
        assert_eq!(read, [58, 59, 34, 35, 10, 11]);
        for (at, stride, each) in
            [(1, 24, 2), (0, 25, 2), (47, -24, 2), (0, 0, 0), (0, 0, 4), (usize::MAX, 0, 2)]
        {
            assert!(!pin.gather(at, stride, each, &mut read), "{at} {stride} {each}");
            assert!(!pin.scatter(at, stride, each, &read), "{at} {stride} {each}");
        }
        assert!(!pin.gather(0, isize::MAX, 2, &mut read) && !pin.scatter(0, isize::MIN, 2, &read));
        assert!(pin.get(44, &mut read) && read == [54, 55, 56, 57, 58, 59]);
        for at in [45, usize::MAX] {
            assert!(!pin.get(at, &mut read) && !pin.put(at, &read));
        }
        assert!(pin.put(20, &[9; 3]));
        assert!(pin.scatter(0, 24, 2, &[1, 2, 3, 4, 5, 6]));
        drop(pin);
        assert_eq!((memory[10], memory[35], memory[58], memory[36]), (1, 4, 5, 36));
        assert_eq!(memory[29..34], [29, 9, 9, 9, 33]);
    }

    #[test]
    fn only_what_is_accessible_can_be_pinned_and_only_while_open() {
        let mut memory = vec![0u8; 100];
        // SAFETY: the vector outlives the door's use, and nothing else touches it meanwhile.
        let door = unsafe { Door::open(memory.as_mut_ptr(), 60) };
        let pin = door.pin(50, 10).unwrap();
        assert_eq!(pin.write(&[7; 20]), 10);
        let mut read = [0; 4];
        assert_eq!(pin.read(&mut read), 4);
        assert_eq!(read, [7; 4]);
        drop(pin);
        assert_eq!(door.pin(51, 10).unwrap_err(), PinError::OutOfBounds);
        assert_eq!(door.pin(u64::MAX, 10).unwrap_err(), PinError::OutOfBounds);
        assert_eq!(door.pin(0, MAX_PIN + 1).unwrap_err(), PinError::TooLong);
        // SAFETY: the vector has 100 bytes.
        unsafe { door.grown(100) };
        assert!(door.pin(51, 10).is_ok());
        door.close();
        assert_eq!(door.pin(0, 1).unwrap_err(), PinError::Gone);
        assert_eq!(memory[60], 0);
    }
}
