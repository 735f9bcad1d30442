//! What a copy knows of its log: where it begins and ends, whose records it holds, how much of it
//! is durable. The records themselves are the store's.

use std::collections::VecDeque;

use super::event::{Effect, Opened, Record};
use crate::wire::replicas::{Point, Term};

/// The outline of a log.
#[derive(Debug)]
pub struct Log {
    before: Point,
    starts: Vec<(Term, u64)>,
    last: u64,
    durable: u64,
    op: u64,
    /// Writes under way: their number, and the last record after each.
    writes: VecDeque<(u64, u64)>,
}

impl Log {
    /// Of what the store found; all of it is durable.
    pub fn new(opened: &Opened) -> Self {
        Self {
            before: opened.before,
            starts: opened.starts.clone(),
            last: opened.last.max(opened.before.seq),
            durable: opened.last.max(opened.before.seq),
            op: 0,
            writes: VecDeque::new(),
        }
    }

    /// Begins anew with what the store found; writes under way are forgotten.
    pub fn reopen(&mut self, opened: &Opened) {
        let op = self.op;
        *self = Self { op, ..Self::new(opened) };
    }

    /// Becomes empty and goes on behind `base`.
    pub fn reset(&mut self, base: Point) {
        self.reopen(&Opened { before: base, last: base.seq, ..Opened::default() });
    }

    /// The record before the first.
    pub fn before(&self) -> Point {
        self.before
    }

    /// The last record.
    pub fn last(&self) -> Point {
        let term = self.starts.last().map_or(self.before.term, |(term, _)| *term);
        Point { term, seq: self.last }
    }

    /// Up to here it is durable.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// The term of a record; `None` if it is not there any more, or not yet.
    pub fn term_at(&self, seq: u64) -> Option<Term> {
        if seq == self.before.seq {
            return Some(self.before.term);
        }
        if seq < self.before.seq || seq > self.last {
            return None;
        }
        self.starts.iter().rev().find(|(_, first)| *first <= seq).map(|(term, _)| *term)
    }

    /// The point of a record.
    pub fn point(&self, seq: u64) -> Option<Point> {
        self.term_at(seq).map(|term| Point { term, seq })
    }

    /// Whether it has this very record, or has had it.
    pub fn has(&self, point: Point) -> bool {
        self.term_at(point.seq) == Some(point.term)
    }

    /// Appends a record behind the last; joins it to the write before if nothing came between.
    pub fn append(&mut self, record: Record, out: &mut Vec<Effect>) {
        self.last = record.seq;
        if self.starts.last().is_none_or(|(term, _)| *term != record.term) {
            self.starts.push((record.term, record.seq));
        }
        if let Some(Effect::Append { records, .. }) = out.last_mut() {
            records.push(record);
            if let Some((_, last)) = self.writes.back_mut() {
                *last = self.last;
            }
            return;
        }
        self.op += 1;
        self.writes.push_back((self.op, self.last));
        out.push(Effect::Append { op: self.op, records: vec![record] });
    }

    /// Removes what is behind `after`.
    pub fn truncate(&mut self, after: u64, out: &mut Vec<Effect>) {
        if after >= self.last {
            return;
        }
        self.last = after;
        self.durable = self.durable.min(after);
        self.starts.retain(|(_, first)| *first <= after);
        for (_, last) in &mut self.writes {
            *last = (*last).min(after);
        }
        self.op += 1;
        self.writes.push_back((self.op, after));
        out.push(Effect::Truncate { op: self.op, after });
    }

    /// All writes up to this one are durable.
    pub fn synced(&mut self, op: u64) {
        while let Some((number, last)) = self.writes.front().copied() {
            if number > op {
                return;
            }
            self.durable = self.durable.max(last);
            self.writes.pop_front();
        }
    }

    /// The records up to this one were removed.
    pub fn compacted(&mut self, through: u64) {
        let Some(point) = self.point(through) else { return };
        self.before = point;
        let later = self.starts.iter().skip(1).map(|(_, first)| *first);
        let gone = later.take_while(|first| *first <= through + 1).count();
        self.starts.drain(..gone);
        if self.last == through {
            self.starts.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn record(term: u64, seq: u64) -> Record {
        Record { term: Term(term), seq, body: Bytes::new() }
    }

    fn of(terms: &[u64]) -> (Log, Vec<Effect>) {
        let (mut log, mut out) = (Log::new(&Opened::default()), Vec::new());
        for (at, term) in terms.iter().enumerate() {
            log.append(record(*term, at as u64 + 1), &mut out);
        }
        (log, out)
    }

    #[test]
    fn terms_are_known_through_truncation_and_compaction() {
        let (mut log, mut out) = of(&[1, 1, 2, 2, 5]);
        let terms = |log: &Log| (0..7).map(|seq| log.term_at(seq).map(|t| t.0)).collect::<Vec<_>>();
        assert_eq!(
            terms(&log),
            [0, 1, 1, 2, 2, 5].map(Some).into_iter().chain([None]).collect::<Vec<_>>()
        );
        log.compacted(3);
        assert_eq!(terms(&log), [None, None, None, Some(2), Some(2), Some(5), None]);
        log.truncate(4, &mut out);
        assert_eq!(log.last(), Point { term: Term(2), seq: 4 });
        log.append(record(6, 5), &mut out);
        log.compacted(5);
        assert_eq!(terms(&log), [None, None, None, None, None, Some(6), None]);
        log.append(record(6, 6), &mut out);
        assert_eq!(log.term_at(6), Some(Term(6)));
    }

    #[test]
    fn a_sync_of_what_was_truncated_makes_nothing_durable() {
        let (mut log, mut out) = of(&[1, 1, 1]);
        log.synced(1);
        assert_eq!(log.durable(), 3);
        out.clear();
        log.append(record(1, 4), &mut out);
        log.truncate(2, &mut out);
        assert_eq!(log.durable(), 2);
        log.append(record(2, 3), &mut out);
        log.synced(2);
        assert_eq!(log.durable(), 2, "the fourth record of the old term is gone");
        log.synced(4);
        assert_eq!(log.durable(), 3);
    }
}
