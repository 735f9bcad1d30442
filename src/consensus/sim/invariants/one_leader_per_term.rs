//! In each term at most one member leads.

use std::collections::BTreeMap;

use crate::consensus::core::Core;
use crate::consensus::sim::disk::SimDisk;
use crate::id::NodeId;

/// Who led when.
#[derive(Default)]
pub struct Leaders(BTreeMap<u64, NodeId>);

impl Leaders {
    /// After each step of a node.
    pub fn stepped(&mut self, id: NodeId, core: &Core<SimDisk>) -> Result<(), String> {
        if !core.raft().leads() {
            return Ok(());
        }
        let term = core.raft().term();
        match *self.0.entry(term).or_insert(id) {
            first if first == id => Ok(()),
            first => Err(format!("{first} and {id} both led in term {term}")),
        }
    }
}
