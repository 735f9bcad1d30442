//! This node's blobs: the disk and the index of what is on it, kept in step. What is damaged is
//! taken for missing, and removed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::BlobError;
use super::disk::{Checked, Disk, Durability, Held};
use super::format::Unreadable;
use super::index::{Index, Role};
use super::locks::BlobLocks;
use super::metrics;
use super::space::{Room, Writing};
use crate::config::FileOptions;
use crate::id::BlobHash;

/// Most lost blobs remembered: those beyond are made again by the nodes that have them.
const LOST: usize = 10_000;

/// What a blob is on this node, unless it was read into the cache.
pub type RoleOf = Arc<dyn Fn(&BlobHash) -> Role + Send + Sync>;

/// This node's blobs. Cheap to clone.
#[derive(Clone)]
pub struct Local {
    inner: Arc<Inner>,
}

struct Inner {
    disk: Disk,
    /// Changes together with the disk, under the blob's lock.
    index: Mutex<Index>,
    /// Blobs that should be here, and are damaged or could not be written.
    lost: Mutex<BTreeSet<BlobHash>>,
    locks: BlobLocks,
    role_of: RoleOf,
}

impl Local {
    /// Opens the directory; what is cached beyond the limit is removed, the oldest first.
    pub async fn open(
        dir: PathBuf,
        role_of: RoleOf,
        options: &FileOptions,
    ) -> Result<Self, BlobError> {
        let (disk, found) = Disk::open(dir, options.reserve_bytes).await?;
        let mut index = Index::new(options.cache_bytes);
        let mut gone = Vec::new();
        for blob in found {
            gone.extend(index.insert(blob.hash, blob.len, role_of(&blob.hash)));
        }
        let (locks, lost) = (BlobLocks::default(), Mutex::default());
        let inner = Arc::new(Inner { disk, index: Mutex::new(index), lost, locks, role_of });
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

    /// Reads a blob from the disk to see whether it is whole, at most `rate` bytes a second.
    /// `None` when it is not here.
    pub async fn check(&self, hash: &BlobHash, rate: u64) -> Result<Option<Checked>, BlobError> {
        if self.len_of(hash).is_none() {
            return Ok(None);
        }
        self.inner.disk.check(hash, rate).await.map(Some)
    }

    /// Room for a blob of `len` bytes, held until it is dropped; cached blobs go for it.
    /// [`BlobError::Full`] when the disk has none.
    pub async fn room(&self, len: u64) -> Result<Writing, BlobError> {
        let inner = self.inner.clone();
        detached(async move { inner.make_room(len).await }).await
    }

    /// Writes a blob whose hash was checked to stay here; another node may count on it from now
    /// on. It goes on when the future is dropped, so that disk and index agree.
    pub async fn keep(&self, hash: BlobHash, bytes: Bytes, room: Writing) -> Result<(), BlobError> {
        let inner = self.inner.clone();
        let work = async move {
            let role = (inner.role_of)(&hash);
            inner.store(hash, bytes, role, room).await
        };
        detached(work).await
    }

    /// Writes a blob whose hash was checked to the cache, if it fits and is not here to stay.
    pub async fn cache(&self, hash: BlobHash, bytes: Bytes) -> Result<(), BlobError> {
        if !self.inner.index.lock().may_cache(bytes.len() as u64) {
            return Ok(());
        }
        let inner = self.inner.clone();
        let work = async move {
            let room = inner.make_room(bytes.len() as u64).await?;
            inner.store(hash, bytes, Role::Cached, room).await
        };
        detached(work).await
    }

    /// The length of a blob that is here.
    pub fn len_of(&self, hash: &BlobHash) -> Option<u64> {
        self.inner.index.lock().len_of(hash)
    }

    /// How many blobs are here.
    pub fn len(&self) -> usize {
        self.inner.index.lock().len()
    }

    /// Those of the hashes whose blobs are not here to stay; the node that asks counts on the
    /// others.
    pub fn lacking(&self, hashes: &[BlobHash]) -> Vec<BlobHash> {
        let mut index = self.inner.index.lock();
        hashes.iter().filter(|hash| !index.claim(hash)).copied().collect()
    }

    /// At most `most` hashes of blobs that are here, in order, after the given one.
    pub fn after(&self, hash: Option<&BlobHash>, most: usize) -> Vec<BlobHash> {
        self.inner.index.lock().after(hash, most)
    }

    /// The same, of the blobs that are here until their nodes are known to have them.
    pub fn surplus_after(&self, hash: Option<&BlobHash>, most: usize) -> Vec<BlobHash> {
        self.inner.index.lock().surplus_after(hash, most)
    }

    /// How many of those there are.
    pub fn surplus(&self) -> usize {
        self.inner.index.lock().surplus()
    }

    /// The named nodes have it: it is only cached here from now on.
    pub async fn settle(&self, hash: &BlobHash) {
        let gone = self.inner.index.lock().settle(hash);
        self.inner.evict(gone).await;
    }

    /// Sorts kept and cached blobs anew, to be called when the members changed.
    pub async fn members_changed(&self, is_target: impl Fn(&BlobHash) -> bool) {
        let relaxed = self.inner.index.lock().reclassify(is_target);
        for hash in relaxed {
            let _guard = self.inner.locks.lock(hash).await;
            match self.inner.disk.sync(&hash).await {
                Ok(()) => self.inner.index.lock().synced(&hash),
                Err(error) => tracing::warn!(blob = %hash, %error, "a blob may not stay on disk"),
            }
        }
        self.inner.report();
    }

    /// Notes that a blob should be here and is not.
    pub fn lost(&self, hash: BlobHash) {
        let mut lost = self.inner.lost.lock();
        if lost.len() < LOST {
            lost.insert(hash);
        }
    }

    /// The blobs that should be here and are not.
    pub fn all_lost(&self) -> Vec<BlobHash> {
        self.inner.lost.lock().iter().copied().collect()
    }

    /// Whether a blob should be here and is not.
    pub fn is_lost(&self, hash: &BlobHash) -> bool {
        self.inner.lost.lock().contains(hash)
    }

    /// It was found that it need not be here, or that it is.
    pub fn not_lost(&self, hash: &BlobHash) {
        self.inner.lost.lock().remove(hash);
    }
}

impl Inner {
    async fn store(
        &self,
        hash: BlobHash,
        bytes: Bytes,
        role: Role,
        _room: Writing,
    ) -> Result<(), BlobError> {
        let len = bytes.len() as u64;
        let durability = match role {
            Role::Target | Role::Surplus => Durability::Synced,
            Role::Cached => Durability::Relaxed,
        };
        let guard = self.locks.lock(hash).await;
        if role == Role::Cached && self.index.lock().keeps(&hash) {
            return Ok(());
        }
        self.disk.write(&hash, bytes, durability).await?;
        let gone = {
            let mut index = self.index.lock();
            let gone = index.insert(hash, len, role);
            index.claim(&hash);
            gone
        };
        self.lost.lock().remove(&hash);
        drop(guard);
        self.evict(gone).await;
        Ok(())
    }

    /// Removes cached blobs where the disk has no room for `len` bytes else.
    async fn make_room(&self, len: u64) -> Result<Writing, BlobError> {
        let (lacks, why) = match self.disk.space.take(len).await? {
            Room::Yes(writing) => return Ok(writing),
            Room::Lacks(bytes, why) => (bytes, why),
        };
        let gone = {
            let mut index = self.index.lock();
            if index.cached_bytes() < lacks { Vec::new() } else { index.shed(lacks) }
        };
        if !gone.is_empty() {
            self.evict(gone).await;
            if let Room::Yes(writing) = self.disk.space.take(len).await? {
                return Ok(writing);
            }
        }
        Err(BlobError::Full(why))
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
        if self.index.lock().lose(hash) {
            let mut lost = self.lost.lock();
            if lost.len() < LOST {
                lost.insert(*hash);
            }
        }
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
        ::metrics::gauge!(metrics::SURPLUS).set(index.surplus() as f64);
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
