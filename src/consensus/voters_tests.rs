use super::*;

const PATIENCE: Duration = Duration::from_secs(60);
const WELL: Standing = Standing {
    member: true,
    draining: false,
    live: true,
    caught_up: true,
    down: Duration::ZERO,
    asked: 0,
};

fn ids(ids: &[u64]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

fn conf(voters: &[u64], learners: &[u64]) -> Conf {
    Conf::new(ids(voters), ids(learners))
}

fn all_well(count: u64) -> Standings {
    (1..=count).map(|id| (NodeId(id), WELL)).collect()
}

fn set(nodes: &mut Standings, id: u64, change: impl Fn(&mut Standing)) {
    change(nodes.get_mut(&NodeId(id)).unwrap());
}

fn down(nodes: &mut Standings, id: u64, seconds: u64) {
    set(nodes, id, |node| (node.live, node.down) = (false, Duration::from_secs(seconds)));
}

fn plan(leader: u64, conf: &Conf, nodes: &Standings) -> Plan {
    next(NodeId(leader), conf, nodes, PATIENCE)
}

fn voters(changes: &[u64]) -> Plan {
    Plan::Change(ids(changes).into_iter().map(Change::Voter).collect())
}

#[test]
fn a_member_follows_at_once_and_votes_when_it_has_caught_up() {
    let mut nodes = all_well(3);
    set(&mut nodes, 2, |node| node.caught_up = false);
    set(&mut nodes, 3, |node| node.live = false);
    let learner = |id| Plan::Change(vec![Change::Learner(NodeId(id))]);
    assert_eq!(plan(1, &conf(&[1], &[]), &nodes), learner(2));
    assert_eq!(plan(1, &conf(&[1], &[2]), &nodes), learner(3));
    assert_eq!(plan(1, &conf(&[1], &[2, 3]), &nodes), Plan::Rest);
    set(&mut nodes, 2, |node| node.caught_up = true);
    assert_eq!(plan(1, &conf(&[1], &[2, 3]), &nodes), Plan::Rest, "two are worse than one");
    assert_eq!(plan(1, &conf(&[1], &[2, 3]), &all_well(3)), voters(&[2, 3]));
}

#[test]
fn the_number_of_voters_goes_with_the_number_of_nodes() {
    assert_eq!(plan(1, &conf(&[1], &[2]), &all_well(2)), Plan::Rest);
    assert_eq!(plan(1, &conf(&[1, 2, 3], &[4]), &all_well(4)), Plan::Rest);
    assert_eq!(plan(2, &conf(&[1, 2, 3], &[4, 5]), &all_well(5)), voters(&[4, 5]));
    assert_eq!(plan(2, &conf(&[1, 2, 3, 4, 5], &[6, 7]), &all_well(7)), Plan::Rest);
}

#[test]
fn a_dead_voter_is_replaced_after_the_time_and_only_by_a_node_that_is_well() {
    let group = conf(&[1, 2, 3], &[4]);
    let mut nodes = all_well(4);
    down(&mut nodes, 3, 59);
    assert_eq!(plan(1, &group, &nodes), Plan::Rest);
    down(&mut nodes, 3, 60);
    let replaced = Plan::Change(vec![Change::Voter(NodeId(4)), Change::Learner(NodeId(3))]);
    assert_eq!(plan(1, &group, &nodes), replaced);
    let bad: [fn(&mut Standing); 3] =
        [|n| n.live = false, |n| n.caught_up = false, |n| n.draining = true];
    for bad in bad {
        let mut nodes = nodes.clone();
        set(&mut nodes, 4, bad);
        assert_eq!(plan(1, &group, &nodes), Plan::Rest);
    }
    down(&mut nodes, 3, 0);
    assert_eq!(plan(1, &conf(&[1, 2, 4], &[3]), &all_well(4)), Plan::Rest, "it stays replaced");
}

#[test]
fn who_drains_or_was_removed_gives_way_at_once() {
    let group = conf(&[1, 2, 3], &[4]);
    let mut nodes = all_well(4);
    set(&mut nodes, 2, |node| node.draining = true);
    let drained = Plan::Change(vec![Change::Voter(NodeId(4)), Change::Learner(NodeId(2))]);
    assert_eq!(plan(1, &group, &nodes), drained);
    set(&mut nodes, 2, |node| node.member = false);
    let removed = Plan::Change(vec![Change::Voter(NodeId(4)), Change::Remove(NodeId(2))]);
    assert_eq!(plan(1, &group, &nodes), removed);
    assert_eq!(
        plan(1, &conf(&[1, 3, 4], &[2]), &nodes),
        Plan::Change(vec![Change::Remove(NodeId(2))])
    );
}

#[test]
fn a_leader_that_leaves_hands_over_first() {
    let mut nodes = all_well(4);
    set(&mut nodes, 1, |node| node.draining = true);
    down(&mut nodes, 2, 1);
    assert_eq!(plan(1, &conf(&[1, 2, 3], &[4]), &nodes), Plan::HandOver(NodeId(3)));
    let mut two = all_well(2);
    set(&mut two, 1, |node| node.member = false);
    assert_eq!(plan(1, &conf(&[1], &[2]), &two), voters(&[2]), "there must be another voter");
    assert_eq!(plan(1, &conf(&[1, 2], &[]), &two), Plan::HandOver(NodeId(2)));
    let gone = Plan::Change(vec![Change::Remove(NodeId(1))]);
    assert_eq!(plan(2, &conf(&[1, 2], &[]), &two), gone);
}

#[test]
fn nothing_is_changed_into_a_group_that_cannot_work() {
    let group = conf(&[1, 2, 3], &[]);
    let mut nodes = all_well(3);
    down(&mut nodes, 3, 100);
    set(&mut nodes, 2, |node| node.member = false);
    // Two are left, of which one is to vote: the leader.
    let alone = vec![Change::Remove(NodeId(2)), Change::Learner(NodeId(3))];
    assert_eq!(plan(1, &group, &nodes), Plan::Change(alone));
    let group = conf(&[1, 2, 3, 4, 5], &[]);
    let mut nodes = all_well(5);
    down(&mut nodes, 4, 1);
    down(&mut nodes, 5, 1);
    assert!(removable(NodeId(4), &group, &nodes).is_ok());
    down(&mut nodes, 3, 1);
    let why = removable(NodeId(4), &group, &nodes).unwrap_err();
    assert!(why.contains("n4 cannot be removed now") && why.contains("n3, n4, n5"), "{why}");
    assert!(removable(NodeId(6), &group, &nodes).is_ok(), "it does not vote");
}

/// From any group, whoever is up and whoever is a member: each change keeps a majority of live
/// voters, adds only nodes that are well, never the leader's own end, and it comes to rest with
/// the right number.
#[test]
fn every_path_ends_at_rest() {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    for seed in 0..20_000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let count = rng.random_range(1..=8);
        let mut nodes = all_well(count);
        for node in nodes.values_mut() {
            node.member = rng.random_range(0..5) > 0;
            node.draining = rng.random_range(0..6) == 0;
            node.live = rng.random_range(0..5) > 0;
            node.caught_up = rng.random_range(0..6) > 0;
            node.down = Duration::from_secs(if node.live { 0 } else { rng.random_range(0..120) });
        }
        let mut group = random_group(&mut rng, count);
        let Some(mut leader) = group.voters().iter().copied().find(|id| at(&nodes, *id).live)
        else {
            continue;
        };
        if works(group.voters(), &nodes).is_err() {
            continue;
        }
        let rested = (0..30).any(|_| match next(leader, &group, &nodes, PATIENCE) {
            Plan::Rest | Plan::Wait(_) => true,
            Plan::HandOver(to) => {
                assert!(group.voters().contains(&to) && at(&nodes, to).well());
                leader = to;
                false
            }
            Plan::Change(changes) => {
                let new = apply(&group, &changes);
                assert!(new.voters().contains(&leader), "seed {seed}: {group:?} {changes:?}");
                assert!(works(new.voters(), &nodes).is_ok(), "seed {seed}: {changes:?}");
                let added = new.voters().iter().filter(|id| !group.voters().contains(id));
                assert!(added.into_iter().all(|id| at(&nodes, *id).well()), "seed {seed}");
                group = new;
                false
            }
        });
        assert!(rested, "seed {seed} goes on and on: {group:?} {nodes:?}");
    }
}

fn random_group(rng: &mut rand::rngs::StdRng, count: u64) -> Conf {
    use rand::Rng;
    let most = MAX_VOTERS.min(usize::try_from(count).unwrap());
    let voters = rng.random_range(1..=most);
    let mut all: Vec<u64> = (1..=count).collect();
    let mut chosen = Vec::new();
    for _ in 0..voters {
        chosen.push(all.remove(rng.random_range(0..all.len())));
    }
    conf(&chosen, &all)
}

fn apply(group: &Conf, changes: &[Change]) -> Conf {
    let (mut voters, mut learners) = (group.voters().to_vec(), group.learners().to_vec());
    for change in changes {
        let (Change::Voter(id) | Change::Learner(id) | Change::Remove(id)) = *change;
        voters.retain(|other| *other != id);
        learners.retain(|other| *other != id);
        match change {
            Change::Voter(_) => voters.push(id),
            Change::Learner(_) => learners.push(id),
            Change::Remove(_) => {}
        }
    }
    Conf::new(voters, learners)
}
