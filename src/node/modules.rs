//! Where functions get their modules, and where artifacts go: the blob store and the registry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::consensus::Consensus;
use crate::files::Blobs;
use crate::function::ModuleSource;
use crate::id::BlobHash;
use crate::wire::consensus::Command;

/// How long a module may take to arrive from another node.
const FETCH_TIME: Duration = Duration::from_secs(30);
/// How long an artifact may take to be stored and recorded; nobody waits for it.
const RECORD_TIME: Duration = Duration::from_secs(60);

/// The blob store and the registry, as functions see them.
pub(super) struct Modules {
    consensus: Consensus,
    blobs: Blobs,
    control: tokio::runtime::Handle,
}

impl Modules {
    /// For the current runtime: artifacts come from compiler threads, which have none.
    pub(super) fn new(consensus: Consensus, blobs: Blobs) -> Self {
        Self { consensus, blobs, control: tokio::runtime::Handle::current() }
    }
}

impl ModuleSource for Modules {
    fn blob(&self, hash: BlobHash) -> BoxFuture<'static, Result<Bytes, String>> {
        let blobs = self.blobs.clone();
        Box::pin(async move {
            let got = blobs.get(hash, Instant::now() + FETCH_TIME).await;
            got.map_err(|error| error.to_string())
        })
    }

    fn recorded(&self, wasm: &BlobHash, engine: u64) -> Option<BlobHash> {
        self.consensus.artifact(wasm, engine)
    }

    fn record(self: Arc<Self>, wasm: BlobHash, engine: u64, artifact: Bytes) {
        let control = self.control.clone();
        control.spawn(async move {
            let deadline = Instant::now() + RECORD_TIME;
            let stored = match self.blobs.put(artifact, deadline).await {
                Ok(hash) => hash,
                Err(error) => return tracing::warn!(%wasm, %error, "an artifact was not stored"),
            };
            let command = Command::RecordArtifact { wasm, engine, artifact: stored };
            if let Err(error) = self.consensus.propose(command, deadline).await {
                tracing::warn!(%wasm, %error, "an artifact was not recorded");
            }
        });
    }
}
