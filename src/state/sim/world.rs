//! The simulated cluster: nodes, clock, queue of what is to happen.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::clients::{Client, Reply, Request};
use super::disk::SimStore;
use super::invariants::Invariants;
use super::network::Network;
use super::table::Table;
use crate::id::NodeId;
use crate::state::replica::{Event, Replica};
use crate::wire::replicas::Message;
use crate::wire::shards::{ShardChange, ShardId};

/// A bug that is to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// Nodes answer without looking at their session.
    NoLease,
    /// "Synced" is said before the disk is.
    AckBeforeSync,
    /// Repeats of an append are not recognised.
    NoDedup,
}

/// A node's process.
pub struct Process {
    pub life: u64,
    pub replicas: BTreeMap<ShardId, Replica>,
    /// How much of Raft's log it has applied.
    pub learned: usize,
    /// Its own session, as it has heard: of this life, until then by its clock.
    pub lease: Option<u64>,
    /// Whether it has applied the entry that opened its session.
    pub opened: bool,
    /// Who waits for a ticket.
    pub tickets: BTreeMap<u64, Request>,
}

/// A node: its disks, and its process while it runs.
pub struct SimNode {
    pub process: Option<Process>,
    pub stores: BTreeMap<ShardId, SimStore>,
    pub lives: u64,
    /// Until when its process stands still.
    pub stalled: u64,
    /// How fast its clock runs, in percent of true time.
    pub rate: u64,
    /// How slow its disk is at most, in microseconds.
    pub disk: u64,
}

/// What happens.
pub enum What {
    Tick(NodeId, u64),
    Renew(NodeId, u64),
    /// A renewal at Raft: the node's clock when it was sent.
    Renewed(NodeId, u64, u64),
    /// The answer to it.
    Lease(NodeId, u64, u64),
    /// A node hears of what Raft agreed on.
    Learn(NodeId, u64),
    Pulse,
    Message(NodeId, NodeId, Message, Bytes),
    /// The disk has synced.
    Synced(NodeId, u64, ShardId, u64),
    /// The disk takes writes again.
    Reopen(NodeId, u64, ShardId),
    /// The store, or Raft, answers a copy.
    Told(NodeId, u64, ShardId, Event),
    /// A proposal at Raft: by whom, in which life, and whether the answer is lost.
    Propose(NodeId, u64, ShardChange, bool),
    Request(NodeId, Request),
    /// A read that is about to be answered.
    Read(NodeId, u64, Request, u64, Vec<super::disk::Op>),
    Reply(usize, Reply),
    /// A client does the next thing.
    Client(usize),
}

/// The world.
pub struct World {
    pub rng: StdRng,
    pub plant: Option<Plant>,
    pub network: Network,
    pub table: Table,
    pub nodes: BTreeMap<NodeId, SimNode>,
    pub clients: Vec<Client>,
    pub checks: Invariants,
    /// True time, in microseconds.
    pub now: u64,
    /// Proposals fail, per thousand.
    pub raft_fails: u32,
    pub tickets: u64,
    began: Instant,
    queue: BTreeMap<(u64, u64), What>,
    sequence: u64,
    digest: DefaultHasher,
}

