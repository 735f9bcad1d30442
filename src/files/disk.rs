//! Blobs as files: `dir/a/abcd…`, each with the header of [`format`](super::format). Writes are
//! atomic; reads are checked.

use std::fs;
use std::io;
use std::path::{Path as FsPath, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::BlobError;
use super::format::{self, Unreadable};
use crate::id::BlobHash;

/// Disk operations under way at once: enough to keep a disk busy, and few beside the runtime's
/// 512 blocking threads. More wait.
const OPERATIONS: usize = 16;

/// A directory of blobs.
pub struct Disk {
    /// Syncs file and directory before a write returns.
    durable: LocalFileSystem,
    /// Does not: for copies that can be fetched again. A file that a power cut left incomplete is
    /// found on read.
    relaxed: LocalFileSystem,
    operations: Semaphore,
}

/// A blob's file as found at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which blob.
    pub hash: BlobHash,
    /// Its length, as the file's size tells it.
    pub len: u64,
    /// When it was written.
    pub written: SystemTime,
}

/// What a read came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Held {
    /// The blob, checked.
    Good(Bytes),
    /// There is no file.
    Missing,
    /// There is a file, and it is not the blob.
    Bad(Unreadable),
}

/// Whether a write must be on disk to stay before it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It must.
    Synced,
    /// It may be lost by a power cut.
    Relaxed,
}

impl Disk {
    /// Opens the directory, made when missing; removes what unfinished writes left, and lists the
    /// blobs, the first written first.
    pub async fn open(dir: PathBuf) -> Result<(Self, Vec<Found>), BlobError> {
        let (durable, relaxed) = blocking(move || {
            prepare(&dir).map_err(|e| BlobError::Io(format!("{}: {e}", dir.display())))?;
            let store = || LocalFileSystem::new_with_prefix(&dir).map_err(io_error);
            Ok((store()?.with_fsync(true), store()?))
        })
        .await?;
        let disk = Self { durable, relaxed, operations: Semaphore::new(OPERATIONS) };
        let mut found: Vec<Found> = disk
            .relaxed
            .list(None)
            .try_filter_map(|meta| async move {
                let blob = hash_of(&meta.location).zip(format::blob_len(meta.size));
                let written = meta.last_modified.into();
                Ok(blob.map(|(hash, len)| Found { hash, len, written }))
            })
            .try_collect()
            .await
            .map_err(io_error)?;
        found.sort_by_key(|found| (found.written, found.hash));
        Ok((disk, found))
    }

    /// Writes a blob, whose hash the caller has checked, in place of what is there. On an error
    /// nothing of it is left.
    pub async fn write(
        &self,
        hash: &BlobHash,
        bytes: Bytes,
        durability: Durability,
    ) -> Result<(), BlobError> {
        let _turn = self.turn().await?;
        let header = Bytes::copy_from_slice(&format::header(bytes.len() as u64));
        let file = PutPayload::from_iter([header, bytes]);
        let store = match durability {
            Durability::Synced => &self.durable,
            Durability::Relaxed => &self.relaxed,
        };
        store.put(&path_of(hash), file).await.map_err(io_error)?;
        Ok(())
    }

    /// Reads a blob and checks it. `Err` when the disk fails.
    pub async fn read(&self, hash: &BlobHash) -> Result<Held, BlobError> {
        let _turn = self.turn().await?;
        let file = match self.relaxed.get(&path_of(hash)).await {
            Ok(file) => file,
            Err(object_store::Error::NotFound { .. }) => return Ok(Held::Missing),
            Err(e) => return Err(io_error(e)),
        };
        if format::blob_len(file.meta.size).is_none() {
            let why = format!("no blob's file has {} bytes", file.meta.size);
            return Ok(Held::Bad(Unreadable::Corrupt(why)));
        }
        let file = file.bytes().await.map_err(io_error)?;
        let hash = *hash;
        blocking(move || {
            Ok(match format::open(&hash, &file) {
                Ok(bytes) => Held::Good(bytes),
                Err(why) => Held::Bad(why),
            })
        })
        .await
    }

    /// Removes a blob's file; fine if there is none.
    pub async fn remove(&self, hash: &BlobHash) -> Result<(), BlobError> {
        let _turn = self.turn().await?;
        match self.relaxed.delete(&path_of(hash)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(io_error(e)),
        }
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, BlobError> {
        self.operations.acquire().await.map_err(|e| BlobError::Io(e.to_string()))
    }
}

/// Runs what would hold a thread for long on the runtime's blocking pool.
pub async fn blocking<T, F>(work: F) -> Result<T, BlobError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, BlobError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => Err(BlobError::Io(format!("the work on it was abandoned: {e}"))),
    }
}

fn path_of(hash: &BlobHash) -> Path {
    let name = hash.to_string();
    Path::from_iter([&name[..1], &name])
}

fn hash_of(path: &Path) -> Option<BlobHash> {
    let hash = path.filename()?.parse().ok()?;
    (path_of(&hash) == *path).then_some(hash)
}

fn io_error(error: object_store::Error) -> BlobError {
    BlobError::Io(error.to_string())
}

/// Makes the directory and its 16 sub-directories at once and durably, so that no write has to
/// sync more than its own sub-directory; removes the staged files of writes that did not end. Not
/// 256 of them: making those took 0.6 s on a busy ext4, and a node has to be ready in one.
fn prepare(dir: &FsPath) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for digit in 0..16 {
        let sub = dir.join(format!("{digit:x}"));
        fs::create_dir_all(&sub)?;
        for file in fs::read_dir(&sub)? {
            let file = file?;
            if file.file_name().to_string_lossy().contains('#') {
                fs::remove_file(file.path())?;
            }
        }
    }
    fs::File::open(dir)?.sync_all()?;
    match dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
