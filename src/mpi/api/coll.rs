//! Collectives and operations.

use crate::mpi::dispatch::Table;

/// The calls.
pub const TABLE: Table = &[];

/// What this section keeps of a rank.
#[derive(Debug, Default)]
pub struct Coll {}
