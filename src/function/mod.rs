//! Functions: compiled modules, the instance pool, and one actor per live instance.

pub mod job;

use std::sync::Arc;

pub use job::{CallHost, Control, EndReason, Job, Outcome, Target};

use crate::id::BlobHash;

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

/// Handle of the component. Cheap to clone.
#[derive(Clone)]
pub struct Functions {}

impl Functions {
    /// Runs a job. Never waits; exactly one [`Outcome`] reaches `job.done`, whatever happens.
    pub fn run(&self, _job: Job) {
        todo!()
    }

    /// Checks that bytes are a module this runtime accepts, compiles it, and keeps the artifact.
    /// Unknown imports are accepted.
    pub async fn compile(&self, _wasm: BlobHash, _bytes: bytes::Bytes) -> Result<(), ModuleError> {
        todo!()
    }

    /// Whether the module is compiled and in memory here.
    pub fn has(&self, _wasm: &BlobHash) -> bool {
        todo!()
    }

    /// The first 8 bytes of the hashes of the modules in memory, most recently used first.
    pub fn modules(&self, _most: usize) -> Vec<u64> {
        todo!()
    }

    /// Instances alive now.
    pub fn live(&self) -> usize {
        todo!()
    }

    /// Instances that can be alive at once (bounded by configuration and `vm.max_map_count`).
    pub fn capacity(&self) -> usize {
        todo!()
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
