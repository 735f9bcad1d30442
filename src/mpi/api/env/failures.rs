//! What a program needs to go on after ranks have failed.

use crate::mpi::dispatch::Table;

/// The calls.
pub const TABLE: Table = &[];
