//! A node's made-up store of one shard: a log, and values that are a list of what was appended.
//! What was not synced may be lost in a crash; values are kept by checkpoints.

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;

use crate::state::replica::{Opened, Record};
use crate::wire::replicas::{Point, Term};

/// An append: the client, and its number.
pub type Op = (u32, u32);

/// Elements of a part of a difference.
const PART: usize = 7;

/// Values: what was appended, by the record that did it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values {
    pub appended: BTreeMap<u64, Op>,
}

impl Values {
    /// Redoes a record. A repeat of an append does nothing.
    pub fn apply(&mut self, seq: u64, body: &[u8], dedup: bool) {
        let Some(op) = op(body) else { return };
        if !dedup || !self.appended.values().any(|known| *known == op) {
            self.appended.insert(seq, op);
        }
    }

    /// In order.
    pub fn list(&self) -> Vec<Op> {
        self.appended.values().copied().collect()
    }
}

/// The append in a record.
pub fn op(body: &[u8]) -> Option<Op> {
    let (client, rest) = body.split_first_chunk()?;
    let (number, _) = rest.split_first_chunk()?;
    Some((u32::from_le_bytes(*client), u32::from_le_bytes(*number)))
}

/// A record's bytes.
pub fn body((client, number): Op, filler: usize) -> Bytes {
    [&client.to_le_bytes()[..], &number.to_le_bytes()[..], &vec![7; filler][..]].concat().into()
}

#[derive(Debug, Clone)]
enum Write {
    Append(Vec<Record>),
    Truncate(u64),
}

/// What a disk holds.
#[derive(Debug, Clone, Default)]
pub struct Image {
    pub before: Point,
    pub records: Vec<Record>,
    pub values: Values,
    pub applied: Point,
    pub blank: bool,
}

impl Image {
    fn write(&mut self, write: &Write) {
        match write {
            Write::Append(records) => self.records.extend(records.iter().cloned()),
            Write::Truncate(after) => self.records.retain(|record| record.seq <= *after),
        }
    }

    /// The number of the last record.
    pub fn last(&self) -> u64 {
        self.records.last().map_or(self.before.seq, |record| record.seq)
    }

    /// A record, if it is in the log.
    pub fn record(&self, seq: u64) -> Option<&Record> {
        let at = seq.checked_sub(self.before.seq + 1)?;
        self.records.get(at as usize).filter(|record| record.seq == seq)
    }

    fn opened(&self) -> Opened {
        let mut starts: Vec<(Term, u64)> = Vec::new();
        for record in &self.records {
            if starts.last().is_none_or(|(term, _)| *term != record.term) {
                starts.push((record.term, record.seq));
            }
        }
        Opened {
            before: self.before,
            starts,
            last: self.last(),
            applied: self.applied.seq,
            blank: self.blank,
        }
    }
}

/// See the top.
#[derive(Debug, Clone, Default)]
pub struct SimStore {
    /// As the process sees it.
    pub live: Image,
    /// As it is after a crash.
    pub durable: Image,
    writes: Vec<(u64, Write)>,
    import: Option<(u64, Point)>,
}

impl SimStore {
    pub fn opened(&self) -> Opened {
        self.live.opened()
    }

    fn write(&mut self, op: u64, write: Write) {
        self.live.write(&write);
        self.writes.push((op, write));
    }

    pub fn append(&mut self, op: u64, records: Vec<Record>) -> Result<(), String> {
        let last = self.live.last();
        for (at, record) in records.iter().enumerate() {
            if record.seq != last + 1 + at as u64 {
                return Err(format!("record {} is appended behind {last}", record.seq));
            }
        }
        self.write(op, Write::Append(records));
        Ok(())
    }

    pub fn truncate(&mut self, op: u64, after: u64) {
        self.write(op, Write::Truncate(after));
    }

    /// Everything up to this write is durable.
    pub fn sync(&mut self, op: u64) {
        let done = self.writes.iter().take_while(|(number, _)| *number <= op).count();
        for (_, write) in self.writes.drain(..done) {
            self.durable.write(&write);
        }
    }

