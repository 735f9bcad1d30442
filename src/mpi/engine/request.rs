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
