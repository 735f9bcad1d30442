//! What goes wrong, and that all is well again afterwards.

use rand::Rng;

use super::network::Network;
use super::world::World;
use crate::consensus::testnet;
use crate::id::NodeId;

const SECOND: u64 = 1_000_000;
/// How long things go wrong.
const RAGE: u64 = 15 * SECOND;
/// How soon after healing every node must have a live session and every client be served.
const RECOVERY: u64 = 12 * SECOND;

/// Lets things go wrong for a while, under load.
pub fn rage(world: &mut World) -> Result<(), String> {
    world.network.loss = [0, 20, 150][world.rng.random_range(0..3)];
    world.network.doubled = 30;
    world.network.late = 30;
    let mut next_fault = world.rng.random_range(SECOND..4 * SECOND);
    while world.now < RAGE {
        let pause = world.rng.random_range(1_000..150_000);
        world.pass(world.now + pause)?;
        match world.rng.random_range(0..4) {
            0 => world.read()?,
            _ => world.propose()?,
        }
        if world.now >= next_fault {
            fault(world)?;
            next_fault = world.now + world.rng.random_range(50_000..2 * SECOND);
        }
    }
    Ok(())
}

fn fault(world: &mut World) -> Result<(), String> {
    let ids = world.ids();
    let id = ids[world.rng.random_range(0..ids.len())];
    match world.rng.random_range(0..12) {
        10 | 11 => {
            // The leader and one other on one side: it goes on as if it led, for a while.
            let leader = world.leader().unwrap_or(id);
            world.network.split(&[leader, id], &ids);
        }
        0 => world.network.isolate(id, &ids, true, true),
        1 => world.network.isolate(id, &ids, true, false),
        2 => world.network.isolate(id, &ids, false, true),
        3 => {
            let other = ids[world.rng.random_range(0..ids.len())];
            world.network.cut.insert((id, other));
            world.network.cut.insert((other, id));
        }
        4 | 5 => world.network.cut.clear(),
        6 => {
            let length = world.rng.random_range(100_000..6 * SECOND);
            stall(world, id, length);
        }
        7 => world.nodes[&id].disk.die_in_next_write(),
        8 => world.kill(id),
        _ => {
            for id in ids {
                world.start(id)?;
            }
        }
    }
    Ok(())
}

fn stall(world: &mut World, id: NodeId, length: u64) {
    let until = world.now + length;
    if let Some(node) = world.nodes.get_mut(&id) {
        node.stalled = until;
    }
}

/// Ends all faults, and demands that everything works again and that all nodes are equal.
pub fn heal(world: &mut World) -> Result<(), String> {
    world.network = Network::default();
    for id in world.ids() {
        stall(world, id, 0);
        world.nodes[&id].disk.take_dying();
        world.start(id)?;
    }
    world.pass(world.now + RECOVERY)?;
    for id in world.ids() {
        let clock = world.clock(id);
        let core = world.nodes[&id].core.as_ref();
        let live = core.and_then(|core| core.live_until()).is_some_and(|until| until > clock);
        if !live {
            return Err(format!("{id} has no live session {RECOVERY} µs after all was healed"));
        }
        world.propose_at(id, testnet::put("last"))?;
    }
    world.pass(world.now + 2 * SECOND)?;
    world.invariants.healed(&world.nodes)
}
