//! Operations that an owner was asked and has not answered yet.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::replica::Ticket;
use crate::net::Replier;
use crate::wire::state::{Answer, Ask, Refusal, Response, Written};

/// Operations of one shard that wait at most; more are refused.
const MAX_WAITING: usize = 16_384;

/// Who waits for an answer.
pub enum Asker {
    /// A call of this node.
    Here(oneshot::Sender<(Answer, Bytes)>),
    /// A peer, which may have only so many questions open.
    Peer { reply: Replier, _admitted: OwnedSemaphorePermit },
}

/// One operation.
pub struct Job {
    /// What is asked.
    pub ask: Ask,
    /// The bytes beside it.
    pub body: Bytes,
    /// It is given up then.
    pub deadline: Instant,
    asker: Asker,
}

impl Job {
    /// An operation, to be answered at once or later.
    pub fn new(ask: Ask, body: Bytes, deadline: Instant, asker: Asker) -> Self {
        let told = Instant::now() + Duration::from_millis(u64::from(ask.wait_ms));
        Self { ask, body, deadline: deadline.min(told), asker }
    }

    /// Answers it.
    pub fn answer(self, answer: Answer, bytes: Bytes) {
        match self.asker {
            // Nobody waits when the asking call has ended.
            Asker::Here(reply) => drop(reply.send((answer, bytes))),
            Asker::Peer { reply, .. } => reply.send(&Response::Answer(answer), bytes),
        }
    }

    /// Refuses it.
    pub fn refuse(self, refusal: Refusal) {
        self.answer(Answer::Refused(refusal), Bytes::new());
    }

    fn is_over(&self, now: Instant) -> bool {
        now >= self.deadline || matches!(&self.asker, Asker::Here(reply) if reply.is_closed())
    }
}

/// What is to be done when a record is settled.
pub enum Logged {
    /// Answer the write that it is.
    Write(Job),
    /// Look at the operation again.
    Again(Job),
    /// Nothing.
    Own,
}

/// The operations of one shard.
#[derive(Default)]
pub struct Jobs {
    last: Ticket,
    logged: HashMap<Ticket, Logged>,
    /// By the record that each waits for.
    after: BTreeMap<u64, Vec<Job>>,
    /// Too much was under way.
    blocked: VecDeque<Job>,
    waiting: usize,
    answers: HashMap<u64, Written>,
}

impl Jobs {
    /// A ticket for a record.
    pub fn ticket(&mut self, logged: Logged) -> Ticket {
        self.last += 1;
        self.logged.insert(self.last, logged);
        self.last
    }

    /// Takes back the ticket of a record that was not logged.
    pub fn untake(&mut self, ticket: Ticket) -> Option<Job> {
        match self.logged.remove(&ticket)? {
            Logged::Write(job) | Logged::Again(job) => Some(job),
            Logged::Own => None,
        }
    }

    /// The operation waits for a record.
    pub fn wait_for(&mut self, seq: u64, job: Job) {
        if self.has_room() {
            self.after.entry(seq).or_default().push(job);
        } else {
            job.refuse(Refusal::Unavailable("too many operations wait for others".into()));
        }
    }

    /// The operation waits until less is under way.
    pub fn block(&mut self, job: Job) {
        if self.has_room() {
            self.blocked.push_back(job);
        } else {
            job.refuse(Refusal::Unavailable("too many writes wait for the disks".into()));
        }
    }

    fn has_room(&mut self) -> bool {
        let room = self.waiting < MAX_WAITING;
        self.waiting += usize::from(room);
        room
    }

    /// Whether operations wait until less is under way: then others must wait behind them.
    pub fn is_blocked(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// A write was applied, with this answer.
    pub fn applied(&mut self, seq: u64, written: Written) {
        if !self.logged.is_empty() {
            self.answers.insert(seq, written);
        }
    }

    /// The operations that waited for records up to this one, but for one of those.
    pub fn released(&mut self, through: u64, but: Option<u64>) -> Vec<Job> {
        let later = self.after.split_off(&(through + 1));
        let mut released = std::mem::replace(&mut self.after, later);
        if let Some((seq, jobs)) = but.and_then(|seq| released.remove_entry(&seq)) {
            self.after.insert(seq, jobs);
        }
        let jobs: Vec<Job> = released.into_values().flatten().collect();
        self.waiting -= jobs.len();
        jobs
    }

    /// Those that were blocked, in order.
    pub fn unblocked(&mut self) -> VecDeque<Job> {
        self.waiting -= self.blocked.len();
        std::mem::take(&mut self.blocked)
    }

    /// A record is settled: what was to be done, and the answer if it was a write.
    pub fn settled(
        &mut self,
        ticket: Ticket,
        seq: Option<u64>,
    ) -> Option<(Logged, Option<Written>)> {
        let written = seq.and_then(|seq| self.answers.remove(&seq));
        Some((self.logged.remove(&ticket)?, written))
    }

    /// Refuses those whose time is over.
    pub fn give_up(&mut self, now: Instant) {
        let before = self.waiting;
        for jobs in self.after.values_mut() {
            let over: Vec<Job> = jobs.extract_if(.., |job| job.is_over(now)).collect();
            self.waiting -= over.len();
            over.into_iter().for_each(late);
        }
        if self.waiting != before {
            self.after.retain(|_, jobs| !jobs.is_empty());
        }
        let (over, rest): (VecDeque<Job>, VecDeque<Job>) =
            std::mem::take(&mut self.blocked).into_iter().partition(|job| job.is_over(now));
        self.waiting -= over.len();
        self.blocked = rest;
        over.into_iter().for_each(late);
    }

    /// Everything, when the shard is another's.
    pub fn refuse_all(&mut self) {
        let all = self.released(u64::MAX - 1, None);
        all.into_iter().chain(self.unblocked()).for_each(|job| job.refuse(Refusal::NotOwner));
        self.answers.clear();
    }
}

fn late(job: Job) {
    let why = "the write before it did not become durable in time on enough nodes";
    job.refuse(Refusal::Unavailable(why.into()));
}
