//! A running component, a source of modules in memory, and a fake of the calls component.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use wasmtime::Linker;

use crate::config::FunctionOptions;
use crate::errno::{CallError, Errno};
use crate::function::setup::FunctionSetup;
use crate::function::{
    CallHost, Control, Functions, Job, ModuleSource, Outcome, State, StateSpace, Target,
};
use crate::id::{BlobHash, CallId, FunctionKey};
use crate::wire::calls::Entry;
use crate::wire::function::{FunctionEntry, Limits};

/// Longest wait of a test for an event.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Blobs and recorded artifacts, in memory.
#[derive(Default)]
pub struct Source {
    pub blobs: Mutex<HashMap<BlobHash, Bytes>>,
    pub recorded: Mutex<HashMap<BlobHash, BlobHash>>,
    /// Makes the next request for a blob panic.
    pub panics: AtomicBool,
    /// Blobs asked for.
    pub fetched: AtomicUsize,
    /// Artifacts recorded, so modules compiled.
    pub compiled: AtomicUsize,
}

impl ModuleSource for Source {
    fn blob(&self, hash: BlobHash) -> BoxFuture<'static, Result<Bytes, String>> {
        self.fetched.fetch_add(1, Ordering::SeqCst);
        let found = self.blobs.lock().get(&hash).cloned();
        assert!(!self.panics.swap(false, Ordering::SeqCst), "on purpose");
        async move { found.ok_or_else(|| format!("no blob {hash}")) }.boxed()
    }

    fn recorded(&self, wasm: &BlobHash, _engine: u64) -> Option<BlobHash> {
        self.recorded.lock().get(wasm).copied()
    }

    fn record(self: Arc<Self>, wasm: BlobHash, _engine: u64, artifact: Bytes) {
        self.compiled.fetch_add(1, Ordering::SeqCst);
        let hash = BlobHash::of(&artifact);
        self.blobs.lock().insert(hash, artifact);
        self.recorded.lock().insert(wasm, hash);
    }
}

/// A component for one test.
pub struct World {
    pub functions: Functions,
    pub source: Arc<Source>,
    pub dir: tempfile::TempDir,
    pub control: Runtime,
}

/// Settings for tests: few instances, so that slots are used again at once.
pub fn options(instances: usize) -> FunctionOptions {
    FunctionOptions { workers: 2, instances, memory_percent: 50, module_cache: 64 << 20 }
}

impl World {
    pub fn new(instances: usize) -> Self {
        Self::with(options(instances), |_| Ok(()))
    }

    /// With imports of the test's own.
    pub fn with(
        options: FunctionOptions,
        extend: impl FnOnce(&mut Linker<State>) -> wasmtime::Result<()>,
    ) -> Self {
        let source = Arc::new(Source::default());
        let dir = tempfile::tempdir().unwrap();
        let control = Runtime::new().unwrap();
        let functions = start(options, dir.path(), source.clone(), &control, extend);
        Self { functions, source, dir, control }
    }

    /// Uploads a module in text form.
    pub fn module(&self, wat: &str) -> Arc<FunctionEntry> {
        self.module_with(wat, Limits::default())
    }

    pub fn module_with(&self, wat: &str, limits: Limits) -> Arc<FunctionEntry> {
        let wasm = Bytes::from(wat::parse_str(wat).unwrap());
        let hash = BlobHash::of(&wasm);
        let size = wasm.len() as u64;
        self.source.blobs.lock().insert(hash, wasm);
        Arc::new(FunctionEntry {
            wasm: hash,
            size,
            version: 1,
            uploaded_ms: 0,
            limits,
            options: Default::default(),
        })
    }

    pub fn start(&self, call: Call) -> Started {
        start_call(&self.functions, call)
    }

    pub fn run(&self, call: Call) -> Outcome {
        self.start(call).wait()
    }

    /// Runs `main` of a module in text form.
    pub fn main(&self, wat: &str) -> Outcome {
        self.run(Call::main(self.module(wat)))
    }
}