    /// Puts records into the values; gives them.
    pub fn apply(&mut self, through: u64, dedup: bool) -> Result<Vec<Record>, String> {
        let mut records = Vec::new();
        for seq in self.live.applied.seq + 1..=through {
            let record = self.live.record(seq).cloned();
            let record = record.ok_or_else(|| format!("record {seq} to apply is not there"))?;
            self.live.values.apply(seq, &record.body, dedup);
            self.live.applied = Point { term: record.term, seq };
            records.push(record);
        }
        Ok(records)
    }

    /// The values as they are outlast a crash.
    pub fn checkpoint(&mut self) {
        if !self.live.blank {
            self.durable.values = self.live.values.clone();
            self.durable.applied = self.live.applied;
        }
    }

    /// Removes the log up to here, as far as the checkpoint allows; gives how far.
    pub fn compact(&mut self, through: u64) -> u64 {
        let through = through.min(self.durable.applied.seq);
        for image in [&mut self.live, &mut self.durable] {
            if let Some(record) = image.record(through) {
                image.before = Point { term: record.term, seq: through };
                image.records.retain(|record| record.seq > through);
            }
        }
        self.live.before.seq.min(self.durable.before.seq)
    }

    pub fn read(&self, from: u64, bytes: usize) -> Vec<Record> {
        let mut left = bytes;
        let mut records = Vec::new();
        while let Some(record) = self.live.record(from + records.len() as u64) {
            if !records.is_empty() && record.body.len() > left {
                break;
            }
            left = left.saturating_sub(record.body.len());
            records.push(record.clone());
        }
        records
    }

    /// A part of a difference: elements behind the one that was asked for.
    pub fn export(&self, request: &[u8]) -> Bytes {
        let after = request.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let mut part = Vec::new();
        for (seq, op) in self.live.values.appended.range(after + 1..).take(PART) {
            part.extend_from_slice(&seq.to_le_bytes());
            part.extend_from_slice(&body(*op, 0));
        }
        part.into()
    }

    pub fn import_begin(&mut self, id: u64, base: Point) -> Bytes {
        self.live.blank = true;
        self.durable.blank = true;
        self.live.values = Values::default();
        self.import = Some((id, base));
        Bytes::copy_from_slice(&0u64.to_le_bytes())
    }

    /// Eats a part; the next question, or `None` when all is there.
    pub fn import(&mut self, id: u64, part: &[u8]) -> Option<Bytes> {
        let (_, base) = self.import.filter(|(of, _)| *of == id)?;
        let mut last = 0;
        for element in part.chunks(16) {
            let (seq, op_) = element.split_first_chunk()?;
            last = u64::from_le_bytes(*seq);
            self.live.values.appended.insert(last, op(op_)?);
        }
        if !part.is_empty() {
            return Some(Bytes::copy_from_slice(&last.to_le_bytes()));
        }
        self.import = None;
        let values = std::mem::take(&mut self.live.values);
        self.live =
            Image { before: base, records: Vec::new(), values, applied: base, blank: false };
        self.durable = self.live.clone();
        self.writes.clear();
        None
    }

    /// Whether this import is under way.
    pub fn imports(&self, id: u64) -> bool {
        self.import.is_some_and(|(of, _)| of == id)
    }

    /// The process dies: of what was not synced, some is there, in order.
    pub fn crash(&mut self, rng: &mut StdRng) {
        let kept = rng.random_range(0..=self.writes.len());
        let lost = self.writes.split_off(kept);
        for (_, write) in self.writes.drain(..) {
            self.durable.write(&write);
        }
        if let Some((_, Write::Append(records))) = lost.into_iter().next() {
            let torn = rng.random_range(0..=records.len());
            self.durable.write(&Write::Append(records.into_iter().take(torn).collect()));
        }
        self.import = None;
        self.repair();
        self.live = self.durable.clone();
    }

    /// The log may have become shorter than the checkpoint: then it goes on behind that.
    fn repair(&mut self) {
        let image = &mut self.durable;
        if image.last() < image.applied.seq {
            image.records.clear();
            image.before = image.applied;
        }
    }

    /// The end of the log is gone.
    pub fn cut(&mut self, records: usize) {
        let left = self.durable.records.len().saturating_sub(records);
        self.durable.records.truncate(left);
        self.repair();
        self.live = self.durable.clone();
    }
}
