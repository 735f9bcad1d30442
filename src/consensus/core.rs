//! All of consensus on one node, as one value: events in, effects out, time passed in. The driver
//! thread feeds it and carries out its effects; the simulation feeds several of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use raft::eraftpb::{Message as RaftMessage, MessageType};

use super::admission::Admission;
use super::conf::Conf;
use super::keeper::{Deed, Keeper};
use super::lock_ask::Told;
use super::lock_desk::Desk;
use super::log::{Disk, Loaded};
use super::machine::{Change, Machine, Outcome};
use super::proposals::{Full, Proposals};
use super::raft_node::{Fatal, RaftNode, RaftSettings, Step};
use super::reads::{self, Purpose, Reads};
use super::sessions::Sessions;
use super::settling::may_propose;
use super::shard_keeper::ShardKeeper;
use super::steering::Steering;
use super::{Applied, RaftStatus};
use crate::id::{Incarnation, NodeId};
use crate::wire::consensus::{Command, Message, Proposal, Renewal};
use crate::wire::members::{KeyHash, MemberCommand};

/// How long nothing is heard of a snapshot before the follower is asked how far it is. raft-rs
/// sends a follower nothing else meanwhile.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(2);
/// How long an attempt to open the session is tracked before another one is made.
const OPEN_PATIENCE: Duration = Duration::from_secs(10);

/// What a node's consensus is made of.
#[derive(Debug, Clone)]
pub struct CoreSettings {
    /// The Raft member.
    pub raft: RaftSettings,
    /// Which life of the node.
    pub incarnation: Incarnation,
    /// Length of a session.
    pub session: Duration,
    /// How long a voter is down before it is replaced.
    pub replace_after: Duration,
    /// The HTTP address to announce.
    pub http: String,
    /// The public key that this node shows.
    pub key: Option<KeyHash>,
    /// What founds the cluster, if this node is one of its founders.
    pub founding: Option<MemberCommand>,
    /// The last proposal number given in this life.
    pub numbers: Arc<AtomicU64>,
    /// How often the driver was started again in this life. What it numbers anew begins behind
    /// all that an earlier one may have given: late answers to that one must not be taken.
    pub restarts: u32,
}

/// What is to be done outside.
#[derive(Debug)]
pub enum Effect {
    /// Send a Raft message (to `message.to`).
    Raft(RaftMessage),
    /// Send another message.
    Send(NodeId, Message),
    /// The state changed.
    Changed(Vec<Change>),
    /// The group changed, at this log index.
    Group(u64, Conf),
    /// The whole state was replaced; look at [`Core::machine`].
    Restored,
    /// A proposal of this node was applied, after it was open for so long.
    Settled(u64, Applied, Duration),
    /// A proposal of this node was given up: its deadline passed.
    GivenUp(u64),
    /// A read of this node may go on: this index is applied.
    ReadDone(u64, u64),
    /// A read of this node was given up: its deadline passed.
    ReadGivenUp(u64),
    /// What came of what a call of this node asked for.
    Lock(Told),
}

/// Takes the effects, in order and as they come: messages must leave before the disk is waited for.
pub type Sink<'a> = &'a mut dyn FnMut(Effect);

/// Consensus on one node.
pub struct Core<D: Disk> {
    pub(super) me: NodeId,
    incarnation: Incarnation,
    http: String,
    key: Option<KeyHash>,
    pub(super) founding: Option<MemberCommand>,
    pub(super) raft: RaftNode<D>,
    pub(super) proposals: Proposals,
    reads: Reads,
    sessions: Sessions,
    steering: Steering,
    pub(super) shard_keeper: ShardKeeper,
    pub(super) desk: Desk,
    pub(super) keeper: Keeper,
    /// The node stops.
    stops: bool,
    pub(super) admission: Admission,
    pub(super) founds: Option<Conf>,
    /// Nodes to knock at, and answers to those that knocked.
    pub(super) knocks: BTreeMap<NodeId, Message>,
    pub(super) fatal: Option<Fatal>,
    /// The proposal that opens this node's session, while it is open.
    pub(super) opening: Option<u64>,
    /// The term in which this member leads firmly.
    pub(super) led: Option<u64>,
    pub(super) leader: Option<NodeId>,
    snapshots_sent: BTreeMap<NodeId, Instant>,
}

