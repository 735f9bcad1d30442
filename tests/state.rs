//! State as guests use it: real instances over a local tier, which has a global tier in memory.

#[path = "common/alone.rs"]
mod alone;
#[path = "common/guests.rs"]
mod guests;
// Other tests use the rest of it.
#[allow(dead_code)]
#[path = "common/global.rs"]
mod memory;

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use faasm::config::FunctionOptions;
use faasm::errno::Errno;
use faasm::function::values::{Missing, Part, Pushed, StateHost, Written};
use faasm::function::{Control, EndReason, FunctionSetup, Functions, Job, Outcome, StateSpace};
use faasm::id::{BlobHash, CallId, FunctionKey, Name};
use faasm::state::local::{Local, LocalSetup};
use faasm::wire::calls::Entry;
use faasm::wire::function::{FunctionEntry, Limits};
use faasm::wire::shards::StateKey;
// `memory` is a part of the crate's own tests, too, and names these from its root.
use alone::{Alone, Source};
use faasm::{id, state, wire};
use guests::guest;
use memory::{Locks, Memory};
use tokio::runtime::Runtime;

const PATIENCE: Duration = Duration::from_secs(60);

/// One node.
struct World {
    functions: Functions,
    source: Arc<Source>,
    control: Runtime,
    memory: Arc<Memory>,
    local: Local,
    _dir: tempfile::TempDir,
}

impl World {
    fn new(instances: usize) -> Self {
        let control = Runtime::new().expect("a runtime");
        let dir = tempfile::tempdir().expect("a folder");
        let source = Arc::new(Source::default());
        let options =
            FunctionOptions { workers: 2, instances, memory_percent: 50, module_cache: 64 << 20 };
        let setup = FunctionSetup {
            options,
            dir: dir.path().to_owned(),
            source: source.clone(),
            control: control.handle().clone(),
            imports: |_| Ok(()),
        };
        let functions = Functions::start(setup).expect("it starts");
        let memory = Memory::new();
        let local = Local::new(LocalSetup {
            global: memory.clone(),
            locks: Arc::new(Locks::default()),
            memory: 1 << 30,
            user_memory: 1 << 30,
            threads: 2,
            patience: Duration::from_secs(10),
        });
        Self { functions, source, control, memory, local, _dir: dir }
    }

    fn start(&self, user: &str, module: &str, args: &[&str]) -> Started {
        let wasm = Bytes::from(std::fs::read(guest(module)).expect("the guest was compiled"));
        let hash = BlobHash::of(&wasm);
        let size = wasm.len() as u64;
        self.source.blobs.lock().insert(hash, wasm);
        let limits = Limits { log: 64 << 10, ..Limits::default() };
        let options = Default::default();
        let entry = FunctionEntry { wasm: hash, size, version: 1, uploaded_ms: 0, limits, options };
        let (done, outcome) = mpsc::channel();
        let control = Control::new();
        self.functions.run(Job {
            call: CallId::random(),
            key: FunctionKey::new(user, "f").expect("a name"),
            entry: Arc::new(entry),
            start: Entry::Main,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            input: Bytes::new(),
            control: control.clone(),
            host: Arc::new(Alone),
            state: Some(Arc::new(self.local.clone())),
            rank: None,
            span: tracing::Span::none(),
            done: Box::new(move |outcome| drop(done.send(outcome))),
        });
        Started { control, outcome }
    }

    #[track_caller]
    fn succeeds(&self, module: &str, args: &[&str]) {
        self.start("tester", module, args).succeeds();
    }

    /// The state as another call on this node sees it.
    fn host(&self) -> Arc<dyn StateHost> {
        self.local.open(CallId::random(), &Name::new("tester").expect("a name"))
    }
}

struct Started {
    control: Arc<Control>,
    outcome: mpsc::Receiver<Outcome>,
}

impl Started {
    fn wait(self) -> Outcome {
        self.outcome.recv_timeout(PATIENCE).expect("a call gave no outcome")
    }

