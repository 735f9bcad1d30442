//! The constructors.

use super::map::{Block, Joining, Map};
use super::{Basic, Budget, Datatype, Hold, Inner, MAX_DEPTH, MAX_NUMBERS, Recipe};
use crate::mpi::constants as c;
use crate::mpi::error::{Error, Result, error};

/// What every type costs beside its numbers.
const OWN: u64 = 16;

impl Datatype {
    /// A new type of these, by a call with `_c` if `large`.
    pub fn make(recipe: Recipe, parts: Vec<Self>, large: bool, budget: &Budget) -> Result<Self> {
        let depth = 1 + parts.iter().map(|part| part.depth).max().unwrap_or(0);
        if depth > MAX_DEPTH {
            let why = format!("types are made of types at most {MAX_DEPTH} times");
            return error(c::MPI_ERR_NO_MEM, why);
        }
        let cost = OWN + recipe.len() as u64 + parts.len() as u64;
        let Some(lease) = budget.take(cost) else {
            let why = format!("the types of a rank keep at most {MAX_NUMBERS} numbers");
            return error(c::MPI_ERR_NO_MEM, why);
        };
        let map = map(&recipe, &parts)?;
        let (size, extent) = (map.signature.bytes, map.extent());
        let _lease = lease;
        let made = Inner { map, size, extent, named: None, recipe, parts, large, depth, _lease };
        Ok(Self(Hold::Made(made.into())))
    }
}

fn map(recipe: &Recipe, parts: &[Datatype]) -> Result<Map> {
    let old = || match parts.first() {
        Some(part) => Ok(&part.map),
        None => error(c::MPI_ERR_TYPE, "made of no type"),
    };
    match recipe {
        Recipe::Named | Recipe::Dup => old().cloned(),
        Recipe::Contiguous { count: n } => old()?.repeated(count(*n)?, old()?.extent()),
        Recipe::Vector { count: n, length, stride } => {
            let stride = old()?.extent().checked_mul(*stride).ok_or_else(too_far)?;
            vector(old()?, *n, *length, stride)
        }
        Recipe::Hvector { count: n, length, stride } => vector(old()?, *n, *length, *stride),
        Recipe::Indexed { lengths, at } => blocks(old()?, lengths, at, old()?.extent()),
        Recipe::Hindexed { lengths, at } => blocks(old()?, lengths, at, 1),
        Recipe::IndexedBlock { length, at } => equal_blocks(old()?, *length, at, old()?.extent()),
        Recipe::HindexedBlock { length, at } => equal_blocks(old()?, *length, at, 1),
        Recipe::Struct { lengths, at } => {
            let mut all = Joining::default();
            for ((part, n), at) in parts.iter().zip(lengths).zip(at) {
                all.push(&part.map, &Block::of(&part.map, length(*n)?)?, *at)?;
            }
            Ok(all.finish())
        }
        Recipe::Subarray(array) => array.map(old()?),
        Recipe::Darray(array) => array.map(old()?),
        Recipe::Resized { lb, extent } => old()?.resized(*lb, *extent),
        Recipe::F90Real { .. } | Recipe::F90Complex { .. } | Recipe::F90Integer { .. } => {
            match find_f90(recipe) {
                Some(basic) => Ok(Map::basic(basic)),
                None => error(c::MPI_ERR_ARG, "no type of Fortran has that precision and range"),
            }
        }
    }
}

fn vector(old: &Map, n: i64, blocklength: i64, stride: i64) -> Result<Map> {
    let block = old.repeated(length(blocklength)?, old.extent())?;
    block.repeated(count(n)?, stride)
}

fn blocks(old: &Map, lengths: &[i64], at: &[i64], unit: i64) -> Result<Map> {
    let mut all = Joining::default();
    let mut block = Block::of(old, 0)?;
    for (n, at) in lengths.iter().zip(at) {
        let n = length(*n)?;
        // Equal ones that follow one another are kept once.
        if block.count != n {
            block = Block::of(old, n)?;
        }
        all.push(old, &block, at.checked_mul(unit).ok_or_else(too_far)?)?;
    }
    Ok(all.finish())
}

fn equal_blocks(old: &Map, blocklength: i64, at: &[i64], unit: i64) -> Result<Map> {
    let mut all = Joining::default();
    let block = Block::of(old, length(blocklength)?)?;
    for at in at {
        all.push(old, &block, at.checked_mul(unit).ok_or_else(too_far)?)?;
    }
    Ok(all.finish())
}

fn count(n: i64) -> Result<u64> {
    u64::try_from(n).map_err(|_| Error::new(c::MPI_ERR_COUNT, format!("{n} is no count")))
}

fn length(n: i64) -> Result<u64> {
    u64::try_from(n).map_err(|_| Error::arg(format!("{n} is no length of a block")))
}

fn too_far() -> Error {
    Error::arg("a displacement is too large")
}

/// The predefined type that has the precision and range asked for, as decimal digits and exponent;
/// `MPI_UNDEFINED` asks for nothing.
pub fn find_f90(recipe: &Recipe) -> Option<Basic> {
    let within = |asked: i32, most: i32| asked == c::MPI_UNDEFINED || (0..=most).contains(&asked);
    let real = |p: i32, r: i32, handles: [i32; 3]| {
        let asked = p != c::MPI_UNDEFINED || r != c::MPI_UNDEFINED;
        let sizes = [(6, 37), (15, 307), (33, 4931)].into_iter().zip(handles);
        let mut fit = sizes.filter(|((digits, range), _)| within(p, *digits) && within(r, *range));
        fit.next().filter(|_| asked).and_then(|(_, handle)| Basic::of(handle))
    };
    match *recipe {
        Recipe::F90Real { p, r } => real(p, r, [c::MPI_REAL4, c::MPI_REAL8, c::MPI_REAL16]),
        Recipe::F90Complex { p, r } => {
            real(p, r, [c::MPI_COMPLEX8, c::MPI_COMPLEX16, c::MPI_COMPLEX32])
        }
        Recipe::F90Integer { r } => {
            let sizes = [
                (2, c::MPI_INTEGER1),
                (4, c::MPI_INTEGER2),
                (9, c::MPI_INTEGER4),
                (18, c::MPI_INTEGER8),
                (38, c::MPI_INTEGER16),
            ];
            let fit = sizes.into_iter().find(|(digits, _)| (0..=*digits).contains(&r));
            fit.and_then(|(_, handle)| Basic::of(handle))
        }
        _ => None,
    }
}
