//! Requests that the program wants no more: freed, or cancelled.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::error::{Result, error};

use super::entry::Progress;
use super::finish::Place;
use super::generalized::{self, Generalized};
use super::{Entry, Kind};

/// `MPI_Request_free`
pub async fn free(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let place = Place::read(cx, args.ptr(0))?;
    let p2p = &mut cx.rank().p2p;
    if let Entry::Generalized(own) = &p2p.request(place.handle)?.entry {
        let own = own.clone();
        return free_generalized(cx, place, &own).await;
    }
    let sends = p2p.remove(place.handle).and_then(|held| match held.progress() {
        Progress::One(request) if held.kind == Kind::Send => Some(request),
        Progress::Two(send, _) => Some(send),
        _ => None,
    });
    if let Some(request) = sends.filter(|request| !request.is_done()) {
        p2p.orphan(request);
    }
    cx.memory().write_i32(place.at, c::MPI_REQUEST_NULL)
}

/// One that is not complete keeps its handle until the program says that it is.
async fn free_generalized(cx: &mut Cx<'_>, place: Place, own: &Arc<Generalized>) -> Result<()> {
    cx.memory().write_i32(place.at, c::MPI_REQUEST_NULL)?;
    own.freed.store(true, Ordering::Relaxed);
    match own.done.is_done() {
        true => generalized::end(cx, place.handle, own).await,
        false => Ok(()),
    }
}

/// `MPI_Cancel`
pub async fn cancel(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let place = Place::read(cx, args.ptr(0))?;
    let held = cx.rank().p2p.request(place.handle)?;
    if let Entry::Generalized(own) = &held.entry {
        let own = own.clone();
        return generalized::cancel(cx, &own).await;
    }
    match held.progress() {
        Progress::One(request) if held.kind != Kind::Other => {
            cx.rank().endpoint.cancel(&request);
            Ok(())
        }
        Progress::Idle => error(c::MPI_ERR_REQUEST, "the request is not active"),
        _ => error(c::MPI_ERR_REQUEST, "only sends and receives can be cancelled"),
    }
}
