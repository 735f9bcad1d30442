//! Nodes that come and go, with real logs and drivers, connected in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Consensus;
use super::testnet::{TestCluster, key, put, soon};
use crate::id::NodeId;
use crate::wire::consensus::Response;
use crate::wire::members::MemberCommand;
use crate::wire::shards::Shard;

/// Often: joiners begin behind what was compacted.
const SNAPSHOTS: u64 = 50;

fn remove(id: u64) -> MemberCommand {
    MemberCommand::Remove { node: NodeId(id) }
}

/// A client that puts one function after the other, until told to stop.
struct Client {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<(u64, Duration)>,
}

impl Client {
    fn at(node: &Consensus) -> Self {
        let (stop, node) = (Arc::new(AtomicBool::new(false)), node.clone());
        let told = stop.clone();
        let task = tokio::spawn(async move {
            let (mut done, mut longest) = (0, Duration::ZERO);
            while !told.load(Ordering::Relaxed) {
                let began = Instant::now();
                let put = node.propose(put(&format!("f{}", done % 40)), soon()).await.unwrap();
                assert_eq!(put.response, Response::Done);
                longest = longest.max(began.elapsed());
                done += 1;
            }
            (done, longest)
        });
        Self { stop, task }
    }

    /// How many it put, and the longest that one took.
    async fn end(self) -> (u64, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

async fn until_voters(cluster: &TestCluster, at: u64, count: usize) {
    let what = format!("{count} nodes vote");
    cluster.until(&what, |cluster| cluster.voters(at).len() == count).await;
}

/// One at a time, while a client changes the registry: none of its changes is lost or refused.
#[tokio::test(flavor = "multi_thread")]
async fn from_one_node_to_seven_and_back_to_three_under_load() {
    let mut cluster = TestCluster::start(1, SNAPSHOTS).await;
    cluster.ready().await;
    let client = Client::at(cluster.node(1));
    for (count, voters) in [(2, 1), (3, 3), (4, 3), (5, 5), (6, 5), (7, 5)] {
        let id = cluster.join(1).await;
        assert_eq!(id, NodeId(count));
        until_voters(&cluster, 1, voters).await;
        cluster.until("the node is at home", |c| c.node(count).session_is_live()).await;
    }
    for (gone, voters) in [(2, 5), (3, 5), (4, 3), (5, 3)] {
        assert_eq!(cluster.change(1, remove(gone)).await, Response::Done);
        cluster.until("it votes no more", |c| c.node(1).drained(NodeId(gone))).await;
        until_voters(&cluster, 1, voters).await;
        assert!(!cluster.voters(1).contains(&gone));
        cluster.kill(NodeId(gone)).await;
    }
    let (done, longest) = client.end().await;
    eprintln!("{done} changes, the longest took {longest:?}");
    cluster.until("three are left", |c| c.voters(6) == [1, 6, 7]).await;
    let index = cluster.node(1).status().applied;
    cluster.node(1).wait_applied_everywhere(index, soon()).await.unwrap();
    for id in [1, 6, 7] {
        assert_eq!(cluster.node(id).functions(None).len() as u64, done.min(40), "on n{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_voter_is_replaced_by_a_spare_node_and_follows_when_it_comes_back() {
    let mut cluster = TestCluster::start(4, SNAPSHOTS).await;
    let leader = cluster.ready().await;
    let dead = (1..=3).find(|id| *id != leader.0).unwrap();
    cluster.kill(NodeId(dead)).await;
    cluster
        .until("the spare node votes in its place", |cluster| {
            let voters = cluster.voters(leader.0);
            voters.contains(&4) && !voters.contains(&dead)
        })
        .await;
    cluster.start_node(NodeId(dead)).await;
    cluster.ready().await;
    cluster.until("it knows its place", |c| c.voters(dead).contains(&4)).await;
    assert!(!cluster.voters(dead).contains(&dead));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_drained_or_removed_hands_over_first() {
    let mut cluster = TestCluster::start(5, SNAPSHOTS).await;
    let first = cluster.ready().await;
    until_voters(&cluster, first.0, 5).await;
    let other = (1..=5).find(|id| *id != first.0).unwrap();
    let client = Client::at(cluster.node(other));
    let drain = MemberCommand::SetDraining { node: first, draining: true };
    assert_eq!(cluster.change(other, drain).await, Response::Done);
    assert!(cluster.node(other).wait_drained(first, soon()).await);
    let (done, longest) = client.end().await;
    eprintln!("{done} changes, the longest took {longest:?}");
    let second = cluster.ready().await;
    assert_ne!(first, second);
    let other = (1..=5).find(|id| ![first.0, second.0].contains(id)).unwrap();
    assert_eq!(cluster.change(other, remove(second.0)).await, Response::Done);
    assert!(cluster.node(other).wait_drained(second, soon()).await);
    assert_ne!(cluster.node(other).status().leader, Some(second));
    cluster.until("the removed node knows", |c| c.node(second.0).failure().is_some()).await;
    let why = cluster.node(second.0).failure().unwrap();
    assert!(why.contains("was removed") && why.contains("--join"), "{why}");
    assert!(!cluster.node(second.0).session_is_live());
    cluster.kill(second).await;
    cluster.start_node(second).await;
    cluster.until("and again after a restart", |c| c.node(second.0).failure().is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_would_leave_no_majority_is_refused() {
    let mut cluster = TestCluster::start(4, SNAPSHOTS).await;
    let leader = cluster.ready().await;
    let well = 1 + leader.0 % 3;
    let dead = 1 + well % 3;
    cluster.kill(NodeId(4)).await;
    cluster.kill(NodeId(dead)).await;
    let gone = |c: &TestCluster| {
        c.node(well).members().iter().filter(|m| m.session.is_some()).count() == 2
    };
    cluster.until("the sessions of the dead are over", gone).await;
    let refused = cluster.change(leader.0, remove(well)).await;
    let Response::Refused(why) = refused else { panic!("{refused:?}") };
    assert!(why.contains(&format!("n{well} cannot be removed now")), "{why}");
    assert!(why.contains(&format!("are down (n{dead})")), "{why}");
    assert_eq!(cluster.change(well, remove(dead)).await, Response::Done);
    cluster.until("the dead one is out", |c| c.node(well).drained(NodeId(dead))).await;
    assert_eq!(cluster.change(well, remove(4)).await, Response::Done);
    let refused = cluster.change(leader.0, remove(well)).await;
    let Response::Refused(why) = refused else { panic!("{refused:?}") };
    assert!(why.contains("only copy in sync"), "{why}");
    cluster
        .until("the other one should have all", |c| {
            let aimed = |shard: &Arc<Shard>| shard.targets.contains(&leader);
            c.node(well).shards().iter().all(|(_, shard)| aimed(shard))
        })
        .await;
    cluster.catch_up().await;
    assert_eq!(cluster.change(leader.0, remove(well)).await, Response::Done);
    until_voters(&cluster, leader.0, 1).await;
}

/// Each node is stopped and started again while a client of the first changes the registry.
#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_takes_no_election_timeout() {
    let mut cluster = TestCluster::start(3, SNAPSHOTS).await;
    cluster.ready().await;
    let mut without = Vec::new();
    for _ in 0..3 {
        let leader = cluster.ready().await;
        let client = Client::at(cluster.node(1 + leader.0 % 3));
        cluster.stop(leader).await;
        let (_, longest) = client.end().await;
        without.push(longest);
        cluster.start_node(leader).await;
    }
    cluster.ready().await;
    eprintln!("the longest change while the leader stopped: {without:?}");
    // An election begins after 10 ticks of 20 ms at the earliest.
    let quickest = without.iter().min().unwrap();
    assert!(*quickest < Duration::from_millis(200), "{without:?}");
    assert!(cluster.node(1).function(&key("f0")).is_some());
}
