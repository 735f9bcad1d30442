//! Nodes that die, or fall silent, under ranks of a job, whatever those do.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use faasm::gateway::view::{CallView, CallsView};

use rustix::process::{Pid, Signal, kill_process};

use super::{ENDS, ENDS_WITHOUT_LEADER, all_is_over, upload};
use crate::common::processes::{PATIENCE, Processes, wait_for};

/// What a node may take more after many jobs than after some, in bytes: less than a job's messages.
const MOST_GROWTH: u64 = 24 << 20;

/// Starts a job of two ranks on each node, and waits until all run.
fn start(cluster: &Processes, nodes: usize, what: &str, left: usize) -> String {
    let hosts: Vec<_> = (1..=nodes).map(|node| format!("n{node}:2")).collect();
    let hosts = hosts.join(",");
    let ranks = nodes * 2;
    let query = format!("mpi={ranks}&hosts={hosts}&timeout=60s&arg={what}&arg={left}");
    let call = cluster.submit(1, "survive", &query, b"");
    // Those that go to MPI_Finalize may be over before they are seen to run.
    if what != "finalize" {
        wait_for("all ranks run", PATIENCE, || {
            let calls: CallsView = cluster.ask(1, "GET /v1/calls", b"").json();
            let runs = calls.calls.iter().filter(|c| c.rank.is_some() && c.phase == "running");
            (runs.count() == ranks).then_some(())
        });
    }
    if what != "init" {
        all_began(cluster, &call, ranks);
    }
    call
}

/// Waits until all ranks have said that they begin to work.
fn all_began(cluster: &Processes, call: &str, ranks: usize) {
    let mut follow = cluster.command(&["logs", "--follow", call, "--cluster", cluster.base(1)]);
    let mut follow = follow.stdout(Stdio::piped()).spawn().expect("faasm starts");
    let out = BufReader::new(follow.stdout.take().expect("a pipe"));
    let begun = out.lines().map_while(Result::ok).filter(|line| line == "begun").take(ranks);
    assert_eq!(begun.count(), ranks, "all ranks begin");
    follow.kill().expect("it runs");
    follow.wait().expect("it ends");
}

/// How a job ended, which must be in time after this.
#[track_caller]
fn ends(cluster: &Processes, call: &str, begun: Instant, led: bool, what: &str) -> CallView {
    let record = cluster.record(1, call, "15s");
    let (took, within) = (begun.elapsed(), if led { ENDS_WITHOUT_LEADER } else { ENDS });
    assert!(took < within, "{what}: the job ended after {took:?}");
    all_is_over(cluster, 1);
    record
}

/// Places for ranks that the nodes have, as long as nothing runs.
fn places(cluster: &Processes, nodes: usize) -> Vec<Option<f64>> {
    (1..=nodes).map(|node| cluster.metric(node, "faasm_scheduler_free_places", "")).collect()
}

/// Of jobs nothing is left on any node: no call, instance, place or world.
#[track_caller]
fn nothing_is_left(cluster: &Processes, before: &[Option<f64>]) {
    let nodes = before.len();
    (1..=nodes).for_each(|node| all_is_over(cluster, node));
    wait_for("no place is kept", PATIENCE, || (places(cluster, nodes) == before).then_some(()));
    for name in ["faasm_instances", "faasm_mpi_worlds", "faasm_mpi_early_bytes"] {
        for node in 1..=nodes {
            wait_for(&format!("{name} of n{node} is 0"), PATIENCE, || {
                (cluster.metric(node, name, "") == Some(0.0)).then_some(())
            });
        }
    }
}

#[test]
fn a_node_that_dies_ends_the_job_whatever_its_ranks_do() {
    let cluster = Processes::up(3);
    upload(&cluster, "survive", &[]);
    let before = places(&cluster, 2);
    for what in ["all", "later", "split", "init"] {
        let call = start(&cluster, 3, what, 0);
        let (led, begun) = (cluster.leader(1) == 3, Instant::now());
        cluster.kill(3);
        let record = ends(&cluster, &call, begun, led, what);
        assert_eq!(record.error.expect("it failed").code, "FAASM_EHOSTLOST", "{what}");
        all_is_over(&cluster, 2);
        wait_for("no place is kept", PATIENCE, || (places(&cluster, 2) == before).then_some(()));
        cluster.restart();
    }
    let call = start(&cluster, 3, "all", 0);
    assert_eq!(cluster.ask(2, &format!("DELETE /v1/calls/{call}"), b"").status, 200);
    let record = ends(&cluster, &call, Instant::now(), false, "cancel");
    assert_eq!(record.error.expect("it was cancelled").code, "FAASM_ECANCELLED");
}

