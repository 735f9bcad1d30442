//! What an instance costs: time from a job to its outcome, calls per second, chained calls, and
//! memory of calls that wait. Settings: `CALLS` (calls per measurement), `BLOCKED` (calls that wait
//! at once).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use faasm::config::FunctionOptions;
use faasm::errno::{CallError, Errno};
use faasm::function::{
    CallHost, Control, EndReason, FunctionSetup, Functions, Job, ModuleSource, Outcome, Target,
};
use faasm::id::{BlobHash, CallId, FunctionKey};
use faasm::wire::calls::Entry;
use faasm::wire::function::{FunctionEntry, Limits};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// As large as a small C program: an image of two pages, of which one is written, and some stack.
const NO_OP: &str = r#"(module
    (memory (export "memory") 2)
    (data (i32.const 1024) "some constants of the program")
    (data (i32.const 5000) "and some variables")
    (func (export "_start")
        (i32.store (i32.const 5000) (i32.const 1))
        (i32.store (i32.const 70000) (i32.const 1))))"#;
const PRINT: &str = r#"(module
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $stat (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (data (i32.const 1024) "\00\08\00\00\0c\00\00\00")
    (data (i32.const 2048) "hello world\n")
    (func (export "_start")
        (drop (call $sizes (i32.const 64) (i32.const 68)))
        (drop (call $args (i32.const 128) (i32.const 256)))
        (drop (call $stat (i32.const 1) (i32.const 512)))
        (drop (call $write (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 80)))))"#;
const CHAIN: &str = r#"(module
    (import "faasm" "chain_name" (func $chain (param i32 i32 i32 i32) (result i32)))
    (import "faasm" "await" (func $await (param i32 i64) (result i32)))
    (import "faasm" "input_read" (func $input (param i32 i32) (result i32)))
    (memory (export "memory") 2)
    (data (i32.const 1024) "no-op")
    (func (export "_start") (local $left i32)
        (drop (call $input (i32.const 0) (i32.const 4)))
        (local.set $left (i32.load (i32.const 0)))
        (loop $again
            (drop (call $await
                (call $chain (i32.const 1024) (i32.const 5) (i32.const 0) (i32.const 0))
                (i64.const -1)))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br_if $again (local.get $left)))))"#;
const BLOCK: &str = r#"(module
    (import "faasm" "await" (func $await (param i32 i64) (result i32)))
    (memory (export "memory") 2)
    (data (i32.const 1024) "some constants of the program")
    (data (i32.const 5000) "and some variables")
    (func (export "_start")
        (i32.store (i32.const 5000) (i32.const 1))
        (i32.store (i32.const 70000) (i32.const 1))
        (drop (call $await (i32.const 0) (i64.const -1)))))"#;

struct NoSource;

impl ModuleSource for NoSource {
    fn blob(&self, _: BlobHash) -> BoxFuture<'static, Result<Bytes, String>> {
        async { Err("not here".to_owned()) }.boxed()
    }
    fn recorded(&self, _: &BlobHash, _: u64) -> Option<BlobHash> {
        None
    }
    fn record(self: Arc<Self>, _: BlobHash, _: u64, _: Bytes) {}
}

/// Chains the one function it knows, on this node; a wait for child 0 of a call that chained
/// nothing never ends.
#[derive(Default)]
struct Host {
    functions: Option<Functions>,
    child: Option<Arc<FunctionEntry>>,
    under_way: Mutex<Option<oneshot::Receiver<Outcome>>>,
    waits: AtomicUsize,
}

