//! Doing what the copies want.

use std::time::{Duration, Instant};

use super::copy::Copy;
use super::driver::{Driver, Input};
use super::jobs::{Job, Logged};
use super::replica::{Effect, Event, Opened, Outcome, Record, Replica, Settled};
use super::store::{self, LogWrite, StoreError};
use crate::net::ServiceId;
use crate::wire::consensus::Response;
use crate::wire::replicas::{Point, Term};
use crate::wire::shards::{Shard, ShardChange, ShardCommand, ShardId};
use crate::wire::state::{Answer, Refusal};

/// Longest wait for a proposal; after it, nothing is known of what came of it.
const PROPOSE: Duration = Duration::from_secs(5);
/// So few records of a round gather no others.
const FEW: u32 = 4;
/// What each record of a round lets others gather for, and all of them at most.
const RECORD: Duration = Duration::from_micros(15);
const GATHER: Duration = Duration::from_millis(1);
/// Rounds of effects before other inputs are looked at.
const ROUNDS: usize = 8;

impl Driver {
    /// Does everything that the copies want; what is logged in a round shares one fsync. Whether
    /// there is more to do.
    pub(super) fn settle(&mut self, now: Instant) -> bool {
        for _ in 0..ROUNDS {
            let mut later = Vec::new();
            let mut idle = true;
            let shards: Vec<ShardId> =
                self.copies.iter().filter(|(_, copy)| copy.dirty).map(|(id, _)| *id).collect();
            for shard in shards {
                idle = false;
                later.push((shard, self.flush(shard, now)));
            }
            // The others write while this node does.
            self.send();
            self.sync(now);
            for (shard, effects) in later {
                for effect in effects {
                    self.effect(shard, effect, now);
                }
            }
            self.send();
            self.sync(now);
            if idle {
                return false;
            }
        }
        true
    }

    /// Does what a copy wants, up to what needs its log on disk; gives the rest.
    fn flush(&mut self, shard: ShardId, now: Instant) -> Vec<Effect> {
        let Some(copy) = self.copies.get_mut(&shard) else { return Vec::new() };
        copy.dirty = false;
        let mut effects = copy.replica.flush(now).into_iter();
        let epoch = copy.replica.serving();
        let reign = copy.replica.reign();
        if reign != std::mem::replace(&mut copy.noted, reign) {
            // Not when it stops to serve for a moment, as for a hand-over that comes to nothing:
            // what is logged then is committed later, and new writes must come behind it.
            let _ = self.store.forget_head(shard);
        }
        let was = self.shared.serving(shard);
        if epoch.unwrap_or(0) != was {
            self.shared.set_serving(shard, epoch.unwrap_or(0));
            self.serving_changed(shard, epoch);
        }
        let mut logged = false;
        while let Some(effect) = effects.next() {
            let at_once = match effect {
                Effect::Append { .. } | Effect::Truncate { .. } => {
                    logged = true;
                    true
                }
                Effect::Send { .. } | Effect::Propose(_) => true,
                _ => !logged,
            };
            if !at_once {
                return std::iter::once(effect).chain(effects).collect();
            }
            self.effect(shard, effect, now);
        }
        Vec::new()
    }

    /// This node begins or ends to serve a shard.
    fn serving_changed(&mut self, shard: ShardId, epoch: Option<u64>) {
        match epoch {
            Some(epoch) => tracing::debug!(%shard, epoch, "this node serves it"),
            None => {
                tracing::debug!(%shard, "this node serves it no more");
                if let Some(copy) = self.copies.get_mut(&shard) {
                    copy.jobs.refuse_all();
                }
            }
        }
    }

    pub(super) fn effect(&mut self, shard: ShardId, effect: Effect, now: Instant) {
        let Some(effect) = self.hold_back(shard, effect) else { return };
        match effect {
            Effect::Append { op, records } => self.log(shard, op, records),
            Effect::Truncate { op, after } => {
                self.writes.push(LogWrite::Truncate(shard, after));
                self.synced.push((shard, op));
            }
            Effect::Apply { through } => self.apply(shard, through, now),
            Effect::Send { to, message, body } => {
                self.post.put(to, message, body);
            }
            Effect::Read { to, round, from, bytes } => {
                match self.store.log_read(shard, from, bytes) {
                    Ok(records) => {
                        let records = records.into_iter().map(told).collect();
                        self.tell(shard, Event::Read { to, round, from, records }, now);
                    }
                    Err(error) => self.copy_failed(shard, &error, now),
                }
            }
            Effect::Settle { ticket, outcome } => self.settled(shard, ticket, outcome, now),
            Effect::Propose(change) => self.propose(change),
            Effect::Export { to, round, number, request } => {
                match self.store.export(shard, &request, self.ms(now)) {
                    Ok(part) => {
                        self.tell(shard, Event::Exported { to, round, number, part }, now);
                    }
                    // The peer asks for what cannot be.
                    Err(StoreError::Misuse(why)) => {
                        tracing::warn!(%shard, %to, why, "a difference was not made");
                    }
                    Err(error) => self.copy_failed(shard, &error, now),
                }
            }
            Effect::ImportBegin { round, base } => {
                let begun = self.store.import_begin(shard, (base.term.0, base.seq));
                self.imported(shard, round, begun.map(Some), now);
            }
            Effect::Import { round, part } => {
                let eaten = self.store.import(shard, &part);
                self.imported(shard, round, eaten, now);
            }
            Effect::Compact { through } => {
                if let Err(error) = self.store.compact(shard, through) {
                    self.copy_failed(shard, &error, now);
                }
            }
            Effect::Discard => self.discard(shard, now),
        }
    }

