//! Collectives among the neighbours of a topology.

use std::sync::Arc;

use super::args::{blocks, blocks_v, blocks_w, intra, span};
use crate::mpi::coll::Work;
use crate::mpi::comm::Comm;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::engine::Span;
use crate::mpi::error::{Result, error};
use crate::mpi::topology::Neighbours;

type Prepared = Result<(Arc<Comm>, Work)>;

/// Reads the blocks that begin at an argument.
type Blocks = fn(&mut Cx<'_>, &Args, usize, u32) -> Result<Vec<Span>>;

/// The neighbours of a rank, in the order of its topology; `MPI_PROC_NULL` is none. And whether
/// they are those of a grid, two for each dimension.
fn neighbours(comm: &Comm) -> Result<(Neighbours, bool)> {
    let grid = comm.topology.as_ref().is_some_and(|topology| topology.kind() == c::MPI_CART);
    match comm.neighbours() {
        Some(neighbours) => Ok((neighbours, grid)),
        None => error(c::MPI_ERR_TOPOLOGY, "the communicator has no topology"),
    }
}

/// Pairs blocks with the ranks they are for. In a grid what goes down comes from above: where both
/// are the same rank, its messages match in that order.
fn paired(ranks: &[i32], blocks: Vec<Span>, crossed: bool) -> Vec<(u32, Span)> {
    let mut all: Vec<_> = ranks.iter().copied().zip(blocks).collect();
    if crossed {
        all.chunks_mut(2).for_each(<[_]>::reverse);
    }
    let some = all.into_iter().filter_map(|(rank, span)| Some((u32::try_from(rank).ok()?, span)));
    some.collect()
}

fn count(ranks: &[i32]) -> u32 {
    u32::try_from(ranks.len()).unwrap_or(u32::MAX)
}

pub fn allgather(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    gather_as(cx, args, blocks, 6)
}

pub fn allgatherv(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    gather_as(cx, args, blocks_v, 7)
}

fn gather_as(cx: &mut Cx<'_>, args: &Args, read: Blocks, at: usize) -> Prepared {
    let comm = intra(cx, args, at)?;
    let (of, grid) = neighbours(&comm)?;
    let mine = span(cx, args, 0)?;
    let receive = read(cx, args, 3, count(&of.sources))?;
    let send = paired(&of.destinations, vec![mine; of.destinations.len()], false);
    let receive = paired(&of.sources, receive, grid);
    Ok((comm, Work::Neighbours { send, receive }))
}

pub fn alltoall(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    alltoall_as(cx, args, blocks, [3, 6])
}

pub fn alltoallv(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    alltoall_as(cx, args, blocks_v, [4, 8])
}

pub fn alltoallw(cx: &mut Cx<'_>, args: &Args) -> Prepared {
    alltoall_as(cx, args, blocks_w, [4, 8])
}

fn alltoall_as(cx: &mut Cx<'_>, args: &Args, read: Blocks, [to, at]: [usize; 2]) -> Prepared {
    let comm = intra(cx, args, at)?;
    let (of, grid) = neighbours(&comm)?;
    let send = read(cx, args, 0, count(&of.destinations))?;
    let receive = read(cx, args, to, count(&of.sources))?;
    let send = paired(&of.destinations, send, false);
    let receive = paired(&of.sources, receive, grid);
    Ok((comm, Work::Neighbours { send, receive }))
}
