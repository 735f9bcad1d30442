//! Buffered sends. A buffer that the program attaches says how much may be on its way; the bytes
//! themselves are kept by the host. A message takes its bytes and `MPI_BSEND_OVERHEAD` of its
//! buffer until the receiver's side has taken it in, as it does short ones before they are
//! received: a detach need not wait for their receives.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::mpi::comm::Comm;
use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::engine::{Mode, Payload, Request, Status};
use crate::mpi::error::{Error, Result, error};

use super::Entry;
use super::both::aside;
use super::check::{Outgoing, out};

/// Most buffers that a rank may have attached.
const MAX_BUFFERS: usize = 4096;
/// Most bytes on their way out of a buffer that is ours.
const MAX_AUTOMATIC: u64 = 256 << 20;
/// What a message takes beside its bytes.
const OVERHEAD: u64 = c::MPI_BSEND_OVERHEAD as u64;

/// Whose buffer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The process's.
    Process,
    /// A communicator's, by its context.
    Comm(u64),
    /// A session's, by its handle.
    Session(i32),
}

/// Buffers that are attached.
#[derive(Debug, Default)]
pub struct Buffers {
    by_owner: BTreeMap<Owner, Buffer>,
}

#[derive(Debug)]
struct Buffer {
    at: u32,
    size: u64,
    /// What is on its way, and what that takes.
    messages: Vec<(u64, Arc<Request>)>,
}

impl Buffer {
    fn is_automatic(&self) -> bool {
        self.at.cast_signed() == c::MPI_BUFFER_AUTOMATIC
    }

    /// Bytes that are free.
    fn room(&mut self) -> u64 {
        self.messages.retain(|(_, request)| !request.is_done());
        let used: u64 = self.messages.iter().map(|(bytes, _)| bytes).sum();
        let size = if self.is_automatic() { MAX_AUTOMATIC } else { self.size };
        size.saturating_sub(used)
    }

    fn overlaps(&self, at: u32, size: u64) -> bool {
        let (one, other) = (u64::from(self.at), u64::from(at));
        !self.is_automatic() && one < other + size && other < one + self.size
    }

    fn under_way(&mut self) -> Vec<Arc<Request>> {
        self.room();
        self.messages.iter().map(|(_, request)| request.clone()).collect()
    }
}

impl Buffers {
    /// The one that a message of a communicator goes to: its own, else that of the session that it
    /// comes from, or the process's if it comes from none.
    fn of(&mut self, comm: &Comm) -> Option<&mut Buffer> {
        let own = Owner::Comm(comm.context);
        let owner = match comm.session {
            _ if self.by_owner.contains_key(&own) => own,
            0 => Owner::Process,
            session => Owner::Session(session),
        };
        self.by_owner.get_mut(&owner)
    }

    fn attach(&mut self, owner: Owner, at: u32, size: u64) -> Result<()> {
        if self.by_owner.contains_key(&owner) {
            return error(c::MPI_ERR_BUFFER, "a buffer is attached already: detach it first");
        }
        if self.by_owner.len() >= MAX_BUFFERS {
            return error(c::MPI_ERR_BUFFER, format!("there are {MAX_BUFFERS} buffers already"));
        }
        let automatic = at.cast_signed() == c::MPI_BUFFER_AUTOMATIC;
        if !automatic && self.by_owner.values().any(|other| other.overlaps(at, size)) {
            return error(c::MPI_ERR_BUFFER, "the buffer overlaps one that is attached");
        }
        self.by_owner.insert(owner, Buffer { at, size, messages: Vec::new() });
        Ok(())
    }

    /// Forgets a buffer; what is on its way out of it.
    pub fn release(&mut self, owner: Owner) -> Vec<Arc<Request>> {
        self.by_owner.remove(&owner).map_or_else(Vec::new, |mut buffer| buffer.under_way())
    }

    fn get(&mut self, owner: Owner) -> Result<&mut Buffer> {
        let none = || Error::new(c::MPI_ERR_BUFFER, "no buffer is attached");
        self.by_owner.get_mut(&owner).ok_or_else(none)
    }
}

