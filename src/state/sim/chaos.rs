//! What goes wrong, and how all is healed.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::invariants::healed;
use super::world::{What, World};
use crate::id::NodeId;
use crate::state::replica::Event;

const SECOND: u64 = 1_000_000;
/// Steps of chaos.
const STEPS: usize = 40;

/// Breaks things for a while, under load.
pub fn rage(world: &mut World) -> Result<(), String> {
    world.pass(world.now + SECOND)?;
    for _ in 0..STEPS {
        harm(world);
        let length = [50_000, 500_000, 3 * SECOND][world.rng.random_range(0..3)];
        let length = world.rng.random_range(1_000..length);
        world.pass(world.now + length)?;
    }
    Ok(())
}

fn harm(world: &mut World) {
    let ids = world.ids();
    let Some(node) = ids.choose(&mut world.rng).copied() else { return };
    match world.rng.random_range(0..25) {
        0 => {
            let side: Vec<NodeId> =
                ids.iter().filter(|id| id.0 % 2 == node.0 % 2).copied().collect();
            world.network.split(&side, &ids);
        }
        1 | 2 => {
            let (inward, outward) = (world.rng.random(), world.rng.random());
            for other in ids.iter().copied().filter(|other| *other != node) {
                if inward {
                    world.network.cut.insert((other, node));
                }
                if outward {
                    world.network.cut.insert((node, other));
                }
            }
        }
        3..=5 => world.network.cut.clear(),
        6..=8 => world.kill(node),
        9..=12 => ids.into_iter().for_each(|id| world.start(id)),
        13 => ids.into_iter().for_each(|id| world.kill(id)),
        14..=16 => {
            let length = world.rng.random_range(SECOND / 20..6 * SECOND);
            let until = world.now + length;
            if let Some(node) = world.nodes.get_mut(&node) {
                node.stalled = node.stalled.max(until);
            }
        }
        17 => {
            world.network.loss = [0, 10, 100][world.rng.random_range(0..3)];
            world.network.doubled = [0, 50][world.rng.random_range(0..2)];
            world.network.late = [0, 20, 80][world.rng.random_range(0..3)];
        }
        18 => world.raft_fails = [0, 100, 500][world.rng.random_range(0..3)],
        19 | 20 => damage(world, node),
        21 => {
            let slow = [1_000, 5_000, 60_000, 400_000][world.rng.random_range(0..4)];
            if let Some(node) = world.nodes.get_mut(&node) {
                node.disk = slow;
            }
        }
        22 => fail(world, node),
        23 => {
            world.table.members.insert(node);
        }
        _ => {
            if world.table.members.len() > 2 {
                world.table.members.remove(&node);
            }
        }
    }
}

/// A node's disk loses all or the ends of its logs, unless another member of a set is damaged still.
fn damage(world: &mut World, node: NodeId) {
    world.checks.forgive(&world.nodes, &world.table);
    for (shard, table) in &world.table.shards {
        let damaged = |member: &NodeId| world.checks.damaged.contains(&(*member, *shard));
        let mut others = table.in_sync.iter().filter(|member| **member != node).peekable();
        let bare = others.peek().is_none() || others.any(damaged);
        if table.in_sync.contains(&node) && bare {
            return;
        }
    }
    world.kill(node);
    let wipe = world.rng.random_bool(0.5);
    let cut = world.rng.random_range(1..20);
    let Some(damaged) = world.nodes.get_mut(&node) else { return };
    for (shard, store) in &mut damaged.stores {
        world.checks.damaged.insert((node, *shard));
        match wipe {
            true => *store = Default::default(),
            false => store.cut(cut),
        }
    }
}

/// A node's disk takes nothing more for a while; what was not synced is lost.
fn fail(world: &mut World, node: NodeId) {
    let Some(life) = world.process(node).map(|process| process.life) else { return };
    for shard in world.shards_of(node) {
        let mut rng = world.rng.clone();
        let Some(store) = world.store(node, shard) else { continue };
        store.crash(&mut rng);
        world.rng = rng;
        let told = world.tell(node, shard, Event::Failed("no space".into()));
        world.checks.note(told);
        let until = world.now + world.rng.random_range(1_000..8 * SECOND);
        world.plan(until, What::Reopen(node, life, shard));
    }
}

/// Ends all faults: then everything must serve soon, and be whole.
pub fn heal(world: &mut World) -> Result<(), String> {
    world.network.cut.clear();
    (world.network.loss, world.network.doubled, world.network.late) = (0, 0, 0);
    world.raft_fails = 0;
    for id in world.ids() {
        if let Some(node) = world.nodes.get_mut(&id) {
            node.stalled = node.stalled.min(world.now);
            node.disk = node.disk.min(5_000);
        }
        world.start(id);
    }
    let began = world.now;
    world.pass(began + healed::SERVES)?;
    healed::serves(world, began)?;
    world.clients.iter_mut().for_each(|client| client.rests = true);
    world.pass(began + healed::WHOLE)?;
    healed::whole(world)
}
