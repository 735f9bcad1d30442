//! A world as one node sees it: its ranks here, and the way to the others.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::failure::Fate;
use super::far::Far;
use super::inbox::{Body, Inbox, Posted, Unexpected};
use super::{Request, Status, Target, copy};
use crate::function::Control;
use crate::id::{CallId, NodeId};
use crate::mpi::coll::meeting::Meetings;
use crate::mpi::constants as c;
use crate::wire::mpi::WorldId;

/// A message of more bytes is copied on a thread that may be busy for long.
const LONG_COPY: u64 = 8 << 20;

/// Most waits in a row that begin without a look-out.
const MOST_SKIPPED: u32 = 63;

/// The ranks of one job.
#[derive(Debug)]
pub struct World {
    /// Which one.
    pub(super) id: WorldId,
    pub(super) me: NodeId,
    pub(super) nodes: Vec<NodeId>,
    pub(super) places: Vec<Arc<Place>>,
    /// Whether its ranks here may look out for a moment before they sleep.
    lively: bool,
    /// The way to other nodes; a world without has all ranks here.
    pub(super) far: Option<Far>,
    /// Where ranks of this node meet for collectives.
    pub(super) meetings: Meetings,
    /// Whether anything was lost, revoked or aborted: what is not so needs no look at `fate`.
    pub(super) trouble: AtomicBool,
    /// Locked after a place's inbox, if both.
    pub(super) fate: Mutex<Fate>,
}

/// What there is of a rank on its own node.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub inbox: Mutex<Inbox>,
    /// Who probes.
    pub probing: AtomicUsize,
    /// A message came that nobody waited for.
    pub arrived: Notify,
    /// Waits that are to begin without a look-out, and how many it was the last time.
    pub skip: AtomicU32,
    pub skipped: AtomicU32,
    /// Ends the rank.
    pub control: OnceLock<Arc<Control>>,
    /// The call that the rank waits in.
    pub waits_in: Mutex<Option<&'static str>>,
    /// Whether a rank sits here, or sat.
    pub taken: AtomicBool,
    /// Whether its errors can be handled: the loss of another rank does not end the job.
    pub survives: AtomicBool,
    sent: OnceLock<Box<[Sent]>>,
}

/// What a rank sent to another.
#[derive(Debug, Default)]
struct Sent {
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// What one rank sent to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// The sender.
    pub from: u32,
    /// The receiver.
    pub to: u32,
    /// How many messages.
    pub messages: u64,
    /// How many bytes.
    pub bytes: u64,
}

