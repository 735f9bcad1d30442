//! A proposal takes effect between its call and its answer, and so does a read: it sees all that
//! was acknowledged before it began. What was acknowledged stands in the log.

use std::collections::BTreeMap;

use super::committed_never_lost::Log;
use crate::consensus::image::decode_entry;
use crate::id::NodeId;

/// What clients saw.
#[derive(Default)]
pub struct Order {
    /// The highest index that any client was told of.
    told: u64,
    proposals: BTreeMap<(NodeId, u64), u64>,
    reads: BTreeMap<(NodeId, u64), u64>,
    settled: Vec<(NodeId, u64, u64)>,
}

impl Order {
    /// A client proposed.
    pub fn proposed(&mut self, node: NodeId, number: u64) {
        self.proposals.insert((node, number), self.told);
    }

    /// It was told that its proposal was applied.
    pub fn settled(&mut self, node: NodeId, number: u64, index: u64) -> Result<(), String> {
        let Some(before) = self.proposals.remove(&(node, number)) else {
            return Err(format!("proposal {number} of {node} was settled twice, or never made"));
        };
        if index <= before {
            return Err(format!("a proposal was applied at {index}, before {before} was known"));
        }
        self.told = self.told.max(index);
        self.settled.push((node, number, index));
        Ok(())
    }

    /// Nobody waits for it any more.
    pub fn given_up(&mut self, node: NodeId, number: u64) {
        self.proposals.remove(&(node, number));
    }

    /// A client began to read.
    pub fn read_began(&mut self, node: NodeId, number: u64) {
        self.reads.insert((node, number), self.told);
    }

    /// It was told how far its node has applied.
    pub fn read_done(&mut self, node: NodeId, number: u64, index: u64) -> Result<(), String> {
        let Some(before) = self.reads.remove(&(node, number)) else {
            return Err(format!("read {number} of {node} was done twice, or never begun"));
        };
        self.told = self.told.max(index);
        if index >= before {
            return Ok(());
        }
        Err(format!("a read at {node} saw {index} when {before} had been acknowledged"))
    }

    /// Nobody waits for it any more.
    pub fn read_given_up(&mut self, node: NodeId, number: u64) {
        self.reads.remove(&(node, number));
    }

    /// The node's clients are gone with it.
    pub fn killed(&mut self, node: NodeId) {
        self.proposals.retain(|(of, _), _| *of != node);
        self.reads.retain(|(of, _), _| *of != node);
    }

    /// Nobody waits: all is healed.
    pub fn all_settled(&self) -> Result<(), String> {
        match self.proposals.keys().chain(self.reads.keys()).next() {
            None => Ok(()),
            Some((node, number)) => Err(format!("{number} of {node} waits although all is well")),
        }
    }

    /// Each acknowledged proposal stands where its client was told.
    pub fn acknowledged_are_in(&self, log: &Log) -> Result<(), String> {
        for (node, number, index) in &self.settled {
            let id = log.entry(*index).and_then(|data| decode_entry(data).ok()).map(|p| p.id);
            if id.is_none_or(|id| (id.node, id.number) != (*node, *number)) {
                return Err(format!("{number} of {node} does not stand at {index}: {id:?}"));
            }
        }
        Ok(())
    }
}
