//! The arguments of sends and receives, checked in this order: communicator, count, type, rank,
//! tag, buffer; each wrong one gives its class of error.

use std::sync::Arc;

use crate::mpi::api::types;
use crate::mpi::comm::Comm;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::engine::{Envelope, Mode, Pattern, Payload, Request, Span, Status, Target};
use crate::mpi::error::{Result, error};

use super::{TAG_UB, status};

/// Handles of predefined objects are less.
const FIRST_MADE: i32 = 0x1000;
/// Longest message, in bytes: a memory has no more.
const MAX_MESSAGE: u64 = 1 << 32;

/// Which arguments are what.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    pub buffer: usize,
    pub count: usize,
    pub datatype: usize,
    pub peer: usize,
    pub tag: usize,
    pub comm: usize,
}

/// Of most calls.
pub const USUAL: Places = Places { buffer: 0, count: 1, datatype: 2, peer: 3, tag: 4, comm: 5 };

/// A message to send; to nobody, if `to` is `None`.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub comm: Arc<Comm>,
    pub to: Option<u32>,
    pub envelope: Envelope,
    pub span: Span,
}

/// A message to receive; from nobody, if `pattern` is `None`.
#[derive(Debug, Clone)]
pub struct Incoming {
    pub comm: Arc<Comm>,
    pub pattern: Option<Pattern>,
    pub span: Span,
}

/// An address where a result goes.
pub fn out(at: u32, name: &str) -> Result<()> {
    match at {
        0 => error(c::MPI_ERR_ARG, format!("`{name}` is a null pointer")),
        _ => Ok(()),
    }
}

/// The arguments of a send.
pub fn outgoing(cx: &mut Cx<'_>, args: &Args, at: Places) -> Result<Outgoing> {
    let comm = cx.rank().comm(args.i32(at.comm))?;
    let span = elements(cx, args, at)?;
    let to = destination(&comm, args.i32(at.peer))?;
    let tag = args.i32(at.tag);
    if !(0..=TAG_UB).contains(&tag) {
        return error(c::MPI_ERR_TAG, format!("{tag} is no tag of a message"));
    }
    buffer(&span, args.i32(at.datatype), true)?;
    let envelope = Envelope { context: comm.context, source: comm.rank, tag };
    Ok(Outgoing { comm, to, envelope, span })
}

/// The arguments of a receive.
pub fn incoming(cx: &mut Cx<'_>, args: &Args, at: Places) -> Result<Incoming> {
    let comm = cx.rank().comm(args.i32(at.comm))?;
    let span = elements(cx, args, at)?;
    let pattern = pattern(&comm, args.i32(at.peer), args.i32(at.tag))?;
    buffer(&span, args.i32(at.datatype), false)?;
    Ok(Incoming { comm, pattern, span })
}

/// What a receive or probe of these takes; `None` if that is from nobody.
pub fn pattern(comm: &Comm, source: i32, tag: i32) -> Result<Option<Pattern>> {
    let from = match source {
        c::MPI_ANY_SOURCE => Some(None),
        _ => destination(comm, source)?.map(Some),
    };
    if tag != c::MPI_ANY_TAG && !(0..=TAG_UB).contains(&tag) {
        return error(c::MPI_ERR_TAG, format!("{tag} is no tag of a message"));
    }
    let tag = Some(tag).filter(|tag| *tag != c::MPI_ANY_TAG);
    let source = u32::try_from(source).ok();
    Ok(from.map(|world_source| Pattern { context: comm.context, source, world_source, tag }))
}

/// The rank in the world of one in a communicator; `None` if it is nobody.
pub fn destination(comm: &Comm, rank: i32) -> Result<Option<u32>> {
    if rank == c::MPI_PROC_NULL {
        return Ok(None);
    }
    match u32::try_from(rank).ok().and_then(|rank| comm.peers().world_rank(rank)) {
        Some(world) => Ok(Some(world)),
        None => {
            let last = comm.peers().size().saturating_sub(1);
            error(c::MPI_ERR_RANK, format!("{rank} is no rank of the communicator (0 to {last})"))
        }
    }
}

/// The elements that a call names, without a look at where they are.
pub fn elements(cx: &mut Cx<'_>, args: &Args, at: Places) -> Result<Span> {
    let count = args.int(at.count);
    let Ok(count) = u64::try_from(count) else {
        return error(c::MPI_ERR_COUNT, format!("{count} is no count"));
    };
    let datatype = types::of(cx, args.i32(at.datatype))?;
    let (memory, at) = (cx.memory().clone(), u64::from(args.ptr(at.buffer)));
    Ok(Span { memory, at, count, datatype })
}

/// Whether elements may be where a call says: elements of a predefined type are not at an address
/// that means something else, and those that are sent are in the memory. Others are checked when
/// they are copied.
pub fn buffer(span: &Span, datatype: i32, sent: bool) -> Result<()> {
    let bytes = span.bytes();
    if bytes == 0 {
        return Ok(());
    }
    if sent && bytes > MAX_MESSAGE {
        return error(c::MPI_ERR_COUNT, format!("a message of {bytes} bytes is too long"));
    }
    let predefined = datatype < FIRST_MADE;
    if predefined && span.at <= u64::from(c::MPI_BUFFER_AUTOMATIC.cast_unsigned()) {
        return error(c::MPI_ERR_BUFFER, format!("{:#x} is no address of a message", span.at));
    }
    match predefined && sent {
        true => span.memory.read_vec(span.at + bytes, 0).map(drop),
        false => Ok(()),
    }
}

impl Outgoing {
    /// Begins to send it.
    pub fn begin(self, cx: &mut Cx<'_>, mode: Mode) -> Arc<Request> {
        match self.to {
            Some(to) => cx.rank().endpoint.send(to, self.envelope, Payload::Guest(self.span), mode),
            None => Request::completed(Status::EMPTY),
        }
    }
}

impl Incoming {
    /// Begins to receive it.
    pub fn begin(self, cx: &mut Cx<'_>) -> Arc<Request> {
        match self.pattern {
            Some(pattern) => cx.rank().endpoint.receive(pattern, Target::Guest(self.span)),
            None => Request::completed(status::OF_NOBODY),
        }
    }
}

/// Whether what a blocking call waited for went well.
pub fn went_well(status: &Status) -> Result<()> {
    match status.error {
        c::MPI_SUCCESS => Ok(()),
        class => error(class, what_failed(class)),
    }
}

/// A line about an error of a message.
pub fn what_failed(class: i32) -> &'static str {
    match class {
        c::MPI_ERR_TRUNCATE => "the message is longer than the buffer that receives it",
        c::MPI_ERR_BUFFER => "the message's buffer is not in the memory",
        c::MPIX_ERR_PROC_FAILED => "a process that the message depends on has failed",
        c::MPIX_ERR_PROC_FAILED_PENDING => "a process that may send the message has failed",
        c::MPIX_ERR_REVOKED => "the communicator was revoked",
        _ => "the message could not be delivered",
    }
}
