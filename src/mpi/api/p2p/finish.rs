//! The end of requests that are complete: what a wait or a test of any form does with them.

use std::sync::Arc;

use crate::mpi::comm::Comm;
use crate::mpi::constants as c;
use crate::mpi::cx::Cx;
use crate::mpi::engine::Status;
use crate::mpi::error::{Error, Result, error};

use super::check::what_failed;
use super::entry::Progress;
use super::status::{SIZE, write_status};
use super::{Entry, MAX_REQUESTS, generalized};

/// A request handle, and where the program has it.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub at: u32,
    pub handle: i32,
}

/// A request of an array, and what is under way of it.
#[derive(Debug)]
pub struct Item {
    pub place: Place,
    pub progress: Progress,
}

/// What came of a request.
#[derive(Debug)]
pub struct Ended {
    pub status: Status,
    comm: Option<Arc<Comm>>,
    /// Whether its error is a code of the program's own.
    code: bool,
}

impl Place {
    /// Reads the handle at an address.
    pub fn read(cx: &Cx<'_>, at: u32) -> Result<Self> {
        if at == 0 {
            return error(c::MPI_ERR_REQUEST, "`request` is a null pointer");
        }
        Ok(Self { at, handle: cx.memory().read_i32(at)? })
    }

    /// What is under way there.
    pub fn look(self, cx: &mut Cx<'_>) -> Result<Item> {
        let progress = progress(cx, self.handle)?;
        Ok(Item { place: self, progress })
    }
}

/// What is under way of a request; nothing of the null request.
pub fn progress(cx: &mut Cx<'_>, handle: i32) -> Result<Progress> {
    match handle {
        c::MPI_REQUEST_NULL => Ok(Progress::Idle),
        _ => cx.rank().p2p.request(handle).map(super::Held::progress),
    }
}

/// Reads an array of handles.
pub fn array(cx: &mut Cx<'_>, count: i64, at: u32) -> Result<Vec<i32>> {
    let count = match usize::try_from(count) {
        Ok(count) if count <= MAX_REQUESTS => count,
        _ => return error(c::MPI_ERR_COUNT, format!("{count} is no count of requests")),
    };
    if count > 0 && at == 0 {
        return error(c::MPI_ERR_ARG, "`array_of_requests` is a null pointer");
    }
    let handles = cx.memory().read_array(at, count, false)?;
    Ok(handles.into_iter().map(|handle| i32::try_from(handle).unwrap_or(-1)).collect())
}

/// Reads an array of requests.
pub fn items(cx: &mut Cx<'_>, count: i64, at: u32) -> Result<Vec<Item>> {
    let handles = array(cx, count, at)?;
    let places = (at..).step_by(4).zip(handles);
    places.map(|(at, handle)| Place { at, handle }.look(cx)).collect()
}

/// Where a status of an array is.
pub fn status_at(array: u32, index: usize) -> u32 {
    if array.cast_signed() == c::MPI_STATUSES_IGNORE {
        return array;
    }
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    array.saturating_add(index.saturating_mul(SIZE))
}

/// Ends a request that is complete. One that can be started again is idle then, any other is gone
/// and its handle null.
pub async fn finish(cx: &mut Cx<'_>, place: Place) -> Result<Ended> {
    let p2p = &mut cx.rank().p2p;
    let held = p2p.request_mut(place.handle)?;
    let comm = held.comm.clone();
    let progress = held.progress();
    let status = progress.status().unwrap_or(Status::EMPTY);
    if status.error == c::MPIX_ERR_PROC_FAILED_PENDING {
        // It goes on, and can be waited for again.
        return Ok(Ended { status, comm, code: false });
    }
    match &mut held.entry {
        Entry::Persistent { active, .. } => {
            *active = None;
            return Ok(Ended { status, comm, code: false });
        }
        Entry::Generalized(own) => {
            let own = own.clone();
            p2p.remove(place.handle);
            cx.memory().write_i32(place.at, c::MPI_REQUEST_NULL)?;
            let status = generalized::finish(cx, &own).await?;
            return Ok(Ended { status, comm, code: true });
        }
        Entry::Once(_) | Entry::Pair { .. } => drop(p2p.remove(place.handle)),
    }
    cx.memory().write_i32(place.at, c::MPI_REQUEST_NULL)?;
    Ok(Ended { status, comm, code: false })
}

