//! No two owners answer at once: once somebody has answered in an epoch, nobody does in an older.

use std::collections::BTreeMap;

use crate::id::NodeId;
use crate::wire::shards::ShardId;

/// Who answered last.
#[derive(Default)]
pub struct Owners {
    newest: BTreeMap<ShardId, (u64, NodeId)>,
}

impl Owners {
    pub fn answered(&mut self, shard: ShardId, epoch: u64, node: NodeId) -> Result<(), String> {
        let newest = self.newest.entry(shard).or_insert((epoch, node));
        if epoch < newest.0 || (epoch == newest.0 && node != newest.1) {
            let (last, other) = *newest;
            return Err(format!(
                "two owners: {node} answers for {shard} in epoch {epoch}, after {other} in {last}"
            ));
        }
        *newest = (epoch, node);
        Ok(())
    }
}
