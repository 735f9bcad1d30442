//! A world on this node: its ranks here, and the way to the others.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::inbox::{Inbox, Posted, Unexpected, packed};
use super::{Envelope, Found, Message, Mode, Pattern, Payload, Request, Status, Target};
use crate::mpi::constants as c;
use crate::mpi::error::Result;
use crate::mpi::memory::Memory;

/// Longest message that is kept by the host for a receive to come, in bytes; a longer one stays
/// with its sender.
const EAGER: u64 = 64 << 10;

/// The ranks of one job.
#[derive(Debug)]
pub struct World {
    inboxes: Vec<Arc<Place>>,
}

#[derive(Debug, Default)]
struct Place {
    inbox: Mutex<Inbox>,
    arrived: Notify,
}

impl World {
    /// One whose ranks are all on this node.
    pub fn local(size: u32) -> Arc<Self> {
        Arc::new(Self { inboxes: (0..size).map(|_| Arc::default()).collect() })
    }
}

/// One rank's way to the others.
#[derive(Debug)]
pub struct Endpoint {
    world: Arc<World>,
    rank: u32,
    place: Arc<Place>,
    memory: OnceLock<Memory>,
}

impl Endpoint {
    /// Of a rank of a world.
    pub fn new(world: Arc<World>, rank: u32) -> Arc<Self> {
        let place = world.inboxes.get(rank as usize).cloned().unwrap_or_default();
        Arc::new(Self { world, rank, place, memory: OnceLock::new() })
    }

    /// Of a program that is a world of its own.
    pub fn alone() -> Arc<Self> {
        Self::new(World::local(1), 0)
    }

    /// The rank in the world.
    pub fn rank(&self) -> u32 {
        self.rank
    }

    /// Ranks in the world.
    pub fn size(&self) -> u32 {
        u32::try_from(self.world.inboxes.len()).unwrap_or(u32::MAX)
    }

    /// The name of the node that it is on.
    pub fn node_name(&self) -> String {
        "localhost".to_owned()
    }

    /// Tells where the rank's memory is.
    pub fn has_memory(&self, memory: &Memory) {
        self.memory.get_or_init(|| memory.clone());
    }

    /// The rank ends, in order or not.
    pub fn leave(&self, _finalized: bool) {}

    /// Begins to send to a rank of the world.
    pub fn send(&self, to: u32, envelope: Envelope, payload: Payload, mode: Mode) -> Arc<Request> {
        let Some(place) = self.world.inboxes.get(to as usize) else {
            return Request::completed(Status::failed(c::MPI_ERR_RANK));
        };
        let request = Request::pending();
        let mut message = Unexpected { envelope, payload, request: Some(request.clone()) };
        let mut inbox = place.inbox.lock();
        let matched = match inbox.find_posted(&message.envelope) {
            true => inbox.arrive(message),
            false => {
                let short = message.bytes() <= EAGER && mode != Mode::Synchronous;
                if short {
                    match packed(&message.payload) {
                        Ok(bytes) => message.payload = Payload::Host(bytes),
                        Err(_) => return Request::completed(Status::failed(c::MPI_ERR_BUFFER)),
                    }
                    message.request = None;
                    request.complete(Status::EMPTY, None);
                }
                inbox.arrive(message)
            }
        };
        drop(inbox);
        match matched {
            Some((posted, message)) => deliver(&posted.target, &posted.request, &message),
            None => place.arrived.notify_waiters(),
        }
        request
    }

    /// Begins to receive.
    pub fn receive(&self, pattern: Pattern, target: Target) -> Arc<Request> {
        let request = Request::pending();
        let posted = Posted { pattern, target, request: request.clone() };
        let matched = self.place.inbox.lock().post(posted);
        if let Some((posted, message)) = matched {
            deliver(&posted.target, &posted.request, &message);
        }
        request
    }

    /// Withdraws a receive that has not matched, or a send that was not matched; whether it could.
    /// The request is then complete, as cancelled.
    pub fn cancel(&self, request: &Arc<Request>) -> bool {
        let withdrawn = self.place.inbox.lock().withdraw(request);
        if withdrawn {
            request.complete(Status { cancelled: true, ..Status::EMPTY }, None);
        }
        withdrawn
    }

    /// Looks for a message.
    pub fn probe(&self, pattern: &Pattern) -> Option<Found> {
        self.place.inbox.lock().find(pattern)
    }

    /// Waits for a message; `Err` with the class of what made that impossible.
    pub async fn wait_probe(&self, pattern: &Pattern) -> std::result::Result<Found, i32> {
        loop {
            let arrived = self.place.arrived.notified();
            if let Some(found) = self.probe(pattern) {
                return Ok(found);
            }
            arrived.await;
        }
    }

    /// Takes a message out of the queue.
    pub fn take(&self, pattern: &Pattern) -> Option<(Found, Message)> {
        let mut inbox = self.place.inbox.lock();
        let found = inbox.find(pattern)?;
        inbox.take(pattern).map(|inner| (found, Message { inner }))
    }

    /// Receives a message that was taken.
    pub fn receive_taken(&self, message: Message, target: Target) -> Arc<Request> {
        let request = Request::pending();
        deliver(&target, &request, &message.inner);
        request
    }
}

/// Copies a message to where it goes, and completes both sides.
fn deliver(target: &Target, request: &Arc<Request>, message: &Unexpected) {
    let copied = copy(target, &message.payload);
    let Envelope { source, tag, .. } = message.envelope;
    let (error, bytes, host) = match copied {
        Ok((bytes, host)) if bytes < message.bytes() => (c::MPI_ERR_TRUNCATE, bytes, host),
        Ok((bytes, host)) => (c::MPI_SUCCESS, bytes, host),
        Err(error) => (error.class().unwrap_or(c::MPI_ERR_OTHER), 0, None),
    };
    let source = i32::try_from(source).unwrap_or(c::MPI_ANY_SOURCE);
    request.complete(Status { source, tag, error, bytes, cancelled: false }, host);
    if let Some(sender) = &message.request {
        sender.complete(Status::EMPTY, None);
    }
}

fn copy(target: &Target, payload: &Payload) -> Result<(u64, Option<Bytes>)> {
    let bytes = packed(payload)?;
    match target {
        Target::Host(most) => {
            let len = usize::try_from(*most).unwrap_or(usize::MAX).min(bytes.len());
            Ok((len as u64, Some(bytes.slice(..len))))
        }
        Target::Guest(span) => {
            let len = usize::try_from(span.bytes()).unwrap_or(usize::MAX).min(bytes.len());
            span.datatype.unpack(&span.memory, span.at, span.count, 0, &bytes[..len])?;
            Ok((len as u64, None))
        }
    }
}