impl CallHost for Host {
    fn chain(&self, _: Target<'_>, input: Bytes) -> BoxFuture<'_, Result<u32, CallError>> {
        if let (Some(functions), Some(child)) = (&self.functions, &self.child) {
            let (send, receive) = oneshot::channel();
            let done = Box::new(move |outcome| drop(send.send(outcome)));
            *self.under_way.lock() = Some(receive);
            functions.run(job(child, input, Arc::new(Host::default()), done));
        }
        std::future::ready(Ok(0)).boxed()
    }
    fn wait(&self, _: u32, _: Option<Duration>) -> BoxFuture<'_, Result<u8, Errno>> {
        self.waits.fetch_add(1, Ordering::Relaxed);
        let child = self.under_way.lock().take();
        async move {
            match child {
                Some(child) => match child.await {
                    Ok(outcome) => outcome.result.map_err(|error| error.code),
                    Err(_) => Err(Errno::HostLost),
                },
                None => std::future::pending().await,
            }
        }
        .boxed()
    }
    fn wait_any(&self, _: Vec<u32>, _: Option<Duration>) -> BoxFuture<'_, Result<u32, Errno>> {
        std::future::ready(Err(Errno::NoSys)).boxed()
    }
    fn output(&self, _: u32) -> BoxFuture<'_, Result<Bytes, Errno>> {
        std::future::ready(Err(Errno::NoSys)).boxed()
    }
    fn cancel(&self, _: u32) -> Result<(), Errno> {
        Ok(())
    }
    fn error_text(&self, _: u32) -> Result<String, Errno> {
        Ok(String::new())
    }
    fn waiting(&self) {}
    fn resumed(&self) {}
    fn long_running(&self) {}
    fn started(&self) {}
}

type Done = Box<dyn FnOnce(Outcome) + Send>;

fn job(entry: &Arc<FunctionEntry>, input: Bytes, host: Arc<Host>, done: Done) -> Job {
    Job {
        call: CallId(1),
        key: FunctionKey::new("bench", "f").expect("a valid name"),
        entry: entry.clone(),
        start: Entry::Main,
        args: Vec::new(),
        input,
        control: Control::new(),
        host,
        state: None,
        rank: None,
        span: tracing::Span::none(),
        done,
    }
}

/// One chain of calls, each started by the end of the one before.
struct Relay {
    functions: Functions,
    entry: Arc<FunctionEntry>,
    left: AtomicUsize,
    times: Mutex<Vec<u64>>,
    over: mpsc::Sender<()>,
}

impl Relay {
    fn next(self: Arc<Self>) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.over.send(()).expect("the bench waits");
            return;
        }
        let begun = Instant::now();
        let this = self.clone();
        let done = Box::new(move |outcome: Outcome| {
            assert_eq!(outcome.result, Ok(0));
            this.times.lock().push(begun.elapsed().as_nanos() as u64);
            this.next();
        });
        let host = Arc::new(Host::default());
        self.functions.run(job(&self.entry, Bytes::new(), host, done));
    }
}

/// Runs `chains` chains of calls; prints latency and rate.
fn relays(functions: &Functions, name: &str, entry: &Arc<FunctionEntry>, chains: usize) {
    let calls = setting("CALLS", 100_000) / chains;
    let (over, end) = mpsc::channel();
    let begun = Instant::now();
    let all: Vec<_> = (0..chains)
        .map(|_| {
            Arc::new(Relay {
                functions: functions.clone(),
                entry: entry.clone(),
                left: AtomicUsize::new(calls + 1),
                times: Mutex::new(Vec::with_capacity(calls)),
                over: over.clone(),
            })
        })
        .collect();
    all.iter().for_each(|relay| relay.clone().next());
    all.iter().for_each(|_| end.recv().expect("a relay ends"));
    let took = begun.elapsed();
    let mut times: Vec<u64> = all.iter().flat_map(|relay| relay.times.lock().clone()).collect();
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize] as f64 / 1000.0;
    let rate = times.len() as f64 / took.as_secs_f64();
    println!("{name:<34} p50 {:>7.1} us  p99 {:>7.1} us  {rate:>9.0}/s", at(0.5), at(0.99));
}

