//! What operators do: let nodes in, drain and remove them, stop them, replace disks.

use rand::Rng;

use super::world::World;
use crate::id::NodeId;
use crate::wire::consensus::Command;
use crate::wire::members::{JoinToken, KeyHash, MemberCommand, TokenHash};

/// Most nodes ever.
const MAX_NODES: u64 = 8;

/// Does one thing, at a node that may not be able to.
pub fn act(world: &mut World) -> Result<(), String> {
    let ids = world.ids();
    let id = ids[world.rng.random_range(0..ids.len())];
    match world.rng.random_range(0..8) {
        0..3 => join(world),
        3 => remove(world, id),
        4 => drain(world, id, true),
        5 => drain(world, id, false),
        6 => world.close(id),
        _ => {
            if may_lose(world, id) {
                world.wipe(id);
                world.start(id)?;
            }
            Ok(())
        }
    }
}

/// Asks for a change of the members at some running node.
fn ask(world: &mut World, command: MemberCommand) -> Result<(), String> {
    let Some(id) = world.running_node() else { return Ok(()) };
    world.propose_at(id, Command::Member(command))
}

fn join(world: &mut World) -> Result<(), String> {
    if 4 + u64::from(world.joins) >= MAX_NODES {
        return Ok(());
    }
    world.joins += 1;
    let token = TokenHash([world.joins; 32]);
    let open = JoinToken { hash: token, expires_ms: 1000, uses: 1 };
    let join = MemberCommand::Join {
        token,
        key: KeyHash([world.joins; 32]),
        quic: format!("quic-of-{}", world.joins),
        http: format!("http-of-{}", world.joins),
        replaces: None,
        now_ms: 1,
    };
    ask(world, MemberCommand::PutJoinToken(open))?;
    ask(world, join)
}

/// Asks for a removal, if enough would be left, also of those that lost their disks.
pub fn remove(world: &mut World, id: NodeId) -> Result<(), String> {
    let left = world.nodes.iter().filter(|(id, n)| !world.removed.contains(id) && !n.wiped).count();
    let lost = world.nodes.values().any(|node| node.wiped && node.out.is_none());
    if left < 4 || lost {
        return Ok(());
    }
    world.removed.insert(id);
    ask(world, MemberCommand::Remove { node: id })
}

/// Asks that a node drains, or that it does not any more.
pub fn drain(world: &mut World, node: NodeId, draining: bool) -> Result<(), String> {
    ask(world, MemberCommand::SetDraining { node, draining })
}

/// One disk may be lost for good, while all others of an odd number of voters are still there and
/// nobody is taken out: the group stands it.
fn may_lose(world: &World, id: NodeId) -> bool {
    let quiet = world.removed.is_empty() && world.nodes.values().all(|node| !node.wiped);
    let newest = world.nodes.values().filter_map(|node| node.core.as_ref());
    let newest = newest.max_by_key(|core| core.machine().applied());
    quiet
        && world.nodes[&id].last > 0
        && newest.is_some_and(|core| {
            let conf = core.machine().conf();
            !conf.joint() && conf.voters().len() >= 3
        })
}

/// Asks for the removal of a node that is gone for good.
pub fn take_out(world: &mut World, id: NodeId) -> Result<(), String> {
    world.removed.insert(id);
    ask(world, MemberCommand::Remove { node: id })
}