impl<D: Disk> Core<D> {
    /// Starts from what the disk held.
    pub fn open(settings: &CoreSettings, disk: D, loaded: Loaded) -> Result<Self, Fatal> {
        let me = settings.raft.me;
        let founds = settings.raft.founds.clone();
        let witnessed = loaded.witnessed.clone();
        let admission =
            Admission::new(me, loaded.birth, loaded.is_blank(), founds.as_ref(), witnessed);
        let raft = RaftNode::open(&settings.raft, disk, loaded)?;
        let after = u64::from(settings.restarts) << 32;
        let mut keeper = Keeper::new(me, settings.incarnation, settings.session, after);
        raft.machine().sessions().for_each(|session| keeper.opened(session.id));
        let mut core = Self {
            me,
            incarnation: settings.incarnation,
            http: settings.http.clone(),
            key: settings.key,
            founding: settings.founding.clone(),
            raft,
            proposals: Proposals::new(me, settings.incarnation, settings.numbers.clone()),
            reads: Reads::new(after),
            sessions: Sessions::new(settings.session, after),
            steering: Steering::new(me, settings.replace_after),
            shard_keeper: ShardKeeper::new(settings.replace_after),
            desk: Desk::default(),
            stops: false,
            admission,
            founds,
            knocks: BTreeMap::new(),
            fatal: None,
            keeper,
            opening: None,
            led: None,
            leader: None,
            snapshots_sent: BTreeMap::new(),
        };
        core.found_group()?;
        core.reconcile_locks();
        Ok(core)
    }

    /// The state machine.
    pub fn machine(&self) -> &Machine {
        self.raft.machine()
    }

    /// This node shows another key from now on.
    pub fn set_key(&mut self, key: KeyHash) {
        self.key = Some(key);
    }

    /// The Raft member.
    pub fn raft(&self) -> &RaftNode<D> {
        &self.raft
    }

    /// Until when this node's own session is live.
    pub fn live_until(&self) -> Option<Instant> {
        self.keeper.live_until()
    }

    /// Whether this node has no session open.
    pub fn session_ended(&self) -> bool {
        self.keeper.session().is_none()
    }

    /// Proposals of this node that are open.
    pub fn open_proposals(&self) -> usize {
        self.proposals.len()
    }

    /// Log entries by which the live node that is furthest behind trails, as the leader knows.
    pub fn lag(&self) -> Option<u64> {
        Some(self.machine().applied().saturating_sub(self.sessions.slowest()?))
    }

    /// How Raft stands.
    pub fn status(&self) -> RaftStatus {
        RaftStatus {
            leader: self.raft.leader(),
            term: self.raft.term(),
            commit: self.raft.commit(),
            applied: self.machine().applied(),
            first: self.raft.log().base().index + 1,
            voters: self.machine().conf().voters().to_vec(),
            learners: self.machine().conf().learners().to_vec(),
            changing: self.machine().conf().joint(),
            caught_up: self.raft.leads().then(|| self.raft.caught_up()),
            waits: self.steering.waits().map(str::to_owned),
        }
    }

    /// Opens a proposal of `bytes` bytes; gives its number, by which it is settled.
    pub fn propose(
        &mut self,
        command: Command,
        bytes: usize,
        deadline: Instant,
        now: Instant,
    ) -> Result<u64, Full> {
        self.proposals.open(command, bytes, deadline, now)
    }

    /// Opens a read; gives its number, by which it is done.
    pub fn read(&mut self, deadline: Instant) -> Result<u64, Full> {
        self.reads.open(deadline).ok_or(Full)
    }

    /// Takes a Raft message.
    pub fn raft_message(&mut self, message: RaftMessage) -> Result<(), Fatal> {
        if self.may_speak(NodeId(message.from)) { self.raft.step(message) } else { Ok(()) }
    }

