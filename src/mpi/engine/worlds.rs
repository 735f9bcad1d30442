//! All worlds with ranks on this node. A world begins here with its first rank, or with the first
//! message for it: the ranks of a job start at slightly different times. It is forgotten with its
//! last rank.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::Endpoint;
use super::far::{Far, Home};
use super::incoming::wrong;
use super::world::{Traffic, World};
use crate::errno::{CallError, Errno};
use crate::function::Control;
use crate::function::ranks::RankSpace;
use crate::id::{CallId, NodeId};
use crate::mpi::constants as c;
use crate::mpi::{cx, metrics as names};
use crate::net::{BulkStream, Inbound, Net, Peer, PeerTable, Replier, ServiceId};
use crate::wire::jobs::{Aborted, Sent};
use crate::wire::mpi::{MAX_RANKS, MpiMessage, MpiPull, MpiTold, Seat, WorldId};
use crate::wire::{Malformed, decode};

/// How long messages wait for the first rank of their world to start here, and a world for the
/// rest of its ranks on this node once none runs.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a world may be without a connection to a node that has ranks of it.
const UNSEEN: Duration = Duration::from_secs(10);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Most worlds that messages wait for, and most bytes and messages for all of them.
const MOST_EARLY_WORLDS: usize = 256;
const MOST_EARLY_BYTES: usize = 64 << 20;
/// What an early message counts beside its bytes.
const EARLY_COST: usize = 256;
/// Worlds that are over of which something is still known.
const MOST_OVER: usize = 256;

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Worlds(Arc<Inner>);

struct Inner {
    me: NodeId,
    workers: usize,
    net: Net,
    control: Handle,
    itself: Weak<Inner>,
    table: Mutex<Table>,
    tasks: Mutex<Vec<AbortHandle>>,
}

#[derive(Default)]
struct Table {
    live: HashMap<WorldId, Live>,
    early: HashMap<WorldId, Early>,
    early_bytes: usize,
    over: VecDeque<Over>,
}

struct Live {
    world: Arc<World>,
    since: Instant,
}

/// What came for a world that has not begun here.
struct Early {
    until: Instant,
    bytes: usize,
    messages: Vec<(Peer, MpiTold, Bytes)>,
}

/// A world that is over.
struct Over {
    id: WorldId,
    traffic: Vec<Traffic>,
    aborted: Option<(i32, String)>,
}

/// What a world's ranks on this node are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The job.
    pub world: WorldId,
    /// Its ranks that run here.
    pub ranks: Vec<u32>,
}

impl Worlds {
    /// Starts, and receives what other nodes say. To be called before [`Net::open`], on the runtime
    /// that all its work is to be done on. `workers` is how many ranks can run here at once.
    pub fn start(me: NodeId, net: &Net, workers: usize) -> Self {
        let control = Handle::current();
        let inner = Arc::new_cyclic(|itself| Inner {
            me,
            workers,
            net: net.clone(),
            control: control.clone(),
            itself: itself.clone(),
            table: Mutex::default(),
            tasks: Mutex::default(),
        });
        net.register(ServiceId::Mpi, Arc::new(Self(inner.clone())));
        let watching = control.spawn(watch(Arc::downgrade(&inner), net.clone()));
        inner.tasks.lock().push(watching.abort_handle());
        Self(inner)
    }

    /// Stops: no world is looked after any more.
    pub fn stop(&self) {
        self.0.tasks.lock().drain(..).for_each(|task| task.abort());
    }

    /// What the ranks on this node sent in the latest try at a job, by pairs; of one that is over
    /// too, for a while.
    pub fn traffic(&self, world: CallId) -> Vec<Traffic> {
        let latest = {
            let table = self.0.table.lock();
            let over = table.over.iter().map(|over| over.id);
            let all = table.live.keys().copied().chain(over);
            all.filter(|id| id.world == world).max_by_key(|id| id.epoch)
        };
        latest.map_or_else(Vec::new, |id| self.traffic_of(id))
    }

    fn traffic_of(&self, id: WorldId) -> Vec<Traffic> {
        let live = {
            let table = self.0.table.lock();
            match table.live.get(&id) {
                Some(live) => live.world.clone(),
                None => {
                    let over = table.over.iter().find(|over| over.id == id);
                    return over.map_or_else(Vec::new, |over| over.traffic.clone());
                }
            }
        };
        live.traffic()
    }

    /// The ranks that run here.
    pub fn ranks(&self) -> Vec<Running> {
        let live: Vec<_> = {
            let table = self.0.table.lock();
            table.live.iter().map(|(id, live)| (*id, live.world.clone())).collect()
        };
        let running =
            |(world, live): (WorldId, Arc<World>)| Running { world, ranks: live.running() };
        live.into_iter().map(running).collect()
    }

    /// Why a job was aborted, as far as this node knows, and with which code.
    pub fn aborted(&self, world: WorldId) -> Option<(i32, String)> {
        let table = self.0.table.lock();
        if let Some(live) = table.live.get(&world) {
            return live.world.fate.lock().aborted.clone();
        }
        table.over.iter().find(|over| over.id == world)?.aborted.clone()
    }

