//! The owner: takes records, sends them on, commits and settles.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use super::base::Base;
use super::event::{Effect, Record, Settled, Ticket};
use super::handover::Handing;
use super::progress::Progress;
use super::proposals::Proposals;
use super::takeover::{Adopting, Asking};
use super::window::Window;
use super::{MAX_UNCOMMITTED, MAX_UNCOMMITTED_RECORDS, Role, WriteError};
use crate::id::NodeId;
use crate::wire::Malformed;
use crate::wire::replicas::{MAX_BODY, Message, Term, What};

/// How far it has come.
pub enum Stage {
    /// Asks the members what they have.
    Asking(Asking),
    /// Takes over a tail that is greater than its own.
    Adopting(Adopting),
    /// Makes its first record durable on the set.
    Settling { first: u64 },
    /// Serves.
    Serving,
    /// Its copy is damaged: another is to own the shard.
    StandingBack,
}

/// A record that is not committed.
struct Open {
    seq: u64,
    bytes: usize,
    ticket: Option<Ticket>,
}

/// See the top.
pub struct Owner {
    pub term: Term,
    pub stage: Stage,
    pub handing: Option<Handing>,
    pub proposals: Proposals,
    pub copies: BTreeMap<NodeId, Progress>,
    /// Copies that count, because they were proposed and may be members by now.
    pub admitting: BTreeSet<NodeId>,
    pub window: Window,
    open: VecDeque<Open>,
    bytes: usize,
    rounds: u64,
}

impl Owner {
    /// A new owner, which asks the others first.
    pub fn new(base: &mut Base, now: Instant) -> Self {
        let epoch = base.table.as_ref().map_or(0, |table| table.epoch);
        let term = Term::new(epoch, base.start, base.attempt);
        base.promised = base.promised.max(term);
        let mut owner = Self {
            term,
            stage: Stage::Asking(Asking::new(now)),
            handing: None,
            proposals: Proposals::new(now),
            copies: BTreeMap::new(),
            admitting: BTreeSet::new(),
            window: Window::default(),
            open: VecDeque::new(),
            bytes: 0,
            rounds: 0,
        };
        if base.failed.is_some() {
            owner.stage = Stage::StandingBack;
        }
        owner.ask(base, now);
        owner
    }

    /// What it does, for others.
    pub fn role(&self) -> Role {
        match &self.stage {
            Stage::Serving if !self.hands_over() => Role::Serving,
            Stage::Serving => Role::HandingOver,
            _ => Role::Activating,
        }
    }

    /// Its term.
    pub fn term(&self) -> Term {
        self.term
    }

    /// A round that was not used before.
    pub fn round(&mut self) -> u64 {
        self.rounds += 1;
        self.rounds
    }

    /// Takes a record.
    pub fn write(
        &mut self,
        base: &mut Base,
        ticket: Ticket,
        body: Bytes,
    ) -> Result<u64, WriteError> {
        if self.role() != Role::Serving {
            return Err(WriteError::NotServing);
        }
        if body.len() > MAX_BODY {
            return Err(WriteError::TooBig(body.len()));
        }
        if self.bytes > MAX_UNCOMMITTED || self.open.len() >= MAX_UNCOMMITTED_RECORDS {
            return Err(WriteError::Full);
        }
        Ok(self.append(base, Some(ticket), body))
    }

    /// Appends a record of its own.
    pub fn append(&mut self, base: &mut Base, ticket: Option<Ticket>, body: Bytes) -> u64 {
        let (seq, bytes) = (base.log.last().seq + 1, body.len());
        let record = Record { term: self.term, seq, body };
        self.window.push(record.clone());
        base.log.append(record, &mut base.out);
        self.open.push_back(Open { seq, bytes, ticket });
        self.bytes += bytes;
        seq
    }

    /// A peer spoke.
    pub fn message(
        &mut self,
        base: &mut Base,
        now: Instant,
        from: NodeId,
        message: Message,
        body: Bytes,
    ) -> Result<(), Malformed> {
        let Message { term, round, what, .. } = message;
        if what == What::Hello && term.epoch() == self.term.epoch() {
            self.hello(base, now, from);
            return Ok(());
        }
        if term != self.term {
            return Ok(());
        }
        match what {
            What::Position(held) => self.position(base, now, from, held),
            What::Tail { prev, records } => self.tail(base, now, from, (prev, &records, &body))?,
            What::TailGone => self.tail_gone(base, now, from),
            What::Failed { .. } => self.failed(base, now, from),
            What::Ack { through } => self.acked(base, now, (from, round), through)?,
            What::Behind(held) => self.behind(base, now, (from, round), held),
            What::Want { number } => self.wanted(base, now, (from, round, number), body),
            _ => {}
        }
        Ok(())
    }

