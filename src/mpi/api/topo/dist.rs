//! Graphs of which every rank knows its own edges.

use bytes::{BufMut, Bytes};

use super::graph::MOST_EDGES;
use super::{begin, count, give, intra, ints, laid_out, other_topology, out, rank_in, write_ints};
use crate::mpi::comm::Comm;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::error::{Error, Result};
use crate::mpi::exchange::{Circle, strange};
use crate::mpi::topology::{DistGraph, Topology};

/// An edge: from, to, weight.
type Edge = [i32; 3];

/// Whether an address stands for "no weights at all".
fn unweighted(at: u32) -> bool {
    at == c::MPI_UNWEIGHTED.cast_unsigned()
}

/// So many weights.
fn weights(cx: &Cx<'_>, at: u32, len: usize) -> Result<Vec<i32>> {
    if len > 0 && at == c::MPI_WEIGHTS_EMPTY.cast_unsigned() {
        return Err(Error::arg("MPI_WEIGHTS_EMPTY is given for edges that there are"));
    }
    let weight = |weight: i64| match i32::try_from(weight) {
        Ok(weight) if weight >= 0 => Ok(weight),
        _ => Err(Error::arg(format!("the weight {weight} of an edge is negative"))),
    };
    ints(cx, at, len)?.into_iter().map(weight).collect()
}

/// So many ranks.
fn ranks(cx: &Cx<'_>, comm: &Comm, at: u32, len: usize) -> Result<Vec<i32>> {
    let rank = |rank: i64| rank_in(comm, rank).map(u32::cast_signed);
    ints(cx, at, len)?.into_iter().map(rank).collect()
}

pub async fn create_adjacent(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = intra(cx, args.i32(0))?;
    begin(cx, args.ptr(9))?;
    let edges = |at| count(args.int(at), MOST_EDGES, c::MPI_ERR_ARG, "edges");
    let (into, from) = (edges(1)?, edges(4)?);
    let sources = ranks(cx, &comm, args.ptr(2), into)?;
    let destinations = ranks(cx, &comm, args.ptr(5), from)?;
    // Both say the same, or it is an error of the program's.
    let weights = match unweighted(args.ptr(3)) || unweighted(args.ptr(6)) {
        true => None,
        false => Some((weights(cx, args.ptr(3), into)?, weights(cx, args.ptr(6), from)?)),
    };
    super::hints(cx, args.i32(7))?;
    let graph = DistGraph { sources, destinations, weights };
    let size = comm.group.size();
    let made = laid_out(cx, comm, size, Topology::Dist(graph)).await?;
    give(cx, args.ptr(9), made)
}

/// The edges that this rank tells of.
fn told(cx: &Cx<'_>, args: &Args, comm: &Comm) -> Result<Vec<Edge>> {
    let nodes = count(args.int(1), MOST_EDGES, c::MPI_ERR_ARG, "nodes")?;
    let sources = ranks(cx, comm, args.ptr(2), nodes)?;
    let (mut degrees, mut total) = (Vec::with_capacity(nodes), 0);
    for degree in ints(cx, args.ptr(3), nodes)? {
        let degree = count(degree, MOST_EDGES - total, c::MPI_ERR_ARG, "edges")?;
        total += degree;
        degrees.push(degree);
    }
    let destinations = ranks(cx, comm, args.ptr(4), total)?;
    let weights = match unweighted(args.ptr(5)) {
        true => vec![0; total],
        false => weights(cx, args.ptr(5), total)?,
    };
    let from =
        sources.iter().zip(degrees).flat_map(|(rank, degree)| std::iter::repeat_n(*rank, degree));
    let all = from.zip(destinations).zip(weights);
    Ok(all.map(|((from, to), weight)| [from, to, weight]).collect())
}

pub async fn create(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = intra(cx, args.i32(0))?;
    begin(cx, args.ptr(8))?;
    let edges = told(cx, args, &comm)?;
    super::hints(cx, args.i32(6))?;
    let circle = Circle::of(&cx.rank().endpoint, &comm);
    let size = comm.group.members().len();
    let sorted = |all: Vec<Bytes>| sort(size, &all);
    let mine = cx.wait(circle.meet(Ok(encode(&edges)), sorted)).await?;
    let (mut sources, mut destinations) = (Vec::new(), Vec::new());
    let (mut into, mut from) = (Vec::new(), Vec::new());
    let rank = comm.rank.cast_signed();
    for [source, destination, weight] in decode(&mine)? {
        if destination == rank {
            sources.push(source);
            into.push(weight);
        }
        if source == rank {
            destinations.push(destination);
            from.push(weight);
        }
    }
    let weights = (!unweighted(args.ptr(5))).then_some((into, from));
    let graph = DistGraph { sources, destinations, weights };
    let size = comm.group.size();
    let made = laid_out(cx, comm, size, Topology::Dist(graph)).await?;
    give(cx, args.ptr(8), made)
}

