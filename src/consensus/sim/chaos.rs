//! What goes wrong, and that all is well again afterwards.

use rand::Rng;

use super::lockers;
use super::network::Network;
use super::operator;
use super::world::World;
use crate::consensus::testnet;
use crate::id::NodeId;

const SECOND: u64 = 1_000_000;
/// How long things go wrong.
const RAGE: u64 = 15 * SECOND;
/// How soon after healing every node must have a live session and every client be served.
const RECOVERY: u64 = 12 * SECOND;
/// How soon after that the group is as the rules ask for.
const SETTLE: u64 = 8 * SECOND;

/// Lets things go wrong for a while, under load.
pub fn rage(world: &mut World) -> Result<(), String> {
    world.network.loss = [0, 20, 150][world.rng.random_range(0..3)];
    world.network.doubled = 30;
    world.network.late = 30;
    let mut next_fault = world.rng.random_range(SECOND..4 * SECOND);
    while world.now < RAGE {
        let pause = world.rng.random_range(1_000..150_000);
        world.pass(world.now + pause)?;
        match world.rng.random_range(0..8) {
            4.. => lockers::act(world)?,
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
    let kinds = if world.setup.operators { 18 } else { 12 };
    match world.rng.random_range(0..kinds) {
        12.. => return operator::act(world),
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

/// Lets the cluster come up, kills the leader, and gives how long it took, in microseconds, until
/// a survivor's change was made everywhere and the dead node's session was over.
pub fn kill_the_leader(world: &mut World) -> Result<u64, String> {
    let up = 6 * SECOND + world.rng.random_range(0..SECOND);
    world.pass(up)?;
    let dead = world.leader().ok_or("nobody leads after 6 seconds")?;
    world.kill(dead);
    let killed = world.now;
    let survivors: Vec<NodeId> = world.ids().into_iter().filter(|id| *id != dead).collect();
    world.propose_at(survivors[0], testnet::put("after"))?;
    while world.now < killed + 20 * SECOND {
        let done = survivors.iter().all(|id| {
            world.nodes[id].core.as_ref().is_some_and(|core| {
                let made = core.machine().functions().contains_key(&testnet::key("after"));
                let over = core.machine().session(dead).is_none();
                made && over && core.live_until().is_some_and(|until| until > world.clock(*id))
            })
        });
        if done {
            return Ok(world.now - killed);
        }
        world.pass(world.now + 10_000)?;
    }
    Err("nothing worked 20 seconds after the leader's death".into())
}

/// Lets a cluster come up on slow disks, and demands that under load each node keeps its session.
pub fn wait_for_disks(world: &mut World) -> Result<(), String> {
    world.pass(25 * SECOND)?;
    for _ in 0..400 {
        world.propose()?;
        world.pass(world.now + SECOND / 20)?;
        for id in world.ids() {
            let until = world.nodes[&id].core.as_ref().and_then(|core| core.live_until());
            if until.is_none_or(|until| until <= world.clock(id)) {
                return Err(format!("{id} has no live session after {} µs", world.now));
            }
        }
    }
    Ok(())
}

/// An operator removes the node that lost its disk.
fn take_out_the_lost(world: &mut World) -> Result<(), String> {
    for id in world.ids() {
        if world.nodes[&id].wiped {
            if world.nodes[&id].out.is_none() {
                return Err(format!("{id} lost its disk, and goes on"));
            }
            operator::take_out(world, id)?;
        }
    }
    world.pass(world.now + SETTLE)
}

/// Ends all faults, and demands that everything works again and that all nodes are equal.
pub fn heal(world: &mut World) -> Result<(), String> {
    world.network = Network::default();
    for id in world.ids() {
        stall(world, id, 0);
        world.nodes[&id].disk.take_dying();
        world.end_if_closing(id);
        world.start(id)?;
    }
    world.pass(world.now + RECOVERY)?;
    lockers::end_all(world)?;
    take_out_the_lost(world)?;
    for id in world.ids() {
        // One that was removed before it heard from anybody is turned away by the network.
        let never = world.removed.contains(&id) && world.nodes[&id].last == 0;
        if never || world.nodes[&id].out.is_some() {
            world.kill(id);
            continue;
        }
        let clock = world.clock(id);
        let core = world.nodes[&id].core.as_ref();
        let live = core.and_then(|core| core.live_until()).is_some_and(|until| until > clock);
        if !live {
            return Err(format!("{id} has no live session {RECOVERY} µs after all was healed"));
        }
        world.propose_at(id, testnet::put("last"))?;
    }
    // A slow disk has a few writes to make until all is applied everywhere.
    world.pass(world.now + 2 * SECOND + 6 * world.setup.sync.1)?;
    world.invariants.healed(&world.nodes)
}
