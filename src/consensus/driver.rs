//! The driver: one thread that owns a [`Core`], feeds it and carries out its effects.
//!
//! A thread of its own rather than a task, so that neither a long step nor a busy control runtime
//! holds up the other; everything that Raft does is in one place and in one order. It never waits
//! for the disk, which has a [thread](super::disk_thread) too.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::Message as RaftMessage;

use super::core::{Core, CoreSettings, Effect};
use super::disk_thread::DiskThread;
use super::inbox::{Inbox, Input, LockReply, ProposeReply, ReadReply};
use super::lock_ask::{Ask, Grant, LockError, Told};
use super::raft_node::Fatal;
use super::shared::Shared;
use super::storage::EngineDisk;
use super::transport::Transport;
use super::{frames, metrics};
use crate::id::NodeId;
use crate::wire::consensus::Message;

/// Inputs taken before they are acted on: proposals that come together share one fsync.
const MAX_INPUTS: usize = 1024;
/// Longest time that a stopping driver waits for its session's end to be agreed on.
const CLOSE_WAIT: Duration = Duration::from_millis(500);

/// What a driver is made of; kept to make another one when it panics.
#[derive(Clone)]
pub struct DriverParts {
    /// The core.
    pub settings: CoreSettings,
    /// Where the log is.
    pub dir: PathBuf,
    /// One tick.
    pub tick: Duration,
    /// Where it is told things.
    pub inbox: Inbox,
    /// Where it publishes.
    pub shared: Arc<Shared>,
    /// The other nodes.
    pub transport: Arc<dyn Transport>,
}

impl DriverParts {
    /// Reads the log. Blocks on the disk.
    pub fn open(&self) -> Result<Core<DiskThread>, Fatal> {
        let (disk, loaded) = EngineDisk::open(&self.dir)?;
        let inbox = self.inbox.clone();
        let notify = move || {
            // When it does not fit, the driver is awake anyway.
            let _ = inbox.put(Input::Wake);
        };
        let disk = DiskThread::start(disk, Box::new(notify))?;
        Core::open(&self.settings, disk, loaded)
    }
}

/// A running driver.
pub struct Driver {
    parts: DriverParts,
    core: Core<DiskThread>,
    proposals: HashMap<u64, ProposeReply>,
    reads: HashMap<u64, ReadReply>,
    locks: HashMap<u64, LockReply>,
    messages: u64,
    snapshots: u64,
}

impl Driver {
    /// A driver of this core.
    pub fn new(parts: DriverParts, core: Core<DiskThread>) -> Self {
        parts.shared.replace(core.machine());
        Self {
            parts,
            core,
            proposals: HashMap::new(),
            reads: HashMap::new(),
            locks: HashMap::new(),
            messages: 0,
            snapshots: 0,
        }
    }

    /// Runs until the node stops, or until it cannot go on.
    pub fn run(mut self) -> Result<(), Fatal> {
        let tick = self.parts.tick;
        let mut next_tick = Instant::now() + tick;
        let mut closing: Option<Instant> = None;
        loop {
            let wait = next_tick.saturating_duration_since(Instant::now());
            let inputs = self.parts.inbox.take(wait, MAX_INPUTS);
            let now = Instant::now();
            for input in inputs {
                self.input(input, now)?;
            }
            for (ask, reply) in self.parts.shared.locks.take_late() {
                self.ask(ask, reply);
            }
            let ticks = now >= next_tick;
            if ticks {
                // After a pause one tick stands for all that were missed: the others were not
                // missed by a leader that is well.
                next_tick = (next_tick + tick).max(now);
            }
            if self.parts.shared.stopping() && closing.is_none() {
                closing = Some(now + CLOSE_WAIT);
                self.core.close(now + CLOSE_WAIT, now);
            }
            if let Some(key) = self.parts.shared.key() {
                self.core.set_key(key);
            }
            self.step(now, ticks)?;
            let ended = self.core.may_end();
            if closing.is_some_and(|until| ended || now >= until) {
                return Ok(());
            }
        }
    }

    fn input(&mut self, input: Input, now: Instant) -> Result<(), Fatal> {
        match input {
            Input::Propose(command, bytes, deadline, reply) => {
                match self.core.propose(command, bytes, deadline, now) {
                    Ok(number) => drop(self.proposals.insert(number, reply)),
                    // A send fails only when the caller has gone.
                    Err(full) => drop(reply.send(Err(full))),
                }
            }
            Input::Read(deadline, reply) => match self.core.read(deadline) {
                Ok(number) => drop(self.reads.insert(number, reply)),
                Err(full) => drop(reply.send(Err(full))),
            },
            Input::Raft(message, _) => self.core.raft_message(message)?,
            Input::Peer(from, message) => self.core.message(from, message),
            Input::Lock(ask, reply) => self.ask(ask, reply),
            Input::Locks(most, reply) => {
                // A send fails only when the caller has gone.
                let _ = reply.send(self.core.machine().locks().view(most));
            }
            Input::Wake => {}
        }
        Ok(())
    }

    fn ask(&mut self, ask: Ask, reply: Option<LockReply>) {
        match &ask {
            Ask::Lock { ticket, .. } | Ask::Resume { ticket, .. } | Ask::End { ticket, .. } => {
                self.locks.extend(reply.map(|reply| (*ticket, reply)));
            }
            Ask::GiveUp { ticket, .. } => drop(self.locks.remove(ticket)),
            Ask::Unlock { .. } | Ask::Await { .. } => {}
        }
        self.core.ask(ask);
    }

