//! What a program needs to go on after ranks have failed (user-level failure mitigation): to hear who
//! failed, to stop all use of a communicator, to agree, and to make one without those that failed.

use crate::mpi::agree::{Value, agree};
use crate::mpi::api::comm::make;
use crate::mpi::api::p2p::Entry;
use crate::mpi::comm::Comm;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::dispatch::{Handler, Table, waits};
use crate::mpi::engine::{Request, Status};
use crate::mpi::error::{Result, error};
use crate::mpi::group::Group;

/// The calls.
pub const TABLE: Table = &[
    ("MPIX_Comm_revoke", Handler::Now(revoke)),
    ("MPIX_Comm_is_revoked", Handler::Now(is_revoked)),
    ("MPIX_Comm_get_failed", Handler::Now(get_failed)),
    ("MPIX_Comm_ack_failed", Handler::Now(ack_failed)),
    ("MPIX_Comm_agree", waits!(agree_flags)),
    ("MPIX_Comm_iagree", Handler::Now(iagree)),
    ("MPIX_Comm_shrink", waits!(shrink)),
];

/// All calls of all ranks on the communicator fail from now on, but for those here.
fn revoke(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = cx.rank().comm(args.i32(0))?;
    match cx.rank().endpoint.revoke(comm.context) {
        true => Ok(()),
        false => error(c::MPI_ERR_NO_MEM, "too many communicators were revoked"),
    }
}

fn is_revoked(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = cx.rank().comm(args.i32(0))?;
    let revoked = cx.rank().endpoint.is_revoked(comm.context);
    cx.memory().write_i32(args.ptr(1), i32::from(revoked))
}

/// The world's ranks of the communicator that failed, in the order in which this rank heard of it.
fn failed_of(cx: &mut Cx<'_>, comm: &Comm) -> Vec<u32> {
    let failed = cx.rank().endpoint.failed();
    let remote = comm.remote.as_ref();
    let member = |rank: &u32| {
        comm.group.rank_of(*rank).is_some() || remote.is_some_and(|g| g.rank_of(*rank).is_some())
    };
    failed.into_iter().filter(member).collect()
}

fn get_failed(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = cx.rank().comm(args.i32(0))?;
    let failed = failed_of(cx, &comm);
    let handle = match failed.is_empty() {
        true => c::MPI_GROUP_EMPTY,
        false => match cx.rank().groups.insert(Group::new(failed)) {
            Some(handle) => handle,
            None => return error(c::MPI_ERR_NO_MEM, "there are too many groups"),
        },
    };
    cx.memory().write_i32(args.ptr(1), handle)
}

/// A receive from any source goes on without those that were acknowledged.
fn ack_failed(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = cx.rank().comm(args.i32(0))?;
    let Ok(count) = usize::try_from(args.int(1)) else {
        return error(c::MPI_ERR_ARG, "the number of failures is negative");
    };
    let failed = failed_of(cx, &comm);
    if count >= failed.len() {
        cx.rank().endpoint.acknowledge(comm.context);
    }
    let known = cx.rank().env.acknowledged.entry(comm.context).or_default();
    if count > known.len() {
        *known = failed.into_iter().take(count).collect();
    }
    let known = known.clone();
    let count = i32::try_from(known.len()).unwrap_or(i32::MAX);
    cx.memory().write_i32(args.ptr(2), count)
}

/// What this rank gives to an agreement.
fn mine(cx: &mut Cx<'_>, comm: &Comm, flag: i32) -> Value {
    let failed = failed_of(cx, comm);
    let rank = cx.rank();
    let context = rank.comm.draw(rank.endpoint.rank());
    Value { flag, context, failed }
}

/// Whether any of these ranks was not acknowledged by this one.
fn is_news(cx: &mut Cx<'_>, comm: &Comm, failed: &[u32]) -> bool {
    let known = cx.rank().env.acknowledged.get(&comm.context);
    failed.iter().any(|rank| !known.is_some_and(|known| known.contains(rank)))
}

/// The flag is agreed on also where the call says that a failure was not acknowledged.
async fn agree_flags(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = cx.rank().comm(args.i32(0))?;
    let flag = cx.memory().read_i32(args.ptr(1))?;
    let (endpoint, mine) = (cx.rank().endpoint.clone(), mine(cx, &comm, flag));
    let value = cx.wait(agree(endpoint, comm.clone(), mine)).await?;
    cx.memory().write_i32(args.ptr(1), value.flag)?;
    match is_news(cx, &comm, &value.failed) {
        true => error(c::MPIX_ERR_PROC_FAILED, "a rank failed and was not acknowledged"),
        false => Ok(()),
    }
}

fn iagree(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = cx.rank().comm(args.i32(0))?;
    let at = args.ptr(1);
    let flag = cx.memory().read_i32(at)?;
    let (endpoint, mine) = (cx.rank().endpoint.clone(), mine(cx, &comm, flag));
    let memory = cx.memory().clone();
    let known = cx.rank().env.acknowledged.get(&comm.context).cloned().unwrap_or_default();
    let request = Request::pending();
    let (done, about) = (request.clone(), comm.clone());
    tokio::spawn(async move {
        let error = match agree(endpoint, comm, mine).await {
            Ok(value) => match memory.write_i32(at, value.flag) {
                Err(error) => error.class().unwrap_or(c::MPI_ERR_BUFFER),
                Ok(()) if value.failed.iter().all(|rank| known.contains(rank)) => c::MPI_SUCCESS,
                Ok(()) => c::MPIX_ERR_PROC_FAILED,
            },
            Err(error) => error.class().unwrap_or(c::MPI_ERR_OTHER),
        };
        done.complete(Status { error, ..Status::EMPTY }, None);
    });
    let handle = cx.rank().p2p.insert_on(&about, Entry::Once(request))?;
    cx.memory().write_i32(args.ptr(2), handle)
}

/// A communicator of those that are left, in the same order.
async fn shrink(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let comm = cx.rank().comm(args.i32(0))?;
    let (endpoint, mine) = (cx.rank().endpoint.clone(), mine(cx, &comm, 0));
    let value = cx.wait(agree(endpoint, comm.clone(), mine)).await?;
    let left = comm.group.members().iter().filter(|rank| !value.failed.contains(rank));
    let group = Group::new(left.copied().collect());
    let me = cx.rank().endpoint.rank();
    let Some(rank) = group.rank_of(me) else {
        return error(c::MPIX_ERR_PROC_FAILED, "the others take this rank for failed");
    };
    let mut shrunk = Comm::new(value.context, group, rank, None);
    shrunk.session = comm.session;
    shrunk.state.lock().errhandler = comm.state.lock().errhandler;
    make::give(cx, args.ptr(1), Some(shrunk))
}
