//! Generalized requests: the program does the work and says when it is done; its functions say
//! what came of it. They run inside the call that asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::Val;

use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::engine::{Request, Status};
use crate::mpi::error::{Error, Result, error};

use super::Entry;
use super::check::out;
use super::status::{SIZE, read_status, write_status};

/// A request of the program's own.
#[derive(Debug)]
pub struct Generalized {
    query: u32,
    free: u32,
    cancel: u32,
    /// What its functions are given.
    extra: u32,
    /// Complete when the program has said so.
    pub done: Arc<Request>,
    /// Whether it was freed before that.
    pub freed: AtomicBool,
}

/// `MPI_Grequest_start`
pub fn start(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    for (at, name) in [(0, "query_fn"), (1, "free_fn"), (2, "cancel_fn"), (4, "request")] {
        out(args.ptr(at), name)?;
    }
    let own = Generalized {
        query: args.ptr(0),
        free: args.ptr(1),
        cancel: args.ptr(2),
        extra: args.ptr(3),
        done: Request::pending(),
        freed: AtomicBool::new(false),
    };
    let handle = cx.rank().p2p.insert(Entry::Generalized(Arc::new(own)))?;
    cx.memory().write_i32(args.ptr(4), handle)
}

/// `MPI_Grequest_complete`
pub async fn complete(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let handle = args.i32(0);
    let Entry::Generalized(own) = &cx.rank().p2p.request(handle)?.entry else {
        return error(c::MPI_ERR_REQUEST, "the request is no generalized one");
    };
    let own = own.clone();
    if own.done.is_done() {
        return error(c::MPI_ERR_REQUEST, "the request is complete already");
    }
    own.done.complete(Status::EMPTY, None);
    match own.freed.load(Ordering::Relaxed) {
        true => end(cx, handle, &own).await,
        false => Ok(()),
    }
}

/// Asks the program what came of it.
pub async fn query(cx: &mut Cx<'_>, own: &Generalized) -> Result<Status> {
    let Some(at) = cx.malloc(SIZE).await? else {
        return error(c::MPI_ERR_NO_MEM, "the program has no memory left for a status");
    };
    write_status(cx.memory(), at, &Status::EMPTY, true)?;
    let code = call(cx, own.query, &[own.extra, at]).await?;
    let status = read_status(cx.memory(), at)?;
    cx.free(at).await?;
    Ok(Status { error: code, ..status })
}

/// Asks the program what came of it, and has it freed; it is out of the table already.
pub async fn finish(cx: &mut Cx<'_>, own: &Generalized) -> Result<Status> {
    let mut status = query(cx, own).await?;
    let code = call(cx, own.free, &[own.extra]).await?;
    if status.error == c::MPI_SUCCESS {
        status.error = code;
    }
    Ok(status)
}

/// Has one freed that nobody waits for.
pub async fn end(cx: &mut Cx<'_>, handle: i32, own: &Generalized) -> Result<()> {
    cx.rank().p2p.remove(handle);
    outcome(call(cx, own.free, &[own.extra]).await?)
}

/// Has it cancelled.
pub async fn cancel(cx: &mut Cx<'_>, own: &Generalized) -> Result<()> {
    let complete = u32::from(own.done.is_done());
    outcome(call(cx, own.cancel, &[own.extra, complete]).await?)
}

async fn call(cx: &mut Cx<'_>, function: u32, args: &[u32]) -> Result<i32> {
    let args: Vec<Val> = args.iter().map(|arg| Val::I32(arg.cast_signed())).collect();
    Ok(cx.call(function, &args, true).await?.unwrap_or(c::MPI_SUCCESS))
}

fn outcome(code: i32) -> Result<()> {
    match code {
        c::MPI_SUCCESS => Ok(()),
        code => Err(Error::Code(code)),
    }
}
