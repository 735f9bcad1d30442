//! Which rank of a job goes to which node. Pure.

use crate::id::NodeId;
use crate::wire::mpi::MAX_RANKS;

/// How ranks are laid out on nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MapBy {
    /// One node after the other is filled.
    #[default]
    Slot,
    /// Each rank goes to the next node.
    Node,
}

impl std::str::FromStr for MapBy {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "slot" => Ok(Self::Slot),
            "node" => Ok(Self::Node),
            _ => Err(format!("`{s}` is no way to map ranks: use slot or node")),
        }
    }
}

impl std::fmt::Display for MapBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Slot => "slot",
            Self::Node => "node",
        })
    }
}

/// A node that a job may use, as the request names it: `n2` or `n2:4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// Which.
    pub node: NodeId,
    /// Most ranks there.
    pub slots: Option<u32>,
}

impl std::str::FromStr for Host {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let (node, slots) = match s.split_once(':') {
            Some((node, slots)) => (node, Some(slots)),
            None => (s, None),
        };
        let wrong =
            || format!("`{s}` is no host: write nodes as n2 or, with a number of ranks, n2:4");
        let node = node.parse().map_err(|_| wrong())?;
        let slots = slots.map(|slots| slots.parse().ok().filter(|slots| *slots > 0));
        match slots {
            Some(None) => Err(wrong()),
            Some(slots) => Ok(Self { node, slots }),
            None => Ok(Self { node, slots: None }),
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.slots {
            Some(slots) => write!(f, "{}:{slots}", self.node),
            None => write!(f, "{}", self.node),
        }
    }
}

/// A job as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gang {
    /// So many ranks.
    pub ranks: u32,
    /// Laid out so.
    pub map_by: MapBy,
    /// On these nodes only, in this order; empty for all.
    pub hosts: Vec<Host>,
    /// Whether each line of output names the rank that wrote it.
    pub tag_output: bool,
}

impl Gang {
    /// A job without wishes.
    pub fn of(ranks: u32) -> Self {
        Self { ranks, map_by: MapBy::Slot, hosts: Vec::new(), tag_output: false }
    }

    /// What cannot be, whatever room there is.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=MAX_RANKS).contains(&self.ranks) {
            return Err(format!("a job has 1 to {MAX_RANKS} ranks, not {}", self.ranks));
        }
        let named = |host: &Host| self.hosts.iter().filter(|h| h.node == host.node).count();
        if let Some(host) = self.hosts.iter().find(|host| named(host) > 1) {
            return Err(format!("{} is named twice among the hosts", host.node));
        }
        let slots: Option<u64> = self.hosts.iter().map(|h| h.slots.map(u64::from)).sum();
        match slots {
            Some(slots) if !self.hosts.is_empty() && slots < u64::from(self.ranks) => Err(format!(
                "the hosts take {slots} ranks, and the job has {}: give them more, as in n2:8",
                self.ranks
            )),
            _ => Ok(()),
        }
    }
}

/// A node that ranks may go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Which.
    pub node: NodeId,
    /// Ranks that it has room for.
    pub free: u32,
    /// Ranks that it runs at once without taking turns.
    pub cores: u32,
}

impl From<crate::scheduler::NodeRoom> for Room {
    fn from(room: crate::scheduler::NodeRoom) -> Self {
        Self { node: room.node, free: room.free, cores: room.cores }
    }
}

/// There is not room enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRoom {
    /// Room there is.
    pub free: u64,
    /// Nodes that were looked at.
    pub nodes: usize,
}

/// The node of each rank, with `rooms` in the order in which they are to be used. By slot, each
/// node is given as many ranks as it has cores; what is left over is spread evenly, as far as there
/// is room. Ranks that follow each other share a node. By node, each rank goes to the next node that has
/// room.
pub fn plan(ranks: u32, map_by: MapBy, rooms: &[Room]) -> Result<Vec<NodeId>, NoRoom> {
    let free: u64 = rooms.iter().map(|room| u64::from(room.free)).sum();
    if free < u64::from(ranks) {
        return Err(NoRoom { free, nodes: rooms.len() });
    }
    Ok(match map_by {
        MapBy::Node => around(ranks, rooms),
        MapBy::Slot => {
            let counts = counts(ranks, rooms);
            let of = |(room, count): (&Room, u32)| vec![room.node; count as usize];
            rooms.iter().zip(counts).flat_map(of).collect()
        }
    })
}

fn around(ranks: u32, rooms: &[Room]) -> Vec<NodeId> {
    let mut left: Vec<_> = rooms.iter().map(|room| (room.node, room.free)).collect();
    let mut nodes = Vec::with_capacity(ranks as usize);
    while nodes.len() < ranks as usize && !left.is_empty() {
        left.retain(|(_, free)| *free > 0);
        for (node, free) in &mut left {
            if nodes.len() < ranks as usize {
                nodes.push(*node);
                *free -= 1;
            }
        }
    }
    nodes
}

