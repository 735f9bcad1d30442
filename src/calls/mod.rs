//! Calls: from a request to a result, across nodes. Trees, records, retries.
//!
//! A call is made by a client ([`Calls::invoke`], [`Calls::submit`]) or by a call (`chain_call`).
//! The node where it is made owns its [`cell::CallCell`], where its end appears; the node where it
//! runs owns its [`live::LiveCall`]. Often they are one node, and then nothing is sent.
//!
//! | child of the node | on failure | on shutdown |
//! |---|---|---|
//! | `calls` actor | restarted; the tables live in [`Calls`] and survive | ends what still lives |

mod actor;
pub mod budget;
mod cancelled;
pub mod cell;
mod children;
mod claim;
mod describe;
mod ends;
mod finish;
pub mod gang;
mod handover;
mod inbound;
pub mod kept;
pub mod live;
mod locks;
mod lookup;
pub mod metrics;
pub mod outgoing;
mod owner;
pub mod place;
mod ports;
pub mod records;
pub mod root;
mod roster;
#[cfg(test)]
mod sim;
pub mod spec;
mod stopping;
mod watch;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use crate::config::CallOptions;
use crate::consensus::Consensus;
use crate::errno::{CallError, Errno};
use crate::function::{Functions, RankSpace, StateSpace};
use crate::id::{Attempt, CallId, FunctionKey, Incarnation, Name, NodeId};
use crate::net::{Net, Peer, ServiceId};
use crate::scheduler::Scheduler;
use crate::wire::calls::{Done, Start};
use crate::wire::function::{FunctionEntry, Options, Policy};

use budget::Budget;
use cancelled::Cancelled;
use gang::Gang;
use gang::line::Line;
use gang::places::Places;
use kept::{Kept, KeptKey, Recent};
use live::LiveCall;
use ports::{Connections, Instances, Ports, Registry};
use records::{Bounds, Records};
use root::Root;
use roster::Roster;
use spec::{Function, UserBook};

/// A root call to make.
#[derive(Debug, Clone)]
pub struct Invoke {
    /// The function.
    pub key: FunctionKey,
    /// Its input.
    pub input: Bytes,
    /// Arguments of `main`.
    pub args: Vec<String>,
    /// The tree's deadline, from now; `None` for [`DEFAULT_DEADLINE`].
    pub timeout: Option<Duration>,
    /// Instead of the function's own policy.
    pub policy: Option<Policy>,
    /// The only nodes that may run it; empty for all.
    pub pin: Vec<NodeId>,
    /// A repeated request of the user with the same key gets the first one's record.
    pub idempotency: Option<String>,
    /// The client's W3C trace id; 0 draws one.
    pub trace: u128,
    /// The ranks, if it is an MPI job.
    pub job: Option<Gang>,
}

/// A tree's deadline when the request names none.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(300);
/// The longest deadline a request may ask for.
pub const MAX_DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// A call that ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Its id.
    pub call: CallId,
    /// The node that ran it.
    pub node: NodeId,
    /// The function's own result, or what stopped it.
    pub result: Result<u8, CallError>,
    /// Its output.
    pub output: Bytes,
}

/// Bytes of inputs that other nodes may be sending at once, in units of [`BULK_UNIT`].
const BULK_UNITS: usize = 2048;
/// One mebibyte.
const BULK_UNIT: u64 = 1 << 20;
/// Highest clock that is taken over from a peer: what counts on from there never ends.
const MAX_CLOCK: u64 = 1 << 62;
/// Most ends that are told later: as many calls as a node has, and more.
const MOST_UNREPORTED: usize = 100_000;

/// What the component is started with.
pub struct CallsSetup {
    /// This node.
    pub me: NodeId,
    /// Which of its lives.
    pub incarnation: Incarnation,
    /// Its settings.
    pub options: CallOptions,
    /// Connections.
    pub net: Net,
    /// The registry and this node's session.
    pub consensus: Consensus,
    /// Instances.
    pub functions: Functions,
    /// Placement.
    pub scheduler: Scheduler,
    /// The state, for those that run here.
    pub state: Arc<dyn StateSpace>,
    /// The places of ranks in their worlds.
    pub ranks: Arc<dyn RankSpace>,
}

/// Handle of the component. Cheap to clone.
#[derive(Clone)]
pub struct Calls {
    inner: Arc<Inner>,
}