pub fn start(
    options: FunctionOptions,
    dir: &std::path::Path,
    source: Arc<Source>,
    control: &Runtime,
    extend: impl FnOnce(&mut Linker<State>) -> wasmtime::Result<()>,
) -> Functions {
    let dir = dir.to_path_buf();
    let setup = FunctionSetup {
        options,
        dir,
        source,
        control: control.handle().clone(),
        imports: |_| Ok(()),
    };
    Functions::start_with(setup, extend).unwrap()
}

/// A call to make.
pub struct Call {
    pub entry: Arc<FunctionEntry>,
    pub start: Entry,
    pub args: Vec<String>,
    pub input: Bytes,
    pub host: Arc<dyn CallHost>,
    pub state: Option<Arc<dyn StateSpace>>,
}

impl Call {
    pub fn main(entry: Arc<FunctionEntry>) -> Self {
        let host = Arc::new(FakeHost::default());
        Self { entry, start: Entry::Main, args: Vec::new(), input: Bytes::new(), host, state: None }
    }

    pub fn table(entry: Arc<FunctionEntry>, index: u32) -> Self {
        Self { start: Entry::Table(index), ..Self::main(entry) }
    }

    pub fn input(self, input: &'static [u8]) -> Self {
        Self { input: Bytes::from_static(input), ..self }
    }

    pub fn host(self, host: Arc<dyn CallHost>) -> Self {
        Self { host, ..self }
    }
}

/// A call under way.
pub struct Started {
    pub control: Arc<Control>,
    outcome: mpsc::Receiver<Outcome>,
    live: Weak<()>,
}

impl Started {
    /// Its outcome; fails the test when there is none in time, or a second one.
    pub fn wait(self) -> Outcome {
        let outcome = self.outcome.recv_timeout(PATIENCE).expect("a call gave no outcome");
        assert!(self.outcome.recv_timeout(PATIENCE).is_err(), "a call gave two outcomes");
        outcome
    }

    /// Whether it has no outcome yet.
    pub fn pending(&self) -> bool {
        self.live.strong_count() > 0
    }

    /// Waits until it runs.
    pub fn running(&self) {
        wait_until("the call runs", || self.control.started_us() != 0);
    }
}

pub fn start_call(functions: &Functions, call: Call) -> Started {
    let (send, outcome) = mpsc::channel();
    let token = Arc::new(());
    let live = Arc::downgrade(&token);
    let control = Control::new();
    functions.run(Job {
        call: CallId::random(),
        key: FunctionKey::new("tester", "function").unwrap(),
        entry: call.entry,
        start: call.start,
        args: call.args,
        input: call.input,
        control: control.clone(),
        host: call.host,
        state: call.state,
        rank: None,
        span: tracing::Span::none(),
        done: Box::new(move |outcome| {
            drop(token);
            drop(send.send(outcome));
        }),
    });
    Started { control, outcome, live }
}

