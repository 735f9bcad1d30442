//! When all faults are over, every shard serves soon; then every target is a member, the first one
//! owns the shard, and all copies hold the same.

use crate::state::sim::world::World;

/// A session, its expiry, a takeover, and a little: when every shard serves.
pub const SERVES: u64 = 12_000_000;
/// When everything is whole and in its place.
pub const WHOLE: u64 = 60_000_000;

/// Every shard has answered somebody who began after the faults.
pub fn serves(world: &World, since: u64) -> Result<(), String> {
    for shard in world.table.shards.keys() {
        if world.checks.answers.get(shard).is_none_or(|began| *began < since) {
            let table = world.table.shards.get(shard);
            let roles: Vec<_> = world
                .nodes
                .iter()
                .filter_map(|(id, node)| {
                    let replica = node.process.as_ref()?.replicas.get(shard)?;
                    Some((*id, replica.role(), replica.committed(), replica.next_seq()))
                })
                .collect();
            return Err(format!("{shard} serves nobody after the faults: {table:?}; {roles:?}"));
        }
    }
    Ok(())
}

/// All is whole.
pub fn whole(world: &World) -> Result<(), String> {
    if let Some(open) = world.clients.iter().find_map(|client| client.open()) {
        return Err(format!("{open:?} is never answered"));
    }
    for (shard, table) in &world.table.shards {
        let (mut members, mut targets) = (table.in_sync.clone(), table.targets.clone());
        let first = targets.first().copied();
        members.sort();
        targets.sort();
        if members != targets || first != Some(table.owner) {
            return Err(format!("{shard} is not as it should be: {table:?}"));
        }
        let stores = members.iter().map(|id| world.nodes.get(id)?.stores.get(shard));
        let mut values = Vec::new();
        for store in stores {
            let Some(store) = store else { return Err(format!("{shard} has no copy: {table:?}")) };
            world.checks.kept.check(*shard, &store.live.values)?;
            values.push(&store.live.values);
        }
        if values.windows(2).any(|pair| pair.first() != pair.last()) {
            return Err(format!("the copies of {shard} differ: {values:?}"));
        }
        let others = world.nodes.iter().filter(|(id, _)| !targets.contains(id));
        if let Some((id, _)) = others.into_iter().find(|(_, node)| node.stores.contains_key(shard))
        {
            return Err(format!("{id} still has a copy of {shard}: {table:?}"));
        }
    }
    Ok(())
}