    fn imported(
        &mut self,
        shard: ShardId,
        round: u64,
        wants: Result<Option<bytes::Bytes>, StoreError>,
        now: Instant,
    ) {
        match wants {
            Ok(Some(request)) => self.tell(shard, Event::ImportWants { round, request }, now),
            Ok(None) => self.tell(shard, Event::ImportDone { round }, now),
            // It was begun anew meanwhile.
            Err(StoreError::Misuse(why)) => tracing::warn!(%shard, why, "a difference is no use"),
            Err(error) => self.copy_failed(shard, &error, now),
        }
    }

    fn discard(&mut self, shard: ShardId, now: Instant) {
        self.shared.set_serving(shard, 0);
        self.give_up_applying(shard, now);
        if let Some(mut copy) = self.copies.remove(&shard) {
            copy.jobs.refuse_all();
        }
        if let Err(error) = self.store.wipe(shard, false) {
            tracing::warn!(%shard, %error, "a copy that is not needed any more stays on disk");
        }
    }

    fn settled(&mut self, shard: ShardId, ticket: u64, outcome: Settled, now: Instant) {
        let Some(copy) = self.copies.get_mut(&shard) else { return };
        let seq = match outcome {
            Settled::Committed { seq } => Some(seq),
            Settled::Lost => None,
        };
        let Some((logged, written)) = copy.jobs.settled(ticket, seq) else { return };
        let unblocked = copy.jobs.unblocked();
        match (logged, written) {
            (Logged::Own, _) => {}
            (Logged::Write(job) | Logged::Again(job), _) if seq.is_none() => {
                job.refuse(Refusal::NotOwner);
            }
            (Logged::Write(job), Some(written)) if self.consensus.session_is_live() => {
                job.answer(Answer::Written(written), bytes::Bytes::new());
            }
            // The answer is found among those that are kept for repeats.
            (Logged::Write(job) | Logged::Again(job), _) => self.ask(job, now),
        }
        for job in unblocked {
            self.ask(job, now);
        }
    }

    /// Sends what the round has to say.
    fn send(&mut self) {
        let net = &self.net;
        self.post.send(|to, batch, body| {
            // What is lost is sent again.
            let _ = net.send(to, ServiceId::Shards, batch, body);
        });
    }

    /// Makes durable what the round has logged.
    fn sync(&mut self, now: Instant) {
        if self.writes.is_empty() {
            return;
        }
        let writes = std::mem::take(&mut self.writes);
        let synced = std::mem::take(&mut self.synced);
        let mut error = match self.store.write(&writes) {
            Ok(()) => {
                self.gather = Instant::now() + gathers(&writes);
                for (shard, op) in synced {
                    self.tell(shard, Event::Synced { op }, now);
                }
                return;
            }
            Err(error) => error,
        };
        // Nothing was written: every copy that wanted to stands back, also when one alone is to
        // blame, since the log must have no gaps.
        if matches!(error, StoreError::Misuse(_)) {
            error = StoreError::Log(error.to_string());
        }
        let mut shards: Vec<ShardId> = synced.into_iter().map(|(shard, _)| shard).collect();
        shards.dedup();
        for shard in shards {
            self.copy_failed(shard, &error, now);
        }
    }

    /// A copy cannot go on: it stands back, and is made again from the others if the disk allows.
    pub(super) fn copy_failed(&mut self, shard: ShardId, error: &StoreError, now: Instant) {
        let why = error.to_string();
        if let StoreError::Log(_) = error {
            if self.failed.is_none() {
                tracing::error!(why, "this node's copies of the state stand back");
            }
            self.failed = Some(why.clone());
            return self.tell_all_failed(&why, now);
        }
        tracing::error!(%shard, why, "a copy of the state stands back");
        self.tell(shard, Event::Failed(why), now);
        if matches!(error, StoreError::Full) {
            if let Some(copy) = self.copies.get_mut(&shard) {
                copy.retry_at = Some(now + Duration::from_secs(5));
            }
            return;
        }
        self.reopen(shard, now);
    }

    /// There may be room again: the copy goes on with what it has. It is not wiped: when the disks
    /// of all copies are full at once, that would be the end of the values.
    pub(super) fn resume(&mut self, shard: ShardId, now: Instant) {
        self.give_up_applying(shard, now);
        match self.store.opened(shard) {
            Ok(opened) if opened.damage.is_none() => {
                self.tell(shard, Event::Reopened(found(&opened)), now);
            }
            _ => self.reopen(shard, now),
        }
    }

