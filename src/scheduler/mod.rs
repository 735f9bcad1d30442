//! Where calls run: what this node can take, what it believes of the others, and who waits.
//!
//! The hot path takes a place and a slot by two atomic operations; the [`actor`] keeps the books
//! beside it: it tells the others this node's load, takes theirs, and hands waiting starts to nodes
//! that have room.
//!
//! | child of the node | on failure | on shutdown |
//! |---|---|---|
//! | `scheduler` actor | restarted; the books live in [`Scheduler`] and survive | stops reporting |

mod actor;
pub mod gossip;
mod held;
pub mod metrics;
pub mod policy;
pub mod queue;
pub mod slots;
mod telling;
#[cfg(test)]
mod tests;
pub mod views;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::actor::Kept;
use crate::clock;
use crate::config::SchedulerOptions;
use crate::id::{BlobHash, CallId, Name, NodeId};
use crate::net::Net;
use crate::wire::calls::Room;
use crate::wire::function::Policy;

use gossip::Gossip;
pub use held::{FunctionBook, Holding, Place, Slot};
pub use policy::Candidate;
use queue::{Line, StartQueue};
use slots::Pool;
use views::Views;

/// What the component is started with.
pub struct SchedulerSetup {
    /// This node.
    pub me: NodeId,
    /// Its settings.
    pub options: SchedulerOptions,
    /// Guest workers of this node.
    pub workers: usize,
    /// Instances this node can hold.
    pub capacity: usize,
    /// Connections, for load reports.
    pub net: Net,
    /// The modules in memory here, for load reports.
    pub modules: Arc<dyn Fn() -> Vec<u64> + Send + Sync>,
    /// Whether this node may start calls now.
    pub accepting: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// What it is made of, without an actor.
pub struct Parts {
    /// This node.
    pub me: NodeId,
    /// Starts under way at once.
    pub slots: usize,
    /// Instances at once.
    pub capacity: usize,
    /// Starts of one user that may wait.
    pub queue_per_user: usize,
    /// The modules in memory here.
    pub modules: Arc<dyn Fn() -> Vec<u64> + Send + Sync>,
    /// Whether this node may start calls now.
    pub accepting: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// What a call needs of a node.
#[derive(Debug, Clone)]
pub struct Needs {
    /// How to choose.
    pub policy: Policy,
    /// The only nodes allowed; empty for all.
    pub pin: Vec<NodeId>,
    /// Its module.
    pub wasm: BlobHash,
}

/// What a node has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeRoom {
    /// Which.
    pub node: NodeId,
    /// Instances that it can still hold.
    pub free: u32,
    /// Guests that it runs at once without taking turns, as far as its slots tell.
    pub cores: u32,
}

/// A node has four slots for each thread that runs guests, unless its settings say otherwise.
fn cores(slots: u32) -> u32 {
    (slots / 4).max(1)
}

impl Needs {
    fn allows(&self, node: NodeId) -> bool {
        self.pin.is_empty() || self.pin.contains(&node)
    }
}

/// The first 8 bytes of a module's hash: enough to guess where it is compiled.
pub fn module_tag(hash: &BlobHash) -> u64 {
    let mut tag = [0; 8];
    tag.copy_from_slice(&hash.0[..8]);
    u64::from_be_bytes(tag)
}

/// Where a start is to go.
pub enum Go {
    /// Start it here, with this slot.
    Here(Slot),
    /// Send it to this node.
    There(NodeId),
}

/// A start that waits.
pub struct Waiting {
    /// The call.
    pub call: CallId,
    /// Whose it is.
    pub user: Name,
    /// The slots its user holds here.
    pub holding: Arc<Holding>,
    /// What it needs.
    pub needs: Needs,
    /// Whether it may go to another node: not if another node sent it here.
    pub movable: bool,
    /// Whether a place was kept for it: then it waits however many do.
    pub reserved: bool,
    /// Its function's live instances here, and how many there may be.
    pub function: Arc<FunctionBook>,
    /// Called once, with where it goes; must not wait.
    pub go: Box<dyn FnOnce(Go) + Send>,
}

impl Waiting {
    /// Where it stands: behind those of its user that need the same.
    fn line(&self) -> Line {
        let mut hasher = DefaultHasher::new();
        (self.needs.policy as u8, &self.needs.pin, self.movable, Arc::as_ptr(&self.function))
            .hash(&mut hasher);
        Line { user: self.user.clone(), kind: hasher.finish() }
    }
}

/// Handle of the component. Cheap to clone.
#[derive(Clone)]
pub struct Scheduler {
    inner: Arc<Inner>,
}

struct Inner {
    me: NodeId,
    slots: Pool,
    places: Pool,
    running: AtomicUsize,
    waiting: AtomicUsize,
    queue: Mutex<StartQueue<(u32, Waiting)>>,
    queue_per_user: usize,
    views: Mutex<Views>,
    gossip: Mutex<Gossip>,
    modules: Arc<dyn Fn() -> Vec<u64> + Send + Sync>,
    accepting: Arc<dyn Fn() -> bool + Send + Sync>,
    stopping: AtomicBool,
    draining: AtomicBool,
    seq: AtomicU64,
    books: OnceLock<Kept>,
}

/// The part of all slots that a user who holds one already leaves to the others: a user who starts
/// many calls at once must not make another's first one wait until those have run a while.
const RESERVED_PART: usize = 4;

/// Most nodes with room that are compared for one call.
const CHOICES: usize = 64;

impl Scheduler {
    /// Starts the component on the current tokio runtime.
    pub async fn start(setup: SchedulerSetup) -> anyhow::Result<Self> {
        let net = setup.net;
        let scheduler = Self::new(Parts {
            me: setup.me,
            slots: setup.workers.max(1) * setup.options.slots_per_worker.max(1),
            capacity: setup.capacity,
            queue_per_user: setup.options.queue_per_user,
            modules: setup.modules,
            accepting: setup.accepting,
        });
        let books = actor::spawn(scheduler.clone(), net, setup.options).await?;
        // This is the first and only time.
        let _ = scheduler.inner.books.set(books);
        Ok(scheduler)
    }

