//! Calls on a cluster in one process: real nodes, real modules, loopback.

mod common;

use std::time::{Duration, Instant};

use common::cluster::{Cluster, PATIENCE, request, wait_until};
use common::guests::guest;
use faasm::errno::Errno;
use faasm::id::CallId;
use faasm::wire::calls::Phase;
use faasm::wire::function::{Limits, Options, Policy};

async fn upload(cluster: &Cluster, names: &[&str]) {
    for name in names {
        let wasm = std::fs::read(guest(name)).expect("the guest was compiled");
        cluster.upload(0, name, &wasm, Limits::default()).await;
    }
}

async fn upload_as(cluster: &Cluster, guest_name: &str, name: &str, options: Options) {
    let wasm = std::fs::read(guest(guest_name)).expect("the guest was compiled");
    cluster.upload_with(0, name, &wasm, Limits::default(), options).await;
}

/// Nothing is left of any call: no instance, no place, no slot, no outgoing call.
async fn assert_nothing_left(cluster: &Cluster, nodes: usize) {
    for at in 0..nodes {
        let handles = cluster.node(at).handles().clone();
        wait_until("no instance, slot or place is taken", || {
            let load = handles.scheduler.load();
            handles.functions.live() == 0
                && load.live == 0
                && load.room.free_slots == load.slots - load.slots / 4
                && load.room.running == 0
                && load.queued == 0
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_faasm_h_keeps_its_promise() {
    let cluster = Cluster::builder().start().await;
    upload(&cluster, &["children", "echo", "sleep", "exit_code", "trap"]).await;
    let done = cluster.invoke(0, "children", b"", &[]).await.expect("accepted");
    let log = cluster.node(0).handles().calls.log(done.call).await.expect("a log");
    assert_eq!(done.result, Ok(0), "log: {}", String::from_utf8_lossy(&log));
    assert_nothing_left(&cluster, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_uploaded_through_one_node_runs_through_any_at_once() {
    let mut cluster = Cluster::builder().nodes(3).start().await;
    upload(&cluster, &["echo"]).await;
    for at in 0..3 {
        let done = cluster.invoke(at, "echo", b"hello", &[]).await.expect("accepted");
        assert_eq!((done.result, &done.output[..]), (Ok(0), &b"hello"[..]), "through node {at}");
    }
    cluster.stop(0).await;
    for at in 1..3 {
        let calls = cluster.node(at).handles().consensus.clone();
        wait_until("the node has its session", || calls.session_is_live()).await;
        let done = cluster.invoke(at, "echo", b"again", &[]).await.expect("accepted");
        assert_eq!(&done.output[..], b"again", "after the uploading node stopped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_wider_and_deeper_than_all_slots_end_with_every_output_right() {
    let cluster = Cluster::builder().nodes(3).start().await;
    upload(&cluster, &["tree"]).await;
    for (width, depth) in [("200", "1"), ("2", "8"), ("1", "60"), ("40", "2")] {
        let done = cluster.invoke(1, "tree", b"", &[width, depth]).await.expect("accepted");
        assert_eq!(done.result, Ok(0), "a tree of width {width} and depth {depth}");
    }
    assert_nothing_left(&cluster, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spread_uses_every_node_and_the_record_tells_who_did_what() {
    let cluster = Cluster::builder().nodes(3).start().await;
    let spread = Options { policy: Policy::Spread, ..Options::default() };
    upload_as(&cluster, "tree", "tree", spread).await;
    let done = cluster.invoke(0, "tree", b"", &["60", "1"]).await.expect("accepted");
    assert_eq!(done.result, Ok(0));
    for at in 0..3 {
        let record = cluster.node(at).handles().calls.record(done.call).await.expect("a record");
        assert_eq!(record.phase, Phase::Done);
        assert_eq!(record.work.iter().map(|w| w.calls).sum::<u64>(), 61, "{:?}", record.work);
        let nodes: std::collections::BTreeSet<_> = record.work.iter().map(|w| w.node).collect();
        assert_eq!(nodes.len(), 3, "all nodes worked: {:?}", record.work);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_pinned_to_another_node_run_there_with_large_inputs_and_outputs() {
    let cluster = Cluster::builder().nodes(3).start().await;
    upload(&cluster, &["echo"]).await;
    for size in [0, 1, 64 << 10, (64 << 10) + 1, 5 << 20] {
        let input: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        let mut asked = request("echo", &input, &[]);
        asked.pin = vec![Cluster::id(2)];
        let done = cluster.node(0).handles().calls.invoke(asked).await.expect("accepted");
        assert_eq!(done.node, Cluster::id(2));
        assert!(done.output == input, "{size} bytes came back as {}", done.output.len());
        let again = cluster.node(1).handles().calls.output(done.call).await.expect("its output");
        assert!(again == input, "{size} bytes, asked for later through another node");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asynchronous_call_is_found_through_every_node() {
    let cluster = Cluster::builder().nodes(3).start().await;
    upload(&cluster, &["args"]).await;
    let calls = cluster.node(0).handles().calls.clone();
    let call = calls.submit(request("args", b"", &["x", "y z"])).await.expect("accepted");
    for at in 0..3 {
        let calls = &cluster.node(at).handles().calls;
        let record = calls.wait(call, PATIENCE).await.expect("a record");
        assert_eq!(record.result, Some(Ok(0)));
        let output = calls.output(call).await.expect("an output");
        assert_eq!(&output[..], b"args\nx\ny z\n");
        let log = calls.log(call).await.expect("a log");
        assert_eq!(&log[..], b"3 arguments\nlast: y z\n");
    }
    let unknown = calls.record(CallId(7)).await.expect_err("nobody knows it");
    assert_eq!(unknown.code, Errno::NoEnt);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_gets_the_first_ones_result() {
    let cluster = Cluster::builder().nodes(3).start().await;
    upload(&cluster, &["echo"]).await;
    let mut ids = Vec::new();
    for at in 0..3 {
        let mut asked = request("echo", format!("from {at}").as_bytes(), &[]);
        asked.idempotency = Some("order-17".to_owned());
        let done = cluster.node(at).handles().calls.invoke(asked).await.expect("accepted");
        assert_eq!(&done.output[..], b"from 0", "the first request's output");
        ids.push(done.call);
    }
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_the_root_ends_the_tree_on_all_nodes() {
    let cluster = Cluster::builder().nodes(3).start().await;
    let spread = Options { policy: Policy::Spread, ..Options::default() };
    upload_as(&cluster, "fan", "fan", Options::default()).await;
    upload_as(&cluster, "sleep", "sleep", spread).await;
    let calls = cluster.node(0).handles().calls.clone();
    let call =
        calls.submit(request("fan", b"", &["sleep", "30", "60000"])).await.expect("accepted");
    wait_until("the sleepers run on all nodes", || {
        (0..3).all(|at| cluster.node(at).handles().functions.live() > 0)
    })
    .await;
    assert!(cluster.node(2).handles().calls.list(100).await.len() >= 30);
    cluster.node(1).handles().calls.cancel(call).await.expect("cancelled through another node");
    let record = calls.wait(call, PATIENCE).await.expect("a record");
    assert_eq!(record.result.unwrap().unwrap_err().code, Errno::Cancelled);
    assert_nothing_left(&cluster, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_cancels_its_tree() {
    let cluster = Cluster::builder().nodes(1).start().await;
    upload(&cluster, &["sleep"]).await;
    let calls = cluster.node(0).handles().calls.clone();
    let asked = calls.invoke(request("sleep", b"", &["60000"]));
    tokio::time::timeout(Duration::from_millis(300), asked).await.expect_err("it sleeps");
    assert_nothing_left(&cluster, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_a_call_that_sleeps_and_one_that_loops() {
    let cluster = Cluster::builder().nodes(1).start().await;
    upload(&cluster, &["sleep", "loop"]).await;
    for (name, args) in [("sleep", &["60000"][..]), ("loop", &[])] {
        let mut asked = request(name, b"", args);
        asked.timeout = Some(Duration::from_millis(200));
        let begun = Instant::now();
        let done = cluster.node(0).handles().calls.invoke(asked).await.expect("accepted");
        assert_eq!(done.result.unwrap_err().code, Errno::TimedOut, "{name}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{name} took {:?}", begun.elapsed());
    }
    assert_nothing_left(&cluster, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_node_ends_its_calls_or_they_run_again() {
    let mut cluster = Cluster::builder().nodes(3).start().await;
    let there = vec![Cluster::id(2), Cluster::id(1)];
    let retried = Options { retries: 2, pin: there.clone(), ..Options::default() };
    let once = Options { pin: vec![Cluster::id(2)], ..Options::default() };
    upload_as(&cluster, "sleep", "once", once).await;
    upload_as(&cluster, "sleep", "retried", retried).await;
    let calls = cluster.node(0).handles().calls.clone();
    let first = calls.submit(request("once", b"", &["4000"])).await.expect("accepted");
    let second = calls.submit(request("retried", b"", &["4000"])).await.expect("accepted");
    let third = cluster.node(2).handles().functions.clone();
    wait_until("a call runs on the third node", || third.live() > 0).await;
    cluster.stop(2).await;
    let lost = calls.wait(first, PATIENCE).await.expect("a record");
    assert_eq!(lost.result.unwrap().unwrap_err().code, Errno::HostLost);
    let again = calls.wait(second, PATIENCE).await.expect("a record");
    assert_eq!(again.result, Some(Ok(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_calls_are_refused_and_all_works_when_it_returns() {
    let mut cluster = Cluster::builder().nodes(3).start().await;
    upload(&cluster, &["echo"]).await;
    cluster.stop(1).await;
    cluster.stop(2).await;
    let session = cluster.node(0).handles().consensus.clone();
    wait_until("the session lapses", || !session.session_is_live()).await;
    let refused = cluster.invoke(0, "echo", b"x", &[]).await.expect_err("refused");
    assert_eq!(refused.code, Errno::Unavailable);
    cluster.start(1).await;
    wait_until("the session is back", || session.session_is_live()).await;
    let done = cluster.invoke(0, "echo", b"x", &[]).await.expect("accepted");
    assert_eq!(&done.output[..], b"x");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_calls_hold_is_bounded_and_given_back() {
    let cluster = Cluster::builder().options(|o| o.calls.held_bytes = 2_000).start().await;
    upload(&cluster, &["echo", "fan"]).await;
    for _ in 0..100 {
        let done = cluster.invoke(0, "echo", &[7; 90], &[]).await.expect("accepted");
        assert_eq!(done.output.len(), 90, "what the calls before held was given back");
    }
    let refused = cluster.invoke(0, "echo", &[7; 1_001], &[]).await.expect_err("too much");
    assert_eq!(refused.code, Errno::NoMem);
    // Each child holds 100 bytes of input and 100 of output until the parent ends: not all fit.
    let input = "x".repeat(100);
    let done = cluster.invoke(0, "fan", b"", &["echo", "50", &input]).await.expect("accepted");
    let well: u32 = String::from_utf8_lossy(&done.output).parse().expect("a number");
    assert!((1..50).contains(&well), "{well} of 50 children ended well");
    assert_nothing_left(&cluster, 1).await;
}
