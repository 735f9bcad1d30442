//! The thread that drives this node's copies of shards: it tells them what happens and does what
//! they want. One thread for all shards, so that what they log together shares one fsync, and
//! everything about a shard happens in one order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::applying::Applying;
use super::copy::Copy;
use super::jobs::{Asker, Job};
use super::listing::Page;
use super::post::Post;
use super::quota::Usage;
use super::store::{LogWrite, Store, StoreError};
use crate::consensus::Consensus;
use crate::consensus::shards::Shards;
use crate::id::{Incarnation, NodeId};
use crate::net::Net;
use crate::state::replica::{Event, Outcome, Record, TICK};
use crate::wire::replicas::Message;
use crate::wire::shards::{SHARDS, ShardChange, ShardId};
use crate::wire::state::{Answer, Ask, List, Refusal};

/// Inputs that wait at most; more are refused.
pub const INBOX: usize = 16_384;
/// Bytes beside them that wait at most.
const MAX_WAITING: usize = 256 << 20;
/// Inputs that are taken before what they caused is done.
const BATCH: usize = 1_024;
/// Bytes beside them after which no more are taken: they are written and synced together.
const BATCH_BYTES: usize = 4 << 20;
/// Pause before an input that must not be lost is put again.
const PUT_AGAIN: Duration = Duration::from_millis(50);
/// Pause between looks for what is overdue: staged bytes, checkpoints.
const TIDY: Duration = Duration::from_secs(5);

/// Pause between checkpoints, if the log does not ask for one.
pub const CHECKPOINT: Duration = Duration::from_secs(60);

/// What came of a checkpoint: up to where logs were compacted, and which copies failed.
pub type Checkpoint = Result<(Vec<(ShardId, u64)>, Vec<StoreError>), StoreError>;

/// Something that happens.
pub enum Input {
    /// An operation on a key whose shard this node may own.
    Ask(Box<Job>),
    /// Values of the shards that this node owns.
    List(List, oneshot::Sender<Page>),
    /// What these users have on the shards that this node serves.
    Usage(Vec<String>, oneshot::Sender<Vec<u64>>),
    /// What users have on other nodes.
    Elsewhere(HashMap<String, u64>),
    /// Copies on another node say something; the number is of the bytes beside it.
    Messages(NodeId, Vec<(Message, Bytes)>, usize),
    /// The table of shards changed.
    Table,
    /// There is a new connection.
    Connected(NodeId),
    /// A proposal of this node came to an end.
    Proposed(ShardChange, Outcome),
    /// A checkpoint is made, or failed.
    Checkpoint(Checkpoint),
    /// Reading found a copy to be damaged.
    Damaged(ShardId, StoreError),
    /// Nothing more.
    Stop,
}

impl Input {
    fn bytes(&self) -> usize {
        match self {
            Self::Ask(job) => job.body.len(),
            Self::Messages(_, _, bytes) => *bytes,
            _ => 0,
        }
    }
}

/// What the driver's handles share with it.
pub struct Shared {
    inbox: SyncSender<Input>,
    waiting: AtomicUsize,
    /// The epoch in which this node serves each shard; 0 where it does not.
    serving: Vec<AtomicU64>,
    stopped: AtomicBool,
}