    /// The component without its actor.
    pub fn new(parts: Parts) -> Self {
        let inner = Inner {
            me: parts.me,
            slots: Pool::new(parts.slots),
            places: Pool::new(parts.capacity),
            running: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
            queue_per_user: parts.queue_per_user,
            views: Mutex::default(),
            gossip: Mutex::new(Gossip::new(parts.me)),
            modules: parts.modules,
            accepting: parts.accepting,
            stopping: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            seq: AtomicU64::new(0),
            books: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Takes a place for an instance here.
    pub fn try_place(&self) -> Option<Place> {
        if self.inner.draining.load(Ordering::SeqCst) {
            return None;
        }
        self.inner.places.try_take().then(|| Place(self.inner.clone()))
    }

    /// Takes a slot here, after those that wait for one.
    pub fn try_slot(&self, holding: &Arc<Holding>) -> Option<Slot> {
        // What still waits then cannot start here, and must not keep others from it: it may be
        // pinned to a node that is gone.
        Inner::pump(&self.inner);
        self.inner.take_slot(holding).map(|mut slot| {
            slot.pumps = true;
            slot
        })
    }

    /// The node for a call, by policy, with nodes already `tried` left out; `None`: it must wait.
    pub fn choose(&self, needs: &Needs, tried: &[NodeId]) -> Option<NodeId> {
        let inner = &self.inner;
        let here = Candidate { node: inner.me, room: self.room(), has_module: true };
        let draining = inner.draining.load(Ordering::SeqCst);
        let may = !draining && needs.allows(inner.me) && !tried.contains(&inner.me);
        let here = Some(here).filter(|_| may);
        if needs.policy == Policy::BinPack && here.is_some_and(|h| h.room.free_slots > 0) {
            return Some(inner.me);
        }
        let views = inner.views.lock();
        let first = inner.first(&views);
        let others = views
            .candidates(module_tag(&needs.wasm), first, clock::now())
            .filter(|c| c.has_room() && needs.allows(c.node) && !tried.contains(&c.node));
        policy::choose(needs.policy, here, others.take(CHOICES))
    }

    /// Other nodes that may have a place though no slot, most places first: for a call that has no
    /// place here.
    pub fn with_places(&self, needs: &Needs) -> Vec<NodeId> {
        let views = self.inner.views.lock();
        let mut nodes: Vec<_> = views
            .candidates(0, 0, clock::now())
            .filter(|c| c.room.free_places > 0 && needs.allows(c.node))
            .collect();
        nodes.sort_by_key(|c| std::cmp::Reverse(c.room.free_places));
        nodes.into_iter().map(|c| c.node).collect()
    }

    /// What nodes that take calls, this one among them, have room for; of those that are allowed.
    pub fn rooms(&self, needs: &Needs) -> Vec<NodeRoom> {
        let here = self.takes_calls().then(|| NodeRoom {
            node: self.inner.me,
            free: self.room().free_places,
            cores: cores(u32::try_from(self.inner.slots.total()).unwrap_or(u32::MAX)),
        });
        let own = here.map_or(1, |here| here.cores);
        let views = self.inner.views.lock();
        let others = views.candidates(0, 0, clock::now()).map(|c| NodeRoom {
            node: c.node,
            free: c.room.free_places,
            cores: views.slots(c.node).map_or(own, cores),
        });
        here.into_iter().chain(others).filter(|room| needs.allows(room.node)).collect()
    }

    /// Puts a start in line; `instances` is its function's limit. `false`, and nothing is done,
    /// when as many of its user wait as may.
    pub fn enqueue(&self, waiting: Waiting, instances: u32) -> bool {
        {
            let mut queue = self.inner.queue.lock();
            if !waiting.reserved && queue.len_of(&waiting.user) >= self.inner.queue_per_user {
                return false;
            }
            queue.push(&waiting.line(), waiting.call, (instances, waiting));
            self.inner.waiting.store(queue.len(), Ordering::SeqCst);
        }
        Inner::pump(&self.inner);
        true
    }

    /// Whether as many starts of a user wait here as may.
    pub fn is_queue_full(&self, user: &Name) -> bool {
        self.waiting() > 0 && self.inner.queue.lock().len_of(user) >= self.inner.queue_per_user
    }

    /// Starts of one user that may wait here.
    pub fn queue_per_user(&self) -> usize {
        self.inner.queue_per_user
    }

    /// The waiting starts that may run on none of the nodes that are `up`, nor here.
    pub fn stranded(&self, up: &dyn Fn(NodeId) -> bool) -> Vec<CallId> {
        if self.waiting() == 0 {
            return Vec::new();
        }
        let may_run =
            |needs: &Needs| needs.allows(self.inner.me) || needs.pin.iter().any(|node| up(*node));
        let queue = self.inner.queue.lock();
        let stranded = queue.iter().filter(|(_, (_, waiting))| !may_run(&waiting.needs));
        let mut calls: Vec<_> = stranded.map(|(call, _)| call).collect();
        calls.sort_unstable();
        calls
    }

    /// Takes a start out of the line, if it still waits.
    pub fn take_queued(&self, call: CallId) -> Option<Waiting> {
        let mut queue = self.inner.queue.lock();
        let taken = queue.remove(call);
        self.inner.waiting.store(queue.len(), Ordering::SeqCst);
        taken.map(|(_, waiting)| waiting)
    }

    /// Starts what can start here; to be called when an instance ended.
    pub fn pump(&self) {
        Inner::pump(&self.inner);
    }

    /// A start was sent to a node.
    pub fn sent(&self, node: NodeId) {
        self.inner.views.lock().sent(node);
    }

    /// A start was answered by a node, and this is its room now.
    pub fn answered(&self, node: NodeId, room: Room) {
        {
            let mut views = self.inner.views.lock();
            views.answered(node);
            views.reply(node, room, clock::now());
        }
        self.hand_out();
    }

    /// A start that was sent to a node will not be answered.
    pub fn unanswered(&self, node: NodeId) {
        self.inner.views.lock().answered(node);
    }

    /// A start could not be sent to a node: it has no room until it is heard of again. Else what
    /// waits here would be handed to it over and over.
    pub fn unreached(&self, node: NodeId) {
        self.inner.views.lock().reply(node, Room::default(), clock::now());
    }

    /// A node was lost.
    pub fn lost(&self, node: NodeId) {
        self.inner.views.lock().lost(node);
    }

    /// A node told of its room.
    pub fn told(&self, node: NodeId, room: Room) {
        self.inner.views.lock().reply(node, room, clock::now());
        self.hand_out();
    }

    /// A call here begins to run, or runs again after a wait.
    pub fn runs(&self) {
        self.inner.running.fetch_add(1, Ordering::SeqCst);
    }

    /// A call here waits or ended.
    pub fn rests(&self) {
        self.inner.running.fetch_sub(1, Ordering::SeqCst);
    }

    /// What this node can take now.
    pub fn room(&self) -> Room {
        let clip = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Room {
            free_slots: clip(self.inner.slots.free().saturating_sub(self.inner.reserved())),
            free_places: clip(self.inner.places.free()),
            running: clip(self.inner.running.load(Ordering::SeqCst)),
        }
    }

    /// Starts that wait here.
    pub fn waiting(&self) -> usize {
        self.inner.waiting.load(Ordering::SeqCst)
    }

    /// From now on the others are told to send nothing here.
    pub fn stop_accepting(&self) {
        self.inner.stopping.store(true, Ordering::SeqCst);
    }

    /// Whether new calls run on other nodes only, by an admin's word. Those that were taken here
    /// run on.
    pub fn set_draining(&self, draining: bool) {
        self.inner.draining.store(draining, Ordering::SeqCst);
    }

    /// Whether calls may be sent here by other nodes.
    pub fn takes_calls(&self) -> bool {
        self.accepting() && !self.inner.draining.load(Ordering::SeqCst)
    }

    /// Ends the reports to other nodes.
    pub fn stop(&self) {
        self.inner.books.get().inspect(|books| books.stop());
    }

    /// Whether this node takes new calls.
    pub fn accepting(&self) -> bool {
        !self.inner.stopping.load(Ordering::SeqCst) && (self.inner.accepting)()
    }
}

impl Inner {
    /// Where to begin to look among the others: all of a few are looked at, of many a part by
    /// chance, so that nodes with the same beliefs do not all choose the same one.
    fn first(&self, views: &Views) -> usize {
        match views.len() {
            0..=CHOICES => 0,
            many => self.gossip.lock().draw(many),
        }
    }

    /// Starts waiting calls while there are slots. Called by whoever frees something.
    fn pump(self: &Arc<Self>) {
        while self.waiting.load(Ordering::SeqCst) > 0 && self.slots.free() > 0 {
            let mut taken = None;
            let popped = {
                let mut queue = self.queue.lock();
                let popped = queue.pop(|(limit, waiting)| {
                    waiting.needs.allows(self.me)
                        && waiting.function.live() < *limit as usize
                        && self.may_take(&waiting.holding)
                });
                if let Some((limit, waiting)) = popped {
                    taken = self.take_slot(&waiting.holding);
                    match taken {
                        Some(_) => Some(waiting),
                        None => {
                            // Another thread was faster; it waits on.
                            queue.push(&waiting.line(), waiting.call, (limit, waiting));
                            None
                        }
                    }
                } else {
                    None
                }
            };
            match (popped, taken) {
                (Some(waiting), Some(mut slot)) => {
                    self.waiting.store(self.queue.lock().len(), Ordering::SeqCst);
                    slot.pumps = true;
                    (waiting.go)(Go::Here(slot));
                }
                _ => return,
            }
        }
    }

    /// Slots that only a user who holds none may take.
    fn reserved(&self) -> usize {
        self.slots.total() / RESERVED_PART
    }

    fn may_take(&self, holding: &Holding) -> bool {
        let free = self.slots.free();
        free > self.reserved() || (free > 0 && holding.0.load(Ordering::SeqCst) == 0)
    }

    /// Takes a slot for a user, which does not pump until told to.
    fn take_slot(self: &Arc<Self>, holding: &Arc<Holding>) -> Option<Slot> {
        if !self.may_take(holding) || !self.slots.try_take() {
            return None;
        }
        holding.0.fetch_add(1, Ordering::SeqCst);
        Some(Slot { inner: self.clone(), holding: holding.clone(), pumps: false })
    }
}
