//! Storms of malformed frames, packets and requests at a real node: it does not stop, its memory
//! does not grow, and it serves its users and its peers meanwhile. `FAASM_FRAMES=1000000` sends so
//! many of each instead of a bounded number.

mod common;
#[path = "fuzz/corpus.rs"]
#[allow(dead_code)]
mod corpus;
#[path = "storm/frames.rs"]
mod frames;
#[path = "fuzz/mutate.rs"]
#[allow(dead_code)]
mod mutate;
#[path = "storm/packets.rs"]
mod packets;
#[path = "fuzz/raft.rs"]
#[allow(dead_code)]
mod raft;
#[path = "storm/requests.rs"]
mod requests;
#[path = "storm/terms.rs"]
mod terms;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::processes::{PATIENCE, Processes, wait_for};
use rustix::process::Signal;

/// What may stay behind in a node after a storm, in KiB: caches of the allocator, and what a first
/// storm of the same kind did not yet reach.
const GROWTH: u64 = 48 << 10;

/// How many to send: so many, or what `FAASM_FRAMES` says.
fn many(usual: usize) -> usize {
    std::env::var("FAASM_FRAMES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Nodes 2 and 3 of a cluster of three, whose node 1 is gone and leaves its place to an intruder.
fn two_of_three() -> Arc<Processes> {
    // Records are kept, as many as are allowed: so few that a storm brings more.
    let cluster = Processes::with_options(3, "[calls]\nrecords = 500\n");
    cluster.must_upload(2, "echo", "");
    cluster.signal(1, Signal::KILL);
    for node in [2, 3] {
        wait_for("the two have a leader and sessions", PATIENCE, || {
            let served =
                cluster.try_ask(node, "POST /v1/functions/alice/echo/invoke", b"x").ok()?;
            let (status, ready) = cluster.ready(node)?;
            let led = ready.leader.is_some_and(|leader| leader != "n1");
            (served.status == 200 && status == 200 && led).then_some(())
        });
    }
    Arc::new(cluster)
}

/// Honest users of node 2, and of node 2 through node 3, until the storm is over.
struct Users {
    over: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Users {
    fn begin(cluster: &Arc<Processes>) -> Self {
        let (over, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (cluster, ends, count) = (cluster.clone(), over.clone(), served.clone());
        let thread = std::thread::spawn(move || {
            let mut slowest = Duration::ZERO;
            while !ends.load(Ordering::SeqCst) {
                for (node, query) in [(2, ""), (3, "node=2")] {
                    let begun = Instant::now();
                    let answer = cluster.invoke(node, "echo", query, b"hello");
                    slowest = slowest.max(begun.elapsed());
                    assert_eq!(answer.status, 200, "through n{node}: {}", answer.text());
                    assert_eq!(answer.body, b"hello");
                    count.fetch_add(1, Ordering::SeqCst);
                }
            }
            println!("the slowest honest call took {slowest:?}");
        });
        Self { over, served, thread }
    }

    /// Ends them; how many calls were served.
    fn end(self) -> usize {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().expect("an honest user was not served");
        self.served.load(Ordering::SeqCst)
    }
}

/// Runs a storm: a first one, which fills caches, then the one that counts.
fn storm(
    cluster: &Arc<Processes>,
    what: &str,
    warm: usize,
    count: usize,
    run: impl Fn(usize, u64),
) {
    let pid = cluster.pid(2);
    let users = Users::begin(cluster);
    run(warm, 1);
    settle(cluster);
    let before = cluster.resident(2);
    let begun = Instant::now();
    run(count, 2);
    let took = begun.elapsed();
    let served = users.end();
    settle(cluster);
    let after = cluster.resident(2);
    println!(
        "{what}: {count} in {took:?}; {before} KiB before, {after} after; {served} calls served"
    );
    assert!(served > 0, "nobody was served meanwhile");
    assert_eq!(cluster.pid(2), pid, "the node was started again");
    assert!(after < before + GROWTH, "it grew from {before} to {after} KiB");
    no_panic(cluster, 2);
    no_panic(cluster, 3);
}

/// Waits until the calls that a storm made have ended.
fn settle(cluster: &Processes) {
    wait_for("the storm's calls have ended", PATIENCE * 4, || {
        let live = cluster.metric(2, "faasm_calls_live", "").unwrap_or(0.0);
        (live < 3.0).then_some(())
    });
    // What was freed is given back by the tasks that end now.
    std::thread::sleep(Duration::from_millis(500));
}

fn no_panic(cluster: &Processes, node: usize) {
    let log = cluster.dir().join(format!("n{node}/node.log"));
    let text = std::fs::read_to_string(log).expect("a log");
    let bad = |line: &&str| {
        ["panicked", "a task of the connection failed", "cannot go on", "is restarted"]
            .iter()
            .any(|word| line.contains(word))
    };
    let lines: Vec<_> = text.lines().filter(bad).take(5).collect();
    assert!(lines.is_empty(), "n{node} failed:\n{}", lines.join("\n"));
}

#[test]
fn frames_of_a_peer_with_a_certificate() {
    let cluster = two_of_three();
    let count = many(20_000);
    storm(&cluster, "frames", count / 5, count, |count, seed| frames::send(&cluster, count, seed));
}

#[test]
fn packets_of_programs_without_a_certificate() {
    let cluster = two_of_three();
    let count = many(50_000);
    storm(&cluster, "packets", count / 5, count, |count, seed| {
        packets::send(&cluster, count, seed)
    });
}

#[test]
fn requests_that_are_none() {
    let cluster = two_of_three();
    let count = many(50_000) / 25;
    storm(&cluster, "requests", count / 5, count, |count, seed| {
        requests::send(&cluster, count, seed)
    });
}

/// Changes made while a peer claims newer terms.
const CHANGES: usize = 60;

/// A member that claims a newer term in all it says deposes no leader that the others follow.
#[test]
fn newer_terms_of_a_peer_with_a_certificate() {
    let cluster = two_of_three();
    // To be deleted one by one: an upload would also wait for the copy that the peer never makes.
    let wasm = std::fs::read(common::guests::guest("echo")).expect("it was compiled");
    for number in 0..CHANGES {
        let put = format!("PUT /v1/functions/alice/f{number}");
        assert_eq!(cluster.ask(2, &put, &wasm).status, 200);
    }
    let term = || cluster.metric(3, "faasm_consensus_term", "");
    let (leader, began) = (cluster.leader(3), term());
    let over = Arc::<AtomicBool>::default();
    let changes = std::thread::spawn({
        let (cluster, over) = (cluster.clone(), over.clone());
        move || {
            let mut made = 0;
            while made < CHANGES && !over.load(Ordering::SeqCst) {
                let delete = format!("DELETE /v1/functions/alice/f{made}");
                let answer = cluster.ask(2 + made % 2, &delete, b"");
                assert!(answer.status < 300, "{} {}", answer.status, answer.text());
                made += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            made
        }
    });
    let claims = terms::claim(&cluster, Duration::from_secs(3));
    over.store(true, Ordering::SeqCst);
    let made = changes.join().expect("a change was refused");
    println!("{claims} claims, {made} changes made meanwhile");
    assert!(claims > 50 && made > 5, "{claims} claims, {made} changes");
    assert_eq!((cluster.leader(3), term()), (leader, began), "another term began");
}
