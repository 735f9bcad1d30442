//! The one owner of an instance's address space above its initial memory: which ranges the host
//! made there, what is mapped in them, and that nothing of it is left when the slot is used again.

use std::any::Any;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::mapping::{map_shared, map_zeros};
use super::memfd::{Memfd, PAGE};

/// What a region holds.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Memory of the instance's own.
    Private,
    /// A part of a file that others map too.
    Window(Arc<Window>),
}

/// A part of a file that others map too.
pub struct Window {
    /// The file.
    pub file: Arc<Memfd>,
    /// Where in it, in whole pages.
    pub off: u64,
    /// How much, in whole pages.
    pub len: u64,
    /// Dropped once nobody has the window mapped.
    pub held: Box<dyn Any + Send + Sync>,
}

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes at {}", self.len, self.off)
    }
}

impl Kind {
    /// The file behind it, from where on, and how many bytes of it.
    fn file(&self) -> Option<(&Memfd, u64, u64)> {
        match self {
            Self::Private => None,
            Self::Window(window) => Some((&window.file, window.off, window.len)),
        }
    }
}

/// One range in use.
#[derive(Debug)]
struct Region {
    range: Range<u64>,
    kind: Kind,
}

/// Ranges used and free, in bytes from the start of the memory. Pure.
#[derive(Debug, Default)]
struct Table {
    used: Vec<Region>,
    /// Ordered by start; no two touch.
    free: Vec<Range<u64>>,
}

impl Table {
    /// Takes `len` bytes (whole pages) from what is free, the first that fits.
    fn take(&mut self, len: u64, kind: Kind) -> Option<Range<u64>> {
        let at = self.free.iter().position(|free| free.end - free.start >= len)?;
        let start = self.free[at].start;
        self.free[at].start += len;
        self.free.retain(|free| !free.is_empty());
        let range = start..start + len;
        self.used.push(Region { range: range.clone(), kind });
        Some(range)
    }

    /// Frees the region that starts here.
    fn remove(&mut self, start: u64) -> Option<Region> {
        let at = self.used.iter().position(|region| region.range.start == start)?;
        let region = self.used.swap_remove(at);
        self.add(region.range.clone());
        Some(region)
    }

    /// Adds a free range, joined with its neighbours.
    fn add(&mut self, range: Range<u64>) {
        let at = self.free.partition_point(|free| free.start < range.start);
        self.free.insert(at, range);
        self.free.dedup_by(|next, before| {
            let touch = before.end == next.start;
            if touch {
                before.end = next.end;
            }
            touch
        });
    }
}

/// The regions of one instance.
#[derive(Debug, Default)]
pub struct Regions {
    table: Table,
    /// Where the memory starts in this process; set before the first mapping.
    base: usize,
}

impl Regions {
    /// Adds a range that the memory was just grown by.
    pub fn grown(&mut self, range: Range<u64>) {
        self.table.add(range);
    }

    /// Bytes of whole pages that a region of `bytes` bytes takes; `None` when that is too many.
    pub fn pages(bytes: u64) -> Option<u64> {
        bytes.max(1).checked_next_multiple_of(PAGE)
    }

    /// Maps a region into free space; `Ok(None)` when the memory must first grow.
    ///
    /// # Safety
    /// `base` must be the start of the memory of the live instance that these regions belong to,
    /// and every range given to [`Regions::grown`] accessible in it; no reference into it exists.
    pub unsafe fn map(
        &mut self,
        base: *mut u8,
        bytes: u64,
        kind: Kind,
    ) -> io::Result<Option<Range<u64>>> {
        let within = |(file, off, len): (&Memfd, u64, u64)| {
            let pages = off.is_multiple_of(PAGE) && len.is_multiple_of(PAGE) && len > 0;
            pages && off.checked_add(len).is_some_and(|end| end <= file.len())
        };
        if !kind.file().is_none_or(within) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let bytes = kind.file().map_or(bytes, |(_, _, len)| len);
        let Some(len) = Self::pages(bytes) else { return Ok(None) };
        let Some(range) = self.table.take(len, kind.clone()) else { return Ok(None) };
        self.base = base as usize;
        let Some((file, off, _)) = kind.file() else { return Ok(Some(range)) };
        // SAFETY: the range came from `grown`, so it is accessible memory of this instance, in
        // whole wasm pages; from `off` on the file has as many bytes, as was checked above. The
        // caller answers for `base`.
        let mapped = unsafe { map_shared(self.at(&range), length(&range), file, off) };
        if let Err(error) = mapped {
            self.table.remove(range.start);
            return Err(error);
        }
        Ok(Some(range))
    }

    /// Un-maps the region that starts here; its addresses are zeros, and free. `false` when none
    /// starts here.
    pub fn release(&mut self, start: u64) -> bool {
        let Some(region) = self.table.remove(start) else { return false };
        self.clear(&region.range);
        true
    }

    /// Un-maps what is shared. Must be done before the slot is used again: the pool's own reset
    /// leaves a shared mapping in place, and the next instance would see it.
    pub fn release_all(&mut self) {
        let regions = std::mem::take(&mut self.table).used;
        for region in regions.iter().filter(|region| region.kind.file().is_some()) {
            self.clear(&region.range);
        }
    }

    fn clear(&self, range: &Range<u64>) {
        // SAFETY: the range was mapped by `map` in the memory at `base`, whose instance lives as
        // long as these regions do (`Cell` drops them first).
        let cleared = unsafe { map_zeros(self.at(range), length(range)) };
        if let Err(error) = cleared {
            // Going on would show one user's memory to another.
            tracing::error!(%error, "a region could not be un-mapped");
            std::process::abort();
        }
    }

    fn at(&self, range: &Range<u64>) -> *mut u8 {
        (self.base + usize::try_from(range.start).unwrap_or(usize::MAX)) as *mut u8
    }
}

impl Drop for Regions {
    fn drop(&mut self) {
        self.release_all();
    }
}

fn length(range: &Range<u64>) -> usize {
    usize::try_from(range.end - range.start).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ranges_are_joined_and_used_again() {
        let mut table = Table::default();
        table.add(0..4 * PAGE);
        let first = table.take(PAGE, Kind::Private).unwrap();
        let second = table.take(2 * PAGE, Kind::Private).unwrap();
        assert_eq!((first.clone(), second.clone()), (0..PAGE, PAGE..3 * PAGE));
        assert_eq!(table.take(2 * PAGE, Kind::Private), None);
        assert!(table.remove(second.start).is_some());
        assert!(table.remove(second.start).is_none());
        assert_eq!(table.free, vec![PAGE..4 * PAGE; 1]);
        assert!(table.remove(first.start).is_some());
        assert_eq!(table.free, vec![0..4 * PAGE; 1]);
        assert_eq!(table.take(4 * PAGE, Kind::Private), Some(0..4 * PAGE));
        assert!(table.free.is_empty());
    }

    #[test]
    fn ranges_that_do_not_touch_stay_apart() {
        let mut table = Table::default();
        table.add(4 * PAGE..5 * PAGE);
        table.add(0..PAGE);
        table.add(2 * PAGE..3 * PAGE);
        assert_eq!(table.free, [0..PAGE, 2 * PAGE..3 * PAGE, 4 * PAGE..5 * PAGE]);
        table.add(PAGE..2 * PAGE);
        assert_eq!(table.free, [0..3 * PAGE, 4 * PAGE..5 * PAGE]);
    }
}