fn counts(ranks: u32, rooms: &[Room]) -> Vec<u32> {
    let mut left = ranks;
    let mut counts: Vec<u32> = Vec::with_capacity(rooms.len());
    for room in rooms {
        let count = room.cores.max(1).min(room.free).min(left);
        counts.push(count);
        left -= count;
    }
    while left > 0 {
        let open = |(at, room): (usize, &Room)| {
            counts.get(at).is_some_and(|count| *count < room.free).then_some(at)
        };
        let open: Vec<usize> = rooms.iter().enumerate().filter_map(open).collect();
        if open.is_empty() {
            break;
        }
        let share = left.div_ceil(open.len() as u32);
        for at in open {
            let (Some(count), Some(room)) = (counts.get_mut(at), rooms.get(at)) else { continue };
            let more = share.min(room.free - *count).min(left);
            *count += more;
            left -= more;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rooms(list: &[(u64, u32, u32)]) -> Vec<Room> {
        list.iter()
            .map(|(n, free, cores)| Room { node: NodeId(*n), free: *free, cores: *cores })
            .collect()
    }

    fn planned(ranks: u32, by: MapBy, list: &[(u64, u32, u32)]) -> Vec<u64> {
        plan(ranks, by, &rooms(list)).unwrap().iter().map(|node| node.0).collect()
    }

    #[test]
    fn by_slot_one_node_after_the_other_is_filled_to_its_cores() {
        let nodes = [(1, 100, 2), (2, 100, 3), (3, 100, 2)];
        assert_eq!(planned(2, MapBy::Slot, &nodes), [1, 1]);
        assert_eq!(planned(6, MapBy::Slot, &nodes), [1, 1, 2, 2, 2, 3]);
    }

    #[test]
    fn more_ranks_than_cores_are_spread_as_far_as_there_is_room() {
        let nodes = [(1, 100, 2), (2, 3, 2), (3, 100, 2)];
        let plan = planned(17, MapBy::Slot, &nodes);
        let count = |node| plan.iter().filter(|n| **n == node).count();
        assert_eq!(plan.len(), 17);
        assert_eq!(count(2), 3, "it has room for three");
        assert!(count(1).abs_diff(count(3)) <= 3, "{plan:?}");
        assert!(plan.is_sorted(), "neighbours share a node");
    }

    #[test]
    fn by_node_each_rank_goes_to_the_next_with_room() {
        let nodes = [(1, 1, 2), (2, 9, 2), (3, 2, 2)];
        assert_eq!(planned(6, MapBy::Node, &nodes), [1, 2, 3, 2, 3, 2]);
    }

    #[test]
    fn it_is_all_or_nothing() {
        let nodes = rooms(&[(1, 2, 2), (2, 2, 2)]);
        for by in [MapBy::Slot, MapBy::Node] {
            assert_eq!(plan(5, by, &nodes), Err(NoRoom { free: 4, nodes: 2 }));
            assert_eq!(plan(4, by, &nodes).unwrap().len(), 4);
        }
        assert_eq!(plan(1, MapBy::Slot, &[]), Err(NoRoom { free: 0, nodes: 0 }));
    }

    #[test]
    fn no_node_is_given_more_than_it_has_room_for() {
        for ranks in 0..60 {
            let list = [(1, 7, 2), (2, 0, 4), (3, 20, 1), (4, 33, 8)];
            for by in [MapBy::Slot, MapBy::Node] {
                let plan = planned(ranks, by, &list);
                assert_eq!(plan.len(), ranks as usize);
                for (node, free, _) in list {
                    assert!(plan.iter().filter(|n| **n == node).count() <= free as usize);
                }
            }
        }
    }

    #[test]
    fn hosts_are_read_and_checked() {
        assert_eq!("n2:4".parse(), Ok(Host { node: NodeId(2), slots: Some(4) }));
        assert_eq!("n2".parse(), Ok(Host { node: NodeId(2), slots: None }));
        for wrong in ["", "n2:", "n2:0", "n2:x", ":4", "x"] {
            assert!(wrong.parse::<Host>().is_err(), "{wrong}");
        }
        let gang = |ranks, hosts: &[&str]| Gang {
            hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
            ..Gang::of(ranks)
        };
        assert!(gang(0, &[]).check().is_err() && gang(MAX_RANKS + 1, &[]).check().is_err());
        assert!(gang(5, &["n1:4"]).check().is_err() && gang(4, &["n1:4"]).check().is_ok());
        assert!(gang(5, &["n1:4", "n2"]).check().is_ok());
        assert!(gang(2, &["n1", "n1:4"]).check().is_err());
    }
}
