//! Starting: what is on the disk, and wiping it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;

use super::files::{Kept, ShardFiles};
use super::log::{Log, Note, Step};
use super::meta;
use super::shard::{Opened, Outline, Shard};
use super::{Options, Store, StoreError};
use crate::state::values::{FileId, Values};
use crate::wire::shards::{SHARDS, ShardId};

impl Store {
    /// Opens what is in the folder, or makes it. A damaged log makes all copies blank.
    pub fn open(options: Options, now: u64) -> Result<Self, StoreError> {
        let failed = |what: &str, why: String| StoreError::Log(format!("{what}: {why}"));
        let dir = &options.dir;
        let is_new = !dir.join("log").exists();
        std::fs::create_dir_all(dir.join("values"))
            .map_err(|error| failed("making its folder", error.to_string()))?;
        let (log, damage) = open_log(&dir.join("log"))?;
        let kept = Kept::new(dir).map_err(|error| failed("its folder", error.to_string()))?;
        let kept = Arc::new(kept);
        let opened: Vec<(Outline, Shard)> = (0..SHARDS)
            .map(ShardId)
            .collect::<Vec<_>>()
            .into_iter()
            .map(|shard| {
                let files = dir.join("values").join(shard.0.to_string());
                open_shard(&log, shard, ShardFiles::new(files, Arc::clone(&kept)), now)
            })
            .collect();
        let (outlines, shards): (Vec<_>, Vec<_>) = opened
            .into_iter()
            .map(|(outline, shard)| (Mutex::new(outline), Mutex::new(shard)))
            .unzip();
        let store = Self {
            options,
            is_new,
            log,
            outlines,
            shards,
            kept,
            writer: Mutex::new(()),
            checkpoints: Mutex::new(()),
            left: AtomicU64::new(0),
            room: Mutex::default(),
        };
        if let Some(why) = damage {
            for shard in (0..SHARDS).map(ShardId) {
                store.wipe(shard, true)?;
                store.shard(shard)?.lock().damage = Some(why.clone());
            }
        }
        Ok(store)
    }

    /// Whether nothing was in its folder when it was opened.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// What there is of a shard.
    pub fn opened(&self, shard: ShardId) -> Result<Opened, StoreError> {
        let (note, last, is_new) = {
            let outline = self.outline(shard)?.lock();
            (outline.note.clone(), outline.last, outline.is_new)
        };
        let copy = self.shard(shard)?.lock();
        Ok(Opened {
            before: note.before,
            starts: note.starts,
            last,
            applied: copy.values.applied.max(note.before.1),
            blank: note.blank || copy.damage.is_some(),
            is_new,
            damage: copy.damage.clone(),
        })
    }

    /// Removes the copy of a shard, log and values. What is left is blank, to be made whole by an
    /// import, or else new: as if the disk knew nothing of it.
    pub fn wipe(&self, shard: ShardId, blank: bool) -> Result<Opened, StoreError> {
        let _one = self.checkpoints.lock();
        self.reset(shard, (0, 0), blank)?;
        let mut copy = self.shard(shard)?.lock();
        copy.files.wipe().map_err(|error| {
            StoreError::copy(shard, &super::files::fault("removing its files", &error))
        })?;
        copy.values.snapshots.clear();
        let freed = std::mem::take(&mut copy.values.snapshots.freed);
        self.kept.free(&mut { freed });
        (copy.values, copy.damage, copy.whole, copy.durable) = (Values::default(), None, 0, 0);
        copy.doomed.clear();
        copy.long = None;
        copy.import = None;
        drop(copy);
        self.opened(shard)
    }

    /// Begins the log of a shard anew, behind this record, and without a checkpoint.
    pub(super) fn reset(
        &self,
        shard: ShardId,
        before: super::Point,
        blank: bool,
    ) -> Result<(), StoreError> {
        let _writer = self.writer.lock();
        let note = Note { before, blank, ..Note::default() };
        let mut steps = vec![Step::Clean(shard)];
        let is_new = !blank && before == (0, 0);
        if !is_new {
            steps.push(Step::Note(shard, &note));
        }
        self.log.commit(&steps, true)?;
        let mut outline = self.outline(shard)?.lock();
        *outline = Outline { note, last: before.1, is_new, ..Outline::default() };
        Ok(())
    }
}