/// How often nodes are killed, and jobs cancelled, at another moment.
fn rounds() -> u32 {
    std::env::var("FAASM_JOB_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(2)
}

#[test]
fn a_node_that_dies_while_a_job_starts_or_ends_ends_it_in_time() {
    let cluster = Processes::up(3);
    upload(&cluster, "survive", &[]);
    upload(&cluster, "job", &[]);
    let before = places(&cluster, 2);
    for round in 0..rounds() {
        let (led, begun) = (cluster.leader(1) == 3, Instant::now());
        // Not on named hosts: a job that has no place yet would wait for the node to come back.
        let query = "mpi=6&map_by=node&timeout=60s&arg=ring";
        let call = cluster.submit(1, "job", query, b"");
        std::thread::sleep(Duration::from_millis(u64::from(round) * 7 % 60));
        cluster.kill(3);
        let record = ends(&cluster, &call, begun, led, "start");
        let code = record.error.map(|error| error.code);
        let lost = code.as_deref() == Some("FAASM_EHOSTLOST");
        assert!(record.result == Some(0) || lost, "round {round}: {:?} {code:?}", record.result);
        nothing_is_left(&cluster, &before);
        cluster.restart();
    }
    // The others are in MPI_Finalize, or behind it, when the last node dies.
    let call = start(&cluster, 3, "finalize", 0);
    let (led, begun) = (cluster.leader(1) == 3, Instant::now());
    cluster.kill(3);
    let record = ends(&cluster, &call, begun, led, "finalize");
    assert_eq!(record.error.expect("it failed").code, "FAASM_EHOSTLOST");
    nothing_is_left(&cluster, &before);
}

#[test]
fn a_job_that_is_cancelled_in_any_phase_leaves_nothing_and_takes_no_memory() {
    let cluster = Processes::up(3);
    upload(&cluster, "survive", &[]);
    let before = places(&cluster, 3);
    let resident = |node: usize| {
        let pid = cluster.pid(node).as_raw_nonzero();
        let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).expect("it runs");
        let pages = text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
        pages.expect("a number") * 4096
    };
    let mut after_some = [0; 3];
    let phases = ["all", "later", "p2p", "split", "init", "finalize"];
    let total = 10 * rounds();
    for round in 0..total {
        let what = phases[round as usize % phases.len()];
        let query = format!("mpi=6&hosts=n1:2,n2:2,n3:2&timeout=60s&arg={what}&arg=0");
        let wait = Duration::from_millis(u64::from(round * 13 % 80));
        if round % 3 == 0 {
            // By Ctrl-C.
            let args = ["mpirun", "-n", "6", "--map-by", "node", "alice/survive", what, "0"];
            let mut command = cluster.command(&args);
            let command = command.stdin(Stdio::null()).stdout(Stdio::null());
            let mut running = command.spawn().expect("faasm starts");
            std::thread::sleep(wait + Duration::from_millis(30));
            let pid = Pid::from_child(&running);
            kill_process(pid, Signal::INT).expect("it runs");
            running.wait().expect("it ends");
        } else {
            let call = cluster.submit(1 + round as usize % 3, "survive", &query, b"");
            std::thread::sleep(wait);
            assert_eq!(cluster.ask(2, &format!("DELETE /v1/calls/{call}"), b"").status, 200);
            let begun = Instant::now();
            let error = cluster.record(3, &call, "15s").error.expect("it was cancelled");
            assert_eq!(error.code, "FAASM_ECANCELLED", "{what}: {}", error.detail);
            assert!(begun.elapsed() < ENDS, "{what}: it ended after {:?}", begun.elapsed());
        }
        if round + 1 == total / 2 {
            nothing_is_left(&cluster, &before);
            after_some = [1, 2, 3].map(resident);
        }
    }
    nothing_is_left(&cluster, &before);
    for (node, before) in (1..).zip(after_some) {
        let now = resident(node);
        assert!(now < before + MOST_GROWTH, "n{node} grew from {before} to {now} bytes");
    }
}

#[test]
fn ranks_that_bear_failures_go_on_without_the_nodes_that_died() {
    let cluster = Processes::up(5);
    upload(&cluster, "survive", &[]);
    // One node after the other, both at once, and while those that are left find out who that is.
    for (what, victims) in [("all", &[5, 4][..]), ("later", &[5]), ("p2p", &[4]), ("shrink", &[5])]
    {
        let call = start(&cluster, 5, what, 10 - victims.len() * 2);
        let begun = Instant::now();
        let led = victims.contains(&cluster.leader(1));
        victims.iter().for_each(|victim| cluster.kill(*victim));
        let record = ends(&cluster, &call, begun, led, what);
        let log = cluster.ask(1, &format!("GET /v1/calls/{call}/logs"), b"").text();
        assert_eq!(record.result, Some(7), "{what}: {:?}\n{log}", record.error);
        cluster.restart();
    }
}

#[test]
fn a_node_that_falls_silent_is_lost_to_the_job_and_ends_its_ranks_when_it_wakes() {
    let cluster = Processes::up(3);
    upload(&cluster, "survive", &[]);
    let before = places(&cluster, 3);
    for (what, left, code) in [("all", 0, None), ("all", 4, Some(7)), ("later", 4, Some(7))] {
        let call = start(&cluster, 3, what, left);
        let (led, begun) = (cluster.leader(1) == 3, Instant::now());
        let frozen = cluster.freeze(3);
        let record = ends(&cluster, &call, begun, led, what);
        assert_eq!(record.result, code, "{:?}", record.error);
        drop(frozen);
        wait_for("the node is ready again", PATIENCE, || {
            cluster.ready(3).filter(|(status, _)| *status == 200).map(drop)
        });
        nothing_is_left(&cluster, &before);
    }
}