impl Place {
    /// Counts what its rank sends.
    pub fn count(&self, to: u32, ranks: usize, bytes: u64) {
        let all = self.sent.get_or_init(|| (0..ranks).map(|_| Sent::default()).collect());
        if let Some(sent) = all.get(to as usize) {
            // Nearly always one thread counts.
            sent.messages.fetch_add(1, Ordering::Relaxed);
            sent.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Whether it is worth a moment to look out for what a rank waits for.
    pub fn looks_out(&self) -> bool {
        match self.skip.load(Ordering::Relaxed) {
            0 => true,
            left => {
                self.skip.store(left - 1, Ordering::Relaxed);
                false
            }
        }
    }

    /// Whether that was so: each time in vain, twice as many are left out.
    pub fn looked_out(&self, in_vain: bool) {
        let skip = match in_vain {
            true => (self.skipped.load(Ordering::Relaxed) * 2 + 1).min(MOST_SKIPPED),
            false => 0,
        };
        self.skip.store(skip, Ordering::Relaxed);
        self.skipped.store(skip, Ordering::Relaxed);
    }

    /// Tells who probes that something may be different.
    pub fn stir(&self) {
        if self.probing.load(Ordering::Acquire) > 0 {
            self.arrived.notify_waiters();
        }
    }
}

impl World {
    /// One whose ranks are all on this node.
    pub fn local(size: u32) -> Arc<Self> {
        let me = NodeId(0);
        let id = WorldId { world: CallId(0), epoch: 0 };
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Self::new(id, me, vec![me; size as usize], None, workers))
    }

    /// The same, but its collectives are done by messages, as those of ranks on several nodes are.
    pub fn apart(size: u32) -> Arc<Self> {
        let world = Self::local(size);
        world.meetings.close();
        world
    }

    /// `workers` is how many ranks can run here at once.
    pub(super) fn new(
        id: WorldId,
        me: NodeId,
        nodes: Vec<NodeId>,
        far: Option<Far>,
        workers: usize,
    ) -> Self {
        let lively = nodes.iter().filter(|node| **node == me).count() <= workers;
        let places = nodes.iter().map(|_| Arc::default()).collect();
        let (trouble, fate) = (AtomicBool::new(false), Mutex::default());
        let meetings = Meetings::default();
        Self { id, me, nodes, places, lively, far, meetings, trouble, fate }
    }

    /// Whether its ranks here may look out for a moment before they sleep: all can run at once.
    pub(super) fn is_lively(&self) -> bool {
        self.lively
    }

    /// How many ranks it has.
    pub(super) fn size(&self) -> u32 {
        u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }

    /// The place of a rank, if it is on this node.
    pub(super) fn here(&self, rank: u32) -> Option<&Arc<Place>> {
        let at = rank as usize;
        self.places.get(at).filter(|_| self.nodes.get(at) == Some(&self.me))
    }

    /// The ranks on a node.
    pub(super) fn ranks_of(&self, node: NodeId) -> impl Iterator<Item = u32> {
        (0..).zip(&self.nodes).filter(move |(_, of)| **of == node).map(|(rank, _)| rank)
    }

    /// The other nodes with ranks.
    pub(super) fn other_nodes(&self) -> Vec<NodeId> {
        let mut nodes = self.nodes.clone();
        nodes.sort_unstable();
        nodes.dedup();
        nodes.retain(|node| *node != self.me);
        nodes
    }

    /// What the ranks here sent, in the order of ranks; pairs without messages are left out.
    pub(super) fn traffic(&self) -> Vec<Traffic> {
        let rows =
            (0..).zip(&self.places).filter_map(|(from, place)| Some((from, place.sent.get()?)));
        let pairs = rows.flat_map(|(from, row)| {
            (0..).zip(row.iter()).map(move |(to, sent)| Traffic {
                from,
                to,
                messages: sent.messages.load(Ordering::Relaxed),
                bytes: sent.bytes.load(Ordering::Relaxed),
            })
        });
        pairs.filter(|pair| pair.messages > 0).collect()
    }

    /// Ranks that run here.
    pub(super) fn running(&self) -> Vec<u32> {
        let gone = self.fate.lock().gone.clone();
        let ranks = self.ranks_of(self.me);
        let taken =
            |rank: &u32| self.here(*rank).is_some_and(|place| place.taken.load(Ordering::Acquire));
        ranks.filter(|rank| taken(rank) && !gone.contains_key(rank)).collect()
    }

    /// A message for a rank here: to the receive that takes it, or kept; an error is what prevents
    /// that. `inbox` is that of the rank.
    pub(super) fn arrive(
        self: &Arc<Self>,
        to: u32,
        place: &Place,
        mut inbox: MutexGuard<'_, Inbox>,
        message: Unexpected,
    ) -> Result<(), Unexpected> {
        if let Some(posted) = inbox.match_posted(&message.envelope) {
            drop(inbox);
            self.deliver(to, posted, message);
            return Ok(());
        }
        let request = message.request.clone();
        let slot = inbox.keep(message)?;
        if let Some(request) = request {
            request.waits(super::request::Where::Kept(to, slot));
        }
        drop(inbox);
        place.stir();
        Ok(())
    }

    /// Copies a message to where it goes, and completes both sides.
    pub(super) fn deliver(self: &Arc<Self>, to: u32, posted: Posted, message: Unexpected) {
        let bytes = message.bytes();
        let room = posted.target.room();
        if let Body::Away(_, number) = message.body {
            return self.pull(to, posted, &message, number);
        }
        if bytes.min(room) > LONG_COPY
            && matches!((&posted.target, &message.body), (Target::Guest(_), Body::Guest(_)))
            && let Ok(control) = tokio::runtime::Handle::try_current()
        {
            let world = Arc::clone(self);
            control.spawn_blocking(move || world.copy(to, &posted, &message));
            return;
        }
        self.copy(to, &posted, &message);
    }

    fn copy(self: &Arc<Self>, to: u32, posted: &Posted, message: &Unexpected) {
        let copied = copy::copy(&posted.target, &message.body);
        let (mut error, mut bytes, mut host) = (c::MPI_SUCCESS, 0, None);
        let mut sender = Status::EMPTY;
        match copied {
            Ok(copied) => (bytes, host) = copied,
            Err(copy::Fault::Target(class)) => error = class,
            Err(copy::Fault::Source(class)) => {
                sender = Status::failed(class);
                error = c::MPIX_ERR_PROC_FAILED;
            }
        }
        if error == c::MPI_SUCCESS && bytes < message.bytes() {
            error = c::MPI_ERR_TRUNCATE;
        }
        posted.request.complete(received(message, bytes, error), host);
        self.settle(to, message, sender);
    }

    /// Tells the sender that its message was taken.
    pub(super) fn settle(self: &Arc<Self>, to: u32, message: &Unexpected, status: Status) {
        if let Some(sender) = &message.request {
            sender.complete(status, None);
        }
        if message.credit > 0 || message.number > 0 {
            self.taken(to, message);
        }
    }
}

/// The status of a receive that took a message.
pub(super) fn received(message: &Unexpected, bytes: u64, error: i32) -> Status {
    let source = i32::try_from(message.envelope.source).unwrap_or(c::MPI_ANY_SOURCE);
    Status { source, tag: message.envelope.tag, error, bytes, cancelled: false }
}

/// Fails requests, and those that wait for the messages to be taken.
pub(super) fn fail_all(posted: Vec<Posted>, unexpected: Vec<Unexpected>, class: i32) {
    let receives = posted.into_iter().map(|posted| posted.request);
    let sends = unexpected.into_iter().filter_map(|message| message.request);
    let all: Vec<Arc<Request>> = receives.chain(sends).collect();
    all.iter().for_each(|request| request.fail(class));
}

/// Sums traffic that was counted on several nodes.
pub fn sum(parts: impl IntoIterator<Item = Traffic>) -> Vec<Traffic> {
    let mut all: BTreeMap<(u32, u32), (u64, u64)> = BTreeMap::new();
    for Traffic { from, to, messages, bytes } in parts {
        let pair = all.entry((from, to)).or_default();
        pair.0 = pair.0.saturating_add(messages);
        pair.1 = pair.1.saturating_add(bytes);
    }
    let pair = |((from, to), (messages, bytes))| Traffic { from, to, messages, bytes };
    all.into_iter().map(pair).collect()
}