/// Opens the log; a damaged one is removed, and why it is.
fn open_log(dir: &std::path::Path) -> Result<(Log, Option<String>), StoreError> {
    let damaged = match Log::open(dir) {
        Ok(log) => return Ok((log, None)),
        Err(raft_engine::Error::Corruption(why)) => why,
        Err(raft_engine::Error::InvalidArgument(why)) => why,
        Err(other) => return Err(StoreError::Log(format!("opening it: {other}"))),
    };
    tracing::error!(why = damaged, "the log of the state is damaged: its copies are made again");
    let again = std::fs::remove_dir_all(dir)
        .map_err(|error| error.to_string())
        .and_then(|()| Log::open(dir).map_err(|error| error.to_string()));
    let log = again.map_err(|why| StoreError::Log(format!("making it again: {why}")))?;
    Ok((log, Some(format!("the log is damaged: {damaged}"))))
}

fn open_shard(log: &Log, shard: ShardId, files: ShardFiles, now: u64) -> (Outline, Shard) {
    let mut copy = Shard {
        values: Values::default(),
        files,
        damage: None,
        doomed: Vec::new(),
        whole: 0,
        durable: 0,
        long: None,
        import: None,
        exports: Vec::new(),
    };
    let mut outline = Outline::default();
    match load(log, shard, &mut copy, now) {
        Ok(Some(loaded)) => outline = loaded,
        Ok(None) => outline.is_new = true,
        Err(why) => {
            tracing::error!(%shard, why, "a copy is damaged");
            copy.damage = Some(why);
        }
    }
    (outline, copy)
}

fn load(log: &Log, shard: ShardId, copy: &mut Shard, now: u64) -> Result<Option<Outline>, String> {
    std::fs::create_dir_all(copy.files.dir()).map_err(|error| error.to_string())?;
    let Some(note) = log.note(shard)? else {
        return match log.span(shard) {
            None if is_empty(copy) => Ok(None),
            None => Err("its log is lost".into()),
            Some(_) => Err("its log has records, and nothing on them".into()),
        };
    };
    let mut outline = Outline { last: note.before.1, note, ..Outline::default() };
    if let Some((first, last)) = log.span(shard) {
        if first > outline.note.before.1 + 1 {
            return Err(format!("its log begins with record {first}"));
        }
        outline.last = outline.note.end.unwrap_or(last).min(last).max(outline.note.before.1);
    }
    if outline.note.blank {
        return Ok(Some(outline));
    }
    if let Some((number, len, applied)) = outline.note.meta {
        copy.values = meta::read(copy.files.dir(), (number, len), now)?;
        if copy.values.applied != applied {
            return Err("its checkpoint is another".into());
        }
        (copy.whole, copy.durable) = (len, applied);
    }
    let applied = copy.values.applied;
    if applied < outline.note.before.1 || applied > outline.last {
        let log = (outline.note.before.1, outline.last);
        return Err(format!("its checkpoint is of record {applied}, its log of those in {log:?}"));
    }
    let newest = meta::newest(copy.files.dir());
    if newest > outline.last {
        return Err(format!("its log ends with record {}, and had {newest}", outline.last));
    }
    copy.values.lenient = copy.values.lenient.max(outline.last);
    remove_others(copy, outline.note.meta.map(|(number, ..)| number), false);
    Ok(Some(outline))
}

fn is_empty(copy: &Shard) -> bool {
    std::fs::read_dir(copy.files.dir()).is_ok_and(|mut entries| entries.next().is_none())
}

/// Removes files that no record and no value names.
pub(super) fn remove_others(copy: &Shard, number: Option<u64>, all: bool) {
    let (values, bounds, stages) = copy.values.files();
    // What later records began is made again, or used.
    let applied = if all { u64::MAX } else { copy.values.applied };
    let needed = |file: &FileId| match file {
        FileId::Value(seq) => *seq > applied || values.contains(seq),
        FileId::Bounds(seq) => *seq > applied || bounds.contains(seq),
        FileId::Stage(seq) | FileId::Packed(seq) => *seq > applied || stages.contains(seq),
    };
    let others: Vec<_> =
        copy.files.list().unwrap_or_default().into_iter().filter(|file| !needed(file)).collect();
    copy.files.remove(&others);
    remove_metas(copy, number);
}

/// Removes checkpoints of other numbers.
pub(super) fn remove_metas(copy: &Shard, number: Option<u64>) {
    for entry in std::fs::read_dir(copy.files.dir()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let other = name.to_str().and_then(meta::number).filter(|found| Some(*found) != number);
        if other.is_some() {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
