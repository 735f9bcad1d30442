//! Operations at the owner: who may do them, what is decided, who waits.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::driver::{Driver, Input};
use super::jobs::{Job, Logged};
use super::store::StoreError;
use super::values::{Decision, Next, Plan};
use crate::wire::consensus::SessionId;
use crate::wire::locks::Mode;
use crate::wire::shards::ShardId;
use crate::wire::state::{Op, Refusal};

/// Longest wait until this node has applied the entry that granted a lock.
const APPLY: Duration = Duration::from_secs(5);

impl Driver {
    /// Takes an operation, or looks at it again.
    pub(super) fn ask(&mut self, job: Job, now: Instant) {
        let shard = job.ask.key.shard();
        let Some(epoch) = self.serves(shard) else { return job.refuse(Refusal::NotOwner) };
        match self.admit(&job, epoch) {
            Ok(true) => {}
            Ok(false) => return self.ask_later(job),
            Err(refusal) => return job.refuse(refusal),
        }
        if let Some(copy) = self.copies.get_mut(&shard)
            && copy.jobs.is_blocked()
            && matches!(job.ask.op, Op::Write { .. })
        {
            return copy.jobs.block(job);
        }
        match self.decide(shard, &job, epoch, now) {
            Ok(decision) => self.decided(shard, job, decision, now),
            Err(error) => {
                job.refuse(Refusal::NotOwner);
                self.copy_failed(shard, &error, now);
            }
        }
    }

    /// The epoch in which this node may answer for a shard. Its copy may not have been told yet that
    /// another node took the shard over before this one got its session.
    pub(super) fn serves(&self, shard: ShardId) -> Option<u64> {
        let epoch = self.copies.get(&shard)?.replica.serving()?;
        self.consensus.owns(shard, epoch).then_some(epoch)
    }

    /// Whether the operation may be decided now; not before this node has heard of the lock.
    fn admit(&self, job: &Job, epoch: u64) -> Result<bool, Refusal> {
        if let Op::Write { id, .. } = &job.ask.op
            && self.is_over(id.session)
        {
            let why = "the session of the writing node is over; it may have been done before";
            let over = Refusal::Unavailable(why.into());
            return Err(if job.ask.proof.is_some() { Refusal::LockLost } else { over });
        }
        if let Some(proof) = job.ask.proof {
            if proof.epoch > epoch {
                return Err(Refusal::NotOwner);
            }
            if proof.token > self.consensus.applied_index() {
                return Ok(false);
            }
        }
        let locked = self.consensus.write_locked(&job.ask.key);
        let token = job.ask.proof.map(|proof| proof.token);
        // Also if nobody took it since: what is under way of a call that has ended must not come
        // behind what others wrote without a lock.
        let wrote = job.ask.proof.filter(|proof| proof.mode == Mode::Write);
        if wrote.is_some_and(|proof| locked != Some(proof.token)) {
            return Err(Refusal::LockLost);
        }
        match locked {
            Some(locked) if token.is_some_and(|token| token < locked) => Err(Refusal::LockLost),
            Some(locked) if token != Some(locked) && matches!(job.ask.op, Op::Write { .. }) => {
                Err(Refusal::Locked)
            }
            _ => Ok(true),
        }
    }

    /// Whether a session has ended, as far as this node knows.
    pub(super) fn is_over(&self, session: SessionId) -> bool {
        match self.consensus.session_of(session.node) {
            Some(opened) => opened > session.opened,
            None => self.consensus.applied_index() >= session.opened,
        }
    }

    /// The operation comes again when this node has applied the entry that granted its lock.
    fn ask_later(&self, job: Job) {
        let Some(proof) = job.ask.proof else { return job.refuse(Refusal::NotOwner) };
        let (consensus, shared) = (self.consensus.clone(), self.shared.clone());
        self.runtime.spawn(async move {
            let until = job.deadline.min(Instant::now() + APPLY);
            if !consensus.wait_applied(proof.token, until).await {
                let why = "the owner has not heard of the lock yet";
                return job.refuse(Refusal::Unavailable(why.into()));
            }
            if let Err(Input::Ask(job)) = shared.put(Input::Ask(Box::new(job))) {
                job.refuse(Refusal::Unavailable("the owner has too much to do".into()));
            }
        });
    }

    fn decide(
        &mut self,
        shard: ShardId,
        job: &Job,
        epoch: u64,
        now: Instant,
    ) -> Result<Decision, StoreError> {
        let seq = self.copies.get(&shard).map_or(1, |copy| copy.replica.next_seq());
        let (room, staging) = match job.ask.op {
            Op::Write { .. } => self.room(&job.ask.key.user, now),
            _ => (0, 0),
        };
        let next = Next {
            epoch,
            seq,
            now: self.ms(now),
            room: &|_| room,
            staging,
            space: &|bytes| self.store.has_space(bytes),
        };
        self.store.decide(shard, &job.ask, &job.body, &next)
    }

