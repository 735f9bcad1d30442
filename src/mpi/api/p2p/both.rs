//! A send and a receive in one call.

use bytes::Bytes;

use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::engine::{Mode, Payload, Request, Status};
use crate::mpi::error::{Result, error};

use super::Entry;
use super::check::{Incoming, Outgoing, Places, incoming, out, outgoing, went_well};
use super::entry::both;
use super::status::write_status;

/// Longest message that is exchanged in place, in bytes: it is copied aside.
const MAX_ASIDE: u64 = 1 << 30;

/// `MPI_Sendrecv`: the send
const TO: Places = Places { buffer: 0, count: 1, datatype: 2, peer: 3, tag: 4, comm: 10 };
/// and the receive
const FROM: Places = Places { buffer: 5, count: 6, datatype: 7, peer: 8, tag: 9, comm: 10 };
/// `MPI_Sendrecv_replace`: the send
const OLD: Places = Places { buffer: 0, count: 1, datatype: 2, peer: 3, tag: 4, comm: 7 };
/// and the receive
const NEW: Places = Places { peer: 5, tag: 6, ..OLD };

fn messages(cx: &mut Cx<'_>, args: &Args, in_place: bool) -> Result<(Outgoing, Incoming)> {
    let (to, from) = if in_place { (OLD, NEW) } else { (TO, FROM) };
    Ok((outgoing(cx, args, to)?, incoming(cx, args, from)?))
}

type Requests = (std::sync::Arc<Request>, std::sync::Arc<Request>);

fn begin(cx: &mut Cx<'_>, messages: (Outgoing, Incoming), in_place: bool) -> Result<Requests> {
    let (message, incoming) = messages;
    if !in_place {
        let receive = incoming.begin(cx);
        return Ok((message.begin(cx, Mode::Standard), receive));
    }
    let Some(to) = message.to else {
        return Ok((Request::completed(Status::EMPTY), incoming.begin(cx)));
    };
    let bytes = aside(&message)?;
    let receive = incoming.begin(cx);
    let payload = Payload::Host(bytes);
    let send = cx.rank().endpoint.send(to, message.envelope, payload, Mode::Standard);
    Ok((send, receive))
}

/// The bytes of a message whose buffer will be written to before they are sent.
pub fn aside(message: &Outgoing) -> Result<Bytes> {
    let span = &message.span;
    let len = span.bytes();
    let len = match usize::try_from(len) {
        Ok(bytes) if len <= MAX_ASIDE => bytes,
        _ => return error(c::MPI_ERR_COUNT, format!("{len} bytes are too many to be kept aside")),
    };
    // The host keeps no more than the program could.
    span.memory.read_vec(len as u64, 0)?;
    let mut bytes = vec![0; len];
    span.datatype.pack(&span.memory, span.at, span.count, 0, &mut bytes)?;
    Ok(bytes.into())
}

/// `MPI_Sendrecv`, `MPI_Sendrecv_replace`
pub async fn blocking(cx: &mut Cx<'_>, args: &Args, in_place: bool) -> Result<()> {
    let messages = messages(cx, args, in_place)?;
    let (send, receive) = begin(cx, messages, in_place)?;
    let endpoint = cx.rank().endpoint.clone();
    let ends = async { both(&send.done().await, endpoint.received(&receive).await) };
    let status = cx.wait(ends).await;
    write_status(cx.memory(), args.ptr(if in_place { 8 } else { 11 }), &status, false)?;
    went_well(&status)
}

/// `MPI_Isendrecv`, `MPI_Isendrecv_replace`
pub fn started(cx: &mut Cx<'_>, args: &Args, in_place: bool) -> Result<()> {
    let messages = messages(cx, args, in_place)?;
    let at = args.ptr(if in_place { 8 } else { 11 });
    out(at, "request")?;
    cx.rank().p2p.has_room()?;
    let comm = messages.0.comm.clone();
    let (send, receive) = begin(cx, messages, in_place)?;
    let handle = cx.rank().p2p.insert_on(&comm, Entry::Pair { send, receive })?;
    cx.memory().write_i32(at, handle)
}
