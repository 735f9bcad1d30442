//! Nodes that come and go in the simulated cluster.

use std::collections::BTreeSet;

use super::world::World;
use crate::consensus::machine::Change;
use crate::consensus::raft_node::Fatal;
use crate::id::NodeId;

impl World {
    /// Nodes that joined are started; they ask for as long as they are not told.
    pub(super) fn let_in(&mut self, changes: &[Change]) -> Result<(), String> {
        let members = changes.iter().filter_map(|change| match change {
            Change::Members(members) => Some(members.all().keys().copied()),
            _ => None,
        });
        for id in members.flatten().collect::<BTreeSet<_>>() {
            if !self.nodes.contains_key(&id) {
                self.add(id, None);
                self.start(id)?;
            }
        }
        Ok(())
    }

    /// A node ends for good: only those may that were removed, or that lost their disk.
    pub(super) fn stands_back(&mut self, id: NodeId, fatal: Fatal) -> Result<(), String> {
        let node = &self.nodes[&id];
        let right = match &fatal {
            Fatal::Removed(_) => self.removed.contains(&id),
            Fatal::Lost { .. } | Fatal::Forgot { .. } | Fatal::Refused(_) => node.wiped,
            _ => false,
        };
        if !right {
            return Err(format!("{id} stands back: {fatal}"));
        }
        self.kill(id);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.out = Some(fatal);
        }
        Ok(())
    }
}
