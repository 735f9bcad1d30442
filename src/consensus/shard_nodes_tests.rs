//! Shards on real logs and drivers, connected in memory.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Consensus;
use super::shards::Shards;
use super::testnet::{TestCluster, soon};
use crate::id::NodeId;
use crate::wire::consensus::Response;
use crate::wire::shards::{SHARDS, Shard, ShardChange, ShardCommand, ShardId, ShardStep};

fn all(node: &Consensus, holds: impl Fn(&Arc<Shard>) -> bool) -> bool {
    let shards = node.shards();
    shards.iter().count() == usize::from(SHARDS) && shards.iter().all(|(_, shard)| holds(shard))
}

/// A cluster with its shards founded on all nodes.
async fn founded(nodes: u64) -> TestCluster {
    let cluster = TestCluster::start(nodes, 10_000).await;
    cluster.ready().await;
    cluster.until("shards are founded", |c| (1..=nodes).all(|id| all(c.node(id), |_| true))).await;
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_nodes_shards_go_to_others_as_soon_as_its_session_is_over() {
    let mut cluster = founded(3).await;
    let leader = cluster.ready().await;
    let dead = NodeId(1 + leader.0 % 3);
    assert!(all(cluster.node(1), |shard| shard.in_sync.len() == 3));
    let owned: BTreeSet<NodeId> =
        cluster.node(1).shards().iter().map(|(_, shard)| shard.owner).collect();
    assert_eq!(owned.len(), 3, "every node owns some");
    cluster.kill(dead).await;
    let mut shards = cluster.node(leader.0).watch_shards();
    cluster.until("its session is over", |c| c.node(leader.0).session_of(dead).is_none()).await;
    let over = Instant::now();
    let moved = |shard: &Shard| shard.owner != dead && shard.in_sync.len() == 2;
    shards.wait_for(|shards| shards.iter().all(|(_, shard)| moved(shard))).await.unwrap();
    // Two batches; a tick is 20 ms, and an election far away.
    assert!(over.elapsed() < Duration::from_millis(500), "{:?}", over.elapsed());
    cluster.start_node(dead).await;
    cluster.ready().await;
    cluster.catch_up().await;
    assert!(all(cluster.node(leader.0), |shard| shard.in_sync.len() == 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_new_session_does_not_answer_for_what_it_owned_in_the_one_before() {
    let mut cluster = founded(3).await;
    let leader = cluster.ready().await;
    let gone = NodeId(1 + leader.0 % 3);
    let shards = cluster.node(gone.0).shards();
    let owned: Vec<(ShardId, u64)> = shards
        .iter()
        .filter(|(_, shard)| shard.owner == gone)
        .map(|(id, shard)| (id, shard.epoch))
        .collect();
    assert!(owned.iter().all(|(id, epoch)| cluster.node(gone.0).owns(*id, *epoch)));
    cluster.kill(gone).await;
    let lost = |shards: &Arc<Shards>| shards.iter().all(|(_, shard)| shard.owner != gone);
    let mut shards = cluster.node(leader.0).watch_shards();
    shards.wait_for(lost).await.unwrap();
    cluster.start_node(gone).await;
    let node = cluster.node(gone.0);
    cluster.until("it has a session again", |_| node.session_is_live()).await;
    let still = owned.iter().filter(|(id, epoch)| node.owns(*id, *epoch)).count();
    assert_eq!(still, 0, "another node owns them by now, and may have written");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_may_admit_a_copy_and_a_repeat_is_refused() {
    let cluster = founded(4).await;
    let shards = cluster.node(1).shards();
    let (id, shard) = shards.iter().find(|(_, shard)| shard.owner == NodeId(1)).unwrap();
    let spare = (1..=4).map(NodeId).find(|node| !shard.targets.contains(node)).unwrap();
    let change = |was, step| ShardCommand { changes: vec![ShardChange { shard: id, was, step }] };
    let first = *shard.in_sync.iter().find(|node| **node != NodeId(1)).unwrap();
    let drop = change(shard.revision, ShardStep::Drop { node: first });
    let others = cluster.node(spare.0).change_shards(drop.clone(), soon()).await.unwrap();
    assert!(matches!(others.response, Response::Refused(_)), "{others:?}");
    let own = cluster.node(1).change_shards(drop.clone(), soon()).await.unwrap();
    assert_eq!(own.response, Response::Done);
    assert!(cluster.node(1).wait_applied(own.index, soon()).await);
    let again = cluster.node(1).change_shards(drop, soon()).await.unwrap();
    let Response::Refused(why) = again.response else { panic!("{again:?}") };
    assert!(why.contains("revision"), "{why}");
    let admit = change(shard.revision + 1, ShardStep::Admit { node: first });
    let others = cluster.node(spare.0).change_shards(admit.clone(), soon()).await.unwrap();
    assert!(matches!(others.response, Response::Refused(_)), "{others:?}");
    let own = cluster.node(1).change_shards(admit, soon()).await.unwrap();
    assert_eq!(own.response, Response::Done);
    let now = cluster.node(1).shard(id).unwrap();
    assert!(now.in_sync.contains(&first) && now.epoch == 1, "{now:?}");
    assert_eq!(cluster.node(1).shard(ShardId(SHARDS)), None);
}
