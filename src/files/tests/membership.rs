use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::fabric::{Cluster, blob, soon, until};
use crate::config::FileOptions;
use crate::files::{BlobError, Blobs, transfer};
use crate::id::{BlobHash, NodeId};

/// A cluster that caches nothing, so that only kept copies count.
async fn cluster(nodes: u64, copies: usize) -> Cluster {
    Cluster::with_options(nodes, FileOptions { copies, cache_bytes: 0, ..FileOptions::default() })
        .await
}

/// Puts blobs through every node, and reads what was put through every node, all the time.
struct Load {
    nodes: Arc<Mutex<BTreeMap<NodeId, Blobs>>>,
    stored: Arc<Mutex<BTreeMap<BlobHash, Bytes>>>,
    tasks: Vec<JoinHandle<()>>,
}

/// Stores bytes. On a disk that is busy with other things a node may be too slow to count as a
/// copy: who is told so asks again.
async fn put(blobs: &Blobs, bytes: &Bytes) -> BlobHash {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        match blobs.put(bytes.clone(), soon()).await {
            Ok(hash) => return hash,
            Err(BlobError::TooFewCopies { why, .. }) if Instant::now() < until => {
                assert!(why.contains("too slow"), "{why}");
            }
            Err(error) => panic!("a put is not lost: {error}"),
        }
    }
}

