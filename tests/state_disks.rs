//! What the disks of nodes lose is made again from the others, and what a dead owner kept is served by
//! another node soon: real processes, and a value in each of all shards.

mod common;
#[path = "state_disks/damage.rs"]
mod damage;
#[path = "state_disks/full.rs"]
mod full;

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::processes::{PATIENCE, Processes, wait_for};
use faasm::gateway::view::ErrorBody;
use faasm::wire::shards::{SHARDS, StateKey};

/// Another node answers for the keys of a dead one within this time, or within that when the dead
/// one led Raft.
const TAKEOVER: Duration = Duration::from_secs(5);
const TAKEOVER_OF_LEADER: Duration = Duration::from_secs(8);
/// Requests at the same time.
const AT_ONCE: usize = 8;
/// Bytes of a value: more than two chunks.
const LEN: usize = 10_000;

/// A key in each shard.
fn keys() -> Vec<String> {
    let mut found: Vec<Option<String>> = vec![None; usize::from(SHARDS)];
    for number in 0.. {
        let key = StateKey { user: "alice".into(), key: format!("key{number}") };
        let place = &mut found[usize::from(key.shard().0)];
        if place.is_none() {
            *place = Some(key.key);
            if found.iter().all(Option::is_some) {
                break;
            }
        }
    }
    found.into_iter().flatten().collect()
}

/// The bytes of a value after some rounds of writing.
fn bytes(key: &str, round: u8) -> Vec<u8> {
    key.bytes().chain([round]).cycle().take(LEN).collect()
}

/// Does something for each key, several at a time.
fn each(keys: &[String], act: impl Fn(&str) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(key) = keys.get(next.fetch_add(1, Ordering::Relaxed)) {
                    act(key);
                }
            });
        }
    });
}

fn put(cluster: &Processes, node: usize, keys: &[String], round: u8) {
    each(keys, |key| {
        let line = format!("PUT /v1/state/alice/{key}");
        let answer = cluster.ask(node, &line, &bytes(key, round));
        assert!(matches!(answer.status, 200 | 201), "n{node}, {key}: {}", answer.text());
    });
}

/// Every value is read through the node, and is right.
fn check(cluster: &Processes, node: usize, keys: &[String], round: u8) {
    each(keys, |key| {
        let answer = cluster.ask(node, &format!("GET /v1/state/alice/{key}"), b"");
        assert_eq!(answer.status, 200, "n{node}, {key}: {}", answer.text());
        assert!(answer.body == bytes(key, round), "n{node} gave other bytes for {key}");
    });
}

/// The shards, as a node knows them.
fn shards(cluster: &Processes, node: usize) -> Vec<serde_json::Value> {
    let answer = cluster.ask(node, "GET /v1/shards", b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let view: serde_json::Value = answer.json();
    view["shards"].as_array().expect("a list").clone()
}

/// Waits until all copies of all shards are whole.
fn wait_in_sync(cluster: &Processes) {
    wait_for("all copies are whole", PATIENCE, || {
        let shards = shards(cluster, 1);
        let whole =
            |shard: &serde_json::Value| shard["in_sync"].as_array().map(Vec::len) == Some(3);
        (shards.len() == usize::from(SHARDS) && shards.iter().all(whole)).then_some(())
    });
}

/// The keys, one for each shard, of the shards that a node owns.
fn owned(cluster: &Processes, node: usize, keys: &[String]) -> Vec<String> {
    let owner = format!("n{node}");
    let all = shards(cluster, node);
    let mine = all.iter().zip(keys).filter(|(shard, _)| shard["owner"] == owner.as_str());
    mine.map(|(_, key)| key.clone()).collect()
}

fn follower(cluster: &Processes) -> usize {
    let leader = cluster.leader(1);
    (1..=3).rfind(|node| *node != leader && *node != 1).expect("there are two others")
}

#[test]
fn a_node_whose_copies_are_gone_makes_them_again_and_serves_nothing_empty() {
    let cluster = Processes::up(3);
    let keys = keys();
    put(&cluster, 1, &keys, 1);
    cluster.kill(2);
    std::fs::remove_dir_all(cluster.dir().join("n2/state")).expect("it is removed");
    cluster.restart();
    (1..=3).for_each(|node| check(&cluster, node, &keys, 1));
    wait_in_sync(&cluster);
    values(&cluster, 2);
    // What the others own must now be served from the copies of the node, or of the third.
    cluster.kill(3);
    check(&cluster, 2, &keys, 1);
    put(&cluster, 2, &keys, 2);
    cluster.restart();
    check(&cluster, 3, &keys, 2);
}

#[test]
fn a_cluster_that_is_killed_before_it_wrote_anything_has_owners_for_all_shards() {
    let cluster = Processes::up(3);
    (1..=3).for_each(|node| cluster.kill(node));
    cluster.restart();
    let keys = keys();
    put(&cluster, 2, &keys, 1);
    (1..=3).for_each(|node| check(&cluster, node, &keys, 1));
}

/// Changes a byte of a file.
fn flip(path: &Path, at: u64) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).expect("a file");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("it is that long");
    file.write_all_at(&[byte[0] ^ 0x10], at).expect("it is written");
}

