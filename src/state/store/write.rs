//! Writing the log, reading it, and applying it.

use super::log::{Note, Record, Step};
use super::shard::Outline;
use super::{Store, StoreError};
use crate::state::values::{Applied, Progress};
use crate::wire::shards::ShardId;

/// A change of the log of one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogWrite {
    /// Appends behind the last record.
    Append(ShardId, Vec<Record>),
    /// Removes what is behind this record.
    Truncate(ShardId, u64),
}

/// What came of one turn.
#[derive(Debug, Default)]
pub struct Turn {
    /// Records that are applied now.
    pub applied: Vec<(u64, Applied)>,
    /// Those up to here are.
    pub reached: u64,
    /// But for this one, of which some is.
    pub part: Option<u64>,
}

/// Bytes of records that are applied in one turn: other shards wait meanwhile.
const APPLY_SLICE: usize = 1 << 20;
/// What a record counts for beside its bytes.
const RECORD_COST: usize = 512;

impl LogWrite {
    fn shard(&self) -> ShardId {
        match self {
            Self::Append(shard, _) | Self::Truncate(shard, _) => *shard,
        }
    }
}

impl Store {
    /// Makes changes of the logs of many shards, in this order, and all of them durable by one
    /// fsync.
    pub fn write(&self, writes: &[LogWrite]) -> Result<(), StoreError> {
        let bytes: usize = writes
            .iter()
            .map(|write| match write {
                LogWrite::Append(_, records) => {
                    records.iter().map(|record| record.body.len() + 64).sum()
                }
                LogWrite::Truncate(..) => 0,
            })
            .sum();
        if self.free() < bytes as u64 + self.options.reserve / 2 {
            return Err(StoreError::Full);
        }
        // Once in the log, and once more when they are applied.
        self.spend(2 * bytes as u64);
        let mut at = 0;
        // A shard that is written twice needs its note twice: such are committed one by one.
        while let Some(first) = writes.get(at) {
            let mut end = at + 1;
            let mut seen = vec![first.shard()];
            while let Some(next) = writes.get(end).filter(|next| !seen.contains(&next.shard())) {
                seen.push(next.shard());
                end += 1;
            }
            self.write_some(writes.get(at..end).unwrap_or_default(), end == writes.len())?;
            at = end;
        }
        Ok(())
    }

    fn write_some(&self, writes: &[LogWrite], sync: bool) -> Result<(), StoreError> {
        let _writer = self.writer.lock();
        let mut notes: Vec<Option<Note>> = Vec::with_capacity(writes.len());
        for write in writes {
            let outline = self.outline(write.shard())?.lock();
            notes.push(changed(&outline, write)?);
        }
        let mut steps = Vec::new();
        for (write, note) in writes.iter().zip(&notes) {
            if let Some(note) = note {
                steps.push(Step::Note(write.shard(), note));
            }
            if let LogWrite::Append(shard, records) = write {
                steps.push(Step::Entries(*shard, records));
            }
        }
        self.log.commit(&steps, sync)?;
        for (write, note) in writes.iter().zip(notes) {
            let mut outline = self.outline(write.shard())?.lock();
            if let Some(note) = note {
                outline.note = note;
            }
            outline.is_new = false;
            match write {
                LogWrite::Append(_, records) => outline.push(records),
                LogWrite::Truncate(_, after) => {
                    outline.last = outline.last.min(*after);
                    outline.drop_tail(|seq| seq <= *after);
                }
            }
        }
        Ok(())
    }

    /// Reads from the log: at most so many bytes, but at least one record; none if `from` is not
    /// there.
    pub fn log_read(
        &self,
        shard: ShardId,
        from: u64,
        bytes: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let last = {
            let outline = self.outline(shard)?.lock();
            if from <= outline.note.before.1 || from > outline.last {
                return Ok(Vec::new());
            }
            outline.last
        };
        self.records(shard, from, last + 1, bytes)
    }

    fn records(
        &self,
        shard: ShardId,
        from: u64,
        end: u64,
        bytes: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.log.read(shard, from, end, bytes).inspect_err(|error| {
            if let (StoreError::Copy { why, .. }, Ok(copy)) = (error, self.shard(shard)) {
                copy.lock().damage = Some(why.clone());
            }
        })
    }

