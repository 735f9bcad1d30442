//! One rank's way to the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use super::inbox::{Body, Posted, Unexpected};
use super::request::Where;
use super::world::{Place, World};
use super::{Envelope, Found, Message, Mode, Pattern, Payload, Request, Status, Target};
use crate::id::NodeId;
use crate::mpi::coll::meeting::Meetings;
use crate::mpi::constants as c;
use crate::mpi::memory::Memory;
use crate::wire::mpi::{MpiTold, Route};

/// Longest message between ranks of a node that is kept by the host for a receive to come, in
/// bytes; a longer one stays with its sender.
const EAGER: u64 = 64 << 10;
/// How long a rank looks out for what it waits for before it gives way, as long as all ranks here
/// can run at once.
const LOOK_OUT: Duration = Duration::from_micros(20);
/// How long it looks on after that, while other threads may have the core between two looks: less
/// than a sleep and waking up cost where cores are virtual.
const LOOK_ON: Duration = Duration::from_micros(200);
/// How often a rank looks between two looks at the clock, and how long it pauses between.
const LOOKS: u32 = 8;
const PAUSES: u32 = 4;
/// Shorter ones are copied at once, which takes less than to lock twice.
const TINY: u64 = 1 << 10;

/// See the top.
#[derive(Debug)]
pub struct Endpoint {
    world: Arc<World>,
    rank: u32,
    place: Arc<Place>,
    memory: OnceLock<Memory>,
    left: AtomicBool,
}

impl Endpoint {
    /// Of a rank of a world.
    pub fn new(world: Arc<World>, rank: u32) -> Arc<Self> {
        let place = world.here(rank).cloned().unwrap_or_default();
        place.taken.store(true, Ordering::Release);
        Arc::new(Self { world, rank, place, memory: OnceLock::new(), left: AtomicBool::new(false) })
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
        self.world.size()
    }

    /// The node of a rank.
    pub fn node_of(&self, rank: u32) -> Option<NodeId> {
        self.world.nodes.get(rank as usize).copied()
    }

    /// The name of the node that it is on.
    pub fn node_name(&self) -> String {
        match &self.world.far {
            Some(_) => self.world.me.to_string(),
            None => "localhost".to_owned(),
        }
    }

    /// Tells where the rank's memory is.
    pub fn has_memory(&self, memory: &Memory) {
        self.memory.get_or_init(|| memory.clone());
    }

    /// The rank ends, in order or not. The first time counts.
    pub fn leave(&self, finalized: bool) {
        if self.left.swap(true, Ordering::AcqRel) {
            return;
        }
        self.world.tell_all(&MpiTold::Ended(self.rank, finalized));
        let why = format!("rank {} of the MPI job ended without MPI_Finalize", self.rank);
        self.world.ended(self.rank, finalized, &why);
        self.world.forget_if_over();
    }

    /// Says in which call the rank waits.
    pub fn waits_in(&self, call: Option<&'static str>) {
        *self.place.waits_in.lock() = call;
    }

    /// Looks for something as long as a rank that runs may need for it, without giving way. `None`
    /// if it did not come, or where ranks wait for each other's turn.
    pub fn look_out<T>(&self, mut look: impl FnMut() -> Poll<T>) -> Option<T> {
        if !self.world.is_lively() || !self.place.looks_out() {
            return None;
        }
        let begun = Instant::now();
        loop {
            for _ in 0..LOOKS {
                (0..PAUSES).for_each(|_| std::hint::spin_loop());
                if let Poll::Ready(done) = look() {
                    self.place.looked_out(false);
                    return Some(done);
                }
            }
            let waited = begun.elapsed();
            if waited >= LOOK_ON {
                self.place.looked_out(true);
                return None;
            }
            if waited >= LOOK_OUT {
                std::thread::yield_now();
            }
        }
    }

    /// Where ranks of this node meet, unless all ranks are to exchange messages.
    pub fn meetings(&self) -> Option<&Meetings> {
        (!self.world.meetings.are_closed()).then_some(&self.world.meetings)
    }

    /// Counts what one rank of this node took of another in memory, as if it had been sent.
    pub fn took(&self, from: u32, to: u32, bytes: u64) {
        if let Some(place) = self.world.here(from) {
            place.count(to, self.world.nodes.len(), bytes);
        }
    }

