//! A cluster in one process: nodes with the real calls and schedulers, on simulated time.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::{Notify, oneshot, watch};

use super::invariants::Invariants;
use super::life::Life;
use super::network::{Network, Packet, What};
use super::now;
use super::ports;
use super::sessions::Sessions;
use crate::calls::Calls;
use crate::calls::watch::Watch;
use crate::clock::skew::Skew;
use crate::config::CallOptions;
use crate::id::NodeId;
use crate::net::{PeerStatus, PeerTable};
use crate::scheduler::{Parts, Scheduler};
use crate::wire::calls::{CallBulk, CallMessage, CallReply};

/// By how much clocks run faster or slower, in percent: as far as sessions allow for.
const DRIFT: u32 = 10;

/// How a run is set up.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Whether anything goes wrong.
    pub faults: bool,
    /// Whether callers cancel, leave, and set short deadlines.
    pub fickle: bool,
    /// A bug that is to be found.
    pub plant: Option<Plant>,
}

/// What a broken part of a node would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// A node believes in its session when that is over.
    SessionsLast,
    /// Cancels are not passed on to other nodes.
    CancelsVanish,
    /// Some instances end without telling.
    EndsUntold,
}

/// One node, while it lives.
#[derive(Clone)]
pub struct SimNode {
    pub life: Arc<Life>,
    pub calls: Calls,
    pub scheduler: Scheduler,
    pub watch: Arc<Mutex<Watch>>,
    pub table: watch::Sender<Arc<PeerTable>>,
}

/// An answer that is waited for.
type Answer = Option<(CallReply, Bytes)>;

/// What changes.
pub struct State {
    pub rng: StdRng,
    pub network: Network,
    pub lives: BTreeMap<NodeId, Arc<Life>>,
    pub nodes: BTreeMap<NodeId, SimNode>,
    pub sessions: Sessions,
    pub checks: Invariants,
    pub digest: DefaultHasher,
    asked: BTreeMap<u64, (NodeId, u64, oneshot::Sender<Answer>)>,
    numbers: u64,
}

/// All of it.
pub struct World {
    pub setup: Setup,
    pub zero: Instant,
    pub arrivals: Notify,
    /// Slots and places of each node.
    pub size: (usize, usize),
    state: Mutex<State>,
}

