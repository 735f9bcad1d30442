//! A node that the group let go never leads in a later term.

use std::collections::BTreeMap;

use crate::consensus::core::Core;
use crate::consensus::sim::disk::SimDisk;
use crate::id::NodeId;

/// In which term each node was out.
#[derive(Default)]
pub struct Gone(BTreeMap<NodeId, u64>);

impl Gone {
    /// After each step of a node.
    pub fn stepped(&mut self, id: NodeId, core: &Core<SimDisk>) -> Result<(), String> {
        let (machine, term) = (core.machine(), core.raft().term());
        let out =
            |node: &NodeId| machine.members().was_removed(*node) && !machine.conf().contains(*node);
        for node in (1..=machine.conf().all().map(|node| node.0).max().unwrap_or(0)).map(NodeId) {
            if out(&node) {
                self.0.entry(node).or_insert(term);
            }
        }
        match self.0.get(&id) {
            Some(since) if core.raft().leads() && term > *since => {
                Err(format!("{id} was out in term {since}, and leads in term {term}"))
            }
            _ => Ok(()),
        }
    }
}
