use super::*;
use crate::wire::members::{Member, MemberCommand};

fn n(id: u64) -> NodeId {
    NodeId(id)
}

fn ids(all: &[u64]) -> Vec<NodeId> {
    all.iter().copied().map(NodeId).collect()
}

/// Nodes 1 to 5, of which those in `down` have no session.
struct Cluster {
    members: Members,
    down: Vec<NodeId>,
    shards: Shards,
}

const ONE: ShardId = ShardId(1);

impl Cluster {
    fn new() -> Self {
        let member = |id| Member {
            node: n(id),
            quic: format!("quic-{id}"),
            http: format!("http-{id}"),
            keys: vec![],
            draining: false,
        };
        let mut members = Members::default();
        members.change(MemberCommand::Found {
            members: (1..=5).map(member).collect(),
            authority: None,
            admin: None,
            now_ms: 0,
        });
        Self { members, down: vec![], shards: Shards::default() }
    }

    fn founded() -> Self {
        let mut cluster = Self::new();
        cluster.does(1, ShardStep::Found { targets: ids(&[1, 2, 3]) }).unwrap();
        cluster
    }

    fn shard(&self) -> Shard {
        Shard::clone(self.shards.get(ONE).unwrap())
    }

    fn does(&mut self, proposer: u64, step: ShardStep) -> Result<(), String> {
        let was = self.shards.get(ONE).map_or(0, |shard| shard.revision);
        self.does_from(was, proposer, step)
    }

    fn does_from(&mut self, was: u64, proposer: u64, step: ShardStep) -> Result<(), String> {
        let live = |node| !self.down.contains(&node);
        let judge = Judge { members: &self.members, live: &live, proposer: n(proposer) };
        self.shards.change(&ShardChange { shard: ONE, was, step }, judge)
    }

    fn remove(&mut self, node: u64) {
        self.members.change(MemberCommand::Remove { node: n(node) });
        let live = |node| !self.down.contains(&node);
        let judge = Judge { members: &self.members, live: &live, proposer: n(1) };
        self.shards.remove(n(node), judge);
    }
}

#[test]
fn a_shard_is_founded_once_and_all_of_its_copies_are_in_sync() {
    let mut cluster = Cluster::founded();
    let targets = ids(&[1, 2, 3]);
    let shard = Shard { epoch: 1, revision: 1, owner: n(1), in_sync: targets.clone(), targets };
    assert_eq!(cluster.shard(), shard);
    assert!(cluster.does(1, ShardStep::Found { targets: ids(&[4]) }).is_err());
    assert!(cluster.does_from(0, 1, ShardStep::Found { targets: ids(&[4]) }).is_err());
    assert_eq!(cluster.shard(), shard);
}

#[test]
fn a_change_made_from_an_older_state_is_refused() {
    let mut cluster = Cluster::founded();
    cluster.does(4, ShardStep::Aim { targets: ids(&[1, 2, 4]) }).unwrap();
    assert_eq!(cluster.shard().revision, 2);
    let aim = ShardStep::Aim { targets: ids(&[1, 2, 5]) };
    assert!(cluster.does_from(1, 4, aim).unwrap_err().contains("revision 2"));
    assert_eq!(cluster.shard().targets, ids(&[1, 2, 4]));
}

#[test]
fn only_members_and_none_of_them_twice_have_copies() {
    let mut cluster = Cluster::founded();
    for bad in [&[][..], &[1, 1], &[1, 9], &[1, 2, 3, 4]] {
        assert!(cluster.does(1, ShardStep::Aim { targets: ids(bad) }).is_err(), "{bad:?}");
    }
}

#[test]
fn another_owns_it_only_by_the_owners_word_or_after_its_session() {
    let mut cluster = Cluster::founded();
    let promote = |id| ShardStep::Promote { owner: n(id) };
    assert!(cluster.does(2, promote(2)).unwrap_err().contains("is live"));
    assert!(cluster.does(1, promote(4)).unwrap_err().contains("not in sync"));
    cluster.does(1, promote(2)).unwrap();
    assert_eq!((cluster.shard().owner, cluster.shard().epoch), (n(2), 2));
    cluster.down = ids(&[2, 3]);
    assert!(cluster.does(1, promote(3)).unwrap_err().contains("no live session"));
    cluster.does(1, promote(1)).unwrap();
    assert_eq!((cluster.shard().owner, cluster.shard().epoch), (n(1), 3));
}

#[test]
fn only_the_owner_lets_a_target_into_the_set() {
    let mut cluster = Cluster::founded();
    let admit = |id| ShardStep::Admit { node: n(id) };
    assert!(cluster.does(1, admit(4)).unwrap_err().contains("no copy"));
    cluster.does(5, ShardStep::Aim { targets: ids(&[1, 2, 4]) }).unwrap();
    assert!(cluster.does(4, admit(4)).unwrap_err().contains("only its owner"));
    assert!(cluster.does(1, admit(2)).unwrap_err().contains("already"));
    cluster.does(1, admit(4)).unwrap();
    assert_eq!(cluster.shard().in_sync, ids(&[1, 2, 3, 4]));
    cluster.does(5, ShardStep::Drop { node: n(3) }).unwrap();
    assert_eq!(cluster.shard().in_sync, ids(&[1, 2, 4]));
}

#[test]
fn nobody_leaves_the_set_who_is_needed() {
    let mut cluster = Cluster::founded();
    let drop = |id| ShardStep::Drop { node: n(id) };
    assert!(cluster.does(2, drop(1)).unwrap_err().contains("owns it"));
    assert!(cluster.does(2, drop(3)).unwrap_err().contains("lives"), "the leader may not");
    cluster.does(1, drop(3)).unwrap();
    cluster.down = ids(&[2]);
    assert!(cluster.does(5, drop(2)).unwrap_err().contains("fewer than 2"));
    assert!(cluster.does(1, drop(2)).unwrap_err().contains("fewer than 2"));
    assert_eq!(cluster.shard().in_sync, ids(&[1, 2]));
}

#[test]
fn a_node_that_leaves_the_cluster_leaves_every_shard() {
    let mut cluster = Cluster::founded();
    cluster.down = ids(&[2]);
    cluster.remove(1);
    let shard = cluster.shard();
    assert_eq!((shard.owner, shard.epoch), (n(3), 2), "2 has no session");
    assert_eq!((shard.in_sync, shard.targets), (ids(&[2, 3]), ids(&[2, 3])));
    cluster.remove(3);
    cluster.remove(2);
    let shard = cluster.shard();
    assert_eq!((shard.owner, shard.epoch), (n(4), 4), "begun anew, with a higher epoch");
    assert_eq!((shard.in_sync, shard.targets), (ids(&[4]), ids(&[4])));
}

#[test]
fn an_image_gives_the_same_table_and_a_damaged_one_an_error() {
    let cluster = Cluster::founded();
    assert_eq!(Shards::restore(cluster.shards.image()).unwrap(), cluster.shards);
    let bad = vec![(ShardId(SHARDS), cluster.shard())];
    assert!(Shards::restore(bad).is_err());
    let bad = vec![(ONE, Shard { owner: n(4), ..cluster.shard() })];
    assert!(Shards::restore(bad).is_err());
}

#[test]
fn it_is_known_which_shards_changed() {
    let mut cluster = Cluster::new();
    let before = cluster.shards.clone();
    cluster.does(1, ShardStep::Found { targets: ids(&[1]) }).unwrap();
    assert_eq!(cluster.shards.changed_since(&before), [ONE]);
    assert_eq!(cluster.shards.changed_since(&cluster.shards), []);
}
