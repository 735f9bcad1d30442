//! Topologies: how the ranks of a communicator are laid out, and who is whose neighbour.

mod cart;
mod dims;
mod graph;

pub use cart::{Cart, MOST_DIMS};
pub use dims::balanced;
pub use graph::{DistGraph, Graph};

use super::constants as c;

/// The layout of a communicator, as one rank knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// A grid.
    Cart(Cart),
    /// A graph that every rank knows whole.
    Graph(Graph),
    /// A graph of which every rank knows its own edges.
    Dist(DistGraph),
}

/// A rank's neighbours, in the order of neighbourhood collectives; `MPI_PROC_NULL` beyond the
/// border of a grid.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Neighbours {
    /// From whom it receives.
    pub sources: Vec<i32>,
    /// To whom it sends.
    pub destinations: Vec<i32>,
}

impl Topology {
    /// What `MPI_Topo_test` calls it.
    pub fn kind(&self) -> i32 {
        match self {
            Self::Cart(_) => c::MPI_CART,
            Self::Graph(_) => c::MPI_GRAPH,
            Self::Dist(_) => c::MPI_DIST_GRAPH,
        }
    }

    /// The neighbours of this rank, which is the own one: of a distributed graph a rank knows no
    /// others.
    pub fn neighbours(&self, rank: u32) -> Neighbours {
        match self {
            Self::Cart(cart) => {
                let around = cart.around(rank);
                Neighbours { sources: around.clone(), destinations: around }
            }
            Self::Graph(graph) => {
                let around: Vec<i32> = graph.neighbours(rank).to_vec();
                Neighbours { sources: around.clone(), destinations: around }
            }
            Self::Dist(graph) => Neighbours {
                sources: graph.sources.clone(),
                destinations: graph.destinations.clone(),
            },
        }
    }
}
