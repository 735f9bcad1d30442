//! The simulated cluster: nodes, clock, queue of what is to happen.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::disk::SimDisk;
use super::invariants::Invariants;
use super::lockers::Lockers;
use super::network::{Network, Packet};
use super::setup::Setup;
use crate::consensus::conf::Conf;
use crate::consensus::core::{Core, CoreSettings, Effect};
use crate::consensus::lock_ask::Ask;
use crate::consensus::machine::Change;
use crate::consensus::raft_node::{Fatal, RaftSettings};
use crate::consensus::testnet;
use crate::id::{Incarnation, NodeId};
use crate::wire::consensus::{Command, Message};
use crate::wire::members::{Member, MemberCommand};

/// Microseconds of a tick.
const TICK: u64 = 100_000;
/// A session, as by default.
const SESSION: Duration = Duration::from_secs(3);
/// How long a voter is down before it is replaced.
const REPLACE_AFTER: Duration = Duration::from_secs(5);
/// How long clients wait: past the end, so that what is never answered is found.
const PATIENCE: Duration = Duration::from_secs(60);
/// Functions that clients put and delete: few, so that they overwrite each other.
const NAMES: u32 = 6;

/// A node: its disk, and its process while it runs.
pub struct SimNode {
    pub core: Option<Core<SimDisk>>,
    pub disk: SimDisk,
    pub life: u64,
    /// Until when its process stands still.
    pub stalled: u64,
    /// Until when it believed its session live, before the step that is under way.
    pub believed: Option<Instant>,
    /// How fast its clock runs, in percent of true time.
    clock: u64,
    settings: CoreSettings,
    /// Processes that ran before its disk was made.
    before: u64,
    /// The last index of its log.
    pub last: u64,
    /// Whether its disk was replaced, or the cluster removed it: why its process ended for good.
    pub out: Option<Fatal>,
    /// Whether its disk was replaced.
    pub wiped: bool,
    /// Whether its disk is at work.
    syncing: bool,
    /// Whether it stops; what it settles then, nobody asked for.
    closing: bool,
}

impl SimNode {
    /// Which life of the node its process is.
    pub fn incarnation(&self) -> Incarnation {
        Incarnation(self.life - self.before)
    }
}

enum What {
    Tick(NodeId, u64),
    Arrive(NodeId, NodeId, Packet),
    End(NodeId, u64),
    Synced(NodeId, u64, u64),
}

/// The world.
pub struct World {
    pub rng: StdRng,
    pub network: Network,
    pub nodes: BTreeMap<NodeId, SimNode>,
    pub invariants: Invariants,
    pub lockers: Lockers,
    /// True time, in microseconds.
    pub now: u64,
    /// Nodes whose removal was asked for.
    pub removed: BTreeSet<NodeId>,
    /// Joins asked for.
    pub joins: u8,
    pub setup: Setup,
    snapshot_after: u64,
    began: Instant,
    queue: BTreeMap<(u64, u64), What>,
    sequence: u64,
    digest: DefaultHasher,
}

