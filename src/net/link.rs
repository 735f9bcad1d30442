//! One live connection to a peer: what is queued on it and who waits for an answer. Methods are
//! called from any thread and never wait.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use quinn::{Connection, SendStream};
use rkyv::util::AlignedVec;
use tokio::runtime::{self, Handle};

use crate::net::error::{CloseCode, Fault, describe};
use crate::net::frame::{self, Kind, MAX_FAILURE};
use crate::net::metrics::LinkMetrics;
use crate::net::outbox::{Lent, Outbox, Outgoing, PushError};
use crate::net::pending::{self, MAX_PENDING, Pending};
use crate::net::stamp::Shown;
use crate::net::{Peer, Replier, RequestError, SendError, ServiceId};
use crate::wire::{Encode, encode_into};

/// What answers may use of a queue beyond its limit, in bytes, to say at least that they failed:
/// each takes below 600.
const FAILURE_RESERVE: usize = 1 << 20;
/// An encoding buffer that grew beyond this for a rare large head is let go.
const KEEP_SCRATCH: usize = 64 << 10;

/// What belongs to one service of a connection.
pub(super) struct Lane {
    /// What waits to be written.
    pub outbox: Outbox<SendStream>,
    /// Our requests.
    pub pending: Pending,
    /// Whether the peer's stream for the service is being read: it may have one.
    pub reading: AtomicBool,
    /// Requests of the peer that were not answered yet.
    answering: AtomicUsize,
}

/// A connection.
pub(super) struct Link {
    /// Who is at the other end.
    pub peer: Peer,
    /// The connection.
    pub conn: Connection,
    /// Its counters.
    pub metrics: LinkMetrics,
    lanes: [Lane; ServiceId::ALL.len()],
    /// What the peer has shown last.
    shown: Mutex<Shown>,
    /// The component's runtime.
    runtime: runtime::Id,
    /// Why this side closed it, if it did.
    fault: OnceLock<String>,
}

impl Link {
    /// A connection that passed the hello; made on the component's runtime. At most `queue_bytes`
    /// wait in each of its queues.
    pub(super) fn new(peer: Peer, conn: Connection, shown: Shown, queue_bytes: usize) -> Self {
        let lane = |_| Lane {
            outbox: Outbox::new(queue_bytes),
            pending: Pending::default(),
            reading: AtomicBool::new(false),
            answering: AtomicUsize::new(0),
        };
        Self {
            peer,
            conn,
            metrics: LinkMetrics::new(peer.node),
            lanes: ServiceId::ALL.map(lane),
            shown: Mutex::new(shown),
            runtime: Handle::current().id(),
            fault: OnceLock::new(),
        }
    }

    /// What the peer has shown last.
    pub(super) fn shown(&self) -> Shown {
        *self.shown.lock()
    }

    /// The peer has shown another certificate.
    pub(super) fn set_shown(&self, shown: Shown) {
        *self.shown.lock() = shown;
    }

    /// What belongs to a service.
    pub(super) fn lane(&self, service: ServiceId) -> &Lane {
        &self.lanes[service.index()]
    }

    /// Queues a one-way message.
    pub(super) fn send<T: Encode>(
        &self,
        service: ServiceId,
        head: &T,
        body: Bytes,
    ) -> Result<(), SendError> {
        self.push(service, (Kind::Message, 0), head, body)
    }

    /// Queues a request; its answer comes out of the ticket.
    pub(super) fn request<T: Encode>(
        self: &Arc<Self>,
        service: ServiceId,
        head: &T,
        body: Bytes,
    ) -> Result<Ticket, SendError> {
        let node = self.peer.node;
        let (id, answer) = self.lane(service).pending.enter().map_err(|refused| match refused {
            pending::Refused::Full => SendError::Full(node),
            pending::Refused::Closed => self.down(),
        })?;
        let ticket = Ticket { link: Arc::clone(self), service, id, answer };
        self.push(service, (Kind::Request, id), head, body)?;
        Ok(ticket)
    }

    /// Takes a request of the peer, unless too many of its requests wait for an answer.
    pub(super) fn replier(self: &Arc<Self>, service: ServiceId, id: u64) -> Option<Replier> {
        let before = self.lane(service).answering.fetch_add(1, Ordering::Relaxed);
        let replier = Replier { link: Arc::clone(self), service, id, answered: false };
        if before < MAX_PENDING {
            return Some(replier);
        }
        replier.fail("too many of its requests wait for an answer");
        None
    }

    /// Queues the answer to a request of the peer.
    pub(super) fn reply<T: Encode>(&self, service: ServiceId, id: u64, head: &T, body: Bytes) {
        self.answered(service);
        match self.push(service, (Kind::Reply, id), head, body) {
            Ok(()) | Err(SendError::Down(..)) => {}
            Err(error) => self.push_failure(service, id, &format!("the answer was lost: {error}")),
        }
    }

    /// Tells the peer that there is no answer to its request.
    pub(super) fn fail_request(&self, service: ServiceId, id: u64, why: &str) {
        self.answered(service);
        self.push_failure(service, id, why);
    }