impl World {
    /// A cluster whose nodes have just started. To be called on a runtime whose time is paused.
    pub fn new(seed: u64, setup: Setup) -> Arc<Self> {
        let mut rng = StdRng::seed_from_u64(seed);
        let nodes = rng.random_range(1..=5);
        let size = match setup.fickle {
            true => (rng.random_range(2..=8), rng.random_range(6..=60)),
            false => (rng.random_range(2..=8), 4_000),
        };
        let zero = now();
        let state = State {
            rng,
            network: Network::default(),
            lives: BTreeMap::new(),
            nodes: BTreeMap::new(),
            sessions: Sessions::new(nodes as usize),
            checks: Invariants::new(setup.fickle),
            digest: DefaultHasher::new(),
            asked: BTreeMap::new(),
            numbers: 0,
        };
        let arrivals = Notify::new();
        let world = Arc::new(Self { setup, zero, arrivals, size, state: Mutex::new(state) });
        (1..=nodes).for_each(|node| world.start(NodeId(node)));
        tokio::spawn(world.clone().carry());
        tokio::spawn(world.clone().pulses());
        world
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A digest of all that happened.
    pub fn digest(&self) -> u64 {
        self.state().digest.finish()
    }

    /// Notes something that happened.
    pub fn note(&self, what: impl Hash) {
        let at = now().saturating_duration_since(self.zero).as_micros();
        (at, what).hash(&mut self.state().digest);
    }

    /// A node that runs, by chance.
    pub fn any_node(&self) -> Option<SimNode> {
        let mut state = self.state();
        let running: Vec<_> = state.nodes.values().filter(|n| n.life.runs()).cloned().collect();
        if running.is_empty() {
            return None;
        }
        let at = state.rng.random_range(0..running.len());
        running.get(at).cloned()
    }

    /// Starts a node that does not live.
    pub fn start(self: &Arc<Self>, id: NodeId) {
        let (incarnation, rate) = {
            let mut state = self.state();
            let rate = state.rng.random_range(100 - DRIFT..=100 + DRIFT);
            let incarnation = match state.lives.get(&id) {
                Some(life) if life.is_alive() => return,
                Some(life) => life.incarnation.0 + 1,
                None => state.rng.random_range(1..3),
            };
            (incarnation, rate)
        };
        let life = Life::new(id, incarnation, Skew(self.zero, rate));
        let accepting = (self.clone(), life.clone());
        let scheduler = Scheduler::new(Parts {
            me: id,
            slots: self.size.0,
            capacity: self.size.1,
            queue_per_user: if self.setup.fickle { 20 } else { 10_000 },
            modules: Arc::new(Vec::new),
            accepting: Arc::new(move || accepting.0.state().sessions.is_live(&accepting.1)),
        });
        let table = watch::Sender::new(Arc::new(PeerTable::new()));
        let ports = ports::of(self, &life, &table);
        let options = CallOptions { record_age: Duration::from_secs(90), ..CallOptions::default() };
        let calls =
            life.act(|| Calls::new(id, life.incarnation, options, ports, scheduler.clone()));
        let watch = Arc::new(Mutex::new(life.act(|| Watch::new(calls.clone()))));
        let node = SimNode { life: life.clone(), calls, scheduler, watch, table };
        let mut state = self.state();
        state.lives.insert(id, life.clone());
        state.nodes.insert(id, node.clone());
        drop(state);
        life.spawn(Box::pin(ticks(node.clone())));
        life.spawn(Box::pin(reports(self.clone(), node)));
    }

    /// Kills a node: all that it had in memory is gone.
    pub fn kill(&self, id: NodeId) {
        let node = {
            let mut state = self.state();
            let Some(node) = state.nodes.remove(&id) else { return };
            node.life.kill();
            state.network.killed(id);
            state.asked.retain(|_, (of, _, _)| *of != id);
            state.checks.killed(id, now());
            node
        };
        forget(&node);
    }

    /// Ends the run, so that nothing of it stays in memory.
    pub fn close(&self) {
        let nodes = std::mem::take(&mut self.state().nodes);
        for node in nodes.values() {
            node.life.kill();
            forget(node);
        }
    }

    /// A number that was not used before; of a waiting answer, or of an id.
    pub fn number(&self) -> u64 {
        let mut state = self.state();
        state.numbers += 1;
        state.numbers
    }

    /// Whether and when the sender of a bulk input is told that it may not have arrived.
    pub fn is_in_doubt(&self) -> Option<Duration> {
        let mut state = self.state();
        let doubt = self.setup.faults && state.rng.random_range(0..8) == 0;
        doubt.then(|| Duration::from_micros(state.rng.random_range(0..20_000)))
    }

    /// Where the answer of a request will come.
    pub fn ask(&self, life: &Life, number: u64, link: u64) -> oneshot::Receiver<Answer> {
        let (send, receive) = oneshot::channel();
        self.state().asked.insert(number, (life.node, link, send));
        receive
    }

    /// Sends for a process; the connection's number, if there is one.
    pub fn send(&self, life: &Life, to: NodeId, what: What) -> Option<u64> {
        if !life.is_alive() {
            return None;
        }
        let mut state = self.state();
        let State { network, rng, .. } = &mut *state;
        let link = network.send(life, to, what, now(), rng);
        drop(state);
        self.arrivals.notify_one();
        link
    }

    async fn carry(self: Arc<Self>) {
        loop {
            loop {
                let mut state = self.state();
                let State { network, lives, .. } = &mut *state;
                let Some(packet) = network.arrived(now(), lives) else { break };
                drop(state);
                self.deliver(packet);
            }
            let next = self.state().network.next();
            let next = next.unwrap_or_else(|| now() + Duration::from_secs(1));
            let _ = tokio::time::timeout_at(next.into(), self.arrivals.notified()).await;
        }
    }

    fn deliver(&self, packet: Packet) {
        let Packet { from, to, what } = packet;
        let Some(node) = self.state().nodes.get(&to).cloned() else { return };
        self.note((from.node.0, to.0, kind(&what)));
        let cancels = matches!(
            what,
            What::Message(
                CallMessage::Cancel(..) | CallMessage::CancelTree(_) | CallMessage::CancelBelow(_),
                _
            )
        );
        if cancels && self.setup.plant == Some(Plant::CancelsVanish) {
            return;
        }
        let life = node.life.clone();
        let refused = life.act(|| match what {
            What::Message(message, body) => node.calls.told(from, message, body).err(),
            What::Push(start, body) => node.calls.taken_in(from, start, body).err(),
            What::Datagram(bytes) => node.scheduler.heard(from, &bytes).err(),
            What::Ask(number, request, body) => match node.calls.answer(from, request, body) {
                Ok((reply, body)) => {
                    self.send(&node.life, from.node, What::Answer(number, reply, body));
                    None
                }
                Err(error) => Some(error),
            },
            What::Fetch(number, head) => {
                let key = match head {
                    CallBulk::Log(call, attempt) => (call, attempt, true),
                    CallBulk::Output(call, attempt) => (call, attempt, false),
                    CallBulk::Start(start) => (start.call, start.attempt, false),
                    CallBulk::Hand(call, attempt, is_log, _) => (call, attempt, is_log),
                };
                let bytes = node.calls.kept().lock().get(key);
                self.send(&node.life, from.node, What::Fetched(number, bytes));
                None
            }
            What::Answer(number, reply, body) => {
                self.answered(number, Some((reply, body)));
                None
            }
            What::Fetched(number, bytes) => {
                self.answered(number, bytes.map(|bytes| (CallReply::Done, bytes)));
                None
            }
        });
        if let Some(error) = refused {
            self.state().checks.fail(format!("{to} was told what no honest peer says: {error}"));
        }
    }

    fn answered(&self, number: u64, answer: Answer) {
        let waiting = self.state().asked.remove(&number);
        if let Some((_, _, send)) = waiting {
            let _ = send.send(answer);
        }
    }

    async fn pulses(self: Arc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.pulse();
        }
    }

