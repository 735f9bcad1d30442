use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

use super::fabric::{Cluster, blob, soon, until};
use crate::config::FileOptions;
use crate::files::{BlobError, MAX_BLOB};
use crate::id::{BlobHash, NodeId};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);

#[tokio::test]
async fn what_one_node_stored_any_other_reads_at_once() {
    let cluster = Cluster::start(3).await;
    for len in [0, 1, 300_000, 3 << 20] {
        let bytes = blob(1, len);
        let hash = cluster.blobs[&N1].put(bytes.clone(), soon()).await.unwrap();
        assert_eq!(hash, BlobHash::of(&bytes));
        for blobs in cluster.blobs.values() {
            assert_eq!(blobs.get(hash, soon()).await.as_ref(), Ok(&bytes));
        }
    }
}

#[tokio::test]
async fn it_outlives_the_node_it_was_stored_through() {
    let mut cluster = Cluster::start(5).await;
    let bytes = blob(2, 100_000);
    let hash = cluster.blobs[&N1].put(bytes.clone(), soon()).await.unwrap();
    cluster.down(N1).await;
    for blobs in cluster.blobs.values() {
        assert_eq!(blobs.get(hash, soon()).await.as_ref(), Ok(&bytes));
    }
}

#[tokio::test]
async fn a_restart_keeps_blobs() {
    let mut cluster = Cluster::start(1).await;
    let bytes = blob(3, 100_000);
    let hash = cluster.blobs[&N1].put(bytes.clone(), soon()).await.unwrap();
    cluster.down(N1).await;
    cluster.up(N1).await;
    assert_eq!(cluster.blobs[&N1].get(hash, soon()).await, Ok(bytes));
}

#[tokio::test]
async fn one_target_down_is_no_matter_and_two_are_named() {
    let mut cluster = Cluster::start(3).await;
    cluster.down(N3).await;
    let hash = cluster.blobs[&N1].put(blob(4, 1000), soon()).await.unwrap();
    assert!(cluster.has(N1, &hash) && cluster.has(N2, &hash));
    cluster.down(N2).await;
    let error = cluster.blobs[&N1].put(blob(5, 1000), soon()).await.unwrap_err();
    let BlobError::TooFewCopies { have: 1, need: 2, why } = &error else { panic!("{error}") };
    assert!(why.contains("n2") && why.contains("n3"), "{why}");
}

#[tokio::test]
async fn a_blob_that_nobody_has_is_not_found_and_all_who_were_asked_are_named() {
    let mut cluster = Cluster::start(3).await;
    cluster.down(N3).await;
    let hash = BlobHash::of(b"nowhere");
    let error = cluster.blobs[&N1].get(hash, soon()).await.unwrap_err();
    let BlobError::NotFound(of, why) = &error else { panic!("{error}") };
    assert_eq!(*of, hash);
    assert!(why.contains("n2: does not have it") && why.contains("n3 is not reach"), "{why}");
}

#[tokio::test]
async fn a_blob_that_is_too_large_is_refused_before_anything_is_stored() {
    let cluster = Cluster::start(1).await;
    let bytes = Bytes::from(vec![0; MAX_BLOB as usize + 1]);
    let error = cluster.blobs[&N1].put(bytes, soon()).await;
    assert_eq!(error, Err(BlobError::TooBig(MAX_BLOB + 1)));
    assert_eq!(cluster.store(N1).local.after(None, 1), []);
}

