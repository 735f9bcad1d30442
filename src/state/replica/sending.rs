//! What an owner sends to the copies, and hears from them.

use std::time::Instant;

use bytes::Bytes;

use super::base::Base;
use super::event::{Effect, Record};
use super::owner::{Owner, Stage};
use super::progress::{ABSENT, BEAT, Progress, RESEND, Way};
use super::window::{fitting, head, join};
use crate::id::NodeId;
use crate::wire::Malformed;
use crate::wire::replicas::{Head, Held, MAX_BODY, What};

impl Owner {
    fn leads(&self) -> bool {
        matches!(self.stage, Stage::Settling { .. } | Stage::Serving)
    }

    /// Everybody who should have a copy is sent to.
    pub fn connect_all(&mut self, base: &Base, now: Instant) {
        let Some(table) = base.table.as_ref().filter(|_| self.leads()) else { return };
        for node in table.in_sync.iter().chain(&table.targets).filter(|node| **node != base.me) {
            if !self.copies.contains_key(node) {
                let round = self.round();
                self.copies.insert(*node, Progress::new(round, base.log.last().seq + 1, now));
            }
        }
    }

    /// A copy has begun, or knows nothing of this owner.
    pub fn hello(&mut self, base: &mut Base, now: Instant, from: NodeId) {
        if let Stage::Asking(asking) = &mut self.stage {
            asking.again(now);
            return self.ask(base, now);
        }
        let round = self.round();
        if let Some(copy) = self.copies.get_mut(&from) {
            copy.heard = now;
            copy.restart(round, Way::Probing, base.log.last().seq + 1);
        }
    }

    fn current(&mut self, from: NodeId, round: u64) -> Option<&mut Progress> {
        self.copies.get_mut(&from).filter(|copy| copy.round == round)
    }

    /// A copy has everything up to here.
    pub fn acked(
        &mut self,
        base: &Base,
        now: Instant,
        (from, round): (NodeId, u64),
        through: u64,
    ) -> Result<(), Malformed> {
        let last = base.log.last().seq;
        let Some(copy) = self.current(from, round) else { return Ok(()) };
        if through > last {
            let why = format!("{through} of {last} records");
            return Err(Malformed { what: "acknowledgement of a shard's records", why });
        }
        match copy.way {
            // What it had before the difference.
            Way::Difference(base) if through < base.seq => {}
            _ => copy.acked(through, now),
        }
        Ok(())
    }

    /// A copy's log does not fit what it was sent.
    pub fn behind(
        &mut self,
        base: &mut Base,
        now: Instant,
        (from, round): (NodeId, u64),
        held: Held,
    ) {
        let Some(copy) = self.current(from, round) else { return };
        copy.heard = now;
        if matches!(copy.way, Way::Difference(_)) {
            return;
        }
        if !held.blank && held.last.seq < copy.matched {
            // Either this is late, or the copy has lost what it acknowledged: it is asked again.
            return self.hello(base, now, from);
        }
        let before = base.log.before().seq;
        match base.common(&held) {
            Some(point) => copy.probe(point.seq + 1),
            // Perhaps it has the record before the log's first, and knows not that it is committed.
            None if !held.blank && held.last.seq >= before && copy.next != before + 1 => {
                copy.probe(before + 1);
            }
            None => self.begin_difference(base, now, from),
        }
    }

    /// The log does not reach back to what a copy has.
    pub fn begin_difference(&mut self, base: &mut Base, now: Instant, node: NodeId) {
        let Some(point) = base.log.point(base.applied) else { return };
        let round = self.round();
        if let Some(copy) = self.copies.get_mut(&node) {
            copy.restart(round, Way::Difference(point), point.seq + 1);
            self.lacks_much(base, now, node);
        }
    }

    /// A copy wants a part of its difference.
    pub fn wanted(
        &mut self,
        base: &mut Base,
        now: Instant,
        (to, round, number): (NodeId, u64, u64),
        request: Bytes,
    ) {
        let Some(copy) = self.current(to, round) else { return };
        copy.heard = now;
        let busy = copy.exporting.is_some_and(|(of, since)| of == number && now < since + BEAT);
        if !busy && matches!(copy.way, Way::Difference(_)) {
            copy.exporting = Some((number, now));
            base.out.push(Effect::Export { to, round, number, request });
        }
    }

    /// The store made a part.
    pub fn exported(
        &mut self,
        base: &mut Base,
        (to, round, number): (NodeId, u64, u64),
        part: Bytes,
    ) {
        let term = self.term;
        let Some(copy) = self.current(to, round) else { return };
        if copy.exporting.take_if(|(of, _)| *of == number).is_some() {
            base.send(to, term, round, What::Part { number }, part);
        }
    }