impl Load {
    fn start() -> Self {
        let mut load = Self { nodes: Arc::default(), stored: Arc::default(), tasks: Vec::new() };
        let (nodes, stored) = (load.nodes.clone(), load.stored.clone());
        load.tasks.push(tokio::spawn(async move {
            for seed in 0u32.. {
                let Some(blobs) = pick(&nodes, seed) else { continue };
                let bytes = Bytes::from([&seed.to_le_bytes()[..], &blob(7, 2000)].concat());
                let hash = put(&blobs, &bytes).await;
                stored.lock().insert(hash, bytes);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }));
        let (nodes, stored) = (load.nodes.clone(), load.stored.clone());
        load.tasks.push(tokio::spawn(async move {
            for turn in 0u32.. {
                let some = {
                    let stored = stored.lock();
                    let at = (turn as usize).wrapping_mul(7919) % stored.len().max(1);
                    stored.iter().nth(at).map(|(hash, bytes)| (*hash, bytes.clone()))
                };
                if let (Some((hash, bytes)), Some(blobs)) = (some, pick(&nodes, turn)) {
                    assert_eq!(blobs.get(hash, soon()).await, Ok(bytes), "a blob was lost");
                }
                tokio::task::yield_now().await;
            }
        }));
        load
    }

    /// The nodes that clients may use.
    fn use_nodes(&self, cluster: &Cluster, ids: &[NodeId]) {
        let nodes = ids.iter().map(|id| (*id, cluster.blobs[id].clone()));
        *self.nodes.lock() = nodes.collect();
    }

    async fn more(&self, count: usize) {
        let before = self.stored.lock().len();
        until("more blobs are stored", || {
            assert!(self.tasks.iter().all(|task| !task.is_finished()), "a client failed");
            self.stored.lock().len() >= before + count
        })
        .await;
    }

    /// Ends it; all that was ever stored.
    async fn stop(self) -> BTreeMap<BlobHash, Bytes> {
        for task in self.tasks {
            assert!(!task.is_finished(), "a client failed: {:?}", task.await);
            task.abort();
        }
        self.stored.lock().clone()
    }
}

fn pick(nodes: &Mutex<BTreeMap<NodeId, Blobs>>, turn: u32) -> Option<Blobs> {
    let nodes = nodes.lock();
    nodes.values().nth(turn as usize % nodes.len().max(1)).cloned()
}

/// Waits until every blob is where it should be, and nowhere else.
async fn settled(cluster: &Cluster, hashes: impl Iterator<Item = BlobHash> + Clone) {
    let ids: Vec<NodeId> = cluster.blobs.keys().copied().collect();
    let wrong = || {
        hashes.clone().find_map(|hash| {
            let targets = cluster.blobs[&ids[0]].targets(&hash);
            let held: Vec<&NodeId> = ids.iter().filter(|id| cluster.has(**id, &hash)).collect();
            let right = held.len() == targets.len() && held.iter().all(|id| targets.contains(id));
            (!right).then(|| format!("{hash}: {held:?} have it, {targets:?} should"))
        })
    };
    let deadline = soon();
    while let Some(wrong) = wrong() {
        assert!(Instant::now() < deadline, "{wrong}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn grow_and_shrink(copies: usize) {
    let mut cluster = cluster(1, copies).await;
    let load = Load::start();
    let mut ids = vec![NodeId(1)];
    load.use_nodes(&cluster, &ids);
    load.more(20).await;
    for id in 2..=5 {
        cluster.up(NodeId(id)).await;
        ids.push(NodeId(id));
        *cluster.members.lock() = ids.clone();
        load.use_nodes(&cluster, &ids);
        load.more(20).await;
    }
    let so_far: Vec<BlobHash> = load.stored.lock().keys().copied().collect();
    settled(&cluster, so_far.iter().copied()).await;
    for id in [1, 4, 2].map(NodeId) {
        ids.retain(|other| *other != id);
        load.use_nodes(&cluster, &ids);
        *cluster.members.lock() = ids.clone();
        cluster.blobs[&id].leave(soon()).await.expect("its blobs find a place");
        cluster.down(id).await;
        load.more(20).await;
    }
    let stored = load.stop().await;
    settled(&cluster, stored.keys().copied()).await;
    for (hash, bytes) in stored {
        assert_eq!(cluster.blobs[&NodeId(3)].get(hash, soon()).await, Ok(bytes));
    }
}

#[tokio::test]
async fn no_blob_is_lost_while_a_cluster_grows_to_five_nodes_and_shrinks_to_two() {
    grow_and_shrink(3).await;
}

#[tokio::test]
async fn not_even_if_there_is_but_one_copy_of_each() {
    grow_and_shrink(1).await;
}

#[tokio::test]
async fn a_node_that_was_removed_without_a_word_is_replaced_by_the_other_copies() {
    let mut cluster = cluster(5, 3).await;
    let mut hashes = Vec::new();
    for seed in 0..20 {
        hashes.push(cluster.put_everywhere(NodeId(1), &blob(seed, 900)).await);
    }
    cluster.down(NodeId(5)).await;
    cluster.members.lock().pop();
    settled(&cluster, hashes.iter().copied()).await;
}

#[tokio::test]
async fn a_node_whose_blobs_find_no_place_says_so_and_may_stay() {
    let mut cluster = cluster(2, 1).await;
    let (n1, n2) = (NodeId(1), NodeId(2));
    let mut here = Vec::new();
    for seed in 0..20 {
        let hash = cluster.put_everywhere(n1, &blob(seed, 900)).await;
        here.extend(cluster.has(n1, &hash).then_some(hash));
    }
    cluster.down(n2).await;
    let leaving = cluster.blobs[&n1].clone();
    let error = leaving.leave(Instant::now() + Duration::from_millis(300)).await.unwrap_err();
    let BlobError::NotElsewhere { blobs, why } = &error else { panic!("{error}") };
    assert_eq!(*blobs, here.len());
    assert!(why.contains("n2"), "{why}");
    // All is as before: its blobs are here to stay.
    leaving.stay();
    until("nothing waits for n2", || cluster.store(n1).local.surplus() == 0).await;
    assert!(here.iter().all(|hash| cluster.has(n1, hash)));
    // A node alone cannot leave, either.
    cluster.members.lock().pop();
    let error = leaving.leave(Instant::now() + Duration::from_millis(300)).await.unwrap_err();
    assert!(error.to_string().contains("no other node"), "{error}");
}

#[tokio::test]
async fn a_copy_here_is_not_given_up_before_the_others_have_it() {
    let mut cluster = cluster(2, 1).await;
    let (n1, n2) = (NodeId(1), NodeId(2));
    cluster.members.lock().pop();
    cluster.down(n1).await;
    cluster.up(n1).await;
    let mut moved = Vec::new();
    for seed in 0..20 {
        moved.push(cluster.blobs[&n1].put(blob(seed, 900), soon()).await.unwrap());
    }
    cluster.down(n2).await;
    cluster.members.lock().push(n2);
    moved.retain(|hash| cluster.blobs[&n1].targets(hash) == [n2]);
    until("n1 knows of n2", || cluster.store(n1).local.surplus() == moved.len()).await;
    // A start takes nothing for cached, either.
    cluster.down(n1).await;
    cluster.up(n1).await;
    assert!(moved.iter().all(|hash| cluster.has(n1, hash)));
    cluster.up(n2).await;
    settled(&cluster, moved.iter().copied()).await;
}

#[tokio::test]
async fn a_node_that_has_left_takes_no_blob_any_more_unless_it_stays() {
    let cluster = cluster(2, 1).await;
    let (n1, n2) = (NodeId(1), NodeId(2));
    let bytes = blob(1, 900);
    let hash = BlobHash::of(&bytes);
    let remote = cluster.store(n2).rounds.remote.clone();
    cluster.members.lock().retain(|node| *node != n1);
    cluster.blobs[&n1].leave(soon()).await.expect("it has no blobs");
    let refused = transfer::offer(&*remote, n1, hash, &bytes, soon()).await.unwrap_err();
    assert!(refused.to_string().contains("leaves the cluster"), "{refused}");
    cluster.blobs[&n1].stay();
    assert_eq!(transfer::offer(&*remote, n1, hash, &bytes, soon()).await, Ok(()));
}
