//! The records of root calls that this node keeps for the cluster: bounded in age, number and
//! bytes. Pure; time is passed in.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::id::{CallId, Incarnation, NodeId};
use crate::wire::calls::{Kept, Phase, Record, Work};

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

    /// The bytes that go beside the record in a message.
    pub(super) fn body(&self) -> Bytes {
        [&self.output[..], &self.log[..]].concat().into()
    }

    /// Which request it is of: a key may be claimed again once the request before was refused.
    pub(super) fn request(&self) -> (NodeId, Incarnation, u64, u64) {
        let Record { home, home_incarnation, home_session, requested_us, .. } = self.record;
        (home, home_incarnation, home_session, requested_us)
    }

    /// Whether it is not known yet, to who has this record, that the call was taken.
    pub(super) fn is_claim(&self) -> bool {
        self.record.phase != Phase::Done && self.record.node.is_none()
    }

    /// Whether the call has ended, and was one.
    pub(super) fn has_ended(&self) -> bool {
        self.record.phase == Phase::Done && !self.was_withdrawn()
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

/// A record, and where the vote on its end is.
#[derive(Debug)]
struct Entry {
    at: Instant,
    stored: Stored,
    /// The newest vote that this node takes part in.
    promised: u64,
    /// The end that it took last, and in which vote.
    accepted: Option<(u64, Box<Stored>)>,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.stored.bytes() + self.accepted.as_ref().map_or(0, |(_, stored)| stored.bytes())
    }
}

/// What a node that keeps records says in a vote.
#[derive(Debug)]
pub enum Vote {
    /// As asked, and it took no end before.
    Yes,
    /// It takes part, and took this end in an earlier vote.
    Accepted(u64, Stored),
    /// It knows another end, which is final, or another request.
    Known(Stored),
    /// There was a newer vote.
    No,
}

/// The records.
#[derive(Debug)]
pub struct Records {
    bounds: Bounds,
    kept: HashMap<CallId, Entry>,
    order: VecDeque<(Instant, CallId)>,
    bytes: usize,
}

