//! What it takes to run one call, and what comes of it: the seam between the function component
//! and whoever wants a call run. It knows nothing of clusters: chaining goes through [`CallHost`].

use std::any::Any;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;

use super::ranks::RankNews;
use super::values::StateSpace;
use crate::errno::{CallError, Errno};
use crate::id::{CallId, FunctionKey};
use crate::wire::calls::{Entry, Times};
use crate::wire::function::FunctionEntry;

/// One call to run.
pub struct Job {
    /// The call.
    pub call: CallId,
    /// Its function.
    pub key: FunctionKey,
    /// That function's registry entry: module hash and limits.
    pub entry: Arc<FunctionEntry>,
    /// Where in the module it begins.
    pub start: Entry,
    /// Arguments of `main`, after the function's name.
    pub args: Vec<String>,
    /// The input.
    pub input: Bytes,
    /// Cancel and deadline; shared with whoever may end the call.
    pub control: Arc<Control>,
    /// Chaining and slot accounting.
    pub host: Arc<dyn CallHost>,
    /// Its view of the state; without it state is not offered.
    pub state: Option<Arc<dyn StateSpace>>,
    /// Its rank in an MPI job, if it is one.
    pub rank: Option<Box<dyn Any + Send + Sync>>,
    /// Entered whenever the call is polled; carries the call's id into what is logged meanwhile.
    pub span: tracing::Span,
    /// Takes the outcome; called exactly once, on any thread, and must not wait.
    pub done: Box<dyn FnOnce(Outcome) + Send>,
}

/// How a call ended here.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The function's own result, or what stopped it.
    pub result: Result<u8, CallError>,
    /// The last output it wrote; empty when it wrote none.
    pub output: Bytes,
    /// Its stdout and stderr, in order.
    pub log: Bytes,
    /// When it started and ended (`accepted_us` is left 0).
    pub times: Times,
}