    /// Ends a job on all nodes: for whoever started its ranks, and lost one before it began.
    pub fn abort(&self, world: WorldId, code: i32, why: &str) {
        let live = self.0.table.lock().live.get(&world).map(|live| live.world.clone());
        if let Some(live) = live {
            live.abort(code, why, None);
            live.forget_if_over();
        }
    }

    /// The way of a rank to the others.
    pub fn endpoint(
        &self,
        seat: &Seat,
        control: &Arc<Control>,
    ) -> Result<Arc<Endpoint>, CallError> {
        let bad = |why: &str| CallError::new(Errno::Inval, why);
        let ranks = u32::try_from(seat.nodes.len()).unwrap_or(u32::MAX);
        if ranks > MAX_RANKS {
            return Err(bad("an MPI job has at most 4096 ranks"));
        }
        if seat.nodes.get(seat.rank as usize) != Some(&self.0.me) {
            return Err(bad("the rank of the MPI job is not for this node"));
        }
        let world = self.world_of(seat)?;
        if world.nodes != seat.nodes {
            return Err(bad("the ranks of the MPI job were told different nodes"));
        }
        let Some(place) = world.here(seat.rank) else {
            return Err(bad("the rank of the MPI job is not for this node"));
        };
        if place.taken.swap(true, std::sync::atomic::Ordering::AcqRel) {
            return Err(CallError::new(Errno::Exist, "the rank of the MPI job runs already"));
        }
        place.control.get_or_init(|| control.clone());
        world.seated(control);
        Ok(Endpoint::new(world, seat.rank))
    }

    /// The world of a seat; begins it, with what came for it before.
    fn world_of(&self, seat: &Seat) -> Result<Arc<World>, CallError> {
        let id = WorldId { world: seat.world, epoch: seat.epoch };
        let mut table = self.0.table.lock();
        if let Some(live) = table.live.get(&id) {
            return Ok(live.world.clone());
        }
        if table.is_over(id) {
            return Err(CallError::new(Errno::Stale, "this try at the MPI job is over"));
        }
        let home: Weak<dyn Home> = self.0.itself.clone();
        let (net, control) = (self.0.net.clone(), self.0.control.clone());
        let far = Far::new(net, control, home, &seat.nodes);
        let (me, nodes) = (self.0.me, seat.nodes.clone());
        let world = Arc::new(World::new(id, me, nodes, Some(far), self.0.workers));
        // While the table is locked, nothing that comes later is taken in.
        if let Some(early) = table.early.remove(&id) {
            table.early_bytes -= early.bytes;
            for (peer, what, body) in early.messages {
                if let Err(error) = world.told(peer, what, body) {
                    tracing::warn!(peer = %peer.node, %error, "an MPI message is passed over");
                }
            }
        }
        table.live.insert(id, Live { world: world.clone(), since: Instant::now() });
        Ok(world)
    }
}

impl RankSpace for Worlds {
    fn seat(
        &self,
        seat: &Seat,
        control: &Arc<Control>,
    ) -> Result<Box<dyn Any + Send + Sync>, CallError> {
        Ok(cx::seat(self.endpoint(seat, control)?))
    }

    fn sent(&self, world: CallId, epoch: u32, rank: u32) -> Vec<Sent> {
        let traffic = self.traffic_of(WorldId { world, epoch });
        let sent = |pair: Traffic| Sent { to: pair.to, messages: pair.messages, bytes: pair.bytes };
        traffic.into_iter().filter(|pair| pair.from == rank).map(sent).collect()
    }

    fn waits_in(&self, world: CallId, epoch: u32, rank: u32) -> Option<&'static str> {
        let id = WorldId { world, epoch };
        let world = self.0.table.lock().live.get(&id).map(|live| live.world.clone())?;
        *world.here(rank)?.waits_in.lock()
    }

    fn aborted(&self, world: CallId, epoch: u32) -> Option<Aborted> {
        let (code, why) = Self::aborted(self, WorldId { world, epoch })?;
        // That of the engine itself, when a rank has failed.
        let code = Some(code).filter(|code| *code != c::MPIX_ERR_PROC_FAILED);
        Some(Aborted { code, why })
    }
}

impl World {
    /// Forgets the world if no rank is left on this node.
    pub(super) fn forget_if_over(&self) {
        let Some(home) = self.far.as_ref().and_then(|far| far.home.upgrade()) else { return };
        let over = {
            let fate = self.fate.lock();
            let sits = |rank: &u32| {
                let place = self.here(*rank);
                place.is_some_and(|place| place.taken.load(std::sync::atomic::Ordering::Acquire))
            };
            let mut here = self.ranks_of(self.me);
            match fate.aborted {
                // Who did not come yet will not.
                Some(_) => here.all(|rank| fate.gone.contains_key(&rank) || !sits(&rank)),
                None => here.all(|rank| fate.gone.contains_key(&rank)),
            }
        };
        if over {
            home.forget(self.id);
        }
    }
}

impl Home for Inner {
    fn forget(&self, id: WorldId) {
        let mut table = self.table.lock();
        let Some(live) = table.live.remove(&id) else { return };
        if table.over.len() >= MOST_OVER {
            table.over.pop_front();
        }
        let aborted = live.world.fate.lock().aborted.clone();
        table.over.push_back(Over { id, traffic: live.world.traffic(), aborted });
    }
}

