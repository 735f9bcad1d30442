//! What must hold, whatever happens. One file per property.

mod acknowledged_in_order;
mod applied_once;
mod committed_never_lost;
mod group_as_wanted;
mod lockers_answered;
mod locks_exclude;
mod locks_in_order;
mod no_live_session_expired;
mod one_leader_per_term;
mod quorums_intersect;
mod registries_equal;
mod voters_know_all;
mod who_left_never_leads;

use std::collections::BTreeMap;

use super::world::SimNode;
use crate::consensus::conf::Conf;
use crate::id::NodeId;

/// All of them.
#[derive(Default)]
pub struct Invariants {
    pub order: acknowledged_in_order::Order,
    pub sessions: no_live_session_expired::Sessions,
    leaders: one_leader_per_term::Leaders,
    log: committed_never_lost::Log,
    pub groups: quorums_intersect::Groups,
    gone: who_left_never_leads::Gone,
    pub exclusion: locks_exclude::Exclusion,
    pub answered: lockers_answered::Answered,
    lines: locks_in_order::Lines,
}

impl Invariants {
    /// After each step of a node.
    pub fn stepped(&mut self, id: NodeId, node: &SimNode) -> Result<(), String> {
        let Some(core) = &node.core else { return Ok(()) };
        self.leaders.stepped(id, core)?;
        self.gone.stepped(id, core)?;
        self.lines.stepped(id, core.machine())?;
        self.log.stepped(id, core.machine().applied(), &node.disk)
    }

    /// A node applied a change of the group.
    pub fn grouped(
        &mut self,
        index: u64,
        conf: &Conf,
        nodes: &BTreeMap<NodeId, SimNode>,
    ) -> Result<(), String> {
        let all = self.groups.all();
        if !all.contains_key(&index) {
            let before = all.range(..index).next_back().map(|(_, before)| before);
            voters_know_all::changed(index, before, conf, nodes)?;
        }
        self.groups.changed(index, conf)
    }

    /// A node's process was killed.
    pub fn killed(&mut self, id: NodeId) {
        self.log.killed(id);
        self.order.killed(id);
        self.exclusion.killed(id);
        self.answered.killed(id);
        self.lines.killed(id);
    }

    /// All faults are over since long.
    pub fn healed(&self, nodes: &BTreeMap<NodeId, SimNode>) -> Result<(), String> {
        let cores: Vec<_> = nodes.values().filter_map(|node| node.core.as_ref()).collect();
        registries_equal::check(&cores)?;
        cores.iter().take(1).try_for_each(|core| group_as_wanted::check(core))?;
        self.order.all_settled()?;
        self.answered.all(&cores)?;
        self.order.acknowledged_are_in(&self.log)?;
        let groups = self.groups.all();
        cores.iter().try_for_each(|core| applied_once::check(&self.log, groups, core))
    }
}
