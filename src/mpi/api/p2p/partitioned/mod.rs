//! Partitioned messages. The first message of a channel tells the receiver how the sender cuts
//! what it sends; then each part is a message of its own, in a context that only this channel has.
//! The nth channel that a sender opens to a receiver with a tag is the nth that this opens to it.

mod incoming;
mod outgoing;

use std::sync::Arc;

use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::engine::Span;
use crate::mpi::error::{Result, error};

use super::check::{self, Places, out};
use super::finish::array;
use super::test::in_vain;
use super::{Again, Entry};

/// Contexts of the first messages: that of the communicator with this.
const OPENING: u64 = 1 << 62;
/// Contexts of parts: the number of the sender's channel with this; the source is the sender's rank
/// in the world.
const PARTS: u64 = 1 << 63;
/// Most parts of a message.
const MAX_PARTS: u64 = 100_000;

/// The arguments of both calls.
const PLACES: Places = Places { buffer: 0, count: 2, datatype: 3, peer: 4, tag: 5, comm: 6 };

/// The parts of a partitioned request that was started.
pub trait Parts {
    /// A part may be sent; only of a send.
    fn ready(&self, cx: &mut Cx<'_>, part: u64) -> Result<()>;
    /// Whether a part has come; only of a receive.
    fn arrived(&self, part: u64) -> Result<bool>;
    /// How many there are.
    fn count(&self) -> u64;
}

/// How many parts a call names.
fn parts(args: &Args) -> Result<u64> {
    match u64::try_from(args.i32(1)) {
        Ok(parts) if parts <= MAX_PARTS => Ok(parts),
        _ => error(c::MPI_ERR_ARG, format!("{} is no count of partitions", args.i32(1))),
    }
}

/// All elements of a message of so many parts.
fn whole(part: &Span, parts: u64) -> Result<Span> {
    match part.count.checked_mul(parts) {
        Some(count) if part.datatype.size().checked_mul(count).is_some() => {
            Ok(Span { count, ..part.clone() })
        }
        _ => error(c::MPI_ERR_COUNT, "the message is too long"),
    }
}

/// `MPI_Psend_init`
pub fn send(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let message = check::outgoing(cx, args, PLACES)?;
    let parts = parts(args)?;
    check::buffer(&whole(&message.span, parts)?, args.i32(3), true)?;
    out(args.ptr(8), "request")?;
    cx.rank().p2p.has_room()?;
    let comm = message.comm.clone();
    let again = Arc::new(outgoing::Outgoing::open(cx, message, parts));
    let handle = cx.rank().p2p.insert_on(&comm, Entry::Persistent { again, active: None })?;
    cx.memory().write_i32(args.ptr(8), handle)
}

/// `MPI_Precv_init`
pub fn receive(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = cx.rank().comm(args.i32(6))?;
    let message = check::incoming(cx, args, PLACES)?;
    if args.i32(4) == c::MPI_ANY_SOURCE {
        return error(c::MPI_ERR_RANK, "a partitioned receive has one source");
    }
    if args.i32(5) == c::MPI_ANY_TAG {
        return error(c::MPI_ERR_TAG, "a partitioned receive has one tag");
    }
    let parts = parts(args)?;
    check::buffer(&whole(&message.span, parts)?, args.i32(3), false)?;
    out(args.ptr(8), "request")?;
    cx.rank().p2p.has_room()?;
    let again = Arc::new(incoming::Incoming::open(cx, message, parts));
    let handle = cx.rank().p2p.insert_on(&comm, Entry::Persistent { again, active: None })?;
    cx.memory().write_i32(args.ptr(8), handle)
}

/// The partitioned request of a handle, if it was started or need not be.
fn of(cx: &mut Cx<'_>, handle: i32, started: bool) -> Result<Arc<dyn Again>> {
    let held = cx.rank().p2p.request(handle)?;
    let comm = held.comm.clone();
    let why = match &held.entry {
        Entry::Persistent { again, active } if again.parts().is_some() => match active {
            None if started => "the request was not started",
            _ => return Ok(again.clone()),
        },
        _ => "the request is no partitioned one",
    };
    cx.rank().p2p.blame = comm;
    error(c::MPI_ERR_REQUEST, why)
}

fn ready_each(cx: &mut Cx<'_>, handle: i32, each: impl Iterator<Item = i64> + Clone) -> Result<()> {
    let again = of(cx, handle, true)?;
    let Some(parts) = again.parts() else { return Ok(()) };
    for part in each.clone() {
        in_range(part, parts.count())?;
    }
    each.map(i64::cast_unsigned).try_for_each(|part| parts.ready(cx, part))
}

fn in_range(part: i64, count: u64) -> Result<()> {
    match u64::try_from(part) {
        Ok(part) if part < count => Ok(()),
        _ => error(c::MPI_ERR_ARG, format!("{part} is no partition of {count}")),
    }
}

/// `MPI_Pready`
pub fn ready(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    ready_each(cx, args.i32(1), std::iter::once(args.int(0)))
}

/// `MPI_Pready_range`
pub fn ready_range(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (low, high) = (args.int(0), args.int(1));
    if low > high {
        return error(c::MPI_ERR_ARG, format!("{low} to {high} is no range of partitions"));
    }
    // The first that is out of range ends it.
    ready_each(cx, args.i32(2), low..=high)
}

/// `MPI_Pready_list`
pub fn ready_list(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let list = array(cx, args.int(0), args.ptr(1))?;
    ready_each(cx, args.i32(2), list.iter().map(|part| i64::from(*part)))
}

/// `MPI_Parrived`
pub async fn arrived(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    out(args.ptr(2), "flag")?;
    if args.i32(0) == c::MPI_REQUEST_NULL {
        return cx.memory().write_i32(args.ptr(2), 1);
    }
    let arrived = {
        let again = of(cx, args.i32(0), false)?;
        let Some(parts) = again.parts() else { return Ok(()) };
        in_range(args.int(1), parts.count())?;
        parts.arrived(args.int(1).cast_unsigned())?
    };
    match arrived {
        true => cx.memory().write_i32(args.ptr(2), 1),
        false => in_vain(cx, args.ptr(2)).await,
    }
}