    #[track_caller]
    fn succeeds(self) {
        let outcome = self.wait();
        let log = String::from_utf8_lossy(&outcome.log);
        assert_eq!(outcome.result, Ok(0), "{log}");
    }
}

fn key(name: &str) -> StateKey {
    StateKey { user: "tester".into(), key: name.into() }
}

fn wait_until(what: &str, reached: impl Fn() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn every_call_does_what_its_header_says() {
    let world = World::new(4);
    world.succeeds("state", &["values"]);
    world.succeeds("state", &["locks"]);
    world.succeeds("state", &["heap"]);
    assert!(world.memory.bytes(&key("made")).is_none());
}

#[test]
fn values_may_be_larger_than_an_instance() {
    let world = World::new(4);
    world.succeeds("state", &["large"]);
    let mut moved = world.memory.moved();
    moved.0 %= 4096;
    assert_eq!(moved, (0, 4096), "more than one chunk was pushed");
    assert_eq!(world.local.copy(&key("large")).map(|(_, mapped)| mapped), Some(false));
}

#[test]
fn existing_functions_use_state_unchanged() {
    let world = World::new(4);
    world.succeeds("faasm_values", &[]);
    world.succeeds("faasm_state", &[]);
    assert_eq!(world.memory.bytes(&key("key")).as_deref(), Some(&[1, 2, 3, 4][..]));
}

#[test]
fn what_one_instance_writes_another_reads_without_a_call() {
    let world = World::new(4);
    let sides = ["a", "b"].map(|side| world.start("tester", "state", &["share", side]));
    sides.into_iter().for_each(Started::succeeds);
    let asked = world.memory.asked.load(std::sync::atomic::Ordering::SeqCst);
    assert!(asked <= 4, "{asked} requests went to the owner");
}

#[test]
fn no_later_instance_sees_a_value_however_the_one_before_ended() {
    // One place, so that each instance has the memory of the one before.
    let world = World::new(1);
    for how in ["end", "trap", "limit", "loop"] {
        let call = world.start("tester", "state", &["keep", how]);
        if how == "loop" {
            let secret = || world.memory.bytes(&key("secret")).is_some_and(|b| b.starts_with(b"t"));
            wait_until("the secret is written", secret);
            let mapped = || world.local.copy(&key("secret")).is_some_and(|(_, mapped)| mapped);
            assert!(mapped());
            call.control.end(EndReason::Cancelled);
        }
        let ended = call.wait().result;
        assert_eq!(ended.is_ok(), how == "end", "{how}: {ended:?}");
        assert_eq!(world.local.copy(&key("secret")).map(|(_, mapped)| mapped), Some(false));
        world.start("other", "state", &["peek"]).succeeds();
        world.memory.delete(&key("secret"));
        world.control.block_on(world.host().delete("secret")).unwrap_err();
    }
}

#[test]
fn a_reader_survives_whatever_happens_to_its_value() {
    let world = World::new(4);
    world.memory.put(&key("changing"), &vec![1; 250_000]);
    let reader = world.start("tester", "state", &["reader"]);
    let mapped = || world.local.copy(&key("changing")).is_some_and(|(_, mapped)| mapped);
    wait_until("it is mapped", mapped);
    world.control.block_on(async {
        for round in 0..50 {
            let host = world.host();
            for len in [1, 300_000, 0, 70_000] {
                let mut writer = host.begin_write("changing", Written::All(len)).await.unwrap();
                writer.write(0, &vec![2; len as usize]).unwrap();
                writer.finish();
                host.push("changing", Pushed::Chunks).await.unwrap();
                world.memory.put(&key("changing"), &vec![3; 1 + round]);
                host.pull("changing", None).await.unwrap();
            }
            host.delete("changing").await.unwrap();
            let value = host.value("changing", Missing::Create(1), None).await.unwrap();
            value.fill(Part { off: 0, len: 1 }, false).await.unwrap();
        }
    });
    reader.control.end(EndReason::Cancelled);
    let ended = reader.wait().result.unwrap_err();
    assert_eq!(ended.code, Errno::Cancelled, "{}", ended.detail);
}