impl World {
    /// A founded cluster of three to five nodes, running.
    pub fn new(seed: u64, plant: Option<Plant>) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let nodes: Vec<NodeId> = (1..=rng.random_range(3..=5)).map(NodeId).collect();
        let founders = nodes.iter().copied().take(rng.random_range(1..=nodes.len()).max(2));
        let table = Table::found(founders.collect(), rng.random_range(1..=3));
        let mut world = Self {
            plant,
            network: Network::default(),
            checks: Invariants::default(),
            table,
            nodes: BTreeMap::new(),
            clients: Vec::new(),
            now: 0,
            raft_fails: 0,
            tickets: 0,
            began: Instant::now(),
            queue: BTreeMap::new(),
            sequence: 0,
            digest: DefaultHasher::new(),
            rng,
        };
        for id in &nodes {
            let node = SimNode {
                process: None,
                stores: BTreeMap::new(),
                lives: 0,
                stalled: 0,
                rate: world.rng.random_range(92..=109),
                disk: [1_000, 5_000, 60_000][world.rng.random_range(0..3)],
            };
            world.nodes.insert(*id, node);
            world.start(*id);
        }
        for number in 0..world.rng.random_range(2..=5) {
            let home = nodes[world.rng.random_range(0..nodes.len())];
            world.clients.push(Client::new(home));
            world.plan(world.now + 50_000, What::Client(number));
        }
        world.plan(0, What::Pulse);
        world
    }

    /// A digest of all that happened.
    pub fn digest(&self) -> u64 {
        self.digest.finish()
    }

    /// Notes something that happened.
    pub fn note(&mut self, what: impl Hash) {
        (self.now, what).hash(&mut self.digest);
    }

    /// All node ids.
    pub fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// Nodes whose process runs and does not stand still.
    pub fn running(&self) -> Vec<NodeId> {
        let runs = |node: &SimNode| node.process.is_some() && node.stalled <= self.now;
        self.nodes.iter().filter(|(_, node)| runs(node)).map(|(id, _)| *id).collect()
    }

    /// A node's clock, in microseconds.
    pub fn micros(&self, id: NodeId) -> u64 {
        self.now * self.nodes[&id].rate / 100
    }

    /// A node's clock.
    pub fn clock(&self, id: NodeId) -> Instant {
        self.began + Duration::from_micros(self.micros(id))
    }

    /// Whether a node reaches Raft now.
    pub fn reaches_raft(&self, id: NodeId) -> bool {
        let running = self.running();
        running.contains(&id) && self.network.in_majority(id, &running, self.nodes.len())
    }

    pub fn plan(&mut self, at: u64, what: What) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), what);
    }

    /// In a while.
    pub fn soon(&mut self, longest: u64, what: What) {
        let at = self.now + self.rng.random_range(50..longest.max(51));
        self.plan(at, what);
    }

    /// Starts a node's process, if it does not run.
    pub fn start(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.process.is_none()) else {
            return;
        };
        node.lives += 1;
        node.stalled = 0;
        let life = node.lives;
        let (replicas, tickets) = (BTreeMap::new(), BTreeMap::new());
        let process = Process { life, replicas, learned: 0, lease: None, opened: false, tickets };
        node.process = Some(process);
        self.soon(100_000, What::Tick(id, life));
        self.soon(2_000, What::Renew(id, life));
        self.soon(2_000, What::Learn(id, life));
    }

    /// Kills a node's process.
    pub fn kill(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if node.process.take().is_some() {
            for store in node.stores.values_mut() {
                store.crash(&mut self.rng);
            }
        }
    }

    /// Lets time pass until `until`.
    pub fn pass(&mut self, until: u64) -> Result<(), String> {
        while let Some(((at, _), _)) = self.queue.first_key_value() {
            if *at > until {
                break;
            }
            if let Some(((at, _), what)) = self.queue.pop_first() {
                self.now = self.now.max(at);
                self.happen(what)?;
            }
        }
        self.now = until;
        Ok(())
    }

    /// Whether a node's process is that of this life.
    fn lives(&self, id: NodeId, life: u64) -> bool {
        self.nodes[&id].process.as_ref().is_some_and(|process| process.life == life)
    }

    fn happen(&mut self, what: What) -> Result<(), String> {
        let (at, life) = match &what {
            What::Tick(id, life)
            | What::Renew(id, life)
            | What::Lease(id, life, _)
            | What::Learn(id, life)
            | What::Synced(id, life, ..)
            | What::Told(id, life, ..)
            | What::Reopen(id, life, _)
            | What::Read(id, life, ..) => (Some(*id), Some(*life)),
            What::Message(_, id, ..) | What::Request(id, _) => (Some(*id), None),
            _ => (None, None),
        };
        if let Some(id) = at {
            if self.nodes[&id].process.is_none() || life.is_some_and(|life| !self.lives(id, life)) {
                return Ok(());
            }
            let stalled = self.nodes[&id].stalled;
            if stalled > self.now {
                self.plan(stalled, what);
                return Ok(());
            }
        }
        self.do_it(what)
    }

    fn do_it(&mut self, what: What) -> Result<(), String> {
        match what {
            What::Tick(id, life) => {
                self.plan(self.now + 100_000, What::Tick(id, life));
                for shard in self.shards_of(id) {
                    self.tell(id, shard, Event::Tick)?;
                    if self.rng.random_bool(0.02)
                        && let Some(store) = self.store(id, shard)
                    {
                        store.checkpoint();
                    }
                }
            }
            What::Learn(id, life) => {
                self.soon(20_000, What::Learn(id, life));
                if self.reaches_raft(id) {
                    let learned = self.nodes[&id].process.as_ref().map_or(0, |p| p.learned);
                    let newest = self.table.log.len();
                    // The first that a process hears is all that was agreed before it began.
                    let to = match learned {
                        0 => newest,
                        _ => self.rng.random_range(learned..=newest),
                    };
                    self.learn(id, to);
                }
            }
            What::Message(from, id, message, body) => {
                let shard = message.shard;
                self.tell(id, shard, Event::Message { from, message, body })?;
            }
            What::Synced(id, _, shard, op) => {
                if let Some(store) = self.store(id, shard) {
                    store.sync(op);
                }
                self.tell(id, shard, Event::Synced { op })?;
            }
            What::Reopen(id, _, shard) => self.reopen(id, shard)?,
            What::Told(id, _, shard, event) => self.tell(id, shard, event)?,
            What::Pulse => self.pulse(),
            What::Renew(id, life) => {
                self.soon(800_000, What::Renew(id, life));
                let sent = self.micros(id);
                self.soon(20_000, What::Renewed(id, life, sent));
            }
            What::Renewed(id, life, sent) => {
                if self.lives(id, life)
                    && self.reaches_raft(id)
                    && self.table.renewed(id, life, self.now)
                {
                    self.soon(20_000, What::Lease(id, life, sent + super::table::LEASE));
                }
            }
            What::Lease(id, _, until) => {
                if let Some(process) = self.nodes.get_mut(&id).and_then(|n| n.process.as_mut()) {
                    process.lease = process.lease.max(Some(until));
                }
            }
            What::Propose(id, life, change, lost) => self.propose(id, life, change, lost),
            What::Request(id, request) => self.request(id, request)?,
            What::Read(id, _, request, epoch, list) => self.read(id, request, epoch, list)?,
            What::Reply(client, reply) => self.reply(client, reply)?,
            What::Client(client) => self.client(client),
        }
        self.checks.broken()
    }

    /// Raft's leader looks around.
    fn pulse(&mut self) {
        self.soon(200_000, What::Pulse);
        if self.running().len() <= self.nodes.len() / 2 {
            return;
        }
        self.table.expire(self.now);
        let shards: Vec<ShardId> = self.table.shards.keys().copied().collect();
        for shard in shards {
            if let Some(change) = self.table.plan(shard).filter(|_| self.rng.random_bool(0.7)) {
                self.table.change(&change, None);
            }
        }
        let table = self.table.shards.clone();
        self.note(format!("{table:?}"));
    }
}
