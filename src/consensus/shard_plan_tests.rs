use super::*;
use crate::consensus::members::Members;
use crate::consensus::shards::Judge;
use crate::wire::members::{Member, MemberCommand};

const PATIENCE: Duration = Duration::from_secs(60);

fn well(all: impl IntoIterator<Item = u64>) -> Nodes {
    let health = Health { live: true, ..Health::default() };
    all.into_iter().map(|id| (NodeId(id), health)).collect()
}

/// A table, and owners who do what is asked of them at once.
struct World {
    shards: Shards,
    members: Members,
    /// Copies made since the last time it was asked.
    copied: usize,
    handed: usize,
}

impl World {
    fn new() -> Self {
        let member = |id| Member {
            node: NodeId(id),
            quic: String::new(),
            http: String::new(),
            keys: vec![],
            draining: false,
        };
        let mut members = Members::default();
        let members_of = (1..=9).map(member).collect();
        let (authority, admin, now_ms) = (None, None, 0);
        members.change(MemberCommand::Found { members: members_of, authority, admin, now_ms });
        Self { shards: Shards::default(), members, copied: 0, handed: 0 }
    }

    fn makes(&mut self, change: &ShardChange, nodes: &Nodes, proposer: NodeId) {
        let live = |node| nodes.get(&node).is_some_and(|node: &Health| node.live);
        let judge = Judge { members: &self.members, live: &live, proposer };
        self.shards.change(change, judge).unwrap();
    }

    /// What owners do: let targets in, and hand over to the first.
    fn owners_act(&mut self, nodes: &Nodes) {
        let all: Vec<_> = self.shards.iter().map(|(id, s)| (id, Shard::clone(s))).collect();
        for (id, shard) in all {
            let live = |node: &NodeId| nodes.get(node).is_some_and(|node| node.live);
            if !live(&shard.owner) {
                continue;
            }
            let missing = shard.targets.iter().find(|n| live(n) && !shard.in_sync.contains(n));
            let first = shard.targets[0];
            let step = match missing {
                Some(node) => {
                    self.copied += 1;
                    ShardStep::Admit { node: *node }
                }
                None if shard.owner != first && shard.in_sync.contains(&first) && live(&first) => {
                    self.handed += 1;
                    ShardStep::Promote { owner: first }
                }
                None => continue,
            };
            let change = ShardChange { shard: id, was: shard.revision, step };
            self.makes(&change, nodes, shard.owner);
        }
    }

    /// Lets all come to rest; gives how many copies were made and how many shards handed over.
    fn settle(&mut self, nodes: &Nodes) -> (usize, usize) {
        (self.copied, self.handed) = (0, 0);
        for _ in 0..50 {
            let before = self.shards.clone();
            if let Some(command) = next(&self.shards, nodes, PATIENCE, true) {
                assert!(command.changes.len() <= usize::from(SHARDS));
                for change in &command.changes {
                    self.makes(change, nodes, NodeId(99));
                }
            }
            self.owners_act(nodes);
            if self.shards == before {
                return (self.copied, self.handed);
            }
        }
        panic!("it never comes to rest");
    }

    /// Most and fewest of something per node.
    fn spread<'a>(
        &'a self,
        nodes: &Nodes,
        of: impl Fn(&'a Shard) -> &'a [NodeId],
    ) -> (usize, usize) {
        let count = |node: &NodeId| {
            self.shards.iter().filter(|(_, shard)| of(shard).contains(node)).count()
        };
        let counts: Vec<usize> = nodes.keys().map(count).collect();
        (*counts.iter().min().unwrap(), *counts.iter().max().unwrap())
    }

    fn owned(&self, nodes: &Nodes) -> (usize, usize) {
        self.spread(nodes, |shard| std::slice::from_ref(&shard.owner))
    }

    fn copies(&self, nodes: &Nodes) -> (usize, usize) {
        self.spread(nodes, |shard| &shard.in_sync)
    }
}

#[test]
fn shards_are_founded_once_it_is_time_on_the_nodes_that_live() {
    let mut nodes = well(1..=3);
    assert_eq!(next(&Shards::default(), &nodes, PATIENCE, false), None);
    nodes.get_mut(&NodeId(3)).unwrap().live = false;
    let command = next(&Shards::default(), &nodes, PATIENCE, true).unwrap();
    assert_eq!(command.changes.len(), usize::from(SHARDS));
    for change in &command.changes {
        let ShardStep::Found { targets } = &change.step else { panic!("{change:?}") };
        let mut targets = targets.clone();
        targets.sort_unstable();
        assert_eq!((change.was, targets), (0, vec![NodeId(1), NodeId(2)]));
    }
}

