//! Packing and unpacking: bytes of elements between a rank's memory and buffers. Long runs are
//! copied as such; short ones under one pin of their neighbourhood, so that a column of numbers
//! moves about as fast as memory allows.

use super::Datatype;
use super::layout::{Visitor, visit_loop};
use crate::function::memory::{Door, MAX_PIN, Pin};
use crate::mpi::constants as c;
use crate::mpi::error::{Error, Result, error};
use crate::mpi::memory::{Memory, outside};

/// Runs of at least this length are copied by themselves.
const LONG: u64 = 64 << 10;
/// Most short runs under one pin, so that it is not held for long.
const MOST_RUNS: u64 = 1 << 15;
/// Bytes that go through the host at once from memory to memory.
const CHUNK: usize = 256 << 10;

impl Datatype {
    /// Copies bytes `skip..skip + out.len()` of `count` elements' data out of memory.
    ///
    /// # Errors
    /// `MPI_ERR_BUFFER` when they are not all within the memory.
    pub fn pack(
        &self,
        memory: &Memory,
        at: u64,
        count: u64,
        skip: u64,
        out: &mut [u8],
    ) -> Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        let len = out.len() as u64;
        if let Some(at) = self.place(at, count, skip, len)? {
            return memory.read(at, out);
        }
        let mut to = Gather { reach: Reach::new(memory), out };
        self.visit(at, skip, len, &mut to)
    }

    /// Copies such bytes into memory.
    ///
    /// # Errors
    /// As [`Datatype::pack`].
    pub fn unpack(
        &self,
        memory: &Memory,
        at: u64,
        count: u64,
        skip: u64,
        bytes: &[u8],
    ) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let len = bytes.len() as u64;
        if let Some(at) = self.place(at, count, skip, len)? {
            return memory.write(at, bytes);
        }
        let mut to = Scatter { reach: Reach::new(memory), bytes };
        self.visit(at, skip, len, &mut to)
    }

    /// Copies the data of elements to another place of the same memory.
    ///
    /// # Errors
    /// As [`Datatype::pack`].
    pub fn pack_to(&self, memory: &Memory, at: u64, count: u64, to: u64) -> Result<()> {
        let len = self.total(count)?;
        if let Some(at) = self.place(at, count, 0, len)? {
            return memory.copy(to, memory, at, len);
        }
        self.in_chunks(len, |skip, chunk| {
            self.pack(memory, at, count, skip, chunk)?;
            memory.write(to.saturating_add(skip), chunk)
        })
    }

    /// Copies the data of elements from another place of the same memory.
    ///
    /// # Errors
    /// As [`Datatype::pack`].
    pub fn unpack_from(&self, memory: &Memory, from: u64, at: u64, count: u64) -> Result<()> {
        let len = self.total(count)?;
        if let Some(at) = self.place(at, count, 0, len)? {
            return memory.copy(at, memory, from, len);
        }
        self.in_chunks(len, |skip, chunk| {
            memory.read(from.saturating_add(skip), chunk)?;
            self.unpack(memory, at, count, skip, chunk)
        })
    }

    /// Bytes of so many elements.
    pub fn total(&self, count: u64) -> Result<u64> {
        match self.size.checked_mul(count).filter(|all| i64::try_from(*all).is_ok()) {
            Some(all) => Ok(all),
            None => error(c::MPI_ERR_COUNT, format!("{count} elements are too many")),
        }
    }

    fn in_chunks(
        &self,
        len: u64,
        mut each: impl FnMut(u64, &mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let most = usize::try_from(len).unwrap_or(CHUNK).min(CHUNK);
        let mut buffer = vec![0; most];
        let mut done = 0;
        while done < len {
            let part = usize::try_from(len - done).unwrap_or(most).min(most);
            each(done, buffer.get_mut(..part).unwrap_or_default())?;
            done += part as u64;
        }
        Ok(())
    }

    /// Where such bytes are, if they are one run. Sees that they are not more than there are, and
    /// can be in one memory.
    fn place(&self, at: u64, count: u64, skip: u64, len: u64) -> Result<Option<u64>> {
        let end = skip.checked_add(len).filter(|end| *end <= self.size.saturating_mul(count));
        let Some(end) = end else {
            return error(c::MPI_ERR_TRUNCATE, "more bytes than the elements have");
        };
        if let Some((by, _)) = self.run(count) {
            return Ok(Some(address(at.cast_signed().wrapping_add(by)) + skip));
        }
        // Only elements that are touched count: a program may expect less than it has room for.
        let elements = i128::from(end.div_ceil(self.size.max(1)));
        let step = i128::from(self.extent).abs();
        if (elements - 1) * step + i128::from(self.true_extent()) > 1 << 32 {
            return error(c::MPI_ERR_BUFFER, "the elements reach further than a memory does");
        }
        Ok(None)
    }

    /// Shows where such bytes of elements are.
    pub(super) fn visit<V: Visitor>(&self, at: u64, skip: u64, len: u64, to: &mut V) -> Result<()> {
        visit_loop(&self.map.piece, self.extent, at.cast_signed(), skip, len, to)
    }
}

