//! A copy that follows: takes the owner's records, acknowledges what is durable, applies what is
//! committed.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::base::{Base, Merged, records};
use super::event::{Effect, Record};
use super::import::Import;
use super::window::{fitting, head, join};
use crate::id::{Incarnation, NodeId};
use crate::wire::Malformed;
use crate::wire::replicas::{Head, MAX_BODY, Message, Point, Term, What};

/// Pause between attempts to be heard by the owner.
const HELLO: Duration = Duration::from_millis(300);

/// See the top.
pub struct Follower {
    /// The owner that was heard, once it was.
    owner: Option<NodeId>,
    /// Its round; what is older is passed over.
    pub round: u64,
    /// Up to here the log is that of the owner.
    verified: u64,
    /// What the owner said is committed.
    told: u64,
    /// What was acknowledged in this round.
    acked: Option<u64>,
    /// An acknowledgement is due even if nothing new is durable.
    pub due: bool,
    hello_at: Instant,
    pub import: Option<Import>,
    /// A tail that is being read: for whom, of which round, behind what.
    tail: Option<(NodeId, u64, Point)>,
}

impl Follower {
    /// One that has not heard the owner.
    pub fn new(now: Instant) -> Self {
        Self {
            owner: None,
            round: 0,
            verified: 0,
            told: 0,
            acked: None,
            due: false,
            hello_at: now,
            import: None,
            tail: None,
        }
    }

    /// Another revision; perhaps another owner.
    pub fn table_changed(&mut self, base: &Base, now: Instant) {
        let owner = base.table.as_ref().map(|table| (table.owner, table.epoch));
        let heard = self.owner.map(|owner| (owner, base.promised.epoch()));
        if heard != owner && owner.is_some_and(|(_, epoch)| epoch > base.promised.epoch()) {
            self.owner = None;
            self.hello_at = now + HELLO;
        }
    }

    /// A new connection: the owner does not know of us yet, if we have just begun.
    pub fn connected(&mut self, base: &mut Base, now: Instant, node: NodeId) {
        if base.table.as_ref().is_some_and(|table| table.owner == node) {
            self.hello(base, now);
        }
    }

    /// Time passed.
    pub fn tick(&mut self, base: &mut Base, now: Instant) {
        if now >= self.hello_at {
            self.hello(base, now);
        }
    }

    fn hello(&mut self, base: &mut Base, now: Instant) {
        self.hello_at = now + HELLO;
        let Some(table) = &base.table else { return };
        if self.owner.is_none() {
            let (to, term) = (table.owner, Term::new(table.epoch, Incarnation(0), 0));
            base.send(to, term, 0, What::Hello, Bytes::new());
        }
    }

    /// Whether this may come from the owner; it is heeded from then on.
    fn heed(&mut self, base: &mut Base, from: NodeId, term: Term, round: u64) -> bool {
        let Some(table) = &base.table else { return false };
        let fits =
            term.epoch() > table.epoch || (term.epoch() == table.epoch && from == table.owner);
        if !fits || term < base.promised || term < base.log.last().term {
            return false;
        }
        if term > base.promised || self.owner != Some(from) {
            base.promised = term;
            let (hello_at, import) = (self.hello_at, self.import.take());
            *self = Self { owner: Some(from), import, ..Self::new(hello_at) };
        }
        if round < self.round {
            return false;
        }
        if round > self.round {
            (self.round, self.acked) = (round, None);
        }
        true
    }

    /// The owner, or one who says so, spoke.
    pub fn message(
        &mut self,
        base: &mut Base,
        from: NodeId,
        message: Message,
        body: Bytes,
    ) -> Result<(), Malformed> {
        let Message { term, round, what, .. } = message;
        let owners = matches!(
            what,
            What::Probe
                | What::Fetch(_)
                | What::Append { .. }
                | What::Begin { .. }
                | What::Part { .. }
        );
        if !owners || !self.heed(base, from, term, round) {
            return Ok(());
        }
        if let Some(why) = base.failed.clone() {
            base.send(from, term, round, What::Failed { why }, Bytes::new());
            return Ok(());
        }
        match what {
            What::Probe => {
                let held = base.held();
                base.send(from, term, round, What::Position(held), Bytes::new());
            }
            What::Fetch(held) => {
                self.tail = base.common(&held).map(|prev| (from, round, prev));
                match self.tail {
                    None => base.send(from, term, round, What::TailGone, Bytes::new()),
                    Some((to, round, prev)) => {
                        let (from, bytes) = (prev.seq + 1, MAX_BODY);
                        base.out.push(Effect::Read { to, round, from, bytes });
                    }
                }
            }
            What::Append { prev, records: heads, commit, keep } => {
                let records = checked(term, prev, &heads, &body)?;
                self.append(base, prev, records);
                self.told = self.told.max(commit);
                if keep > 0 {
                    let through = keep.min(base.applied);
                    base.out.push(Effect::Compact { through });
                }
            }
            What::Begin { base: at } => self.import_begin(base, from, at),
            What::Part { number } => self.import_part(base, number, body),
            _ => {}
        }
        Ok(())
    }

    fn append(&mut self, base: &mut Base, prev: Point, records: Vec<Record>) {
        let Some(owner) = self.owner else { return };
        let last = base.log.last();
        let merged = match base.blank {
            true => Merged::Mismatch,
            false => base.merge(prev, records),
        };
        match merged {
            Merged::Through(through) => {
                self.verified = self.verified.max(through);
                // What is new is acknowledged when it is durable.
                self.due |= base.log.last() == last;
            }
            Merged::Mismatch => {
                let held = base.held();
                base.send(owner, base.promised, self.round, What::Behind(held), Bytes::new());
            }
        }
    }

    /// Records of the tail that somebody wants were read.
    pub fn read(&mut self, base: &mut Base, to: NodeId, from: u64, records: &[Record]) {
        let Some((for_whom, round, prev)) = self.tail else { return };
        if for_whom != to || from != prev.seq + 1 {
            return;
        }
        self.tail = None;
        let count = fitting(records.iter());
        let records = records.iter().take(count);
        let (heads, body) = (records.clone().map(head).collect(), join(records));
        base.send(to, base.promised, round, What::Tail { prev, records: heads }, body);
    }

    /// Applies and acknowledges.
    pub fn flush(&mut self, base: &mut Base) {
        base.committed(self.told.min(self.verified));
        let Some(owner) = self.owner else { return };
        let through = self.verified.min(base.log.durable());
        let news = self.due || self.acked.unwrap_or(0) < through;
        if !news || base.blank || base.failed.is_some() {
            return;
        }
        (self.due, self.acked) = (false, Some(through));
        base.send(owner, base.promised, self.round, What::Ack { through }, Bytes::new());
    }

    /// Everything that the import brought is there.
    pub fn imported(&mut self, at: Point) {
        (self.verified, self.due, self.acked) = (at.seq, true, Some(0));
    }

    /// Whether anything was acknowledged in this round.
    pub fn has_acked(&self) -> bool {
        self.acked.is_some()
    }

    /// Whom to ask.
    pub fn owner(&self) -> Option<NodeId> {
        self.owner
    }
}

/// The records of a message of this term.
fn checked(
    term: Term,
    prev: Point,
    heads: &[Head],
    body: &Bytes,
) -> Result<Vec<Record>, Malformed> {
    let records = records(prev, heads, body)?;
    if prev.term > term || records.last().is_some_and(|last| last.term > term) {
        let why = "they are of a later term than their sender".to_owned();
        return Err(Malformed { what: "records of a shard", why });
    }
    Ok(records)
}
