//! What is under way: a send, a receive, or a collective; complete once, with a status.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::mpi::constants as c;
use crate::mpi::turns;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// From whom, by the rank in the communicator.
    pub source: i32,
    /// With which tag.
    pub tag: i32,
    /// The error's class, or `MPI_SUCCESS`.
    pub error: i32,
    /// How many bytes came.
    pub bytes: u64,
    /// Whether it was cancelled.
    pub cancelled: bool,
}

impl Status {
    /// Of a send, or of what has no status of its own.
    pub const EMPTY: Self = Self {
        source: c::MPI_ANY_SOURCE,
        tag: c::MPI_ANY_TAG,
        error: c::MPI_SUCCESS,
        bytes: 0,
        cancelled: false,
    };

    /// Of a receive that may wait for a process that has failed.
    pub fn in_doubt() -> Self {
        Self::failed(c::MPIX_ERR_PROC_FAILED_PENDING)
    }

    /// Of something that failed.
    pub fn failed(class: i32) -> Self {
        Self { error: class, ..Self::EMPTY }
    }
}

/// Where it waits for its counterpart.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
    /// Nowhere, or not any more.
    #[default]
    Nowhere,
    /// Among the posted receives of its rank, in this slot.
    Posted(u32),
    /// Among the messages for a rank of this node, in this slot.
    Kept(u32, u32),
    /// It goes to another node, under this number.
    Away(u64),
}

/// See the top.
#[derive(Debug, Default)]
pub struct Request {
    done: AtomicBool,
    /// Whether it may wait for a process that has failed, and its rank does not know that yet.
    doubt: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    status: Option<Status>,
    bytes: Option<Bytes>,
    place: Where,
    /// Who waits; nearly always one.
    waker: Option<Waker>,
    more: Vec<Waker>,
}

/// Most that wait for one request at once: the last ones take the place of the first.
const MOST_WAITING: usize = 64;

impl Request {
    /// One that is under way.
    pub fn pending() -> Arc<Self> {
        Arc::default()
    }

    /// One that is complete.
    pub fn completed(status: Status) -> Arc<Self> {
        let request = Self::pending();
        request.complete(status, None);
        request
    }

    /// Completes it, the first time only. Wakes who waits.
    pub fn complete(&self, status: Status, bytes: Option<Bytes>) {
        let mut state = self.state.lock();
        if state.status.is_some() {
            return;
        }
        state.status = Some(status);
        state.bytes = bytes;
        state.place = Where::Nowhere;
        let (waker, more) = (state.waker.take(), std::mem::take(&mut state.more));
        self.done.store(true, Ordering::Release);
        drop(state);
        waker.into_iter().chain(more).for_each(turns::wake);
    }

    /// Completes it with an error.
    pub fn fail(&self, class: i32) {
        self.complete(Status::failed(class), None);
    }

    /// It may wait for a process that has failed: whoever waits is told that, and it goes on.
    pub(super) fn doubts(&self) {
        let mut state = self.state.lock();
        if state.status.is_some() {
            return;
        }
        self.doubt.store(true, Ordering::Release);
        let (waker, more) = (state.waker.take(), std::mem::take(&mut state.more));
        drop(state);
        waker.into_iter().chain(more).for_each(turns::wake);
    }

    /// Its rank knows of those failures now.
    pub(super) fn trusts(&self) {
        self.doubt.store(false, Ordering::Release);
    }

    /// Whether it may wait for a process that has failed.
    pub fn is_in_doubt(&self) -> bool {
        self.doubt.load(Ordering::Acquire) && !self.is_done()
    }

    /// What a wait or a test is to say: what came of it, or that it is in doubt. Else has `waker`
    /// woken when there is something to say.
    pub fn poll_settled(&self, waker: &Waker) -> Option<Status> {
        let doubt = self.doubt.load(Ordering::Acquire);
        if waker.will_wake(Waker::noop()) {
            return self.status().or(doubt.then(Status::in_doubt));
        }
        let mut state = self.state.lock();
        let doubt = doubt || self.doubt.load(Ordering::Acquire);
        let status = state.status.or(doubt.then(Status::in_doubt));
        if status.is_none() {
            state.register(waker);
        }
        status
    }

    /// Notes where it waits.
    pub(super) fn waits(&self, place: Where) {
        self.state.lock().place = place;
    }

    /// Where it waits.
    pub(super) fn place(&self) -> Where {
        self.state.lock().place
    }

    /// Whether it is complete.
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// What came of it, once it is complete.
    pub fn status(&self) -> Option<Status> {
        // The lock is left to who completes it.
        if self.is_done() { self.state.lock().status } else { None }
    }

    /// The bytes of a receive into the host's memory.
    pub fn take_bytes(&self) -> Option<Bytes> {
        self.state.lock().bytes.take()
    }

    /// Looks whether it is complete, and else has `waker` woken when it is.
    pub fn poll(&self, waker: &Waker) -> Option<Status> {
        if waker.will_wake(Waker::noop()) {
            return self.status();
        }
        let mut state = self.state.lock();
        if state.status.is_none() {
            state.register(waker);
        }
        state.status
    }

    /// Waits until it is complete.
    pub async fn done(&self) -> Status {
        std::future::poll_fn(|cx| match self.poll(cx.waker()) {
            Some(status) => Poll::Ready(status),
            None => Poll::Pending,
        })
        .await
    }
}

impl State {
    fn register(&mut self, waker: &Waker) {
        match &self.waker {
            None => self.waker = Some(waker.clone()),
            Some(known) if known.will_wake(waker) => {}
            Some(_) if self.more.iter().any(|known| known.will_wake(waker)) => {}
            Some(_) => {
                if self.more.len() >= MOST_WAITING {
                    turns::wake(self.more.remove(0));
                }
                self.more.push(waker.clone());
            }
        }
    }
}