    /// Takes another message. What makes no sense is dropped: it may come late.
    pub fn message(&mut self, from: NodeId, message: Message) {
        match message {
            Message::Propose(proposals) if self.raft.leads() => {
                for proposal in proposals.into_iter().filter(|p| may_propose(from, p)) {
                    let _ = self.append(&proposal);
                }
            }
            Message::Renew(renewal) if renewal.session.node == from => {
                self.sessions.renew(renewal);
            }
            Message::Renewed { session, number } => self.keeper.renewed(session, number),
            Message::Knock { birth, founds } => self.knocked_by(from, birth, founds),
            Message::Knocked(verdict) => self.answered(from, verdict),
            Message::Propose(_) | Message::Renew(_) | Message::Raft(_) => {}
        }
    }

    /// A message to a node could not be sent.
    pub fn unreachable(&mut self, node: NodeId) {
        self.raft.unreachable(node);
        if self.snapshots_sent.remove(&node).is_some() {
            self.raft.snapshot_sent(node, false);
        }
    }

    /// One tick of the clock.
    pub fn tick(&mut self, now: Instant, sink: Sink<'_>) {
        self.raft.tick();
        for number in self.proposals.expire(now) {
            if self.opening.take_if(|opening| *opening == number).is_some() {
                self.keeper.open_settled();
            }
            if !self.lock_given_up(number) {
                sink(Effect::GivenUp(number));
            }
        }
        self.reads.expire(now).into_iter().for_each(|number| sink(Effect::ReadGivenUp(number)));
        let late: Vec<NodeId> = self
            .snapshots_sent
            .iter()
            .filter(|(_, sent)| now.saturating_duration_since(**sent) >= SNAPSHOT_PATIENCE)
            .map(|(node, _)| *node)
            .collect();
        for node in late {
            self.snapshots_sent.remove(&node);
            self.raft.snapshot_sent(node, true);
        }
        if self.raft.stands_still() {
            return;
        }
        for session in self.sessions.expire(now) {
            tracing::warn!(node = %session.node, "session not renewed: proposing its end");
            let id = self.proposals.next_id();
            if !self.append(&Proposal { id, command: Command::ExpireSession { session } }) {
                self.sessions.not_proposed(session);
            }
        }
        self.steering.tick(&mut self.raft, self.led.is_some(), self.stops, now);
        self.shard_keeper.tick();
        self.knock();
    }

    /// The node stops: its session is given up at once, its end proposed, and the lead handed
    /// over.
    pub fn close(&mut self, deadline: Instant, now: Instant) {
        self.stops = true;
        if let Some(session) = self.keeper.close() {
            let command = Command::ExpireSession { session };
            // When too many proposals are open the session ends by itself.
            let _ = self.propose(command, 0, deadline, now);
        }
    }

    /// Does all that the events since the last time ask for. To be called after each batch of
    /// events; an error is fatal.
    pub fn flush(&mut self, now: Instant, sink: Sink<'_>) -> Result<(), Fatal> {
        self.found_group()?;
        self.raft.look(&mut |message| sink(Effect::Raft(message)))?;
        while !self.raft.stands_still() {
            self.follow_leader(now);
            self.found();
            self.keep_session(now, sink);
            self.serve_locks(now, sink);
            self.send_proposals(now, sink);
            self.plan_shards(now);
            if self.stops {
                self.steering.tick(&mut self.raft, self.led.is_some(), true, now);
            }
            self.ask_for_reads(now);
            if !self.raft.has_ready() {
                break;
            }
            let sent = &mut self.snapshots_sent;
            let step = self.raft.process(&mut |message| {
                if message.get_msg_type() == MessageType::MsgSnapshot {
                    sent.insert(NodeId(message.to), now);
                }
                sink(Effect::Raft(message));
            })?;
            self.take(step, now, sink)?;
        }
        self.still_in(sink)?;
        self.raft.maybe_snapshot()
    }

    fn follow_leader(&mut self, now: Instant) {
        let leader = self.raft.leader();
        if self.leader != leader {
            self.leader = leader;
            self.reads.leader_changed();
        }
        self.proposals.leader_is(leader);
        let led = self.raft.leads_firmly().then(|| self.raft.term());
        if self.led != led {
            self.led = led;
            self.shard_keeper.leads(led.is_some(), now);
            match led {
                Some(_) => self.sessions.lead(self.raft.machine().sessions().map(|s| s.id), now),
                None => self.sessions.depose(),
            }
        }
        if !self.raft.leads() {
            self.snapshots_sent.clear();
        }
    }

