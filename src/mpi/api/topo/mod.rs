//! Topologies.

use crate::mpi::dispatch::Table;

/// The calls.
pub const TABLE: Table = &[];
