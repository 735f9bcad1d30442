//! Checkpoints: values made durable, the log compacted, files removed.

use std::sync::atomic::Ordering;

use super::log::Step;
use super::meta;
use super::{Store, StoreError};
use crate::state::values::{Fault, FileId};
use crate::wire::shards::ShardId;

/// A checkpoint is written anew when it is longer than this and than twice its whole.
const MIN_REWRITE: u64 = 1 << 20;

/// Shards of which the log was compacted, and up to where.
pub type Compacted = Vec<(ShardId, u64)>;

/// A shard's checkpoint that is written but not durable.
pub(super) struct Written {
    shard: ShardId,
    meta: (u64, u64, u64),
    doomed: Vec<FileId>,
}

impl Store {
    /// Whether the log is large enough for a checkpoint.
    pub fn wants_checkpoint(&self) -> bool {
        // What a copy elsewhere still needs of the log makes no checkpoint smaller.
        let (size, most) = (self.log.size(), self.options.log_bytes);
        size >= most && size >= self.left.load(Ordering::Relaxed) + most / 4
    }

    /// The log of a shard need not be kept up to this record for others.
    pub fn compact(&self, shard: ShardId, through: u64) -> Result<(), StoreError> {
        let mut outline = self.outline(shard)?.lock();
        outline.free = outline.free.max(through);
        Ok(())
    }

    /// Makes all values durable and compacts the logs. Tells up to where each log was, and which
    /// copies failed. The second checkpoint after a removal gives the space back.
    pub fn checkpoint(&self, now: u64) -> Result<(Compacted, Vec<StoreError>), StoreError> {
        let _one = self.checkpoints.lock();
        let mut written = Vec::new();
        let mut failed = Vec::new();
        for shard in (0..).map(ShardId).take(self.shards.len()) {
            match self.write_meta(shard, now) {
                Ok(Some(one)) => written.push(one),
                Ok(None) => {}
                Err(error) => failed.push(error),
            }
        }
        self.sync_values()?;
        let compacted = self.note_metas(&written)?;
        for one in &written {
            self.remove_doomed(one)?;
        }
        self.log.purge();
        self.left.store(self.log.size(), Ordering::Relaxed);
        // There is more room now.
        self.room.lock().0 = None;
        Ok((compacted, failed))
    }

    /// Makes everything that was written to files durable.
    pub(super) fn sync_values(&self) -> Result<(), StoreError> {
        let dir = std::fs::File::open(&self.options.dir);
        let synced = dir.and_then(|dir| Ok(rustix::fs::syncfs(dir)?));
        // After a failed sync nothing is known of what is durable.
        synced.map_err(|error| self.log.fail(&format!("syncing the values: {error}")))
    }

    pub(super) fn write_meta(
        &self,
        shard: ShardId,
        now: u64,
    ) -> Result<Option<Written>, StoreError> {
        let (noted, blank) = {
            let outline = self.outline(shard)?.lock();
            (outline.note.meta, outline.note.blank)
        };
        let mut copy = self.shard(shard)?.lock();
        if copy.damage.is_some() || blank {
            return Ok(None);
        }
        let of = &mut *copy;
        of.values.snapshots.expire(now);
        of.files.kept().free(&mut of.values.snapshots.freed);
        let files = of.values.snapshots.files.drain(..);
        of.files.doomed.extend(files.map(FileId::Value));
        let same = noted.map_or(0, |(_, _, applied)| applied) == of.values.applied;
        if same && of.files.doomed.is_empty() {
            return Ok(None);
        }
        let (number, len) = noted.map_or((1, 0), |(number, len, _)| (number, len));
        let all = noted.is_none() || len > MIN_REWRITE.max(2 * of.whole);
        let at = if all && noted.is_some() { (number + 1, 0) } else { (number, len) };
        let dir = of.files.dir().to_owned();
        let flushed = of.files.flush();
        let result = flushed.and_then(|()| {
            let written = meta::write(&dir, at, &mut of.values, all);
            written.map_err(|error| super::files::fault("writing a checkpoint", &error))
        });
        let len = result.map_err(|fault| {
            if fault == Fault::Full {
                return StoreError::Full;
            }
            of.damage = Some(fault.to_string());
            StoreError::copy(shard, &fault)
        })?;
        if all {
            of.whole = len;
        }
        let meta = (at.0, len, of.values.applied);
        Ok(Some(Written { shard, meta, doomed: std::mem::take(&mut of.files.doomed) }))
    }

    pub(super) fn note_metas(&self, written: &[Written]) -> Result<Compacted, StoreError> {
        let _writer = self.writer.lock();
        let mut notes = Vec::new();
        for shard in (0..).map(ShardId).take(self.shards.len()) {
            let outline = self.outline(shard)?.lock();
            let mut note = outline.note.clone();
            if let Some(one) = written.iter().find(|one| one.shard == shard) {
                note.meta = Some(one.meta);
            }
            let durable = note.meta.map_or(0, |(_, _, applied)| applied);
            let through = outline.free.min(durable);
            let compacts = through > note.before.1;
            if compacts {
                note.before = (outline.term(through), through);
                let last = outline.last;
                let next = note.starts.iter().skip(1).map(|(_, first)| *first);
                let gone = next.take_while(|first| *first <= through + 1).count();
                note.starts.drain(..gone);
                if last == through {
                    note.starts.clear();
                }
            }
            if note != outline.note {
                notes.push((shard, note, compacts));
            }
        }
        let mut steps = Vec::new();
        for (shard, note, compacts) in &notes {
            steps.push(Step::Note(*shard, note));
            if *compacts {
                steps.push(Step::Compact(*shard, note.before.1 + 1));
            }
        }
        if !steps.is_empty() {
            self.log.commit(&steps, true)?;
        }
        let mut compacted = Vec::new();
        for (shard, note, compacts) in notes {
            if compacts {
                compacted.push((shard, note.before.1));
            }
            self.outline(shard)?.lock().note = note;
        }
        Ok(compacted)
    }

    pub(super) fn remove_doomed(&self, one: &Written) -> Result<(), StoreError> {
        let doomed = {
            let mut copy = self.shard(one.shard)?.lock();
            copy.durable = one.meta.2;
            super::open::remove_metas(&copy, Some(one.meta.0));
            copy.files.close(&one.doomed)
        };
        // To remove a large one takes long: the shard need not wait. If one stays, the next start
        // removes it.
        doomed.iter().for_each(|path| drop(std::fs::remove_file(path)));
        Ok(())
    }
}
