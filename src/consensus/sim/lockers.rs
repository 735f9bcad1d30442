//! Calls that take locks, wait for them and for each other, give up, release and end.

use std::collections::BTreeMap;

use rand::Rng;

use super::world::World;
use crate::consensus::lock_ask::{Ask, Told};
use crate::id::{CallId, NodeId};
use crate::wire::locks::{Holder, Mode};
use crate::wire::shards::StateKey;

/// Keys: few, so that calls meet.
const KEYS: u32 = 3;
/// Calls that live on a node at once.
const CALLS: usize = 4;

/// A call.
#[derive(Default)]
pub struct Caller {
    /// What it asked for, by which ticket.
    asked: Option<(u64, StateKey)>,
    /// It waits for other calls.
    waits: bool,
    held: Vec<(StateKey, Mode)>,
}

/// The calls of all nodes.
#[derive(Default)]
pub struct Lockers {
    calls: BTreeMap<(NodeId, CallId), Caller>,
    next: u64,
}

impl Lockers {
    /// A node's process was killed, and its calls with it.
    pub fn killed(&mut self, id: NodeId) {
        self.calls.retain(|(node, _), _| *node != id);
    }

    /// A node was told something.
    pub fn told(&mut self, id: NodeId, told: &Told) {
        match told {
            Told::Answer { ticket, call, key, mode, result } => {
                let Some(caller) = self.calls.get_mut(&(id, *call)) else { return };
                caller.asked.take_if(|(asked, _)| asked == ticket);
                if result.is_ok() {
                    caller.held.push((key.clone(), *mode));
                }
            }
            Told::Ended { call, key, .. } => {
                if let Some(caller) = self.calls.get_mut(&(id, *call)) {
                    caller.held.retain(|(held, _)| held != key);
                }
            }
            Told::Queued(_) | Told::Done(_) => {}
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// A call at a random node does something.
pub fn act(world: &mut World) -> Result<(), String> {
    let Some(id) = world.running_node() else { return Ok(()) };
    let calls: Vec<CallId> =
        world.lockers.calls.keys().filter(|(node, _)| *node == id).map(|(_, call)| *call).collect();
    if calls.is_empty() || (calls.len() < CALLS && world.rng.random_bool(0.3)) {
        let call = CallId(world.lockers.number().into());
        world.lockers.calls.insert((id, call), Caller::default());
        return lock(world, id, call);
    }
    let call = calls[world.rng.random_range(0..calls.len())];
    let caller = &world.lockers.calls[&(id, call)];
    let asked = caller.asked.as_ref().map(|(ticket, _)| *ticket);
    let waits = caller.waits;
    match (world.rng.random_range(0..10), asked) {
        (0, _) => end(world, id, call),
        (1..5, Some(ticket)) => give_up(world, id, call, ticket),
        (_, Some(_)) => Ok(()),
        _ if waits => {
            world.lockers.calls.get_mut(&(id, call)).unwrap().waits = false;
            let ticket = world.lockers.number();
            world.asks(id, Ask::Resume { ticket, call })
        }
        (1..5, None) => lock(world, id, call),
        (5, None) => {
            let others: Vec<CallId> =
                world.lockers.calls.keys().map(|(_, other)| *other).filter(|o| *o > call).collect();
            if others.is_empty() {
                return Ok(());
            }
            world.lockers.calls.get_mut(&(id, call)).unwrap().waits = true;
            let first = world.rng.random_range(0..others.len());
            let children = others.into_iter().skip(first).take(2).collect();
            world.asks(id, Ask::Await { call, children })
        }
        (_, None) => unlock(world, id, call),
    }
}

fn lock(world: &mut World, id: NodeId, call: CallId) -> Result<(), String> {
    let ticket = world.lockers.number();
    let name = format!("k{}", world.rng.random_range(0..KEYS));
    let key = StateKey { user: "alice".into(), key: name };
    let mode = if world.rng.random_bool(0.5) { Mode::Read } else { Mode::Write };
    world.lockers.calls.get_mut(&(id, call)).unwrap().asked = Some((ticket, key.clone()));
    world.invariants.answered.asked(id, ticket);
    world.asks(id, Ask::Lock { ticket, call, key, mode })
}

fn give_up(world: &mut World, id: NodeId, call: CallId, ticket: u64) -> Result<(), String> {
    world.lockers.calls.get_mut(&(id, call)).unwrap().asked = None;
    world.invariants.answered.given_up(id, ticket);
    world.asks(id, Ask::GiveUp { ticket, call })
}

fn unlock(world: &mut World, id: NodeId, call: CallId) -> Result<(), String> {
    let caller = world.lockers.calls.get_mut(&(id, call)).unwrap();
    let Some((key, mode)) = caller.held.pop() else { return Ok(()) };
    world.invariants.exclusion.released(id, call, &key);
    world.asks(id, Ask::Unlock { call, key, mode })
}

fn end(world: &mut World, id: NodeId, call: CallId) -> Result<(), String> {
    let Some(caller) = world.lockers.calls.remove(&(id, call)) else { return Ok(()) };
    if let Some((ticket, _)) = caller.asked {
        world.invariants.answered.given_up(id, ticket);
    }
    world.invariants.exclusion.ended(id, call);
    let ticket = world.lockers.number();
    world.invariants.answered.asked(id, ticket);
    world.asks(id, Ask::End { ticket, call })
}

/// Every call ends. None of them was forgotten: who still waits has not got the lock.
pub fn end_all(world: &mut World) -> Result<(), String> {
    for ((id, call), caller) in &world.lockers.calls {
        let core = world.nodes[id].core.as_ref();
        let (Some(core), Some((_, key))) = (core, &caller.asked) else { continue };
        let session = core.machine().session(*id).map(|session| session.id);
        let held = session.is_some_and(|session| {
            core.machine().locks().held(key, &Holder { call: *call, session }).is_some()
        });
        if held {
            return Err(format!("{call} of {id} has {key}, and was not told"));
        }
    }
    let calls: Vec<_> = world.lockers.calls.keys().copied().collect();
    calls.into_iter().try_for_each(|(id, call)| end(world, id, call))
}
