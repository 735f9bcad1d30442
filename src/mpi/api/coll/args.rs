//! Arguments of collectives.

use std::sync::Arc;

use crate::mpi::api::types;
use crate::mpi::coll::{Root, Work};
use crate::mpi::comm::Comm;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::engine::Span;
use crate::mpi::error::{Result, error};
use crate::mpi::types::Datatype;

/// The communicator.
pub fn comm(cx: &mut Cx<'_>, args: &Args, at: usize) -> Result<Arc<Comm>> {
    cx.rank().comm(args.i32(at))
}

/// The same, of a collective that has no meaning between two groups.
pub fn intra(cx: &mut Cx<'_>, args: &Args, at: usize) -> Result<Arc<Comm>> {
    let comm = comm(cx, args, at)?;
    match comm.remote.is_some() {
        true => error(c::MPI_ERR_COMM, "this collective is not for intercommunicators"),
        false => Ok(comm),
    }
}

/// The root.
pub fn root(comm: &Comm, args: &Args, at: usize) -> Result<Root> {
    let rank = args.i32(at);
    match (rank, u32::try_from(rank)) {
        (c::MPI_ROOT, _) if comm.remote.is_some() => Ok(Root::Me),
        (c::MPI_PROC_NULL, _) if comm.remote.is_some() => Ok(Root::Aside),
        (_, Ok(root)) if root < comm.peers().size() => Ok(Root::At(root)),
        _ => {
            let size = comm.peers().size();
            error(c::MPI_ERR_ROOT, format!("{rank} is no root: ranks are below {size}"))
        }
    }
}

/// Whether the root is this rank of an intracommunicator, or its data goes to the remote group.
pub fn is_root(comm: &Comm, root: Root) -> bool {
    match root {
        Root::At(root) => comm.remote.is_none() && comm.rank == root,
        Root::Me => true,
        Root::Aside => false,
    }
}

/// What a rank aside does.
pub fn nothing(cx: &Cx<'_>) -> Work {
    let (memory, datatype) = (cx.memory().clone(), Datatype::byte());
    let buffer = Span { memory, at: 0, count: 0, datatype };
    Work::Bcast { root: Root::Aside, buffer }
}

/// Whether a buffer is `MPI_IN_PLACE`; an error between two groups.
pub fn in_place(comm: &Comm, args: &Args, at: usize) -> Result<bool> {
    let in_place = args.i32(at) == c::MPI_IN_PLACE;
    if in_place && comm.remote.is_some() {
        let why = "MPI_IN_PLACE has no meaning for intercommunicators";
        return error(c::MPI_ERR_BUFFER, why);
    }
    Ok(in_place)
}

/// Elements at an address: three arguments from this one on.
pub fn span(cx: &mut Cx<'_>, args: &Args, at: usize) -> Result<Span> {
    let datatype = types::of(cx, args.i32(at + 2))?;
    elements(cx, args.ptr(at), args.int(at + 1), datatype)
}

/// Elements at an address.
pub fn elements(cx: &Cx<'_>, at: u32, count: i64, datatype: Datatype) -> Result<Span> {
    let count = counted(count)?;
    usable(at, count, &datatype)?;
    Ok(Span { memory: cx.memory().clone(), at: u64::from(at), count, datatype })
}

/// A count.
pub fn counted(count: i64) -> Result<u64> {
    match u64::try_from(count) {
        Ok(count) => Ok(count),
        Err(_) => error(c::MPI_ERR_COUNT, format!("a count is {count}")),
    }
}

/// Refuses what cannot be a buffer.
fn usable(at: u32, count: u64, datatype: &Datatype) -> Result<()> {
    let absolute = datatype.named().is_none();
    if at == c::MPI_IN_PLACE.cast_unsigned() {
        return error(c::MPI_ERR_BUFFER, "MPI_IN_PLACE is not for this buffer");
    }
    if at == 0 && count > 0 && datatype.size() > 0 && !absolute {
        return error(c::MPI_ERR_BUFFER, "a buffer is NULL and its count is not 0");
    }
    Ok(())
}

/// Two buffers of a call must not be the same.
pub fn apart(args: &Args, one: usize, other: usize, count: u64) -> Result<()> {
    match args.ptr(one) == args.ptr(other) && args.ptr(one) != 0 && count > 0 {
        true => error(c::MPI_ERR_BUFFER, "both buffers are the same; MPI_IN_PLACE is for that"),
        false => Ok(()),
    }
}

/// Blocks of as many elements one after the other: a buffer, a count and a type.
pub fn blocks(cx: &mut Cx<'_>, args: &Args, at: usize, number: u32) -> Result<Vec<Span>> {
    let one = span(cx, args, at)?;
    let count = one.count.cast_signed();
    let step = one.datatype.extent().wrapping_mul(count);
    let block = |rank: u32| Span {
        at: one.at.wrapping_add_signed(step.wrapping_mul(i64::from(rank))),
        ..one.clone()
    };
    Ok((0..number).map(block).collect())
}

/// Blocks by arrays: a buffer, counts, displacements in extents, and a type.
pub fn blocks_v(cx: &mut Cx<'_>, args: &Args, at: usize, number: u32) -> Result<Vec<Span>> {
    let datatype = types::of(cx, args.i32(at + 3))?;
    let (counts, places) = arrays(cx, args, at, number)?;
    let extent = datatype.extent();
    let all = counts.into_iter().zip(places);
    all.map(|(count, place)| {
        block(cx, args.ptr(at), place.wrapping_mul(extent), count, datatype.clone())
    })
    .collect()
}

/// Blocks by arrays: a buffer, counts, displacements in bytes, and types.
pub fn blocks_w(cx: &mut Cx<'_>, args: &Args, at: usize, number: u32) -> Result<Vec<Span>> {
    let (counts, places) = arrays(cx, args, at, number)?;
    let handles = array(cx, args.ptr(at + 3), number, false)?;
    let mut all = Vec::with_capacity(handles.len());
    for ((count, place), handle) in counts.into_iter().zip(places).zip(handles) {
        let datatype = types::of(cx, i32::try_from(handle).unwrap_or(c::MPI_DATATYPE_NULL))?;
        all.push(block(cx, args.ptr(at), place, count, datatype)?);
    }
    Ok(all)
}

fn block(cx: &Cx<'_>, at: u32, place: i64, count: i64, datatype: Datatype) -> Result<Span> {
    let span = elements(cx, at, count, datatype)?;
    Ok(Span { at: span.at.wrapping_add_signed(place), ..span })
}

fn arrays(cx: &Cx<'_>, args: &Args, at: usize, number: u32) -> Result<(Vec<i64>, Vec<i64>)> {
    let counts = array(cx, args.ptr(at + 1), number, args.large)?;
    // Displacements are `int` or `MPI_Aint`, which are as wide.
    Ok((counts, array(cx, args.ptr(at + 2), number, false)?))
}

/// An array of numbers.
pub fn array(cx: &Cx<'_>, at: u32, number: u32, wide: bool) -> Result<Vec<i64>> {
    if at == 0 && number > 0 {
        return error(c::MPI_ERR_ARG, "an array of counts, displacements or types is NULL");
    }
    cx.memory().read_array(at, number as usize, wide)
}