    /// Applies records up to this one: they are committed. Tells what came of each.
    pub fn apply(
        &self,
        shard: ShardId,
        through: u64,
        now: u64,
    ) -> Result<Vec<(u64, Applied)>, StoreError> {
        let mut all = Vec::new();
        loop {
            let turn = self.apply_some(shard, through, now)?;
            all.extend(turn.applied);
            if turn.part.is_none() && turn.reached >= through {
                return Ok(all);
            }
        }
    }

    /// The same, but only as much as takes some milliseconds.
    pub fn apply_some(&self, shard: ShardId, through: u64, now: u64) -> Result<Turn, StoreError> {
        let mut turn = Turn::default();
        let mut done = 0;
        // Not in the condition: the shard would be held all the while.
        let long = self.usable(shard)?.long.clone();
        if let Some(record) = long {
            // What is staged is not beside the record that names it.
            done = APPLY_SLICE / 2;
            if let Came::Done = self.apply_one(shard, &record, now, &mut turn)? {
                // Who needs all of a value is served before the next such push begins.
                done = APPLY_SLICE;
            }
        }
        let mut waits = false;
        while !waits && done < APPLY_SLICE {
            let from = self.usable(shard)?.values.reached() + 1;
            if from > through {
                break;
            }
            for record in self.records_to_apply(shard, from, through)? {
                done += record.body.len() + RECORD_COST;
                match self.apply_one(shard, &record, now, &mut turn)? {
                    Came::Done => {}
                    Came::Part => done = APPLY_SLICE,
                    Came::Waits => waits = true,
                }
                if waits || done >= APPLY_SLICE {
                    break;
                }
            }
        }
        let applied = {
            let copy = self.usable(shard)?;
            (turn.reached, turn.part) = (copy.values.reached(), copy.values.partial());
            copy.values.applied
        };
        self.outline(shard)?.lock().drop_tail(|seq| seq > applied);
        Ok(turn)
    }

    fn records_to_apply(
        &self,
        shard: ShardId,
        from: u64,
        through: u64,
    ) -> Result<Vec<Record>, StoreError> {
        let (records, last) = {
            let outline = self.outline(shard)?.lock();
            (outline.from(from, through), outline.last)
        };
        if through > last {
            let why = format!("{shard} has no record {through}, only up to {last}");
            return Err(StoreError::Misuse(why));
        }
        match records {
            Some(records) => Ok(records),
            None => self.records(shard, from, through + 1, APPLY_SLICE),
        }
    }

    fn apply_one(
        &self,
        shard: ShardId,
        record: &Record,
        now: u64,
        turn: &mut Turn,
    ) -> Result<Came, StoreError> {
        let mut copy = self.usable(shard)?;
        let of = &mut *copy;
        let applied = of.values.apply(record.term, record.seq, &record.body, now, &mut of.files);
        let progress = applied.map_err(|fault| {
            of.damage = Some(fault.to_string());
            StoreError::copy(shard, &fault)
        })?;
        Ok(match progress {
            Progress::Done(applied) => {
                of.long.take_if(|long| long.seq == record.seq);
                turn.applied.push((record.seq, applied));
                Came::Done
            }
            Progress::Part => {
                if of.long.is_none() {
                    of.long = Some(record.clone());
                }
                Came::Part
            }
            Progress::Waits => Came::Waits,
        })
    }
}

/// How far a record came.
enum Came {
    Done,
    Part,
    Waits,
}

/// The note after a change, if it is another.
fn changed(outline: &Outline, write: &LogWrite) -> Result<Option<Note>, StoreError> {
    let mut note = outline.note.clone();
    let misuse = |why: String| Err(StoreError::Misuse(why));
    match write {
        LogWrite::Append(shard, records) => {
            note.end = None;
            let (mut last, mut term) = (outline.last, outline.term(outline.last));
            for record in records {
                if record.seq != last + 1 || record.term < term {
                    let found = (record.term, record.seq);
                    return misuse(format!(
                        "{shard}: {found:?} does not follow {:?}",
                        (term, last)
                    ));
                }
                if record.term > term || (note.starts.is_empty() && last == note.before.1) {
                    note.starts.push((record.term, record.seq));
                }
                (last, term) = (record.seq, record.term);
            }
        }
        LogWrite::Truncate(shard, after) => {
            if *after < note.before.1 {
                return misuse(format!("{shard}: record {after} is compacted"));
            }
            if *after < outline.last {
                note.end = Some(*after);
                note.starts.retain(|(_, first)| *first <= *after);
            }
        }
    }
    Ok((note != outline.note).then_some(note))
}
