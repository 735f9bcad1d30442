//! Sizes, bounds and addresses.

use super::put;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::error::Result;

pub(super) fn size(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    size_of(cx, args, args.large)
}

pub(super) fn size_x(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    size_of(cx, args, true)
}

fn size_of(cx: &mut Cx<'_>, args: &Args, wide: bool) -> Result<()> {
    let size = super::any(cx, args.i32(0))?.size();
    number(cx, args.ptr(1), i64::try_from(size).unwrap_or(i64::MAX), wide)
}

pub(super) fn extent(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let datatype = super::any(cx, args.i32(0))?;
    both(cx, args, (datatype.lb(), datatype.extent()), args.large)
}

pub(super) fn extent_x(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let datatype = super::any(cx, args.i32(0))?;
    both(cx, args, (datatype.lb(), datatype.extent()), true)
}

pub(super) fn true_extent(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let datatype = super::any(cx, args.i32(0))?;
    both(cx, args, (datatype.true_lb(), datatype.true_extent()), args.large)
}

pub(super) fn true_extent_x(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let datatype = super::any(cx, args.i32(0))?;
    both(cx, args, (datatype.true_lb(), datatype.true_extent()), true)
}

fn both(cx: &mut Cx<'_>, args: &Args, values: (i64, i64), wide: bool) -> Result<()> {
    number(cx, args.ptr(1), values.0, wide)?;
    number(cx, args.ptr(2), values.1, wide)
}

/// Writes a number, or that it is too large for its place.
pub(super) fn number(cx: &mut Cx<'_>, at: u32, value: i64, wide: bool) -> Result<()> {
    let fits = wide || i32::try_from(value).is_ok();
    put(cx, at, if fits { value } else { i64::from(c::MPI_UNDEFINED) }, wide)
}

pub(super) fn address(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    put(cx, args.ptr(1), args.int(0), false)
}

pub(super) fn aint_add(_cx: &mut Cx<'_>, args: &Args) -> i64 {
    args.int(0).wrapping_add(args.int(1))
}

pub(super) fn aint_diff(_cx: &mut Cx<'_>, args: &Args) -> i64 {
    args.int(0).wrapping_sub(args.int(1))
}