/// What moves is what must: a node that comes takes its share, and what a node leaves behind is
/// all that is copied.
#[test]
fn from_one_node_to_seven_and_back_to_three_the_load_is_even_and_little_moves() {
    let mut world = World::new();
    let all = usize::from(SHARDS);
    world.settle(&well([1]));
    assert_eq!(world.owned(&well([1])), (all, all));
    for count in 2..=7 {
        let nodes = well(1..=count);
        let (copied, handed) = world.settle(&nodes);
        let (few, many) = world.copies(&nodes);
        let total = all * COPIES.min(count as usize);
        let share = total.div_ceil(count as usize);
        assert!(many <= share && few + 6 >= share, "{count} nodes: {few} to {many} of {share}");
        let (few, most) = world.owned(&nodes);
        let owns = all.div_ceil(count as usize);
        assert!(most <= owns && few + 6 >= owns, "{count} nodes own {few} to {most} of {owns}");
        assert!(copied <= share, "{copied} copies for node {count}, whose share is {share}");
        assert!(handed <= 2 * owns, "{handed} of {owns} were handed over for node {count}");
        assert_eq!(next(&world.shards, &nodes, PATIENCE, true), None, "it rests");
    }
    for count in (3..=6).rev() {
        let mut nodes = well(1..=count);
        nodes.extend(well([count + 1]));
        let before = world.copies(&nodes).1;
        nodes.get_mut(&NodeId(count + 1)).unwrap().draining = true;
        let (copied, _) = world.settle(&nodes);
        nodes.remove(&NodeId(count + 1));
        let (few, many) = world.copies(&nodes);
        let share = (all * COPIES).div_ceil(count as usize);
        assert!(many <= share && few + 6 >= share, "{count} nodes: {few} to {many} of {share}");
        let (few, most) = world.owned(&nodes);
        let owns = all.div_ceil(count as usize);
        assert!(most <= owns && few + 6 >= owns, "{count} nodes own {few} to {most} of {owns}");
        assert!(copied <= before + 6, "{copied} copies, and the node had {before}");
        let left = world.shards.iter().all(|(_, s)| !s.in_sync.contains(&NodeId(count + 1)));
        assert!(left, "a node that drains has nothing left");
    }
}

#[test]
fn when_an_owners_session_ends_its_shards_go_to_live_members_of_the_set_at_once() {
    let mut world = World::new();
    let mut nodes = well(1..=3);
    world.settle(&nodes);
    nodes.get_mut(&NodeId(2)).unwrap().live = false;
    let command = next(&world.shards, &nodes, PATIENCE, true).unwrap();
    let owned: Vec<_> =
        world.shards.iter().filter(|(_, s)| s.owner == NodeId(2)).map(|(id, _)| id).collect();
    for (id, shard) in world.shards.iter().filter(|(id, _)| owned.contains(id)) {
        let of = command.changes.iter().filter(|change| change.shard == id);
        let heir = shard.targets.iter().copied().find(|node| *node != NodeId(2)).unwrap();
        let (was, drop) = (shard.revision, ShardStep::Drop { node: NodeId(2) });
        let expected = [
            ShardChange { shard: id, was, step: ShardStep::Promote { owner: heir } },
            ShardChange { shard: id, was: was + 1, step: drop },
        ];
        assert_eq!(of.cloned().collect::<Vec<_>>(), expected);
    }
    let first = &command.changes[..2 * owned.len()];
    assert!(first.iter().all(|change| owned.contains(&change.shard)), "owners come first");
    world.settle(&nodes);
    assert_eq!(world.copies(&nodes), (0, 128), "the dead node is out of every set");
    let aims = world.shards.iter().all(|(_, shard)| shard.targets.contains(&NodeId(2)));
    assert!(aims, "it may come back");
    nodes.get_mut(&NodeId(2)).unwrap().live = true;
    assert_eq!(world.settle(&nodes), (128, owned.len()), "and gets back what it had");
}

#[test]
fn a_node_that_is_down_for_long_gives_its_copies_to_a_spare_one() {
    let mut world = World::new();
    let mut nodes = well(1..=4);
    world.settle(&nodes);
    let had = world.shards.iter().filter(|(_, s)| s.in_sync.contains(&NodeId(4))).count();
    *nodes.get_mut(&NodeId(4)).unwrap() = Health { live: false, draining: false, down: PATIENCE };
    assert_eq!(world.settle(&nodes).0, had);
    nodes.remove(&NodeId(4));
    assert_eq!(world.copies(&nodes), (128, 128));
}

#[test]
fn no_copy_is_given_up_for_want_of_nodes() {
    let mut world = World::new();
    let mut nodes = well(1..=3);
    world.settle(&nodes);
    for id in [2, 3] {
        *nodes.get_mut(&NodeId(id)).unwrap() =
            Health { live: false, draining: false, down: 2 * PATIENCE };
    }
    world.settle(&nodes);
    for (_, shard) in world.shards.iter() {
        assert_eq!(shard.targets.len(), 3, "as many as there are nodes");
        assert_eq!(shard.in_sync.len(), 2, "never below a majority of them");
    }
}
