//! Nodes that are killed, frozen and started again, as processes of their own, while others work.

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::processes::{Answer, PATIENCE, Processes, wait_for};
use faasm::gateway::view::FunctionsView;
use rustix::process::Signal;

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
                // Pinned to a node that is down, or that was silent and waited for.
                ("FAASM_EUNAVAILABLE" | "FAASM_ETIMEDOUT", true) => &self.refused,
                // The session of the node that was asked ended with its leader.
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
    cluster.running(through, &doomed);
    // Some of these run on the victim, and are run again: as soon as the other node has heard of it.
    let mut patient: Vec<String> = Vec::new();
    let on_victim = wait_for("calls are spread to the victim", PATIENCE, || {
        let more = (0..9).map(|_| cluster.submit(other, "patient", "policy=spread&arg=3000", b""));
        patient.extend(more);
        let is_there = |call: &&String| cluster.running(other, call) == format!("n{victim}");
        let there: Vec<String> = patient.iter().filter(is_there).cloned().collect();
        (!there.is_empty()).then_some(there)
    });
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
        assert_eq!(record.attempt > 0, on_victim.contains(call), "{record:?}");
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

#[test]
fn two_thousand_chained_calls_are_right_while_nodes_are_killed() {
    let _alone = alone();
    let cluster = Processes::up(3);
    cluster.must_upload(1, "many", "policy=spread");
    cluster.must_upload(1, "echo", "policy=spread&retries=3");
    let (stop, under_way, ended) =
        (&AtomicBool::new(false), &AtomicUsize::new(0), &AtomicUsize::new(0));
    // One job after another, so that each kill hits some in their midst.
    let jobs = || {
        while !stop.load(Ordering::SeqCst) {
            under_way.fetch_add(1, Ordering::SeqCst);
            let done = cluster.invoke(1, "many", "node=1&arg=2000&timeout=50s", b"");
            under_way.fetch_sub(1, Ordering::SeqCst);
            assert_eq!((done.status, done.header("faasm-result")), (200, "0"), "{done:?}");
            assert!(done.text().starts_with("2000 calls"), "{}", done.text());
            ended.fetch_add(1, Ordering::SeqCst);
        }
    };
    std::thread::scope(|scope| {
        let jobs = [scope.spawn(jobs), scope.spawn(jobs)];
        let killing = scope.spawn(|| {
            for victim in [2, 3] {
                wait_for("calls of the jobs run on the node", PATIENCE, || {
                    let begun = cluster.metric(victim, "faasm_calls_started_total", "")?;
                    (begun > 100.0 && under_way.load(Ordering::SeqCst) > 0).then_some(())
                });
                cluster.kill(victim);
                cluster.restart();
            }
        });
        let killed = killing.join();
        stop.store(true, Ordering::SeqCst);
        let jobs = jobs.map(|job| job.join());
        assert!(killed.is_ok() && jobs.iter().all(Result::is_ok), "see above");
    });
    assert!(ended.load(Ordering::SeqCst) >= 2);
}

#[test]
fn without_a_majority_changes_and_calls_are_refused_and_all_is_well_when_it_is_back() {
    let _alone = alone();
    let cluster = Processes::up(3);
    for name in ["echo", "sleep"] {
        cluster.must_upload(2, name, "");
    }
    let [gone, too] = others(1);
    cluster.kill(gone);
    cluster.kill(too);
    wait_for("the node that is left knows that it is alone", WORKS_AGAIN, || {
        (cluster.ready(1)?.0 == 503).then_some(())
    });
    let asked = Instant::now();
    for (what, answer) in [
        ("upload", cluster.upload(1, "args", "")),
        ("invoke", cluster.invoke(1, "echo", "", b"hello")),
        ("delete", cluster.ask(1, "DELETE /v1/functions/alice/echo", b"")),
    ] {
        let text = answer.text();
        assert_eq!((answer.status, answer.code().as_str()), (503, "FAASM_EUNAVAILABLE"), "{what}");
        assert_eq!(answer.header("retry-after"), "1", "{what}");
        assert!(text.contains("majority") || text.contains("copies"), "{what}: {text}");
    }
    assert!(asked.elapsed() < Duration::from_secs(15), "refused after {:?}", asked.elapsed());
    // What only reads is answered.
    let functions: FunctionsView = cluster.ask(1, "GET /v1/functions", b"").json();
    assert_eq!(functions.functions.len(), 2);
    assert_eq!(cluster.ask(1, "GET /healthz", b"").status, 200);

    cluster.restart();
    for node in 1..=3 {
        assert_rejoined(&cluster, node);
    }
    cluster.must_upload(1, "args", "");

    // All at once: what was uploaded is on the disks.
    for node in 1..=3 {
        cluster.signal(node, Signal::STOP);
    }
    for node in 1..=3 {
        cluster.kill(node);
    }
    cluster.restart();
    for node in 1..=3 {
        assert_rejoined(&cluster, node);
        assert_eq!(cluster.invoke(node, "args", "arg=x", b"").status, 200);
    }
}

