//! What an instance needs around it when there is no cluster.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faasm::errno::{CallError, Errno};
use faasm::function::{CallHost, ModuleSource, Target};
use faasm::id::BlobHash;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

/// Modules in memory.
#[derive(Default)]
pub struct Source {
    /// By their hashes.
    pub blobs: Mutex<HashMap<BlobHash, Bytes>>,
}

impl ModuleSource for Source {
    fn blob(&self, hash: BlobHash) -> BoxFuture<'static, Result<Bytes, String>> {
        let found = self.blobs.lock().get(&hash).cloned();
        Box::pin(std::future::ready(found.ok_or_else(|| format!("no blob {hash}"))))
    }

    fn recorded(&self, _: &BlobHash, _: u64) -> Option<BlobHash> {
        None
    }

    fn record(self: Arc<Self>, _: BlobHash, _: u64, _: Bytes) {}
}

/// A call that chains none.
pub struct Alone;

fn none<T: Send + 'static>() -> BoxFuture<'static, Result<T, Errno>> {
    Box::pin(std::future::ready(Err(Errno::Inval)))
}

impl CallHost for Alone {
    fn chain(&self, _: Target<'_>, _: Bytes) -> BoxFuture<'_, Result<u32, CallError>> {
        Box::pin(std::future::ready(Err(CallError::new(Errno::NoEnt, "no function"))))
    }
    fn wait(&self, _: u32, _: Option<Duration>) -> BoxFuture<'_, Result<u8, Errno>> {
        none()
    }
    fn wait_any(&self, _: Vec<u32>, _: Option<Duration>) -> BoxFuture<'_, Result<u32, Errno>> {
        none()
    }
    fn output(&self, _: u32) -> BoxFuture<'_, Result<Bytes, Errno>> {
        none()
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
