use std::fs;

use super::fabric::{Cluster, blob, soon, until};
use crate::id::NodeId;

const N1: NodeId = NodeId(1);
const N3: NodeId = NodeId(3);

#[tokio::test]
async fn a_node_that_returns_is_given_what_it_missed() {
    let mut cluster = Cluster::start(3).await;
    cluster.down(N3).await;
    let mut hashes = Vec::new();
    for seed in 0..5 {
        hashes.push(cluster.blobs[&N1].put(blob(seed, 2000), soon()).await.unwrap());
    }
    cluster.up(N3).await;
    until("n3 has all blobs", || hashes.iter().all(|hash| cluster.has(N3, hash))).await;
    // Its own copies, not the others': it reads them alone.
    cluster.down(N1).await;
    cluster.down(NodeId(2)).await;
    for (seed, hash) in (0..5).zip(&hashes) {
        assert_eq!(cluster.blobs[&N3].get(*hash, soon()).await, Ok(blob(seed, 2000)));
    }
}

#[tokio::test]
async fn a_node_that_lost_its_disk_is_given_all_it_should_have_and_no_more() {
    let mut cluster = Cluster::start(5).await;
    let mut hashes = Vec::new();
    for seed in 0..12 {
        hashes.push(cluster.put_everywhere(N1, &blob(seed, 500)).await);
    }
    cluster.down(N3).await;
    fs::remove_dir_all(cluster.dir(N3)).unwrap();
    cluster.up(N3).await;
    let targets = |hash| cluster.blobs[&N1].targets(hash).contains(&N3);
    let due = hashes.iter().filter(|hash| targets(hash)).count();
    assert!((1..12).contains(&due));
    let held = || cluster.store(N3).local.after(None, 99);
    until("n3 has its blobs", || held().len() >= due).await;
    assert!(held().iter().all(targets), "it was given blobs that are not its own");
}

#[tokio::test]
async fn repair_goes_on_after_its_actor_failed() {
    let mut cluster = Cluster::start(3).await;
    cluster.store(N1).repairs.fail();
    cluster.down(N3).await;
    let hash = cluster.blobs[&N1].put(blob(1, 2000), soon()).await.unwrap();
    // Only n1 is left to give it to n3.
    cluster.down(NodeId(2)).await;
    cluster.up(N3).await;
    until("n3 has the blob", || cluster.has(N3, &hash)).await;
}