#[test]
fn a_node_that_was_frozen_rejoins_and_its_late_results_are_not_taken() {
    let _alone = alone();
    let cluster = Processes::up(3);
    for name in ["echo", "sleep"] {
        cluster.must_upload(1, name, "");
    }
    let wasm = std::fs::read(common::guests::guest("sleep")).expect("compiled");
    let patient = cluster.ask(1, "PUT /v1/functions/alice/patient?retries=3", &wasm);
    assert_eq!(patient.status, 200, "{}", patient.text());
    let frozen = others(cluster.leader(1))[0];
    let [through, other] = others(frozen);
    // One would end while its node is frozen. The other is run again, on one of two that it may.
    let late = cluster.submit(through, "sleep", &format!("node={frozen}&arg=4000"), b"");
    let again = wait_for("a call is placed on the node", PATIENCE, || {
        let pins = format!("node=n{frozen},n{other}&policy=spread&arg=4000");
        let call = cluster.submit(through, "patient", &pins, b"");
        (cluster.running(through, &call) == format!("n{frozen}")).then_some(call)
    });
    cluster.running(through, &late);
    cluster.signal(frozen, Signal::STOP);
    let stopped = Instant::now();
    let record = cluster.record(through, &late, "10s");
    assert_eq!(record.error.as_ref().map(|e| e.code.as_str()), Some("FAASM_EHOSTLOST"));
    assert!(stopped.elapsed() < WORKS_AGAIN, "lost after {:?}", stopped.elapsed());
    // Longer than its session, and than both calls take.
    while stopped.elapsed() < Duration::from_secs(6) {
        let answer = cluster.invoke(other, "echo", "", b"meanwhile");
        assert_eq!((answer.status, answer.text().as_str()), (200, "meanwhile"));
    }
    cluster.signal(frozen, Signal::CONT);

    wait_for("the node takes calls again", WORKS_AGAIN, || {
        cluster.ready(frozen).filter(|(status, _)| *status == 200)
    });
    assert_rejoined(&cluster, frozen);
    assert_eq!(cluster.record(through, &late, "0s"), record, "a late result was taken");
    let again = cluster.record(through, &again, "20s");
    let node = format!("n{other}");
    assert_eq!((again.result, again.node, again.attempt), (Some(0), Some(node), 1));
    // The frozen node itself has nothing left of them.
    wait_for("no instance is left", PATIENCE, || {
        (cluster.metric(frozen, "faasm_instances", "")? == 0.0).then_some(())
    });
}

#[test]
fn what_was_uploaded_runs_at_once_when_the_uploading_node_is_killed() {
    let _alone = alone();
    let cluster = Processes::up(3);
    for (uploader, name) in [(cluster.leader(1), "echo"), (1, "args")] {
        cluster.must_upload(uploader, name, "");
        cluster.kill(uploader);
        let killed = Instant::now();
        for through in others(uploader) {
            let answer = cluster.invoke(through, name, "arg=x", b"x");
            assert_eq!(answer.status, 200, "through n{through}: {}", answer.text());
            assert!(answer.text().contains('x'), "through n{through}: {}", answer.text());
        }
        assert!(killed.elapsed() < Duration::from_secs(1), "only after {:?}", killed.elapsed());
        cluster.restart();
    }
}