    /// Begins to send to a rank of the world.
    pub fn send(&self, to: u32, envelope: Envelope, payload: Payload, mode: Mode) -> Arc<Request> {
        let request = Request::pending();
        if to >= self.size() {
            request.fail(c::MPI_ERR_RANK);
            return request;
        }
        let bytes = payload.bytes();
        self.place.count(to, self.world.nodes.len(), bytes);
        let Some(place) = self.world.here(to) else {
            let route = Route { from: self.rank, to };
            self.world.send_far(route, envelope, payload, mode, &request);
            return request;
        };
        let mut inbox = place.inbox.lock();
        if let Some(class) = self.world.no_send(to, envelope.context) {
            request.fail(class);
            return request;
        }
        if self.world.is_idle(to, &envelope) {
            request.complete(Status::EMPTY, None);
            return request;
        }
        if let Some(posted) = inbox.match_posted(&envelope) {
            drop(inbox);
            let message = self.message(envelope, payload.into(), Some(request.clone()));
            self.world.deliver(to, posted, message);
            return request;
        }
        let short = match &payload {
            Payload::Guest(_) => bytes <= EAGER,
            Payload::Host(_) => true,
        };
        if mode == Mode::Synchronous || !short || !inbox.may_keep(bytes) {
            let message = self.message(envelope, payload.into(), Some(request.clone()));
            if self.world.arrive(to, place, inbox, message).is_err() {
                request.fail(c::MPI_ERR_NO_MEM);
            }
            return request;
        }
        let packed = match bytes <= TINY {
            true => payload.pack(0, bytes),
            false => {
                drop(inbox);
                let packed = payload.pack(0, bytes);
                inbox = place.inbox.lock();
                if let Some(class) = self.world.no_send(to, envelope.context) {
                    request.fail(class);
                    return request;
                }
                packed
            }
        };
        match packed {
            Ok(packed) => {
                let message = self.message(envelope, Body::Host(packed), None);
                match self.world.arrive(to, place, inbox, message) {
                    Ok(()) => request.complete(Status::EMPTY, None),
                    Err(_) => request.fail(c::MPI_ERR_NO_MEM),
                }
            }
            Err(error) => request.fail(error.class().unwrap_or(c::MPI_ERR_BUFFER)),
        }
        request
    }

    /// Begins to receive.
    pub fn receive(&self, pattern: Pattern, target: Target) -> Arc<Request> {
        let request = Request::pending();
        let mut inbox = self.place.inbox.lock();
        if let Some(class) = self.world.is_over(pattern.context) {
            request.fail(class);
            return request;
        }
        let posted = Posted { pattern, target, request: request.clone() };
        if let Some(message) = inbox.take(&pattern) {
            drop(inbox);
            self.world.deliver(self.rank, posted, message);
            return request;
        }
        if let Some(class) = self.world.no_receive(&pattern) {
            request.fail(class);
            return request;
        }
        if self.world.is_doubtful(self.rank, &pattern) {
            request.doubts();
        }
        match inbox.post(posted) {
            Ok(slot) => request.waits(Where::Posted(slot)),
            Err(_) => request.fail(c::MPI_ERR_NO_MEM),
        }
        request
    }

    /// Waits for a receive that nobody can wait for again: doubt ends it.
    pub async fn received(&self, request: &Arc<Request>) -> Status {
        let settled = std::future::poll_fn(|cx| match request.poll_settled(cx.waker()) {
            Some(status) => Poll::Ready(status),
            None => Poll::Pending,
        });
        let status = settled.await;
        if status.error != c::MPIX_ERR_PROC_FAILED_PENDING {
            return status;
        }
        match self.cancel(request) {
            true => Status::failed(c::MPIX_ERR_PROC_FAILED),
            // It has just taken a message.
            false => request.done().await,
        }
    }

    /// Withdraws a receive that has not matched, or a send that was not matched; whether it could
    /// at once. The request is then complete, as cancelled; so it will be, if that is not too late,
    /// when the receiver of a send on another node says so.
    pub fn cancel(&self, request: &Arc<Request>) -> bool {
        let withdrawn = match request.place() {
            Where::Nowhere => false,
            Where::Posted(slot) => self.place.inbox.lock().withdraw(slot, request).is_some(),
            Where::Kept(to, slot) => self
                .world
                .here(to)
                .is_some_and(|place| place.inbox.lock().withdraw_sent(slot, request).is_some()),
            Where::Away(number) => {
                self.world.cancel_far(number, self.rank);
                false
            }
        };
        if withdrawn {
            request.complete(Status { cancelled: true, ..Status::EMPTY }, None);
        }
        withdrawn
    }

    /// Looks for a message.
    pub fn probe(&self, pattern: &Pattern) -> Option<Found> {
        self.place.inbox.lock().find(pattern)
    }

