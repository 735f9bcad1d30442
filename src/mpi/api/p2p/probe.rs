//! Messages before they are received: looked at, or taken out of the queue.

use std::sync::Arc;

use crate::mpi::comm::Comm;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::engine::{Found, Message, Pattern, Request, Span, Status, Target};
use crate::mpi::error::{Result, error};

use super::check::{Places, buffer, elements, out, pattern, went_well, what_failed};
use super::status::{OF_NOBODY, write_status};
use super::test::in_vain;
use super::{Entry, Kind, MAX_REQUESTS};

/// A message that a matching probe took.
#[derive(Debug)]
pub struct Taken {
    message: Message,
    comm: Arc<Comm>,
}

/// Of the calls that receive such a message; it has no peer, tag or communicator.
const TAKEN: Places = Places { buffer: 0, count: 1, datatype: 2, peer: 0, tag: 0, comm: 0 };

fn status_of(found: &Found) -> Status {
    Status {
        source: i32::try_from(found.envelope.source).unwrap_or(c::MPI_ANY_SOURCE),
        tag: found.envelope.tag,
        bytes: found.bytes,
        ..Status::EMPTY
    }
}

/// What the first three arguments ask for.
fn asked(cx: &mut Cx<'_>, args: &Args) -> Result<(Arc<Comm>, Option<Pattern>)> {
    let comm = cx.rank().comm(args.i32(2))?;
    let pattern = pattern(&comm, args.i32(0), args.i32(1))?;
    Ok((comm, pattern))
}

fn look(cx: &mut Cx<'_>, pattern: &Pattern) -> Result<Option<Found>> {
    match cx.rank().endpoint.look(pattern) {
        Ok(found) => Ok(found),
        Err(class) => error(class, what_failed(class)),
    }
}

async fn wait(cx: &mut Cx<'_>, pattern: &Pattern) -> Result<Found> {
    let endpoint = cx.rank().endpoint.clone();
    match cx.wait(endpoint.wait_probe(pattern)).await {
        Ok(found) => Ok(found),
        Err(class) => error(class, what_failed(class)),
    }
}

/// `MPI_Probe`
pub async fn probe(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (_, pattern) = asked(cx, args)?;
    let status = match pattern {
        Some(pattern) => status_of(&wait(cx, &pattern).await?),
        None => OF_NOBODY,
    };
    write_status(cx.memory(), args.ptr(3), &status, false)
}

/// `MPI_Iprobe`
pub async fn iprobe(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (_, pattern) = asked(cx, args)?;
    out(args.ptr(3), "flag")?;
    let status = match pattern {
        Some(pattern) => look(cx, &pattern)?.map(|found| status_of(&found)),
        None => Some(OF_NOBODY),
    };
    match status {
        None => in_vain(cx, args.ptr(3)).await,
        Some(status) => {
            cx.memory().write_i32(args.ptr(3), 1)?;
            write_status(cx.memory(), args.ptr(4), &status, false)
        }
    }
}

/// `MPI_Mprobe`
pub async fn mprobe(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (comm, pattern) = asked(cx, args)?;
    out(args.ptr(3), "message")?;
    has_room(cx)?;
    let Some(pattern) = pattern else {
        return give_nobody(cx, args.ptr(3), args.ptr(4));
    };
    loop {
        // Another call of this rank cannot take it in between; a failure can.
        wait(cx, &pattern).await?;
        if let Some((found, message)) = cx.rank().endpoint.take(&pattern) {
            return give(cx, &found, Taken { message, comm }, args.ptr(3), args.ptr(4));
        }
    }
}

/// `MPI_Improbe`
pub async fn improbe(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (comm, pattern) = asked(cx, args)?;
    out(args.ptr(3), "flag")?;
    out(args.ptr(4), "message")?;
    has_room(cx)?;
    let Some(pattern) = pattern else {
        cx.memory().write_i32(args.ptr(3), 1)?;
        return give_nobody(cx, args.ptr(4), args.ptr(5));
    };
    look(cx, &pattern)?;
    match cx.rank().endpoint.take(&pattern) {
        None => in_vain(cx, args.ptr(3)).await,
        Some((found, message)) => {
            cx.memory().write_i32(args.ptr(3), 1)?;
            give(cx, &found, Taken { message, comm }, args.ptr(4), args.ptr(5))
        }
    }
}

fn has_room(cx: &mut Cx<'_>) -> Result<()> {
    match cx.rank().p2p.messages.iter().nth(MAX_REQUESTS - 1) {
        None => Ok(()),
        Some(_) => error(c::MPI_ERR_OTHER, "too many messages are probed and not received"),
    }
}

fn give_nobody(cx: &mut Cx<'_>, message: u32, status: u32) -> Result<()> {
    cx.memory().write_i32(message, c::MPI_MESSAGE_NO_PROC)?;
    write_status(cx.memory(), status, &OF_NOBODY, false)
}

fn give(cx: &mut Cx<'_>, found: &Found, taken: Taken, message: u32, status: u32) -> Result<()> {
    let Some(handle) = cx.rank().p2p.messages.insert(taken) else {
        return error(c::MPI_ERR_OTHER, "too many messages are probed and not received");
    };
    cx.memory().write_i32(message, handle)?;
    write_status(cx.memory(), status, &status_of(found), false)
}

/// Begins to receive the message of a call; the program's handle is null from then on.
fn begin(cx: &mut Cx<'_>, args: &Args) -> Result<(Arc<Request>, Option<Arc<Comm>>)> {
    out(args.ptr(3), "message")?;
    let handle = cx.memory().read_i32(args.ptr(3))?;
    let nobody = handle == c::MPI_MESSAGE_NO_PROC;
    let comm = match cx.rank().p2p.messages.get(handle) {
        Some(taken) => Some(taken.comm.clone()),
        None if nobody => None,
        None => return error(c::MPI_ERR_REQUEST, format!("{handle:#x} is no message")),
    };
    cx.rank().p2p.blame.clone_from(&comm);
    let span: Span = elements(cx, args, TAKEN)?;
    buffer(&span, args.i32(2), false)?;
    cx.rank().p2p.has_room()?;
    cx.rank().p2p.blame = None;
    cx.memory().write_i32(args.ptr(3), c::MPI_MESSAGE_NULL)?;
    let request = match cx.rank().p2p.messages.remove(handle) {
        Some(taken) => cx.rank().endpoint.receive_taken(taken.message, Target::Guest(span)),
        None => Request::completed(OF_NOBODY),
    };
    Ok((request, comm))
}

/// `MPI_Mrecv`
pub async fn receive(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (request, comm) = begin(cx, args)?;
    let status = cx.wait(request.done()).await;
    write_status(cx.memory(), args.ptr(4), &status, false)?;
    if status.error != c::MPI_SUCCESS {
        cx.rank().p2p.blame = comm;
    }
    went_well(&status)
}

/// `MPI_Imrecv`
pub fn started(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    out(args.ptr(4), "request")?;
    let (request, comm) = begin(cx, args)?;
    let p2p = &mut cx.rank().p2p;
    let handle = match comm {
        // It has matched, so that a cancel of it has no effect.
        Some(comm) => p2p.insert_message(&comm, Entry::Once(request), Kind::Receive)?,
        None => p2p.insert(Entry::Once(request))?,
    };
    cx.memory().write_i32(args.ptr(4), handle)
}