fn main() {
    let control = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a folder");
    let blocked = setting("BLOCKED", 10_000);
    let options = FunctionOptions { workers: setting("WORKERS", 0), ..Default::default() };
    let functions = Functions::start(FunctionSetup {
        options,
        dir: dir.path().into(),
        source: Arc::new(NoSource),
        control: control.handle().clone(),
        imports: faasm::mpi::dispatch::link,
    })
    .expect("the component starts");
    println!("started: {:.1} MiB resident", memory().0 as f64 / 1024.0);
    let upload = |wat: &str| {
        let wasm = Bytes::from(wat::parse_str(wat).expect("valid text"));
        let hash = BlobHash::of(&wasm);
        control.block_on(functions.compile(hash, wasm)).expect("a valid module");
        Arc::new(FunctionEntry {
            wasm: hash,
            size: 0,
            version: 1,
            uploaded_ms: 0,
            limits: Limits::default(),
            options: Default::default(),
        })
    };
    let (no_op, print, chain, block) = (upload(NO_OP), upload(PRINT), upload(CHAIN), upload(BLOCK));

    relays(&functions, "warm-up", &no_op, 1);
    relays(&functions, "new instance + no-op, one", &no_op, 1);
    relays(&functions, "new instance + no-op, 16 at once", &no_op, 16);
    relays(&functions, "arguments and one line, one", &print, 1);
    chained(&functions, &chain, &no_op);
    let most = blocked.min(functions.capacity());
    waiting(&functions, &block, most);
}

fn chained(functions: &Functions, chain: &Arc<FunctionEntry>, child: &Arc<FunctionEntry>) {
    let calls = setting("CALLS", 100_000) as u32;
    let host = Arc::new(Host {
        functions: Some(functions.clone()),
        child: Some(child.clone()),
        ..Host::default()
    });
    let (send, receive) = mpsc::channel();
    let done = Box::new(move |outcome| drop(send.send(outcome)));
    let begun = Instant::now();
    functions.run(job(chain, Bytes::copy_from_slice(&calls.to_le_bytes()), host, done));
    let outcome: Outcome = receive.recv().expect("an outcome");
    assert_eq!(outcome.result, Ok(0));
    let mean = begun.elapsed().as_secs_f64() * 1e6 / f64::from(calls);
    println!("{:<34} mean {mean:>6.1} us  {:>23.0}/s", "chain + await", 1e6 / mean);
}

fn waiting(functions: &Functions, entry: &Arc<FunctionEntry>, most: usize) {
    let host = Arc::new(Host::default());
    let (send, receive) = mpsc::channel();
    let before = memory();
    let begun = Instant::now();
    let mut controls = Vec::with_capacity(most);
    for n in 0..most {
        let send = send.clone();
        let done: Done = Box::new(move |outcome| drop(send.send(outcome)));
        let job = job(entry, Bytes::new(), host.clone(), done);
        controls.push(job.control.clone());
        functions.run(job);
        // As admission would: not all of them are under way at once.
        while host.waits.load(Ordering::Relaxed) + 64 < n {
            std::thread::yield_now();
        }
    }
    while host.waits.load(Ordering::Relaxed) < most {
        std::thread::yield_now();
    }
    let took = begun.elapsed();
    let after = memory();
    let maps = std::fs::read_to_string("/proc/self/maps").map_or(0, |maps| maps.lines().count());
    println!(
        "{most} calls blocked in await: {:.1} KiB each (of it page tables {:.1}), {maps} mappings, \
         {:.0} ms",
        (after.0 + after.1 - before.0 - before.1) as f64 / most as f64,
        (after.1 - before.1) as f64 / most as f64,
        took.as_secs_f64() * 1e3
    );
    controls.iter().for_each(|control| control.end(EndReason::Cancelled));
    for _ in 0..most {
        let outcome: Outcome = receive.recv().expect("an outcome");
        assert_eq!(outcome.result.map_err(|error| error.code), Err(Errno::Cancelled));
    }
    let idle = memory();
    println!("afterwards {:.1} MiB resident", idle.0 as f64 / 1024.0);
}

/// Resident memory and page tables of this process, in KiB.
fn memory() -> (i64, i64) {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).expect(name);
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect(name)
    };
    (field("VmRSS:"), field("VmPTE:"))
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
