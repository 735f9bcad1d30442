//! Histories of real clusters: values are set, appended to, and counted under their global locks
//! through all nodes, while nodes are killed and paused, the power fails and links are cut. What
//! the clients saw must have an order that explains it (linearizability), for each key.
//!
//! `FAASM_HISTORIES_SECONDS` says how long, `FAASM_HISTORIES_SEED` which faults and which load. Cuts
//! are skipped, with the reason, where there can be no namespaces.

#[path = "histories/client.rs"]
mod client;
mod common;
#[path = "histories/history.rs"]
mod history;
#[path = "histories/model.rs"]
mod model;
#[path = "histories/place.rs"]
mod place;
#[path = "histories/plan.rs"]
mod plan;
#[path = "histories/planted.rs"]
mod planted;
#[path = "histories/power.rs"]
mod power;

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use client::{Client, Run, Sort};
use common::netns::{self, Hosts};
use faasm::gateway::values::view::LocksView;
use faasm::wire::shards::StateKey;
use history::Histories;
use place::{Ask, Linked, Loopback, Place};
use plan::NODES;

/// Faults go on for so many seconds unless told otherwise.
const SECONDS: u64 = 10;
/// What clients of a node do.
const CLIENTS: [Sort; 5] =
    [Sort::Register, Sort::Register, Sort::List, Sort::Counter, Sort::Counter];
/// How long all keys may take to be read at the end.
const LAST_READS: Duration = Duration::from_secs(40);
/// How long a call holds a lock whose node is then paused or cut off, in milliseconds.
const HOLDER_DWELLS: u64 = 1_500;
/// Who has a lock for so long is that call, since others let it go sooner; it does not write yet.
const HOLDER_HAS: Duration = Duration::from_millis(client::DWELL + 100);
/// Longest wait until it has.
const HOLDER_WAITS: Duration = Duration::from_secs(3);
/// Fewer operations of each sort than this for a second show nothing.
const FEWEST: usize = 2;

fn setting(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Err(_) => otherwise,
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
    }
}

#[test]
fn histories_under_kills_pauses_and_power_failures_are_linearizable() {
    check(&Loopback::up(), "power_failures");
}

#[test]
fn histories_under_cut_links_are_linearizable() {
    if let Some(why) = netns::missing() {
        println!("skipped: {why}");
        return;
    }
    check(&Linked(Hosts::up(NODES)), "cut_links");
}

fn check(place: &dyn Place, name: &str) {
    let seed = setting("FAASM_HISTORIES_SEED", rand::random::<u32>().into());
    let time = Duration::from_secs(setting("FAASM_HISTORIES_SECONDS", SECONDS));
    let replay = format!(
        "FAASM_HISTORIES_SEED={seed} FAASM_HISTORIES_SECONDS={} \
         scripts/test --test histories {name}",
        time.as_secs()
    );
    println!("replay: {replay}");
    place::prepare(place);
    let histories = one_run(place, seed, time);
    let (all, open) = histories.size();
    let checking = Instant::now();
    let violations = histories.violations();
    println!(
        "{all} operations on {} registers, {} lists, {} counters; {open} were not answered; checked \
         in {:.2?}",
        histories.registers.len(),
        histories.lists.len(),
        histories.counters.len(),
        checking.elapsed()
    );
    if !violations.is_empty() {
        let file = std::env::temp_dir().join(format!("faasm-history-{seed}.txt"));
        std::fs::write(&file, violations.join("\n")).expect("the histories are written");
        let first: Vec<&str> = violations.iter().filter_map(|text| text.lines().next()).collect();
        panic!("{}\nwhole: {}\nreplay: {replay}", first.join("\n"), file.display());
    }
    let fewest = FEWEST * usize::try_from(time.as_secs()).expect("a short time");
    let sizes = [
        histories.registers.values().map(Vec::len).sum::<usize>(),
        histories.lists.values().map(Vec::len).sum(),
        histories.counters.values().map(Vec::len).sum(),
    ];
    assert!(sizes.iter().all(|size| *size > fewest), "too little was done: {sizes:?}");
}

