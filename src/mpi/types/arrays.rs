//! Parts of arrays of several dimensions: what a process has of a distributed array, and a box
//! within an array.

use super::map::{Block, Joining, Map};
use super::recipe::{Darray, Subarray};
use crate::mpi::constants as c;
use crate::mpi::error::{Error, Result, error};

/// What is taken of one dimension, in elements of it: blocks of `length` from `start`, `full` of
/// them at `stride`, and one shorter block behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Taken {
    start: i64,
    length: i64,
    full: i64,
    stride: i64,
    /// Length of the shorter one.
    rest: i64,
}

impl Subarray {
    /// The type of such a box of elements.
    pub fn map(&self, old: &Map) -> Result<Map> {
        if self.sizes.is_empty() {
            return error(c::MPI_ERR_ARG, "an array has at least one dimension");
        }
        let mut taken = Vec::with_capacity(self.sizes.len());
        for ((size, subsize), start) in self.sizes.iter().zip(&self.subsizes).zip(&self.starts) {
            if *size < 1 || !(1..=*size).contains(subsize) {
                let why = format!("{subsize} elements of {size} are not a part");
                return error(c::MPI_ERR_ARG, why);
            }
            if !(0..=size - subsize).contains(start) {
                let why = format!("{subsize} elements from {start} are not within {size}");
                return error(c::MPI_ERR_ARG, why);
            }
            taken.push(Taken { start: *start, length: *subsize, full: 1, ..Taken::default() });
        }
        array(old, &self.sizes, &taken, self.order)
    }
}

impl Darray {
    /// The type of what the process has.
    pub fn map(&self, old: &Map) -> Result<Map> {
        if self.gsizes.is_empty() {
            return error(c::MPI_ERR_ARG, "an array has at least one dimension");
        }
        let product = self.psizes.iter().try_fold(1_i64, |all, each| match each {
            1.. => all.checked_mul(*each),
            _ => None,
        });
        if self.size < 1 || product != Some(i64::from(self.size)) {
            let why = format!("the grid of processes is not of {} processes", self.size);
            return error(c::MPI_ERR_ARG, why);
        }
        if !(0..self.size).contains(&self.rank) {
            let why = format!("rank {} is not in 0..{}", self.rank, self.size);
            return error(c::MPI_ERR_ARG, why);
        }
        // The grid of processes is always in C's order.
        let (mut rank, mut below) = (i64::from(self.rank), i64::from(self.size));
        let mut taken = Vec::with_capacity(self.gsizes.len());
        for (dimension, processes) in self.psizes.iter().enumerate() {
            below /= processes;
            taken.push(self.taken(dimension, rank / below, *processes)?);
            rank %= below;
        }
        array(old, &self.gsizes, &taken, self.order)
    }

    fn taken(&self, dimension: usize, place: i64, processes: i64) -> Result<Taken> {
        let of = |array: &[i64]| array.get(dimension).copied().unwrap_or(0);
        let (size, darg) = (of(&self.gsizes), of(&self.dargs));
        if size < 1 {
            return error(c::MPI_ERR_ARG, format!("a dimension of {size} elements"));
        }
        let default = darg == i64::from(c::MPI_DISTRIBUTE_DFLT_DARG);
        let kind = i32::try_from(of(&self.distribs)).unwrap_or(0);
        match kind {
            c::MPI_DISTRIBUTE_NONE if processes == 1 => {
                Ok(Taken { length: size, full: 1, ..Taken::default() })
            }
            c::MPI_DISTRIBUTE_NONE => {
                error(c::MPI_ERR_ARG, "a dimension that is not distributed has one process")
            }
            c::MPI_DISTRIBUTE_BLOCK => {
                let least = size / processes + i64::from(size % processes != 0);
                let length = if default { least } else { darg };
                if length < least {
                    let why = format!("blocks of {length} do not cover {size} elements");
                    return error(c::MPI_ERR_ARG, why);
                }
                let start = length.checked_mul(place).unwrap_or(size).min(size);
                let length = length.min(size - start);
                Ok(Taken { start, length, full: 1, ..Taken::default() })
            }
            c::MPI_DISTRIBUTE_CYCLIC => {
                let length = if default { 1 } else { darg };
                if length < 1 {
                    return error(c::MPI_ERR_ARG, format!("blocks of {length} elements"));
                }
                cyclic(size, length, place, processes).ok_or_else(|| Error::arg("too large"))
            }
            _ => error(c::MPI_ERR_ARG, format!("{kind} is no distribution")),
        }
    }
}

fn cyclic(size: i64, length: i64, place: i64, processes: i64) -> Option<Taken> {
    let (start, stride) = (length.checked_mul(place)?, length.checked_mul(processes)?);
    if start >= size {
        return Some(Taken::default());
    }
    let full = match size - start - length {
        room @ 0.. => room / stride + 1,
        _ => 0,
    };
    let next = start.checked_add(full.checked_mul(stride)?)?;
    let rest = (size - next).clamp(0, length);
    Some(Taken { start, length, full, stride, rest })
}

/// What is taken of an array of such sizes.
fn array(old: &Map, sizes: &[i64], taken: &[Taken], order: i32) -> Result<Map> {
    let too_large = || Error::arg("the array is too large");
    let mut dimensions: Vec<(i64, Taken)> =
        sizes.iter().copied().zip(taken.iter().copied()).collect();
    match order {
        c::MPI_ORDER_C => dimensions.reverse(),
        c::MPI_ORDER_FORTRAN => {}
        _ => return error(c::MPI_ERR_ARG, format!("{order} is no order of an array")),
    }
    let mut map = old.clone();
    let mut pitch = old.extent();
    for (size, taken) in dimensions {
        let at = |place: i64| pitch.checked_mul(place).ok_or_else(too_large);
        let run = |length: i64| map.repeated(u64::try_from(length).unwrap_or(0), pitch);
        let full = run(taken.length)?;
        let full = full.repeated(u64::try_from(taken.full).unwrap_or(0), at(taken.stride)?)?;
        let mut all = Joining::default();
        all.push(&full, &Block::of(&full, 1)?, at(taken.start)?)?;
        if taken.rest > 0 {
            let rest = run(taken.rest)?;
            let behind = taken.full.checked_mul(taken.stride).ok_or_else(too_large)?;
            all.push(&rest, &Block::of(&rest, 1)?, at(taken.start + behind)?)?;
        }
        pitch = at(size)?;
        map = all.finish();
    }
    map.resized(0, pitch)
}
