//! Graphs that every rank knows whole.

use std::sync::Arc;

use super::{begin, count, give, intra, ints, laid_out, other_topology, out, rank_in, write_ints};
use crate::mpi::comm::Comm;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::error::{Error, Result};
use crate::mpi::topology::{Graph, Topology};

/// Most edges of a graph, as one rank gives them.
pub const MOST_EDGES: usize = 1 << 24;

/// The graph of a communicator.
fn of(cx: &mut Cx<'_>, handle: i32) -> Result<(Arc<Comm>, Arc<Topology>)> {
    let comm = cx.rank().comm(handle)?;
    match &comm.topology {
        Some(topology) if matches!(**topology, Topology::Graph(_)) => {
            let topology = topology.clone();
            Ok((comm, topology))
        }
        _ => other_topology("graph"),
    }
}

fn graph(topology: &Topology) -> Result<&Graph> {
    match topology {
        Topology::Graph(graph) => Ok(graph),
        _ => other_topology("graph"),
    }
}

/// The graph that a call asks for.
fn asked(cx: &Cx<'_>, args: &Args, comm: &Comm) -> Result<Graph> {
    let size = comm.group.members().len();
    let nodes = count(args.int(1), size, c::MPI_ERR_ARG, "nodes of a graph")?;
    let (mut index, mut before) = (Vec::with_capacity(nodes), 0);
    for end in ints(cx, args.ptr(2), nodes)? {
        if end < before {
            return Err(Error::arg(format!("the index of a graph goes from {before} to {end}")));
        }
        before = end;
        let end = count(end, MOST_EDGES, c::MPI_ERR_ARG, "edges of a graph")?;
        index.push(u32::try_from(end).unwrap_or(0));
    }
    let edges = index.last().copied().unwrap_or(0) as usize;
    let node = |edge: i64| match i32::try_from(edge) {
        Ok(node) if usize::try_from(node).is_ok_and(|node| node < nodes) => Ok(node),
        _ => Err(Error::arg(format!("an edge goes to {edge}; the graph has {nodes} nodes"))),
    };
    let edges = ints(cx, args.ptr(3), edges)?.into_iter().map(node).collect::<Result<_>>()?;
    Ok(Graph { index, edges })
}

pub async fn create(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = intra(cx, args.i32(0))?;
    begin(cx, args.ptr(5))?;
    let graph = asked(cx, args, &comm)?;
    let size = u32::try_from(graph.index.len()).unwrap_or(0);
    let made = laid_out(cx, comm, size, Topology::Graph(graph)).await?;
    give(cx, args.ptr(5), made)
}

pub fn map(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = intra(cx, args.i32(0))?;
    let nodes = asked(cx, args, &comm)?.index.len();
    let rank =
        if (comm.rank as usize) < nodes { comm.rank.cast_signed() } else { c::MPI_UNDEFINED };
    cx.memory().write_i32(out(args.ptr(4))?, rank)
}

pub fn dims_get(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (_, topology) = of(cx, args.i32(0))?;
    let graph = graph(&topology)?;
    let len = |len: usize| i32::try_from(len).unwrap_or(i32::MAX);
    cx.memory().write_i32(out(args.ptr(1))?, len(graph.index.len()))?;
    cx.memory().write_i32(out(args.ptr(2))?, len(graph.edges.len()))
}

/// As much as there is room for.
pub fn get(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (_, topology) = of(cx, args.i32(0))?;
    let graph = graph(&topology)?;
    let nodes = count(args.int(1), usize::MAX, c::MPI_ERR_ARG, "nodes")?;
    let edges = count(args.int(2), usize::MAX, c::MPI_ERR_ARG, "edges")?;
    write_ints(cx, args.ptr(3), graph.index.iter().take(nodes).map(|end| end.cast_signed()))?;
    write_ints(cx, args.ptr(4), graph.edges.iter().take(edges).copied())
}

pub fn neighbours_count(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (comm, topology) = of(cx, args.i32(0))?;
    let rank = rank_in(&comm, args.int(1))?;
    let count = graph(&topology)?.neighbours(rank).len();
    cx.memory().write_i32(out(args.ptr(2))?, i32::try_from(count).unwrap_or(i32::MAX))
}

pub fn neighbours(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (comm, topology) = of(cx, args.i32(0))?;
    let rank = rank_in(&comm, args.int(1))?;
    let room = count(args.int(2), usize::MAX, c::MPI_ERR_ARG, "neighbours")?;
    write_ints(cx, args.ptr(3), graph(&topology)?.neighbours(rank).iter().take(room).copied())
}