impl Shared {
    /// With an empty inbox.
    pub fn new(inbox: SyncSender<Input>) -> Arc<Self> {
        let serving = (0..SHARDS).map(|_| AtomicU64::new(0)).collect();
        let (waiting, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
        Arc::new(Self { inbox, waiting, serving, stopped })
    }

    /// Puts an input; gives it back when too much waits.
    pub fn put(&self, input: Input) -> Result<(), Input> {
        let bytes = input.bytes();
        if self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes > MAX_WAITING {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            return Err(input);
        }
        self.inbox.try_send(input).map_err(|error| {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            match error {
                std::sync::mpsc::TrySendError::Full(input)
                | std::sync::mpsc::TrySendError::Disconnected(input) => input,
            }
        })
    }

    /// Puts an input that must not be lost, however long too much waits.
    pub async fn put_surely(&self, mut input: Input) {
        while let Err(back) = self.put(input) {
            if self.stopped.load(Ordering::Acquire) {
                return;
            }
            input = back;
            tokio::time::sleep(PUT_AGAIN).await;
        }
    }

    /// The epoch in which this node serves a shard; 0 if it does not.
    pub fn serving(&self, shard: ShardId) -> u64 {
        self.serving.get(usize::from(shard.0)).map_or(0, |epoch| epoch.load(Ordering::Acquire))
    }

    /// Says in which epoch this node serves a shard.
    pub fn set_serving(&self, shard: ShardId, epoch: u64) {
        if let Some(place) = self.serving.get(usize::from(shard.0)) {
            place.store(epoch, Ordering::Release);
        }
    }
}

/// The shards that this node owns, to those who ask. Cheap to clone.
#[derive(Clone)]
pub struct Owners {
    shared: Arc<Shared>,
}

impl Owners {
    /// Over a driver's inbox.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Asks this node as the owner of a key.
    pub async fn ask(&self, ask: Ask, body: Bytes, deadline: Instant) -> (Answer, Bytes) {
        let busy = |why: &str| (Answer::Refused(Refusal::Unavailable(why.into())), Bytes::new());
        let (reply, answer) = oneshot::channel();
        self.put(Job::new(ask, body, deadline, Asker::Here(reply)));
        answer.await.unwrap_or_else(|_| busy("the owner gave the operation up"))
    }

    /// Puts an operation, which is answered by whoever deals with it.
    pub fn put(&self, job: Job) {
        if let Err(Input::Ask(job)) = self.shared.put(Input::Ask(Box::new(job))) {
            job.refuse(Refusal::Unavailable("the owner has too much to do".into()));
        }
    }

    /// Lists values of the shards that this node serves; none when it is too busy.
    pub async fn list(&self, list: List) -> Option<Page> {
        let (reply, answer) = oneshot::channel();
        self.shared.put(Input::List(list, reply)).ok()?;
        answer.await.ok()
    }

    /// In how many shards this node serves.
    pub fn served(&self) -> usize {
        (0..SHARDS).filter(|shard| self.shared.serving(ShardId(*shard)) > 0).count()
    }

    /// Copies on another node say something; lost when too much waits.
    pub fn messages(&self, from: NodeId, all: Vec<(Message, Bytes)>, bytes: usize) {
        let _ = self.shared.put(Input::Messages(from, all, bytes));
    }

    /// Tells of something else; lost when too much waits.
    pub fn tell(&self, input: Input) {
        let _ = self.shared.put(input);
    }

    /// Tells of something else; false when too much waits.
    pub fn try_tell(&self, input: impl FnOnce() -> Input) -> bool {
        self.shared.put(input()).is_ok()
    }

    /// Ends the driver.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.tell(Input::Stop);
    }
}

/// See the top.
pub struct Driver {
    pub(super) me: NodeId,
    pub(super) start: Incarnation,
    pub(super) store: Arc<Store>,
    pub(super) net: Net,
    pub(super) consensus: Consensus,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) shared: Arc<Shared>,
    /// Most bytes that a user may have.
    pub(super) user_bytes: u64,
    pub(super) copies: BTreeMap<ShardId, Copy>,
    pub(super) table: Arc<Shards>,
    /// To be written by the next fsync, with the numbers to tell afterwards.
    pub(super) writes: Vec<LogWrite>,
    pub(super) synced: Vec<(ShardId, u64)>,
    /// Copies that have something to apply, and whose turn is next.
    pub(super) applying: BTreeMap<ShardId, Applying>,
    pub(super) apply_next: ShardId,
    /// To be sent with the others of this round.
    pub(super) post: Post,
    /// Other inputs are left to gather until then.
    pub(super) gather: Instant,
    /// Why all copies stand back, if they do.
    pub(super) failed: Option<String>,
    pub(super) began: Instant,
    pub(super) tidied: Instant,
    pub(super) checkpointed: Instant,
    pub(super) checkpointing: bool,
    /// What users have.
    pub(super) usage: Usage,
    pub(super) inbox: Receiver<Input>,
}