impl Table {
    /// Whether this try at a job is over, or an older one than another.
    fn is_over(&self, id: WorldId) -> bool {
        let newer = |known: &WorldId| known.world == id.world && known.epoch > id.epoch;
        self.over.iter().any(|over| over.id == id || newer(&over.id)) || self.live.keys().any(newer)
    }

    /// Keeps a message for a world that has not begun here.
    fn keep(&mut self, peer: Peer, message: MpiMessage, body: Bytes) {
        let cost = body.len() + EARLY_COST;
        let known = self.early.contains_key(&message.world);
        if self.early_bytes + cost > MOST_EARLY_BYTES
            || (!known && self.early.len() >= MOST_EARLY_WORLDS)
        {
            tracing::warn!(peer = %peer.node, "too many messages for MPI jobs that have not begun here");
            return;
        }
        let until = Instant::now() + PATIENCE;
        let early = self.early.entry(message.world);
        let early = early.or_insert_with(|| Early { until, bytes: 0, messages: Vec::new() });
        early.bytes += cost;
        early.messages.push((peer, message.what, body));
        self.early_bytes += cost;
    }

    /// Takes out the worlds that did not begin in time, with whom that concerns.
    fn late(&mut self, now: Instant) -> Vec<(WorldId, Vec<NodeId>)> {
        let late: Vec<_> = self.early.extract_if(|_, early| early.until <= now).collect();
        self.early_bytes -= late.iter().map(|(_, early)| early.bytes).sum::<usize>();
        late.into_iter()
            .map(|(id, early)| {
                let mut nodes: Vec<_> = early.messages.iter().map(|(peer, ..)| peer.node).collect();
                nodes.sort_unstable();
                nodes.dedup();
                (id, nodes)
            })
            .collect()
    }
}

impl Inbound for Worlds {
    fn message(&self, from: Peer, head: &[u8], body: Bytes) -> Result<(), Malformed> {
        let message: MpiMessage = decode("MPI message", head)?;
        if body.len() > crate::wire::mpi::MAX_EAGER {
            return Err(wrong("a short message that is long"));
        }
        let world = {
            let mut table = self.0.table.lock();
            match table.live.get(&message.world) {
                Some(live) => live.world.clone(),
                None => {
                    // What is said to a world that is over was said to nobody.
                    if !table.is_over(message.world) {
                        table.keep(from, message, body);
                    }
                    return Ok(());
                }
            }
        };
        world.told(from, message.what, body)
    }

    fn request(&self, _: Peer, _: &[u8], _: Bytes, _: Replier) -> Result<(), Malformed> {
        Err(wrong("MPI jobs have no requests"))
    }

    fn bulk(&self, from: Peer, head: &[u8], stream: BulkStream) -> Result<(), Malformed> {
        let ask: MpiPull = decode("MPI stream", head)?;
        let world = self.0.table.lock().live.get(&ask.world).map(|live| live.world.clone());
        match world {
            Some(world) => world.asked_for(from, &ask, stream),
            None => Ok(()),
        }
    }

    fn datagram(&self, _: Peer, _: &[u8]) -> Result<(), Malformed> {
        Err(wrong("MPI jobs have no datagrams"))
    }
}

/// Follows which nodes are up, and the time.
async fn watch(inner: Weak<Inner>, net: Net) {
    let mut peers = net.peers();
    drop(net);
    let mut looks = tokio::time::interval(LOOK);
    loop {
        let ended = tokio::select! {
            changed = peers.changed() => changed.is_err(),
            _ = looks.tick() => false,
        };
        let Some(inner) = inner.upgrade().filter(|_| !ended) else { return };
        let table = peers.borrow_and_update().clone();
        inner.look(&table, Instant::now());
    }
}

impl Inner {
    fn look(&self, peers: &PeerTable, now: Instant) {
        let (late, live): (Vec<_>, Vec<_>) = {
            let mut table = self.table.lock();
            let live: Vec<_> =
                table.live.values().map(|live| (live.world.clone(), live.since)).collect();
            let late = table.late(now);
            metrics::gauge!(names::WORLDS).set(live.len() as f64);
            metrics::gauge!(names::EARLY_BYTES).set(table.early_bytes as f64);
            (late, live)
        };
        for (world, nodes) in late {
            for node in nodes {
                let message = MpiMessage { world, what: MpiTold::Absent };
                // One that is gone needs not hear it.
                let _ = self.net.send(node, ServiceId::Mpi, &message, Bytes::new());
            }
        }
        for (world, since) in live {
            let Some(far) = &world.far else { continue };
            let nodes = world.other_nodes();
            let mut lost = far.lost(&nodes, peers);
            let age = now.saturating_duration_since(since);
            if age > UNSEEN {
                lost.extend(far.unseen(&nodes));
            }
            lost.into_iter().for_each(|node| world.node_lost(node));
            if age > PATIENCE && world.running().is_empty() {
                self.forget(world.id);
            }
        }
    }
}