    /// The same epoch in another revision.
    pub fn table_changed(&mut self, base: &mut Base, now: Instant) {
        self.proposals_after_change(base);
        if let Some(table) = &base.table {
            let counts =
                |node: &NodeId| table.in_sync.contains(node) || table.targets.contains(node);
            self.copies.retain(|node, _| counts(node));
        }
        self.decide(base, now);
        self.connect_all(base, now);
    }

    /// A new connection: what was on the old one is lost.
    pub fn connected(&mut self, base: &Base, now: Instant, node: NodeId) {
        if let Some(copy) = self.copies.get_mut(&node) {
            let next = copy.resume_at(base.log.last().seq);
            match copy.way {
                // The copy asks again by itself, and is asked.
                super::progress::Way::Difference(_) => copy.sent = None,
                _ => copy.probe(next),
            }
        }
        if let Stage::Asking(asking) = &mut self.stage {
            asking.again(now);
        }
    }

    /// Time passed.
    pub fn tick(&mut self, base: &mut Base, now: Instant) {
        match &self.stage {
            Stage::Asking(_) => self.ask(base, now),
            Stage::Adopting(_) => self.adopt_again(base, now),
            Stage::StandingBack => {
                self.give_away(base, now);
                self.begin_anew(base, now);
            }
            Stage::Settling { .. } | Stage::Serving => {
                self.resend(base, now);
                self.hand_over(base, now);
                self.propose_due(base, now);
                self.compact(base, now);
            }
        }
        self.propose_again(base, now);
    }

    /// Commits what is durable on all that count.
    fn commit(&mut self, base: &mut Base) {
        let first = match self.stage {
            Stage::Settling { first } => first,
            Stage::Serving => 0,
            _ => return,
        };
        let Some(table) = &base.table else { return };
        if table.in_sync.len() < table.quorum() {
            return;
        }
        let counts = table.in_sync.iter().chain(&self.admitting).filter(|node| **node != base.me);
        let matched = counts.map(|node| self.copies.get(node).map_or(0, |copy| copy.matched));
        let commit = matched.fold(base.log.durable(), u64::min);
        if commit < first || commit <= base.commit {
            return;
        }
        base.committed(commit);
        if matches!(self.stage, Stage::Settling { .. }) {
            self.stage = Stage::Serving;
        }
        while let Some(open) = self.open.pop_front_if(|open| open.seq <= commit) {
            self.bytes -= open.bytes;
            if let Some(ticket) = open.ticket {
                let outcome = Settled::Committed { seq: open.seq };
                base.out.push(Effect::Settle { ticket, outcome });
            }
        }
        self.window.trim(commit);
    }

    /// Commits, hands over, sends.
    pub fn flush(&mut self, base: &mut Base, now: Instant) {
        self.commit(base);
        if self.handing.is_some() {
            self.hand_over(base, now);
        }
        self.send_all(base, now);
    }

    /// All that waits may or may not be done later.
    fn lose_tickets(&mut self, base: &mut Base) {
        for ticket in self.open.drain(..).filter_map(|open| open.ticket) {
            base.out.push(Effect::Settle { ticket, outcome: Settled::Lost });
        }
        self.bytes = 0;
    }

    /// Another node owns the shard.
    pub fn deposed(&mut self, base: &mut Base) {
        self.lose_tickets(base);
    }

    /// Its disk works again, and nobody took the shard over, nor will: it begins anew under another
    /// term, since others may have records of this one that it has lost.
    fn begin_anew(&mut self, base: &mut Base, now: Instant) {
        if base.failed.is_some() || base.blank || !self.may_propose(now) {
            return;
        }
        let Some(attempt) = base.attempt.checked_add(1) else { return };
        base.attempt = attempt;
        *self = Self::new(base, now);
    }

    /// Its copy is not to be relied on.
    pub fn stand_back(&mut self, base: &mut Base) {
        self.lose_tickets(base);
        self.handing = None;
        self.stage = Stage::StandingBack;
    }
}
