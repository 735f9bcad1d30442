//! Requests that are started again and again.

use std::sync::Arc;

use crate::mpi::constants as c;
use crate::mpi::cx::{Args, Cx};
use crate::mpi::engine::Request;
use crate::mpi::error::{Error, Result, error};

use super::check::{Incoming, Outgoing, USUAL, incoming, out, outgoing};
use super::finish::{Place, array};
use super::send::{How, begin};
use super::{Again, Entry, Kind};

#[derive(Debug)]
struct Send {
    message: Outgoing,
    how: How,
}

#[derive(Debug)]
struct Receive {
    message: Incoming,
}

impl Again for Send {
    fn start(&self, cx: &mut Cx<'_>) -> Result<Arc<Request>> {
        begin(cx, self.message.clone(), self.how)
    }
}

impl Again for Receive {
    fn start(&self, cx: &mut Cx<'_>) -> Result<Arc<Request>> {
        Ok(self.message.clone().begin(cx))
    }
}

/// `MPI_Send_init` and its like.
pub fn send(cx: &mut Cx<'_>, args: &Args, how: How) -> Result<()> {
    let message = outgoing(cx, args, USUAL)?;
    out(args.ptr(6), "request")?;
    let comm = message.comm.clone();
    let again = Arc::new(Send { message, how });
    let entry = Entry::Persistent { again, active: None };
    let handle = cx.rank().p2p.insert_message(&comm, entry, Kind::Send)?;
    cx.memory().write_i32(args.ptr(6), handle)
}

/// `MPI_Recv_init`
pub fn receive(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let message = incoming(cx, args, USUAL)?;
    out(args.ptr(6), "request")?;
    let comm = message.comm.clone();
    let again = Arc::new(Receive { message });
    let entry = Entry::Persistent { again, active: None };
    let handle = cx.rank().p2p.insert_message(&comm, entry, Kind::Receive)?;
    cx.memory().write_i32(args.ptr(6), handle)
}

/// `MPI_Start`
pub fn start(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let place = Place::read(cx, args.ptr(0))?;
    start_one(cx, place.handle)
}

/// `MPI_Startall`
pub fn start_all(cx: &mut Cx<'_>, args: &Args) -> Result<()> {
    let handles = array(cx, args.int(0), args.ptr(1))?;
    // All are looked at before one is started.
    handles.iter().try_for_each(|handle| startable(cx, *handle).map(drop))?;
    handles.iter().try_for_each(|handle| start_one(cx, *handle))
}

fn startable(cx: &mut Cx<'_>, handle: i32) -> Result<Arc<dyn Again>> {
    match &cx.rank().p2p.request(handle)?.entry {
        Entry::Persistent { again, active: None } => Ok(again.clone()),
        Entry::Persistent { .. } => error(c::MPI_ERR_REQUEST, "the request is active already"),
        _ => error(c::MPI_ERR_REQUEST, "the request is no persistent one"),
    }
}

fn start_one(cx: &mut Cx<'_>, handle: i32) -> Result<()> {
    let again = match startable(cx, handle) {
        Ok(again) => again,
        Err(error) => return Err(blamed(cx, handle, error)),
    };
    match again.start(cx) {
        Ok(request) => {
            if let Entry::Persistent { active, .. } = &mut cx.rank().p2p.request_mut(handle)?.entry
            {
                *active = Some(request);
            }
            Ok(())
        }
        Err(error) => Err(blamed(cx, handle, error)),
    }
}

fn blamed(cx: &mut Cx<'_>, handle: i32, error: Error) -> Error {
    let p2p = &mut cx.rank().p2p;
    p2p.blame = p2p.requests.get(handle).and_then(|held| held.comm.clone());
    error
}