/// Sends a message from a buffer; complete at once.
pub fn begin(cx: &mut Cx<'_>, message: Outgoing) -> Result<Arc<Request>> {
    let Some(to) = message.to else { return Ok(Request::completed(Status::EMPTY)) };
    let takes = message.span.bytes().saturating_add(OVERHEAD);
    let Some(buffer) = cx.rank().p2p.buffers.of(&message.comm) else {
        return error(c::MPI_ERR_BUFFER, "a buffered send needs a buffer: attach one");
    };
    let room = buffer.room();
    if takes > room {
        let why = format!("the message takes {takes} bytes of the buffer, {room} are free");
        return error(c::MPI_ERR_BUFFER, why);
    }
    let payload = Payload::Host(aside(&message)?);
    let request = cx.rank().endpoint.send(to, message.envelope, payload, Mode::Standard);
    if let Some(buffer) = cx.rank().p2p.buffers.of(&message.comm) {
        buffer.messages.push((takes, request));
    }
    Ok(Request::completed(Status::EMPTY))
}

/// Waits until all that was sent and has no request any more has left: buffered messages and sends
/// whose requests were freed. What `MPI_Finalize` does first.
pub async fn drain(cx: &mut Cx<'_>) {
    let p2p = &mut cx.rank().p2p;
    let mut open = std::mem::take(&mut p2p.orphans);
    for buffer in p2p.buffers.by_owner.values_mut() {
        open.extend(buffer.under_way());
    }
    wait(cx, open).await;
}

async fn wait(cx: &mut Cx<'_>, open: Vec<Arc<Request>>) {
    for request in open {
        cx.wait(request.done()).await;
    }
}

/// Whose buffer a call is about, and where its further arguments begin.
fn owner(cx: &mut Cx<'_>, args: &Args) -> Result<(Owner, usize)> {
    if args.name.starts_with("MPI_Comm_") {
        let comm = cx.rank().comm(args.i32(0))?;
        return Ok((Owner::Comm(comm.context), 1));
    }
    if args.name.starts_with("MPI_Session_") {
        cx.rank().env.sessions.get(args.i32(0))?;
        return Ok((Owner::Session(args.i32(0)), 1));
    }
    Ok((Owner::Process, 0))
}

/// `MPI_Buffer_attach` and its like.
pub fn attach(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (owner, first) = owner(cx, args)?;
    let (at, size) = (args.ptr(first), args.int(first + 1));
    let Ok(size) = u64::try_from(size) else {
        return error(c::MPI_ERR_ARG, format!("{size} is no size of a buffer"));
    };
    if at.cast_signed() != c::MPI_BUFFER_AUTOMATIC {
        if at == 0 && size > 0 {
            return error(c::MPI_ERR_BUFFER, "the buffer is a null pointer");
        }
        // It has to be there, though the host keeps the bytes: it bounds them.
        let end = u64::from(at).saturating_add(size);
        cx.memory().read_vec(end, 0)?;
    }
    cx.rank().p2p.buffers.attach(owner, at, size)
}

/// `MPI_Buffer_detach` and its like.
pub async fn detach(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (owner, first) = owner(cx, args)?;
    out(args.ptr(first), "buffer_addr")?;
    out(args.ptr(first + 1), "size")?;
    let open = cx.rank().p2p.buffers.get(owner)?.under_way();
    wait(cx, open).await;
    let Some(buffer) = cx.rank().p2p.buffers.by_owner.remove(&owner) else { return Ok(()) };
    cx.memory().write_i32(args.ptr(first), buffer.at.cast_signed())?;
    // The size that came with `MPI_BUFFER_AUTOMATIC` meant nothing.
    let size = if buffer.is_automatic() { 0 } else { buffer.size };
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    match args.large {
        true => cx.memory().write_i64(args.ptr(first + 1), size),
        false => {
            let size = i32::try_from(size).unwrap_or(c::MPI_UNDEFINED);
            cx.memory().write_i32(args.ptr(first + 1), size)
        }
    }
}

/// `MPI_Buffer_flush` and its like.
pub async fn flush(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (owner, _) = owner(cx, args)?;
    let open = cx.rank().p2p.buffers.get(owner)?.under_way();
    wait(cx, open).await;
    Ok(())
}

/// `MPI_Buffer_iflush` and its like.
pub fn flush_later(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let (owner, first) = owner(cx, args)?;
    out(args.ptr(first), "request")?;
    let open = cx.rank().p2p.buffers.get(owner)?.under_way();
    cx.rank().p2p.has_room()?;
    let request = Request::pending();
    if open.is_empty() {
        request.complete(Status::EMPTY, None);
    } else {
        let request = request.clone();
        cx.rank().p2p.tasks.spawn(async move {
            for message in open {
                message.done().await;
            }
            request.complete(Status::EMPTY, None);
        })?;
    }
    let handle = cx.rank().p2p.insert(Entry::Once(request))?;
    cx.memory().write_i32(args.ptr(first), handle)
}