/// Displacements may be absolute addresses, or differences of such: all wrap as pointers do.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is to wrap")]
fn address(at: i64) -> u64 {
    u64::from(at as u32)
}

fn not_within() -> Error {
    Error::new(c::MPI_ERR_INTERN, "a run is not within its pin")
}

/// A pin of what is near the last run.
struct Reach<'a> {
    memory: &'a Memory,
    door: &'a Door,
    pin: Option<(u64, Pin<'a>)>,
    /// Runs until it is let go.
    left: u64,
}

impl<'a> Reach<'a> {
    fn new(memory: &'a Memory) -> Self {
        Self { memory, door: memory.door(), pin: None, left: 0 }
    }

    /// A pin that has such bytes, at most half of the longest, and where they are in it.
    #[inline]
    fn pin(&mut self, at: u64, len: u64, runs: u64) -> Result<(&Pin<'a>, usize)> {
        let has =
            |(start, pin): &(u64, Pin<'_>)| at >= *start && at + len <= start + pin.len() as u64;
        if self.left < runs || !self.pin.as_ref().is_some_and(has) {
            self.pin_near(at, len, runs)?;
        }
        self.left -= runs;
        match &self.pin {
            Some((start, pin)) => Ok((pin, usize::try_from(at - start).unwrap_or(usize::MAX))),
            None => Err(not_within()),
        }
    }

    fn pin_near(&mut self, at: u64, len: u64, runs: u64) -> Result<()> {
        // First let go of the old one: whoever ends the instance waits for it.
        self.pin = None;
        let longest = MAX_PIN as u64;
        let start = at.saturating_sub(longest.saturating_sub(len) / 2);
        // At least what is asked for: beyond the memory, that is the error.
        let room = self.door.len().saturating_sub(start).min(longest).max(at + len - start);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        self.pin = Some((start, self.door.pin(start, room).map_err(outside)?));
        self.left = MOST_RUNS.max(runs);
        Ok(())
    }

    /// Shows runs in groups that one pin holds: the first one's place in it, and their number.
    fn groups(
        &mut self,
        at: i64,
        stride: i64,
        len: u64,
        count: u64,
        mut each: impl FnMut(&Pin<'a>, usize, usize) -> bool,
    ) -> Result<()> {
        let step = stride.unsigned_abs();
        let fit = (MAX_PIN as u64 / 2 - len).checked_div(step).map_or(MOST_RUNS, |more| more + 1);
        let mut done = 0;
        while done < count {
            let runs = fit.min(MOST_RUNS).min(count - done);
            let first = at.wrapping_add(stride.wrapping_mul(done.cast_signed()));
            let before = if stride < 0 { step * (runs - 1) } else { 0 };
            let low = address(first.wrapping_sub(before.cast_signed()));
            let (pin, place) = self.pin(low, step * (runs - 1) + len, runs)?;
            let place = place.saturating_add(usize::try_from(before).unwrap_or(usize::MAX));
            if !each(pin, place, usize::try_from(runs).unwrap_or(0)) {
                return Err(not_within());
            }
            done += runs;
        }
        Ok(())
    }
}

/// Takes bytes out of memory.
struct Gather<'a, 'b> {
    reach: Reach<'a>,
    /// What is still to be filled.
    out: &'b mut [u8],
}

impl<'b> Gather<'_, 'b> {
    fn next(&mut self, len: u64) -> Result<&'b mut [u8]> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        match std::mem::take(&mut self.out).split_at_mut_checked(len) {
            Some((now, rest)) => {
                self.out = rest;
                Ok(now)
            }
            None => error(c::MPI_ERR_INTERN, "more bytes than were asked for"),
        }
    }
}

