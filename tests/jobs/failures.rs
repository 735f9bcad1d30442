//! Nodes that die, or fall silent, under ranks of a job, whatever those do.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;

use faasm::gateway::view::{CallView, CallsView};

use super::{ENDS, ENDS_WITHOUT_LEADER, all_is_over, upload};
use crate::common::processes::{PATIENCE, Processes, wait_for};

/// Starts a job of two ranks on each node, and waits until all run.
fn start(cluster: &Processes, nodes: usize, what: &str, left: usize) -> String {
    let hosts: Vec<_> = (1..=nodes).map(|node| format!("n{node}:2")).collect();
    let hosts = hosts.join(",");
    let ranks = nodes * 2;
    let query = format!("mpi={ranks}&hosts={hosts}&timeout=60s&arg={what}&arg={left}");
    let call = cluster.submit(1, "survive", &query, b"");
    wait_for("all ranks run", PATIENCE, || {
        let calls: CallsView = cluster.ask(1, "GET /v1/calls", b"").json();
        let runs = calls.calls.iter().filter(|c| c.rank.is_some() && c.phase == "running");
        (runs.count() == ranks).then_some(())
    });
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
