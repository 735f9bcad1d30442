//! State that is large or numerous, on real nodes; small unless they are told how much:
//! `FAASM_LARGE_BYTES=5368709120` for one value, `FAASM_MANY_KEYS=100000` for the keys of a user,
//! `FAASM_PUSH_MIB=64` for a push.

mod common;

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::processes::{PATIENCE, Processes, wait_for};
use serde_json::Value;

const MIB: usize = 1 << 20;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Each 8 bytes of a value tell where they are.
fn fill(bytes: &mut [u8], off: u64) {
    for (word, at) in bytes.chunks_exact_mut(8).zip((off..).step_by(8)) {
        word.copy_from_slice(&at.to_le_bytes());
    }
}

fn begin(cluster: &Processes, node: usize, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_faasm"))
        .args(["--cluster", cluster.base(node)])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("faasm runs")
}

fn served(cluster: &Processes) {
    wait_for("each shard is on all nodes", PATIENCE, || {
        let answer = cluster.ask(1, "GET /v1/shards", b"");
        let shards: Value = serde_json::from_slice(&answer.body).ok()?;
        let shards = shards["shards"].as_array()?;
        let all = |shard: &Value| shard["in_sync"].as_array().is_some_and(|s| s.len() == 3);
        (shards.len() == 128 && shards.iter().all(all)).then_some(())
    });
}

#[test]
fn a_streamed_value_goes_in_and_out_of_a_cluster_however_large_it_is() {
    let size = number("FAASM_LARGE_BYTES").unwrap_or(20 * MIB as u64 + 4_104);
    let cluster = Processes::up(3);
    served(&cluster);
    let begun = Instant::now();
    let mut put = begin(&cluster, 1, &["state", "put", "alice/large", "-"]);
    let mut stdin = put.stdin.take().expect("a pipe");
    let mut block = vec![0; MIB];
    for off in (0..size).step_by(MIB) {
        fill(&mut block, off);
        let len = usize::try_from(size - off).expect("it fits").min(MIB);
        stdin.write_all(&block[..len]).expect("it is read");
    }
    let sent = begun.elapsed();
    drop(stdin);
    assert!(put.wait().expect("it ends").success());
    let took = begun.elapsed();
    println!("{size} bytes were sent in {sent:.1?} and there after {took:.1?}");

    for (node, off) in [(2, 0), (3, size / 2 / 8 * 8), (1, (size - 16) / 8 * 8)] {
        let begun = Instant::now();
        let offset = off.to_string();
        let range = ["state", "get", "alice/large", "--offset", &offset, "--len", "16"];
        let got = begin(&cluster, node, &range).wait_with_output().expect("it ends").stdout;
        let mut expected = [0; 16];
        fill(&mut expected, off);
        assert_eq!(got, expected, "at {off} through node {node}");
        println!("16 bytes at {off} took {:.1?}", begun.elapsed());
    }
    let begun = Instant::now();
    let mut get = begin(&cluster, 2, &["state", "get", "alice/large"]);
    let mut stdout = get.stdout.take().expect("a pipe");
    let (mut off, mut expected) = (0, vec![0; MIB]);
    while off < size {
        let len = usize::try_from(size - off).expect("it fits").min(MIB);
        stdout.read_exact(&mut block[..len]).expect("it is sent");
        fill(&mut expected, off);
        assert!(block[..len] == expected[..len], "at {off}");
        off += len as u64;
    }
    assert!(get.wait().expect("it ends").success());
    println!("all of it was read in {:.1?}", begun.elapsed());
}

#[test]
fn small_writes_and_readers_go_on_beside_large_pushes_into_a_value() {
    let mib = number("FAASM_PUSH_MIB").unwrap_or(24);
    let cluster = Processes::up(3);
    served(&cluster);
    let large = vec![1; usize::try_from(mib).expect("it fits") * MIB];
    let put = |path: &str, body: &[u8]| {
        let answer = cluster.ask(1, &format!("PUT /v1/state/alice/{path}"), body);
        assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
    };
    let shard = |key: &str| {
        let answer = cluster.ask(1, &format!("GET /v1/state/alice/{key}?info"), b"");
        let info: Value = serde_json::from_slice(&answer.body).expect("JSON");
        info["shard"]["shard"].clone()
    };
    put("large", &large);
    let of = shard("large");
    let small = (0..).map(|n| format!("small{n}")).find(|key| {
        put(key, b"0");
        shard(key) == of
    });
    let small = small.expect("one of the same shard");
    let pushed = std::sync::atomic::AtomicBool::new(false);
    let (mut took, mut longest) = (Vec::new(), Duration::ZERO);
    std::thread::scope(|scope| {
        let pushes = scope.spawn(|| {
            let push = |round: u8| {
                let begun = Instant::now();
                // It is written inside the value, so it must be copied there.
                put("large?offset=0", &vec![round + 2; large.len()]);
                begun.elapsed()
            };
            let longest = (0..3).map(push).max();
            pushed.store(true, Ordering::SeqCst);
            longest.expect("three")
        });
        scope.spawn(|| {
            while !pushed.load(Ordering::SeqCst) {
                let got = cluster.ask(2, "GET /v1/state/alice/large", b"");
                let first = got.body.first().copied();
                assert!(got.body.iter().all(|byte| Some(*byte) == first), "all of a push or none");
                assert!(got.status != 200 || got.body.len() == large.len());
            }
        });
        while !pushed.load(Ordering::SeqCst) {
            let begun = Instant::now();
            put(&small, b"2");
            took.push(begun.elapsed());
        }
        longest = pushes.join().expect("they are pushed");
    });
    took.sort();
    let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
    let count = took.len();
    println!(
        "{count} small writes beside pushes of {mib} MiB that took up to {longest:.1?}: p50 \
         {median:.1?}, the slowest {worst:.1?}"
    );
    assert!(count > 6 && median < longest / 3, "small writes waited for whole pushes");
}

