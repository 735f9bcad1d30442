//! What a communicator is, and its end.

use std::sync::Arc;

use super::attributes::{self, Object};
use super::out;
use crate::mpi::api::p2p;
use crate::mpi::comm::{Alike, Comm};
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::error::{Result, error};
use crate::mpi::exchange::{self, Circle};

pub fn rank(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let rank = cx.rank().comm(args.i32(0))?.rank;
    cx.memory().write_i32(out(args.ptr(1))?, rank.cast_signed())
}

pub fn size(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let size = cx.rank().comm(args.i32(0))?.group.size();
    cx.memory().write_i32(out(args.ptr(1))?, size.cast_signed())
}

pub fn remote_size(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    match &cx.rank().comm(args.i32(0))?.remote {
        Some(remote) => cx.memory().write_i32(out(args.ptr(1))?, remote.size().cast_signed()),
        None => error(c::MPI_ERR_COMM, "the communicator is no intercommunicator"),
    }
}

pub fn test_inter(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let inter = cx.rank().comm(args.i32(0))?.remote.is_some();
    cx.memory().write_i32(out(args.ptr(1))?, inter.into())
}

pub fn compare(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (one, other) = (cx.rank().comm(args.i32(0))?, cx.rank().comm(args.i32(1))?);
    let result = match one.compare(&other) {
        Alike::Identical => c::MPI_IDENT,
        Alike::Congruent => c::MPI_CONGRUENT,
        Alike::Similar => c::MPI_SIMILAR,
        Alike::Unequal => c::MPI_UNEQUAL,
    };
    cx.memory().write_i32(out(args.ptr(2))?, result)
}

/// The communicator that a call ends, and its handle.
fn ending(cx: &mut Cx<'_>, at: u32) -> Result<(Arc<Comm>, i32)> {
    let handle = cx.memory().read_i32(out(at)?)?;
    if matches!(handle, c::MPI_COMM_WORLD | c::MPI_COMM_SELF) {
        return error(c::MPI_ERR_COMM, "MPI_COMM_WORLD and MPI_COMM_SELF cannot be freed");
    }
    Ok((cx.rank().comm(handle)?, handle))
}

/// What is under way with it goes on: it has all that it needs.
pub async fn free(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (comm, handle) = ending(cx, args.ptr(0))?;
    let context = comm.context;
    attributes::delete_all(cx, &Object::Comm(comm, handle)).await?;
    remove(cx, args.ptr(0), handle, context)
}

/// All have come to it, so nobody begins anything with it any more.
pub async fn disconnect(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (comm, handle) = ending(cx, args.ptr(0))?;
    let context = comm.context;
    attributes::delete_all(cx, &Object::Comm(comm.clone(), handle)).await?;
    let circle = Circle::of(&cx.rank().endpoint, &comm);
    cx.wait(exchange::round(circle, comm, Ok(Default::default()))).await?;
    remove(cx, args.ptr(0), handle, context)
}

fn remove(cx: &mut Cx<'_>, at: u32, handle: i32, context: u64) -> Result<()> {
    let rank = cx.rank();
    rank.comms.remove(handle);
    rank.p2p.release(p2p::Owner::Comm(context));
    rank.endpoint.forgets_members(context);
    cx.memory().write_i32(at, c::MPI_COMM_NULL)
}
