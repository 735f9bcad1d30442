//! Packing into buffers of the program.

use super::query::number;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::error::{Result, error};
use crate::mpi::types::Datatype;

/// The only format of the external calls.
const FORMAT: &[u8] = b"external32";

pub(super) fn pack(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let datatype = elements(cx, args, 2, 6)?;
    let count = count(args.int(1))?;
    let window = Window::of(cx, args, 3, args.large)?;
    let end = window.take(datatype.total(count)?)?;
    datatype.pack_to(cx.memory(), u64::from(args.ptr(0)), count, window.at())?;
    window.advance(cx, end)
}

pub(super) fn unpack(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let datatype = elements(cx, args, 5, 6)?;
    let count = count(args.int(4))?;
    let window = Window::of(cx, args, 0, args.large)?;
    let end = window.take(datatype.total(count)?)?;
    datatype.unpack_from(cx.memory(), window.at(), u64::from(args.ptr(3)), count)?;
    window.advance(cx, end)
}

pub(super) fn pack_size(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let datatype = elements(cx, args, 1, 2)?;
    let size = datatype.total(count(args.int(0))?)?;
    number(cx, args.ptr(3), i64::try_from(size).unwrap_or(i64::MAX), args.large)
}

pub(super) fn pack_external(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    format(cx, args)?;
    let datatype = super::of(cx, args.i32(3))?;
    let count = count(args.int(2))?;
    let window = Window::of(cx, args, 4, args.large)?;
    let end = window.take(datatype.external_total(count)?)?;
    datatype.pack_external(cx.memory(), u64::from(args.ptr(1)), count, window.at())?;
    window.advance(cx, end)
}

pub(super) fn unpack_external(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    format(cx, args)?;
    let datatype = super::of(cx, args.i32(6))?;
    let count = count(args.int(5))?;
    let window = Window::of(cx, args, 1, args.large)?;
    let end = window.take(datatype.external_total(count)?)?;
    datatype.unpack_external(cx.memory(), window.at(), u64::from(args.ptr(4)), count)?;
    window.advance(cx, end)
}

pub(super) fn pack_external_size(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    format(cx, args)?;
    let size = super::of(cx, args.i32(2))?.external_total(count(args.int(1))?)?;
    number(cx, args.ptr(3), i64::try_from(size).unwrap_or(i64::MAX), args.large)
}

/// The type of an argument, and a look at the communicator.
fn elements(cx: &mut Cx<'_>, args: &Args, datatype: usize, comm: usize) -> Result<Datatype> {
    cx.rank().comm(args.i32(comm))?;
    super::of(cx, args.i32(datatype))
}

fn count(count: i64) -> Result<u64> {
    match u64::try_from(count) {
        Ok(count) => Ok(count),
        Err(_) => error(c::MPI_ERR_COUNT, format!("{count} is no count")),
    }
}

fn format(cx: &Cx<'_>, args: &Args) -> Result<()> {
    let named = cx.memory().read_string(args.ptr(0), FORMAT.len())?;
    match named {
        Some(name) if name == FORMAT => Ok(()),
        _ => error(c::MPI_ERR_ARG, "the only format is \"external32\""),
    }
}

/// A buffer of packed data, its size, and where the program is in it.
struct Window {
    buffer: u64,
    size: u64,
    position: u64,
    position_at: u32,
    wide: bool,
}

impl Window {
    /// Of three arguments that follow one another.
    fn of(cx: &Cx<'_>, args: &Args, first: usize, wide: bool) -> Result<Self> {
        let (size, position_at) = (args.int(first + 1), args.ptr(first + 2));
        let position = match wide {
            true => cx.memory().read_i64(position_at)?,
            false => i64::from(cx.memory().read_i32(position_at)?),
        };
        match (u64::try_from(size), u64::try_from(position)) {
            (Ok(size), Ok(position)) if position <= size => {
                Ok(Self { buffer: u64::from(args.ptr(first)), size, position, position_at, wide })
            }
            _ => error(c::MPI_ERR_ARG, format!("position {position} in a buffer of {size} bytes")),
        }
    }

    fn at(&self) -> u64 {
        self.buffer.saturating_add(self.position)
    }

    /// Sees that there are so many more bytes; where they end.
    fn take(&self, bytes: u64) -> Result<u64> {
        match self.position.checked_add(bytes) {
            Some(end) if end <= self.size => Ok(end),
            _ => {
                let left = self.size - self.position;
                error(c::MPI_ERR_TRUNCATE, format!("{bytes} bytes of data, but {left} of buffer"))
            }
        }
    }

    fn advance(&self, cx: &mut Cx<'_>, end: u64) -> Result<()> {
        number(cx, self.position_at, i64::try_from(end).unwrap_or(i64::MAX), self.wide)
    }
}