    fn decided(&mut self, shard: ShardId, job: Job, decision: Decision, now: Instant) {
        match decision {
            Decision::Answer(answer) => {
                // Time has passed since it was looked at.
                match self.serves(shard) {
                    Some(_) => job.answer(answer, Bytes::new()),
                    None => job.refuse(Refusal::NotOwner),
                }
            }
            Decision::Append(body) => {
                self.spend(&job.ask, job.body.len());
                self.append(shard, body, Logged::Write(job), now);
            }
            Decision::Fence(body) => self.append(shard, body, Logged::Again(job), now),
            Decision::After(seq) => {
                if let Some(copy) = self.copies.get_mut(&shard) {
                    copy.jobs.wait_for(seq, job);
                }
            }
            Decision::Read(plan) => self.read(shard, job, plan),
        }
    }

    fn append(&mut self, shard: ShardId, body: Bytes, logged: Logged, now: Instant) {
        let refused = self.write(shard, body, logged, now);
        let (Some(job), Some(copy)) = (refused, self.copies.get_mut(&shard)) else { return };
        copy.jobs.block(job);
    }

    /// Reads on another thread; the lease is looked at afterwards.
    fn read(&self, shard: ShardId, job: Job, plan: Plan) {
        let (store, shared) = (self.store.clone(), self.shared.clone());
        let consensus = self.consensus.clone();
        let epoch = shared.serving(shard);
        self.runtime.spawn_blocking(move || {
            let read = store.read(shard, &plan);
            let serves = shared.serving(shard) == epoch && consensus.owns(shard, epoch);
            match read {
                Ok((answer, bytes)) if serves => job.answer(answer, bytes),
                Ok(_) => job.refuse(Refusal::NotOwner),
                Err(error) => {
                    job.refuse(Refusal::NotOwner);
                    let _ = shared.put(Input::Damaged(shard, error));
                }
            }
        });
    }

    /// Gives up what is overdue, and makes checkpoints.
    pub(super) fn tidy(&mut self, now: Instant) {
        let served: Vec<ShardId> =
            self.copies.keys().copied().filter(|shard| self.shared.serving(*shard) > 0).collect();
        for shard in served {
            let overdue = self.store.overdue(shard, self.ms(now), &|session| self.is_over(session));
            match overdue {
                Ok(Some(body)) => {
                    let _ = self.write(shard, body, Logged::Own, now);
                }
                Ok(None) => {}
                Err(error) => self.copy_failed(shard, &error, now),
            }
        }
        let again: Vec<ShardId> = self
            .copies
            .iter_mut()
            .filter(|(_, copy)| copy.retry_at.is_some_and(|at| now >= at))
            .map(|(shard, copy)| {
                copy.retry_at = None;
                *shard
            })
            .collect();
        for shard in again {
            self.resume(shard, now);
        }
        self.checkpoint(now);
    }

    fn checkpoint(&mut self, now: Instant) {
        let due = now.saturating_duration_since(self.checkpointed) >= super::driver::CHECKPOINT;
        if self.failed.is_some() || self.checkpointing || !(due || self.store.wants_checkpoint()) {
            return;
        }
        (self.checkpointed, self.checkpointing) = (now, true);
        let (store, shared, ms) = (self.store.clone(), self.shared.clone(), self.ms(now));
        self.runtime.spawn(async move {
            let made = tokio::task::spawn_blocking(move || store.checkpoint(ms)).await;
            let made = made.unwrap_or_else(|error| Err(StoreError::Log(error.to_string())));
            shared.put_surely(Input::Checkpoint(made)).await;
        });
    }

    /// A checkpoint is made.
    pub(super) fn checkpointed(&mut self, done: super::driver::Checkpoint, now: Instant) {
        self.checkpointing = false;
        match done {
            Ok((compacted, failed)) => {
                for (shard, through) in compacted {
                    if let Some(copy) = self.copies.get_mut(&shard) {
                        copy.replica.compacted(through);
                    }
                }
                for error in failed {
                    if let StoreError::Copy { shard, .. } = &error {
                        self.copy_failed(*shard, &error, now);
                    }
                }
            }
            Err(error) => self.copy_failed(ShardId(0), &error, now),
        }
    }

    /// Reading found that a copy is damaged.
    pub(super) fn damaged(&mut self, shard: ShardId, error: &StoreError, now: Instant) {
        // The copy may have been made again since.
        if self.store.opened(shard).is_ok_and(|opened| opened.damage.is_some()) {
            self.copy_failed(shard, error, now);
        }
    }
}
