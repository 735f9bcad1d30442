//! One copy: the outline of its log, and its values.

use std::collections::VecDeque;

use super::files::ShardFiles;
use super::import::Import;
use super::log::{Note, Point, Record};
use crate::state::values::{FileId, Value, Values};
use crate::wire::shards::StateKey;

/// Most bytes of records that are kept in memory until they are applied.
const MAX_TAIL: usize = 2 << 20;

/// How long a list of chunks is kept for the copy that asks for it, in milliseconds.
pub const EXPORT_MS: u64 = 30_000;

/// What was found of a shard on the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// The log begins behind this record.
    pub before: Point,
    /// Where each term in the log begins, in order.
    pub starts: Vec<Point>,
    /// The last record in the log; `before`'s when it is empty.
    pub last: u64,
    /// The values hold the records up to here.
    pub applied: u64,
    /// The values are not whole: damaged, or an import was not finished.
    pub blank: bool,
    /// Nothing was there.
    pub is_new: bool,
    /// What was found to be damaged.
    pub damage: Option<String>,
}

/// The log of a shard, without the records that are applied.
#[derive(Debug, Default)]
pub struct Outline {
    /// As in the engine.
    pub note: Note,
    /// The last record.
    pub last: u64,
    /// The last records, if they are not too many.
    pub tail: VecDeque<Record>,
    /// Bytes of those.
    pub tail_bytes: usize,
    /// What the log need not keep for others.
    pub free: u64,
    /// The disk knew nothing of it.
    pub is_new: bool,
}

impl Outline {
    /// Notes records that are appended.
    pub fn push(&mut self, records: &[Record]) {
        for record in records {
            self.last = record.seq;
            self.tail_bytes += record.body.len();
            self.tail.push_back(record.clone());
        }
        while self.tail_bytes > MAX_TAIL
            && let Some(record) = self.tail.pop_front()
        {
            self.tail_bytes -= record.body.len();
        }
    }

    /// Forgets records that are applied or cut off.
    pub fn drop_tail(&mut self, keep: impl Fn(u64) -> bool) {
        self.tail.retain(|record| keep(record.seq));
        self.tail_bytes = self.tail.iter().map(|record| record.body.len()).sum();
    }

    /// The records from this one on, if they are in memory.
    pub fn from(&self, seq: u64, through: u64) -> Option<Vec<Record>> {
        let first = self.tail.front()?.seq;
        let skip = usize::try_from(seq.checked_sub(first)?).ok()?;
        let count = usize::try_from((through + 1).checked_sub(seq)?).ok()?;
        let records: Vec<_> = self.tail.iter().skip(skip).take(count).cloned().collect();
        (!records.is_empty()).then_some(records)
    }

    /// The term of a record.
    pub fn term(&self, seq: u64) -> u64 {
        let starts = self.note.starts.iter().rev();
        starts
            .clone()
            .find(|(_, first)| *first <= seq)
            .map_or(self.note.before.0, |(term, _)| *term)
    }
}

/// The values of a shard, and their files.
#[derive(Debug)]
pub struct Shard {
    /// Without their bytes.
    pub values: Values,
    /// Their bytes.
    pub files: ShardFiles,
    /// Nothing more can be done with the copy, and why.
    pub damage: Option<String>,
    /// Removed when the checkpoint that is being made is durable.
    pub doomed: Vec<FileId>,
    /// How long the last whole checkpoint was.
    pub whole: u64,
    /// The last record in the checkpoint.
    pub durable: u64,
    /// The record that is applied in part.
    pub long: Option<Record>,
    /// How the copy is being made whole.
    pub import: Option<Import>,
    /// Values whose chunks are being listed for another copy, and until when.
    pub exports: Vec<(StateKey, Value, u64)>,
}
