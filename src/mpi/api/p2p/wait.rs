//! Waits for one, any, some or all of several requests.

use std::task::Poll;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::engine::Status;
use crate::mpi::error::Result;

use super::check::out;
use super::finish::{Item, Lists, Place, finish_all, finish_one, finish_some, items};
use super::status::write_status;

/// `MPI_Wait`
pub async fn one(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let item = Place::read(cx, args.ptr(0))?.look(cx)?;
    if item.progress.is_idle() {
        return write_status(cx.memory(), args.ptr(1), &Status::EMPTY, true);
    }
    if !item.progress.is_done() {
        cx.wait(item.progress.done()).await;
    }
    finish_one(cx, item.place, args.ptr(1)).await
}

/// `MPI_Waitany`
pub async fn any(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let items = items(cx, args.int(0), args.ptr(1))?;
    out(args.ptr(2), "index")?;
    if all_idle(&items) {
        cx.memory().write_i32(args.ptr(2), c::MPI_UNDEFINED)?;
        return write_status(cx.memory(), args.ptr(3), &Status::EMPTY, true);
    }
    cx.wait(any_done(&items)).await;
    let Some((index, item)) = first_done(&items) else { return Ok(()) };
    cx.memory().write_i32(args.ptr(2), index)?;
    finish_one(cx, item.place, args.ptr(3)).await
}

/// `MPI_Waitsome`
pub async fn some(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let items = items(cx, args.int(0), args.ptr(1))?;
    let into = lists(args);
    out(into.count, "outcount")?;
    if all_idle(&items) {
        return cx.memory().write_i32(into.count, c::MPI_UNDEFINED);
    }
    out(into.indices, "array_of_indices")?;
    cx.wait(any_done(&items)).await;
    finish_some(cx, &items, into).await
}

/// `MPI_Waitall`
pub async fn all(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let items = items(cx, args.int(0), args.ptr(1))?;
    if !items.iter().all(|item| item.progress.is_done()) {
        cx.wait(all_done(&items)).await;
    }
    finish_all(cx, &items, args.ptr(2)).await
}

/// Where the calls for some put what they find.
pub fn lists(args: &Args) -> Lists {
    Lists { count: args.ptr(2), indices: args.ptr(3), statuses: args.ptr(4) }
}

/// Whether nothing is under way of any.
pub fn all_idle(items: &[Item]) -> bool {
    items.iter().all(|item| item.progress.is_idle())
}

/// The first that is complete.
pub fn first_done(items: &[Item]) -> Option<(i32, &Item)> {
    let done = |item: &Item| !item.progress.is_idle() && item.progress.is_done();
    let index = items.iter().position(done)?;
    Some((i32::try_from(index).ok()?, items.get(index)?))
}

/// Waits until one that is under way is complete.
async fn any_done(items: &[Item]) {
    std::future::poll_fn(|task| {
        let under_way = items.iter().filter(|item| !item.progress.is_idle());
        // Without an early end, so that each of them wakes.
        let done = under_way.filter(|item| item.progress.poll(task.waker()).is_ready()).count();
        if done > 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Waits until all are complete, or until one has failed so that others may never be.
async fn all_done(items: &[Item]) {
    if items.iter().any(gives_up) {
        return;
    }
    let open = items.iter().filter(|item| !item.progress.is_done());
    let mut open: FuturesUnordered<_> = open
        .map(|item| async move {
            item.progress.done().await;
            gives_up(item)
        })
        .collect();
    while let Some(gives_up) = open.next().await {
        if gives_up {
            return;
        }
    }
}

/// Whether a request says that a process has failed or that the communicator is revoked.
pub fn gives_up(item: &Item) -> bool {
    let error = item.progress.status().map_or(c::MPI_SUCCESS, |status| status.error);
    let failures = [c::MPIX_ERR_PROC_FAILED, c::MPIX_ERR_PROC_FAILED_PENDING, c::MPIX_ERR_REVOKED];
    failures.contains(&error)
}
