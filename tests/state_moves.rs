//! Shards move while values are written and read, appended to and counted under locks through all
//! nodes: nodes join, drain, are removed and killed. What was acknowledged is there, once, and a value
//! can be used again soon.
//!
//! Only where `FAASM_MOVES` says how many times over: it takes minutes, and a machine that is not busy
//! with other work.

mod common;
#[path = "state_moves/load.rs"]
mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::guests::guest;
use common::members::Growing;
use common::processes::{PATIENCE, wait_for};
use faasm::gateway::values::view::{ShardView, ShardsView};
use load::{Load, PROBES};

/// No value waits longer while shards move as planned. An idle machine stays far below.
const MOVE: Duration = Duration::from_secs(3);
/// Nor after a node was killed, or the one that led.
const TAKEOVER: Duration = Duration::from_secs(5);
const TAKEOVER_OF_LEADER: Duration = Duration::from_secs(8);
/// How far the shares of two nodes may be apart, in shards.
const APART: usize = 2;

fn shards(cluster: &Growing) -> Vec<ShardView> {
    let up = cluster.up();
    let answer = up.iter().find_map(|(_, base)| cluster.try_ask(base, "GET /v1/shards", b"").ok());
    answer.map_or_else(Vec::new, |answer| answer.json::<ShardsView>().shards)
}

/// How many shards each node owns, and how many copies it has.
fn shares(shards: &[ShardView]) -> BTreeMap<String, (usize, usize)> {
    let mut shares: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for shard in shards {
        shares.entry(shard.owner.clone()).or_default().0 += 1;
        for node in &shard.in_sync {
            shares.entry(node.clone()).or_default().1 += 1;
        }
    }
    shares
}

/// Waits until these nodes, and no others, have all copies, whole and evenly.
fn wait_spread(cluster: &Growing, nodes: &[&str]) -> Duration {
    let (began, mut seen) = (Instant::now(), BTreeMap::new());
    let wanted: BTreeSet<&str> = nodes.iter().copied().collect();
    while began.elapsed() < PATIENCE {
        let all = shards(cluster);
        let whole = |shard: &ShardView| {
            let set: BTreeSet<&String> = shard.in_sync.iter().collect();
            set == shard.targets.iter().collect() && shard.targets.first() == Some(&shard.owner)
        };
        seen = shares(&all);
        let apart = |of: fn(&(usize, usize)) -> usize| {
            seen.values().map(of).max().unwrap_or(0) - seen.values().map(of).min().unwrap_or(0)
        };
        if !all.is_empty()
            && all.iter().all(whole)
            && seen.keys().map(String::as_str).collect::<BTreeSet<_>>() == wanted
            && apart(|share| share.0) <= APART
            && apart(|share| share.1) <= APART
        {
            return began.elapsed();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the shards are not spread over {nodes:?}: owned and kept: {seen:?}");
}

/// Does something to the cluster, and says how long a value could not be used.
fn step(load: &Load<'_>, what: &str, limit: Duration, act: impl FnOnce()) {
    load.settle();
    let began = Instant::now();
    act();
    let took = began.elapsed();
    load.settle();
    let (longest, key, operations) = load.longest();
    println!("{what}: {took:.2?}; longest of {operations} operations: {longest:.2?}, {key}");
    assert!(longest <= limit, "{what}: {key} could not be used for {longest:?}");
}

fn upload(cluster: &Growing) {
    let wasm = std::fs::read(guest("ledger")).expect("the guest was compiled");
    let line = "PUT /v1/functions/alice/ledger";
    wait_for("it is uploaded", PATIENCE, || {
        let answer = cluster.try_ask(&cluster.base("n1"), line, &wasm).expect("an answer");
        (answer.status == 200).then_some(())
    });
}

#[test]
fn nothing_is_lost_or_doubled_and_no_value_waits_for_long_while_shards_move() {
    let Some(rounds) = std::env::var("FAASM_MOVES").ok().and_then(|n| n.parse::<usize>().ok())
    else {
        println!("skipped: FAASM_MOVES is not set");
        return;
    };
    let cluster = Growing::begin();
    let token = cluster.done("n1", &["nodes", "token", "--uses", "100"]);
    let mut nodes: Vec<String> = vec!["n1".into()];
    for name in ["n2", "n3"] {
        nodes.push(cluster.join(name, "n1", &token, &[]));
    }
    upload(&cluster);
    wait_spread(&cluster, &names(&nodes));
    let load = Load::new(&cluster);
    std::thread::scope(|scope| {
        let load = &load;
        let stopping = load::Stop(&load.stop);
        for client in 0..3 {
            scope.spawn(move || load.guard(|| load.append(client)));
            scope.spawn(move || load.guard(|| load.count(client)));
        }
        for probe in 0..PROBES {
            scope.spawn(move || load.guard(|| load.probe(probe)));
        }
        // For comparison: what this machine takes.
        step(load, "nothing moves", PATIENCE, || std::thread::sleep(Duration::from_secs(1)));
        for round in 0..rounds {
            come_and_go(load, &token, &mut nodes, round);
            die(load, &nodes);
        }
        drop(stopping);
    });
    load.verify();
}

fn names(nodes: &[String]) -> Vec<&str> {
    nodes.iter().map(String::as_str).collect()
}

/// A node joins, another drains and is removed.
fn come_and_go(load: &Load<'_>, token: &str, nodes: &mut Vec<String>, round: usize) {
    let cluster = load.cluster;
    let folder = format!("n{}", 4 + round);
    step(load, &format!("{folder} joins"), MOVE, || {
        nodes.push(cluster.join(&folder, &nodes[0], token, &[]));
        println!("spread in {:.2?}", wait_spread(cluster, &names(nodes)));
    });
    // In turn, so that also the one that leads goes.
    let gone = nodes.remove(round % 2);
    step(load, &format!("{gone} drains"), MOVE, || {
        cluster.done(&nodes[0], &["nodes", "drain", &gone]);
        println!("spread in {:.2?}", wait_spread(cluster, &names(nodes)));
    });
    step(load, &format!("{gone} is removed"), MOVE, || {
        load.leaves(&gone);
        cluster.done(&nodes[0], &["nodes", "remove", &gone, "--timeout", "25s"]);
        assert!(cluster.ended(&gone).success());
    });
}

/// A node is killed and comes back, then the one that leads.
fn die(load: &Load<'_>, nodes: &[String]) {
    let cluster = load.cluster;
    for leads in [false, true] {
        let (leader, others) = cluster.voters(&nodes[0], nodes.len());
        let victim = if leads { leader } else { others[0].clone() };
        let limit = if leads { TAKEOVER_OF_LEADER } else { TAKEOVER };
        step(load, &format!("{victim} is killed"), limit, || {
            cluster.kill(&victim);
            let owned = |shard: &ShardView| shard.owner == victim;
            wait_for("others own its shards", PATIENCE, || {
                let all = shards(cluster);
                (!all.is_empty() && !all.iter().any(owned)).then_some(())
            });
        });
        step(load, &format!("{victim} comes back"), MOVE, || {
            cluster.start(&victim, &[]);
            println!("spread in {:.2?}", wait_spread(cluster, &names(nodes)));
        });
        assert!(!load.stop.load(Ordering::SeqCst), "a client failed");
    }
}
