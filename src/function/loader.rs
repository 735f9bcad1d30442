//! Where modules come from: memory, disk, the cluster, or the compiler; each is fetched by one
//! task however many calls wait for it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use rayon::ThreadPool;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use wasmtime::{Engine, Linker, Module};

use super::artifact::Artifacts;
use super::cache::Cache;
use super::deserialize::Trusted;
use super::metrics::Meters;
use super::module::Ready;
use super::state::State;
use super::{ModuleError, ModuleSource, engine};
use crate::id::BlobHash;

/// Longest time to fetch a module's bytes from the cluster.
const FETCH: Duration = Duration::from_secs(60);
/// Largest module compiled, in bytes; compiling takes many times its size in memory.
pub const MAX_MODULE: usize = 128 << 20;

type Loaded = Result<Arc<Ready>, ModuleError>;

/// The modules of this node.
pub struct Modules {
    engine: Engine,
    fingerprint: u64,
    linker: Linker<State>,
    cache: Cache<Ready>,
    artifacts: Artifacts,
    /// Artifacts that this process compiled, by module: they are trusted.
    own: Mutex<HashMap<BlobHash, BlobHash>>,
    flights: Mutex<HashMap<BlobHash, Shared<BoxFuture<'static, Loaded>>>>,
    source: Arc<dyn ModuleSource>,
    compilers: ThreadPool,
    control: Handle,
    meters: Arc<Meters>,
}

/// What [`Modules`] is made of.
pub struct ModulesSetup {
    /// The engine.
    pub engine: Engine,
    /// The host interface.
    pub linker: Linker<State>,
    /// Where artifacts are kept.
    pub dir: PathBuf,
    /// Bytes of modules kept in memory.
    pub cache: usize,
    /// Threads that compile.
    pub compilers: ThreadPool,
    /// Where modules come from.
    pub source: Arc<dyn ModuleSource>,
    /// The runtime that fetches.
    pub control: Handle,
    /// Where to count.
    pub meters: Arc<Meters>,
}

impl Modules {
    /// Opens the folder of artifacts; nothing is loaded yet.
    pub fn open(setup: ModulesSetup) -> std::io::Result<Arc<Self>> {
        let fingerprint = engine::fingerprint(&setup.engine);
        Ok(Arc::new(Self {
            artifacts: Artifacts::open(setup.dir, fingerprint)?,
            fingerprint,
            engine: setup.engine,
            linker: setup.linker,
            cache: Cache::new(setup.cache),
            own: Mutex::default(),
            flights: Mutex::default(),
            source: setup.source,
            compilers: setup.compilers,
            control: setup.control,
            meters: setup.meters,
        }))
    }

    /// The module if it is in memory.
    pub fn ready(&self, wasm: &BlobHash) -> Option<Arc<Ready>> {
        self.cache.get(wasm)
    }

    /// Whether it is in memory.
    pub fn has(&self, wasm: &BlobHash) -> bool {
        self.cache.has(wasm)
    }

    /// The modules in memory, most recently used first.
    pub fn keys(&self) -> Vec<BlobHash> {
        self.cache.keys()
    }

