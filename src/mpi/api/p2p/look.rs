//! Looks at requests that leave them as they are.

use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::engine::Status;
use crate::mpi::error::Result;

use super::check::out;
use super::finish::{Ended, Item, Place, give_all, items};
use super::status::write_status;
use super::test::{done_one, in_vain};
use super::wait::{all_idle, first_done, lists};
use super::{Entry, generalized};

/// What a request that is complete would give.
async fn see(cx: &mut Cx<'_>, item: &Item) -> Result<Ended> {
    let held = cx.rank().p2p.request(item.place.handle)?;
    let comm = held.comm.clone();
    if let Entry::Generalized(own) = &held.entry {
        let own = own.clone();
        let status = generalized::query(cx, &own).await?;
        return Ok(Ended::seen(status, comm, true));
    }
    Ok(Ended::seen(item.progress.status().unwrap_or(Status::EMPTY), comm, false))
}

/// `MPI_Request_get_status`
pub async fn one(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let item = Place { at: 0, handle: args.i32(0) }.look(cx)?;
    out(args.ptr(1), "flag")?;
    if !item.progress.is_done() {
        return in_vain(cx, args.ptr(1)).await;
    }
    cx.memory().write_i32(args.ptr(1), 1)?;
    see_one(cx, &item, args.ptr(2)).await
}

async fn see_one(cx: &mut Cx<'_>, item: &Item, status: u32) -> Result<()> {
    if item.progress.is_idle() {
        return write_status(cx.memory(), status, &Status::EMPTY, true);
    }
    let ended = see(cx, item).await?;
    write_status(cx.memory(), status, &ended.status, false)?;
    ended.outcome(cx)
}

/// `MPI_Request_get_status_any`
pub async fn any(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    match done_one(cx, args).await? {
        Some(item) => see_one(cx, &item, args.ptr(4)).await,
        None => Ok(()),
    }
}

/// `MPI_Request_get_status_all`
pub async fn all(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let items = items(cx, args.int(0), args.ptr(1))?;
    out(args.ptr(2), "flag")?;
    if !items.iter().all(|item| item.progress.is_done()) {
        return in_vain(cx, args.ptr(2)).await;
    }
    cx.memory().write_i32(args.ptr(2), 1)?;
    see_all(cx, &items, args.ptr(3)).await
}

/// `MPI_Request_get_status_some`
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
    let (mut indices, mut found) = (Vec::new(), Vec::new());
    for (index, item) in (0..).zip(items) {
        if !item.progress.is_idle() && item.progress.is_done() {
            indices.push(index);
            found.push(item);
        }
    }
    into.write(cx, &indices)?;
    see_all(cx, &found, into.statuses).await
}

async fn see_all(cx: &mut Cx<'_>, items: &[Item], statuses: u32) -> Result<()> {
    let mut all = Vec::with_capacity(items.len());
    let mut blame = None;
    for item in items {
        if item.progress.is_idle() {
            all.push((Status::EMPTY, true));
            continue;
        }
        let ended = see(cx, item).await?;
        all.push((ended.status, false));
        if ended.status.error != c::MPI_SUCCESS && blame.is_none() {
            blame = Some(ended.comm());
        }
    }
    give_all(cx, &all, statuses, blame)
}