    /// Sends to all what there is and fits.
    pub fn send_all(&mut self, base: &mut Base, now: Instant) {
        if !self.leads() {
            return;
        }
        let nodes: Vec<NodeId> = self.copies.keys().copied().collect();
        nodes.into_iter().for_each(|node| self.pump(base, now, node));
    }

    fn pump(&mut self, base: &mut Base, now: Instant, node: NodeId) {
        loop {
            let last = base.log.last().seq;
            let Some(copy) = self.copies.get_mut(&node) else { return };
            if let Way::Difference(at) = copy.way {
                if copy.sent.is_none() {
                    copy.sent = Some(now);
                    let round = copy.round;
                    base.send(node, self.term, round, What::Begin { base: at }, Bytes::new());
                }
                return;
            }
            let (next, round) = (copy.next, copy.round);
            let finds = copy.way == Way::Probing && next > last;
            if !copy.has_room() || copy.reading.is_some() || (next > last && !finds) {
                return;
            }
            if base.log.term_at(next - 1).is_none() {
                // The log begins later by now: the copy says what it has.
                copy.probe(last + 1);
                continue;
            }
            if finds {
                return self.append_to(base, now, node, (Vec::new(), Bytes::new()));
            }
            if !self.window.has(next) {
                copy.reading = Some(now);
                let effect = Effect::Read { to: node, round, from: next, bytes: MAX_BODY };
                return base.out.push(effect);
            }
            let Some(packed) = self.window.pack(next) else { return };
            self.append_to(base, now, node, (packed.heads, packed.body));
        }
    }

    fn append_to(
        &mut self,
        base: &mut Base,
        now: Instant,
        node: NodeId,
        (records, body): (Vec<Head>, Bytes),
    ) {
        let keep = self.keep(base, now);
        let Some(copy) = self.copies.get_mut(&node) else { return };
        let Some(prev) = base.log.point(copy.next - 1) else { return };
        copy.told = base.commit;
        copy.sent(prev.seq + records.len() as u64, body.len(), now);
        let what = What::Append { prev, records, commit: base.commit, keep };
        base.send(node, self.term, copy.round, what, body);
    }

    /// The log was read for a copy.
    pub fn read(
        &mut self,
        base: &mut Base,
        now: Instant,
        (to, round, from): (NodeId, u64, u64),
        records: &[Record],
    ) {
        let leads = self.leads();
        let Some(copy) = self.current(to, round).filter(|_| leads) else { return };
        // Else it was for what has been given up since.
        if copy.reading.take().is_none() || copy.next != from {
            return;
        }
        let fits = |(at, record): (usize, &Record)| {
            record.seq == from + at as u64 && base.log.term_at(record.seq) == Some(record.term)
        };
        let count = fitting(records.iter());
        if count == 0 || !records.iter().take(count).enumerate().all(fits) {
            return copy.probe(base.log.last().seq + 1);
        }
        let records = records.iter().take(count);
        let (heads, body) = (records.clone().map(head).collect(), join(records));
        self.append_to(base, now, to, (heads, body));
    }

    /// What was lost is sent again; who has all is told so now and then.
    pub fn resend(&mut self, base: &mut Base, now: Instant) {
        self.connect_all(base, now);
        let last = base.log.last().seq;
        let mut beats = Vec::new();
        for (node, copy) in &mut self.copies {
            copy.reading = copy.reading.filter(|since| now < *since + 10 * RESEND);
            if copy.is_overdue(now) {
                match copy.way {
                    Way::Difference(_) => copy.sent = None,
                    _ => copy.probe(copy.resume_at(last)),
                }
            } else if copy.way == Way::Streaming && copy.next > last && copy.has_room() {
                let news = copy.told < base.commit && copy.matched == last;
                if news || copy.sent.is_none_or(|sent| now >= sent + BEAT) {
                    beats.push(*node);
                }
            }
        }
        for node in beats {
            self.append_to(base, now, node, (Vec::new(), Bytes::new()));
        }
    }

    /// Up to where all copies that count have the log; those that are absent for long do not.
    fn keep(&self, base: &Base, now: Instant) -> u64 {
        let present = self.copies.values().filter(|copy| now < copy.heard + ABSENT);
        let held = present.map(|copy| match copy.way {
            Way::Difference(at) => at.seq,
            _ => copy.matched,
        });
        held.fold(base.applied, u64::min)
    }

    /// Lets the store remove what all have.
    pub fn compact(&mut self, base: &mut Base, now: Instant) {
        let through = self.keep(base, now);
        if through > base.log.before().seq {
            base.out.push(Effect::Compact { through });
        }
    }
}