    /// Looks for a message; `Err` with the class of what prevents that one comes.
    pub fn look(&self, pattern: &Pattern) -> Result<Option<Found>, i32> {
        let inbox = self.place.inbox.lock();
        if let Some(class) = self.world.is_over(pattern.context) {
            return Err(class);
        }
        match (inbox.find(pattern), self.world.no_receive(pattern)) {
            (None, Some(class)) => Err(class),
            (None, None) if self.world.is_doubtful(self.rank, pattern) => {
                Err(c::MPIX_ERR_PROC_FAILED)
            }
            (found, _) => Ok(found),
        }
    }

    /// Waits for a message; `Err` with the class of what made that impossible.
    pub async fn wait_probe(&self, pattern: &Pattern) -> Result<Found, i32> {
        if let Some(found) = self.look(pattern)? {
            return Ok(found);
        }
        let _probing = Probing::begin(&self.place);
        loop {
            let arrived = self.place.arrived.notified();
            if let Some(found) = self.look(pattern)? {
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
        let Envelope { context, source, tag } = message.inner.envelope;
        let pattern = Pattern { context, source: Some(source), world_source: None, tag: Some(tag) };
        let posted = Posted { pattern, target, request: request.clone() };
        self.world.deliver(self.rank, posted, message.inner);
        request
    }

    /// Ranks that ended without `MPI_Finalize`, or were lost with their node, in order.
    pub fn failed(&self) -> Vec<u32> {
        self.world.failed()
    }

    /// Says whether the rank can handle errors: else the job ends when a rank fails. So it does
    /// when no rank of a node can.
    pub fn survives_failures(&self, survives: bool) {
        self.place.survives.store(survives, Ordering::Release);
    }

    /// Ends the job: all its ranks on all nodes, but for this one, which is to end by itself.
    pub fn abort(&self, code: i32, why: &str) {
        self.world.abort(code, why, Some(self.rank));
    }

    /// Why the job was aborted, if it was, and with which code.
    pub fn aborted(&self) -> Option<(i32, String)> {
        self.world.fate.lock().aborted.clone()
    }

    /// Takes no part any more in a collective, by its context and tag: whoever waits for this rank
    /// in it gets this class.
    pub fn parts(&self, context: u64, tag: i32, class: i32) {
        self.world.parts(self.rank, context, tag, class);
    }

    /// Whether that is so.
    pub fn has_parted(&self, context: u64, tag: i32) -> Option<i32> {
        self.world.has_parted(self.rank, context, tag)
    }

    /// Revokes a communicator, by its context, on all nodes: its calls, those of its collectives
    /// too, give `MPIX_ERR_REVOKED` from now on. `false` when there are too many.
    pub fn revoke(&self, context: u64) -> bool {
        match self.world.revoked(context) {
            Some(true) => {
                self.world.tell_all(&MpiTold::Revoke(context));
                true
            }
            Some(false) => true,
            None => false,
        }
    }

    /// Why a communicator is of no use any more, if it is not: it was revoked, or the job aborted.
    pub fn is_over(&self, context: u64) -> Option<i32> {
        self.world.is_over(context)
    }

    /// Whether it was revoked.
    pub fn is_revoked(&self, context: u64) -> bool {
        self.world.is_revoked(context)
    }

    /// Says which ranks of the world a communicator has: then failures of others do not end its
    /// receives from any source.
    pub fn has_members(&self, context: u64, ranks: &[u32]) {
        self.world.has_members(context, ranks);
    }

    /// The rank has freed such a communicator.
    pub fn forgets_members(&self, context: u64) {
        self.world.forgets_members(context);
    }

    /// The rank knows of the failures that there were in a communicator: they do not end receives
    /// from any source any more. Gives the failed.
    pub fn acknowledge(&self, context: u64) -> Vec<u32> {
        self.world.acknowledge(self.rank, context)
    }

    fn message(&self, envelope: Envelope, body: Body, request: Option<Arc<Request>>) -> Unexpected {
        Unexpected { envelope, from: self.rank, body, request, credit: 0, number: 0 }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.leave(false);
    }
}

/// Counts who waits for a message to probe.
struct Probing<'a>(&'a Place);

impl<'a> Probing<'a> {
    fn begin(place: &'a Place) -> Self {
        place.probing.fetch_add(1, Ordering::AcqRel);
        Self(place)
    }
}

impl Drop for Probing<'_> {
    fn drop(&mut self) {
        self.0.probing.fetch_sub(1, Ordering::AcqRel);
    }
}
