//! `MPI_Status` in a program's memory: source, tag and error, then words of our own, the number of
//! bytes in two and whether it was cancelled in one; and the calls about it.

use crate::mpi::api::types;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::engine::Status;
use crate::mpi::error::{Result, error};
use crate::mpi::memory::Memory;
use crate::mpi::types::Datatype;

use super::check::out;

/// Bytes of a status.
pub const SIZE: u32 = 32;

/// Of a receive from nobody.
pub const OF_NOBODY: Status = Status { source: c::MPI_PROC_NULL, ..Status::EMPTY };

/// Where what is.
const ERROR: u64 = 8;
const OURS: u64 = 12;

/// Writes a status, unless the program wants none; its error too if `with_error`, which is only
/// for calls that end several requests.
pub fn write_status(memory: &Memory, at: u32, status: &Status, with_error: bool) -> Result<()> {
    if at.cast_signed() == c::MPI_STATUS_IGNORE {
        return Ok(());
    }
    let at = u64::from(at);
    let mut bytes = [0; SIZE as usize];
    bytes[..4].copy_from_slice(&status.source.to_le_bytes());
    bytes[4..8].copy_from_slice(&status.tag.to_le_bytes());
    bytes[8..12].copy_from_slice(&status.error.to_le_bytes());
    bytes[12..20].copy_from_slice(&status.bytes.to_le_bytes());
    bytes[20..24].copy_from_slice(&i32::from(status.cancelled).to_le_bytes());
    if with_error {
        return memory.write(at, &bytes);
    }
    memory.write(at, &bytes[..8])?;
    memory.write(at + OURS, &bytes[12..])
}

/// Reads a status.
pub fn read_status(memory: &Memory, at: u32) -> Result<Status> {
    if at.cast_signed() == c::MPI_STATUS_IGNORE {
        return error(c::MPI_ERR_ARG, "MPI_STATUS_IGNORE is no status to read");
    }
    let mut bytes = [0; SIZE as usize];
    memory.read(u64::from(at), &mut bytes)?;
    let word = |at: usize| {
        let word = bytes.get(at..at + 4).and_then(|word| <[u8; 4]>::try_from(word).ok());
        word.map_or(0, i32::from_le_bytes)
    };
    let half = |at| u64::from(word(at).cast_unsigned());
    Ok(Status {
        source: word(0),
        tag: word(4),
        error: word(8),
        bytes: half(12) | half(16) << 32,
        cancelled: word(20) != 0,
    })
}

/// Writes a count, or `MPI_UNDEFINED` when it is none, or more than an `int` holds.
fn give_count(cx: &Cx<'_>, at: u32, count: Option<u64>, wide: bool) -> Result<()> {
    let undefined = i64::from(c::MPI_UNDEFINED);
    let count = count.and_then(|count| i64::try_from(count).ok()).unwrap_or(undefined);
    match wide {
        true => cx.memory().write_i64(at, count),
        false => cx.memory().write_i32(at, i32::try_from(count).unwrap_or(c::MPI_UNDEFINED)),
    }
}

fn of_data(cx: &mut Cx<'_>, args: &Args) -> Result<(Status, Datatype)> {
    let status = read_status(cx.memory(), args.ptr(0))?;
    let datatype = types::any(cx, args.i32(1))?;
    out(args.ptr(2), "count")?;
    Ok((status, datatype))
}

/// `MPI_Get_count`
pub(super) fn count(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (status, datatype) = of_data(cx, args)?;
    give_count(cx, args.ptr(2), datatype.count_in(status.bytes), args.large)
}

/// `MPI_Get_elements`
pub(super) fn elements(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (status, datatype) = of_data(cx, args)?;
    let wide = args.large || args.name.ends_with("_x");
    give_count(cx, args.ptr(2), datatype.elements_in(status.bytes), wide)
}

/// `MPI_Status_set_elements`
pub(super) fn set_elements(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let mut status = read_status(cx.memory(), args.ptr(0))?;
    let datatype = types::any(cx, args.i32(1))?;
    let count = args.int(2);
    let Ok(count) = u64::try_from(count) else {
        return error(c::MPI_ERR_COUNT, format!("{count} is no count"));
    };
    let Some(bytes) = datatype.bytes_of(count) else {
        return error(c::MPI_ERR_COUNT, format!("{count} elements are too many"));
    };
    status.bytes = bytes;
    write_status(cx.memory(), args.ptr(0), &status, true)
}

/// `MPI_Status_set_cancelled`
pub(super) fn set_cancelled(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let mut status = read_status(cx.memory(), args.ptr(0))?;
    status.cancelled = args.i32(1) != 0;
    write_status(cx.memory(), args.ptr(0), &status, true)
}

/// `MPI_Test_cancelled`
pub(super) fn cancelled(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let status = read_status(cx.memory(), args.ptr(0))?;
    out(args.ptr(1), "flag")?;
    cx.memory().write_i32(args.ptr(1), i32::from(status.cancelled))
}

fn field(name: &str) -> u64 {
    match name.rsplit('_').next() {
        Some("source") => 0,
        Some("tag") => 4,
        _ => ERROR,
    }
}

/// `MPI_Status_get_source`, `_tag` and `_error`
pub(super) fn get_field(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let status = read_status(cx.memory(), args.ptr(0))?;
    out(args.ptr(1), "result")?;
    let value = match field(args.name) {
        0 => status.source,
        4 => status.tag,
        _ => status.error,
    };
    cx.memory().write_i32(args.ptr(1), value)
}

/// `MPI_Status_set_source`, `_tag` and `_error`
pub(super) fn set_field(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    read_status(cx.memory(), args.ptr(0))?;
    let at = u64::from(args.ptr(0)) + field(args.name);
    cx.memory().write(at, &args.i32(1).to_le_bytes())
}