    fn keep_session(&mut self, now: Instant, sink: Sink<'_>) {
        if self.machine().members().was_removed(self.me) {
            return;
        }
        match self.keeper.next(self.leader, self.raft.machine().applied(), now) {
            None => {}
            Some(Deed::Open) => {
                let (node, incarnation) = (self.me, self.incarnation);
                let (http, key) = (self.http.clone(), self.key);
                let birth = self.admission.birth();
                let command = Command::OpenSession { node, incarnation, http, key, birth };
                match self.propose(command, self.http.len(), now + OPEN_PATIENCE, now) {
                    Ok(number) => self.opening = Some(number),
                    Err(Full) => self.keeper.open_settled(),
                }
            }
            Some(Deed::Renew(leader, renewal)) if leader == self.me => {
                self.sessions.renew(renewal);
            }
            Some(Deed::Renew(leader, renewal)) => {
                sink(Effect::Send(leader, Message::Renew(renewal)));
            }
        }
    }

    fn send_proposals(&mut self, now: Instant, sink: Sink<'_>) {
        for batch in self.proposals.batches(now) {
            if batch.to == self.me {
                for proposal in &batch.proposals {
                    // What does not fit is proposed again, as what is lost.
                    let _ = self.append(proposal);
                }
            } else {
                sink(Effect::Send(batch.to, Message::Propose(batch.proposals)));
            }
        }
    }

    pub(super) fn append(&mut self, proposal: &Proposal) -> bool {
        self.raft.propose(proposal)
    }

    fn ask_for_reads(&mut self, now: Instant) {
        let name = |purpose, round| reads::context(purpose, self.me, self.incarnation, round);
        if self.sessions.leads()
            && let Some(round) = self.sessions.ask()
        {
            self.raft.read_index(name(Purpose::Renewals, round));
        }
        if self.leader.is_some()
            && let Some(round) = self.reads.ask(now)
        {
            self.raft.read_index(name(Purpose::Read, round));
        }
    }

    fn take(&mut self, step: Step, now: Instant, sink: Sink<'_>) -> Result<(), Fatal> {
        if step.restored {
            self.restored(now, sink)?;
        }
        step.groups.into_iter().for_each(|(index, conf)| sink(Effect::Group(index, conf)));
        for outcome in step.applied {
            self.applied(outcome, now, sink)?;
        }
        for read in step.reads {
            match reads::parse(&read.request_ctx, self.me, self.incarnation) {
                Some((Purpose::Read, round)) => self.reads.answered(round, read.index),
                Some((Purpose::Renewals, round)) => self.grant(round, now, sink),
                None => {}
            }
        }
        let applied = self.machine().applied();
        for number in self.reads.applied(applied) {
            sink(Effect::ReadDone(number, applied));
        }
        Ok(())
    }

    fn grant(&mut self, round: u64, now: Instant, sink: Sink<'_>) {
        for Renewal { session, number, .. } in self.sessions.confirmed(round, now) {
            if session.node == self.me {
                self.keeper.renewed(session, number);
            } else {
                sink(Effect::Send(session.node, Message::Renewed { session, number }));
            }
        }
    }

    fn applied(&mut self, outcome: Outcome, now: Instant, sink: Sink<'_>) -> Result<(), Fatal> {
        for change in &outcome.changes {
            match change {
                Change::Opened(session) => {
                    self.sessions.opened(session.id, now);
                    self.keeper.opened(session.id);
                }
                Change::Ended(id) => {
                    if self.keeper.session() == Some(*id) {
                        self.desk.session_over();
                    }
                    self.sessions.ended(*id);
                    self.keeper.ended(*id);
                }
                Change::Function(..)
                | Change::Artifact(..)
                | Change::ArtifactGone(..)
                | Change::Members(_)
                | Change::Users(_)
                | Change::Shards(_) => {}
                Change::Lock(change) => self.lock_changed(change),
            }
        }
        self.shard_keeper.applied(outcome.id, &outcome.changes);
        if !outcome.changes.is_empty() {
            sink(Effect::Changed(outcome.changes));
        }
        self.settle(outcome.id, outcome.index, outcome.response, now, sink)?;
        self.tell(sink);
        Ok(())
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "claims_tests.rs"]
mod claims_tests;
