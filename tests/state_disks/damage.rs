//! Files of a node are changed by chance while it runs or is down: bits, ends, pages, whole files, of
//! logs, values, bounds and checkpoints. No node ever gives other bytes than what was acknowledged, and
//! the copies are made whole from the others. Only where `FAASM_DAMAGE` says how many rounds; `FAASM_SEED`
//! says which.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::common::processes::Answer;
use super::*;

/// Files that are damaged in a round.
const FILES: usize = 40;
/// A page of a disk.
const PAGE: u64 = 4_096;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Changes a file in one of many ways; which.
fn spoil(path: &Path, random: &mut StdRng) -> &'static str {
    let Ok(file) = std::fs::OpenOptions::new().read(true).write(true).open(path) else {
        return "is gone";
    };
    let len = file.metadata().map_or(0, |data| data.len());
    if len == 0 {
        return "is empty";
    }
    let at = random.random_range(0..len);
    match random.random_range(0..10) {
        0 => {
            file.set_len(at).expect("it is cut");
            "is cut"
        }
        1 => {
            let page = at / PAGE * PAGE;
            let zeros = vec![0; (len - page).min(PAGE) as usize];
            file.write_all_at(&zeros, page).expect("it is written");
            "has a page of zeros"
        }
        2 => {
            file.write_all_at(&[7; 100], len).expect("it is written");
            "is longer"
        }
        3 => {
            drop(file);
            std::fs::remove_file(path).expect("it is removed");
            "is removed"
        }
        _ => {
            flip(path, at);
            "has a flipped bit"
        }
    }
}

/// Asks until it is done; copies that are made whole may let others wait.
fn ask_surely(cluster: &Processes, node: usize, line: &str, body: &[u8]) -> Answer {
    wait_for(line, 2 * PATIENCE, || {
        let answer = cluster.ask(node, line, body);
        (answer.status != 503).then_some(answer)
    })
}

fn write(cluster: &Processes, node: usize, keys: &[String], round: u8) {
    each(keys, |key| {
        let line = format!("PUT /v1/state/alice/{key}");
        let answer = ask_surely(cluster, node, &line, &bytes(key, round));
        assert!(matches!(answer.status, 200 | 201), "n{node}, {key}: {}", answer.text());
    });
}

fn read(cluster: &Processes, node: usize, keys: &[String], round: u8) {
    each(keys, |key| {
        let answer = ask_surely(cluster, node, &format!("GET /v1/state/alice/{key}"), b"");
        assert_eq!(answer.status, 200, "n{node}, {key}: {}", answer.text());
        assert!(answer.body == bytes(key, round), "n{node} gave other bytes for {key}");
    });
}

fn spoil_some(cluster: &Processes, node: usize, random: &mut StdRng) {
    let state = cluster.dir().join(format!("n{node}/state"));
    let mut all = files(&state.join("values"), &|_| true);
    let logs = files(&state.join("log"), &|name| !name.contains("LOCK"));
    let mut done: std::collections::BTreeMap<String, usize> = Default::default();
    all.sort();
    for _ in 0..FILES {
        let log = random.random_bool(0.03);
        let Some(path) = (if log { &logs } else { &all }).choose(random) else { continue };
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let kind = if log { "log" } else { &name[..1] };
        let how = format!("{kind} {}", spoil(path, random));
        *done.entry(how).or_default() += 1;
    }
    println!("n{node}: {done:?}");
}

#[test]
fn whatever_is_damaged_on_one_node_no_node_gives_other_bytes() {
    let Some(rounds) = setting("FAASM_DAMAGE") else {
        println!("skipped: FAASM_DAMAGE is not set");
        return;
    };
    let seed = setting("FAASM_SEED").unwrap_or_else(|| rand::random::<u32>().into());
    println!("replay: FAASM_DAMAGE={rounds} FAASM_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    // Checkpoints come often.
    let cluster = Processes::with_options(3, "[state]\nlog_bytes = 1048576\n");
    let keys = keys();
    write(&cluster, 1, &keys, 0);
    for round in 1..=rounds as u8 {
        wait_in_sync(&cluster);
        let node = random.random_range(1..=3);
        let runs = random.random_bool(0.5);
        println!("round {round}: n{node} {}", if runs { "runs" } else { "is down" });
        if !runs {
            cluster.kill(node);
        }
        spoil_some(&cluster, node, &mut random);
        if runs {
            write(&cluster, 1 + usize::from(round) % 3, &keys, round);
        } else {
            cluster.restart();
            read(&cluster, node, &keys, round - 1);
            write(&cluster, 1 + usize::from(round) % 3, &keys, round);
        }
        (1..=3).for_each(|node| read(&cluster, node, &keys, round));
        wait_in_sync(&cluster);
        // What is left of it is damage that nobody has read: another node is lost.
        let other = node % 3 + 1;
        cluster.kill(other);
        read(&cluster, node, &keys, round);
        write(&cluster, node, &keys[..20], round);
        cluster.restart();
        read(&cluster, other, &keys, round);
    }
}
