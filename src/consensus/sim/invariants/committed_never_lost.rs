//! What one node applied at an index, every node applies at that index, for ever.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::consensus::sim::disk::SimDisk;
use crate::id::NodeId;

/// The log as the nodes applied it.
#[derive(Default)]
pub struct Log {
    entries: BTreeMap<u64, (u64, Bytes)>,
    seen: BTreeMap<NodeId, u64>,
}

impl Log {
    /// All that was applied anywhere, in order; an entry without data is a leader's first.
    pub fn entries(&self) -> impl Iterator<Item = (u64, &Bytes)> {
        self.entries.iter().map(|(index, (_, data))| (*index, data))
    }

    /// The data of an entry.
    pub fn entry(&self, index: u64) -> Option<&Bytes> {
        self.entries.get(&index).map(|(_, data)| data)
    }

    /// A process that starts again applies again.
    pub fn killed(&mut self, id: NodeId) {
        self.seen.remove(&id);
    }

    /// After each step of a node.
    pub fn stepped(&mut self, id: NodeId, applied: u64, disk: &SimDisk) -> Result<(), String> {
        let seen = self.seen.entry(id).or_default();
        let low = *seen + 1;
        *seen = applied;
        if low > applied {
            return Ok(());
        }
        // What came by snapshot is in no history; `registries_equal` compares it.
        for (index, found) in disk.history(low, applied) {
            let first = self.entries.entry(index).or_insert_with(|| found.clone());
            if *first != found {
                let (before, now) = (first.0, found.0);
                return Err(format!(
                    "at {index} an entry of term {before} was applied, and {id} applies one of {now}"
                ));
            }
        }
        Ok(())
    }
}