#[tokio::test]
async fn who_need_not_keep_it_caches_it_and_drops_the_longest_unused() {
    let options = FileOptions { copies: 1, cache_bytes: 2500, ..FileOptions::default() };
    let mut cluster = Cluster::with_options(2, options).await;
    let mut hashes = Vec::new();
    for seed in 0..=u8::MAX {
        let hash = BlobHash::of(&blob(seed, 1000));
        if cluster.blobs[&N1].targets(&hash) == [N2] {
            hashes.push(cluster.blobs[&N1].put(blob(seed, 1000), soon()).await.unwrap());
        }
        if hashes.len() == 3 {
            break;
        }
    }
    let [a, b, c] = hashes[..] else { panic!("256 blobs and not three on n2") };
    let here = |cluster: &Cluster| [a, b, c].map(|hash| cluster.has(N1, &hash));
    assert_eq!(here(&cluster), [false; 3]);
    for hash in [a, b, a, c] {
        cluster.blobs[&N1].get(hash, soon()).await.unwrap();
    }
    assert_eq!(here(&cluster), [true, false, true]);
    assert!(!cluster.file(N1, &b).exists());
    // What is cached is read without its node, also after a restart, and still counted.
    cluster.down(N2).await;
    cluster.down(N1).await;
    cluster.up(N1).await;
    cluster.blobs[&N1].get(a, soon()).await.unwrap();
    assert_eq!(here(&cluster), [true, false, true]);
    cluster.up(N2).await;
    cluster.blobs[&N1].get(b, soon()).await.unwrap();
    assert_eq!(here(&cluster), [true, true, false]);
}

#[tokio::test]
async fn a_blob_larger_than_the_cache_is_read_and_not_kept() {
    let cluster = Cluster::with_options(
        2,
        FileOptions { copies: 1, cache_bytes: 10, ..FileOptions::default() },
    )
    .await;
    let bytes = blob(1, 1000);
    let hash = cluster.blobs[&N1].put(bytes.clone(), soon()).await.unwrap();
    let other = if cluster.blobs[&N1].targets(&hash) == [N1] { N2 } else { N1 };
    assert_eq!(cluster.blobs[&other].get(hash, soon()).await, Ok(bytes));
    assert!(!cluster.has(other, &hash) && !cluster.file(other, &hash).exists());
}

#[tokio::test]
async fn many_who_want_the_same_blob_fetch_it_once() {
    let cluster = Cluster::with_options(
        2,
        FileOptions { copies: 1, cache_bytes: 1 << 20, ..FileOptions::default() },
    )
    .await;
    let bytes = blob(1, 100_000);
    let hash = cluster.blobs[&N1].put(bytes.clone(), soon()).await.unwrap();
    let target = cluster.blobs[&N1].targets(&hash)[0];
    let other = if target == N1 { N2 } else { N1 };
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    cluster.fabric.intercept(target, move || {
        count.fetch_add(1, Ordering::Relaxed);
        std::future::ready(())
    });
    let blobs = &cluster.blobs[&other];
    let reads = (0..20).map(|_| blobs.get(hash, soon()));
    for read in futures_util::future::join_all(reads).await {
        assert_eq!(read.as_ref(), Ok(&bytes));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_put_that_is_given_up_is_made_all_the_same() {
    let cluster = Cluster::start(2).await;
    let bytes = blob(6, 200_000);
    let hash = BlobHash::of(&bytes);
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (begun.clone(), go.clone());
    cluster.fabric.intercept(N2, move || {
        let (tell, wait) = (tell.clone(), wait.clone());
        async move {
            tell.notify_one();
            wait.notified().await;
        }
    });
    let put = cluster.blobs[&N1].put(bytes, soon());
    tokio::select! {
        done = put => panic!("n2 has not answered: {done:?}"),
        () = begun.notified() => {}
    }
    go.notify_one();
    until("both have it", || [N1, N2].iter().all(|node| cluster.has(*node, &hash))).await;
}

#[tokio::test]
async fn a_target_that_does_not_answer_is_named_at_the_deadline() {
    let cluster = Cluster::start(2).await;
    cluster.fabric.intercept(N2, std::future::pending);
    let deadline = Instant::now() + Duration::from_millis(200);
    let error = cluster.blobs[&N1].put(blob(7, 1000), deadline).await.unwrap_err();
    let BlobError::TooFewCopies { have: 1, need: 2, why } = &error else { panic!("{error}") };
    assert!(why.contains("n2: it was too slow"), "{why}");
}
