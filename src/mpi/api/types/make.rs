//! The constructors.

use super::{TypeEntry, put};
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::error::{Error, Result, error};
use crate::mpi::types::{Basic, Darray, Datatype, MAX_NUMBERS, Recipe, Subarray, find_f90};

pub(super) fn contiguous(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    make(cx, args, Recipe::Contiguous { count: count(args.int(0))? }, 1)
}

pub(super) fn vector(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (count, length, stride) = (count(args.int(0))?, args.int(1), args.int(2));
    make(cx, args, Recipe::Vector { count, length, stride }, 3)
}

pub(super) fn hvector(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (count, length, stride) = (count(args.int(0))?, args.int(1), args.int(2));
    make(cx, args, Recipe::Hvector { count, length, stride }, 3)
}

pub(super) fn indexed(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (lengths, at) = (counts(cx, args, 1, 0)?, counts(cx, args, 2, 0)?);
    make(cx, args, Recipe::Indexed { lengths, at }, 3)
}

pub(super) fn hindexed(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (lengths, at) = (counts(cx, args, 1, 0)?, counts(cx, args, 2, 0)?);
    make(cx, args, Recipe::Hindexed { lengths, at }, 3)
}

pub(super) fn indexed_block(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (length, at) = (args.int(1), counts(cx, args, 2, 0)?);
    make(cx, args, Recipe::IndexedBlock { length, at }, 3)
}

pub(super) fn hindexed_block(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (length, at) = (args.int(1), counts(cx, args, 2, 0)?);
    make(cx, args, Recipe::HindexedBlock { length, at }, 3)
}

pub(super) fn structure(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (lengths, at) = (counts(cx, args, 1, 0)?, counts(cx, args, 2, 0)?);
    let handles = array(cx, args.ptr(3), args.int(0), false)?;
    let of = |handle: &i64| super::any(cx, i32::try_from(*handle).unwrap_or(0));
    let parts = handles.iter().map(of).collect::<Result<Vec<_>>>()?;
    insert(cx, args, Recipe::Struct { lengths, at }, parts, 4)
}

pub(super) fn subarray(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let sizes = counts(cx, args, 1, 0)?;
    let (subsizes, starts) = (counts(cx, args, 2, 0)?, counts(cx, args, 3, 0)?);
    let order = args.i32(4);
    make(cx, args, Recipe::Subarray(Subarray { sizes, subsizes, starts, order }), 5)
}

pub(super) fn darray(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let dimensions = args.int(2);
    let array = Darray {
        size: args.i32(0),
        rank: args.i32(1),
        gsizes: counts(cx, args, 3, 2)?,
        distribs: array(cx, args.ptr(4), dimensions, false)?,
        dargs: array(cx, args.ptr(5), dimensions, false)?,
        psizes: array(cx, args.ptr(6), dimensions, false)?,
        order: args.i32(7),
    };
    make(cx, args, Recipe::Darray(array), 8)
}

pub(super) fn resized(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let part = super::any(cx, args.i32(0))?;
    let recipe = Recipe::Resized { lb: args.int(1), extent: args.int(2) };
    insert(cx, args, recipe, vec![part], 3)
}

pub(super) fn f90_real(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    f90(cx, Recipe::F90Real { p: args.i32(0), r: args.i32(1) }, args.ptr(2))
}

pub(super) fn f90_complex(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    f90(cx, Recipe::F90Complex { p: args.i32(0), r: args.i32(1) }, args.ptr(2))
}

pub(super) fn f90_integer(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    f90(cx, Recipe::F90Integer { r: args.i32(0) }, args.ptr(1))
}

