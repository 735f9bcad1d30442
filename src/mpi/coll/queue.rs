//! Operations of a program that its collectives ask for. The rank calls them in its next wait or
//! test: nobody else may run its code.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::combine::User;
use crate::mpi::constants as c;

/// The result of a job, or the class of what was wrong.
type Answer = std::result::Result<Vec<u8>, i32>;

/// One call of an operation.
#[derive(Debug)]
pub struct Job {
    /// Which.
    pub user: Arc<User>,
    /// The first operands.
    pub input: Bytes,
    /// The second ones, which become the result.
    pub inout: Vec<u8>,
    reply: oneshot::Sender<Answer>,
}

impl Job {
    /// One, and where its answer comes.
    pub fn new(user: Arc<User>, input: Bytes, inout: Vec<u8>) -> (Self, oneshot::Receiver<Answer>) {
        let (reply, answer) = oneshot::channel();
        (Self { user, input, inout, reply }, answer)
    }

    /// Ends it.
    pub fn answer(self, answer: Answer) {
        drop(self.reply.send(answer));
    }
}

/// Jobs that wait for the rank. A collective has one at most, so they are as few as requests.
#[derive(Debug, Default)]
pub struct Queue {
    used: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    waker: Option<Waker>,
    closed: bool,
}

impl Queue {
    /// Whether there ever was a job: one that never had any needs no look.
    pub fn is_used(&self) -> bool {
        self.used.load(Ordering::Acquire)
    }

    /// Says that jobs will come.
    pub fn will_be_used(&self) {
        self.used.store(true, Ordering::Release);
    }

    /// Asks for a job. A rank that has ended answers at once.
    pub fn push(&self, job: Job) {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            return job.answer(Err(c::MPI_ERR_OTHER));
        }
        state.jobs.push_back(job);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes a job.
    pub fn take(&self) -> Option<Job> {
        self.state.lock().jobs.pop_front()
    }

    /// Takes a job; else has the task woken when there is one.
    pub fn poll(&self, context: &Context<'_>) -> Poll<Job> {
        let mut state = self.state.lock();
        match state.jobs.pop_front() {
            Some(job) => Poll::Ready(job),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The rank ends, or can call nothing any more.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        jobs.into_iter().for_each(|job| job.answer(Err(c::MPI_ERR_OTHER)));
    }
}