/// Load and faults for that time, and a last look at everything through all nodes.
fn one_run(place: &dyn Place, seed: u64, time: Duration) -> Histories {
    let faults = plan::faults(seed, &place.kinds(), time);
    let run = Run::new(place);
    std::thread::scope(|scope| {
        let clients = (1..=NODES).flat_map(|node| CLIENTS.map(|sort| (node, sort)));
        for (number, (node, sort)) in (0..).zip(clients) {
            let client = Client::new(&run, seed, number, node);
            scope.spawn(move || client.work(sort));
        }
        let chaos = scope.spawn(|| {
            let mut before = Duration::ZERO;
            for (number, fault) in (2_000..).zip(&faults).take_while(|_| run.now() < time) {
                // Making one takes time, too: what is planned are the pauses between them.
                std::thread::sleep(fault.from - before);
                before = fault.until;
                if fault.kind.holds_up() {
                    // It writes, or is heard of, when its session is over and another had the lock.
                    let holder = Client::new(&run, seed, number, fault.node);
                    let key = run.key(Sort::Counter, 0);
                    let locked = key.clone();
                    scope.spawn(move || holder.add_after(&key, HOLDER_DWELLS));
                    wait_until_held(&run, fault.node, &locked);
                }
                let from = run.now().as_secs_f64();
                let more = place.begin(fault);
                std::thread::sleep(fault.until - fault.from);
                place.end(fault);
                let until = run.now().as_secs_f64();
                println!("{from:8.3} {until:8.3} {:?} n{} {more}", fault.kind, fault.node);
            }
            std::thread::sleep(time.saturating_sub(run.now()));
        });
        let ended = chaos.join();
        run.stop.store(true, Ordering::SeqCst);
        ended.expect("the faults were made");
    });
    last_reads(&run, seed);
    run.seen.into_inner().expect("no client failed")
}

/// Waits, not for long, until the call that dwells has its lock.
fn wait_until_held(run: &Run<'_>, node: usize, key: &str) {
    let (until, holder) = (run.now() + HOLDER_WAITS, format!("n{node}"));
    let patience = Duration::from_millis(300);
    let ask = Ask { line: "GET /v1/locks", body: b"", headers: &[], patience };
    let mut has: Option<(String, Duration)> = None;
    while run.now() < until {
        let locks = run.place.ask(node % NODES + 1, &ask);
        let locks = locks.map_or_else(|_| Vec::new(), |answer| answer.json::<LocksView>().locks);
        let held = locks.into_iter().find(|lock| lock.key == key && lock.mode == "write");
        let holder = held.and_then(|lock| lock.holders.into_iter().find(|by| by.node == holder));
        has = match (holder, has) {
            (Some(by), Some((call, since))) if by.call == call => Some((call, since)),
            (by, _) => by.map(|by| (by.call, run.now())),
        };
        if has.as_ref().is_some_and(|(_, since)| run.now() - *since > HOLDER_HAS) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("n{node} did not get the lock of {key}");
}

/// Reads every key through every node.
fn last_reads(run: &Run<'_>, seed: u64) {
    let until = Instant::now() + LAST_READS;
    let keys: Vec<(Sort, String)> = {
        let seen = run.seen.lock().expect("no client failed");
        let registers = seen.registers.keys().map(|key| (Sort::Register, key.clone()));
        let lists = seen.lists.keys().map(|key| (Sort::List, key.clone()));
        let counters = seen.counters.keys().map(|key| (Sort::Counter, key.clone()));
        registers.chain(lists).chain(counters).collect()
    };
    for node in 1..=NODES {
        let mut client = Client::new(run, seed, 1_000, node);
        for (sort, key) in &keys {
            while !client.read_as(*sort, key) {
                assert!(Instant::now() < until, "{}", unreadable(run.place, node, key));
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// What is known of a value that cannot be read.
fn unreadable(place: &dyn Place, node: usize, key: &str) -> String {
    let shard = StateKey { user: "alice".into(), key: key.into() }.shard();
    let mut text = format!("n{node} does not read {key}, on shard {}\n", shard.0);
    for node in 1..=NODES {
        for line in ["GET /v1/shards".to_owned(), format!("GET /v1/state/alice/{key}")] {
            let patience = Duration::from_secs(40);
            let ask = Ask { line: &line, body: b"", headers: &[], patience };
            let said = place.ask(node, &ask).map_or_else(|why| why.to_string(), |said| said.text());
            let about = format!("{{\"shard\":{},", shard.0);
            let from = said.find(&about).unwrap_or(0);
            let said: String = said.chars().skip(from).take(300).collect();
            writeln!(text, "n{node}: {line}: {said}").expect("memory");
        }
    }
    text
}
