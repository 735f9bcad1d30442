//! What placement costs in clusters of 10, 100 and 1,000 nodes: the real schedulers tell each other
//! of load, in virtual time, over a network that loses one datagram in a hundred. Prints the time of
//! a decision by the wall clock, the bytes that a node sends, and how old its beliefs are.
//! `FAASM_GOSSIP_NODES=50` measures one size.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use faasm::id::{BlobHash, Incarnation, NodeId};
use faasm::net::Peer;
use faasm::scheduler::{Needs, Parts, Scheduler, module_tag};
use faasm::wire::calls::Room;
use faasm::wire::function::Policy;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// UDP, IP and QUIC around each datagram, in bytes, and the byte that names the service.
const OVERHEAD: usize = 61;
const SLOTS: usize = 16;
const CAPACITY: usize = 12_000;
/// Nodes whose ticks fall together.
const STEP: Duration = Duration::from_millis(10);
const STEPS_PER_PERIOD: u64 = 10;
/// Virtual time of one measurement, after as much to warm up.
const PERIODS: u64 = 80;
/// Decisions that are timed, and nodes whose beliefs are looked at.
const DECISIONS: usize = 20_000;
const SAMPLE: usize = 50;

struct Node {
    scheduler: Scheduler,
    room: Room,
    busy: bool,
}

struct Cluster {
    nodes: Vec<Node>,
    flying: Vec<(usize, Peer, Bytes)>,
    rng: StdRng,
    sent: usize,
}

impl Cluster {
    fn new(count: usize, busy: bool) -> Self {
        let node = |at: usize| {
            let modules = (0..20).map(|m| module_tag(&module(at + m))).collect::<Vec<_>>();
            let scheduler = Scheduler::new(Parts {
                me: NodeId(at as u64 + 1),
                slots: SLOTS,
                capacity: CAPACITY,
                queue_per_user: 10_000,
                modules: Arc::new(move || modules.clone()),
                accepting: Arc::new(|| true),
            });
            let room = Room { free_slots: 8, free_places: 10_000, running: 8 };
            Node { scheduler, room, busy }
        };
        let nodes = (0..count).map(node).collect();
        Self { nodes, flying: Vec::new(), rng: StdRng::seed_from_u64(7), sent: 0 }
    }

    async fn run(&mut self, periods: u64) {
        for step in 0..periods * STEPS_PER_PERIOD {
            tokio::time::advance(STEP).await;
            for (to, from, bytes) in std::mem::take(&mut self.flying) {
                self.nodes[to].scheduler.heard(from, &bytes).expect("an honest report");
            }
            let count = self.nodes.len();
            let turn = |at: &usize| *at as u64 % STEPS_PER_PERIOD == step % STEPS_PER_PERIOD;
            for at in (0..count).filter(turn) {
                self.tick(at);
            }
        }
    }

    fn tick(&mut self, at: usize) {
        let count = self.nodes.len() as u64;
        let node = &mut self.nodes[at];
        node.room.free_slots = self.rng.random_range(0..SLOTS as u32);
        node.room.running = SLOTS as u32 - node.room.free_slots;
        let mut load = node.scheduler.load();
        if node.busy {
            (load.room, load.live) = (node.room, node.room.running + 1);
        }
        let me = NodeId(at as u64 + 1);
        let others = (1..=count).map(NodeId).filter(|node| *node != me);
        let up = others.map(|node| (node, Incarnation(1))).collect();
        for (to, bytes) in node.scheduler.round(load, up) {
            self.sent += bytes.len() + OVERHEAD;
            if self.rng.random_range(0..100) > 0 {
                let from = Peer { node: me, incarnation: Incarnation(1), link: 1 };
                self.flying.push((to.0 as usize - 1, from, bytes));
            }
        }
    }

    /// Bytes that a node sent each second, on average, since the last time.
    fn rate(&mut self) -> f64 {
        let seconds = (STEP * (STEPS_PER_PERIOD * PERIODS) as u32).as_secs_f64();
        std::mem::take(&mut self.sent) as f64 / seconds / self.nodes.len() as f64
    }

    fn decisions(&mut self) -> Vec<Duration> {
        let mut times = Vec::with_capacity(DECISIONS);
        for decision in 0..DECISIONS {
            let policies = [Policy::BinPack, Policy::Spread, Policy::Locality];
            let needs = Needs {
                policy: policies[decision % policies.len()],
                pin: Vec::new(),
                wasm: module(self.rng.random_range(0..self.nodes.len() + 20)),
            };
            let at = self.rng.random_range(0..self.nodes.len());
            let scheduler = &self.nodes[at].scheduler;
            // Half of the calls may not stay where they are made.
            let tried = [NodeId(at as u64 + 1)];
            let tried = if decision % 2 == 0 { &tried[..] } else { &[] };
            let began = Instant::now();
            black_box(scheduler.choose(black_box(&needs), tried));
            times.push(began.elapsed());
        }
        times.sort_unstable();
        times
    }

    /// Ages of beliefs, and how many nodes something is known of, of all that there are.
    fn ages(&self) -> (Vec<Duration>, f64) {
        let nodes = self.nodes.iter().step_by(self.nodes.len().div_ceil(SAMPLE));
        let ages: Vec<Vec<_>> = nodes.map(|node| node.scheduler.view_ages()).collect();
        let all = (ages.len() * (self.nodes.len() - 1)) as f64;
        let mut ages: Vec<_> = ages.into_iter().flatten().collect();
        ages.sort_unstable();
        let known = ages.len() as f64 / all;
        (ages, known)
    }
}

fn module(number: usize) -> BlobHash {
    BlobHash::of(&number.to_le_bytes())
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or_default()
}

async fn measure(count: usize) {
    let mut idle = Cluster::new(count, false);
    idle.run(PERIODS).await;
    let idle_rate = idle.rate();
    drop(idle);
    let mut cluster = Cluster::new(count, true);
    cluster.run(PERIODS).await;
    cluster.rate();
    cluster.run(PERIODS).await;
    let rate = cluster.rate();
    let times = cluster.decisions();
    let (ages, known) = cluster.ages();
    let fresh = ages.iter().filter(|age| **age < faasm::scheduler::views::STALE).count();
    println!(
        "{count:>5} nodes: decision p50 {:>6.1} us, p99 {:>6.1} us; sent {:>5.1} KB/s a node \
         ({:.1} idle); belief age p50 {} ms, p99 {} ms; fit to act on {:.1} %",
        percentile(&times, 50).as_secs_f64() * 1e6,
        percentile(&times, 99).as_secs_f64() * 1e6,
        rate / 1e3,
        idle_rate / 1e3,
        percentile(&ages, 50).as_millis(),
        percentile(&ages, 99).as_millis(),
        fresh as f64 / ages.len().max(1) as f64 * known * 100.0,
    );
}

fn main() {
    // `cargo test --benches` asks for nothing.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let one = std::env::var("FAASM_GOSSIP_NODES").ok().and_then(|nodes| nodes.parse().ok());
    let sizes = one.map_or(vec![10, 100, 1_000], |size| vec![size]);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().expect("a runtime");
    for size in sizes {
        runtime.block_on(measure(size));
    }
}
