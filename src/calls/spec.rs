//! What a call is, wherever it runs: its function, input, tree and needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::budget::Share;
use super::gang::JobRun;
use crate::clock;
use crate::id::{Attempt, CallId, FunctionKey, Name, NodeId};
use crate::scheduler::{FunctionBook, Holding, Needs};
use crate::wire::calls::{Entry, Start, TreeContext};
use crate::wire::function::FunctionEntry;
use crate::wire::mpi::Seat;

/// What all calls of a tree share, but for the depth.
#[derive(Debug, Clone, Copy)]
pub struct Tree {
    /// The call at the root.
    pub root: CallId,
    /// The node that answers for it.
    pub home: NodeId,
    /// When the tree ends.
    pub deadline: Instant,
    /// Calls above this one.
    pub depth: u32,
    /// W3C trace id.
    pub trace: u128,
}

/// A function as a node runs it.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub key: FunctionKey,
    /// Its registry entry.
    pub entry: Arc<FunctionEntry>,
    /// Its live instances here; shared by all its versions.
    pub book: Arc<FunctionBook>,
}

/// A user's calls alive on this node.
#[derive(Debug)]
pub struct UserBook {
    /// Whose.
    pub user: Name,
    /// The slots that its calls hold.
    pub holding: Arc<Holding>,
    /// Bytes that its calls hold.
    pub held: AtomicUsize,
    /// The user's own limit of living calls, beside the node's; 0 means none.
    pub quota: AtomicUsize,
    live: AtomicUsize,
    limit: usize,
}

impl UserBook {
    /// A book with nothing in it.
    pub fn new(user: Name, limit: usize, quota: usize) -> Arc<Self> {
        Arc::new(Self {
            user,
            holding: Arc::default(),
            held: AtomicUsize::new(0),
            quota: AtomicUsize::new(quota),
            live: AtomicUsize::new(0),
            limit,
        })
    }

    /// Counts one more, within the limit.
    pub fn try_enter(&self) -> bool {
        let limit = match self.quota.load(Ordering::Acquire) {
            0 => self.limit,
            quota => self.limit.min(quota),
        };
        let update = |n| (n < limit).then_some(n + 1);
        self.live.try_update(Ordering::AcqRel, Ordering::Acquire, update).is_ok()
    }

    /// The user's own limit, if its calls alive here have reached it.
    pub fn spent(&self) -> Option<usize> {
        let quota = self.quota.load(Ordering::Acquire);
        (quota > 0 && self.live.load(Ordering::Acquire) >= quota).then_some(quota)
    }

    /// How many live.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }

    /// One ended.
    pub fn leave(&self) {
        self.live.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a call is.
#[derive(Debug, Clone)]
pub enum Role {
    /// A call of a function.
    Plain,
    /// An MPI job, launched on this node.
    Job(Arc<JobRun>),
    /// A rank of one, with the ticket of its place.
    Rank(Arc<Seat>, u64),
}

impl Role {
    /// Whether it is a rank.
    pub fn is_rank(&self) -> bool {
        matches!(self, Self::Rank(..))
    }

    /// Its seat, if it is a rank.
    pub fn seat(&self) -> Option<&Arc<Seat>> {
        match self {
            Self::Rank(seat, _) => Some(seat),
            _ => None,
        }
    }

    /// The job, if it is one.
    pub fn job(&self) -> Option<&Arc<JobRun>> {
        match self {
            Self::Job(run) => Some(run),
            _ => None,
        }
    }
}

/// One call.
#[derive(Debug)]
pub struct Spec {
    /// Its id.
    pub call: CallId,
    /// Its function.
    pub function: Arc<Function>,
    /// Its user's book here.
    pub user: Arc<UserBook>,
    /// Where it begins.
    pub start: Entry,
    /// Arguments of `main`.
    pub args: Vec<String>,
    /// Its input.
    pub input: Bytes,
    /// What the input takes of the node's budget.
    pub share: Share,
    /// Its tree.
    pub tree: Tree,
    /// The calls between the root and this one, its parent last; none at the root and right below it.
    pub above: Arc<[CallId]>,
    /// What it needs of a node.
    pub needs: Needs,
    /// What it is.
    pub role: Role,
}

impl Spec {
    /// The longest it may run.
    pub fn run_limit(&self) -> Duration {
        Duration::from_millis(self.function.entry.limits.run_ms)
    }

    /// The call that chained it; none of a root.
    pub fn parent(&self) -> Option<CallId> {
        let root = (self.tree.depth > 0).then_some(self.tree.root);
        self.above.last().copied().or(root)
    }

    /// What is above its children.
    pub fn above_children(&self) -> Arc<[CallId]> {
        match self.tree.depth {
            0 => Arc::default(),
            _ => self.above.iter().copied().chain([self.call]).collect(),
        }
    }

    /// The name under which its work is summed.
    pub fn label(&self) -> String {
        match self.start {
            Entry::Main => self.function.key.name.to_string(),
            Entry::Table(index) => format!("{}@{index}", self.function.key.name),
        }
    }

    /// The message that asks another node to run it.
    pub fn to_wire(&self, attempt: Attempt, clock: u64, may_queue: bool) -> Start {
        let entry = &self.function.entry;
        Start {
            call: self.call,
            attempt,
            user: self.function.key.user.to_string(),
            name: self.function.key.name.to_string(),
            version: entry.version,
            wasm: entry.wasm,
            limits: entry.limits.clone(),
            input_len: self.input.len() as u64,
            entry: self.start,
            args: self.args.clone(),
            tree: TreeContext {
                root: self.tree.root,
                home: self.tree.home,
                left_ms: u64::try_from(clock::left(self.tree.deadline).as_millis())
                    .unwrap_or(u64::MAX),
                depth: self.tree.depth,
                trace: self.tree.trace,
                clock,
            },
            above: self.above.to_vec(),
            may_queue,
            seat: match &self.role {
                Role::Rank(seat, ticket) => Some((Seat::clone(seat), *ticket)),
                _ => None,
            },
        }
    }
}

/// Microseconds since 1970.
pub fn now_us() -> u64 {
    #[cfg(test)]
    if let Some(micros) = clock::skew::micros() {
        return micros;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
