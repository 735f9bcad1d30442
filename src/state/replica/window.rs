//! The newest records of an owner, in memory: what is not committed, and a little more for copies
//! that are nearly there.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::event::Record;
use crate::wire::replicas::{Head, MAX_BODY, MAX_RECORDS};

/// Bytes of committed records that are kept.
const KEPT: usize = 1 << 20;
/// Committed records that are kept.
const KEPT_RECORDS: usize = 1 << 12;

/// See the top. Records without gaps, the newest last.
#[derive(Default)]
pub struct Window {
    records: VecDeque<Record>,
    bytes: usize,
    /// What was packed last: first record, one past the last, bytes. Followers that are at the same
    /// place share it.
    packed: Option<(u64, u64, Bytes)>,
}

/// Records that fit a message.
pub struct Packed {
    pub heads: Vec<Head>,
    pub body: Bytes,
}

impl Window {
    /// Adds the newest.
    pub fn push(&mut self, record: Record) {
        self.bytes += record.body.len();
        self.records.push_back(record);
    }

    fn first(&self) -> Option<u64> {
        self.records.front().map(|record| record.seq)
    }

    /// Whether it has a record.
    pub fn has(&self, seq: u64) -> bool {
        self.first().is_some_and(|first| seq >= first)
            && self.records.back().is_some_and(|last| seq <= last.seq)
    }

    /// Forgets the oldest of what is committed.
    pub fn trim(&mut self, commit: u64) {
        while self.bytes > KEPT || self.records.len() > KEPT_RECORDS {
            match self.records.front() {
                Some(record) if record.seq <= commit => self.bytes -= record.body.len(),
                _ => return,
            }
            self.records.pop_front();
        }
    }

    /// Records from `from` on, as many as fit a message.
    pub fn pack(&mut self, from: u64) -> Option<Packed> {
        let skip = from.checked_sub(self.first()?)? as usize;
        let records = || self.records.iter().skip(skip);
        let count = fitting(records());
        let end = from + count as u64;
        let body = match &self.packed {
            Some((first, last, body)) if (*first, *last) == (from, end) => body.clone(),
            _ => join(records().take(count)),
        };
        let heads = records().take(count).map(head).collect();
        self.packed = Some((from, end, body.clone()));
        Some(Packed { heads, body })
    }
}

/// How many of these fit a message.
pub fn fitting<'a>(records: impl Iterator<Item = &'a Record>) -> usize {
    let mut bytes = 0;
    let fits = |record: &&Record| {
        bytes += record.body.len();
        bytes <= MAX_BODY
    };
    records.take(MAX_RECORDS).take_while(fits).count()
}

/// A record without its bytes.
pub fn head(record: &Record) -> Head {
    Head { term: record.term, len: record.body.len() as u32 }
}

/// The bytes of records, one after the other; those of a single one are not copied.
pub fn join<'a>(records: impl Iterator<Item = &'a Record> + Clone) -> Bytes {
    let mut full = records.clone().filter(|record| !record.body.is_empty());
    match (full.next(), full.next()) {
        (None, _) => return Bytes::new(),
        (Some(only), None) => return only.body.clone(),
        _ => {}
    }
    let mut body = BytesMut::with_capacity(records.clone().map(|record| record.body.len()).sum());
    records.for_each(|record| body.extend_from_slice(&record.body));
    body.freeze()
}
