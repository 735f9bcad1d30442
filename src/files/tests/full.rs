use std::fs;
use std::process::Command;

use super::fabric::{Cluster, blob, soon};
use crate::config::FileOptions;
use crate::files::BlobError;
use crate::files::disk::{Disk, Durability};
use crate::id::{BlobHash, NodeId};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);

/// Set in the process of its own that a test of a small disk needs: it mounts one at this folder.
const SMALL_DISK: &str = "FAASM_TEST_SMALL_DISK";

/// Runs a test of this file in a process that has a disk of 8 MiB for the folders of its nodes, and
/// that no other process sees. Skips it where that is not allowed.
fn on_a_small_disk(test: &str) {
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=8m none \"$FAASM_TEST_SMALL_DISK\" && exec \"$0\" \"$@\"";
    let mut trial = Command::new("unshare");
    trial.args(["-m", "mount", "-t", "tmpfs", "none"]).arg(dir.path());
    if !trial.output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this user may not mount a file system");
        return;
    }
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("files::tests::full::{test}"), "--nocapture"])
        .env(SMALL_DISK, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
}

/// A cluster of whose nodes those given are on the small disk.
async fn cluster(nodes: u64, small: &[NodeId], reserve: u64) -> Cluster {
    let options = FileOptions { reserve_bytes: reserve, ..FileOptions::default() };
    let mut cluster = Cluster::with_options(nodes, options).await;
    for id in small {
        cluster.down(*id).await;
        let (from, to) = (cluster.dir(*id), std::env::var_os(SMALL_DISK).unwrap());
        let to = std::path::Path::new(&to).join(id.to_string());
        fs::remove_dir_all(&from).unwrap();
        fs::create_dir(&to).unwrap();
        std::os::unix::fs::symlink(to, from).unwrap();
        cluster.up(*id).await;
    }
    cluster
}

fn staged(cluster: &Cluster, id: NodeId) -> Vec<String> {
    let subs = fs::read_dir(cluster.dir(id)).unwrap();
    let files = subs.flat_map(|sub| fs::read_dir(sub.unwrap().path()).unwrap());
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains('#')).collect()
}

#[test]
fn a_full_disk_refuses_puts_and_all_else_goes_on() {
    on_a_small_disk("full_disk");
}

#[tokio::test]
async fn full_disk() {
    if std::env::var_os(SMALL_DISK).is_none() {
        return;
    }
    // With a reserve, and without one.
    for reserve in [2 << 20, 0] {
        let cluster = cluster(1, &[N1], reserve).await;
        let mut stored = Vec::new();
        let error = loop {
            let seed = stored.len() as u8;
            match cluster.blobs[&N1].put(blob(seed, 900_000), soon()).await {
                Ok(hash) => stored.push((seed, hash)),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, BlobError::Full(_)), "{error}");
        assert!(error.to_string().contains("add nodes or larger disks"), "{error}");
        assert_eq!(stored.len(), if reserve == 0 { 9 } else { 6 });
        let disk = rustix::fs::statvfs(cluster.dir(N1)).unwrap();
        assert!(disk.f_bavail * disk.f_frsize >= reserve);
        assert!(staged(&cluster, N1).is_empty(), "half a file was left");
        for (seed, hash) in &stored {
            assert_eq!(cluster.blobs[&N1].get(*hash, soon()).await, Ok(blob(*seed, 900_000)));
        }
        let dir = fs::read_link(cluster.dir(N1)).unwrap();
        // Written by others meanwhile: the disk itself refuses, half-way.
        let (disk, _) = Disk::open(dir.clone(), 0).await.unwrap();
        let large = blob(99, 7_000_000);
        for durability in [Durability::Synced, Durability::Relaxed] {
            let refused = disk.write(&BlobHash::of(&large), large.clone(), durability).await;
            assert!(matches!(refused, Err(BlobError::Full(_))), "{refused:?}");
        }
        assert!(staged(&cluster, N1).is_empty(), "half a file was left");
        fs::remove_dir_all(dir).unwrap();
    }
}

#[test]
fn a_node_whose_disk_is_full_costs_the_others_nothing() {
    on_a_small_disk("one_full_disk");
}

#[tokio::test]
async fn one_full_disk() {
    if std::env::var_os(SMALL_DISK).is_none() {
        return;
    }
    let mut cluster = cluster(3, &[N3], 1 << 20).await;
    let mut stored = Vec::new();
    for seed in 0..12 {
        stored.push(cluster.blobs[&N1].put(blob(seed, 900_000), soon()).await.unwrap());
    }
    assert!(!stored.iter().all(|hash| cluster.has(N3, hash)), "all fit");
    for (seed, hash) in (0..).zip(&stored) {
        assert_eq!(cluster.blobs[&N3].get(*hash, soon()).await, Ok(blob(seed, 900_000)));
    }
    // Two of three are needed, and one is full.
    cluster.down(N2).await;
    let error = cluster.blobs[&N1].put(blob(99, 900_000), soon()).await.unwrap_err();
    let BlobError::Full(why) = &error else { panic!("{error}") };
    assert!(why.contains("n3: its disk is full") && why.contains("n2"), "{why}");
    assert!(staged(&cluster, N3).is_empty());
}

#[test]
fn cached_blobs_make_room_for_those_that_must_stay() {
    on_a_small_disk("cache_on_a_small_disk");
}

#[tokio::test]
async fn cache_on_a_small_disk() {
    if std::env::var_os(SMALL_DISK).is_none() {
        return;
    }
    let cluster = cluster(1, &[N1], 1 << 20).await;
    let local = &cluster.store(N1).local;
    let cached: Vec<BlobHash> = (0..20u8).map(|seed| BlobHash::of(&blob(seed, 900_000))).collect();
    for (seed, hash) in (0..).zip(&cached) {
        local.cache(*hash, blob(seed, 900_000)).await.unwrap();
    }
    let here = |hash: &&BlobHash| local.len_of(hash).is_some();
    assert_eq!(cached.iter().filter(here).count(), 8, "the newest are here");
    let hash = cluster.blobs[&N1].put(blob(99, 3_000_000), soon()).await.unwrap();
    assert!(cluster.has(N1, &hash));
    assert!((3..=5).contains(&cached.iter().filter(here).count()));
}
