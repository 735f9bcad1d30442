//! The cluster ends no session while its node believes it live.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::consensus::machine::Change;
use crate::consensus::sim::world::SimNode;
use crate::id::NodeId;
use crate::wire::consensus::SessionId;

/// The sessions that ended.
#[derive(Default)]
pub struct Sessions(BTreeSet<SessionId>);

impl Sessions {
    /// A node applied these changes; the first that applies an end is looked at.
    pub fn changed(
        &mut self,
        changes: &[Change],
        nodes: &BTreeMap<NodeId, SimNode>,
        clocks: &BTreeMap<NodeId, Instant>,
    ) -> Result<(), String> {
        for change in changes {
            let Change::Ended(id) = change else { continue };
            if !self.0.insert(*id) {
                continue;
            }
            let Some(node) = nodes.get(&id.node) else { continue };
            // A process that was killed believes nothing.
            if node.incarnation() != id.incarnation {
                continue;
            }
            if node.believed.is_some_and(|until| until > clocks[&id.node]) {
                return Err(format!("{id:?} was ended, and its node believes it live"));
            }
        }
        Ok(())
    }
}