impl Driver {
    /// Runs until it is told to stop.
    pub fn run(mut self) {
        let mut tick = Instant::now() + TICK;
        let mut more = false;
        while !self.shared.stopped.load(Ordering::Acquire) {
            let left = match more || !self.applying.is_empty() {
                true => Duration::ZERO,
                false => tick.saturating_duration_since(Instant::now()),
            };
            match self.inbox.recv_timeout(left) {
                Ok(input) => {
                    std::thread::sleep(self.gather.saturating_duration_since(Instant::now()));
                    self.take_some(input);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = Instant::now();
            if now >= tick {
                tick = now + TICK;
                self.tick(now);
            }
            self.go_on(now);
            more = self.settle(now);
        }
        for shard in 0..SHARDS {
            self.shared.set_serving(ShardId(shard), 0);
        }
        // The next start then has little to do again.
        if self.failed.is_none()
            && let Err(error) = self.store.checkpoint(self.ms(Instant::now()))
        {
            tracing::warn!(%error, "the values were not made durable; their log is");
        }
    }

    fn take_some(&mut self, first: Input) {
        let now = Instant::now();
        let mut bytes = 0;
        let mut next = Some(first);
        for taken in 1.. {
            let Some(input) = next.take() else { return };
            bytes += input.bytes();
            self.shared.waiting.fetch_sub(input.bytes(), Ordering::Relaxed);
            self.take(input, now);
            if taken >= BATCH || bytes >= BATCH_BYTES {
                return;
            }
            next = self.inbox.try_recv().ok();
        }
    }

    fn take(&mut self, input: Input, now: Instant) {
        match input {
            Input::Ask(job) => self.ask(*job, now),
            Input::List(list, reply) => self.list(list, reply),
            Input::Usage(users, reply) => {
                let _ = reply.send(users.iter().map(|user| self.used(user).0).collect());
            }
            Input::Elsewhere(used) => self.used_elsewhere(used, now),
            Input::Messages(from, all, _) => {
                for (message, body) in all {
                    self.tell(message.shard, Event::Message { from, message, body }, now);
                }
            }
            Input::Table => self.table_changed(now),
            Input::Connected(node) => self.tell_all(&Event::Connected(node), now),
            Input::Proposed(change, outcome) => {
                // What it changed must be told first.
                self.table_changed(now);
                self.tell(change.shard, Event::Proposed { change, outcome }, now);
            }
            Input::Checkpoint(done) => self.checkpointed(done, now),
            Input::Damaged(shard, error) => self.damaged(shard, &error, now),
            Input::Stop => {}
        }
    }

    fn tick(&mut self, now: Instant) {
        self.tell_all(&Event::Tick, now);
        for copy in self.copies.values_mut() {
            copy.jobs.give_up(now);
        }
        if now.saturating_duration_since(self.tidied) >= TIDY {
            self.tidied = now;
            self.tidy(now);
        }
    }

    fn tell_all(&mut self, event: &Event, now: Instant) {
        let shards: Vec<ShardId> = self.copies.keys().copied().collect();
        for shard in shards {
            self.tell(shard, event.clone(), now);
        }
    }

    /// Tells a copy, if there is one.
    pub(super) fn tell(&mut self, shard: ShardId, event: Event, now: Instant) {
        let Some(copy) = self.copies.get_mut(&shard) else { return };
        copy.dirty = true;
        if let Err(error) = copy.replica.handle(now, event) {
            tracing::warn!(%shard, %error, "a copy of the shard elsewhere says what cannot be");
        }
    }

    /// Milliseconds since the driver began.
    pub(super) fn ms(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.began);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Logs records with the next fsync.
    pub(super) fn log(&mut self, shard: ShardId, op: u64, records: Vec<Record>) {
        let records = records.into_iter().map(|record| super::store::Record {
            term: record.term.0,
            seq: record.seq,
            body: record.body,
        });
        match self.writes.last_mut() {
            Some(LogWrite::Append(last, all)) if *last == shard => all.extend(records),
            _ => self.writes.push(LogWrite::Append(shard, records.collect())),
        }
        self.synced.push((shard, op));
    }
}
