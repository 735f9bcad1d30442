//! This node's own session: opened at the start and whenever it ended, renewed with the leader.
//! Pure. It is live until a session's length after the last granted renewal was *sent*, on this
//! node's monotonic clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::id::{Incarnation, NodeId};
use crate::wire::consensus::{Renewal, SessionId};

/// Renewals go out this often per session length: several may be lost.
const RENEWALS: u32 = 6;
/// Renewals remembered that were not answered.
const MAX_UNANSWERED: usize = 64;

/// What is to be done for the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Propose to open it.
    Open,
    /// Send this to the leader.
    Renew(NodeId, Renewal),
}

/// The session of one life of a node.
#[derive(Debug)]
pub struct Keeper {
    node: NodeId,
    incarnation: Incarnation,
    length: Duration,
    session: Option<SessionId>,
    opening: bool,
    closed: bool,
    live_until: Option<Instant>,
    leader: Option<NodeId>,
    number: u64,
    sent: BTreeMap<u64, Instant>,
    last_sent: Option<Instant>,
}

impl Keeper {
    /// No session yet. Renewals are numbered after `after`.
    pub fn new(node: NodeId, incarnation: Incarnation, length: Duration, after: u64) -> Self {
        Self {
            node,
            incarnation,
            length,
            session: None,
            opening: false,
            closed: false,
            live_until: None,
            leader: None,
            number: after,
            sent: BTreeMap::new(),
            last_sent: None,
        }
    }

    /// Until when the session is live; `None` when it is not.
    pub fn live_until(&self) -> Option<Instant> {
        self.live_until
    }

    /// The session, if it is open.
    pub fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// A session of any node was opened. It is this node's only if it is of this life: after a
    /// restart the log still tells of older ones.
    pub fn opened(&mut self, id: SessionId) {
        if id.node == self.node && id.incarnation == self.incarnation {
            self.forget();
            self.session = Some(id);
        }
    }

    /// A session of any node ended.
    pub fn ended(&mut self, id: SessionId) {
        if self.session == Some(id) {
            self.forget();
        }
    }

    /// A proposal to open it was settled or given up.
    pub fn open_settled(&mut self) {
        self.opening = false;
    }

    /// The node stops: the session is not live from now on. Gives it, to be ended.
    pub fn close(&mut self) -> Option<SessionId> {
        self.closed = true;
        self.live_until = None;
        self.sent.clear();
        self.session
    }

    fn forget(&mut self) {
        self.session = None;
        self.live_until = None;
        self.sent.clear();
        self.last_sent = None;
    }

    /// What is to be done now; `applied` goes into the renewal. To be asked at each tick, and at
    /// once when something changed.
    pub fn next(&mut self, leader: Option<NodeId>, applied: u64, now: Instant) -> Option<Deed> {
        if self.closed {
            return None;
        }
        let Some(session) = self.session else {
            let open = !self.opening;
            self.opening = true;
            return open.then_some(Deed::Open);
        };
        let changed = std::mem::replace(&mut self.leader, leader) != leader;
        let due = self
            .last_sent
            .is_none_or(|at| now.saturating_duration_since(at) >= self.length / RENEWALS);
        let leader = leader.filter(|_| changed || due)?;
        self.number += 1;
        self.sent.insert(self.number, now);
        self.last_sent = Some(now);
        if self.sent.len() > MAX_UNANSWERED {
            self.sent.pop_first();
        }
        Some(Deed::Renew(leader, Renewal { session, number: self.number, applied }))
    }

    /// A renewal was granted.
    pub fn renewed(&mut self, session: SessionId, number: u64) {
        if self.closed || self.session != Some(session) {
            return;
        }
        let Some(sent) = self.sent.get(&number).copied() else { return };
        self.sent = self.sent.split_off(&(number + 1));
        let until = sent + self.length;
        self.live_until = Some(self.live_until.map_or(until, |old| old.max(until)));
    }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