    /// The module, from wherever it is. `bytes` is the module, where the caller has it. Dropping
    /// the future gives up the wait only.
    pub fn load(
        self: &Arc<Self>,
        wasm: BlobHash,
        bytes: Option<Bytes>,
    ) -> impl Future<Output = Loaded> + Send + 'static {
        let mut flights = self.flights.lock();
        flights.entry(wasm).or_insert_with(|| self.clone().start(wasm, bytes)).clone()
    }

    fn start(
        self: Arc<Self>,
        wasm: BlobHash,
        bytes: Option<Bytes>,
    ) -> Shared<BoxFuture<'static, Loaded>> {
        let control = self.control.clone();
        let task = control.spawn(async move {
            // Also when this task panics, the next call must try anew.
            let _landing = Landing { modules: &self, wasm };
            let loaded = self.fetch(wasm, bytes).await;
            if let Ok(ready) = &loaded {
                self.meters.cached(self.cache.put(wasm, ready.clone()));
            }
            loaded
        });
        let joined = task.map(|joined| {
            joined.unwrap_or_else(|_| Err(ModuleError::Unavailable("the loader failed".into())))
        });
        joined.boxed().shared()
    }

    async fn fetch(self: &Arc<Self>, wasm: BlobHash, bytes: Option<Bytes>) -> Loaded {
        if let Some(ready) = self.cache.get(&wasm) {
            return Ok(ready);
        }
        if let Some(ready) = self.trusted(wasm).await {
            return Ok(ready);
        }
        let bytes = match bytes {
            Some(bytes) => bytes,
            None => self.blob(wasm).await.map_err(ModuleError::Unavailable)?,
        };
        let this = self.clone();
        self.compute(move || this.compile(wasm, &bytes)).await?
    }

    /// The module from an artifact that this process compiled or that was recorded.
    async fn trusted(self: &Arc<Self>, wasm: BlobHash) -> Option<Arc<Ready>> {
        let own = self.own.lock().get(&wasm).copied();
        let expected = own.or_else(|| self.source.recorded(&wasm, self.fingerprint))?;
        let this = self.clone();
        let found = self.compute(move || this.take_from_disk(wasm, expected)).await.ok()?;
        if found.is_some() {
            return found;
        }
        let bytes = self
            .blob(expected)
            .await
            .inspect_err(|error| tracing::info!(%wasm, %error, "the artifact was not fetched"))
            .ok()?;
        let this = self.clone();
        self.compute(move || this.take_from_cluster(wasm, expected, bytes)).await.ok()?
    }

    fn take_from_disk(&self, wasm: BlobHash, expected: BlobHash) -> Option<Arc<Ready>> {
        let Some(trusted) = Trusted::check(self.artifacts.read(&wasm)?, expected) else {
            tracing::warn!(%wasm, "the artifact on disk is not the recorded one and is not used");
            return None;
        };
        self.load_artifact(wasm, &trusted)
    }

    fn take_from_cluster(
        &self,
        wasm: BlobHash,
        expected: BlobHash,
        bytes: Bytes,
    ) -> Option<Arc<Ready>> {
        let trusted = Trusted::check(bytes.clone(), expected)?;
        let ready = self.load_artifact(wasm, &trusted)?;
        self.artifacts.write(&wasm, &bytes);
        Some(ready)
    }

    fn load_artifact(&self, wasm: BlobHash, trusted: &Trusted) -> Option<Arc<Ready>> {
        let module = trusted.load(&self.engine);
        let module = module.inspect_err(
            |error| tracing::warn!(%wasm, %error, "the recorded artifact does not load"),
        );
        Ready::new(&self.linker, &module.ok()?).ok().map(Arc::new)
    }

    fn compile(&self, wasm: BlobHash, bytes: &[u8]) -> Loaded {
        if bytes.len() > MAX_MODULE {
            let text = format!("it is larger than {MAX_MODULE} bytes");
            return Err(ModuleError::Invalid(text));
        }
        if BlobHash::of(bytes) != wasm {
            return Err(ModuleError::Unavailable("its bytes are not those of its hash".into()));
        }
        let begun = Instant::now();
        let invalid = |error: wasmtime::Error| ModuleError::Invalid(format!("{error:#}"));
        let module = Module::from_binary(&self.engine, bytes).map_err(invalid)?;
        let ready = Ready::new(&self.linker, &module)?;
        let artifact = Bytes::from(module.serialize().map_err(invalid)?);
        self.meters.compiled(begun.elapsed());
        self.own.lock().insert(wasm, BlobHash::of(&artifact));
        self.artifacts.write(&wasm, &artifact);
        self.source.clone().record(wasm, self.fingerprint, artifact);
        Ok(Arc::new(ready))
    }

    async fn blob(&self, hash: BlobHash) -> Result<Bytes, String> {
        match tokio::time::timeout(FETCH, self.source.blob(hash)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(format!("it did not arrive within {} s", FETCH.as_secs())),
        }
    }

    /// Runs work on the compilers' threads; an error when it panicked.
    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ModuleError> {
        let (send, receive) = oneshot::channel();
        self.compilers.spawn(move || {
            // Nobody may wait any more.
            let _ = send.send(work());
        });
        receive.await.map_err(|_| ModuleError::Unavailable("the compiler failed on it".into()))
    }
}

/// Ends a flight when it is dropped.
struct Landing<'a> {
    modules: &'a Modules,
    wasm: BlobHash,
}

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        self.modules.flights.lock().remove(&self.wasm);
    }
}