#[test]
fn a_quota_is_one_for_the_cluster_and_values_without_bytes_count() {
    // 256 values without bytes, or 64 of one chunk less.
    let quota = "[state]\nuser_bytes = 262144\n";
    let cluster = Processes::with_options(3, quota);
    served(&cluster);
    let (made, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for node in 1..=3 {
            let (cluster, made, refused) = (&cluster, &made, &refused);
            scope.spawn(move || {
                // Long enough to hear of the others.
                for nth in 0..400 {
                    let line = format!("PUT /v1/state/alice/{node}-{nth}");
                    let answer = cluster.ask(node, &line, b"");
                    match answer.status {
                        201 => made.fetch_add(1, Ordering::SeqCst),
                        403 => {
                            assert!(answer.text().contains("FAASM_EQUOTA"), "{}", answer.text());
                            assert!(answer.text().contains("quota of alice"), "{}", answer.text());
                            refused.fetch_add(1, Ordering::SeqCst)
                        }
                        other => panic!("{other}: {}", answer.text()),
                    };
                }
            });
        }
    });
    let made = made.load(Ordering::SeqCst);
    println!("{made} values were made, {} refused", refused.load(Ordering::SeqCst));
    // Each of three nodes alone would let 256 in.
    assert!((256..768).contains(&made), "{made}");
    let full = |cluster: &Processes| {
        let answer = cluster.ask(1, "PUT /v1/state/alice/another", b"x");
        (answer.status == 403).then_some(())
    };
    wait_for("every node knows that it is full", PATIENCE, || full(&cluster));
    let bob = cluster.ask(1, "PUT /v1/state/bob/k", b"x");
    assert_eq!(bob.status, 201, "another user's: {}", bob.text());
    for nth in 0..400 {
        for node in 1..=3 {
            cluster.ask(node, &format!("DELETE /v1/state/alice/{node}-{nth}"), b"");
        }
    }
    wait_for("there is room again", PATIENCE, || {
        let answer = cluster.ask(1, "PUT /v1/state/alice/another", b"x");
        (answer.status == 201).then_some(())
    });
}

#[test]
fn many_keys_are_listed_in_pages_and_take_little_memory() {
    let keys = usize::try_from(number("FAASM_MANY_KEYS").unwrap_or(300)).expect("it fits");
    let cluster = Processes::up(3);
    served(&cluster);
    let before = cluster.resident(1);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..32 {
            let cluster = &cluster;
            scope.spawn(move || {
                for nth in (thread..keys).step_by(32) {
                    let line = format!("PUT /v1/state/alice/key-{nth:06}");
                    let answer = cluster.ask(1 + nth % 3, &line, b"1");
                    assert_eq!(answer.status, 201, "{}", answer.text());
                }
            });
        }
    });
    println!("{keys} keys were made in {:.1?}", begun.elapsed());
    let more = (cluster.resident(1).saturating_sub(before)) << 10;
    println!("node 1 takes {} bytes more of memory for each", more / keys as u64);
    // What few keys take is the noise.
    assert!(keys < 10_000 || more / (keys as u64) < 4_096, "they take much memory");
    let list = |limit: usize| {
        let (begun, limit) = (Instant::now(), limit.to_string());
        let args = ["--cluster", cluster.base(2), "--json", "state", "ls", "alice", "--limit"];
        let output = cluster.faasm(&[&args[..], &[&limit]].concat());
        let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let names = list["values"].as_array().expect("a list").iter();
        let names: Vec<String> =
            names.map(|value| value["key"].as_str().expect("a key").to_owned()).collect();
        println!("{} of them were listed in {:.1?}", names.len(), begun.elapsed());
        names
    };
    let expected: Vec<String> = (0..keys).map(|nth| format!("key-{nth:06}")).collect();
    assert!(list(keys + 1) == expected);
    let some = 7.min(keys);
    assert_eq!(list(some), expected[..some]);
    (1..=3).for_each(|node| cluster.kill(node));
    let begun = Instant::now();
    cluster.restart();
    println!("all nodes started again in {:.1?}", begun.elapsed());
    wait_for("all shards are served", PATIENCE, || {
        cluster.try_ask(2, "GET /v1/state/alice?limit=1", b"").ok().filter(|a| a.status == 200)
    });
    println!("and served after {:.1?}", begun.elapsed());
    assert!(list(keys + 1) == expected);
}