/// Such a type is there once for the same arguments, and stays.
fn f90(cx: &mut Cx<'_>, recipe: Recipe, at: u32) -> Result<()> {
    let key = match recipe {
        Recipe::F90Real { p, r } | Recipe::F90Complex { p, r } => (recipe.combiner(), p, r),
        Recipe::F90Integer { r } => (recipe.combiner(), 0, r),
        _ => return error(c::MPI_ERR_INTERN, "no type of Fortran"),
    };
    if find_f90(&recipe).is_none() {
        return error(c::MPI_ERR_ARG, "no type of Fortran has that precision and range");
    }
    let types = &mut cx.rank().types;
    let handle = match types.f90.get(&key) {
        Some(handle) => *handle,
        None => {
            let datatype = Datatype::make(recipe, Vec::new(), false, &types.budget)?;
            let entry = TypeEntry { permanent: true, ..TypeEntry::new(datatype, true) };
            let handle = types.insert(entry)?;
            types.f90.insert(key, handle);
            handle
        }
    };
    put(cx, at, i64::from(handle), false)
}

pub(super) fn match_size(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let handles: &[i32] = match args.i32(0) {
        c::MPI_TYPECLASS_INTEGER => {
            &[c::MPI_INTEGER1, c::MPI_INTEGER2, c::MPI_INTEGER4, c::MPI_INTEGER8, c::MPI_INTEGER16]
        }
        c::MPI_TYPECLASS_REAL => &[c::MPI_REAL2, c::MPI_REAL4, c::MPI_REAL8, c::MPI_REAL16],
        c::MPI_TYPECLASS_COMPLEX => {
            &[c::MPI_COMPLEX4, c::MPI_COMPLEX8, c::MPI_COMPLEX16, c::MPI_COMPLEX32]
        }
        class => return error(c::MPI_ERR_ARG, format!("{class} is no class of types")),
    };
    let size = u64::try_from(args.int(1)).ok();
    let fits = |handle: &&i32| Basic::of(**handle).map(Basic::size) == size;
    match handles.iter().find(fits) {
        Some(handle) => put(cx, args.ptr(2), i64::from(*handle), false),
        None => error(c::MPI_ERR_ARG, format!("no such type has {} bytes", args.int(1))),
    }
}

pub(super) fn value_index(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (value, index) = (super::any(cx, args.i32(0))?, super::any(cx, args.i32(1))?);
    let pair = value.named().zip(index.named()).and_then(|(v, i)| Basic::pair_of(v, i));
    let handle = pair.map_or(c::MPI_DATATYPE_NULL, Basic::handle);
    put(cx, args.ptr(2), i64::from(handle), false)
}

/// Makes a type of the one whose handle is the argument at `old`; the one behind it says where the
/// new handle goes.
fn make(cx: &mut Cx<'_>, args: &Args, recipe: Recipe, old: usize) -> Result<()> {
    let part = super::any(cx, args.i32(old))?;
    insert(cx, args, recipe, vec![part], old + 1)
}

fn insert(
    cx: &mut Cx<'_>,
    args: &Args,
    recipe: Recipe,
    parts: Vec<Datatype>,
    new: usize,
) -> Result<()> {
    let types = &mut cx.rank().types;
    let datatype = Datatype::make(recipe, parts, args.large, &types.budget)?;
    let handle = types.insert(TypeEntry::new(datatype, false))?;
    put(cx, args.ptr(new), i64::from(handle), false)
}

fn count(count: i64) -> Result<i64> {
    match count {
        0.. => Ok(count),
        _ => error(c::MPI_ERR_COUNT, format!("{count} is no count")),
    }
}

/// An array of counts, as many as the argument at `many` says; wide ones in a call with `_c`.
fn counts(cx: &Cx<'_>, args: &Args, at: usize, many: usize) -> Result<Vec<i64>> {
    array(cx, args.ptr(at), args.int(many), args.large)
}

fn array(cx: &Cx<'_>, at: u32, many: i64, wide: bool) -> Result<Vec<i64>> {
    let many = count(many)?;
    match usize::try_from(many) {
        Ok(0) => Ok(Vec::new()),
        // More can never become a type: no memory is taken for it.
        Ok(many) if many as u64 <= MAX_NUMBERS => match cx.memory().read_array(at, many, wide) {
            Err(Error::Mpi(_, why)) => error(c::MPI_ERR_ARG, format!("an array: {why}")),
            read => read,
        },
        _ => error(c::MPI_ERR_NO_MEM, format!("at most {MAX_NUMBERS} blocks are kept, not {many}")),
    }
}
