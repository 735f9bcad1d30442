use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::fabric::{Cluster, blob, until};
use crate::config::FileOptions;
use crate::files::disk::{Checked, Disk, Durability};
use crate::id::{BlobHash, NodeId};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);

/// Reads everything all the time.
fn restless() -> FileOptions {
    let period = Duration::from_millis(20);
    FileOptions { scrub_rate: 1 << 30, scrub_period: period, ..FileOptions::default() }
}

#[tokio::test]
async fn damage_that_nobody_reads_is_found_and_healed() {
    let cluster = Cluster::with_options(3, restless()).await;
    let hash = cluster.put_everywhere(N1, &blob(1, 10_000)).await;
    let path = cluster.file(N2, &hash);
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[5000] ^= 1;
    let mut longer = whole.clone();
    longer.push(0);
    let damages = [
        ("a flipped bit", flipped),
        ("a truncated file", whole[..600].to_vec()),
        ("an empty file", Vec::new()),
        ("a file that grew", longer),
    ];
    for (what, damaged) in damages {
        fs::write(&path, damaged).unwrap();
        until(what, || fs::read(&path).is_ok_and(|file| file == whole)).await;
    }
    fs::remove_file(&path).unwrap();
    until("a removed file", || fs::read(&path).is_ok_and(|file| file == whole)).await;
}

#[tokio::test]
async fn what_cannot_be_healed_now_is_healed_when_a_copy_can_be_had() {
    let cluster = Cluster::with_options(3, restless()).await;
    let hash = cluster.put_everywhere(N1, &blob(1, 10_000)).await;
    let open = Arc::new(AtomicBool::new(false));
    for node in [N1, N3] {
        cluster.fabric.gate(node, open.clone());
    }
    let path = cluster.file(N2, &hash);
    fs::write(&path, "damaged").unwrap();
    until("it is known to be lost", || cluster.store(N2).local.is_lost(&hash)).await;
    assert!(!path.exists(), "the bad copy was left");
    // Nothing tells the others: the node has to ask again by itself.
    open.store(true, Ordering::SeqCst);
    until("it is back", || cluster.has(N2, &hash)).await;
    assert!(!cluster.store(N2).local.is_lost(&hash));
}

#[tokio::test]
async fn a_directory_that_cannot_be_read_costs_its_node_nothing_but_its_copies() {
    let cluster = Cluster::with_options(3, restless()).await;
    let bytes = blob(1, 10_000);
    let hash = cluster.put_everywhere(N1, &bytes).await;
    let other = (2..).map(|seed| blob(seed, 500));
    let other =
        other.into_iter().find(|b| BlobHash::of(b).to_string()[..1] != hash.to_string()[..1]);
    let other_hash = cluster.put_everywhere(N1, &other.unwrap()).await;
    let sub = cluster.file(N2, &hash).parent().unwrap().to_owned();
    fs::remove_dir_all(&sub).unwrap();
    fs::write(&sub, "no directory").unwrap();
    let soon = super::fabric::soon();
    assert_eq!(cluster.blobs[&N2].get(hash, soon).await, Ok(bytes));
    // The rest is still looked after.
    let path = cluster.file(N2, &other_hash);
    fs::write(&path, "damaged").unwrap();
    until("another file is healed", || fs::read(&path).is_ok_and(|f| f.len() > 500)).await;
}

#[tokio::test]
async fn reading_is_paced() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, _) = Disk::open(dir.path().to_owned(), 0).await.unwrap();
    let bytes = blob(1, 100_000);
    let hash = BlobHash::of(&bytes);
    disk.write(&hash, bytes, Durability::Synced).await.unwrap();
    let begun = Instant::now();
    let checked = disk.check(&hash, 500_000).await.unwrap();
    assert_eq!(checked, Checked { whole: true, bytes: 100_016 });
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
}
