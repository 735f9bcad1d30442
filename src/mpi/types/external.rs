//! The format "external32" of the standard: big-endian, each type of one size on every machine.
//! Data is packed as it is and then changed number by number, as its signature says.

use super::signature::Signature;
use super::{Basic, Datatype};
use crate::mpi::constants as c;
use crate::mpi::error::{Result, error};
use crate::mpi::memory::Memory;

/// Bytes that are changed at once.
const CHUNK: u64 = 64 << 10;
/// Most runs of one type that are changed at once.
const RUNS: usize = 4096;

impl Datatype {
    /// Bytes of so many elements in external32.
    pub fn external_total(&self, count: u64) -> Result<u64> {
        Ok(self.all(count)?.external)
    }

    /// Packs elements to another place of the memory.
    pub fn pack_external(&self, memory: &Memory, at: u64, count: u64, to: u64) -> Result<()> {
        let (mut native, mut external) = (Vec::new(), Vec::new());
        let (mut skip, mut to) = (0, to);
        self.batches(count, |batch| {
            let sizes = resize(batch, &mut native, &mut external);
            self.pack(memory, at, count, skip, &mut native)?;
            let (mut from, mut into) = (native.as_slice(), external.as_mut_slice());
            for (basic, count) in batch {
                let (now, rest) = from.split_at(bytes(basic.size(), *count, from.len()));
                let len = bytes(basic.external(), *count, into.len());
                let (out, left) = std::mem::take(&mut into).split_at_mut(len);
                encode(*basic, now, out);
                (from, into) = (rest, left);
            }
            memory.write(to, &external)?;
            (skip, to) = (skip + sizes.0, to.saturating_add(sizes.1));
            Ok(())
        })
    }

    /// Unpacks elements from another place of the memory.
    pub fn unpack_external(&self, memory: &Memory, from: u64, at: u64, count: u64) -> Result<()> {
        let (mut native, mut external) = (Vec::new(), Vec::new());
        let (mut skip, mut source) = (0, from);
        self.batches(count, |batch| {
            let sizes = resize(batch, &mut native, &mut external);
            memory.read(source, &mut external)?;
            let (mut from, mut into) = (external.as_slice(), native.as_mut_slice());
            for (basic, count) in batch {
                let (now, rest) = from.split_at(bytes(basic.external(), *count, from.len()));
                let len = bytes(basic.size(), *count, into.len());
                let (out, left) = std::mem::take(&mut into).split_at_mut(len);
                decode(*basic, now, out);
                (from, into) = (rest, left);
            }
            self.unpack(memory, at, count, skip, &native)?;
            (skip, source) = (skip + sizes.0, source.saturating_add(sizes.1));
            Ok(())
        })
    }

    fn all(&self, count: u64) -> Result<Signature> {
        match self.map.signature.repeated(count) {
            Some(all) => Ok(all),
            None => error(c::MPI_ERR_COUNT, format!("{count} elements are too many")),
        }
    }

    /// Shows what elements are made of, pairs in parts, in batches.
    fn batches(
        &self,
        count: u64,
        mut each: impl FnMut(&[(Basic, u64)]) -> Result<()>,
    ) -> Result<()> {
        let (mut batch, mut room) = (Vec::new(), CHUNK);
        let mut add = |basic: Basic, count: u64| -> Result<()> {
            let mut left = count;
            while left > 0 {
                let now = left.min((room / basic.size()).max(1));
                batch.push((basic, now));
                left -= now;
                room = room.saturating_sub(now * basic.size());
                if room < 32 || batch.len() >= RUNS {
                    each(&batch)?;
                    batch.clear();
                    room = CHUNK;
                }
            }
            Ok(())
        };
        for (basic, count) in self.all(count)?.runs() {
            match basic.pair() {
                None => add(basic, count)?,
                Some((value, index)) => {
                    for _ in 0..count {
                        add(value, 1)?;
                        add(index, 1)?;
                    }
                }
            }
        }
        if batch.is_empty() { Ok(()) } else { each(&batch) }
    }
}

fn bytes(each: u64, count: u64, most: usize) -> usize {
    usize::try_from(each * count).unwrap_or(most).min(most)
}

/// Makes room for a batch in both forms; the sizes.
fn resize(batch: &[(Basic, u64)], native: &mut Vec<u8>, external: &mut Vec<u8>) -> (u64, u64) {
    let sizes = batch.iter().fold((0, 0), |sum, (basic, count)| {
        (sum.0 + basic.size() * count, sum.1 + basic.external() * count)
    });
    native.resize(usize::try_from(sizes.0).unwrap_or(0), 0);
    external.resize(usize::try_from(sizes.1).unwrap_or(0), 0);
    sizes
}

/// Bytes of one number, as it is and in external32.
fn widths(basic: Basic) -> (usize, usize) {
    let each = |size: u64| usize::try_from(size / basic.numbers()).unwrap_or(1).max(1);
    (each(basic.size()), each(basic.external()))
}

fn encode(basic: Basic, from: &[u8], into: &mut [u8]) {
    let (native, external) = widths(basic);
    if (native, external) == (1, 1) {
        return into.copy_from_slice(from);
    }
    for (from, into) in from.chunks_exact(native).zip(into.chunks_exact_mut(external)) {
        let negative = basic.widens() && from.last().is_some_and(|byte| *byte >= 0x80);
        into.fill(if negative { 0xff } else { 0 });
        into.iter_mut().rev().zip(from).for_each(|(to, byte)| *to = *byte);
    }
}

fn decode(basic: Basic, from: &[u8], into: &mut [u8]) {
    let (native, external) = widths(basic);
    if (native, external) == (1, 1) {
        return into.copy_from_slice(from);
    }
    for (from, into) in from.chunks_exact(external).zip(into.chunks_exact_mut(native)) {
        into.fill(0);
        into.iter_mut().zip(from.iter().rev()).for_each(|(to, byte)| *to = *byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(handle: i32, native: &[u8], external: &[u8]) {
        let basic = Basic::of(handle).unwrap();
        let mut out = vec![9; external.len()];
        encode(basic, native, &mut out);
        assert_eq!(out, external, "{}", basic.name());
        let mut back = vec![9; native.len()];
        decode(basic, external, &mut back);
        assert_eq!(back, native, "{}", basic.name());
    }

    #[test]
    fn numbers_are_big_endian_and_of_the_formats_sizes() {
        both(c::MPI_INT, &[1, 2, 3, 4, 5, 6, 7, 8], &[4, 3, 2, 1, 8, 7, 6, 5]);
        both(c::MPI_BYTE, &[1, 2, 3], &[1, 2, 3]);
        both(c::MPI_AINT, &[0xfe, 0xff, 0xff, 0xff], &[0xff, 255, 255, 255, 255, 255, 255, 0xfe]);
        both(c::MPI_AINT, &[2, 1, 0, 0x7f], &[0, 0, 0, 0, 0x7f, 0, 1, 2]);
        both(c::MPI_WCHAR, &[0x34, 0x12, 0, 0], &[0x12, 0x34]);
        both(c::MPI_C_FLOAT_COMPLEX, &[1, 2, 3, 4, 5, 6, 7, 8], &[4, 3, 2, 1, 8, 7, 6, 5]);
        let long: Vec<u8> = (0..16).collect();
        let back: Vec<u8> = (0..16).rev().collect();
        both(c::MPI_LONG_DOUBLE, &long, &back);
    }
}
