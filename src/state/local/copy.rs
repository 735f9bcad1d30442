//! One node's copy of a value: a file in memory, and what is known of its chunks.
//!
//! The file is as long as a value can ever be, sparse, and never gets shorter or longer: a value
//! that grows or shrinks changes its length within the file, so all mappings, old and new, are of
//! the same bytes, and none can ever reach past the end of its file. A value that was deleted and
//! made anew gets another copy, with another file; who has the old one mapped keeps it.

use std::any::Any;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::budget::Budget;
use super::chunks::Chunks;
use super::metrics::Meters;
use super::ranges::Ranges;
use crate::errno::Errno;
use crate::function::memfd::{Memfd, PAGE};
use crate::wire::shards::StateKey;
use crate::wire::state::MAX_VALUE;

/// The value was deleted, perhaps made anew: this copy is of the old one.
const STALE: u8 = 1;
/// What was written here under a lock that was lost must go, before anything else is done.
const DISCARD: u8 = 2;

/// A copy.
pub struct Copy {
    /// Of which value.
    pub key: Arc<StateKey>,
    /// Its bytes.
    pub file: Arc<Memfd>,
    /// Held while it is synchronised, or written from the host: one at a time.
    pub gate: Arc<tokio::sync::Mutex<()>>,
    len: AtomicU64,
    flags: AtomicU8,
    /// Grows whenever bytes that were here are no more.
    epoch: AtomicU64,
    /// When it was last asked for, on the tier's own clock.
    used: AtomicU64,
    chunks: Mutex<Chunks>,
    /// Pages that were taken from the budget.
    charged: Mutex<Ranges>,
    budget: Arc<Budget>,
    meters: Arc<Meters>,
}

impl Copy {
    /// A copy with these chunks; its file is empty.
    pub fn new(
        key: Arc<StateKey>,
        chunks: Chunks,
        budget: Arc<Budget>,
        meters: Arc<Meters>,
    ) -> io::Result<Self> {
        let file = Arc::new(Memfd::new(MAX_VALUE)?);
        Ok(Self {
            key,
            file,
            gate: Arc::default(),
            len: AtomicU64::new(chunks.len()),
            flags: AtomicU8::new(0),
            epoch: AtomicU64::new(0),
            used: AtomicU64::new(0),
            chunks: Mutex::new(chunks),
            charged: Mutex::default(),
            budget,
            meters,
        })
    }

    /// The value's length here.
    pub fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    /// Grows whenever bytes that were here are no more.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Whether it is the copy of the value as it is now, and may be read.
    pub fn is_current(&self) -> bool {
        self.flags.load(Ordering::Acquire) == 0
    }

    /// Whether the value was deleted.
    pub fn is_stale(&self) -> bool {
        self.flags.load(Ordering::Acquire) & STALE != 0
    }

    /// The value was deleted.
    pub fn set_stale(&self) {
        self.flags.fetch_or(STALE, Ordering::AcqRel);
    }

    /// Whether what was written here must go first.
    pub fn must_discard(&self) -> bool {
        self.flags.load(Ordering::Acquire) & DISCARD != 0
    }

    /// Says so.
    pub fn discard(&self, on: bool) {
        match on {
            true => self.flags.fetch_or(DISCARD, Ordering::AcqRel),
            false => self.flags.fetch_and(!DISCARD, Ordering::AcqRel),
        };
    }

    /// Notes that it is used now.
    pub fn touch(&self, now: u64) {
        self.used.store(now, Ordering::Relaxed);
    }

    /// When it was used last.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// What is known of its chunks. Held for moments only.
    pub fn chunks(&self) -> MutexGuard<'_, Chunks> {
        self.chunks.lock()
    }

    /// The owner's length is another. What was behind the end is zeros when the value grows again.
    pub fn set_len(&self, len: u64) -> Result<(), Errno> {
        let old = {
            let mut chunks = self.chunks();
            let old = chunks.len();
            chunks.resized_by_owner(len);
            old
        };
        self.resized(old, len)
    }

    /// All of it is about to be written from the host, with this length.
    pub fn begin_replace(&self, len: u64) -> Result<(), Errno> {
        let old = self.len();
        // If it is never finished, what there is of it was written here.
        self.chunks().touch(0..old.min(len));
        match old < len {
            true => self.clear_behind(old, len),
            false => Ok(()),
        }
    }

    /// All of it was.
    pub fn finish_replace(&self, len: u64) {
        let old = self.len();
        self.chunks().replaced(len);
        self.len.store(len, Ordering::Release);
        if len < old && self.clear_behind(len, old).is_ok() {
            self.uncharge(len.next_multiple_of(PAGE)..MAX_VALUE);
        }
    }

    fn resized(&self, old: u64, len: u64) -> Result<(), Errno> {
        if old != len {
            self.epoch.fetch_add(1, Ordering::AcqRel);
            self.clear_behind(old.min(len), old.max(len))?;
            self.len.store(len, Ordering::Release);
        }
        if len < old {
            self.uncharge(len.next_multiple_of(PAGE)..MAX_VALUE);
        }
        Ok(())
    }

    /// Guests can write behind the end, as far as the last page that they have mapped.
    fn clear_behind(&self, from: u64, to: u64) -> Result<(), Errno> {
        self.file.clear(from, to.next_multiple_of(PAGE) - from).map_err(failed)
    }

    /// Takes the pages of a range from the budget, unless they were taken.
    pub fn charge(&self, range: Range<u64>) -> Result<(), Errno> {
        let start = range.start / PAGE * PAGE;
        let end = range.end.checked_next_multiple_of(PAGE).ok_or(Errno::Inval)?;
        let mut charged = self.charged.lock();
        let had: u64 = charged.within(start..end).map(|part| part.end - part.start).sum();
        self.budget.take(&self.key.user, end.saturating_sub(start) - had)?;
        self.meters.resident(end.saturating_sub(start) - had);
        charged.add(start..end);
        Ok(())
    }

    fn uncharge(&self, range: Range<u64>) {
        // What is mapped can be touched at any time.
        if self.chunks().is_mapped() {
            return;
        }
        let mut charged = self.charged.lock();
        let bytes: u64 = charged.within(range.clone()).map(|part| part.end - part.start).sum();
        charged.remove(range);
        drop(charged);
        self.budget.give(&self.key.user, bytes);
        self.meters.evicted(bytes);
    }

    /// Notes that a window is mapped, until what is returned is dropped.
    pub fn map(self: &Arc<Self>, window: Range<u64>) -> Result<Box<dyn Any + Send + Sync>, Errno> {
        self.charge(window.clone())?;
        self.chunks().map(window.clone());
        Ok(Box::new(Mapped { copy: self.clone(), window }))
    }

    /// Writes bytes of the owner's, or of the host's.
    pub fn write(&self, off: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.file.write_at(off, bytes).map_err(failed)
    }

    /// Copies bytes out.
    pub fn read(&self, off: u64, into: &mut [u8]) -> Result<(), Errno> {
        self.file.read_at(off, into).map_err(failed)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let bytes: u64 = self.charged.get_mut().iter().map(|part| part.end - part.start).sum();
        self.budget.give(&self.key.user, bytes);
        self.meters.evicted(bytes);
    }
}

/// A window that an instance has mapped.
struct Mapped {
    copy: Arc<Copy>,
    window: Range<u64>,
}

impl Drop for Mapped {
    fn drop(&mut self) {
        self.copy.chunks().unmap(self.window.clone());
    }
}

fn failed(error: io::Error) -> Errno {
    tracing::warn!(%error, "a copy of a value could not be read or written");
    Errno::NoMem
}