/// For each rank the edges that begin or end at it, as all ranks told them.
fn sort(size: usize, all: &[Bytes]) -> Result<Vec<Bytes>> {
    let mut sorted = vec![Vec::new(); size];
    for told in all {
        for edge in decode(told)? {
            let [from, to, _] = edge;
            let at = |rank: i32| usize::try_from(rank).ok();
            if let Some(edges) = at(from).and_then(|from| sorted.get_mut(from)) {
                edges.push(edge);
            }
            if from != to
                && let Some(edges) = at(to).and_then(|to| sorted.get_mut(to))
            {
                edges.push(edge);
            }
        }
    }
    Ok(sorted.iter().map(|edges| encode(edges)).collect())
}

fn encode(edges: &[Edge]) -> Bytes {
    let mut bytes = Vec::with_capacity(edges.len() * 12);
    edges.as_flattened().iter().for_each(|number| bytes.put_i32_le(*number));
    bytes.into()
}

fn decode(bytes: &[u8]) -> Result<Vec<Edge>> {
    let (edges, rest) = bytes.as_chunks::<12>();
    if !rest.is_empty() {
        return Err(strange());
    }
    let number = |edge: &[u8; 12], at: usize| match edge.get(at * 4..at * 4 + 4) {
        Some(&[a, b, c, d]) => i32::from_le_bytes([a, b, c, d]),
        _ => 0,
    };
    Ok(edges.iter().map(|edge| [0, 1, 2].map(|at| number(edge, at))).collect())
}

/// The edges of this rank.
fn of(cx: &mut Cx<'_>, handle: i32) -> Result<DistGraph> {
    match cx.rank().comm(handle)?.topology.as_deref() {
        Some(Topology::Dist(graph)) => Ok(graph.clone()),
        _ => other_topology("distributed graph"),
    }
}

pub fn neighbours_count(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let graph = of(cx, args.i32(0))?;
    let len = |all: &[i32]| i32::try_from(all.len()).unwrap_or(i32::MAX);
    cx.memory().write_i32(out(args.ptr(1))?, len(&graph.sources))?;
    cx.memory().write_i32(out(args.ptr(2))?, len(&graph.destinations))?;
    cx.memory().write_i32(out(args.ptr(3))?, graph.weights.is_some().into())
}

/// As many as there is room for.
pub fn neighbours(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let graph = of(cx, args.i32(0))?;
    let into = count(args.int(1), usize::MAX, c::MPI_ERR_ARG, "sources")?;
    let from = count(args.int(4), usize::MAX, c::MPI_ERR_ARG, "destinations")?;
    write_ints(cx, args.ptr(2), graph.sources.into_iter().take(into))?;
    write_ints(cx, args.ptr(5), graph.destinations.into_iter().take(from))?;
    let Some((sources, destinations)) = graph.weights else { return Ok(()) };
    for (at, weights, room) in [(args.ptr(3), sources, into), (args.ptr(6), destinations, from)] {
        if !unweighted(at) && at != c::MPI_WEIGHTS_EMPTY.cast_unsigned() {
            write_ints(cx, at, weights.into_iter().take(room))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rank_gets_its_edges_and_a_loop_once() {
        let told = [encode(&[[0, 1, 5], [2, 2, 6]]), encode(&[]), encode(&[[1, 0, 7], [0, 1, 8]])];
        let sorted = sort(3, &told).unwrap();
        assert_eq!(decode(&sorted[0]).unwrap(), [[0, 1, 5], [1, 0, 7], [0, 1, 8]]);
        assert_eq!(decode(&sorted[1]).unwrap(), [[0, 1, 5], [1, 0, 7], [0, 1, 8]]);
        assert_eq!(decode(&sorted[2]).unwrap(), [[2, 2, 6]]);
        // A rank that lies harms nobody.
        assert!(sort(3, &[encode(&[[-1, 99, 0]])]).is_ok());
        assert!(sort(3, &[Bytes::from_static(b"odd")]).is_err());
    }
}
