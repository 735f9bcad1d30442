//! Blobs as files: `dir/a/abcd…`, each with the header of [`format`](super::format). Writes are
//! atomic; reads are checked.

use std::error::Error;
use std::fs;
use std::io::{self, Read};
use std::path::{Path as FsPath, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use rustix::fs::{Advice, fadvise};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::BlobError;
use super::format::{self, Check, Unreadable};
use super::space::Space;
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
    dir: PathBuf,
    /// How much may still be written.
    pub space: Space,
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
    /// Leaves `reserve` bytes of the disk free.
    pub async fn open(dir: PathBuf, reserve: u64) -> Result<(Self, Vec<Found>), BlobError> {
        let path = dir.clone();
        let (durable, relaxed) = blocking(move || {
            prepare(&dir).map_err(|e| BlobError::Io(format!("{}: {e}", dir.display())))?;
            let store = || LocalFileSystem::new_with_prefix(&dir).map_err(io_error);
            Ok((store()?.with_fsync(true), store()?))
        })
        .await?;
        let operations = Semaphore::new(OPERATIONS);
        let space = Space::new(path.clone(), reserve);
        let disk = Self { durable, relaxed, operations, dir: path, space };
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

    /// Reads a blob piece by piece, from the disk itself, and checks it; at most `rate` bytes a
    /// second. Nothing is kept in memory, nor in the system's cache.
    pub async fn check(&self, hash: &BlobHash, rate: u64) -> Result<Checked, BlobError> {
        let mut file = {
            let _turn = self.turn().await?;
            let path = self.dir.join(path_of(hash).to_string());
            match blocking(move || Ok(Pieces::open(&path, piece_size(rate)))).await? {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Checked::bad(0)),
                Err(e) => return Err(read_error(&e)),
            }
        };
        loop {
            let begun = tokio::time::Instant::now();
            let turn = self.turn().await?;
            let read = blocking(move || Ok(file.next())).await?;
            drop(turn);
            let (len, next) = read.map_err(|e| read_error(&e))?;
            file = next;
            if len == 0 {
                let bytes = file.len;
                let whole = file.check.end(hash).is_ok();
                return Ok(Checked { whole, bytes });
            }
            let time = Duration::from_secs_f64(len as f64 / rate.max(1) as f64);
            tokio::time::sleep_until(begun + time).await;
        }
    }

    /// Makes what is on disk stay there.
    pub async fn sync(&self, hash: &BlobHash) -> Result<(), BlobError> {
        let _turn = self.turn().await?;
        let path = self.dir.join(path_of(hash).to_string());
        let sync = move || {
            fs::File::open(&path)?.sync_all()?;
            path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
        };
        blocking(move || sync().map_err(|e| read_error(&e))).await
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

/// What reading a whole file found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Whether it is the blob.
    pub whole: bool,
    /// Bytes read.
    pub bytes: u64,
}

impl Checked {
    fn bad(bytes: u64) -> Self {
        Self { whole: false, bytes }
    }
}

/// A file that is checked piece by piece.
struct Pieces {
    file: fs::File,
    check: Check,
    buffer: Vec<u8>,
    len: u64,
}

impl Pieces {
    fn open(path: &FsPath, size: usize) -> io::Result<Self> {
        let file = fs::File::open(path)?;
        // What the system has in memory is not what is to be checked. It may not know the advice:
        // then damage is found once the file has left the memory.
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
        Ok(Self { file, check: Check::new(), buffer: vec![0; size], len: 0 })
    }

    /// Reads the next piece; 0 at the end.
    fn next(mut self) -> io::Result<(usize, Self)> {
        let len = self.file.read(&mut self.buffer)?;
        self.check.take(self.buffer.get(..len).unwrap_or_default());
        self.len += len as u64;
        if len == 0 {
            let _ = fadvise(&self.file, 0, None, Advice::DontNeed);
        }
        Ok((len, self))
    }
}

/// Pieces that take an eighth of a second, within reason.
fn piece_size(rate: u64) -> usize {
    (rate / 8).clamp(4 << 10, 1 << 20) as usize
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
    let text = error.to_string();
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(is_full) {
            return BlobError::Full(text);
        }
        cause = error.source();
    }
    BlobError::Io(text)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn read_error(error: &io::Error) -> BlobError {
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
