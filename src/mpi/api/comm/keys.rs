//! Keys of attributes.

use super::out;
use crate::mpi::attributes::Owner;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx, end};
use crate::mpi::error::{Result, error};

fn create(cx: &mut Cx<'_>, args: &Args, owner: Owner) -> Result<()> {
    let (copy, delete, at) = (args.ptr(0), args.ptr(1), out(args.ptr(2))?);
    if delete == c::MPI_COMM_DUP_FN.cast_unsigned() {
        // As a copy function this number says "copy the value".
        return Err(end("a callback has place 1 in the function table, which the standard's \
                        MPI_COMM_DUP_FN has: link with --table-base=16, as faasm-mpicc does"));
    }
    match cx.rank().comm.keys.create(owner, copy, delete, args.ptr(3)) {
        Some(number) => cx.memory().write_i32(at, number),
        None => error(c::MPI_ERR_NO_MEM, "there are too many keys of attributes: free some"),
    }
}

fn free(cx: &mut Cx<'_>, args: &Args, owner: Owner) -> Result<()> {
    let at = out(args.ptr(0))?;
    let number = cx.memory().read_i32(at)?;
    match cx.rank().comm.keys.free(owner, number) {
        true => cx.memory().write_i32(at, c::MPI_KEYVAL_INVALID),
        false => error(c::MPI_ERR_KEYVAL, format!("{number} is no key that can be freed")),
    }
}

pub fn create_comm(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    create(cx, args, Owner::Comm)
}

pub fn create_type(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    create(cx, args, Owner::Type)
}

pub fn create_win(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    create(cx, args, Owner::Win)
}

pub fn free_comm(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    free(cx, args, Owner::Comm)
}

pub fn free_type(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    free(cx, args, Owner::Type)
}

pub fn free_win(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    free(cx, args, Owner::Win)
}
