//! The promise that every job gets exactly one outcome, whatever happens to it.

use std::any::Any;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::count::Count;
use super::job::{CallHost, Control, Job, Outcome};
use super::values::StateSpace;
use crate::errno::{CallError, Errno};
use crate::id::{CallId, FunctionKey};
use crate::wire::calls::{Entry, Times};
use crate::wire::function::FunctionEntry;

/// A job without its promise: what is to be run.
pub struct Order {
    /// The call.
    pub call: CallId,
    /// Its function.
    pub key: FunctionKey,
    /// Module and limits.
    pub entry: Arc<FunctionEntry>,
    /// Where it begins.
    pub start: Entry,
    /// Arguments of `main`, after the function's name.
    pub args: Vec<String>,
    /// The input.
    pub input: Bytes,
    /// Cancel and deadline.
    pub control: Arc<Control>,
    /// Chaining.
    pub host: Arc<dyn CallHost>,
    /// State.
    pub state: Option<Arc<dyn StateSpace>>,
    /// Its rank in an MPI job.
    pub rank: Option<Box<dyn Any + Send + Sync>>,
}

/// A job on its way: the order, and the promise.
pub struct Task {
    /// What to run.
    pub order: Order,
    /// Where the outcome goes.
    pub delivery: Delivery,
    /// The call's span.
    pub span: tracing::Span,
}

impl Task {
    /// Takes a job whose place in `count` was taken.
    pub fn new(job: Job, count: Arc<Count>) -> Self {
        let Job { call, key, entry, start, args, input, control, host, state, rank, span, done } =
            job;
        let delivery = Delivery { done: Some(done), count: Some(count) };
        let order = Order { call, key, entry, start, args, input, control, host, state, rank };
        Self { order, delivery, span }
    }
}

/// Delivers one outcome: the one it is given, or `FAASM_EFAILED` when it is dropped without.
/// Gives the instance's place back just before.
pub struct Delivery {
    done: Option<Box<dyn FnOnce(Outcome) + Send>>,
    count: Option<Arc<Count>>,
}

impl Delivery {
    /// Delivers.
    pub fn deliver(mut self, outcome: Outcome) {
        self.send(outcome);
    }

    fn send(&mut self, outcome: Outcome) {
        if let Some(count) = self.count.take() {
            count.leave();
        }
        if let Some(done) = self.done.take() {
            done(outcome);
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if self.done.is_some() {
            let detail = "the runtime failed while it ran this call; the node's log says more";
            self.send(failure(CallError::new(Errno::Failed, detail)));
        }
    }
}

/// The outcome of a call that did not run.
pub fn failure(error: CallError) -> Outcome {
    let now = now_us();
    let times = Times { accepted_us: 0, started_us: now, ended_us: now };
    Outcome { result: Err(error), output: Bytes::new(), log: Bytes::new(), times }
}

/// Microseconds since 1970; 0 on a clock before that.
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn delivery(count: &Arc<Count>) -> (Delivery, mpsc::Receiver<Outcome>) {
        let (send, receive) = mpsc::channel();
        let done = Box::new(move |outcome| send.send(outcome).unwrap());
        assert!(count.enter());
        (Delivery { done: Some(done), count: Some(count.clone()) }, receive)
    }

    #[test]
    fn a_dropped_promise_delivers_failed_once_and_frees_the_place() {
        let count = Count::new(1);
        let (delivery, outcomes) = delivery(&count);
        drop(delivery);
        assert_eq!(outcomes.recv().unwrap().result.unwrap_err().code, Errno::Failed);
        assert!(outcomes.recv().is_err());
        assert_eq!(count.live(), 0);
    }

    #[test]
    fn a_kept_promise_delivers_just_its_outcome() {
        let count = Count::new(1);
        let (delivery, outcomes) = delivery(&count);
        let mut outcome = failure(CallError::new(Errno::Full, "x"));
        outcome.result = Ok(7);
        delivery.deliver(outcome);
        assert_eq!(outcomes.recv().unwrap().result, Ok(7));
        assert!(outcomes.recv().is_err());
    }
}