/// Ends the request of a call that has one status.
pub async fn finish_one(cx: &mut Cx<'_>, place: Place, status: u32) -> Result<()> {
    let ended = finish(cx, place).await?;
    write_status(cx.memory(), status, &ended.status, false)?;
    ended.outcome(cx)
}

impl Ended {
    /// Of a request as it is, which goes on.
    pub fn seen(status: Status, comm: Option<Arc<Comm>>, code: bool) -> Self {
        Self { status, comm, code }
    }

    /// Whose handler its error goes to.
    pub fn comm(self) -> Option<Arc<Comm>> {
        self.comm
    }

    /// The error, if there was one, of the call that ended it.
    pub fn outcome(self, cx: &mut Cx<'_>) -> Result<()> {
        if self.status.error == c::MPI_SUCCESS {
            return Ok(());
        }
        cx.rank().p2p.blame = self.comm;
        match self.code {
            true => Err(Error::Code(self.status.error)),
            false => error(self.status.error, what_failed(self.status.error)),
        }
    }
}

/// Ends all of these that are complete and writes a status for each, in their order, also for those
/// that are null or idle, and for those that are still under way.
pub async fn finish_all(cx: &mut Cx<'_>, items: &[Item], statuses: u32) -> Result<()> {
    let mut all = Vec::with_capacity(items.len());
    let mut blame = None;
    for item in items {
        let status = if item.progress.is_idle() {
            Status::EMPTY
        } else if item.progress.is_done() {
            let ended = finish(cx, item.place).await?;
            if ended.status.error != c::MPI_SUCCESS && blame.is_none() {
                blame = Some(ended.comm);
            }
            ended.status
        } else {
            Status::failed(c::MPI_ERR_PENDING)
        };
        all.push((status, item.progress.is_idle()));
    }
    give_all(cx, &all, statuses, blame)
}

/// Writes statuses; with their errors if there is one that is to `blame`, which is then the error
/// of the call. The second of each says that it is an empty one.
pub fn give_all(
    cx: &mut Cx<'_>,
    all: &[(Status, bool)],
    statuses: u32,
    blame: Option<Option<Arc<Comm>>>,
) -> Result<()> {
    if statuses.cast_signed() != c::MPI_STATUSES_IGNORE {
        for (index, (status, empty)) in all.iter().enumerate() {
            let with_error = *empty || blame.is_some();
            write_status(cx.memory(), status_at(statuses, index), status, with_error)?;
        }
    }
    match blame {
        None => Ok(()),
        Some(comm) => {
            cx.rank().p2p.blame = comm;
            error(c::MPI_ERR_IN_STATUS, "a request has failed: its status says how")
        }
    }
}

/// Ends all of these that are complete, and writes how many, which and what came of them.
pub async fn finish_some(cx: &mut Cx<'_>, items: &[Item], into: Lists) -> Result<()> {
    let mut all = Vec::new();
    let mut indices = Vec::new();
    let mut blame = None;
    for (index, item) in items.iter().enumerate() {
        if item.progress.is_idle() || !item.progress.is_done() {
            continue;
        }
        let ended = finish(cx, item.place).await?;
        if ended.status.error != c::MPI_SUCCESS && blame.is_none() {
            blame = Some(ended.comm);
        }
        indices.push(i64::try_from(index).unwrap_or(i64::MAX));
        all.push((ended.status, false));
    }
    into.write(cx, &indices)?;
    give_all(cx, &all, into.statuses, blame)
}

/// Where a call puts how many requests are complete, and which, and their statuses.
#[derive(Debug, Clone, Copy)]
pub struct Lists {
    pub count: u32,
    pub indices: u32,
    pub statuses: u32,
}

impl Lists {
    /// Writes the first two.
    pub fn write(&self, cx: &Cx<'_>, indices: &[i64]) -> Result<()> {
        let count = i32::try_from(indices.len()).unwrap_or(i32::MAX);
        cx.memory().write_i32(self.count, count)?;
        cx.memory().write_array(self.indices, indices, false)
    }
}