/// What to chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A function of the same user.
    Name(&'a str),
    /// A function of the same user, as an MPI job of so many ranks.
    Ranks(&'a str, u32),
    /// A function table entry of the same module.
    Table(u32),
}

/// What a running instance asks of the node about calls. A child is named by a small handle,
/// valid in the instance that made it. Dropping a returned future gives up the wait, no more.
pub trait CallHost: Send + Sync {
    /// Chains a call; the handle is ≥ 0. Waits only when this node has no place for it.
    fn chain(&self, target: Target<'_>, input: Bytes) -> BoxFuture<'_, Result<u32, CallError>>;
    /// Waits for a child: its own result, or how it failed. `None` waits until the tree's
    /// deadline. The slot is given back while it waits.
    fn wait(&self, child: u32, limit: Option<Duration>) -> BoxFuture<'_, Result<u8, Errno>>;
    /// Waits for the first of several children; gives its handle. `FAASM_EINVAL` when empty.
    fn wait_any(
        &self,
        children: Vec<u32>,
        limit: Option<Duration>,
    ) -> BoxFuture<'_, Result<u32, Errno>>;
    /// The output of a child, waiting for its end. A child that failed gives its error.
    fn output(&self, child: u32) -> BoxFuture<'_, Result<Bytes, Errno>>;
    /// Cancels a child and all below it; fine if it has ended.
    fn cancel(&self, child: u32) -> Result<(), Errno>;
    /// What went wrong with a child, as text; empty if nothing did (yet).
    fn error_text(&self, child: u32) -> Result<String, Errno>;
    /// Which call a handle names, if this is known.
    fn child_id(&self, _child: u32) -> Option<CallId> {
        None
    }
    /// Told when the call begins another wait than the above (a sleep); `resumed` follows.
    fn waiting(&self);
    /// The wait is over.
    fn resumed(&self);
    /// Told once when the call ran 20 ms without waiting: it stops counting as a start.
    fn long_running(&self);
    /// Told when the call really begins to run.
    fn started(&self);
    /// Told what the call writes to its log, as it does.
    fn wrote(&self, _text: &[u8]) {}
    /// Told by a rank of an MPI job how it goes.
    fn rank_news(&self, _news: RankNews) {}
}

/// Why a call is to end before its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum EndReason {
    /// Somebody cancelled it.
    Cancelled = 1,
    /// Its deadline, or its tree's, passed.
    TimedOut = 2,
    /// Its run-time limit passed.
    RunLimit = 3,
    /// The node of its parent or root was lost.
    ParentLost = 4,
    /// This node stops.
    Stopping = 5,
    /// This node's session lapsed.
    SessionLapsed = 6,
    /// The MPI job that it is a rank of was aborted.
    JobAborted = 7,
}

impl EndReason {
    /// The error that the call's record gets.
    pub fn error(self) -> CallError {
        let (code, detail) = match self {
            Self::Cancelled => (Errno::Cancelled, "the call was cancelled"),
            Self::TimedOut => {
                (Errno::TimedOut, "the call's deadline passed; give it more with --timeout")
            }
            Self::RunLimit => (
                Errno::Limit,
                "the function's run-time limit passed; raise it at upload with --run-time",
            ),
            Self::ParentLost => (Errno::Cancelled, "the node of the call's parent was lost"),
            Self::Stopping => (Errno::HostLost, "the node that ran the call is stopping"),
            Self::SessionLapsed => {
                (Errno::HostLost, "the node that ran the call lost its session with the cluster")
            }
            Self::JobAborted => (Errno::Failed, "the MPI job was aborted"),
        };
        CallError::new(code, detail)
    }

    /// Whether somebody asked for it, now or by a deadline, and wants to know what the call did.
    pub fn is_by_users(self) -> bool {
        matches!(self, Self::Cancelled | Self::TimedOut)
    }

    fn from_u8(value: u8) -> Option<Self> {
        [
            Self::Cancelled,
            Self::TimedOut,
            Self::RunLimit,
            Self::ParentLost,
            Self::Stopping,
            Self::SessionLapsed,
            Self::JobAborted,
        ]
        .into_iter()
        .find(|reason| *reason as u8 == value)
    }
}

/// What a running call must hear at once: it is looked at on every poll of the call's fiber, and
/// setting it wakes the fiber.
#[derive(Debug, Default)]
pub struct Control {
    end: AtomicU8,
    why: OnceLock<String>,
    waker: AtomicWaker,
    started_us: AtomicU64,
}

impl Control {
    /// A call that may run.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Ends the call, for the first reason given; later ones are ignored.
    pub fn end(&self, reason: EndReason) {
        let first = self.end.compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire);
        if first.is_ok() {
            self.waker.wake();
        }
    }

    /// Ends it as [`Control::end`] does; [`Control::error`] then says why in these words.
    pub fn end_because(&self, reason: EndReason, why: &str) {
        if self.ended().is_none() {
            self.why.get_or_init(|| why.to_owned());
        }
        self.end(reason);
    }

    /// The error that the call's record gets when it ends for this reason.
    pub fn error(&self, reason: EndReason) -> CallError {
        match (reason, self.why.get()) {
            (EndReason::JobAborted | EndReason::TimedOut | EndReason::Cancelled, Some(why)) => {
                CallError::new(reason.error().code, why)
            }
            _ => reason.error(),
        }
    }

    /// Why it is to end, if it is.
    pub fn ended(&self) -> Option<EndReason> {
        EndReason::from_u8(self.end.load(Ordering::Acquire))
    }

    /// Registers the task to wake when it is to end, then looks: use on every poll.
    pub fn poll_ended(&self, cx: &std::task::Context<'_>) -> Option<EndReason> {
        if let Some(reason) = self.ended() {
            return Some(reason);
        }
        self.waker.register(cx.waker());
        self.ended()
    }

    /// Notes that it began to run, `us` microseconds after `epoch`'s zero; 0 means not yet.
    pub fn set_started_us(&self, us: u64) {
        self.started_us.store(us, Ordering::Relaxed);
    }

    /// When it began to run (microseconds since 1970), or 0.
    pub fn started_us(&self) -> u64 {
        self.started_us.load(Ordering::Relaxed)
    }
}

/// Time left until `deadline`; zero when it passed.
pub fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
