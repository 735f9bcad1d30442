//! Bytes kept for a while: outputs and logs too large for a message, and how chained calls ended.
//! Bounded in age and size; pure, time is passed in.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::cell::{CallCell, Ended, Payload};
use super::spec::Spec;
use crate::id::{Attempt, CallId, FunctionKey, Name};

/// What a try of a call made: its log, or else its output.
pub type KeptKey = (CallId, Attempt, bool);

/// Byte strings by key, oldest forgotten first.
#[derive(Debug)]
pub struct Kept<K> {
    age: Duration,
    most: usize,
    bytes: usize,
    by_key: HashMap<K, Bytes>,
    order: VecDeque<(Instant, K)>,
}

impl<K: Copy + Eq + Hash> Kept<K> {
    /// Keeps for `age`, and `most` bytes at most.
    pub fn new(age: Duration, most: usize) -> Self {
        Self { age, most, bytes: 0, by_key: HashMap::new(), order: VecDeque::new() }
    }

    /// Keeps bytes; the oldest make room.
    pub fn keep(&mut self, key: K, bytes: Bytes, now: Instant) {
        self.bytes += bytes.len();
        if let Some(old) = self.by_key.insert(key, bytes) {
            self.bytes -= old.len();
        }
        self.order.push_back((now, key));
        self.trim(now);
    }

    /// The bytes, if they are still here.
    pub fn get(&self, key: K) -> Option<Bytes> {
        self.by_key.get(&key).cloned()
    }

    /// Of what there are bytes, the oldest first.
    pub fn keys(&self) -> Vec<K> {
        let held = self.order.iter().map(|(_, key)| *key);
        held.filter(|key| self.by_key.contains_key(key)).collect()
    }

    /// Forgets what is too old or too much.
    pub fn trim(&mut self, now: Instant) {
        while let Some((at, key)) = self.order.front().copied() {
            if self.bytes <= self.most && now.saturating_duration_since(at) < self.age {
                return;
            }
            self.order.pop_front();
            if let Some(old) = self.by_key.remove(&key) {
                self.bytes -= old.len();
            }
        }
    }
}

/// Most chained calls whose end is remembered.
const RECENT: usize = 20_000;
/// Logs of remembered calls, longest and in total, in bytes.
const RECENT_LOG: usize = 4 << 10;
const RECENT_LOGS: usize = 16 << 20;

/// How a chained call ended, for people who ask by its id.
#[derive(Debug, Clone)]
pub struct RecentEnd {
    /// The call.
    pub call: CallId,
    /// Its function.
    pub key: FunctionKey,
    /// Its parent.
    pub parent: Option<CallId>,
    /// As which try it ended.
    pub attempt: Attempt,
    /// How it ended, without its output.
    pub ended: Ended,
    /// W3C trace id of its tree.
    pub trace: u128,
    at: Instant,
}

/// The ends of chained calls, the newest [`RECENT`].
#[derive(Debug, Default)]
pub struct Recent {
    by_call: HashMap<CallId, RecentEnd>,
    order: VecDeque<CallId>,
    logs: usize,
}

impl Recent {
    /// Remembers an end. The output goes with the parent, which alone can ask for it.
    pub fn push(&mut self, spec: &Spec, cell: &Arc<CallCell>, ended: &Ended, now: Instant) {
        let log = match &ended.log {
            Payload::Here(log) => Payload::Here(log.slice(..log.len().min(RECENT_LOG))),
            at => at.clone(),
        };
        let ended = Ended {
            result: ended.result.clone(),
            output: Payload::Here(Bytes::new()),
            log,
            times: ended.times,
            node: ended.node,
            work: Vec::new(),
            rank: None,
        };
        self.logs += log_len(&ended);
        let key = spec.function.key.clone();
        let end = RecentEnd {
            call: spec.call,
            key,
            parent: spec.parent(),
            attempt: cell.attempt(),
            ended,
            trace: spec.tree.trace,
            at: now,
        };
        match self.by_call.insert(spec.call, end) {
            Some(old) => self.logs -= log_len(&old.ended),
            None => self.order.push_back(spec.call),
        }
        while self.order.len() > RECENT || self.logs > RECENT_LOGS {
            let Some(old) = self.order.pop_front() else { return };
            if let Some(old) = self.by_call.remove(&old) {
                self.logs -= log_len(&old.ended);
            }
        }
    }

    /// Forgets the calls of a user.
    pub fn forget_user(&mut self, user: &Name) {
        let logs = &mut self.logs;
        self.by_call.retain(|_, end| {
            let stays = end.key.user != *user;
            *logs -= if stays { 0 } else { log_len(&end.ended) };
            stays
        });
    }

    /// How a call ended, if it is remembered and not older than `age`.
    pub fn get(&self, call: CallId, age: Duration, now: Instant) -> Option<&RecentEnd> {
        self.by_call.get(&call).filter(|end| now.saturating_duration_since(end.at) < age)
    }
}

fn log_len(ended: &Ended) -> usize {
    match &ended.log {
        Payload::Here(log) => log.len(),
        Payload::At(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_bytes_make_room() {
        let (mut kept, now) = (Kept::new(Duration::from_secs(5), 10), Instant::now());
        kept.keep(1, Bytes::from_static(b"123456"), now);
        kept.keep(2, Bytes::from_static(b"123456"), now);
        assert!(kept.get(1).is_none() && kept.get(2).is_some());
        kept.trim(now + Duration::from_secs(5));
        assert!(kept.get(2).is_none() && kept.bytes == 0);
    }

    #[test]
    fn bytes_kept_again_under_a_key_count_once() {
        let (mut kept, now) = (Kept::new(Duration::from_secs(5), 10), Instant::now());
        for _ in 0..100 {
            kept.keep(1, Bytes::from_static(b"12345678"), now);
        }
        assert_eq!(kept.bytes, 8);
    }
}
