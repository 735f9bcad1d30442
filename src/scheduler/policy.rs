//! Which node takes a call: pure functions over what this node believes of all nodes.

use crate::id::NodeId;
use crate::wire::calls::Room;
use crate::wire::function::Policy;

/// A node as a place for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub node: NodeId,
    /// What it can take.
    pub room: Room,
    /// Whether it has the call's module compiled.
    pub has_module: bool,
}

impl Candidate {
    /// Whether it can start a call at once.
    pub fn has_room(&self) -> bool {
        self.room.free_slots > 0 && self.room.free_places > 0
    }
}

/// The node for a call among those with room; `None` when it must wait. `here` is this node, when
/// it may run the call.
pub fn choose(
    policy: Policy,
    here: Option<Candidate>,
    others: impl Iterator<Item = Candidate>,
) -> Option<NodeId> {
    let here = here.filter(Candidate::has_room);
    let others = others.filter(Candidate::has_room);
    let best = match policy {
        Policy::BinPack => here.or_else(|| fullest(others)),
        Policy::Spread => emptiest(here.into_iter().chain(others)),
        Policy::Locality => match here {
            Some(here) if here.has_module => Some(here),
            _ => near(here, others),
        },
    };
    best.map(|candidate| candidate.node)
}

fn fullest(nodes: impl Iterator<Item = Candidate>) -> Option<Candidate> {
    nodes.max_by_key(|c| (c.has_module, c.room.running, std::cmp::Reverse(c.node)))
}

fn emptiest(nodes: impl Iterator<Item = Candidate>) -> Option<Candidate> {
    nodes.min_by_key(|c| {
        // Calls that wait or sleep take no slot: by their places they are spread too.
        let room = (std::cmp::Reverse(c.room.free_slots), std::cmp::Reverse(c.room.free_places));
        (c.room.running, room, !c.has_module, c.node)
    })
}

fn near(here: Option<Candidate>, others: impl Iterator<Item = Candidate>) -> Option<Candidate> {
    match fullest(others) {
        Some(other) if other.has_module || here.is_none() => Some(other),
        _ => here,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(node: u64, free_slots: u32, running: u32, has_module: bool) -> Candidate {
        let room = Room { free_slots, free_places: 10, running };
        Candidate { node: NodeId(node), room, has_module }
    }

    fn pick(policy: Policy, here: Candidate, others: &[Candidate]) -> Option<u64> {
        choose(policy, Some(here), others.iter().copied()).map(|n| n.0)
    }

    #[test]
    fn bin_pack_stays_here_while_there_is_room_then_fills_the_fullest() {
        let others = [node(2, 1, 7, false), node(3, 8, 0, false)];
        assert_eq!(pick(Policy::BinPack, node(1, 1, 9, false), &others), Some(1));
        assert_eq!(pick(Policy::BinPack, node(1, 0, 9, true), &others), Some(2));
    }

    #[test]
    fn spread_takes_the_node_that_runs_least() {
        let others = [node(2, 2, 3, true), node(3, 1, 1, false)];
        assert_eq!(pick(Policy::Spread, node(1, 8, 2, true), &others), Some(3));
        assert_eq!(pick(Policy::Spread, node(1, 8, 0, true), &others), Some(1));
    }

    #[test]
    fn spread_goes_on_when_all_that_was_spread_sleeps() {
        let holds = |id: u64, calls: u32| {
            let idle = node(id, 8, 0, true);
            Candidate { room: Room { free_places: 10 - calls, ..idle.room }, ..idle }
        };
        let others = [holds(2, 1), Candidate { has_module: false, ..holds(3, 0) }];
        assert_eq!(pick(Policy::Spread, holds(1, 1), &others), Some(3));
    }

    #[test]
    fn locality_goes_where_the_module_is() {
        let others = [node(2, 2, 3, false), node(3, 1, 1, true)];
        assert_eq!(pick(Policy::Locality, node(1, 8, 0, true), &others), Some(1));
        assert_eq!(pick(Policy::Locality, node(1, 8, 0, false), &others), Some(3));
        assert_eq!(pick(Policy::Locality, node(1, 8, 0, false), &others[..1]), Some(1));
        assert_eq!(pick(Policy::Locality, node(1, 0, 0, false), &others[..1]), Some(2));
    }

    #[test]
    fn without_room_nobody_is_chosen() {
        let full = node(2, 0, 8, true);
        let no_place = Candidate {
            room: Room { free_places: 0, ..node(3, 4, 0, true).room },
            ..node(3, 4, 0, true)
        };
        for policy in [Policy::BinPack, Policy::Spread, Policy::Locality] {
            assert_eq!(
                choose(policy, Some(node(1, 0, 9, true)), [full, no_place].into_iter()),
                None
            );
            assert_eq!(choose(policy, None, std::iter::empty()), None);
        }
    }
}
