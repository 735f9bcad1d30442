//! Datatypes.

use crate::mpi::constants as c;
use crate::mpi::cx::Cx;
use crate::mpi::dispatch::Table;
use crate::mpi::error::{Result, error};
use crate::mpi::types::Datatype;

/// The calls.
pub const TABLE: Table = &[];

/// What this section keeps of a rank.
#[derive(Debug, Default)]
pub struct Types {}

/// The type of a handle, for communication: it must be committed.
pub fn of(_cx: &mut Cx<'_>, handle: i32) -> Result<Datatype> {
    match Datatype::predefined(handle) {
        Some(datatype) => Ok(datatype),
        None => error(c::MPI_ERR_TYPE, format!("{handle:#x} is no datatype")),
    }
}