impl Visitor for Gather<'_, '_> {
    fn run(&mut self, at: i64, len: u64) -> Result<()> {
        let out = self.next(len)?;
        if len >= LONG {
            return self.reach.memory.read(address(at), out);
        }
        let (pin, place) = self.reach.pin(address(at), len, 1)?;
        if pin.get(place, out) { Ok(()) } else { Err(not_within()) }
    }

    fn strided(&mut self, at: i64, stride: i64, len: u64, count: u64) -> Result<()> {
        if len >= LONG {
            let place = |n: u64| at.wrapping_add(stride.wrapping_mul(n.cast_signed()));
            return (0..count).try_for_each(|n| self.run(place(n), len));
        }
        let mut out = self.next(len * count)?;
        let each = usize::try_from(len).unwrap_or(usize::MAX);
        let step = isize::try_from(stride).unwrap_or(0);
        self.reach.groups(at, stride, len, count, |pin, place, runs| {
            let Some((now, rest)) = std::mem::take(&mut out).split_at_mut_checked(runs * each)
            else {
                return false;
            };
            out = rest;
            pin.gather(place, step, each, now)
        })
    }
}

/// Puts bytes into memory.
struct Scatter<'a, 'b> {
    reach: Reach<'a>,
    /// What is still to be put.
    bytes: &'b [u8],
}

impl<'b> Scatter<'_, 'b> {
    fn next(&mut self, len: u64) -> Result<&'b [u8]> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        match self.bytes.split_at_checked(len) {
            Some((now, rest)) => {
                self.bytes = rest;
                Ok(now)
            }
            None => error(c::MPI_ERR_INTERN, "more bytes than were given"),
        }
    }
}

impl Visitor for Scatter<'_, '_> {
    fn run(&mut self, at: i64, len: u64) -> Result<()> {
        let bytes = self.next(len)?;
        if len >= LONG {
            return self.reach.memory.write(address(at), bytes);
        }
        let (pin, place) = self.reach.pin(address(at), len, 1)?;
        if pin.put(place, bytes) { Ok(()) } else { Err(not_within()) }
    }

    fn strided(&mut self, at: i64, stride: i64, len: u64, count: u64) -> Result<()> {
        if len >= LONG {
            let place = |n: u64| at.wrapping_add(stride.wrapping_mul(n.cast_signed()));
            return (0..count).try_for_each(|n| self.run(place(n), len));
        }
        let mut bytes = self.next(len * count)?;
        let each = usize::try_from(len).unwrap_or(usize::MAX);
        let step = isize::try_from(stride).unwrap_or(0);
        self.reach.groups(at, stride, len, count, |pin, place, runs| {
            let Some((now, rest)) = bytes.split_at_checked(runs * each) else { return false };
            bytes = rest;
            pin.scatter(place, step, each, now)
        })
    }
}
