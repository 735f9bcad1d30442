//! The leader keeps the shards as they should be: it watches the nodes, asks
//! [`shard_plan`](super::shard_plan) what is next, and proposes it; one batch of changes at a time,
//! the next when that is applied. Looked at when sessions, members or shards changed, and at each
//! tick.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::core::Core;
use super::log::Disk;
use super::machine::{Change, Machine};
use super::shard_plan::{self, Health, Nodes};
use crate::id::NodeId;
use crate::wire::consensus::{Command, Proposal, RequestId};
use crate::wire::shards::ShardCommand;

/// How long a new leader waits for sessions of all members before it founds shards without some.
const FOUND_WITHOUT: Duration = Duration::from_secs(2);
/// How long a batch may take to be applied; then it was lost.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// The leader's memory of what it proposed; empty on every other member.
#[derive(Debug)]
pub struct ShardKeeper {
    patience: Duration,
    down: BTreeMap<NodeId, Instant>,
    leads_since: Option<Instant>,
    flying: Option<(RequestId, Instant)>,
    due: bool,
}

impl ShardKeeper {
    /// A node that is down for `patience` gives its copies to others.
    pub fn new(patience: Duration) -> Self {
        Self { patience, down: BTreeMap::new(), leads_since: None, flying: None, due: false }
    }

    /// Somebody else leads, or this member does for the first time.
    pub fn leads(&mut self, leads: bool, now: Instant) {
        self.down.clear();
        self.flying = None;
        self.leads_since = leads.then_some(now);
        self.due = leads;
    }

    /// Time has passed.
    pub fn tick(&mut self) {
        self.due = true;
    }

    /// An entry was applied.
    pub fn applied(&mut self, id: RequestId, changes: &[Change]) {
        self.flying.take_if(|(flying, _)| *flying == id);
        self.due |= changes.iter().any(|change| {
            matches!(
                change,
                Change::Opened(_) | Change::Ended(_) | Change::Members(_) | Change::Shards(_)
            )
        });
    }

    /// What to propose now.
    pub fn next(&mut self, machine: &Machine, now: Instant) -> Option<ShardCommand> {
        let since = self.leads_since?;
        let late =
            |(_, at): &mut (RequestId, Instant)| now.saturating_duration_since(*at) >= LOST_AFTER;
        self.flying.take_if(late);
        if !std::mem::take(&mut self.due) || self.flying.is_some() {
            return None;
        }
        if !machine.members().founded() {
            return None;
        }
        let nodes = self.nodes(machine, now);
        let all_here = nodes.values().all(|node| node.live);
        let found = all_here || now.saturating_duration_since(since) >= FOUND_WITHOUT;
        shard_plan::next(machine.shards(), &nodes, self.patience, found)
    }

    /// A batch was proposed under this name.
    pub fn proposed(&mut self, id: RequestId, now: Instant) {
        self.flying = Some((id, now));
    }

    fn nodes(&mut self, machine: &Machine, now: Instant) -> Nodes {
        let members = machine.members().all();
        self.down.retain(|node, _| members.contains_key(node) && machine.session(*node).is_none());
        let health = |(id, member): (&NodeId, &crate::wire::members::Member)| {
            let live = machine.session(*id).is_some();
            let since = if live { now } else { *self.down.entry(*id).or_insert(now) };
            let down = now.saturating_duration_since(since);
            (*id, Health { live, draining: member.draining, down })
        };
        members.iter().map(health).collect()
    }
}

impl<D: Disk> Core<D> {
    /// Proposes the next changes of shards, if this member leads and some are due.
    pub(super) fn plan_shards(&mut self, now: Instant) {
        let Some(command) = self.shard_keeper.next(self.raft.machine(), now) else { return };
        let id = self.proposals.next_id();
        tracing::debug!(changes = command.changes.len(), "proposing changes of shards");
        // What has no room in the log now is planned again at the next tick.
        if self.append(&Proposal { id, command: Command::Shards(Box::new(command)) }) {
            self.shard_keeper.proposed(id, now);
        }
    }
}
