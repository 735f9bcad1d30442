//! What goes wrong, and that all is well again afterwards.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;

use super::now;
use super::world::World;
use crate::errno::Errno;
use crate::id::NodeId;
use crate::wire::calls::Phase;

/// How long things go wrong.
const RAGE: Duration = Duration::from_secs(14);
/// The longest deadline of a call, the grace of a silent node, and some for all to be known.
const SETTLE: Duration = Duration::from_secs(18);

/// Load, under faults.
pub async fn rage(world: &Arc<World>) -> Result<(), String> {
    // Sessions are opened, and known.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let from = now();
    if world.setup.faults {
        let mut state = world.state();
        state.network.loss = [0, 20, 150][state.rng.random_range(0..3)];
        state.network.doubled = 50;
    }
    let mut next_fault = from + Duration::from_millis(world.state().rng.random_range(500..4_000));
    while now() < from + RAGE {
        let pause = world.state().rng.random_range(1..150);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        world.client();
        if world.setup.faults && now() >= next_fault {
            fault(world);
            let pause = world.state().rng.random_range(50..3_000);
            next_fault = now() + Duration::from_millis(pause);
        }
        check(world)?;
    }
    Ok(())
}

fn check(world: &World) -> Result<(), String> {
    let mut state = world.state();
    let running: Vec<NodeId> =
        state.lives.values().filter(|life| life.runs()).map(|life| life.node).collect();
    state.checks.check(now(), |node| running.contains(&node))
}

fn fault(world: &Arc<World>) {
    let (choice, a, b, length) = {
        let mut state = world.state();
        let ids: Vec<NodeId> = state.lives.keys().copied().collect();
        let rng = &mut state.rng;
        let (a, b) = (ids[rng.random_range(0..ids.len())], ids[rng.random_range(0..ids.len())]);
        let length = Duration::from_millis(rng.random_range(50..6_000));
        (rng.random_range(0..12), a, b, length)
    };
    world.note((choice, a.0, b.0));
    match choice {
        0 => cut(world, a, |other| vec![(a, other), (other, a)]),
        1 => cut(world, a, |other| vec![(a, other)]),
        2 => cut(world, a, |other| vec![(other, a)]),
        3 if a != b => world.state().network.cut.extend([(a, b), (b, a)]),
        4 | 5 => world.state().network.cut.clear(),
        6 => stand_still(world, a, length),
        7 => {
            world.kill(a);
            note_loss(world, a);
        }
        8 => start_all(world),
        10 | 11 => world.state().network.reset(a, b),
        _ => drop(world.state().network.cut.insert((a, b))),
    }
    world.state().checks.last_fault = Some(now() + length);
    lost_homes(world);
}

/// Who is cut off may be given up by the others.
fn lost_homes(world: &World) {
    let mut state = world.state();
    let ids: Vec<NodeId> = state.lives.keys().copied().collect();
    for id in ids {
        let reaches = state.network.cut.iter().all(|(a, b)| *a != id && *b != id);
        let stopped = state.lives.get(&id).is_some_and(|life| life.is_stopped());
        if !reaches || stopped {
            for accepted in state.checks.accepted.values_mut().filter(|a| a.home == id) {
                accepted.home_was_lost = true;
            }
        }
    }
}

fn note_loss(world: &World, node: NodeId) {
    for accepted in world.state().checks.accepted.values_mut().filter(|a| a.home == node) {
        accepted.home_was_lost = true;
    }
}

fn cut(world: &World, of: NodeId, paths: impl Fn(NodeId) -> Vec<(NodeId, NodeId)>) {
    let mut state = world.state();
    let others: Vec<NodeId> = state.lives.keys().copied().filter(|other| *other != of).collect();
    state.network.cut.extend(others.into_iter().flat_map(paths));
}

fn stand_still(world: &Arc<World>, node: NodeId, length: Duration) {
    let Some(life) = world.state().lives.get(&node).cloned() else { return };
    if !life.runs() {
        return;
    }
    life.stop(true);
    world.state().checks.stood_still(node, length);
    let world = world.clone();
    tokio::spawn(async move {
        tokio::time::sleep(length).await;
        life.stop(false);
        world.pulse();
    });
}

fn start_all(world: &Arc<World>) {
    let ids: Vec<NodeId> = world.state().lives.keys().copied().collect();
    ids.into_iter().for_each(|id| world.start(id));
}

/// Ends all faults, and demands that every call ends and nothing is left of it.
pub async fn heal(world: &Arc<World>) -> Result<(), String> {
    {
        let mut state = world.state();
        state.network.cut.clear();
        (state.network.loss, state.network.doubled) = (0, 0);
    }
    start_all(world);
    let from = now();
    let settle = if world.setup.fickle { SETTLE } else { SETTLE + Duration::from_secs(45) };
    while now() < from + settle {
        tokio::time::sleep(Duration::from_millis(500)).await;
        check(world)?;
        let idle = {
            let state = world.state();
            state.checks.open.is_empty()
                && state.nodes.values().all(|node| node.calls.inner.live.is_empty())
        };
        if !world.setup.fickle && idle {
            break;
        }
    }
    records(world).await?;
    check(world)?;
    let state = world.state();
    state.checks.settled(&state.nodes)
}

/// Every node is asked about every call that was accepted.
async fn records(world: &Arc<World>) -> Result<(), String> {
    let calls: Vec<_> = {
        let state = world.state();
        state.checks.accepted.iter().map(|(call, a)| (*call, a.deadline)).collect()
    };
    let nodes = world.state().nodes.clone();
    for (call, deadline) in calls {
        for node in nodes.values() {
            let record = node.calls.record(call).await;
            match record {
                Ok(record) if record.phase != Phase::Done => {
                    return Err(format!("{call} has not ended for {}: {record:?}", node.life.node));
                }
                Ok(record) => world.looked(node, record).await,
                Err(error) if error.code == Errno::NoEnt => forgotten(world, call, deadline)?,
                Err(error) => return Err(format!("{call} cannot be asked about: {error}")),
            }
        }
    }
    Ok(())
}

/// Only age, or the death of all that kept it, makes a record be forgotten.
fn forgotten(world: &World, call: crate::id::CallId, deadline: Instant) -> Result<(), String> {
    let state = world.state();
    let old = now() > deadline + Duration::from_secs(80);
    let accepted = state.checks.accepted.get(&call);
    let kept = accepted.is_some_and(super::invariants::Accepted::is_kept);
    if old || (state.checks.last_fault.is_some() && !kept) {
        return Ok(());
    }
    Err(format!("{call} was accepted, and no node knows it"))
}
