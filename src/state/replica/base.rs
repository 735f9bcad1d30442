//! What a copy has whatever its duty: its log's outline, the table, and how far it has applied.

use bytes::Bytes;

use super::event::{Effect, Opened, Record};
use super::log::Log;
use crate::id::{Incarnation, NodeId};
use crate::wire::Malformed;
use crate::wire::replicas::{Head, Held, MAX_RECORDS, Message, Point, Term, What};
use crate::wire::shards::{Shard, ShardId};

/// See the top.
pub struct Base {
    pub me: NodeId,
    pub start: Incarnation,
    pub shard: ShardId,
    pub table: Option<Shard>,
    pub log: Log,
    /// The highest term heard of; nothing is taken from an older one.
    pub promised: Term,
    /// Committed, as far as this copy knows and has the records.
    pub commit: u64,
    /// Applied.
    pub applied: u64,
    /// The values are not whole.
    pub blank: bool,
    /// The disk failed.
    pub failed: Option<String>,
    /// How often an owner began anew in this start of the node.
    pub attempt: u8,
    /// Imports that were begun.
    pub imports: u64,
    pub out: Vec<Effect>,
}

/// What became of records that were merged.
#[derive(Debug, PartialEq, Eq)]
pub enum Merged {
    /// The log is that of the sender up to here.
    Through(u64),
    /// The record before them is not there.
    Mismatch,
}

impl Base {
    /// With what the store found.
    pub fn new(me: NodeId, start: Incarnation, shard: ShardId, opened: &Opened) -> Self {
        let log = Log::new(opened);
        Self {
            me,
            start,
            shard,
            table: None,
            promised: log.last().term,
            log,
            commit: opened.applied,
            applied: opened.applied,
            blank: opened.blank,
            failed: None,
            attempt: 0,
            imports: 0,
            out: Vec::new(),
        }
    }

    /// The store begins anew after a failure.
    pub fn reopened(&mut self, opened: &Opened) {
        self.log.reopen(opened);
        self.commit = opened.applied;
        self.applied = opened.applied;
        self.blank = opened.blank;
        self.failed = None;
    }

    /// The log goes on behind `base`, and the values are those of then or later.
    pub fn reset(&mut self, base: Point) {
        self.log.reset(base);
        self.commit = base.seq;
        self.applied = base.seq;
        self.blank = false;
    }

    /// What it has.
    pub fn held(&self) -> Held {
        Held { last: self.log.last(), known: self.commit, blank: self.blank }
    }

    /// Sends.
    pub fn send(&mut self, to: NodeId, term: Term, round: u64, what: What, body: Bytes) {
        let message = Message { shard: self.shard, term, round, what };
        self.out.push(Effect::Send { to, message, body });
    }

    /// Everything up to `commit` is committed, of what this copy has; applies what is durable.
    pub fn committed(&mut self, commit: u64) {
        self.commit = self.commit.max(commit.min(self.log.last().seq));
        let through = self.commit.min(self.log.durable());
        if through > self.applied && !self.blank && self.failed.is_none() {
            self.applied = through;
            self.out.push(Effect::Apply { through });
        }
    }

    /// The record behind which another copy, which has this much, can go on by this log; `None` if
    /// the log does not reach back that far.
    pub fn common(&self, held: &Held) -> Option<Point> {
        if held.blank {
            return None;
        }
        if self.log.has(held.last) {
            return Some(held.last);
        }
        // What was committed is the same everywhere.
        self.log.point(held.known.min(self.log.last().seq))
    }

    /// Makes the log equal to that of a sender with this term, as far as the records go.
    pub fn merge(&mut self, prev: Point, records: Vec<Record>) -> Merged {
        let before = self.log.before().seq;
        // What lies before the log's begin was committed, and is the same everywhere.
        if prev.seq >= before && !self.log.has(prev) {
            // What was committed is the same everywhere: if not, this copy is damaged.
            self.blank |= prev.seq <= self.commit;
            return Merged::Mismatch;
        }
        let through = prev.seq + records.len() as u64;
        for record in records.into_iter().filter(|record| record.seq > before) {
            if self.log.term_at(record.seq) == Some(record.term) {
                continue;
            }
            if record.seq <= self.log.last().seq {
                if record.seq <= self.commit {
                    self.blank = true;
                    return Merged::Mismatch;
                }
                self.log.truncate(record.seq - 1, &mut self.out);
            }
            self.log.append(record, &mut self.out);
        }
        Merged::Through(through)
    }
}

/// Cuts a body into records, behind `prev`.
pub fn records(prev: Point, heads: &[Head], body: &Bytes) -> Result<Vec<Record>, Malformed> {
    let bad = |why: &str| Malformed { what: "records of a shard", why: why.to_owned() };
    if heads.len() > MAX_RECORDS {
        return Err(bad("too many"));
    }
    if prev.seq.checked_add(heads.len() as u64).is_none() {
        return Err(bad("numbers beyond the last there is"));
    }
    let (mut at, mut term, mut seq) = (0usize, prev.term, prev.seq);
    let mut records = Vec::with_capacity(heads.len());
    for head in heads {
        let end = at.saturating_add(head.len as usize);
        if end > body.len() || head.term < term {
            return Err(bad("lengths or terms do not fit"));
        }
        seq += 1;
        records.push(Record { term: head.term, seq, body: body.slice(at..end) });
        (at, term) = (end, head.term);
    }
    if at != body.len() {
        return Err(bad("bytes are left over"));
    }
    Ok(records)
}
