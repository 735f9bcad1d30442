//! Programs of MPI on ranks that are all in one process, on one node or on several.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use faasm::config::FunctionOptions;
use faasm::function::{Control, EndReason, FunctionSetup, Functions, Job, Outcome};
use faasm::id::{BlobHash, CallId, FunctionKey, NodeId};
use faasm::mpi::cx;
use faasm::mpi::engine::{Endpoint, Traffic, World};
use faasm::wire::calls::Entry;
use faasm::wire::function::{FunctionEntry, Limits};
use faasm::wire::mpi::Seat;
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use crate::alone::{Alone, Source};
use crate::guests::guest;
use crate::linked::{Linked, linked};

const PATIENCE: Duration = Duration::from_secs(60);

/// A rank that was begun, and where its end is told.
type Started = (Arc<Control>, mpsc::Receiver<Outcome>);

/// Gives a rank its way to the others.
type Sits<'r> = Box<dyn Fn(u32, &Arc<Control>) -> Arc<Endpoint> + 'r>;

/// Where a job's ranks are.
enum Placed {
    /// On one node.
    Here,
    /// The same, but their collectives are done by messages.
    Apart,
    /// Each on one of these nodes, by its number.
    On(Vec<u64>),
}

/// A node for ranks, or several whose instances are in one pool.
pub struct Ranks {
    functions: Functions,
    source: Arc<Source>,
    placed: Placed,
    nodes: Vec<Linked>,
    control: Runtime,
    job: Mutex<CallId>,
    _dir: tempfile::TempDir,
}

impl Ranks {
    /// With two workers, and ranks whose collectives are done by messages.
    #[allow(dead_code, reason = "not every test needs it")]
    pub fn apart() -> Self {
        Self { placed: Placed::Apart, ..Self::new() }
    }

    /// So many nodes that are connected.
    #[allow(dead_code, reason = "not every test needs it")]
    pub fn linked(nodes: u64) -> Self {
        let node = Self::new();
        let nodes = node.control.block_on(linked(nodes));
        Self { nodes, ..node }
    }

    /// Where the ranks of the next jobs are: the node of each.
    #[allow(dead_code, reason = "not every test needs it")]
    pub fn place(&mut self, on: &[u64]) {
        self.placed = Placed::On(on.to_vec());
    }

    /// What all ranks of the last job sent.
    #[allow(dead_code, reason = "not every test needs it")]
    pub fn traffic(&self) -> Vec<Traffic> {
        let job = *self.job.lock();
        self.nodes.iter().flat_map(|node| node.worlds.traffic(job)).collect()
    }

    /// With two workers.
    pub fn new() -> Self {
        let control = Runtime::new().expect("a runtime");
        let dir = tempfile::tempdir().expect("a folder");
        let source = Arc::new(Source::default());
        let options = FunctionOptions {
            workers: 2,
            instances: 64,
            memory_percent: 50,
            module_cache: 64 << 20,
        };
        let setup = FunctionSetup {
            options,
            dir: dir.path().to_owned(),
            source: source.clone(),
            control: control.handle().clone(),
            imports: faasm::mpi::dispatch::link,
        };
        let functions = Functions::start(setup).expect("it starts");
        let (placed, nodes, job) = (Placed::Here, Vec::new(), Mutex::new(CallId(0)));
        Self { functions, source, placed, nodes, job, control, _dir: dir }
    }

    /// Begins a module on so many ranks.
    fn start(&self, wasm: Bytes, ranks: u32, args: &[&str]) -> Vec<Started> {
        let hash = BlobHash::of(&wasm);
        let size = wasm.len() as u64;
        self.source.blobs.lock().insert(hash, wasm);
        let limits = Limits { log: 1 << 20, ..Limits::default() };
        let options = Default::default();
        let entry = FunctionEntry { wasm: hash, size, version: 1, uploaded_ms: 0, limits, options };
        let entry = Arc::new(entry);
        let endpoint = self.job(ranks);
        (0..ranks)
            .map(|rank| {
                let (done, outcome) = mpsc::channel();
                let control = Control::new();
                let seat = cx::seat(endpoint(rank, &control));
                self.functions.run(Job {
                    call: CallId::random(),
                    key: FunctionKey::new("tester", "f").expect("a name"),
                    entry: entry.clone(),
                    start: Entry::Main,
                    args: args.iter().map(|arg| (*arg).to_owned()).collect(),
                    input: Bytes::new(),
                    control: control.clone(),
                    host: Arc::new(Alone),
                    state: None,
                    rank: Some(seat),
                    span: tracing::Span::none(),
                    done: Box::new(move |outcome| drop(done.send(outcome))),
                });
                (control, outcome)
            })
            .collect()
    }