    /// Connections and sessions live on, or end.
    pub fn pulse(&self) {
        let now = now();
        let (changed, nodes, delays) = {
            let mut state = self.state();
            let State { network, lives, rng, sessions, asked, .. } = &mut *state;
            let changed = network.pulse(now, lives, rng);
            network.release(now, lives, rng);
            sessions.pulse(now, lives, &network.cut, rng);
            // Who asked on a connection that is gone gets no answer.
            let lasts = |of: NodeId, link: u64| {
                lives.keys().any(|peer| network.end(of, *peer).is_some_and(|p| p.link == link))
            };
            asked.retain(|_, (of, link, _)| lasts(*of, *link));
            // A busy node hears of it late.
            let mut delay = || match rng.random_range(0..5) {
                0 => rng.random_range(0..400_000),
                _ => rng.random_range(0..5_000),
            };
            let delays: Vec<u64> = changed.iter().map(|_| delay()).collect();
            (changed, state.nodes.clone(), delays)
        };
        self.arrivals.notify_one();
        for (id, delay) in changed.into_iter().zip(delays) {
            let Some(node) = nodes.get(&id) else { continue };
            node.table.send_replace(self.table(id));
            let watch = node.watch.clone();
            node.life.spawn(Box::pin(async move {
                tokio::time::sleep(Duration::from_micros(delay)).await;
                watch.lock().peers_changed();
            }));
        }
    }

    fn table(&self, at: NodeId) -> Arc<PeerTable> {
        let state = self.state();
        let others = state.lives.keys().filter(|of| **of != at);
        let status = |of: &NodeId| {
            let up = state.network.end(at, *of);
            (*of, PeerStatus { up, since: self.zero, rtt: None, last_error: None })
        };
        Arc::new(others.map(status).collect())
    }
}

fn forget(node: &SimNode) {
    let inner = &node.calls.inner;
    let live: Vec<_> = inner.live.iter().map(|live| live.clone()).collect();
    inner.live.clear();
    inner.roots.clear();
    inner.outgoing.lock().clear();
    for live in live {
        live.children.lock().clear();
        node.scheduler.take_queued(live.spec.call);
    }
}

async fn ticks(node: SimNode) {
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        node.watch.lock().tick();
    }
}

async fn reports(world: Arc<World>, node: SimNode) {
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let peers = node.table.borrow().clone();
        let up = peers.values().filter_map(|status| status.up);
        let up = up.map(|peer| (peer.node, peer.incarnation)).collect();
        for (to, datagram) in node.scheduler.round(node.scheduler.load(), up) {
            world.send(&node.life, to, What::Datagram(datagram));
        }
    }
}

fn kind(what: &What) -> u8 {
    match what {
        What::Message(..) => 0,
        What::Ask(..) => 1,
        What::Answer(..) => 2,
        What::Push(..) => 3,
        What::Fetch(..) => 4,
        What::Fetched(..) => 5,
        What::Datagram(..) => 6,
    }
}