/// The files below a folder of which the name is as wanted.
fn files(dir: &Path, wanted: &dyn Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // A folder may be gone by now: that of a copy that is made again.
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, wanted));
        } else if path.file_name().and_then(|name| name.to_str()).is_some_and(wanted) {
            found.push(path);
        }
    }
    found
}

/// The files of all values on a node, once it has them.
fn values(cluster: &Processes, node: usize) -> Vec<PathBuf> {
    let dir = cluster.dir().join(format!("n{node}/state/values"));
    wait_for("the node has all values", PATIENCE, || {
        let values = files(&dir, &|name| name.starts_with('v'));
        (values.len() >= usize::from(SHARDS)).then_some(values)
    })
}

/// Changes a byte of every value on a node.
fn damage_values(cluster: &Processes, node: usize) {
    values(cluster, node).iter().for_each(|path| flip(path, 5_000));
}

#[test]
fn damaged_values_and_logs_are_found_and_healed_from_the_others() {
    let cluster = Processes::up(3);
    let keys = keys();
    put(&cluster, 1, &keys, 1);
    // Of a node that runs: whatever it owns would be wrong.
    damage_values(&cluster, 2);
    (1..=3).for_each(|node| check(&cluster, node, &keys, 1));

    // Of one that is down: its values, and its log, half-way.
    wait_in_sync(&cluster);
    put(&cluster, 1, &keys, 2);
    let node = follower(&cluster);
    cluster.kill(node);
    damage_values(&cluster, node);
    let logs = files(&cluster.dir().join(format!("n{node}/state/log")), &|name| {
        name.ends_with(".raftlog")
    });
    for log in logs {
        let bytes = std::fs::read(&log).expect("a log");
        let end = bytes.iter().rposition(|byte| *byte != 0).expect("something is in it");
        flip(&log, end as u64 / 2);
    }
    cluster.restart();
    (1..=3).for_each(|node| check(&cluster, node, &keys, 2));
    wait_in_sync(&cluster);
    // Its copies are whole again: what it takes over is right, and lasts.
    let other = (1..=3).find(|other| *other != node && *other != cluster.leader(node));
    cluster.kill(other.expect("there are two others"));
    check(&cluster, node, &keys, 2);
    put(&cluster, node, &keys, 3);
    check(&cluster, node, &keys, 3);
}

/// Kills a node; how long it takes until each of the others answers for all keys that it owned, and
/// takes writes.
fn takeover(cluster: &Processes, victim: usize, round: u8) -> Duration {
    let keys = owned(cluster, victim, &keys());
    assert!(keys.len() > usize::from(SHARDS) / 5, "n{victim} owns only {}", keys.len());
    put(cluster, victim, &keys, round);
    cluster.kill(victim);
    let killed = Instant::now();
    let longest = Mutex::new(Duration::ZERO);
    for node in (1..=3).filter(|node| *node != victim) {
        each(&keys, |key| {
            let get = format!("GET /v1/state/alice/{key}");
            wait_for("another node answers", PATIENCE, || {
                let answer = cluster.ask(node, &get, b"");
                if answer.status != 200 {
                    let code = answer.json::<ErrorBody>().error.code;
                    assert_eq!(code, "FAASM_EUNAVAILABLE", "{}", answer.text());
                    return None;
                }
                assert!(answer.body == bytes(key, round), "n{node} gave other bytes for {key}");
                Some(())
            });
            put(cluster, node, &[key.to_owned()], round);
            let mut longest = longest.lock().expect("nobody failed");
            *longest = killed.elapsed().max(*longest);
        });
    }
    longest.into_inner().expect("nobody failed")
}

#[test]
fn others_answer_for_a_dead_owner_in_time() {
    let cluster = Processes::up(3);
    wait_in_sync(&cluster);
    let took = takeover(&cluster, follower(&cluster), 1);
    println!("after a follower of Raft: {took:.2?}");
    assert!(took <= TAKEOVER, "it took {took:?}");
    cluster.restart();
    wait_in_sync(&cluster);
    let leader = cluster.leader(1);
    wait_for("the leader owns its share again", PATIENCE, || {
        let keys = owned(&cluster, leader, &keys());
        (keys.len() > usize::from(SHARDS) / 5).then_some(())
    });
    let took = takeover(&cluster, leader, 2);
    println!("after the leader of Raft: {took:.2?}");
    assert!(took <= TAKEOVER_OF_LEADER, "it took {took:?}");
}