pub fn wait_until(what: &str, reached: impl Fn() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The error of an outcome that must be one.
#[track_caller]
pub fn error(outcome: Outcome) -> CallError {
    match outcome.result {
        Err(error) => error,
        Ok(result) => panic!("the call gave {result} and no error"),
    }
}

type Child = Shared<oneshot::Receiver<Outcome>>;

/// The calls component, as far as one call sees it: chained calls run in the same component.
#[derive(Default)]
pub struct FakeHost {
    functions: Option<Functions>,
    named: HashMap<String, Arc<FunctionEntry>>,
    module: Option<Arc<FunctionEntry>>,
    children: Mutex<Vec<(Arc<Control>, Child)>>,
    pub waits: AtomicUsize,
    pub resumes: AtomicUsize,
    pub long: AtomicUsize,
    pub starts: AtomicUsize,
}

impl FakeHost {
    /// One whose calls can chain `module` by pointer, and these functions by name.
    pub fn chaining(
        functions: &Functions,
        module: &Arc<FunctionEntry>,
        named: &[(&str, &Arc<FunctionEntry>)],
    ) -> Arc<Self> {
        let named = named.iter().map(|(name, entry)| (name.to_string(), Arc::clone(entry)));
        Arc::new(Self {
            functions: Some(functions.clone()),
            module: Some(module.clone()),
            named: named.collect(),
            ..Self::default()
        })
    }

    fn child(&self, child: u32) -> Result<Child, Errno> {
        let children = self.children.lock();
        children.get(child as usize).map(|(_, child)| child.clone()).ok_or(Errno::Inval)
    }

    async fn outcome(child: Result<Child, Errno>) -> Result<Outcome, Errno> {
        child?.await.map_err(|_| Errno::HostLost)
    }

    fn begin(&self, target: Target<'_>, input: Bytes) -> Result<u32, CallError> {
        let missing = || CallError::new(Errno::NoEnt, "no such function");
        let functions = self.functions.as_ref().ok_or_else(missing)?;
        let (entry, start) = match target {
            Target::Name(name) | Target::Ranks(name, _) => (self.named.get(name), Entry::Main),
            Target::Table(index) => (self.module.as_ref(), Entry::Table(index)),
        };
        let entry = entry.ok_or_else(missing)?.clone();
        let (send, outcome) = oneshot::channel();
        let control = Control::new();
        functions.run(Job {
            call: CallId::random(),
            key: FunctionKey::new("tester", "child").unwrap(),
            entry,
            start,
            args: Vec::new(),
            input,
            control: control.clone(),
            host: Arc::new(FakeHost::default()),
            state: None,
            rank: None,
            span: tracing::Span::none(),
            done: Box::new(move |outcome| drop(send.send(outcome))),
        });
        let mut children = self.children.lock();
        children.push((control, outcome.shared()));
        Ok(u32::try_from(children.len() - 1).unwrap())
    }
}

impl CallHost for FakeHost {
    fn chain(&self, target: Target<'_>, input: Bytes) -> BoxFuture<'_, Result<u32, CallError>> {
        let begun = self.begin(target, input);
        async move { begun }.boxed()
    }

    fn wait(&self, child: u32, limit: Option<Duration>) -> BoxFuture<'_, Result<u8, Errno>> {
        let outcome = Self::outcome(self.child(child));
        async move {
            let outcome = match limit {
                Some(limit) => {
                    tokio::time::timeout(limit, outcome).await.map_err(|_| Errno::TimedOut)?
                }
                None => outcome.await,
            };
            outcome?.result.map_err(|error| error.code)
        }
        .boxed()
    }

    fn wait_any(
        &self,
        children: Vec<u32>,
        _limit: Option<Duration>,
    ) -> BoxFuture<'_, Result<u32, Errno>> {
        let waits = children.iter().map(|child| self.wait(*child, None)).collect::<Vec<_>>();
        async move {
            let (_, first, _) = futures_util::future::select_all(waits).await;
            Ok(children[first])
        }
        .boxed()
    }

    fn output(&self, child: u32) -> BoxFuture<'_, Result<Bytes, Errno>> {
        let outcome = Self::outcome(self.child(child));
        async move {
            let outcome = outcome.await?;
            outcome.result.map_err(|error| error.code)?;
            Ok(outcome.output)
        }
        .boxed()
    }

    fn cancel(&self, child: u32) -> Result<(), Errno> {
        let children = self.children.lock();
        let (control, _) = children.get(child as usize).ok_or(Errno::Inval)?;
        control.end(crate::function::EndReason::Cancelled);
        Ok(())
    }

    fn error_text(&self, child: u32) -> Result<String, Errno> {
        let outcome = Self::outcome(self.child(child)).now_or_never();
        Ok(match outcome {
            Some(outcome) => outcome?.result.err().map(|e| e.to_string()).unwrap_or_default(),
            None => String::new(),
        })
    }

    fn waiting(&self) {
        self.waits.fetch_add(1, Ordering::SeqCst);
    }

    fn resumed(&self) {
        self.resumes.fetch_add(1, Ordering::SeqCst);
    }

    fn long_running(&self) {
        self.long.fetch_add(1, Ordering::SeqCst);
    }

    fn started(&self) {
        self.starts.fetch_add(1, Ordering::SeqCst);
    }
}
