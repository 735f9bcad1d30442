//! Topologies.

use crate::ranks::Ranks;

#[test]
fn ranks_of_a_grid_know_where_they_are() {
    let node = Ranks::new();
    [1, 2, 3, 6, 8, 12, 17].into_iter().for_each(|ranks| node.passes("mpi/topo_cart", ranks));
}

#[test]
fn ranks_of_a_graph_know_their_neighbours() {
    let node = Ranks::new();
    [1, 2, 3, 8, 17].into_iter().for_each(|ranks| node.passes("mpi/topo_graph", ranks));
}

#[test]
fn topologies_that_cannot_be_are_refused() {
    let node = Ranks::new();
    [1, 3].into_iter().for_each(|ranks| node.passes("mpi/topo_errors", ranks));
}

#[test]
fn neighbours_exchange_blocks_in_the_order_of_their_edges() {
    let node = Ranks::new();
    [1, 2, 4, 6, 8].into_iter().for_each(|ranks| node.passes("mpi/topo_neighbours", ranks));
    Ranks::apart().passes("mpi/topo_neighbours", 3);
}

#[test]
fn neighbours_exchange_blocks_in_every_form() {
    let node = Ranks::new();
    [1, 2, 5, 8].into_iter().for_each(|ranks| node.passes("mpi/topo_forms", ranks));
    Ranks::apart().passes("mpi/topo_forms", 4);
    let mut nodes = Ranks::linked(3);
    nodes.place(&[1, 2, 3, 1]);
    nodes.passes("mpi/topo_forms", 4);
}
