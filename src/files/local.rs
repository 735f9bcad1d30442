//! This node's blobs: the disk and the index of what is on it, kept in step. What is damaged is
//! taken for missing, and removed.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::BlobError;
use super::disk::{Disk, Durability, Held};
use super::format::Unreadable;
use super::index::{Index, Role};
use super::locks::BlobLocks;
use super::members::Members;
use super::metrics;
use crate::id::BlobHash;

/// This node's blobs. Cheap to clone.
#[derive(Clone)]
pub struct Local {
    inner: Arc<Inner>,
}

struct Inner {
    disk: Disk,
    /// Changes together with the disk, under the blob's lock.
    index: Mutex<Index>,
    locks: BlobLocks,
    members: Members,
}

impl Local {
    /// Opens the directory; what is cached beyond `cache_bytes` is removed, the oldest first.
    pub async fn open(dir: PathBuf, members: Members, cache_bytes: u64) -> Result<Self, BlobError> {
        let (disk, found) = Disk::open(dir).await?;
        let mut index = Index::new(cache_bytes);
        let mut gone = Vec::new();
        for blob in found {
            gone.extend(index.insert(blob.hash, blob.len, members.role(&blob.hash)));
        }
        let locks = BlobLocks::default();
        let inner = Arc::new(Inner { disk, index: Mutex::new(index), locks, members });
        inner.evict(gone).await;
        Ok(Self { inner })
    }

    /// Reads a blob, checked; `None` when it is not here or not whole. `Err` when the disk fails.
    pub async fn read(&self, hash: &BlobHash) -> Result<Option<Bytes>, BlobError> {
        if self.inner.index.lock().len_of(hash).is_none() {
            return Ok(None);
        }
        if let Held::Good(bytes) = self.inner.disk.read(hash).await? {
            self.inner.index.lock().touch(hash);
            return Ok(Some(bytes));
        }
        let (inner, hash) = (self.inner.clone(), *hash);
        detached(async move { inner.discard(&hash).await }).await
    }

    /// Writes a blob whose hash was checked: durably as a target, or to the cache if it fits. It
    /// goes on when the future is dropped, so that disk and index agree.
    pub async fn write(&self, hash: BlobHash, bytes: Bytes, role: Role) -> Result<(), BlobError> {
        if role == Role::Cached && !self.inner.index.lock().may_cache(bytes.len() as u64) {
            return Ok(());
        }
        let inner = self.inner.clone();
        detached(async move { inner.store(hash, bytes, role).await }).await
    }

    /// The length of a blob that is here.
    pub fn len_of(&self, hash: &BlobHash) -> Option<u64> {
        self.inner.index.lock().len_of(hash)
    }

    /// Those of the hashes whose blobs are not here.
    pub fn lacking(&self, hashes: &[BlobHash]) -> Vec<BlobHash> {
        let index = self.inner.index.lock();
        hashes.iter().filter(|hash| index.len_of(hash).is_none()).copied().collect()
    }

    /// At most `most` hashes of blobs that are here, in order, after the given one.
    pub fn after(&self, hash: Option<&BlobHash>, most: usize) -> Vec<BlobHash> {
        self.inner.index.lock().after(hash, most)
    }

    /// Sorts kept and cached blobs anew, to be called when the members changed.
    pub async fn members_changed(&self) {
        let members = self.inner.members.clone();
        let gone = self.inner.index.lock().reclassify(|hash| members.role(hash));
        self.inner.evict(gone).await;
    }
}

impl Inner {
    async fn store(&self, hash: BlobHash, bytes: Bytes, role: Role) -> Result<(), BlobError> {
        let len = bytes.len() as u64;
        let durability = match role {
            Role::Target => Durability::Synced,
            Role::Cached => Durability::Relaxed,
        };
        let guard = self.locks.lock(hash).await;
        self.disk.write(&hash, bytes, durability).await?;
        let gone = self.index.lock().insert(hash, len, role);
        drop(guard);
        self.evict(gone).await;
        Ok(())
    }

    /// Looks again at a blob that could not be read; removes it if that is still so. A write may
    /// have healed it in between: then its bytes are given.
    async fn discard(&self, hash: &BlobHash) -> Result<Option<Bytes>, BlobError> {
        let _guard = self.locks.lock(*hash).await;
        let why = match self.disk.read(hash).await? {
            Held::Good(bytes) => return Ok(Some(bytes)),
            Held::Missing => "its file is gone".to_owned(),
            Held::Bad(why) => {
                if matches!(why, Unreadable::Corrupt(_)) {
                    self.disk.remove(hash).await?;
                    ::metrics::counter!(metrics::CORRUPT).increment(1);
                }
                why.to_string()
            }
        };
        tracing::warn!(blob = %hash, why, "a blob on disk cannot be used; taken for missing");
        self.index.lock().remove(hash);
        self.report();
        Ok(None)
    }

    /// Removes the files of blobs that left the index, unless they came back.
    async fn evict(&self, gone: Vec<BlobHash>) {
        for hash in gone {
            let _guard = self.locks.lock(hash).await;
            if self.index.lock().len_of(&hash).is_some() {
                continue;
            }
            match self.disk.remove(&hash).await {
                Ok(()) => ::metrics::counter!(metrics::EVICTED).increment(1),
                Err(error) => tracing::warn!(blob = %hash, %error, "a cached blob stays on disk"),
            }
        }
        self.report();
    }

    fn report(&self) {
        let index = self.index.lock();
        ::metrics::gauge!(metrics::KEPT_BYTES).set(index.kept_bytes() as f64);
        ::metrics::gauge!(metrics::CACHED_BYTES).set(index.cached_bytes() as f64);
    }
}

/// Runs to its end even if the caller gives up: dropped half-way, disk and index would differ.
async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, BlobError>> + Send + 'static,
) -> Result<T, BlobError> {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(e) => Err(BlobError::Io(format!("the work on it was abandoned: {e}"))),
    }
}
