//! Tests whether one, any, some or all of several requests are complete. A test in vain gives
//! others their turn: whoever tests in a loop waits for them.

use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::engine::Status;
use crate::mpi::error::Result;

use super::check::out;
use super::finish::{Item, Place, finish_all, finish_one, finish_some, items};
use super::status::write_status;
use super::wait::{all_idle, first_done, gives_up, lists};

/// Says that it is not so yet, and does what others may wait for.
pub async fn in_vain(cx: &mut Cx<'_>, flag: u32) -> Result<()> {
    cx.memory().write_i32(flag, 0)?;
    super::super::coll::serve(cx).await;
    tokio::task::yield_now().await;
    Ok(())
}

/// `MPI_Test`
pub async fn one(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let item = Place::read(cx, args.ptr(0))?.look(cx)?;
    out(args.ptr(1), "flag")?;
    if !item.progress.is_done() {
        return in_vain(cx, args.ptr(1)).await;
    }
    cx.memory().write_i32(args.ptr(1), i32::from(!item.progress.is_in_doubt()))?;
    if item.progress.is_idle() {
        return write_status(cx.memory(), args.ptr(2), &Status::EMPTY, true);
    }
    finish_one(cx, item.place, args.ptr(2)).await
}

/// `MPI_Testany`
pub async fn any(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    match done_one(cx, args).await? {
        Some(item) => finish_one(cx, item.place, args.ptr(4)).await,
        None => Ok(()),
    }
}

/// One of several requests that is complete, with its index and the flag told; without one all is
/// told that there is to tell.
pub(super) async fn done_one(cx: &mut Cx<'_>, args: &Args) -> Result<Option<Item>> {
    let mut items = items(cx, args.int(0), args.ptr(1))?;
    out(args.ptr(2), "index")?;
    out(args.ptr(3), "flag")?;
    if all_idle(&items) {
        cx.memory().write_i32(args.ptr(2), c::MPI_UNDEFINED)?;
        cx.memory().write_i32(args.ptr(3), 1)?;
        write_status(cx.memory(), args.ptr(4), &Status::EMPTY, true)?;
        return Ok(None);
    }
    let Some((index, _)) = first_done(&items) else {
        cx.memory().write_i32(args.ptr(2), c::MPI_UNDEFINED)?;
        in_vain(cx, args.ptr(3)).await?;
        return Ok(None);
    };
    cx.memory().write_i32(args.ptr(2), index)?;
    cx.memory().write_i32(args.ptr(3), 1)?;
    Ok(Some(items.swap_remove(usize::try_from(index).unwrap_or(0))))
}

/// `MPI_Testsome`
pub async fn some(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let items = items(cx, args.int(0), args.ptr(1))?;
    let into = lists(args);
    out(into.count, "outcount")?;
    if all_idle(&items) {
        return cx.memory().write_i32(into.count, c::MPI_UNDEFINED);
    }
    out(into.indices, "array_of_indices")?;
    if first_done(&items).is_none() {
        return in_vain(cx, into.count).await;
    }
    finish_some(cx, &items, into).await
}

/// `MPI_Testall`
pub async fn all(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let items = items(cx, args.int(0), args.ptr(1))?;
    out(args.ptr(2), "flag")?;
    let done = items.iter().all(|item| item.progress.is_done());
    if !done && !items.iter().any(gives_up) {
        return in_vain(cx, args.ptr(2)).await;
    }
    cx.memory().write_i32(args.ptr(2), i32::from(done))?;
    finish_all(cx, &items, args.ptr(3)).await
}
