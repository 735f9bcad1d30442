//! State while nodes are killed and frozen, as real processes: what was acknowledged stays, nothing
//! is doubled, and who lost a lock can write no more.

mod common;
#[path = "state_faults/kills.rs"]
mod kills;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::processes::{PATIENCE, Processes, wait_for};
use rustix::process::Signal;

/// Bytes of an element.
const ELEMENT: usize = 16;

fn cluster() -> Processes {
    let cluster = Processes::up(3);
    cluster.must_upload(1, "ledger", "");
    cluster
}

/// Runs the guest; what it says, if the call was answered at all.
fn run(cluster: &Processes, through: usize, on: usize, args: &[&str]) -> Option<String> {
    let args: String = args.iter().map(|arg| format!("&arg={arg}")).collect();
    let line = format!("POST /v1/functions/alice/ledger/invoke?node={on}&timeout=40s{args}");
    let answer = cluster.try_ask(through, &line, b"").ok()?;
    (answer.status == 200).then(|| answer.text())
}

/// Waits until a node takes calls again; false if `stop` came first.
fn ready(cluster: &Processes, node: usize, stop: &AtomicBool) -> bool {
    while !stop.load(Ordering::SeqCst) {
        if cluster.ready(node).is_some_and(|(status, _)| status == 200) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Runs it until it is answered without an error.
fn must(cluster: &Processes, args: &[&str]) -> String {
    wait_for("the state answers", PATIENCE, || {
        run(cluster, 1, 1, args).filter(|said| !said.contains(" error -"))
    })
}

/// The number that it says was done.
fn number(said: &str) -> u64 {
    said.split(' ').nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Counts, or appends, on a node until it is told to stop.
struct Load<'a> {
    cluster: &'a Processes,
    stop: AtomicBool,
    /// Acknowledged additions, and those that nobody knows of.
    counted: AtomicU64,
    doubtful: AtomicU64,
}

impl Load<'_> {
    fn count(&self, node: usize) {
        while ready(self.cluster, node, &self.stop) {
            match run(self.cluster, node, node, &["count", "total", "4"]) {
                Some(said) => {
                    let done = number(&said);
                    self.counted.fetch_add(done, Ordering::SeqCst);
                    // The one that failed may have been done.
                    self.doubtful.fetch_add(u64::from(done < 4), Ordering::SeqCst);
                }
                None => drop(self.doubtful.fetch_add(4, Ordering::SeqCst)),
            }
        }
    }

    /// Appends; gives the elements that were acknowledged, in order.
    fn append(&self, node: usize) -> Vec<String> {
        let mut acknowledged = Vec::new();
        for turn in 0.. {
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            let element = format!("n{node}-{turn:08}");
            let said = run(self.cluster, node, node, &["append", "list", &element]);
            if said.is_some_and(|said| said.ends_with("error 0")) {
                acknowledged.push(element);
            }
        }
        acknowledged
    }
}

/// Kills each node in turn and starts it again, then all at once.
fn kill_in_turn(cluster: &Processes) {
    for victim in [2, 3, 1] {
        std::thread::sleep(Duration::from_millis(1_500));
        cluster.kill(victim);
        std::thread::sleep(Duration::from_millis(500));
        cluster.restart();
    }
    std::thread::sleep(Duration::from_millis(1_500));
    (1..=3).for_each(|node| cluster.kill(node));
    cluster.restart();
}

#[test]
fn what_was_acknowledged_outlasts_kills_and_nothing_is_doubled() {
    let cluster = cluster();
    let (counted, doubtful) = (AtomicU64::new(0), AtomicU64::new(0));
    let load = Load { cluster: &cluster, stop: AtomicBool::new(false), counted, doubtful };
    let appended: BTreeMap<usize, Vec<String>> = std::thread::scope(|scope| {
        let load = &load;
        let counters: Vec<_> = (1..=3).map(|node| scope.spawn(move || load.count(node))).collect();
        let appenders: Vec<_> =
            (1..=3).map(|node| (node, scope.spawn(move || load.append(node)))).collect();
        kill_in_turn(&cluster);
        std::thread::sleep(Duration::from_secs(2));
        load.stop.store(true, Ordering::SeqCst);
        counters.into_iter().for_each(|counter| counter.join().expect("it counts"));
        appenders.into_iter().map(|(node, one)| (node, one.join().expect("it appends"))).collect()
    });
    let (counted, doubtful) = (load.counted.into_inner(), load.doubtful.into_inner());
    let total = must(&cluster, &["count", "total", "1"]);
    assert_eq!(number(&total), 1, "{total}");
    let value = cluster.ask(1, "GET /v1/state/alice/total", b"").body;
    let value = u64::from_le_bytes(value.try_into().expect("8 bytes")) - 1;
    assert!(
        (counted..=counted + doubtful).contains(&value),
        "the counter is {value}: {counted} were acknowledged, {doubtful} are in doubt"
    );
    let list = must(&cluster, &["elements", "list"]).into_bytes();
    let list: Vec<String> = list
        .chunks(ELEMENT)
        .map(|one| String::from_utf8_lossy(one).trim_end_matches('\0').to_owned())
        .collect();
    let once: BTreeSet<&String> = list.iter().collect();
    assert_eq!(once.len(), list.len(), "an element was doubled");
    for (node, acknowledged) in &appended {
        let kept: Vec<&String> =
            list.iter().filter(|one| one.starts_with(&format!("n{node}-"))).collect();
        assert!(kept.is_sorted(), "elements of n{node} are out of order");
        let lost: Vec<&String> = acknowledged.iter().filter(|one| !once.contains(one)).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        assert!(acknowledged.len() > 10, "n{node} appended {} elements", acknowledged.len());
    }
    assert!(counted > 20, "{counted} counted");
    println!("{counted} counted, {doubtful} in doubt, {} elements", list.len());
}

#[test]
fn who_was_frozen_while_it_had_the_lock_can_write_no_more() {
    let cluster = cluster();
    must(&cluster, &["take", "value"]);
    let frozen = (1..=3).find(|node| *node != cluster.leader(1) && *node != 1).expect("a follower");
    std::thread::scope(|scope| {
        let cluster = &cluster;
        let holder = scope.spawn(move || run(cluster, frozen, frozen, &["hold", "value", "600"]));
        wait_for("the lock is held", PATIENCE, || {
            let held = cluster.try_ask(1, "GET /v1/state/alice/value.holds", b"").ok()?;
            (held.status == 200).then_some(())
        });
        cluster.signal(frozen, Signal::STOP);
        let took = must(cluster, &["take", "value"]);
        assert!(took.starts_with("took 1 error 0"), "{took}");
        cluster.signal(frozen, Signal::CONT);
        let held = holder.join().expect("it ends");
        assert!(held.as_deref().is_none_or(|said| !said.ends_with("error 0")), "{held:?}");
    });
    let value = cluster.ask(1, "GET /v1/state/alice/value", b"");
    assert_eq!(value.text(), "the other");
}
