//! Nodes that are killed, frozen and started again, as processes of their own, while others work.

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::processes::{Answer, PATIENCE, Processes, wait_for};
use faasm::gateway::view::FunctionsView;

/// Within this time uploads and calls work again after a node was killed.
const WORKS_AGAIN: Duration = Duration::from_secs(8);
/// One cluster at a time: what is measured here are the cluster's times, not those of a machine
/// that runs several.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    // Another test that failed is no reason not to run this one.
    ALONE.lock().unwrap_or_else(|failed| failed.into_inner())
}

/// The nodes of three but this one.
fn others(node: usize) -> [usize; 2] {
    [node % 3 + 1, (node + 1) % 3 + 1]
}

/// Calls of `echo` through nodes that live, every answer checked.
struct Load<'a> {
    cluster: &'a Processes,
    /// The node that is being killed: no client asks it.
    victim: AtomicUsize,
    /// Whether the cluster may be without a leader now.
    leaderless: AtomicBool,
    stop: AtomicBool,
    right: AtomicU64,
    lost: AtomicU64,
    refused: AtomicU64,
}

impl<'a> Load<'a> {
    fn new(cluster: &'a Processes) -> Self {
        Self {
            cluster,
            victim: AtomicUsize::new(0),
            leaderless: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            right: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Runs until it is told to stop. Each client sends a third of its calls to each node.
    fn client(&self, client: usize) {
        for turn in client.. {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let (through, on) = (turn % 3 + 1, turn / 3 % 3 + 1);
            if through == self.victim.load(Ordering::SeqCst) {
                continue;
            }
            let input = format!("client {client}, call {turn}");
            let begun =
                (on == self.victim.load(Ordering::SeqCst), self.leaderless.load(Ordering::SeqCst));
            let line = format!("POST /v1/functions/alice/echo/invoke?node={on}&timeout=10s");
            let answer = self.cluster.try_ask(through, &line, input.as_bytes());
            self.check((through, on), &input, begun, answer);
        }
    }

    /// Checks an answer, with what was so when the request was `begun`: that the call was to run
    /// on the victim, and that there may have been no leader.
    fn check(
        &self,
        (through, on): (usize, usize),
        input: &str,
        begun: (bool, bool),
        answer: Result<Answer, ureq::Error>,
    ) {
        let victim = self.victim.load(Ordering::SeqCst);
        let leaderless = begun.1 || self.leaderless.load(Ordering::SeqCst);
        let counter = match answer {
            // It was asked just before it became the victim.
            Err(_) if through == victim => return,
            Err(error) => panic!("n{through}, which lives, does not answer: {error}"),
            Ok(answer) if answer.status == 200 => {
                assert_eq!(answer.text(), input, "the output of another call");
                assert_eq!(answer.node(), format!("n{on}"));
                &self.right
            }
            Ok(answer) => match (answer.code().as_str(), begun.0 || on == victim) {
                ("FAASM_EHOSTLOST", true) => &self.lost,
                // Pinned to a node that is down; or a node whose session ended with its leader.
                ("FAASM_EUNAVAILABLE", true) => &self.refused,
                ("FAASM_EUNAVAILABLE", _) if leaderless => &self.refused,
                _ => panic!("a call on n{on} through n{through}, n{victim} dead: {answer:?}"),
            },
        };
        counter.fetch_add(1, Ordering::SeqCst);
    }

    fn wait_for_more(&self, more: u64) {
        let before = self.right.load(Ordering::SeqCst);
        let what = format!("the load has {more} right answers more than {before}");
        wait_for(&what, PATIENCE, || {
            (self.right.load(Ordering::SeqCst) >= before + more).then_some(())
        });
    }
}

/// An upload and a call through each of these nodes; true when all worked.
fn works(cluster: &Processes, nodes: [usize; 2]) -> bool {
    nodes.iter().all(|node| {
        let upload = cluster.upload(*node, "args", "");
        let call = cluster.invoke(*node, "args", "arg=well", b"");
        assert!(matches!(upload.status, 200 | 503), "{}", upload.text());
        assert!(matches!(call.status, 200 | 503), "{}", call.text());
        upload.status == 200 && call.status == 200 && call.text().ends_with("well\n")
    })
}

/// A node is back: ready, with its data, connected both ways.
fn assert_rejoined(cluster: &Processes, node: usize) {
    let (status, ready) = cluster.ready(node).expect("it answers");
    assert_eq!((status, ready.ready), (200, true));
    let functions: FunctionsView = cluster.ask(node, "GET /v1/functions", b"").json();
    assert!(functions.functions.iter().any(|f| f.function == "alice/echo"), "{functions:?}");
    for through in 1..=3 {
        wait_for("a call pinned to the node works through every node", PATIENCE, || {
            let answer = cluster.invoke(through, "echo", &format!("node={node}"), b"back");
            (answer.status == 200 && answer.text() == "back").then_some(())
        });
    }
}

/// Kills a node under load, with calls under way on it. All else goes on, and the node comes back.
fn kill_under_load(cluster: &Processes, load: &Load, victim: usize, leads: bool) {
    let [through, other] = others(victim);
    let doomed = cluster.submit(through, "sleep", &format!("node={victim}&arg=60000"), b"");
    // Some of these run on the victim, and are run again.
    let patient: Vec<String> =
        (0..9).map(|_| cluster.submit(other, "patient", "policy=spread&arg=3000", b"")).collect();
    cluster.running(through, &doomed);
    let on_victim: Vec<&String> = patient
        .iter()
        .filter(|call| cluster.running(other, call) == format!("n{victim}"))
        .collect();
    assert!(!on_victim.is_empty(), "none of nine calls was spread to n{victim}");
    load.wait_for_more(20);
    load.victim.store(victim, Ordering::SeqCst);
    load.leaderless.store(leads, Ordering::SeqCst);
    cluster.kill(victim);
    let killed = Instant::now();

    wait_for("uploads and calls work again", PATIENCE, || {
        works(cluster, [through, other]).then_some(())
    });
    let again = killed.elapsed();
    assert!(again <= WORKS_AGAIN, "only after {again:?}");
    load.leaderless.store(false, Ordering::SeqCst);
    let record = cluster.record(through, &doomed, "10s");
    let error = record.error.expect("it ran on the node that was killed");
    assert_eq!(error.code, "FAASM_EHOSTLOST", "{}", error.detail);
    assert!(killed.elapsed() <= WORKS_AGAIN, "its caller knew only after {:?}", killed.elapsed());
    load.wait_for_more(50);
    for call in &patient {
        let record = cluster.record(other, call, "20s");
        assert_eq!(record.result, Some(0), "{record:?}");
        assert_eq!(record.attempt > 0, on_victim.contains(&call), "{record:?}");
    }

    cluster.restart();
    assert_rejoined(cluster, victim);
    load.victim.store(0, Ordering::SeqCst);
    load.wait_for_more(20);
    println!("n{victim}, leader: {leads}: all worked again after {again:?}");
}

#[test]
fn a_follower_and_a_leader_killed_under_load_cost_only_their_own_calls() {
    let _alone = alone();
    let cluster = Processes::up(3);
    for name in ["echo", "sleep"] {
        cluster.must_upload(1, name, "");
    }
    let wasm = std::fs::read(common::guests::guest("sleep")).expect("compiled");
    let patient = cluster.ask(1, "PUT /v1/functions/alice/patient?retries=3", &wasm);
    assert_eq!(patient.status, 200, "{}", patient.text());
    let load = &Load::new(&cluster);
    std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..3).map(|client| scope.spawn(move || load.client(client))).collect();
        let killing = scope.spawn(|| {
            let follower = others(cluster.leader(1))[0];
            kill_under_load(&cluster, load, follower, false);
            kill_under_load(&cluster, load, cluster.leader(1), true);
        });
        let killed = killing.join();
        load.stop.store(true, Ordering::SeqCst);
        let clients: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
        assert!(killed.is_ok() && clients.iter().all(Result::is_ok), "see above");
    });
}
