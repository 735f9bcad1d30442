//! What happened in a run: the faults, what each client asked and what it saw. Times count from the
//! run's start.

use std::time::Duration;

/// One kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// SIGKILL, and a start later.
    Kill,
    /// SIGSTOP, and SIGCONT later.
    Pause,
    /// No packet from the first host to the second.
    OneWay,
    /// No packet between two hosts.
    TwoWay,
    /// A host alone.
    Isolate,
}

/// A fault, from its begin to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// Whom.
    pub hosts: Vec<usize>,
    /// From.
    pub from: Duration,
    /// Until.
    pub until: Duration,
}

/// A call that a client made.
#[derive(Debug, Clone)]
pub struct Call {
    /// The client's name for it, which is also its input.
    pub name: String,
    /// Its id, once it is known.
    pub id: Option<String>,
    /// What it is.
    pub sort: Sort,
    /// The node that it was first asked of.
    pub through: usize,
    /// When the first request was sent.
    pub begun: Duration,
    /// When it was accepted, if the client knows that it was: the 202, or an end that has a call.
    pub accepted: Option<Duration>,
    /// The timeout it asked for.
    pub limit: Duration,
    /// When its cancellation was confirmed.
    pub cancelled: Option<Duration>,
    /// What the client saw of it, in order.
    pub seen: Vec<Seen>,
}

/// The sorts of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Answered at once; no retries.
    Sync,
    /// A tree of chained calls, answered at once; no retries.
    Tree,
    /// Asynchronous with an idempotency key; no retries.
    Keyed,
    /// The same, of a function with retries.
    Patient,
    /// An MPI job over several nodes, asynchronous with an idempotency key; no retries.
    Job,
    /// Asynchronous and far longer than its deadline unless it is cancelled; no retries.
    Endless,
}

/// A look at a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: Duration,
    /// Through which node.
    pub through: usize,
    /// What.
    pub what: What,
}

/// What there was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It waits or runs.
    Alive,
    /// It has ended.
    Ended(End),
    /// The node knows no such call.
    Unknown,
    /// The request was refused with this code: nothing was said about the call.
    Refused(String),
    /// The node did not answer.
    Silence,
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ended(end) => write!(f, "{:?}", end.result),
            Self::Refused(code) => write!(f, "refused by {code}"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// The end of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The function's result, or the code of what stopped it.
    pub result: Result<u8, String>,
    /// Its output, when it was looked at.
    pub output: Option<String>,
    /// Which try it was, when that was looked at.
    pub attempt: Option<u32>,
    /// How often the log says that it ran, when it was looked at.
    pub runs: Option<usize>,
}

/// An upload of a new version by the only client that uploads this function, or a write of a value by
/// the only client that writes it.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The function or the value.
    pub function: String,
    /// The version in it, growing.
    pub version: u32,
    /// When it was confirmed.
    pub confirmed: Option<Duration>,
}

/// A version that was seen.
#[derive(Debug, Clone)]
pub struct Read {
    /// The function or the value.
    pub function: String,
    /// When it was asked for.
    pub begun: Duration,
    /// Through which node.
    pub through: usize,
    /// Which version; 0 if there is no such value.
    pub version: u32,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// In the order of their begin.
    pub faults: Vec<Fault>,
    /// In no order.
    pub calls: Vec<Call>,
    /// In the order of each function's versions.
    pub uploads: Vec<Upload>,
    /// In no order.
    pub reads: Vec<Read>,
    /// When all was healed.
    pub healed: Duration,
    /// The number of nodes.
    pub nodes: usize,
    /// By how much more than on an idle machine everything may take; 0 and 1 are none.
    pub slack: u32,
}

impl History {
    /// A bound on this machine.
    pub fn slack(&self, bound: Duration) -> Duration {
        bound * self.slack.max(1)
    }
}
