//! State on real nodes: what it takes of memory and of the network, and what HTTP says of locks.

mod common;

use std::time::Duration;

use common::processes::{PATIENCE, Processes, wait_for};

const MIB: usize = 1 << 20;

/// Makes a value; its bytes tell where they are.
fn put(cluster: &Processes, key: &str, size: usize) {
    let bytes: Vec<u8> = (0..size).map(|at| (at / 4_096) as u8 | 1).collect();
    let answer = cluster.ask(1, &format!("PUT /v1/state/alice/{key}"), &bytes);
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
}

/// Memory of a node's process, in KiB: what is mapped many times counts once.
fn proportional_set(cluster: &Processes, node: usize) -> u64 {
    cluster.kib(node, "smaps_rollup", "Pss:")
}

#[test]
fn fifty_instances_that_map_a_value_take_the_memory_of_one() {
    let (instances, size) = (50, 100 * MIB);
    let cluster = Processes::up(1);
    cluster.must_upload(1, "ledger", "memory=160MiB");
    put(&cluster, "large", size);
    let warm = cluster.invoke(1, "ledger", "arg=map&arg=none&arg=0", b"");
    assert_eq!(warm.status, 200, "{}", warm.text());
    let before = proportional_set(&cluster, 1);
    let calls: Vec<String> = (0..instances)
        .map(|_| cluster.submit(1, "ledger", "timeout=100s&arg=map&arg=large&arg=20000", b""))
        .collect();
    wait_for("all have it mapped", PATIENCE, || {
        let marks = cluster.ask(1, "GET /v1/state/alice/large.maps", b"");
        (marks.status == 200 && marks.body.len() == instances).then_some(())
    });
    let more = (proportional_set(&cluster, 1) - before) >> 10;
    println!("{instances} instances with a value of {} MiB mapped take {more} MiB", size / MIB);
    assert!((100..250).contains(&more), "{more} MiB");
    for call in calls {
        cluster.ask(1, &format!("DELETE /v1/calls/{call}"), b"");
    }
}

#[test]
fn a_range_of_a_large_value_brings_its_chunks_and_no_more() {
    let cluster = Processes::up(3);
    cluster.must_upload(1, "ledger", "");
    put(&cluster, "large", 16 * MIB);
    let pulled = || {
        let of = |node| cluster.metric(node, "faasm_state_pulled_bytes_total", "").unwrap_or(0.0);
        (1..=3).map(of).sum::<f64>()
    };
    for (node, off, len, chunks) in [(1, 5_000, 10_000, 3), (2, 8 * MIB, 1, 1), (3, 4_095, 2, 2)] {
        let before = pulled();
        let query = format!("node={node}&arg=range&arg=large&arg={off}&arg={len}");
        let said = cluster.invoke(node, "ledger", &query, b"").text();
        let sum: usize = (off..off + len).map(|at| (at / 4_096) as u8 as usize | 1).sum();
        assert_eq!(said, format!("range {sum} error 0"));
        assert_eq!(pulled() - before, (chunks * 4_096) as f64, "n{node}: {len} bytes at {off}");
    }
}

#[test]
fn while_a_call_holds_the_write_lock_others_are_told_so_over_http() {
    let cluster = Processes::up(3);
    cluster.must_upload(1, "ledger", "");
    put(&cluster, "locked", 10);
    let call = cluster.submit(2, "ledger", "node=2&arg=hold&arg=locked&arg=2000", b"");
    wait_for("the lock is held", PATIENCE, || {
        let held = cluster.ask(1, "GET /v1/state/alice/locked.holds", b"");
        (held.status == 200).then_some(())
    });
    for line in ["PUT /v1/state/alice/locked", "DELETE /v1/state/alice/locked"] {
        let refused = cluster.ask(3, line, b"by nobody");
        assert_eq!((refused.status, refused.code().as_str()), (423, "FAASM_ELOCKED"), "{line}");
    }
    assert_eq!(cluster.ask(3, "GET /v1/state/alice/locked", b"").status, 200, "reads are free");
    let ended = cluster.record(2, &call, "20s");
    assert_eq!(ended.result, Some(0), "{ended:?}");
    assert_eq!(cluster.ask(3, "GET /v1/state/alice/locked", b"").text(), "the first");
    let done = wait_for("the lock is free", Duration::from_secs(5), || {
        let answer = cluster.ask(3, "PUT /v1/state/alice/locked", b"by nobody");
        (answer.status != 423).then_some(answer)
    });
    assert!(matches!(done.status, 200 | 201), "{}", done.text());
}
