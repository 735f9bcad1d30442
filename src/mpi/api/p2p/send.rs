//! Sends of all modes.

use std::sync::Arc;

use crate::mpi::cx::{Args, Cx};
use crate::mpi::engine::{Mode, Request, Status};
use crate::mpi::error::Result;

use super::check::{Outgoing, USUAL, out, outgoing, went_well};
use super::{Entry, Kind, buffer};

/// How a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// As the engine does it.
    As(Mode),
    /// From a buffer.
    Buffered,
}

/// Begins a send. Complete at once if it is buffered.
pub fn begin(cx: &mut Cx<'_>, message: Outgoing, how: How) -> Result<Arc<Request>> {
    match how {
        How::As(mode) => Ok(message.begin(cx, mode)),
        How::Buffered => buffer::begin(cx, message),
    }
}

/// A send that is complete when the call returns.
pub fn blocking(cx: &mut Cx<'_>, args: &Args, how: How) -> Result<Arc<Request>> {
    let message = outgoing(cx, args, USUAL)?;
    begin(cx, message, how)
}

/// The end of that.
pub fn sent(_cx: &mut Cx<'_>, _args: &Args, status: &Status) -> Result<()> {
    went_well(status)
}

/// A send that goes on while the program does something else.
pub fn started(cx: &mut Cx<'_>, args: &Args, how: How) -> Result<()> {
    let message = outgoing(cx, args, USUAL)?;
    out(args.ptr(6), "request")?;
    cx.rank().p2p.has_room()?;
    let comm = message.comm.clone();
    let request = begin(cx, message, how)?;
    let handle = cx.rank().p2p.insert_message(&comm, Entry::Once(request), Kind::Send)?;
    cx.memory().write_i32(args.ptr(6), handle)
}
