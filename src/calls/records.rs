//! The records of root calls that this node keeps for the cluster: bounded in age, number and
//! bytes. Pure; time is passed in.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::id::CallId;
use crate::wire::calls::{Phase, Record, Work};

/// Changes that may be remembered beyond two for each record.
const SLACK: usize = 64;

/// A record with the bytes that came beside it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The record.
    pub record: Record,
    /// Its inline output.
    pub output: Bytes,
    /// Its inline log.
    pub log: Bytes,
}

impl Stored {
    /// What it takes beside a fixed part. Its texts count too: they come from peers.
    fn bytes(&self) -> usize {
        let Record { user, name, result, work, .. } = &self.record;
        let detail = match result {
            Some(Err(error)) => error.detail.len(),
            _ => 0,
        };
        let work: usize = work.iter().map(|row| size_of::<Work>() + row.function.len()).sum();
        self.output.len() + self.log.len() + user.len() + name.len() + detail + work
    }

    /// Whether the call was never placed anywhere: its request failed, and may be made again.
    pub(super) fn was_withdrawn(&self) -> bool {
        let Record { phase, result, node, .. } = &self.record;
        *phase == Phase::Done && matches!(result, Some(Err(_))) && node.is_none()
    }
}

/// What a node keeps at most.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// For how long after the last change.
    pub age: Duration,
    /// How many.
    pub count: usize,
    /// Bytes of output and log beside them, and of their texts.
    pub bytes: usize,
}

/// The records.
#[derive(Debug)]
pub struct Records {
    bounds: Bounds,
    kept: HashMap<CallId, (Instant, Stored)>,
    order: VecDeque<(Instant, CallId)>,
    bytes: usize,
}

