//! Functions: compiled modules, the instance pool, and one actor per live instance.
//!
//! Every call gets a fresh instance, and nothing of it survives. [`Functions::run`] hands a
//! [`Job`] to an actor on the guest runtime, which loads the module (`loader`), makes an instance
//! (`cell`), runs it on a fiber (`runner`) and delivers exactly one [`Outcome`] (`delivery`).
//! Guests run at a lower priority, on threads without I/O or timers; the control runtime wakes
//! their fibers.

mod actor;
mod artifact;
mod cache;
mod cell;
mod count;
mod delivery;
mod deserialize;
mod ending;
mod engine;
pub mod files;
mod growth;
pub mod job;
mod loader;
mod log;
mod mapping;
pub mod memfd;
pub mod memory;
pub mod metrics;
mod module;
mod pace;
mod pins;
pub mod ranks;
pub mod regions;
mod runner;
mod setup;
mod state;
mod sync;
#[cfg(test)]
mod tests;
pub mod values;
pub mod views;

use std::sync::Arc;

pub use ending::Stop;
pub use job::{CallHost, Control, EndReason, Job, Outcome, Target};
pub(crate) use pace::yield_now;
pub use ranks::{RankNews, RankSpace};
pub use setup::{FunctionSetup, StartError, machine_memory};
pub use state::State;
pub use values::{StateHost, StateSpace};

use crate::errno::{CallError, Errno};
use crate::id::BlobHash;
use delivery::{Task, failure};

/// Why bytes are no module that can be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    /// Not WebAssembly, or with features that are off.
    #[error("this is no module that can run here: {0}")]
    Invalid(String),
    /// It could not be fetched or compiled now.
    #[error("the module could not be loaded: {0}")]
    Unavailable(String),
}

/// Handle of the component. Cheap to clone; the guests end when the last one is dropped.
#[derive(Clone)]
pub struct Functions {
    inner: Arc<setup::Running>,
}

impl Functions {
    /// Runs a job. Never waits; exactly one [`Outcome`] reaches `job.done`, whatever happens:
    /// `FAASM_EFULL` at once when [`Functions::capacity`] instances live.
    pub fn run(&self, job: Job) {
        let runner = &self.inner.runner;
        if !runner.count.enter() {
            let detail = format!("this node runs {} instances already", self.capacity());
            (job.done)(failure(CallError::new(Errno::Full, detail)));
            return;
        }
        self.inner.crew.take(Task::new(job, runner.count.clone()));
    }

    /// Checks that bytes are a module this runtime accepts, compiles it, and keeps the artifact.
    /// Unknown imports are accepted. `wasm` must be the hash of `bytes`.
    pub async fn compile(&self, wasm: BlobHash, bytes: bytes::Bytes) -> Result<(), ModuleError> {
        self.inner.runner.modules.load(wasm, Some(bytes)).await.map(drop)
    }

    /// Whether the module is compiled and in memory here.
    pub fn has(&self, wasm: &BlobHash) -> bool {
        self.inner.runner.modules.has(wasm)
    }

    /// The first 8 bytes (big-endian) of the hashes of the modules in memory, most recently used
    /// first.
    pub fn modules(&self, most: usize) -> Vec<u64> {
        let keys = self.inner.runner.modules.keys();
        let prefix = |hash: BlobHash| {
            let [a, b, c, d, e, f, g, h, ..] = hash.0;
            u64::from_be_bytes([a, b, c, d, e, f, g, h])
        };
        keys.into_iter().take(most).map(prefix).collect()
    }

    /// Instances alive now.
    pub fn live(&self) -> usize {
        self.inner.runner.count.live()
    }

    /// Instances that can be alive at once (bounded by configuration and `vm.max_map_count`).
    pub fn capacity(&self) -> usize {
        self.inner.runner.count.capacity()
    }

    /// Threads that run guests.
    pub fn workers(&self) -> usize {
        self.inner.workers
    }

    /// Private guest memory taken from the node's budget, in bytes.
    pub fn memory_used(&self) -> u64 {
        self.inner.runner.budget.used()
    }
}

/// Where functions get modules and tell of artifacts; the node implements it over consensus and
/// the blob store.
pub trait ModuleSource: Send + Sync + 'static {
    /// A blob's bytes.
    fn blob(
        &self,
        hash: BlobHash,
    ) -> futures_util::future::BoxFuture<'static, Result<bytes::Bytes, String>>;
    /// The artifact hash recorded through Raft for a module and engine.
    fn recorded(&self, wasm: &BlobHash, engine: u64) -> Option<BlobHash>;
    /// Store an artifact and record it through Raft, in the background.
    fn record(self: Arc<Self>, wasm: BlobHash, engine: u64, artifact: bytes::Bytes);
}
