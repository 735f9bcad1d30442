//! What a request handle names.

use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::mpi::comm::Comm;
use crate::mpi::cx::Cx;
use crate::mpi::engine::{Request, Status};
use crate::mpi::error::Result;

use super::generalized::Generalized;
use super::partitioned::Parts;

/// What a request handle names.
#[derive(Debug)]
pub enum Entry {
    /// Something that is complete once, and gone then.
    Once(Arc<Request>),
    /// A send and a receive under one handle.
    Pair {
        /// The one, of which only its errors are of interest.
        send: Arc<Request>,
        /// The other, whose status is that of both.
        receive: Arc<Request>,
    },
    /// Something that can be started again and again.
    Persistent {
        /// Starts it.
        again: Arc<dyn Again>,
        /// What was started last, until its completion was seen.
        active: Option<Arc<Request>>,
    },
    /// Something that the program does itself, and says when it is done.
    Generalized(Arc<Generalized>),
}

/// What a persistent request starts.
pub trait Again: std::fmt::Debug + Send + Sync {
    /// Starts it once more.
    fn start(&self, cx: &mut Cx<'_>) -> Result<Arc<Request>>;

    /// Its parts, if it is a partitioned message.
    fn parts(&self) -> Option<&dyn Parts> {
        None
    }
}

/// A request as a rank holds it.
#[derive(Debug)]
pub struct Held {
    /// What it is.
    pub entry: Entry,
    /// Whose handler its errors go to.
    pub comm: Option<Arc<Comm>>,
    /// What it does.
    pub kind: Kind,
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It sends; it can be cancelled, and goes on when it is freed.
    Send,
    /// It receives; it can be cancelled.
    Receive,
    /// Anything else.
    Other,
}

/// What is under way of a request; `Idle` is a persistent one that was not started.
#[derive(Debug, Clone)]
pub enum Progress {
    /// Nothing.
    Idle,
    /// One thing.
    One(Arc<Request>),
    /// A send and a receive.
    Two(Arc<Request>, Arc<Request>),
}

impl Held {
    /// What is under way of it.
    pub fn progress(&self) -> Progress {
        match &self.entry {
            Entry::Once(request) => Progress::One(request.clone()),
            Entry::Pair { send, receive } => Progress::Two(send.clone(), receive.clone()),
            Entry::Persistent { active: Some(request), .. } => Progress::One(request.clone()),
            Entry::Persistent { active: None, .. } => Progress::Idle,
            Entry::Generalized(own) => Progress::One(own.done.clone()),
        }
    }
}

impl Progress {
    /// Whether nothing was started.
    pub fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }

    /// Whether a wait or a test has something to say: it is complete or in doubt, or nothing was
    /// started.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Idle => true,
            Self::One(request) => request.is_done() || request.is_in_doubt(),
            Self::Two(send, receive) => {
                send.is_done() && receive.is_done() || receive.is_in_doubt()
            }
        }
    }

    /// Whether it goes on although a wait or a test has something to say: it may wait for a process
    /// that has failed.
    pub fn is_in_doubt(&self) -> bool {
        match self {
            Self::Idle => false,
            Self::One(request) | Self::Two(_, request) => request.is_in_doubt(),
        }
    }

    /// What came of it, once it is complete; an empty status if nothing was started.
    pub fn status(&self) -> Option<Status> {
        if self.is_in_doubt() {
            return Some(Status::in_doubt());
        }
        match self {
            Self::Idle => Some(Status::EMPTY),
            Self::One(request) => request.status(),
            Self::Two(send, receive) => Some(both(&send.status()?, receive.status()?)),
        }
    }

    /// Looks whether it is complete, and else has `waker` woken when it is.
    pub fn poll(&self, waker: &Waker) -> Poll<()> {
        let done = match self {
            Self::Idle => true,
            Self::One(request) => request.poll_settled(waker).is_some(),
            Self::Two(send, receive) => {
                // Both are asked, so that each wakes.
                let (sent, came) = (send.poll(waker), receive.poll_settled(waker));
                came.is_some() && (sent.is_some() || receive.is_in_doubt())
            }
        };
        if done { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Waits until it is complete.
    pub async fn done(&self) {
        std::future::poll_fn(|task| self.poll(task.waker())).await;
    }
}

/// The status of a send and a receive: that of the receive, and an error of either.
pub fn both(send: &Status, receive: Status) -> Status {
    let error = if receive.error == 0 { send.error } else { receive.error };
    Status { error, ..receive }
}
