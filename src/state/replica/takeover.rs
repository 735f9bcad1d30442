//! How an owner begins: it asks all members of the set what they have, takes over the greatest
//! tail, and appends a record of its own term. A member that does not answer is waited for until
//! Raft drops it.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;

use super::TICK;
use super::base::{Base, Merged, records};
use super::owner::{Owner, Stage};
use super::progress::RESEND;
use crate::id::NodeId;
use crate::wire::Malformed;
use crate::wire::replicas::{Head, Held, Point, What};
use crate::wire::shards::ShardStep;

/// Who answered what.
pub struct Asking {
    held: BTreeMap<NodeId, Held>,
    at: Instant,
}

impl Asking {
    /// Nobody has.
    pub fn new(now: Instant) -> Self {
        Self { held: BTreeMap::new(), at: now }
    }

    /// Asks again at once.
    pub fn again(&mut self, now: Instant) {
        self.at = now;
    }
}

/// Whose tail is taken over, up to where.
pub struct Adopting {
    from: NodeId,
    until: Point,
    /// When it is asked for again, and when others are.
    at: Instant,
    over: Instant,
}

impl Owner {
    fn others(base: &Base) -> Vec<NodeId> {
        let members = base.table.iter().flat_map(|table| &table.in_sync);
        members.filter(|node| **node != base.me).copied().collect()
    }

    /// Asks those that have not answered, when it is time.
    pub fn ask(&mut self, base: &mut Base, now: Instant) {
        let (term, round) = (self.term, self.round());
        let Stage::Asking(asking) = &mut self.stage else { return };
        if now < asking.at {
            return;
        }
        asking.at = now + TICK;
        for node in Self::others(base).into_iter().filter(|n| !asking.held.contains_key(n)) {
            base.send(node, term, round, What::Probe, Bytes::new());
        }
        self.decide(base, now);
    }

    /// A member answered.
    pub fn position(&mut self, base: &mut Base, now: Instant, from: NodeId, held: Held) {
        let Stage::Asking(asking) = &mut self.stage else { return };
        if base.table.as_ref().is_some_and(|table| table.in_sync.contains(&from)) {
            asking.held.insert(from, held);
            self.decide(base, now);
        }
    }

    /// Goes on when all members have answered.
    pub fn decide(&mut self, base: &mut Base, now: Instant) {
        let Stage::Asking(asking) = &self.stage else { return };
        let others = Self::others(base);
        if !others.iter().all(|node| asking.held.contains_key(node)) {
            return;
        }
        let whole = others.iter().filter_map(|node| Some((*node, *asking.held.get(node)?)));
        let best = whole.clone().filter(|(_, held)| !held.blank).max_by_key(|(_, held)| held.last);
        let known = whole.map(|(_, held)| held.known).max().unwrap_or(0);
        let last = best.map_or(0, |(_, held)| held.last.seq).max(base.log.last().seq);
        if last < known {
            // Something was committed that nobody has whole: better none than a part.
            return;
        }
        match best {
            Some((node, _)) if base.blank => self.give_to(base, now, node),
            Some((from, held)) if held.last > base.log.last() => {
                let adopting =
                    Adopting { from, until: held.last, at: now, over: now + 10 * RESEND };
                self.stage = Stage::Adopting(adopting);
                self.adopt_again(base, now);
            }
            None if base.blank => {}
            _ => self.settle(base, now),
        }
    }

    fn fetch(&mut self, base: &mut Base, now: Instant) {
        let (term, round) = (self.term, self.round());
        let Stage::Adopting(adopting) = &mut self.stage else { return };
        adopting.at = now + RESEND;
        let (from, held) = (adopting.from, base.held());
        base.send(from, term, round, What::Fetch(held), Bytes::new());
    }

    /// Asks for the tail again, or begins anew if it does not come.
    pub fn adopt_again(&mut self, base: &mut Base, now: Instant) {
        let Stage::Adopting(adopting) = &self.stage else { return };
        let is_member = Self::others(base).contains(&adopting.from);
        if now >= adopting.over || !is_member {
            self.stage = Stage::Asking(Asking::new(now));
            self.ask(base, now);
        } else if now >= adopting.at {
            self.fetch(base, now);
        }
    }

    /// A piece of the tail came.
    pub fn tail(
        &mut self,
        base: &mut Base,
        now: Instant,
        from: NodeId,
        (prev, heads, body): (Point, &[Head], &Bytes),
    ) -> Result<(), Malformed> {
        let Stage::Adopting(adopting) = &self.stage else { return Ok(()) };
        if adopting.from != from {
            return Ok(());
        }
        let until = adopting.until;
        let records = records(prev, heads, body)?;
        if records.last().is_some_and(|last| last.term > self.term) {
            let why = "it is of a later term than its owner".to_owned();
            return Err(Malformed { what: "tail of a shard", why });
        }
        let grew = !records.is_empty();
        match base.merge(prev, records) {
            Merged::Mismatch if base.blank => self.give_to(base, now, from),
            Merged::Through(_) if base.log.last() >= until => self.settle(base, now),
            Merged::Through(_) if grew => {
                if let Stage::Adopting(adopting) = &mut self.stage {
                    adopting.over = now + 10 * RESEND;
                }
                self.fetch(base, now);
            }
            _ => {}
        }
        Ok(())
    }

    /// The tail cannot be had by the log: whoever has it should own the shard.
    pub fn tail_gone(&mut self, base: &mut Base, now: Instant, from: NodeId) {
        if matches!(&self.stage, Stage::Adopting(adopting) if adopting.from == from) {
            self.give_to(base, now, from);
        }
    }

    fn settle(&mut self, base: &mut Base, now: Instant) {
        let first = self.append(base, None, Bytes::new());
        self.stage = Stage::Settling { first };
        self.connect_all(base, now);
    }

    fn give_to(&mut self, base: &mut Base, now: Instant, owner: NodeId) {
        self.stage = Stage::StandingBack;
        self.propose(base, now, ShardStep::Promote { owner });
    }
}
