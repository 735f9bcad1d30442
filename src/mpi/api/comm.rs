//! Groups, communicators, attributes, topologies.

use crate::mpi::cx::{Args, Cx};
use crate::mpi::dispatch::{Handler, Table};
use crate::mpi::error::Result;

/// The calls.
pub const TABLE: Table =
    &[("MPI_Comm_rank", Handler::Now(rank)), ("MPI_Comm_size", Handler::Now(size))];

/// What this section keeps of a rank.
#[derive(Debug, Default)]
pub struct Comms {}

/// Before MPI ends: the attributes of `MPI_COMM_SELF` are deleted.
pub async fn finalize(_cx: &mut Cx<'_>) -> Result<()> {
    Ok(())
}

fn rank(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let rank = cx.rank().comm(args.i32(0))?.rank;
    cx.memory().write_i32(args.ptr(1), rank.cast_signed())
}

fn size(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let size = cx.rank().comm(args.i32(0))?.group.size();
    cx.memory().write_i32(args.ptr(1), size.cast_signed())
}
