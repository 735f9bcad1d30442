//! The calls of the standard, a file or folder per section. Each has the calls it serves in a table
//! by name; what is in none is refused by name.

pub mod coll;
pub mod comm;
pub mod env;
pub mod p2p;
pub mod topo;
pub mod types;

use super::dispatch::Table;

/// All of them.
pub const TABLES: &[Table] =
    &[p2p::TABLE, types::TABLE, comm::TABLE, topo::TABLE, coll::TABLE, coll::OPS];