impl Records {
    /// None yet.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, kept: HashMap::new(), order: VecDeque::new(), bytes: 0 }
    }

    /// Keeps a record, unless what is known of the call says more: the first end counts, and what is
    /// told of another request under the same key counts only once this one was withdrawn, or, if it
    /// is an end, when the session of the known one's home is over (`over`).
    pub fn keep(&mut self, stored: Stored, over: impl Fn(&Record) -> bool, now: Instant) {
        let (mut promised, mut accepted) = (0, None);
        if let Some(entry) = self.kept.get_mut(&stored.record.call) {
            let known = &entry.stored;
            let same = known.request() == stored.request();
            let counts = match (known.was_withdrawn(), known.has_ended()) {
                (true, _) => stored.has_ended() || (!same && !stored.was_withdrawn()),
                (false, true) => false,
                (false, false) => same || (stored.has_ended() && over(&known.record)),
            };
            if !counts {
                return;
            }
            if same && stored.record.phase != Phase::Done {
                self.bytes -= entry.accepted.as_ref().map_or(0, |(_, stored)| stored.bytes());
                (promised, accepted) = (entry.promised, entry.accepted.take());
            }
        }
        self.put(Entry { at: now, stored, promised, accepted });
    }

    fn put(&mut self, entry: Entry) {
        let (now, call) = (entry.at, entry.stored.record.call);
        self.bytes += entry.bytes();
        if let Some(old) = self.kept.insert(call, entry) {
            self.bytes -= old.bytes();
        }
        self.order.push_back((now, call));
        if self.order.len() > 2 * self.kept.len() + SLACK {
            // Records that changed often, behind one that did not.
            let kept = &self.kept;
            self.order.retain(|(at, call)| kept.get(call).is_some_and(|entry| entry.at == *at));
        }
        self.trim(now);
    }

    /// Keeps a record unless the call has one, which is then the answer.
    pub fn claim(&mut self, stored: Stored, now: Instant) -> Option<Stored> {
        self.trim(now);
        if let Some(Entry { stored: known, .. }) = self.kept.get(&stored.record.call) {
            let same = known.request() == stored.request();
            // A claim may come behind its own withdrawal.
            if known.was_withdrawn() == same {
                return Some(known.clone());
            }
            if same {
                return None;
            }
        }
        self.put(Entry { at: now, stored, promised: 0, accepted: None });
        None
    }

    /// Takes part in a vote on the end of a call, and in none before it. A claim whose home's session
    /// is over, `over`, does not stand against a vote on another request.
    pub fn prepare(
        &mut self,
        vote: u64,
        stored: Stored,
        over: impl Fn(&Record) -> bool,
        now: Instant,
    ) -> Vote {
        let entry = match self.votable(&stored, over) {
            Err(known) => return Vote::Known(*known),
            Ok(None) => {
                self.put(Entry { at: now, stored, promised: vote, accepted: None });
                return Vote::Yes;
            }
            Ok(Some(entry)) => entry,
        };
        if vote <= entry.promised {
            return Vote::No;
        }
        entry.promised = vote;
        match &entry.accepted {
            None => Vote::Yes,
            Some((number, end)) => Vote::Accepted(*number, (**end).clone()),
        }
    }

    /// Takes an end in a vote; it counts when it is told by [`Records::keep`].
    pub fn accept(
        &mut self,
        vote: u64,
        end: Stored,
        over: impl Fn(&Record) -> bool,
        now: Instant,
    ) -> Vote {
        let (mut stored, mut promised) = (running(&end), 0);
        match self.votable(&end, over) {
            Err(known) if known.record.result == end.record.result => return Vote::Yes,
            Err(known) => return Vote::Known(*known),
            Ok(None) => {}
            Ok(Some(entry)) => {
                stored = entry.stored.clone();
                promised = entry.promised;
            }
        }
        if vote < promised {
            return Vote::No;
        }
        self.put(Entry { at: now, stored, promised: vote, accepted: Some((vote, Box::new(end))) });
        Vote::Yes
    }

    /// What is kept of the call while it may still end in any way, or why there can be no vote on
    /// this request.
    fn votable(
        &mut self,
        stored: &Stored,
        over: impl Fn(&Record) -> bool,
    ) -> Result<Option<&mut Entry>, Box<Stored>> {
        let Some(entry) = self.kept.get_mut(&stored.record.call) else { return Ok(None) };
        let known = &entry.stored;
        let same = known.request() == stored.request();
        match known.was_withdrawn() {
            true if !same => Ok(None),
            false if !known.has_ended() && (same || over(&known.record)) => Ok(Some(entry)),
            _ => Err(Box::new(known.clone())),
        }
    }

    /// The records that changed since then, the newest, at most so many.
    pub fn since(&self, since: Option<Instant>, most: usize) -> Vec<Stored> {
        let young = self.order.iter().rev().take_while(|(at, _)| since.is_none_or(|s| *at >= s));
        let current = young.filter_map(|(at, call)| {
            self.kept.get(call).filter(|entry| entry.at == *at).map(|entry| &entry.stored)
        });
        current.take(most).cloned().collect()
    }

    /// The record of a call.
    pub fn get(&self, call: CallId) -> Option<&Stored> {
        self.kept.get(&call).map(|entry| &entry.stored)
    }

    /// The calls that have one, the oldest first.
    pub fn calls(&self) -> Vec<CallId> {
        let mut calls: Vec<_> = self.kept.iter().map(|(call, entry)| (entry.at, *call)).collect();
        calls.sort_unstable();
        calls.into_iter().map(|(_, call)| call).collect()
    }

    /// Forgets the records of a user.
    pub fn forget_user(&mut self, user: &str) {
        let mut gone = 0;
        self.kept.retain(|_, entry| {
            let stays = entry.stored.record.user != user;
            gone += if stays { 0 } else { entry.bytes() };
            stays
        });
        self.bytes -= gone;
    }

    /// Forgets what is too old or too much, oldest first.
    pub fn trim(&mut self, now: Instant) {
        while let Some((at, call)) = self.order.front().copied() {
            let old = now.saturating_duration_since(at) >= self.bounds.age;
            let much = self.kept.len() > self.bounds.count || self.bytes > self.bounds.bytes;
            let current = self.kept.get(&call).is_some_and(|entry| entry.at == at);
            if current && !old && !much {
                return;
            }
            self.order.pop_front();
            if current && let Some(entry) = self.kept.remove(&call) {
                self.bytes -= entry.bytes();
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

/// The record as it was before this end.
fn running(end: &Stored) -> Stored {
    let mut record = end.record.clone();
    (record.phase, record.result) = (Phase::Running, None);
    (record.output, record.log) = (Kept::Inline(0), Kept::Inline(0));
    record.work.clear();
    Stored { record, output: Bytes::new(), log: Bytes::new() }
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
