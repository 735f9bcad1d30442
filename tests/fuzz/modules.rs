//! Modules: bytes are checked, compiled and, if they are one, run for a moment, in a running
//! component with a pool of a few instances.

use std::sync::{Arc, LazyLock, mpsc};
use std::time::Duration;

use bytes::Bytes;
use faasm::config::FunctionOptions;
use faasm::errno::{CallError, Errno};
use faasm::function::{
    CallHost, Control, EndReason, FunctionSetup, Functions, Job, ModuleSource, Target,
};
use faasm::gateway::upload::check_module;
use faasm::id::{BlobHash, CallId, FunctionKey};
use faasm::wire::calls::Entry;
use faasm::wire::function::{FunctionEntry, Limits};
use futures_util::future::BoxFuture;
use tokio::runtime::Runtime;

/// How long a module may run.
const RUN: Duration = Duration::from_millis(20);
/// How long it may take to end when it is told to.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What happens here goes nowhere.
struct Nothing;

fn alone<T: Send + 'static>() -> BoxFuture<'static, Result<T, Errno>> {
    Box::pin(std::future::ready(Err(Errno::Inval)))
}

impl ModuleSource for Nothing {
    fn blob(&self, hash: BlobHash) -> BoxFuture<'static, Result<Bytes, String>> {
        Box::pin(std::future::ready(Err(format!("there is no blob {hash}"))))
    }

    fn recorded(&self, _: &BlobHash, _: u64) -> Option<BlobHash> {
        None
    }

    fn record(self: Arc<Self>, _: BlobHash, _: u64, _: Bytes) {}
}

impl CallHost for Nothing {
    fn chain(&self, _: Target<'_>, _: Bytes) -> BoxFuture<'_, Result<u32, CallError>> {
        Box::pin(std::future::ready(Err(CallError::new(Errno::Full, "nothing is chained here"))))
    }

    fn wait(&self, _: u32, _: Option<Duration>) -> BoxFuture<'_, Result<u8, Errno>> {
        alone()
    }

    fn wait_any(&self, _: Vec<u32>, _: Option<Duration>) -> BoxFuture<'_, Result<u32, Errno>> {
        alone()
    }

    fn output(&self, _: u32) -> BoxFuture<'_, Result<Bytes, Errno>> {
        alone()
    }

    fn cancel(&self, _: u32) -> Result<(), Errno> {
        Err(Errno::Inval)
    }

    fn error_text(&self, _: u32) -> Result<String, Errno> {
        Err(Errno::Inval)
    }

    fn waiting(&self) {}
    fn resumed(&self) {}
    fn long_running(&self) {}
    fn started(&self) {}
}

struct World {
    functions: Functions,
    control: Runtime,
    _dir: tempfile::TempDir,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let dir = tempfile::tempdir().expect("a folder");
    let setup = FunctionSetup {
        options: FunctionOptions {
            workers: 1,
            instances: 8,
            memory_percent: 20,
            // Hardly any: each module is another one.
            module_cache: 1 << 20,
        },
        dir: dir.path().to_owned(),
        source: Arc::new(Nothing),
        imports: faasm::mpi::dispatch::link,
        control: control.handle().clone(),
    };
    World { functions: Functions::start(setup).expect("it starts"), control, _dir: dir }
});

/// Takes the bytes of a module. `Err` says why it is none, or how its run failed.
pub fn module(input: &[u8]) -> Result<(), String> {
    module_within(input, RUN)
}

/// The same; it may run for `limit`.
pub fn module_within(input: &[u8], limit: Duration) -> Result<(), String> {
    check_module(input).map_err(|error| error.error().detail.clone())?;
    let (bytes, hash) = (Bytes::copy_from_slice(input), BlobHash::of(input));
    let compiled = WORLD.control.block_on(WORLD.functions.compile(hash, bytes));
    compiled.map_err(|error| error.to_string())?;
    let limits = Limits { memory: 4 << 20, output: 64 << 10, log: 64 << 10, ..Limits::default() };
    let entry = FunctionEntry {
        wasm: hash,
        size: input.len() as u64,
        version: 1,
        uploaded_ms: 0,
        limits,
        options: Default::default(),
    };
    let (done, outcome) = mpsc::channel();
    let control = Control::new();
    WORLD.functions.run(Job {
        call: CallId::random(),
        key: FunctionKey::new("tester", "function").expect("a name"),
        entry: Arc::new(entry),
        start: Entry::Main,
        args: vec!["one".to_owned()],
        input: Bytes::from_static(b"input"),
        control: control.clone(),
        host: Arc::new(Nothing),
        state: None,
        rank: None,
        span: tracing::Span::none(),
        done: Box::new(move |outcome| drop(done.send(outcome))),
    });
    let ended = outcome.recv_timeout(limit).or_else(|_| {
        control.end(EndReason::Cancelled);
        outcome.recv_timeout(PATIENCE)
    });
    let ended = ended.unwrap_or_else(|_| panic!("it does not end: {input:02x?}"));
    ended.result.map(drop).map_err(|error| error.to_string())
}