impl World {
    /// Three voters and a learner, running.
    pub fn new(seed: u64, setup: Setup) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let snapshot_after = [8, 40, 100_000][rng.random_range(0..3)];
        let ids: Vec<NodeId> = (1..=4).map(NodeId).collect();
        let mut world = Self {
            rng,
            network: Network::default(),
            nodes: BTreeMap::new(),
            invariants: Invariants::default(),
            lockers: Lockers::default(),
            now: 0,
            removed: BTreeSet::new(),
            joins: 0,
            setup,
            snapshot_after,
            began: Instant::now(),
            queue: BTreeMap::new(),
            sequence: 0,
            digest: DefaultHasher::new(),
        };
        let founders = Conf::new(ids[..3].to_vec(), ids[3..].to_vec());
        world.invariants.groups.begin(founders.clone());
        for id in ids {
            world.add(id, Some(founders.clone()));
            world.start(id).unwrap();
        }
        world
    }

    /// Adds a node with an empty disk; not started.
    pub(super) fn add(&mut self, me: NodeId, founds: Option<Conf>) {
        let member = |node: NodeId| Member {
            node,
            quic: format!("quic-{node}"),
            http: format!("http-{node}"),
            keys: vec![],
            draining: false,
        };
        let founding = founds.as_ref().map(|conf| MemberCommand::Found {
            members: conf.all().map(member).collect(),
            authority: None,
            admin: None,
            now_ms: 0,
        });
        let raft = RaftSettings { me, founds, snapshot_after: self.snapshot_after, seed: 0 };
        let settings = CoreSettings {
            raft,
            incarnation: Incarnation(0),
            session: SESSION,
            replace_after: REPLACE_AFTER,
            http: String::new(),
            key: None,
            founding,
            numbers: Arc::default(),
            restarts: 0,
        };
        let drift = self.setup.clock_drift_percent;
        let clock = self.rng.random_range(100 - drift..=100 + drift);
        let disk = self.disk();
        let node = SimNode {
            core: None,
            disk,
            life: 0,
            stalled: 0,
            believed: None,
            clock,
            settings,
            before: 0,
            last: 0,
            out: None,
            wiped: false,
            syncing: false,
            closing: false,
        };
        self.nodes.insert(me, node);
    }

    fn disk(&mut self) -> SimDisk {
        SimDisk::new(&self.setup, self.rng.random())
    }

    /// Kills a node's process and gives it an empty disk.
    pub fn wipe(&mut self, id: NodeId) {
        self.kill(id);
        let disk = self.disk();
        let node = self.nodes.get_mut(&id).unwrap();
        (node.disk, node.before, node.wiped) = (disk, node.life, true);
    }

    /// Stops a node as its operator would: it hands over, and ends soon.
    pub fn close(&mut self, id: NodeId) -> Result<(), String> {
        let life = self.nodes[&id].life;
        self.plan(self.now + 500_000, What::End(id, life));
        self.nodes.get_mut(&id).unwrap().closing = true;
        self.invariants.order.killed(id);
        self.step(id, |core, now, _| {
            core.close(now + Duration::from_millis(500), now);
            Ok(())
        })
    }

    /// A node that stops has stopped.
    pub fn end_if_closing(&mut self, id: NodeId) {
        if self.nodes[&id].closing {
            self.kill(id);
        }
    }

    /// A digest of all that happened.
    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }

    /// All node ids.
    pub fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// The node that leads in the highest term.
    pub fn leader(&self) -> Option<NodeId> {
        let cores = self.nodes.iter().filter_map(|(id, node)| Some((*id, node.core.as_ref()?)));
        let leaders = cores.filter(|(_, core)| core.raft().leads());
        leaders.max_by_key(|(_, core)| core.raft().term()).map(|(id, _)| id)
    }

    /// A node's clock.
    pub fn clock(&self, id: NodeId) -> Instant {
        self.began + Duration::from_micros(self.now * self.nodes[&id].clock / 100)
    }

    /// Starts a node's process, if it does not run.
    pub fn start(&mut self, id: NodeId) -> Result<(), String> {
        let node = self.nodes.get_mut(&id).unwrap();
        if node.core.is_some() || node.out.is_some() {
            return Ok(());
        }
        node.life += 1;
        (node.closing, node.syncing) = (false, false);
        node.stalled = 0;
        node.settings.incarnation = Incarnation(node.life - node.before);
        node.settings.numbers = Arc::new(AtomicU64::new(0));
        node.settings.raft.seed = self.rng.random();
        let core = Core::open(&node.settings, node.disk.clone(), node.disk.load())
            .map_err(|error| format!("{id} does not start again: {error}"))?;
        node.core = Some(core);
        let life = node.life;
        let first = self.now + self.rng.random_range(0..TICK);
        self.plan(first, What::Tick(id, life));
        self.step(id, |_, _, _| Ok(()))
    }

    /// Kills a node's process.
    pub fn kill(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.core = None;
        node.believed = None;
        node.disk.crash(&mut self.rng);
        self.invariants.killed(id);
        self.lockers.killed(id);
    }

    /// A client at a random running node changes something.
    pub fn propose(&mut self) -> Result<(), String> {
        let Some(id) = self.running_node() else { return Ok(()) };
        let name = format!("f{}", self.rng.random_range(0..NAMES));
        let command = match self.rng.random_range(0..4) {
            0 => Command::DeleteFunction { user: "alice".into(), name },
            _ => testnet::put(&name),
        };
        self.propose_at(id, command)
    }

    /// A client at this node proposes.
    pub fn propose_at(&mut self, id: NodeId, command: Command) -> Result<(), String> {
        self.step(id, |core, now, invariants| {
            let deadline = now + PATIENCE;
            if let Ok(number) = core.propose(command, 100, deadline, now) {
                invariants.order.proposed(id, number);
            }
            Ok(())
        })
    }

    /// A call at this node asks for something of the locks.
    pub fn asks(&mut self, id: NodeId, ask: Ask) -> Result<(), String> {
        self.step(id, |core, _, _| {
            core.ask(ask);
            Ok(())
        })
    }

    /// A client at a random running node reads.
    pub fn read(&mut self) -> Result<(), String> {
        let Some(id) = self.running_node() else { return Ok(()) };
        self.step(id, |core, now, invariants| {
            if let Ok(number) = core.read(now + PATIENCE) {
                invariants.order.read_began(id, number);
            }
            Ok(())
        })
    }

    /// A random node that can be spoken to.
    pub fn running_node(&mut self) -> Option<NodeId> {
        let able =
            |node: &SimNode| node.core.is_some() && node.stalled <= self.now && !node.closing;
        let running: Vec<NodeId> =
            self.nodes.iter().filter(|(_, node)| able(node)).map(|(id, _)| *id).collect();
        if running.is_empty() {
            return None;
        }
        Some(running[self.rng.random_range(0..running.len())])
    }

    /// Lets time pass until `until`.
    pub fn pass(&mut self, until: u64) -> Result<(), String> {
        while let Some(((at, _), _)) = self.queue.first_key_value() {
            if *at > until {
                break;
            }
            if let Some(((at, _), what)) = self.queue.pop_first() {
                self.now = at;
                self.happen(what)?;
            }
        }
        self.now = until;
        Ok(())
    }

    fn plan(&mut self, at: u64, what: What) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), what);
    }

    fn happen(&mut self, what: What) -> Result<(), String> {
        let (What::Tick(id, _) | What::Arrive(_, id, _) | What::End(id, _) | What::Synced(id, ..)) =
            &what;
        let id = *id;
        let Some(node) = self.nodes.get(&id) else { return Ok(()) };
        if node.stalled > self.now {
            // It waits in the socket until the process goes on.
            let at = node.stalled;
            self.plan(at, what);
            return Ok(());
        }
        match what {
            What::End(_, life) if life == node.life && node.core.is_some() => {
                self.kill(id);
                Ok(())
            }
            What::End(..) => Ok(()),
            What::Synced(_, life, mark) => {
                if life != node.life || node.core.is_none() {
                    return Ok(());
                }
                node.disk.sync(mark);
                if let Some(node) = self.nodes.get_mut(&id) {
                    node.syncing = false;
                }
                self.step(id, |_, _, _| Ok(()))
            }
            What::Tick(_, life) if life != node.life || node.core.is_none() => Ok(()),
            What::Tick(_, life) => {
                self.plan(self.now + TICK, What::Tick(id, life));
                self.step_ticking(id)
            }
            What::Arrive(_, _, Packet::Raft(message)) => {
                self.step(id, |core, _, _| core.raft_message(message))
            }
            What::Arrive(from, _, Packet::Other(message)) => self.step(id, |core, _, _| {
                core.message(from, message);
                Ok(())
            }),
        }
    }

    fn step_ticking(&mut self, id: NodeId) -> Result<(), String> {
        self.stepped(id, true, |_, _, _| Ok(()))
    }

    /// Gives a running node an event, lets it do all it has to, and checks.
    fn step(
        &mut self,
        id: NodeId,
        event: impl FnOnce(&mut Core<SimDisk>, Instant, &mut Invariants) -> Result<(), Fatal>,
    ) -> Result<(), String> {
        self.stepped(id, false, event)
    }

    fn stepped(
        &mut self,
        id: NodeId,
        tick: bool,
        event: impl FnOnce(&mut Core<SimDisk>, Instant, &mut Invariants) -> Result<(), Fatal>,
    ) -> Result<(), String> {
        let now = self.clock(id);
        let Some(node) = self.nodes.get_mut(&id) else { return Ok(()) };
        let Some(mut core) = node.core.take() else { return Ok(()) };
        let taken = event(&mut core, now, &mut self.invariants);
        let mut effects = Vec::new();
        if tick {
            core.tick(now, &mut |effect| effects.push(effect));
        }
        node.believed = core.live_until();
        let flushed = taken.and_then(|()| core.flush(now, &mut |effect| effects.push(effect)));
        let died = flushed.is_err() && node.disk.take_dying();
        let sync = node.disk.behind().filter(|_| !std::mem::replace(&mut node.syncing, true));
        let life = node.life;
        node.core = Some(core);
        if let Some(mark) = sync {
            let (least, most) = self.setup.sync;
            let takes = self.rng.random_range(least..=most);
            self.plan(self.now + takes, What::Synced(id, life, mark));
        }
        effects.into_iter().try_for_each(|effect| self.effect(id, effect))?;
        if let Some(node) = self.nodes.get_mut(&id) {
            // An empty disk in place of one that was lost: what it had counts.
            let last = node.core.as_ref().map(|core| core.raft().log().last());
            node.last = last.filter(|_| !node.wiped).unwrap_or(node.last);
        }
        match flushed {
            Ok(()) => {}
            Err(_) if died => {
                self.kill(id);
                return Ok(());
            }
            Err(fatal) => return self.stands_back(id, fatal),
        }
        self.invariants.stepped(id, &self.nodes[&id])
    }

    fn effect(&mut self, id: NodeId, effect: Effect) -> Result<(), String> {
        match effect {
            Effect::Raft(message) => self.send(id, NodeId(message.to), Packet::Raft(message)),
            Effect::Send(to, message) => self.send(id, to, Packet::Other(message)),
            Effect::Changed(changes) => {
                self.let_in(&changes)?;
                // A removal ends the session at once, by an admin's word.
                let own = |change: &Change| match change {
                    Change::Ended(id) => !self.removed.contains(&id.node),
                    _ => true,
                };
                let changes: Vec<Change> = changes.into_iter().filter(own).collect();
                let clocks = self.ids().into_iter().map(|id| (id, self.clock(id))).collect();
                return self.invariants.sessions.changed(&changes, &self.nodes, &clocks);
            }
            Effect::Settled(..) | Effect::ReadDone(..) if self.nodes[&id].closing => {}
            Effect::Settled(number, applied, _) => {
                (id.0, number, applied.index).hash(&mut self.digest);
                return self.invariants.order.settled(id, number, applied.index);
            }
            Effect::ReadDone(number, index) => {
                return self.invariants.order.read_done(id, number, index);
            }
            Effect::Group(index, conf) => {
                return self.invariants.grouped(index, &conf, &self.nodes);
            }
            Effect::Restored => {}
            Effect::Lock(told) => {
                self.lockers.told(id, &told);
                let clocks = self.ids().into_iter().map(|id| (id, self.clock(id))).collect();
                self.invariants.exclusion.told(id, &told, &self.nodes, &clocks, &self.removed)?;
                return self.invariants.answered.told(id, &told);
            }
            Effect::GivenUp(number) => self.invariants.order.given_up(id, number),
            Effect::ReadGivenUp(number) => self.invariants.order.read_given_up(id, number),
        }
        Ok(())
    }

    fn send(&mut self, from: NodeId, to: NodeId, packet: Packet) {
        let size = match &packet {
            Packet::Raft(message) => message.index ^ message.term,
            Packet::Other(Message::Renew(renewal)) => renewal.number,
            Packet::Other(_) => 0,
        };
        (self.now, from.0, to.0, size).hash(&mut self.digest);
        for delay in self.network.delays(from, to, &mut self.rng) {
            self.plan(self.now + delay, What::Arrive(from, to, packet.clone()));
        }
    }
}
