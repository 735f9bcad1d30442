//! Names and hints of communicators.

use super::{hooks, out};
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::error::Result;

/// A longer name is cut.
pub fn set_name(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = cx.rank().comm(args.i32(0))?;
    let at = out(args.ptr(1))?;
    let most = c::MPI_MAX_OBJECT_NAME.cast_unsigned() as usize - 1;
    let name = match cx.memory().read_string(at, most)? {
        Some(name) => name,
        None => cx.memory().read_vec(u64::from(at), most)?,
    };
    comm.state.lock().name = name;
    Ok(())
}

pub fn get_name(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let name = match args.i32(0) {
        c::MPI_COMM_NULL => b"MPI_COMM_NULL".to_vec(),
        handle => cx.rank().comm(handle)?.state.lock().name.clone(),
    };
    let (at, len_at) = (out(args.ptr(1))?, out(args.ptr(2))?);
    let room = c::MPI_MAX_OBJECT_NAME.cast_unsigned() as usize;
    cx.memory().write_string(at, &name, room)?;
    cx.memory().write_i32(len_at, i32::try_from(name.len().min(room - 1)).unwrap_or(0))
}

/// Hints that are not given stay as they are.
pub fn set_info(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = cx.rank().comm(args.i32(0))?;
    let info = hooks::hints(cx, args.i32(1))?;
    comm.state.lock().info.extend(info);
    Ok(())
}

pub fn get_info(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let info = cx.rank().comm(args.i32(0))?.state.lock().info.clone();
    let at = out(args.ptr(1))?;
    let handle = hooks::insert_hints(cx, info)?;
    cx.memory().write_i32(at, handle)
}