impl Records {
    /// None yet.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, kept: HashMap::new(), order: VecDeque::new(), bytes: 0 }
    }

    /// Keeps a record; one that ended is never replaced by one that had not.
    pub fn keep(&mut self, stored: Stored, now: Instant) {
        let call = stored.record.call;
        let ended = stored.record.phase == Phase::Done;
        if let Some((_, known)) = self.kept.get(&call) {
            if known.record.phase == Phase::Done && !ended {
                return;
            }
            let life = |stored: &Stored| (stored.record.home, stored.record.home_incarnation);
            if stored.was_withdrawn() && life(known) != life(&stored) {
                return;
            }
            self.bytes -= known.bytes();
        }
        self.bytes += stored.bytes();
        self.kept.insert(call, (now, stored));
        self.order.push_back((now, call));
        if self.order.len() > 2 * self.kept.len() + SLACK {
            // Records that changed often, behind one that did not.
            let kept = &self.kept;
            self.order
                .retain(|(at, call)| kept.get(call).is_some_and(|(kept_at, _)| kept_at == at));
        }
        self.trim(now);
    }

    /// Keeps a record unless the call has one, which is then the answer.
    pub fn claim(&mut self, stored: Stored, now: Instant) -> Option<Stored> {
        self.trim(now);
        if let Some((_, known)) = self.kept.get(&stored.record.call)
            && !known.was_withdrawn()
        {
            return Some(known.clone());
        }
        self.forget(stored.record.call);
        self.keep(stored, now);
        None
    }

    fn forget(&mut self, call: CallId) {
        if let Some((_, old)) = self.kept.remove(&call) {
            self.bytes -= old.bytes();
        }
    }

    /// The records that changed since then, the newest, at most so many.
    pub fn since(&self, since: Option<Instant>, most: usize) -> Vec<Stored> {
        let young = self.order.iter().rev().take_while(|(at, _)| since.is_none_or(|s| *at >= s));
        let current = young.filter_map(|(at, call)| {
            self.kept.get(call).filter(|(kept_at, _)| kept_at == at).map(|(_, stored)| stored)
        });
        current.take(most).cloned().collect()
    }

    /// The record of a call.
    pub fn get(&self, call: CallId) -> Option<&Stored> {
        self.kept.get(&call).map(|(_, stored)| stored)
    }

    /// The calls that have one, the oldest first.
    pub fn calls(&self) -> Vec<CallId> {
        let mut calls: Vec<_> = self.kept.iter().map(|(call, (at, _))| (*at, *call)).collect();
        calls.sort_unstable();
        calls.into_iter().map(|(_, call)| call).collect()
    }

    /// Forgets the records of a user.
    pub fn forget_user(&mut self, user: &str) {
        let mut gone = 0;
        self.kept.retain(|_, (_, stored)| {
            let stays = stored.record.user != user;
            gone += if stays { 0 } else { stored.bytes() };
            stays
        });
        self.bytes -= gone;
    }

    /// Forgets what is too old or too much, oldest first.
    pub fn trim(&mut self, now: Instant) {
        while let Some((at, call)) = self.order.front().copied() {
            let old = now.saturating_duration_since(at) >= self.bounds.age;
            let much = self.kept.len() > self.bounds.count || self.bytes > self.bounds.bytes;
            let current = self.kept.get(&call).is_some_and(|(kept_at, _)| *kept_at == at);
            if current && !old && !much {
                return;
            }
            self.order.pop_front();
            if current && let Some((_, stored)) = self.kept.remove(&call) {
                self.bytes -= stored.bytes();
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::{CallError, Errno};
    use crate::id::{Attempt, Incarnation, NodeId};
    use crate::wire::calls::{Kept, Times};

    fn stored(call: u128, phase: Phase, output: &'static [u8]) -> Stored {
        let record = Record {
            call: CallId(call),
            user: "u".into(),
            name: "f".into(),
            parent: None,
            home: NodeId(1),
            home_incarnation: Incarnation(1),
            home_session: 1,
            node: None,
            attempt: Attempt(0),
            phase,
            result: None,
            output: Kept::Inline(output.len() as u64),
            log: Kept::Inline(0),
            times: Times::default(),
            requested_us: 0,
            work: Vec::new(),
            trace: 0,
            job: None,
        };
        Stored { record, output: Bytes::from_static(output), log: Bytes::new() }
    }

    fn records(count: usize, bytes: usize) -> Records {
        Records::new(Bounds { age: Duration::from_secs(10), count, bytes })
    }

    #[test]
    fn the_oldest_go_first_by_age_number_and_bytes() {
        let (mut records, now) = (records(2, 9), Instant::now());
        for call in 1..=3 {
            records.keep(stored(call, Phase::Done, b"x"), now);
        }
        assert!(records.get(CallId(1)).is_none() && records.get(CallId(3)).is_some());
        records.keep(stored(4, Phase::Done, b"12345"), now);
        assert!(records.get(CallId(3)).is_none() && records.get(CallId(4)).is_some());
        records.trim(now + Duration::from_secs(10));
        assert!(records.is_empty() && records.bytes == 0 && records.order.is_empty());
    }

    #[test]
    fn a_record_that_changes_often_leaves_no_trail() {
        let (mut records, now) = (records(9, 9), Instant::now());
        records.keep(stored(1, Phase::Done, b"x"), now);
        for n in 0..10_000 {
            records.keep(stored(2, Phase::Running, b""), now + Duration::from_micros(n));
        }
        assert!(records.order.len() <= 4 + SLACK, "{} changes", records.order.len());
        assert_eq!((records.len(), records.bytes), (2, 5));
    }

    #[test]
    fn the_texts_of_records_count() {
        let (mut records, now) = (records(9, 100), Instant::now());
        for call in 1..=9 {
            let mut long = stored(call, Phase::Done, b"");
            long.record.name = "x".repeat(60);
            records.keep(long, now);
        }
        assert_eq!(records.len(), 1);
    }

    #[test]
    fn the_records_of_one_user_are_forgotten() {
        let (mut records, now) = (records(9, 9), Instant::now());
        records.keep(stored(1, Phase::Done, b"x"), now);
        let mut other = stored(2, Phase::Done, b"yy");
        other.record.user = "v".into();
        records.keep(other, now);
        records.forget_user("u");
        assert!(records.get(CallId(1)).is_none() && records.get(CallId(2)).is_some());
        assert_eq!(records.bytes, records.get(CallId(2)).map_or(0, Stored::bytes));
        records.trim(now + Duration::from_secs(10));
        assert!(records.is_empty() && records.order.is_empty());
    }

    #[test]
    fn a_late_message_does_not_undo_the_end() {
        let (mut records, now) = (records(9, 9), Instant::now());
        records.keep(stored(1, Phase::Done, b"x"), now);
        records.keep(stored(1, Phase::Running, b""), now);
        assert_eq!(records.get(CallId(1)).unwrap().record.phase, Phase::Done);
    }

    #[test]
    fn a_second_claim_gets_the_first_record() {
        let (mut records, now) = (records(9, 9), Instant::now());
        assert!(records.claim(stored(1, Phase::Queued, b""), now).is_none());
        let mut second = stored(1, Phase::Queued, b"");
        second.record.home = NodeId(2);
        assert_eq!(records.claim(second, now).unwrap().record.home, NodeId(1));
    }

    #[test]
    fn a_withdrawn_claim_leaves_its_key_free() {
        let (mut records, now) = (records(9, 900), Instant::now());
        let mut withdrawn = stored(1, Phase::Done, b"");
        withdrawn.record.result = Some(Err(CallError::new(Errno::Full, "no room")));
        records.keep(withdrawn.clone(), now);
        assert!(records.claim(stored(1, Phase::Queued, b""), now).is_none());
        records.keep(stored(2, Phase::Running, b""), now);
        let mut of_another = withdrawn.clone();
        of_another.record.call = CallId(2);
        of_another.record.home = NodeId(7);
        records.keep(of_another, now);
        assert_eq!(records.get(CallId(2)).unwrap().record.phase, Phase::Running);
        withdrawn.record.node = Some(NodeId(1));
        records.keep(withdrawn, now);
        assert!(records.claim(stored(1, Phase::Queued, b""), now).is_some(), "that one ran");
    }

    #[test]
    fn an_updated_record_lives_from_its_last_update() {
        let (mut records, now) = (records(9, 9), Instant::now());
        records.keep(stored(1, Phase::Queued, b""), now);
        let later = now + Duration::from_secs(6);
        records.keep(stored(1, Phase::Done, b"x"), later);
        records.trim(now + Duration::from_secs(11));
        assert!(records.get(CallId(1)).is_some());
        records.trim(later + Duration::from_secs(10));
        assert!(records.is_empty());
    }
}