    /// A peer that does not take even this is cut off: then it knows.
    fn push_failure(&self, service: ServiceId, id: u64, why: &str) {
        let mut end = why.len().min(MAX_FAILURE);
        while !why.is_char_boundary(end) {
            end -= 1;
        }
        let text = &why.as_bytes()[..end];
        let Ok(header) = frame::header(Kind::Failure, id, text.len(), 0) else { return };
        let frame = Outgoing { header: &header, head: text, body: Bytes::new() };
        if self.queue(service, frame, FAILURE_RESERVE) == Err(PushError::Full) {
            let why = "it does not read the answers to its requests".to_owned();
            self.close(&Fault { code: CloseCode::Malformed, why });
        }
    }

    fn answered(&self, service: ServiceId) {
        self.lane(service).answering.fetch_sub(1, Ordering::Relaxed);
    }

    fn push<T: Encode>(
        &self,
        service: ServiceId,
        (kind, id): (Kind, u64),
        head: &T,
        body: Bytes,
    ) -> Result<(), SendError> {
        with_archive(head, |head| {
            let header =
                frame::header(kind, id, head.len(), body.len()).map_err(SendError::TooBig)?;
            let frame = Outgoing { header: &header, head, body };
            self.queue(service, frame, 0).map_err(|error| match error {
                PushError::Closed => self.down(),
                PushError::Full => {
                    self.metrics.lanes[service.index()].queue_full.increment(1);
                    SendError::Full(self.peer.node)
                }
            })
        })
    }

    /// Appends a frame, and writes it at once where that needs no other task.
    fn queue(
        &self,
        service: ServiceId,
        frame: Outgoing<'_>,
        reserve: usize,
    ) -> Result<(), PushError> {
        // The transport's lock can be held for some microseconds: the threads of Raft and of the
        // shards do not wait for it. Guests are polled within the runtime, and write themselves.
        let here = Handle::try_current().is_ok_and(|handle| handle.id() == self.runtime);
        let outbox = &self.lane(service).outbox;
        if let Some(lent) = outbox.push(frame, reserve, here)? {
            let (lent, written) = write_once(lent);
            outbox.give_back(lent, written);
            self.metrics.bytes_sent.increment(written as u64);
        }
        Ok(())
    }

    fn down(&self) -> SendError {
        let why = self.ended().unwrap_or_else(|| "the connection is being closed".to_owned());
        SendError::Down(self.peer.node, why)
    }

    /// Why the connection ended, if it did.
    pub(super) fn ended(&self) -> Option<String> {
        let error = self.conn.close_reason()?;
        Some(match self.fault.get() {
            Some(why) => why.clone(),
            None => describe(self.peer.node, &error),
        })
    }

    /// Whether this side closed it.
    pub(super) fn was_closed_here(&self) -> bool {
        self.fault.get().is_some()
    }

    /// Closes the connection at once; both ends learn why.
    pub(super) fn close(&self, fault: &Fault) {
        // The first fault is the cause; later ones follow from it.
        let _ = self.fault.set(format!("closed by this node: {}", fault.why));
        self.conn.close(fault.code.into(), fault.why.as_bytes());
    }

    /// Takes no more messages; when what is queued was taken by the peer, the connection closes.
    pub(super) fn drain(&self) {
        for lane in &self.lanes {
            lane.outbox.close();
        }
    }

    /// After the end: fails what waits, takes no more.
    pub(super) fn bury(&self) {
        self.drain();
        let lost = RequestError::Lost(self.peer.node);
        for lane in &self.lanes {
            lane.pending.fail_all(&lost);
        }
        self.report();
    }

    /// Brings the gauges up to date.
    pub(super) fn report(&self) {
        for (lane, metrics) in self.lanes.iter().zip(&self.metrics.lanes) {
            metrics.queue_bytes.set(lane.outbox.bytes() as f64);
            metrics.pending.set(lane.pending.len() as f64);
        }
        self.metrics.rtt.set(self.conn.rtt().as_secs_f64());
    }
}

/// A request under way. Dropped before its answer came, it is given up.
pub(super) struct Ticket {
    link: Arc<Link>,
    service: ServiceId,
    id: u64,
    answer: tokio::sync::oneshot::Receiver<Result<crate::net::Reply, RequestError>>,
}

impl Ticket {
    /// Waits for the answer.
    pub(super) async fn answer(mut self) -> Result<crate::net::Reply, RequestError> {
        let lost = RequestError::Lost(self.link.peer.node);
        (&mut self.answer).await.unwrap_or(Err(lost))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // An answer that came has left the table already.
        if !self.answer.is_terminated() {
            self.link.lane(self.service).pending.forget(self.id);
        }
    }
}

/// Writes what the stream takes without waiting; gives back the rest, and the number of bytes
/// written. What does not go, the writer finds out and deals with.
fn write_once(mut lent: Lent<SendStream>) -> (Lent<SendStream>, usize) {
    let mut cx = Context::from_waker(Waker::noop());
    let poll = pin!(lent.stream.write_chunks(&mut lent.batch)).poll(&mut cx);
    let Poll::Ready(Ok(written)) = poll else { return (lent, 0) };
    lent.batch.drain(..written.chunks);
    (lent, written.bytes)
}

thread_local! {
    static SCRATCH: Cell<AlignedVec> = Cell::default();
}

/// Encodes `head` into a buffer of this thread and lends it out.
pub(super) fn with_archive<T: Encode, R>(head: &T, use_it: impl FnOnce(&[u8]) -> R) -> R {
    let mut scratch = SCRATCH.take();
    scratch.clear();
    let archive = encode_into(head, scratch);
    let result = use_it(&archive);
    if archive.capacity() <= KEEP_SCRATCH {
        SCRATCH.set(archive);
    }
    result
}
