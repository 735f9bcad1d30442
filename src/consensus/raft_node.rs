//! One member of the Raft group: raft-rs, its log and the state machine, stepped from outside.
//! Nothing here knows of time, threads or connections, so that a simulation drives it as the node
//! does.

use std::collections::BTreeMap;

use protobuf::Message as _;
use raft::eraftpb::{
    ConfChangeV2, ConfState, Entry, EntryType, HardState, Message as RaftMessage, MessageType,
    Snapshot,
};
use raft::{Config, RawNode, ReadState, SnapshotStatus, StateRole};

use super::claims::Claims;
use super::conf::Conf;
use super::founding::begin;
use super::guard::{self, Refusal};
use super::log::{Disk, DiskError, Loaded, MemLog, Position, Write};
use super::machine::{Machine, Outcome};
use super::timeouts::{LONGEST, Timeouts};
use super::writer::Writer;
use super::{image, slog_bridge};
use crate::id::NodeId;
use crate::wire::Malformed;
use crate::wire::consensus::Proposal;

/// Ticks between a leader's heartbeats.
const HEARTBEAT_TICKS: usize = 2;
/// Fewest ticks without a heartbeat before an election; the most are twice as many.
const ELECTION_TICKS: usize = 10;
/// Ticks without a word after which a leader is not believed to live.
const SILENT_TICKS: usize = 2 * ELECTION_TICKS;
/// Bytes of entries in one append message: several fit into a network message.
const MAX_APPEND: u64 = 256 << 10;
/// Append messages under way to one follower.
const MAX_INFLIGHT: usize = 64;
/// Bytes proposed and not yet committed; more are dropped and proposed again later.
const MAX_UNCOMMITTED: u64 = 64 << 20;
/// Bytes applied before messages are looked at again.
const MAX_APPLY: u64 = 4 << 20;
/// Bytes of log after which a snapshot is taken even if the entries are few.
const MAX_LOG: usize = 16 << 20;

/// What a member is made of.
#[derive(Debug, Clone)]
pub struct RaftSettings {
    /// Which node.
    pub me: NodeId,
    /// The group that this member founds with others if its log is empty. Without it, it waits
    /// until a group takes it in.
    pub founds: Option<Conf>,
    /// Entries applied after which a snapshot is taken.
    pub snapshot_after: u64,
    /// Seed of the election timeouts.
    pub seed: u64,
}

/// Why a member cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// An entry or snapshot of a newer build.
    #[error("{0}: the cluster runs a newer version of faasm; upgrade this node")]
    Entry(#[from] Malformed),
    /// raft-rs refused its configuration.
    #[error("Raft could not be started: {0}")]
    Raft(String),
    /// This node's log has lost what it had confirmed.
    #[error(
        "the log of {node} ends at {last}, but the leader knows that {node} had confirmed \
         {confirmed}: its data directory was lost or replaced. A voter that forgot must not vote \
         again: restore the directory, or take the node out of the cluster"
    )]
    Forgot {
        /// This node.
        node: NodeId,
        /// Last index here.
        last: u64,
        /// What the leader knows to be here.
        confirmed: u64,
    },
    /// This node's log was made anew.
    #[error(
        "the log of {node} is not the one that it had ({by} knows): its data directory was lost \
         or replaced. A voter that forgot must not vote again: restore the directory, or let a new \
         node take its place, with an empty one: `faasm node --join ADDR --token TOKEN --replace \
         {node} --listen IP --data-dir DIR`, where ADDR is the HTTP address of a node that is up, and \
         `faasm nodes token` prints TOKEN"
    )]
    Lost {
        /// This node.
        node: NodeId,
        /// Who knows it.
        by: NodeId,
    },
    /// This node is no member any more.
    #[error("{0} was removed from the cluster: start it with an empty data directory and `--join`")]
    Removed(NodeId),
    /// The cluster does not take this node, as when it knows a later life of it.
    #[error("the cluster refuses this node: {0}")]
    Refused(String),
}

/// What a step of a member brought.
#[derive(Debug, Default)]
pub struct Step {
    /// Entries applied, in order.
    pub applied: Vec<Outcome>,
    /// Reads that may be answered once their index is applied.
    pub reads: Vec<ReadState>,
    /// The group changed: at which index, into what.
    pub groups: Vec<(u64, Conf)>,
    /// The whole state was replaced by a snapshot.
    pub restored: bool,
}

