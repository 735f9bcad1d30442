//! Grids.

use std::sync::Arc;

use super::{begin, count, give, intra, ints, laid_out, other_topology, out, rank_in, write_ints};
use crate::mpi::api::comm::parted;
use crate::mpi::comm::Comm;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::error::{Error, Result, error};
use crate::mpi::topology::{Cart, MOST_DIMS, Topology, balanced};

/// The grid of a communicator.
fn of(cx: &mut Cx<'_>, handle: i32) -> Result<(Arc<Comm>, Cart)> {
    let comm = cx.rank().comm(handle)?;
    match comm.topology.as_deref() {
        Some(Topology::Cart(cart)) => {
            let cart = cart.clone();
            Ok((comm, cart))
        }
        _ => other_topology("cartesian"),
    }
}

/// The grid that a call asks for, and how many ranks it has.
fn asked(cx: &Cx<'_>, args: &Args, comm: &Comm) -> Result<(Cart, u32)> {
    let len = count(args.int(1), MOST_DIMS, c::MPI_ERR_DIMS, "dimensions")?;
    let (dims, periods) = (ints(cx, args.ptr(2), len)?, ints(cx, args.ptr(3), len)?);
    let positive = |dim: &i64| u32::try_from(*dim).ok().filter(|dim| *dim > 0);
    let Some(dims) = dims.iter().map(positive).collect::<Option<Vec<u32>>>() else {
        return error(c::MPI_ERR_DIMS, "a dimension of a grid is not positive");
    };
    let cart = Cart { dims, periods: periods.iter().map(|ring| *ring != 0).collect() };
    match cart.size().filter(|size| *size <= comm.group.size()) {
        Some(size) => Ok((cart, size)),
        None => error(
            c::MPI_ERR_DIMS,
            format!("the grid has more ranks than the {} of the communicator", comm.group.size()),
        ),
    }
}

pub async fn create(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = intra(cx, args.i32(0))?;
    begin(cx, args.ptr(5))?;
    let (cart, size) = asked(cx, args, &comm)?;
    let made = laid_out(cx, comm, size, Topology::Cart(cart)).await?;
    give(cx, args.ptr(5), made)
}

pub fn map(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = intra(cx, args.i32(0))?;
    let (_, size) = asked(cx, args, &comm)?;
    let rank = if comm.rank < size { comm.rank.cast_signed() } else { c::MPI_UNDEFINED };
    cx.memory().write_i32(out(args.ptr(4))?, rank)
}

pub async fn sub(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (comm, cart) = of(cx, args.i32(0))?;
    let remain = ints(cx, args.ptr(1), cart.dims.len())?;
    begin(cx, args.ptr(2))?;
    let remain: Vec<bool> = remain.iter().map(|remains| *remains != 0).collect();
    let (sub, which, place) = cart.sub(&remain, comm.rank);
    let made = parted(cx, comm, which.cast_signed(), place.cast_signed()).await?;
    give(cx, args.ptr(2), made.map(|made| made.laid_out(Topology::Cart(sub))))
}

pub fn dim_get(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (_, cart) = of(cx, args.i32(0))?;
    let dims = i32::try_from(cart.dims.len()).unwrap_or(i32::MAX);
    cx.memory().write_i32(out(args.ptr(1))?, dims)
}

/// Room for as many numbers as there are dimensions.
fn room(given: i64, cart: &Cart) -> Result<()> {
    match usize::try_from(given).is_ok_and(|given| given >= cart.dims.len()) {
        true => Ok(()),
        false => Err(Error::arg(format!(
            "there is room for {given} dimensions, and the grid has {}",
            cart.dims.len()
        ))),
    }
}

pub fn get(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (comm, cart) = of(cx, args.i32(0))?;
    room(args.int(1), &cart)?;
    let coords = cart.coords(comm.rank);
    write_ints(cx, args.ptr(2), cart.dims.iter().map(|dim| dim.cast_signed()))?;
    write_ints(cx, args.ptr(3), cart.periods.iter().map(|ring| i32::from(*ring)))?;
    write_ints(cx, args.ptr(4), coords.iter().map(|coord| coord.cast_signed()))
}

pub fn rank(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (_, cart) = of(cx, args.i32(0))?;
    let coords = ints(cx, args.ptr(1), cart.dims.len())?;
    match cart.rank(&coords) {
        Some(rank) => cx.memory().write_i32(out(args.ptr(2))?, rank.cast_signed()),
        None => {
            let why = format!("coordinates {coords:?} are outside of the grid {:?}", cart.dims);
            Err(Error::arg(why))
        }
    }
}

pub fn coords(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (comm, cart) = of(cx, args.i32(0))?;
    let rank = rank_in(&comm, args.int(1))?;
    room(args.int(2), &cart)?;
    let coords = cart.coords(rank);
    write_ints(cx, args.ptr(3), coords.iter().map(|coord| coord.cast_signed()))
}

pub fn shift(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (comm, cart) = of(cx, args.i32(0))?;
    let direction = usize::try_from(args.int(1)).ok().filter(|at| *at < cart.dims.len());
    let Some(direction) = direction else {
        let why = format!("{} is no dimension of {}", args.int(1), cart.dims.len());
        return error(c::MPI_ERR_DIMS, why);
    };
    let step = |steps| cart.step(comm.rank, direction, steps);
    let (source, destination) = (step(-args.int(2)), step(args.int(2)));
    cx.memory().write_i32(out(args.ptr(3))?, source)?;
    cx.memory().write_i32(out(args.ptr(4))?, destination)
}

/// Numbers given stay; those that are 0 are found.
pub fn dims_create(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let len = count(args.int(1), MOST_DIMS, c::MPI_ERR_DIMS, "dimensions")?;
    let nodes = u32::try_from(args.int(0)).ok().filter(|nodes| *nodes > 0);
    let Some(nodes) = nodes else {
        return error(c::MPI_ERR_DIMS, format!("{} is no number of ranks", args.int(0)));
    };
    let mut dims = ints(cx, args.ptr(2), len)?;
    if dims.iter().any(|dim| *dim < 0) {
        return error(c::MPI_ERR_DIMS, "a dimension is negative");
    }
    let mut fixed = dims.iter().filter(|dim| **dim != 0);
    let fixed = fixed.try_fold(1_i64, |product, dim| product.checked_mul(*dim));
    let rest =
        fixed.filter(|fixed| i64::from(nodes) % fixed == 0).map(|fixed| i64::from(nodes) / fixed);
    let free = dims.iter().filter(|dim| **dim == 0).count();
    let rest = rest.and_then(|rest| u32::try_from(rest).ok());
    let Some(rest) = rest.filter(|rest| free > 0 || *rest == 1 || len == 0) else {
        let why = format!("{nodes} ranks do not fit the dimensions {dims:?}");
        return error(c::MPI_ERR_DIMS, why);
    };
    if free == 0 {
        return Ok(());
    }
    let mut found = balanced(rest, free).into_iter();
    for dim in dims.iter_mut().filter(|dim| **dim == 0) {
        *dim = found.next().map_or(1, i64::from);
    }
    cx.memory().write_array(args.ptr(2), &dims, false)
}
