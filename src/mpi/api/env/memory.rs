//! Memory that MPI allocates: the program's own.

use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::dispatch::{Table, waits};
use crate::mpi::error::{Result, error};

/// The calls.
pub const TABLE: Table = &[("MPI_Alloc_mem", waits!(alloc)), ("MPI_Free_mem", waits!(free))];

async fn alloc(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let Ok(size) = u32::try_from(args.int(0)) else {
        return error(c::MPI_ERR_ARG, "a size is negative");
    };
    super::info::hints(cx, args.i32(1))?;
    match cx.malloc(size.max(1)).await? {
        Some(pointer) => cx.memory().write_i32(args.ptr(2), pointer.cast_signed()),
        None => error(c::MPI_ERR_NO_MEM, format!("there is no room for {size} bytes")),
    }
}

async fn free(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    cx.free(args.ptr(0)).await
}