/// One member.
pub struct RaftNode<D: Disk> {
    pub(super) raw: RawNode<MemLog>,
    pub(super) writer: Writer<D>,
    machine: Machine,
    snapshot_at: u64,
    snapshot_after: u64,
    snapshots: u64,
    timeouts: Timeouts,
    pub(super) claims: Claims,
    /// What is to be said to others beside what raft-rs says.
    pub(super) news: Vec<RaftMessage>,
    settings: RaftSettings,
}

impl<D: Disk> RaftNode<D> {
    /// Starts from what the disk held.
    pub fn open(settings: &RaftSettings, disk: D, loaded: Loaded) -> Result<Self, Fatal> {
        loaded.check()?;
        let machine = match &loaded.snapshot {
            Some((_, data)) => Machine::restore(data)?,
            None => Machine::default(),
        };
        let raw = raw_node(settings, &loaded, &machine)?;
        let range = ELECTION_TICKS..=2 * ELECTION_TICKS;
        let mut node = Self {
            raw,
            writer: Writer::new(disk),
            snapshot_at: machine.applied(),
            machine,
            snapshot_after: settings.snapshot_after.max(1),
            snapshots: 0,
            timeouts: Timeouts::new(settings.seed ^ settings.me.0, range),
            claims: Claims::default(),
            news: Vec::new(),
            settings: settings.clone(),
        };
        node.begun()?;
        Ok(node)
    }

    /// Founds the group. To be done on an empty log only.
    pub fn found(&mut self, conf: Conf) -> Result<(), Fatal> {
        let (loaded, begin) = begin(conf);
        self.writer.write_through(begin)?;
        self.look(&mut |_| ())?;
        if let Some((at, data)) = &loaded.snapshot {
            self.machine = Machine::restore(data)?;
            self.snapshot_at = at.index;
        }
        self.raw = raw_node(&self.settings, &loaded, &self.machine)?;
        self.begun()
    }

    fn begun(&mut self) -> Result<(), Fatal> {
        self.enforce_timeout();
        let conf = self.machine.conf();
        if conf.voters() == [self.settings.me] && !conf.joint() {
            // There is nobody to wait for.
            self.raw.campaign().map_err(|error| Fatal::Raft(error.to_string()))?;
        }
        Ok(())
    }

    /// Notes the births of others' logs; durable on return.
    pub fn witness(&mut self, births: &BTreeMap<NodeId, u64>) -> Result<(), Fatal> {
        Ok(self.writer.write_through(Write::Witness(births.clone()))?)
    }

    /// The state.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Its log.
    pub fn log(&self) -> &MemLog {
        self.raw.store()
    }

    /// Snapshots written since the start, own and received.
    pub fn snapshots(&self) -> u64 {
        self.snapshots
    }

    /// The current term.
    pub fn term(&self) -> u64 {
        self.raw.raft.term
    }

    /// The commit index.
    pub fn commit(&self) -> u64 {
        self.raw.raft.raft_log.committed
    }

    /// Whether this member leads.
    pub fn leads(&self) -> bool {
        self.raw.raft.state == StateRole::Leader
    }

    /// Whether this member leads and has applied an entry of its own term.
    pub fn leads_firmly(&self) -> bool {
        self.leads() && self.raw.raft.apply_to_current_term()
    }

    /// Who leads, as this member believes.
    pub fn leader(&self) -> Option<NodeId> {
        match self.raw.raft.leader_id {
            0 => None,
            id => Some(NodeId(id)),
        }
    }

    /// Whether a leader was heard of lately, or this member leads. Who only follows believes in a
    /// leader for ever.
    pub fn hears_leader(&self) -> bool {
        self.leads() || self.leader().is_some() && self.raw.raft.election_elapsed < SILENT_TICKS
    }

    /// Whether it takes no part until its disk goes on.
    pub fn stands_still(&self) -> bool {
        self.writer.is_stuck()
    }

    /// One tick of its clock. It does not count towards an election while the disk is behind:
    /// what a candidate says waits for it.
    pub fn tick(&mut self) {
        self.writer.tick();
        self.claims.tick();
        if self.writer.is_stuck() || !(self.leads() || self.writer.is_idle()) {
            return;
        }
        self.raw.tick();
        self.enforce_timeout();
    }

    /// Takes a message. An error is fatal; a message that makes no sense is dropped.
    pub fn step(&mut self, message: RaftMessage) -> Result<(), Fatal> {
        if self.writer.is_stuck() || self.writer.is_full() && carries(&message) {
            // As if it had been lost.
            return Ok(());
        }
        match guard::admit(&self.raw.raft, &message) {
            Ok(()) => {}
            Err(Refusal::Fatal(fatal)) => return Err(fatal),
            Err(Refusal::Drop(why)) => {
                tracing::warn!(from = message.from, %why, "Raft message dropped");
                return Ok(());
            }
        }
        if !self.claims.believes(&self.raw.raft, &message) || self.takes_news(&message) {
            return Ok(());
        }
        if let Err(error) = self.raw.step(message) {
            tracing::debug!(%error, "Raft message not taken");
        }
        self.enforce_timeout();
        Ok(())
    }

