//! What an owner knows of one copy, and what is on the way to it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::wire::replicas::Point;

/// Most bytes on the way to a copy.
pub const MAX_INFLIGHT: usize = 4 << 20;
/// Most messages on the way to a copy.
pub const MAX_MESSAGES: usize = 64;
/// After this long without an answer, what is on the way is taken for lost.
pub const RESEND: Duration = Duration::from_millis(300);
/// A copy that has all is told so this often.
pub const BEAT: Duration = Duration::from_secs(5);
/// A copy that was not heard for this long does not hold the log back, nor a difference.
pub const ABSENT: Duration = Duration::from_secs(60);

/// How it is brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// One message at a time, until its place in the log is found.
    Probing,
    /// By the log.
    Streaming,
    /// By a difference; then by the log behind this point.
    Difference(Point),
}

/// See the top.
#[derive(Debug)]
pub struct Progress {
    /// Drawn anew whenever all begins anew.
    pub round: u64,
    pub way: Way,
    /// The next record to send.
    pub next: u64,
    /// Up to here it is durable there, and the same.
    pub matched: u64,
    /// The commit position that it was told last.
    pub told: u64,
    /// Ends and sizes of what is on the way.
    inflight: VecDeque<(u64, usize)>,
    bytes: usize,
    /// A read of the log for it, since then.
    pub reading: Option<Instant>,
    /// The part that the store makes for it, since then.
    pub exporting: Option<(u64, Instant)>,
    pub sent: Option<Instant>,
    pub heard: Instant,
}

impl Progress {
    /// Of a copy that nothing is known of; it is asked at its log's end.
    pub fn new(round: u64, next: u64, now: Instant) -> Self {
        Self {
            round,
            way: Way::Probing,
            next,
            matched: 0,
            told: 0,
            inflight: VecDeque::new(),
            bytes: 0,
            reading: None,
            exporting: None,
            sent: None,
            heard: now,
        }
    }

    /// Begins anew in this way, from `next`.
    pub fn restart(&mut self, round: u64, way: Way, next: u64) {
        let heard = self.heard;
        *self = Self { way, heard, ..Self::new(round, next, heard) };
    }

    /// Whether something more may be sent at once.
    pub fn has_room(&self) -> bool {
        match self.way {
            Way::Probing => self.inflight.is_empty(),
            Way::Streaming => self.bytes < MAX_INFLIGHT && self.inflight.len() < MAX_MESSAGES,
            Way::Difference(_) => false,
        }
    }

    /// Notes a message with records up to `last`.
    pub fn sent(&mut self, last: u64, bytes: usize, now: Instant) {
        self.inflight.push_back((last, bytes));
        self.bytes += bytes;
        self.next = last + 1;
        self.sent = Some(now);
    }

    /// It has everything up to here.
    pub fn acked(&mut self, through: u64, now: Instant) {
        self.heard = now;
        self.matched = self.matched.max(through);
        self.next = self.next.max(self.matched + 1);
        self.way = Way::Streaming;
        while let Some((last, bytes)) = self.inflight.front().copied() {
            if last > through {
                break;
            }
            self.bytes -= bytes;
            self.inflight.pop_front();
        }
    }

    /// What is on the way was lost, or does not fit: goes on from `next`, carefully.
    pub fn probe(&mut self, next: u64) {
        self.way = Way::Probing;
        self.next = next;
        self.inflight.clear();
        self.bytes = 0;
        self.reading = None;
    }

    /// Where to begin again: behind what it has, or at the log's end to hear what it has.
    pub fn resume_at(&self, last: u64) -> u64 {
        if self.matched == 0 { last + 1 } else { self.matched.min(last) + 1 }
    }

    /// Whether what was sent last should have been answered.
    pub fn is_overdue(&self, now: Instant) -> bool {
        let waits = !self.inflight.is_empty() || matches!(self.way, Way::Difference(_));
        waits && self.sent.is_none_or(|sent| now >= sent + RESEND) && now >= self.heard + RESEND
    }
}
