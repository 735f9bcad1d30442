//! Starting the component: engine, threads, actors.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle, Runtime};
use wasmtime::Linker;

use super::actor::Crew;
use super::count::{Count, Ticker};
use super::engine;
use super::growth::Budget;
use super::loader::{Modules, ModulesSetup};
use super::metrics::Meters;
use super::pace::Gate;
use super::runner::Runner;
use super::state::State;
use super::{Functions, ModuleSource};
use crate::config::FunctionOptions;
use crate::host;

/// How much guests give way to the rest of the node: a guest that burns the CPU must never delay
/// a heartbeat.
const GUEST_NICE: i32 = 5;
/// Compilers give way to guests as well.
const COMPILER_NICE: i32 = 10;
/// Polls after which a guest worker looks at the queue that other runtimes fill; small, since one
/// poll may last a whole millisecond; not 1, which would starve the worker's own queue.
const QUEUE_INTERVAL: u32 = 2;
/// Stack of a compiler thread, in bytes: Cranelift recurses deeply on generated code.
const COMPILER_STACK: usize = 8 << 20;

/// What the component is started with.
pub struct FunctionSetup {
    /// Settings.
    pub options: FunctionOptions,
    /// Where compiled modules are kept; made when missing.
    pub dir: PathBuf,
    /// Where modules come from.
    pub source: Arc<dyn ModuleSource>,
    /// The control runtime: timers, I/O, blocking work.
    pub control: Handle,
    /// Adds imports beside those of the host interface.
    pub imports: fn(&mut Linker<State>) -> wasmtime::Result<()>,
}

/// Why the component could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The engine.
    #[error(
        "the pool of {instances} instances could not be made: {error:#}; lower \
         function.instances, or allow more address space (ulimit -v)"
    )]
    Engine {
        /// Instances asked for.
        instances: usize,
        /// What wasmtime says.
        error: wasmtime::Error,
    },
    /// A thread or a runtime.
    #[error("a thread could not be started: {0}")]
    Thread(#[source] std::io::Error),
    /// The compilers' threads.
    #[error("the compiler's threads could not be started: {0}")]
    Compilers(#[from] rayon::ThreadPoolBuildError),
    /// The folder of compiled modules.
    #[error("the folder of compiled modules {dir} cannot be used: {error}")]
    Folder {
        /// Which.
        dir: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The machine's memory.
    #[error("the machine's memory could not be read: {0}")]
    Memory(String),
    /// The actors.
    #[error("the supervisor could not be started: {0}")]
    Supervisor(#[from] ractor::SpawnErr),
}

/// The running component.
pub struct Running {
    /// What instances share.
    pub runner: Arc<Runner>,
    /// The actors.
    pub crew: Arc<Crew>,
    /// Guest threads.
    pub workers: usize,
    _ticker: Ticker,
    guests: Option<Runtime>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(guests) = self.guests.take() {
            // This may be a thread of a runtime, where waiting is forbidden.
            guests.shutdown_background();
        }
    }
}

impl Functions {
    /// Starts the component. Guests run on threads of their own; what they wait for runs on
    /// `setup.control`.
    pub fn start(setup: FunctionSetup) -> Result<Self, StartError> {
        Self::start_with(setup, |_| Ok(()))
    }

    /// Starts it with more imports than the host interface has.
    pub(super) fn start_with(
        setup: FunctionSetup,
        extend: impl FnOnce(&mut Linker<State>) -> wasmtime::Result<()>,
    ) -> Result<Self, StartError> {
        let FunctionSetup { options, dir, source, control, imports } = setup;
        let workers = worker_count(&options);
        let instances = instance_count(&options);
        let failed = |error| StartError::Engine { instances, error };
        let engine = engine::build(instances).map_err(failed)?;
        let mut linker = host::linker(&engine).map_err(failed)?;
        imports(&mut linker).map_err(failed)?;
        extend(&mut linker).map_err(failed)?;
        let meters = Arc::new(Meters::register());
        let count = Count::new(instances);
        let folder = |error| StartError::Folder { dir: dir.clone(), error };
        let modules = Modules::open(ModulesSetup {
            engine: engine.clone(),
            linker,
            dir: dir.clone(),
            cache: options.module_cache,
            compilers: compilers(workers)?,
            source,
            control: control.clone(),
            meters: meters.clone(),
        })
        .map_err(folder)?;
        let ticker = Ticker::start(engine.clone(), count.clone()).map_err(StartError::Thread)?;
        let guests = guest_runtime(workers).map_err(StartError::Thread)?;
        let runner = Arc::new(Runner {
            engine,
            modules,
            control,
            workers: guests.handle().clone(),
            gate: Gate::new(workers),
            budget: Budget::new(
                memory_budget(&options)?,
                engine::windows(instances, engine::max_map_count()),
            ),
            count,
            meters,
        });
        let crew = Crew::start(runner.clone(), guests.handle().clone())?;
        let running = Running { runner, crew, workers, _ticker: ticker, guests: Some(guests) };
        Ok(Self { inner: Arc::new(running) })
    }
}

fn worker_count(options: &FunctionOptions) -> usize {
    match options.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    }
}

fn instance_count(options: &FunctionOptions) -> usize {
    let instances = engine::capacity(options.instances, engine::max_map_count());
    if instances < options.instances {
        tracing::warn!(
            wanted = options.instances,
            instances,
            "vm.max_map_count allows fewer instances; raise it with sysctl"
        );
    }
    instances
}

/// The share of the machine's memory that guests may take, in bytes.
fn memory_budget(options: &FunctionOptions) -> Result<u64, StartError> {
    let total = total_memory().map_err(StartError::Memory)?;
    Ok(total / 100 * u64::from(options.memory_percent.min(100)))
}

/// The machine's memory, in bytes; a container's limit counts as the machine's.
fn total_memory() -> Result<u64, String> {
    let mut system = sysinfo::System::new().map_err(|error| error.to_string())?;
    system.refresh_memory();
    Ok(match system.cgroup_limits() {
        Some(limits) if limits.total_memory > 0 => limits.total_memory.min(system.total_memory()),
        _ => system.total_memory(),
    })
}

/// The machine's memory, in bytes; 4 GiB when it does not tell.
pub fn machine_memory() -> u64 {
    total_memory().unwrap_or(4 << 30)
}

fn guest_runtime(workers: usize) -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("faasm-guest")
        .global_queue_interval(QUEUE_INTERVAL)
        .on_thread_start(|| give_way(GUEST_NICE))
        .build()
}

fn compilers(workers: usize) -> Result<rayon::ThreadPool, rayon::ThreadPoolBuildError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(workers)
        .thread_name(|n| format!("faasm-compile-{n}"))
        .stack_size(COMPILER_STACK)
        .start_handler(|_| give_way(COMPILER_NICE))
        .panic_handler(|_| tracing::error!("a compiler thread failed on a module"))
        .build()
}

/// Lowers the priority of this thread; one that cannot keeps the priority it has.
fn give_way(nice: i32) {
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::warn!(%error, "a thread could not lower its priority");
    }
}
