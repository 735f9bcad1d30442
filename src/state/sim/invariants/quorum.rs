//! What is committed is on the disk of every member of the set, which has its quorum.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::NodeId;
use crate::state::sim::table::Table;
use crate::state::sim::world::SimNode;
use crate::wire::shards::ShardId;

/// Looks at the disks of all members that the owner knows and that are still members.
pub fn check(
    nodes: &BTreeMap<NodeId, SimNode>,
    table: &Table,
    damaged: &BTreeSet<(NodeId, ShardId)>,
    (owner, shard, seq): (NodeId, ShardId, u64),
) -> Result<(), String> {
    let process = nodes.get(&owner).and_then(|node| node.process.as_ref());
    let view = process.and_then(|process| process.replicas.get(&shard)?.table());
    let (Some(view), Some(truth)) = (view, table.shards.get(&shard)) else { return Ok(()) };
    if view.in_sync.len() < view.quorum() {
        return Err(format!("{owner} commits for {shard} below the quorum: {view:?}"));
    }
    let record = |node: &NodeId| {
        let image = &nodes.get(node)?.stores.get(&shard)?.durable;
        Some((image.before.seq >= seq, image.record(seq).cloned()))
    };
    let own = record(&owner).and_then(|(_, record)| record);
    // Who was admitted and is a member in truth must have it, even if the owner does not know yet.
    for member in &truth.in_sync {
        if damaged.contains(&(*member, shard)) || truth.epoch != view.epoch {
            continue;
        }
        let has = record(member)
            .is_some_and(|(gone, record)| gone || (record.is_some() && record == own));
        if !has {
            return Err(format!(
                "record {seq} of {shard} is committed by {owner}, and is not durable on {member}"
            ));
        }
    }
    Ok(())
}
