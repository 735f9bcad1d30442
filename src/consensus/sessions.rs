//! The leader's memory of session renewals. Pure.
//!
//! A node counts its session from the moment it *sent* a renewal that was granted. So the leader
//! may declare a session over once it waited a session's length and 10 % (for clocks that run
//! apart) after the last renewal that it may have granted. Three rules make that safe:
//! - a renewal is granted only after a majority confirmed, later than the renewal came, that this
//!   member still leads: no other member can have begun to count before the renewal was sent;
//! - a new leader grants nothing before it has applied an entry of its own term (an expiry that an
//!   older leader proposed is then decided), and gives every session a full term from then on;
//! - once an expiry is proposed, that session is not renewed until the outcome is known.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::id::NodeId;
use crate::wire::consensus::{Renewal, SessionId};

/// Confirmations asked for and not yet come; older ones are forgotten, the nodes renew again.
const MAX_ROUNDS: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lease {
    id: SessionId,
    renewed: Instant,
    applied: u64,
    expiring: Option<Instant>,
}

/// What the leader knows of the sessions; empty on every other member.
#[derive(Debug)]
pub struct Sessions {
    length: Duration,
    leads: bool,
    leases: BTreeMap<NodeId, Lease>,
    waiting: BTreeMap<NodeId, Renewal>,
    rounds: BTreeMap<u64, Vec<Renewal>>,
    round: u64,
    looked: Option<Instant>,
}

impl Sessions {
    /// For sessions of this length. This member does not lead. Confirmations are numbered after
    /// `after`.
    pub fn new(length: Duration, after: u64) -> Self {
        Self {
            length,
            leads: false,
            leases: BTreeMap::new(),
            waiting: BTreeMap::new(),
            rounds: BTreeMap::new(),
            round: after,
            looked: None,
        }
    }

    /// Whether this member grants renewals.
    pub fn leads(&self) -> bool {
        self.leads
    }

    /// This member leads and has applied an entry of its term: all sessions get a full term.
    pub fn lead(&mut self, sessions: impl IntoIterator<Item = SessionId>, now: Instant) {
        self.depose();
        self.leads = true;
        self.looked = Some(now);
        sessions.into_iter().for_each(|id| self.opened(id, now));
    }

    /// This member does not lead any more.
    pub fn depose(&mut self) {
        self.leads = false;
        self.leases.clear();
        self.waiting.clear();
        self.rounds.clear();
    }

    /// A session was opened.
    pub fn opened(&mut self, id: SessionId, now: Instant) {
        if self.leads {
            let lease = Lease { id, renewed: now, applied: id.opened, expiring: None };
            self.leases.insert(id.node, lease);
        }
    }

    /// A session ended.
    pub fn ended(&mut self, id: SessionId) {
        if self.leases.get(&id.node).is_some_and(|lease| lease.id == id) {
            self.leases.remove(&id.node);
        }
    }

    /// A node asks for a renewal; it is granted (or not) by [`Sessions::confirmed`].
    pub fn renew(&mut self, renewal: Renewal) {
        if self.renewable(&renewal) {
            self.waiting.insert(renewal.session.node, renewal);
        }
    }

    fn renewable(&self, renewal: &Renewal) -> bool {
        let lease = self.leases.get(&renewal.session.node);
        lease.is_some_and(|lease| lease.id == renewal.session && lease.expiring.is_none())
    }

    /// The number of a confirmation to ask for now, if a renewal waits for one.
    pub fn ask(&mut self) -> Option<u64> {
        if self.waiting.is_empty() {
            return None;
        }
        self.round += 1;
        let renewals = std::mem::take(&mut self.waiting).into_values().collect();
        self.rounds.insert(self.round, renewals);
        if self.rounds.len() > MAX_ROUNDS {
            self.rounds.pop_first();
        }
        Some(self.round)
    }

    /// A majority confirmed, after `round` was asked for, that this member leads. Gives the
    /// renewals that are granted.
    pub fn confirmed(&mut self, round: u64, now: Instant) -> Vec<Renewal> {
        let later = self.rounds.split_off(&round.saturating_add(1));
        let confirmed = std::mem::replace(&mut self.rounds, later);
        let mut granted = Vec::new();
        for renewal in confirmed.into_values().flatten() {
            if !self.renewable(&renewal) {
                continue;
            }
            if let Some(lease) = self.leases.get_mut(&renewal.session.node) {
                // The time of the grant rather than that of the renewal: later is always safe.
                lease.renewed = now;
                lease.applied = lease.applied.max(renewal.applied);
                granted.push(renewal);
            }
        }
        granted
    }

    /// The sessions whose expiry is to be proposed now. Also after a time without an outcome: the
    /// proposal may not have reached the log.
    pub fn expire(&mut self, now: Instant) -> Vec<SessionId> {
        if !self.leads {
            return Vec::new();
        }
        let patience = self.length + self.length / 10;
        let paused =
            self.looked.is_some_and(|at| now.saturating_duration_since(at) > self.length / 3);
        self.looked = Some(now);
        if paused {
            // This process stood still; the renewals of that time still wait to be read.
            self.leases.values_mut().for_each(|lease| lease.renewed = now);
            return Vec::new();
        }
        let mut over = Vec::new();
        for lease in self.leases.values_mut() {
            let since = lease.expiring.unwrap_or(lease.renewed);
            if now.saturating_duration_since(since) >= patience {
                lease.expiring = Some(now);
                over.push(lease.id);
            }
        }
        over
    }

    /// The expiry of a session was not proposed after all; it is tried again.
    pub fn not_proposed(&mut self, id: SessionId) {
        if let Some(lease) = self.leases.get_mut(&id.node).filter(|lease| lease.id == id) {
            lease.expiring = None;
        }
    }

    /// How far the live node that is furthest behind has applied, as its renewals say.
    pub fn slowest(&self) -> Option<u64> {
        self.leases.values().map(|lease| lease.applied).min()
    }
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