    /// Wipes a copy that failed; it is made again from the others.
    pub(super) fn reopen(&mut self, shard: ShardId, now: Instant) {
        self.give_up_applying(shard, now);
        // A copy that stood back for want of room is whole, and the others may be as full.
        let whole = self.store.opened(shard).ok();
        let whole = whole.filter(|opened| !opened.blank && opened.damage.is_none());
        match whole.map_or_else(|| self.store.wipe(shard, true), Ok) {
            Ok(opened) => self.tell(shard, Event::Reopened(found(&opened)), now),
            Err(error) => {
                tracing::error!(%shard, %error, "a damaged copy cannot be removed");
            }
        }
    }

    fn tell_all_failed(&mut self, why: &str, now: Instant) {
        let shards: Vec<ShardId> = self.copies.keys().copied().collect();
        for shard in shards {
            self.tell(shard, Event::Failed(why.to_owned()), now);
        }
    }

    fn propose(&self, change: ShardChange) {
        let (consensus, shared) = (self.consensus.clone(), self.shared.clone());
        self.runtime.spawn(async move {
            let command = ShardCommand { changes: vec![change.clone()] };
            let made = consensus.change_shards(command, Instant::now() + PROPOSE).await;
            let outcome = match made.map(|applied| applied.response) {
                Ok(Response::Done) => Outcome::Done,
                Ok(_) => Outcome::Refused,
                Err(_) => Outcome::Unknown,
            };
            shared.put_surely(Input::Proposed(change, outcome)).await;
        });
    }

    /// Looks what changed in the table of shards.
    pub(super) fn table_changed(&mut self, now: Instant) {
        let table = self.consensus.shards();
        let changed = table.changed_since(&self.table);
        self.table = table;
        for shard in changed {
            let Some(entry) = self.table.get(shard).cloned() else { continue };
            let named = entry.in_sync.contains(&self.me) || entry.targets.contains(&self.me);
            if named && !self.copies.contains_key(&shard) {
                self.open(shard, &entry, now);
            }
            self.tell(shard, Event::Table(Some((*entry).clone())), now);
        }
    }

    fn open(&mut self, shard: ShardId, entry: &Shard, now: Instant) {
        let mut opened = match self.store.opened(shard) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(%shard, %error, "a copy cannot be opened");
                return;
            }
        };
        // Nothing was ever written of a shard that is new in a store which is not. A node that began
        // before its store had another one, in which this may have been.
        let lost = opened.is_new
            && self.store.is_new()
            && self.start.0 > 1
            && entry.revision > 1
            && entry.in_sync.contains(&self.me);
        if lost || opened.damage.is_some() {
            let why = opened.damage.take().unwrap_or_else(|| "its files are gone".into());
            tracing::error!(%shard, why, "a copy is made again from the others");
            match self.store.wipe(shard, true) {
                Ok(wiped) => opened = wiped,
                Err(error) => {
                    tracing::error!(%shard, %error, "a damaged copy cannot be removed");
                    return;
                }
            }
        }
        let replica = Replica::new(self.me, self.start, shard, &found(&opened));
        self.copies.insert(shard, Copy::new(replica));
        if let Some(why) = self.failed.clone() {
            self.tell(shard, Event::Failed(why), now);
        }
    }

    /// Logs a record of this node's own, or of an operation.
    pub(super) fn write(
        &mut self,
        shard: ShardId,
        body: bytes::Bytes,
        logged: Logged,
        now: Instant,
    ) -> Option<Job> {
        let copy = self.copies.get_mut(&shard)?;
        let ticket = copy.jobs.ticket(logged);
        copy.dirty = true;
        match copy.replica.write(ticket, body.clone()) {
            Ok(seq) => {
                let record = store::Record { term: 0, seq, body };
                if let Err(error) = self.store.note(shard, &record) {
                    self.copy_failed(shard, &error, now);
                }
                None
            }
            Err(_) => copy.jobs.untake(ticket),
        }
    }
}

/// How long inputs may gather after a round, so that the next has more of them: as long as what it
/// logged takes to be dealt with by all. One writer alone waits for nothing.
fn gathers(writes: &[LogWrite]) -> Duration {
    let records = writes.iter().map(|write| match write {
        LogWrite::Append(_, records) => records.len(),
        LogWrite::Truncate(..) => 0,
    });
    let records = u32::try_from(records.sum::<usize>()).unwrap_or(u32::MAX);
    if records < FEW { Duration::ZERO } else { RECORD.saturating_mul(records).min(GATHER) }
}

fn told(record: store::Record) -> Record {
    Record { term: Term(record.term), seq: record.seq, body: record.body }
}

/// What the store found, as the copy takes it.
fn found(opened: &store::Opened) -> Opened {
    let point = |(term, seq)| Point { term: Term(term), seq };
    Opened {
        before: point(opened.before),
        starts: opened.starts.iter().map(|(term, seq)| (Term(*term), *seq)).collect(),
        last: opened.last,
        applied: opened.applied,
        blank: opened.blank,
    }
}