struct Inner {
    me: NodeId,
    incarnation: Incarnation,
    options: CallOptions,
    ports: Ports,
    scheduler: Scheduler,
    live: DashMap<CallId, Arc<LiveCall>>,
    roots: DashMap<CallId, Arc<Root>>,
    outgoing: Mutex<outgoing::Table>,
    answers: Mutex<HashMap<CallId, oneshot::Sender<bool>>>,
    unaccepted: Mutex<Vec<(Peer, CallId, Attempt)>>,
    records: Mutex<Records>,
    recent: Mutex<Recent>,
    /// Ends of other nodes' calls that could not be told while this node had no session.
    unreported: Mutex<Vec<(NodeId, Done)>>,
    kept: Mutex<Kept<KeptKey>>,
    /// What of it another node has, too, since this one drains; and which records.
    handed: Mutex<HashSet<KeptKey>>,
    handed_records: Mutex<HashSet<CallId>>,
    cancelled: Mutex<Cancelled>,
    roster: Mutex<Roster>,
    functions: DashMap<FunctionKey, Arc<Function>>,
    users: DashMap<Name, Arc<UserBook>>,
    /// Jobs that wait here for room, places kept for ranks, and ranks that have written.
    line: Arc<Line>,
    places: Mutex<Places>,
    writers: Mutex<Vec<std::sync::Weak<LiveCall>>>,
    bulk: Semaphore,
    budget: Arc<Budget>,
    clock: AtomicU64,
    stamped_us: AtomicU64,
    latency: ::metrics::Histogram,
    /// Calls that are being taken, and are not among the living or the roots yet.
    entering: AtomicUsize,
    ticker: OnceLock<crate::actor::Kept>,
}

impl Calls {
    /// Starts the component on the current tokio runtime, and takes what peers send.
    pub async fn start(setup: CallsSetup) -> anyhow::Result<Self> {
        let CallsSetup { me, incarnation, options, net, consensus, functions, scheduler, .. } =
            setup;
        let (state, ranks) = (setup.state, setup.ranks);
        let ports = Ports::of_node(net.clone(), consensus.clone(), functions, state, ranks);
        let calls = Self::new(me, incarnation, options, ports, scheduler);
        consensus.listen_to_locks(calls.lock_listener());
        net.register(ServiceId::Calls, Arc::new(calls.clone()));
        let clock = actor::spawn(calls.clone()).await?;
        // This is the first and only time.
        let _ = calls.inner.ticker.set(clock);
        Ok(calls)
    }