    fn step(&mut self, now: Instant, ticks: bool) -> Result<(), Fatal> {
        let mut outside = Outside {
            parts: &self.parts,
            proposals: &mut self.proposals,
            reads: &mut self.reads,
            locks: &mut self.locks,
            messages: &mut self.messages,
            unreachable: Vec::new(),
            restored: false,
            done: Vec::new(),
        };
        if ticks {
            self.core.tick(now, &mut |effect| outside.perform(effect));
        }
        self.core.flush(now, &mut |effect| outside.perform(effect))?;
        let Outside { unreachable, restored, done, .. } = outside;
        unreachable.into_iter().for_each(|node| self.core.unreachable(node));
        if restored {
            self.parts.shared.replace(self.core.machine());
        }
        self.publish();
        // Whoever waits hears of it when the local copy shows it.
        done.into_iter().for_each(Done::tell);
        Ok(())
    }

    fn publish(&mut self) {
        let shared = &self.parts.shared;
        if !shared.stopping() {
            shared.set_live_until(self.core.live_until());
        }
        let status = self.core.status();
        ::metrics::gauge!(metrics::TERM).set(status.term as f64);
        ::metrics::gauge!(metrics::COMMIT).set(status.commit as f64);
        ::metrics::gauge!(metrics::APPLIED).set(status.applied as f64);
        ::metrics::gauge!(metrics::IS_LEADER).set(u8::from(self.core.raft().leads()));
        ::metrics::gauge!(metrics::PENDING).set(self.core.open_proposals() as f64);
        ::metrics::gauge!(metrics::LAG).set(self.core.lag().unwrap_or(0) as f64);
        let snapshots = self.core.raft().snapshots();
        ::metrics::counter!(metrics::SNAPSHOTS).increment(snapshots - self.snapshots);
        self.snapshots = snapshots;
        shared.set_status(status);
    }
}

/// Carries out the effects of one step.
struct Outside<'a> {
    parts: &'a DriverParts,
    proposals: &'a mut HashMap<u64, ProposeReply>,
    reads: &'a mut HashMap<u64, ReadReply>,
    locks: &'a mut HashMap<u64, LockReply>,
    messages: &'a mut u64,
    unreachable: Vec<NodeId>,
    restored: bool,
    done: Vec<Done>,
}

/// Somebody to tell after the step.
enum Done {
    Proposal(ProposeReply, super::Applied),
    Read(ReadReply, u64),
    Lock(LockReply, Result<Grant, LockError>),
}

impl Done {
    fn tell(self) {
        // A send fails only when the caller has gone.
        match self {
            Self::Proposal(reply, applied) => drop(reply.send(Ok(applied))),
            Self::Read(reply, index) => drop(reply.send(Ok(index))),
            Self::Lock(LockReply::Grant(reply), result) => drop(reply.send(result)),
            Self::Lock(LockReply::Done(reply), _) => drop(reply.send(())),
        }
    }
}

impl Outside<'_> {
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Raft(message) => self.send_raft(&message),
            Effect::Send(to, message) => {
                // Lost like any other: it is sent again while it matters.
                if let Err(error) = self.parts.transport.send(to, &message, Bytes::new()) {
                    tracing::debug!(%to, %error, "consensus message not sent");
                }
            }
            Effect::Changed(changes) => self.parts.shared.change(changes),
            Effect::Restored => self.restored = true,
            Effect::Group(index, conf) => tracing::info!(
                index,
                voters = ?conf.voters(),
                outgoing = ?conf.outgoing(),
                learners = ?conf.learners(),
                "the group changed"
            ),
            Effect::Settled(number, applied, open) => {
                ::metrics::histogram!(metrics::APPLY_SECONDS).record(open.as_secs_f64());
                let reply = self.proposals.remove(&number);
                self.done.extend(reply.map(|reply| Done::Proposal(reply, applied)));
            }
            Effect::ReadDone(number, index) => {
                let reply = self.reads.remove(&number);
                self.done.extend(reply.map(|reply| Done::Read(reply, index)));
            }
            Effect::Lock(told) => self.tell(told),
            Effect::GivenUp(number) => drop(self.proposals.remove(&number)),
            Effect::ReadGivenUp(number) => drop(self.reads.remove(&number)),
        }
    }

    fn tell(&mut self, told: Told) {
        let shared = &self.parts.shared.locks;
        match told {
            Told::Answer { ticket, call, key, mode, result } => {
                if result.is_ok() {
                    shared.holds(call, key, mode);
                }
                let reply = self.locks.remove(&ticket);
                self.done.extend(reply.map(|reply| Done::Lock(reply, result)));
            }
            Told::Queued(call) => shared.queued(call),
            Told::Done(ticket) => {
                let reply = self.locks.remove(&ticket);
                self.done.extend(reply.map(|reply| Done::Lock(reply, Err(LockError::NotHeld))));
            }
            Told::Ended { call, key, mode } => shared.ended(call, &key, mode),
        }
    }

    fn send_raft(&mut self, message: &RaftMessage) {
        let to = NodeId(message.to);
        let bytes = match message.write_to_bytes() {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) => {
                tracing::error!(%error, "a Raft message could not be encoded");
                return;
            }
        };
        *self.messages += 1;
        for (part, bytes) in frames::split(*self.messages, &bytes) {
            if let Err(error) = self.parts.transport.send(to, &Message::Raft(part), bytes) {
                tracing::debug!(%to, %error, "Raft message not sent");
                self.unreachable.push(to);
                return;
            }
        }
    }
}
