//! Topologies.

mod cart;
mod dist;
mod graph;

use std::sync::Arc;

use crate::mpi::api::comm::{Parent, Plan, begin, give, intra, round};
use crate::mpi::comm::Comm;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::dispatch::{Handler, Table, waits};
use crate::mpi::error::{Result, error};
use crate::mpi::exchange::strange;
use crate::mpi::group::Group;
use crate::mpi::topology::Topology;

use super::comm::{count, hints, out};

/// The calls.
pub const TABLE: Table = &[
    ("MPI_Topo_test", Handler::Now(test)),
    ("MPI_Dims_create", Handler::Now(cart::dims_create)),
    ("MPI_Cart_create", waits!(cart::create)),
    ("MPI_Cart_sub", waits!(cart::sub)),
    ("MPI_Cart_map", Handler::Now(cart::map)),
    ("MPI_Cartdim_get", Handler::Now(cart::dim_get)),
    ("MPI_Cart_get", Handler::Now(cart::get)),
    ("MPI_Cart_rank", Handler::Now(cart::rank)),
    ("MPI_Cart_coords", Handler::Now(cart::coords)),
    ("MPI_Cart_shift", Handler::Now(cart::shift)),
    ("MPI_Graph_create", waits!(graph::create)),
    ("MPI_Graph_map", Handler::Now(graph::map)),
    ("MPI_Graphdims_get", Handler::Now(graph::dims_get)),
    ("MPI_Graph_get", Handler::Now(graph::get)),
    ("MPI_Graph_neighbors_count", Handler::Now(graph::neighbours_count)),
    ("MPI_Graph_neighbors", Handler::Now(graph::neighbours)),
    ("MPI_Dist_graph_create", waits!(dist::create)),
    ("MPI_Dist_graph_create_adjacent", waits!(dist::create_adjacent)),
    ("MPI_Dist_graph_neighbors_count", Handler::Now(dist::neighbours_count)),
    ("MPI_Dist_graph_neighbors", Handler::Now(dist::neighbours)),
];

fn test(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let topology = cx.rank().comm(args.i32(0))?.topology.clone();
    let kind = topology.map_or(c::MPI_UNDEFINED, |topology| topology.kind());
    cx.memory().write_i32(out(args.ptr(1))?, kind)
}

/// A communicator of the first `size` ranks of another, laid out. Ranks keep their order: no
/// layout is known that would do better. `None` for who is not of them.
async fn laid_out(
    cx: &mut Cx<'_>,
    comm: Arc<Comm>,
    size: u32,
    topology: Topology,
) -> Result<Option<Comm>> {
    let plan = Plan::draw(cx);
    let plans = round(cx, &comm, Ok(plan)).await?;
    let context = plans.local.first().ok_or_else(strange)?.context;
    let members = comm.group.members().iter().take(size as usize);
    let group = Group::new(members.copied().collect());
    let made = Parent(comm).child(cx, context, group, None);
    Ok(made.map(|made| made.laid_out(topology)))
}

/// An array of `int`; none is read where its length is 0.
fn ints(cx: &Cx<'_>, at: u32, len: usize) -> Result<Vec<i64>> {
    match len {
        0 => Ok(Vec::new()),
        _ => cx.memory().read_array(out(at)?, len, false),
    }
}

/// Writes an array of `int`; nothing where its length is 0.
fn write_ints(cx: &Cx<'_>, at: u32, values: impl IntoIterator<Item = i32>) -> Result<()> {
    let values: Vec<i64> = values.into_iter().map(i64::from).collect();
    match values.len() {
        0 => Ok(()),
        _ => cx.memory().write_array(out(at)?, &values, false),
    }
}

/// A rank of a communicator.
fn rank_in(comm: &Comm, rank: i64) -> Result<u32> {
    match u32::try_from(rank).ok().filter(|rank| *rank < comm.group.size()) {
        Some(rank) => Ok(rank),
        None => {
            let why = format!("{rank} is no rank of a communicator of {}", comm.group.size());
            error(c::MPI_ERR_RANK, why)
        }
    }
}

/// What to say of a communicator that is laid out otherwise.
fn other_topology<T>(what: &str) -> Result<T> {
    error(c::MPI_ERR_TOPOLOGY, format!("the communicator has no {what} topology"))
}