    /// Appends a proposal, if this member leads and has room. It may still be lost.
    pub fn propose(&mut self, proposal: &Proposal) -> bool {
        let room = !self.writer.is_stuck() && !self.writer.is_full();
        room && self.raw.propose(Vec::new(), image::encode_entry(proposal)).is_ok()
    }

    /// Asks for a read index; it comes back in [`Step::reads`], or never.
    pub fn read_index(&mut self, context: Vec<u8>) {
        self.raw.read_index(context);
    }

    /// A message to a node was not sent.
    pub fn unreachable(&mut self, node: NodeId) {
        self.raw.report_unreachable(node.0);
    }

    /// What became of a snapshot sent to a node; without a word nothing more is sent to it.
    pub fn snapshot_sent(&mut self, node: NodeId, arrived: bool) {
        let status = if arrived { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
        self.raw.report_snapshot(node.0, status);
    }

    /// Whether [`RaftNode::process`] has something to do.
    pub fn has_ready(&self) -> bool {
        self.raw.has_ready()
    }

    /// Handles what is ready, and hands to the disk what it is to keep. Messages that need nothing
    /// durable are sent at once, the others when the disk has it: a vote or an acknowledgement
    /// that the disk forgot would be a lie.
    pub fn process(&mut self, send: &mut dyn FnMut(RaftMessage)) -> Result<Step, Fatal> {
        let mut step = Step::default();
        let mut ready = self.raw.ready();
        ready.take_messages().into_iter().for_each(&mut *send);
        if !ready.snapshot().is_empty() {
            let hard_state = ready.hs().cloned();
            self.install(ready.snapshot(), hard_state)?;
            step.restored = true;
        }
        self.persist(ready.hs(), ready.entries(), ready.must_sync())?;
        for message in ready.take_persisted_messages() {
            self.writer.send(message, send);
        }
        step.reads = ready.take_read_states();
        let committed = ready.take_committed_entries();
        self.apply(&committed, &mut step)?;
        self.writer.stepped(ready.number(), step.restored);
        self.raw.advance_append_async(ready);
        self.look(send)?;
        self.offer_snapshot();
        Ok(step)
    }

    /// Goes on with what waited for the disk.
    pub fn look(&mut self, send: &mut dyn FnMut(RaftMessage)) -> Result<(), Fatal> {
        self.news.drain(..).for_each(&mut *send);
        if let Some(number) = self.writer.done(send)? {
            self.raw.on_persist_ready(number);
        }
        // What a snapshot brought counts as applied when raft-rs knows that it is durable.
        if !self.writer.is_reset() {
            self.raw.advance_apply();
        }
        self.enforce_timeout();
        Ok(())
    }

    fn enforce_timeout(&mut self) {
        self.timeouts.enforce(&mut self.raw, self.writer.took());
    }

    fn persist(
        &mut self,
        hard_state: Option<&HardState>,
        entries: &[Entry],
        sync: bool,
    ) -> Result<(), Fatal> {
        if hard_state.is_none() && entries.is_empty() {
            return Ok(());
        }
        let (hard_state, entries) = (hard_state.cloned(), entries.to_vec());
        let log = self.raw.mut_store();
        log.append(&entries);
        if let Some(hard_state) = &hard_state {
            log.set_hard_state(hard_state.clone());
        }
        Ok(self.writer.write(Write::Append { hard_state, entries, sync })?)
    }

    fn install(&mut self, snapshot: &Snapshot, hard_state: Option<HardState>) -> Result<(), Fatal> {
        let meta = snapshot.get_metadata();
        let at = Position { index: meta.index, term: meta.term };
        let machine = Machine::restore(&snapshot.data)?;
        let mut hard_state = hard_state.unwrap_or_else(|| self.log().hard_state().clone());
        hard_state.commit = hard_state.commit.max(at.index);
        let log = self.raw.mut_store();
        log.set_hard_state(hard_state.clone());
        log.reset(at, ConfState::from(machine.conf()));
        let data = snapshot.data.clone();
        self.writer.write(Write::Reset { hard_state, snapshot: at, data })?;
        self.machine = machine;
        self.snapshot_at = at.index;
        self.snapshots += 1;
        Ok(())
    }

    fn apply(&mut self, entries: &[Entry], step: &mut Step) -> Result<(), Fatal> {
        for entry in entries {
            match entry.get_entry_type() {
                EntryType::EntryNormal if !entry.data.is_empty() => {
                    step.applied.push(self.machine.apply(entry.index, &entry.data)?);
                }
                EntryType::EntryConfChangeV2 => step.groups.extend(self.reconfigure(entry)?),
                EntryType::EntryNormal | EntryType::EntryConfChange => {
                    self.machine.skip(entry.index);
                }
            }
        }
        Ok(())
    }

    fn reconfigure(&mut self, entry: &Entry) -> Result<Option<(u64, Conf)>, Fatal> {
        let malformed = |error: protobuf::ProtobufError| Malformed {
            what: "change of the voters",
            why: error.to_string(),
        };
        let mut change = ConfChangeV2::default();
        change.merge_from_bytes(&entry.data).map_err(malformed)?;
        // What does not fit the configuration is refused by every node alike.
        match self.raw.apply_conf_change(&change) {
            Ok(state) => {
                let conf = Conf::from(&state);
                self.machine.reconfigure(entry.index, conf.clone());
                self.raw.mut_store().set_conf(state);
                Ok(Some((entry.index, conf)))
            }
            Err(error) => {
                tracing::warn!(%error, index = entry.index, "change of the voters not applied");
                self.machine.skip(entry.index);
                Ok(None)
            }
        }
    }

    /// Saves a snapshot and compacts the log, when enough was applied since the last one.
    pub fn maybe_snapshot(&mut self) -> Result<(), Fatal> {
        let index = self.machine.applied();
        let since = index - self.snapshot_at;
        let many = since >= self.snapshot_after;
        let large = self.log().bytes() > MAX_LOG && since > 0;
        if !many && !large || !self.writer.has_snapshot() {
            return Ok(());
        }
        let Some(at) = self.position(index) else { return Ok(()) };
        // A follower that is a little behind is served from the log rather than by a snapshot.
        let keep = if large { 0 } else { self.snapshot_after / 4 };
        let base = index.saturating_sub(keep).max(self.log().base().index);
        let Some(base) = self.position(base) else { return Ok(()) };
        let data = self.machine.snapshot().into();
        self.writer.write(Write::Compact { snapshot: at, data, base })?;
        self.raw.mut_store().compact(base);
        self.snapshot_at = index;
        self.snapshots += 1;
        Ok(())
    }

    fn position(&self, index: u64) -> Option<Position> {
        let term = self.raw.raft.raft_log.term(index).ok()?;
        Some(Position { index, term })
    }

    /// Makes a snapshot of the state as it is now, if raft-rs looked for one for a follower.
    fn offer_snapshot(&mut self) {
        if !self.log().take_wanted() {
            return;
        }
        let Some(at) = self.position(self.machine.applied()) else { return };
        let mut snapshot = Snapshot::default();
        snapshot.data = self.machine.snapshot().into();
        snapshot.mut_metadata().index = at.index;
        snapshot.mut_metadata().term = at.term;
        snapshot.mut_metadata().set_conf_state(ConfState::from(self.machine.conf()));
        tracing::info!(
            index = at.index,
            bytes = snapshot.compute_size(),
            "snapshot for a follower"
        );
        self.log().offer(snapshot);
    }
}

fn raw_node(
    settings: &RaftSettings,
    loaded: &Loaded,
    machine: &Machine,
) -> Result<RawNode<MemLog>, Fatal> {
    let config = Config {
        id: settings.me.0,
        applied: machine.applied(),
        election_tick: ELECTION_TICKS,
        heartbeat_tick: HEARTBEAT_TICKS,
        max_election_tick: LONGEST * 2 * ELECTION_TICKS + 1,
        max_size_per_msg: MAX_APPEND,
        max_inflight_msgs: MAX_INFLIGHT,
        max_uncommitted_size: MAX_UNCOMMITTED,
        max_committed_size_per_ready: MAX_APPLY,
        check_quorum: true,
        pre_vote: true,
        ..Config::default()
    };
    let log = MemLog::new(loaded, ConfState::from(machine.conf()));
    RawNode::new(&config, log, &slog_bridge::logger())
        .map_err(|error| Fatal::Raft(error.to_string()))
}

/// Whether a message brings what is to be written.
fn carries(message: &RaftMessage) -> bool {
    !message.get_entries().is_empty() || message.get_msg_type() == MessageType::MsgSnapshot
}
