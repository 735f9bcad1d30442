//! The leader steers who votes: it watches the nodes, asks [`voters`](super::voters) what is next,
//! and proposes it. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::log::Disk;
use super::machine::Machine;
use super::raft_node::RaftNode;
use super::voters::{self, Plan, Standing, Standings};
use crate::id::NodeId;

/// The leader's memory of who is down, and whom it asked to lead; empty on every other member.
#[derive(Debug)]
pub struct Steering {
    me: NodeId,
    patience: Duration,
    down: BTreeMap<NodeId, Instant>,
    asked: BTreeMap<NodeId, u32>,
    waits: Option<String>,
}

impl Steering {
    /// A voter that is down for `patience` is replaced.
    pub fn new(me: NodeId, patience: Duration) -> Self {
        Self { me, patience, down: BTreeMap::new(), asked: BTreeMap::new(), waits: None }
    }

    /// Why a change of the voters that is due cannot be made now.
    pub fn waits(&self) -> Option<&str> {
        self.waits.as_deref()
    }

    /// At each tick: one step, if one is due. With `leads` false this member does not lead firmly;
    /// one that stops hands over.
    pub fn tick<D: Disk>(
        &mut self,
        raft: &mut RaftNode<D>,
        leads: bool,
        stops: bool,
        now: Instant,
    ) {
        if !leads {
            self.down.clear();
            self.asked.clear();
            self.waits = None;
            return;
        }
        if raft.changes_voters() || raft.hands_over() {
            return;
        }
        if raft.machine().conf().joint() {
            // The leader that began the change is gone; this one ends it.
            raft.end_change();
            return;
        }
        let nodes = self.standings(raft.machine(), &raft.caught_up(), now);
        let plan = if stops {
            let to = voters::successor(self.me, raft.machine().conf(), &nodes);
            to.map_or(Plan::Rest, Plan::HandOver)
        } else {
            voters::next(self.me, raft.machine().conf(), &nodes, self.patience)
        };
        let waits = match &plan {
            Plan::Wait(why) => Some(why.clone()),
            _ => None,
        };
        if waits.is_some() && waits != self.waits {
            tracing::warn!(why = waits.as_deref(), "the voters are not changed now");
        }
        self.waits = waits;
        match plan {
            Plan::Rest | Plan::Wait(_) => {}
            Plan::Change(changes) => {
                let taken = raft.change_voters(&changes);
                tracing::info!(?changes, taken, "proposing a change of the group");
            }
            Plan::HandOver(to) => {
                tracing::info!(%to, "handing the lead over");
                *self.asked.entry(to).or_default() += 1;
                raft.hand_over(to);
            }
        }
    }

    fn standings(&mut self, machine: &Machine, caught_up: &[NodeId], now: Instant) -> Standings {
        let mut nodes = standings(machine);
        self.down.retain(|id, _| nodes.get(id).is_some_and(|node| !node.live));
        for (id, node) in &mut nodes {
            node.caught_up = caught_up.contains(id);
            node.asked = self.asked.get(id).copied().unwrap_or_default();
            if !node.live {
                let since = *self.down.entry(*id).or_insert(now);
                node.down = now.saturating_duration_since(since);
            }
        }
        nodes
    }
}

/// What the state says of the nodes; of those with a session it is taken that they are caught up.
pub fn standings(machine: &Machine) -> Standings {
    let (conf, members) = (machine.conf(), machine.members());
    let known = members.all().keys().copied().chain(conf.all());
    let standing = |id: NodeId| {
        let live = machine.session(id).is_some();
        let member = members.get(id);
        Standing {
            // Until the cluster is founded its founders are its members.
            member: member.is_some() || !members.founded(),
            draining: member.is_some_and(|member| member.draining),
            live,
            caught_up: live,
            down: Duration::ZERO,
            asked: 0,
        }
    };
    known.map(|id| (id, standing(id))).collect()
}
