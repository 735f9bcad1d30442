//! Guests that misbehave: each ends with its own clear error, and hurts nobody else.

mod common;

use std::time::{Duration, Instant};

use common::cluster::{Cluster, request, wait_until};
use common::guests::guest;
use faasm::errno::Errno;
use faasm::wire::function::Limits;

/// Small limits, so that each is met soon.
fn tight() -> Limits {
    Limits { memory: 256 << 20, run_ms: 1_500, output: 1 << 20, log: 256 << 10, instances: 1_000 }
}

async fn upload(cluster: &Cluster, name: &str, limits: Limits) {
    let wasm = std::fs::read(guest(name)).expect("the guest was compiled");
    cluster.upload(0, name, &wasm, limits).await;
}

/// Runs a guest; its error's code and text.
async fn fails(cluster: &Cluster, name: &str, args: &[&str]) -> (Errno, String) {
    let done = cluster.invoke(0, name, b"", args).await.expect("accepted");
    let error = done.result.expect_err("it cannot end well");
    (error.code, error.detail)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_misbehaviour_has_its_own_error() {
    let cluster = Cluster::builder().start().await;
    let expected = [
        ("loop", &[][..], Errno::Limit, "run-time"),
        ("recurse", &[], Errno::Limit, "stack"),
        ("recurse_native", &[], Errno::Limit, "stack"),
        ("trap", &[], Errno::Failed, "unreachable"),
        ("output_endless", &[], Errno::Limit, "output"),
        ("log_endless", &[], Errno::Limit, "log"),
        ("unknown_import", &["call"], Errno::NoSys, "make_tea"),
    ];
    for (name, args, code, word) in expected {
        upload(&cluster, name, tight()).await;
        let (got, detail) = fails(&cluster, name, args).await;
        assert_eq!(got, code, "{name}: {detail}");
        assert!(detail.contains(word), "{name}: the error does not speak of {word}: {detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_ends_at_the_limit_and_the_guest_can_cope() {
    let cluster = Cluster::builder().start().await;
    upload(&cluster, "allocate", Limits { memory: 32 << 20, ..tight() }).await;
    let done = cluster.invoke(0, "allocate", b"", &[]).await.expect("accepted");
    assert_eq!(done.result, Ok(0));
    let mib: u32 = String::from_utf8_lossy(&done.output).trim().parse().expect("a number");
    assert!((20..=32).contains(&mib), "got {mib} MiB of a limit of 32");
}

#[tokio::test(flavor = "multi_thread")]
async fn chaining_without_end_stops_at_the_limits() {
    let cluster = Cluster::builder().options(|o| o.calls.children = 500).start().await;
    upload(&cluster, "chain_endless", Limits { run_ms: 10_000, ..Limits::default() }).await;
    for way in ["deep", "wide"] {
        let done = cluster.invoke(0, "chain_endless", b"", &[way]).await.expect("accepted");
        let log = cluster.node(0).handles().calls.log(done.call).await.unwrap_or_default();
        assert_eq!(done.result, Ok(0), "{way}: {}", String::from_utf8_lossy(&log));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looping_calls_of_one_user_leave_others_their_latency() {
    let cluster = Cluster::builder().start().await;
    upload(&cluster, "loop", Limits { run_ms: 60_000, ..Limits::default() }).await;
    upload(&cluster, "echo", Limits::default()).await;
    let calls = cluster.node(0).handles().calls.clone();
    let mut loops = Vec::new();
    for _ in 0..100 {
        loops.push(calls.submit(request("loop", b"", &[])).await.expect("accepted"));
    }
    let functions = cluster.node(0).handles().functions.clone();
    wait_until("all hundred loop", || functions.live() >= 100).await;
    let mut took = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        cluster.invoke(0, "echo", b"x", &[]).await.expect("accepted");
        took.push(begun.elapsed());
    }
    took.sort();
    // The goal is 25 ms, measured by the benchmark; here it is told from starvation.
    assert!(took[197] < Duration::from_millis(250), "p99 was {:?}", took[197]);
    for call in loops {
        calls.cancel(call).await.expect("cancelled");
    }
    wait_until("all loops ended", || functions.live() == 0).await;
}
