//! How much the blob store may still write: what the disk has free, less a reserve for everything
//! else that is on it, less the writes under way.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::BlobError;
use super::disk::blocking;

/// Bytes that a file takes beside its own: header, directory entry, rounding to blocks.
const OVERHEAD: u64 = 8 << 10;

/// The space on one disk. Cheap to clone.
#[derive(Clone)]
pub struct Space {
    dir: PathBuf,
    reserve: u64,
    writing: Arc<AtomicU64>,
}

/// What came of asking for space.
pub enum Room {
    /// There is room; it is given back when dropped, after the write.
    Yes(Writing),
    /// So many bytes are missing, and why.
    Lacks(u64, String),
}

/// Bytes about to be written.
pub struct Writing {
    bytes: u64,
    of: Arc<AtomicU64>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

impl Space {
    /// Of the disk that has this directory.
    pub fn new(dir: PathBuf, reserve: u64) -> Self {
        Self { dir, reserve, writing: Arc::default() }
    }

    /// Asks for room for a blob of `len` bytes.
    pub async fn take(&self, len: u64) -> Result<Room, BlobError> {
        let dir = self.dir.clone();
        let stat = move || {
            rustix::fs::statvfs(&dir).map_err(|e| BlobError::Io(format!("{}: {e}", dir.display())))
        };
        let bytes = len.saturating_add(OVERHEAD);
        let before = self.writing.fetch_add(bytes, Ordering::SeqCst);
        let writing = Writing { bytes, of: self.writing.clone() };
        let disk = blocking(stat).await?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let lacking = lacking(free, self.reserve, before, bytes);
        if lacking == 0 {
            return Ok(Room::Yes(writing));
        }
        let why = format!(
            "{} MiB of the disk with {} are free, and {} are held back for the node itself (option \
             files.reserve_bytes)",
            free >> 20,
            self.dir.display(),
            self.reserve >> 20,
        );
        Ok(Room::Lacks(lacking, why))
    }
}

/// Bytes that are missing for a write of `bytes` beside others of `before`.
fn lacking(free: u64, reserve: u64, before: u64, bytes: u64) -> u64 {
    reserve.saturating_add(before).saturating_add(bytes).saturating_sub(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_and_the_writes_under_way_are_left_alone() {
        assert_eq!(lacking(100, 50, 20, 30), 0);
        assert_eq!(lacking(100, 50, 20, 31), 1);
        assert_eq!(lacking(10, 50, 0, 0), 40);
        assert_eq!(lacking(u64::MAX, u64::MAX, u64::MAX, u64::MAX), 0);
    }

    #[tokio::test]
    async fn what_is_being_written_counts_until_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let space = Space::new(dir.path().to_owned(), 0);
        let Ok(Room::Yes(writing)) = space.take(1000).await else { panic!("no room") };
        assert_eq!(space.writing.load(Ordering::SeqCst), 1000 + OVERHEAD);
        drop(writing);
        assert!(matches!(space.take(u64::MAX).await, Ok(Room::Lacks(..))));
        assert_eq!(space.writing.load(Ordering::SeqCst), 0);
    }
}