    fn new(
        me: NodeId,
        incarnation: Incarnation,
        options: CallOptions,
        ports: Ports,
        scheduler: Scheduler,
    ) -> Self {
        let bounds = Bounds {
            age: options.record_age,
            count: options.records,
            bytes: options.record_bytes / 2,
        };
        let kept = Kept::new(options.record_age, options.record_bytes / 2);
        let budget = Budget::new(options.held_bytes);
        let inner = Inner {
            me,
            incarnation,
            options,
            ports,
            scheduler,
            live: DashMap::new(),
            roots: DashMap::new(),
            outgoing: Mutex::default(),
            answers: Mutex::default(),
            unaccepted: Mutex::default(),
            records: Mutex::new(Records::new(bounds)),
            recent: Mutex::default(),
            unreported: Mutex::default(),
            kept: Mutex::new(kept),
            handed: Mutex::default(),
            handed_records: Mutex::default(),
            cancelled: Mutex::default(),
            roster: Mutex::default(),
            functions: DashMap::new(),
            users: DashMap::new(),
            line: Arc::default(),
            places: Mutex::default(),
            writers: Mutex::default(),
            bulk: Semaphore::new(BULK_UNITS),
            budget,
            clock: AtomicU64::new(0),
            stamped_us: AtomicU64::new(0),
            latency: ::metrics::histogram!(metrics::SECONDS),
            entering: AtomicUsize::new(0),
            ticker: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Ends the component's clock; to be called after [`Calls::drain`].
    pub fn stop(&self) {
        self.inner.ticker.get().inspect(|clock| clock.stop());
    }

    /// A function as this node runs it, from the registry's local copy.
    fn function(&self, key: &FunctionKey) -> Result<Arc<Function>, CallError> {
        let entry = self.registry().function(key).ok_or_else(|| {
            let detail = format!("there is no function {key}; `faasm functions` lists them");
            CallError::new(Errno::NoEnt, detail)
        })?;
        Ok(self.function_with(key.clone(), entry))
    }

    fn function_with(&self, key: FunctionKey, entry: Arc<FunctionEntry>) -> Arc<Function> {
        if let Some(known) = self.inner.functions.get(&key)
            && Arc::ptr_eq(&known.entry, &entry)
        {
            return known.clone();
        }
        let mut slot = self.inner.functions.entry(key.clone()).or_insert_with(|| {
            Arc::new(Function { key: key.clone(), entry: entry.clone(), book: Arc::default() })
        });
        if !Arc::ptr_eq(&slot.entry, &entry) {
            let book = slot.book.clone();
            *slot = Arc::new(Function { key, entry, book });
        }
        slot.clone()
    }

    /// The very version of a function that another node asks for, which the registry here may not
    /// have yet, or no longer.
    fn version(&self, key: FunctionKey, start: &Start) -> Arc<Function> {
        let is_it =
            |entry: &FunctionEntry| entry.version == start.version && entry.wasm == start.wasm;
        if let Some(known) = self.inner.functions.get(&key)
            && is_it(&known.entry)
        {
            return known.clone();
        }
        if let Some(entry) = self.registry().function(&key).filter(|entry| is_it(entry)) {
            return self.function_with(key, entry);
        }
        let book = self.inner.functions.get(&key).map(|known| known.book.clone());
        let entry = FunctionEntry {
            wasm: start.wasm,
            size: 0,
            version: start.version,
            uploaded_ms: 0,
            limits: start.limits.clone(),
            options: Options::default(),
        };
        Arc::new(Function { key, entry: Arc::new(entry), book: book.unwrap_or_default() })
    }

    fn user(&self, user: &Name) -> Arc<UserBook> {
        if let Some(known) = self.inner.users.get(user) {
            return known.clone();
        }
        let capacity = self.instances().capacity();
        let limit = match self.options().live_per_user {
            0 => capacity - capacity / 8,
            limit => limit,
        };
        let quota = self.registry().running_quota(user);
        let book = || UserBook::new(user.clone(), limit, quota as usize);
        self.inner.users.entry(user.clone()).or_insert_with(book).clone()
    }

    async fn bulk_budget(&self, bytes: u64) -> Option<SemaphorePermit<'_>> {
        let units = bytes.div_ceil(BULK_UNIT).max(1).min(BULK_UNITS as u64) as u32;
        self.inner.bulk.acquire_many(units).await.ok()
    }

    /// Microseconds since 1970, or a little more: never the same twice, also when the clock jumps.
    fn stamp_us(&self) -> u64 {
        let now = spec::now_us();
        let next = |last: u64| now.max(last.saturating_add(1));
        let stamped = &self.inner.stamped_us;
        let update = |last| Some(next(last));
        stamped.try_update(Ordering::AcqRel, Ordering::Acquire, update).map_or(now, next)
    }

    /// The logical clock, one tick on: for a message that is sent.
    fn tick(&self) -> u64 {
        self.inner.clock.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// A message came with this clock.
    fn hear(&self, clock: u64) {
        self.inner.clock.fetch_max(clock.min(MAX_CLOCK), Ordering::AcqRel);
        self.tick();
    }

    /// A call is over here. One of the same id may live: another attempt.
    fn forget(&self, live: &Arc<LiveCall>) {
        self.inner.live.remove_if(&live.spec.call, |_, known| Arc::ptr_eq(known, live));
    }

    fn live_call(&self, call: CallId) -> Option<Arc<LiveCall>> {
        self.inner.live.get(&call).map(|live| live.clone())
    }

    /// The calls here that `picks` picks, as they are now, in the order of their ids.
    fn living_where(&self, picks: impl Fn(&LiveCall) -> bool) -> Vec<Arc<LiveCall>> {
        let picked = self.inner.live.iter().filter(|live| picks(live));
        let mut living: Vec<_> = picked.map(|live| live.clone()).collect();
        living.sort_unstable_by_key(|live| live.spec.call);
        living
    }

    /// Forgets users who have no call here: their names come from peers, too.
    fn forget_users(&self) {
        self.inner.users.retain(|_, book| Arc::strong_count(book) > 1);
    }
}

/// Short names for what the parts of this component share.
impl Calls {
    fn me(&self) -> NodeId {
        self.inner.me
    }
    fn incarnation(&self) -> Incarnation {
        self.inner.incarnation
    }
    fn options(&self) -> &CallOptions {
        &self.inner.options
    }
    fn net(&self) -> &dyn Connections {
        &*self.inner.ports.connections
    }
    fn registry(&self) -> &dyn Registry {
        &*self.inner.ports.registry
    }
    fn instances(&self) -> &dyn Instances {
        &*self.inner.ports.instances
    }
    fn scheduler(&self) -> &Scheduler {
        &self.inner.scheduler
    }
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        (self.inner.ports.spawn)(Box::pin(task));
    }
    fn draw(&self) -> u128 {
        (self.inner.ports.draw)()
    }
    fn live(&self) -> &DashMap<CallId, Arc<LiveCall>> {
        &self.inner.live
    }
    fn roots(&self) -> &DashMap<CallId, Arc<Root>> {
        &self.inner.roots
    }
    fn outgoing(&self) -> &Mutex<outgoing::Table> {
        &self.inner.outgoing
    }
    fn answers(&self) -> &Mutex<HashMap<CallId, oneshot::Sender<bool>>> {
        &self.inner.answers
    }
    fn unaccepted(&self) -> &Mutex<Vec<(Peer, CallId, Attempt)>> {
        &self.inner.unaccepted
    }
    fn budget(&self) -> &Arc<Budget> {
        &self.inner.budget
    }
    fn records(&self) -> &Mutex<Records> {
        &self.inner.records
    }
    fn line(&self) -> &Arc<Line> {
        &self.inner.line
    }
    fn places(&self) -> &Mutex<Places> {
        &self.inner.places
    }
    fn writers(&self) -> &Mutex<Vec<std::sync::Weak<LiveCall>>> {
        &self.inner.writers
    }
    fn recent(&self) -> &Mutex<Recent> {
        &self.inner.recent
    }
    fn kept(&self) -> &Mutex<Kept<KeptKey>> {
        &self.inner.kept
    }
    fn latency(&self) -> &::metrics::Histogram {
        &self.inner.latency
    }
}