    /// A new job: how its ranks reach the others.
    fn job(&self, ranks: u32) -> Sits<'_> {
        let world = match &self.placed {
            Placed::Here => World::local(ranks),
            Placed::Apart => World::apart(ranks),
            Placed::On(on) => {
                assert_eq!(on.len(), ranks as usize, "each rank has a place");
                let world = CallId::random();
                *self.job.lock() = world;
                let nodes: Vec<_> = on.iter().map(|node| NodeId(*node)).collect();
                return Box::new(move |rank, control| {
                    let node = self.nodes.iter().find(|node| node.id == nodes[rank as usize]);
                    let seat = Seat { world, epoch: 1, rank, nodes: nodes.clone() };
                    node.expect("there is such a node")
                        .worlds
                        .endpoint(&seat, control)
                        .expect("a seat")
                });
            }
        };
        Box::new(move |rank, _| Endpoint::new(world.clone(), rank))
    }

    /// Runs a program on so many ranks; what came of each.
    pub fn run(&self, program: &str, ranks: u32, args: &[&str]) -> Vec<Outcome> {
        let wasm = Bytes::from(std::fs::read(guest(program)).expect("the guest was compiled"));
        let started = self.start(wasm, ranks, args);
        let until = Instant::now() + PATIENCE;
        let mut ended: Vec<Outcome> = Vec::new();
        for (rank, (_, outcome)) in started.iter().enumerate() {
            let left = until.saturating_duration_since(Instant::now());
            if let Ok(outcome) = outcome.recv_timeout(left) {
                ended.push(outcome);
                continue;
            }
            started.iter().for_each(|(control, _)| control.end(EndReason::Cancelled));
            let others = started[rank..].iter();
            let others = others.filter_map(|(_, o)| o.recv_timeout(Duration::from_secs(5)).ok());
            let logs: Vec<String> = (ended.into_iter().chain(others).enumerate())
                .map(|(rank, o)| {
                    format!("rank {rank}: {:?}: {}", o.result, String::from_utf8_lossy(&o.log))
                })
                .collect();
            panic!("{program}: rank {rank} of {ranks} does not end\n{}", logs.join("\n"));
        }
        ended
    }

    /// Runs a module for so long at most: ranks that have not ended then are cancelled.
    pub fn run_for(
        &self,
        wasm: &Bytes,
        ranks: u32,
        args: &[&str],
        patience: Duration,
    ) -> Vec<Outcome> {
        let started = self.start(wasm.clone(), ranks, args);
        let until = Instant::now() + patience;
        let ended = started.into_iter().map(|(control, outcome)| {
            let left = until.saturating_duration_since(Instant::now());
            outcome.recv_timeout(left).unwrap_or_else(|_| {
                control.end(EndReason::Cancelled);
                outcome.recv_timeout(Duration::from_secs(10)).expect("a cancelled rank ends")
            })
        });
        ended.collect()
    }

    /// Waits until no rank is left.
    #[track_caller]
    pub fn is_empty(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        while self.functions.live() > 0 {
            assert!(Instant::now() < until, "{} instances are left", self.functions.live());
            std::thread::yield_now();
        }
    }

    /// Runs it; each rank must end well.
    #[track_caller]
    pub fn passes(&self, program: &str, ranks: u32) {
        self.passes_with(program, ranks, &[]);
    }

    /// The same with arguments.
    #[track_caller]
    pub fn passes_with(&self, program: &str, ranks: u32, args: &[&str]) {
        let outcomes = self.run(program, ranks, args);
        let failed: Vec<_> = outcomes
            .iter()
            .enumerate()
            .filter(|(_, outcome)| outcome.result != Ok(0))
            .map(|(rank, outcome)| {
                let log = String::from_utf8_lossy(&outcome.log);
                format!("rank {rank}: {:?}\n{log}", outcome.result)
            })
            .collect();
        assert!(failed.is_empty(), "{program} on {ranks} ranks\n{}", failed.join("\n"));
    }
}
