//! The copies of shards on this node's disk: a log, files of values, checkpoints.
//!
//! Everything here blocks and may be called from any thread. A shard's log is written by
//! [`Store::write`] (one fsync for all shards that are written together), and its records are
//! applied by [`Store::apply`] once they are committed. Reads wait for no fsync.
//!
//! - `decide` and `note` as in [`values`](crate::state::values); `read` does what was planned.
//! - [`Store::checkpoint`] makes the values durable and removes what the log need not keep; call it
//!   when [`Store::wants_checkpoint`] says so, every minute, and when the node stops. It tells what was compacted. (What was written in part
//!   since the last one is not verified when a node starts after a crash: it is hashed anew.)
//! - [`StoreError::Copy`] from anything: the copy is to be wiped by [`Store::wipe`], and caught up.
//!   [`Opened::damage`] or [`Opened::blank`] say so too.
//!   [`StoreError::Log`]: all copies of the node stand back, until the process starts again.
//! - [`StoreError::Full`]: nothing was changed, and the copy is whole. It must not be wiped for it:
//!   other copies may be full too. It stands back, and goes on with what it has when there is room.
//! - A full disk refuses writes before they are logged: `reserve` bytes stay free, half of them
//!   for what frees space.
//! - A copy is caught up by [`Store::import_begin`], then [`Store::export`] on the other side and
//!   [`Store::import`] on this one in turns, until nothing more is wanted. Until then it is blank.
//! - [`Opened::is_new`]: the disk knows nothing of the shard. In a store that [is new](Store::is_new)
//!   on a node that is not, the disk was lost: treat what the node is said to have as blank, and
//!   [`Store::wipe`] it as such.

mod behind;
mod checkpoint;
mod diff;
mod error;
mod files;
mod import;
mod log;
mod meta;
mod open;
mod read;
mod shard;
mod write;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

pub use checkpoint::Compacted;
pub use error::StoreError;
pub use log::{Point, Record};
pub use shard::Opened;
pub use write::{LogWrite, Turn};

use crate::wire::shards::ShardId;
use shard::{Outline, Shard};

/// How long what was found free on the disk is believed: asking for each write takes longer than
/// deciding it, and the reserve is for what others write meanwhile.
const FREE_FOR: Duration = Duration::from_millis(20);

/// What a store is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of everything.
    pub dir: PathBuf,
    /// Bytes of the disk that stay free.
    pub reserve: u64,
    /// Size of the log at which a checkpoint is wanted.
    pub log_bytes: u64,
}

impl Options {
    /// The usual, in this folder.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, reserve: 256 << 20, log_bytes: 128 << 20 }
    }
}

/// All copies of this node.
pub struct Store {
    options: Options,
    is_new: bool,
    log: log::Log,
    /// The logs' outlines.
    outlines: Vec<Mutex<Outline>>,
    shards: Vec<Mutex<Shard>>,
    kept: Arc<files::Kept>,
    /// Held while the log is written.
    writer: Mutex<()>,
    /// One checkpoint at a time.
    checkpoints: Mutex<()>,
    /// How long the log was after the last one.
    left: AtomicU64,
    /// What was free on the disk, and when.
    room: Mutex<(Option<Instant>, u64)>,
}

impl Store {
    fn shard(&self, shard: ShardId) -> Result<&Mutex<Shard>, StoreError> {
        self.shards.get(usize::from(shard.0)).ok_or_else(|| unknown(shard))
    }

    /// The values of a copy that is not damaged.
    fn usable(&self, shard: ShardId) -> Result<MutexGuard<'_, Shard>, StoreError> {
        let copy = self.shard(shard)?.lock();
        match &copy.damage {
            Some(why) => Err(StoreError::Copy { shard, why: why.clone() }),
            None => Ok(copy),
        }
    }

    fn outline(&self, shard: ShardId) -> Result<&Mutex<Outline>, StoreError> {
        self.outlines.get(usize::from(shard.0)).ok_or_else(|| unknown(shard))
    }

    /// What is free for writes.
    pub fn has_space(&self, bytes: u64) -> bool {
        self.free() >= bytes.saturating_add(self.options.reserve)
    }

    /// What was free a moment ago, less what was asked for since.
    fn free(&self) -> u64 {
        let mut free = self.room.lock();
        let now = Instant::now();
        if free.0.is_none_or(|since| now.saturating_duration_since(since) >= FREE_FOR) {
            let stat = rustix::fs::statvfs(&self.options.dir);
            *free = (Some(now), stat.map_or(0, |stat| stat.f_bavail * stat.f_frsize));
        }
        free.1
    }

    /// So many bytes are about to be written.
    fn spend(&self, bytes: u64) {
        let mut free = self.room.lock();
        free.1 = free.1.saturating_sub(bytes);
    }
}

fn unknown(shard: ShardId) -> StoreError {
    StoreError::Misuse(format!("there is no {shard}"))
}

#[cfg(test)]
mod tests;
