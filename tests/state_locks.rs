//! Global locks on real nodes: they end in every way in which a call can end, and what it had not
//! pushed is seen by nobody; circles are refused at once; lines are kept, and nobody in them starves.

mod common;

use std::time::{Duration, Instant};

use common::processes::{PATIENCE, Processes, wait_for};
use faasm::gateway::values::view::{LockView, LocksView};

/// A lock is free for others so soon after the end of a call, in milliseconds. Half of it is for
/// machines that are busy.
const AT_ONCE: u64 = 1_000;
/// And so soon after the end of a node.
const AFTER_KILL: u64 = 8_000;

fn cluster() -> Processes {
    let cluster = Processes::up(3);
    cluster.must_upload(1, "holder", "memory=8MiB");
    // It is compiled where it is asked for first.
    for node in 1..=3 {
        assert_eq!(invoke(&cluster, node, &["line", "none", "write", "0"]).len(), 2);
    }
    cluster
}

fn query(node: usize, args: &[&str]) -> String {
    let args: String = args.iter().map(|arg| format!("&arg={arg}")).collect();
    format!("node={node}&timeout=30s{args}")
}

/// Runs the guest; the numbers that it says.
fn invoke(cluster: &Processes, node: usize, args: &[&str]) -> Vec<i64> {
    let answer = cluster.invoke(node, "holder", &query(node, args), b"");
    assert_eq!(answer.status, 200, "{args:?}: {}", answer.text());
    answer.text().split(' ').map(|word| word.parse().expect("numbers")).collect()
}

/// Waits until a guest has said so many times that it holds the key.
fn wait_held(cluster: &Processes, node: usize, key: &str, times: usize) {
    wait_for("the lock is held", PATIENCE, || {
        let said = cluster.ask(node, &format!("GET /v1/state/alice/{key}.holds"), b"");
        (said.status == 200 && said.body.len() == times).then_some(())
    });
}

fn lock(cluster: &Processes, key: &str) -> Option<LockView> {
    let locks: LocksView = cluster.ask(1, "GET /v1/locks", b"").json();
    locks.locks.into_iter().find(|lock| lock.key == key)
}

/// Takes the lock through a node: it is free soon, and the value is as it was pushed last.
fn check_free(cluster: &Processes, node: usize, key: &str, how: &str, limit: u64) {
    let said = invoke(cluster, node, &["take", key]);
    let [global, local, ms, byte] = said[..] else { panic!("{how}: {said:?}") };
    assert_eq!((global, local, byte), (0, 0, 0), "{how}, on n{node}");
    assert!(ms < limit as i64, "{how}: n{node} had the lock after {ms} ms");
}

#[test]
fn a_lock_ends_with_its_call_however_that_ends_and_so_does_what_was_not_pushed() {
    let cluster = cluster();
    for (how, limit) in [
        ("return", ""),
        ("exit", ""),
        ("trap", ""),
        ("memory", ""),
        ("sleep", "1s"),
        ("spin", "1s"),
    ] {
        let args = query(2, &["end", how, how]);
        let args = if limit.is_empty() { args } else { args.replace("30s", limit) };
        let ended = cluster.invoke(2, "holder", &args, b"");
        assert_eq!(ended.status == 200, matches!(how, "return" | "exit"), "{}", ended.text());
        // It was released before the end was told.
        check_free(&cluster, 3, how, how, AT_ONCE);
        check_free(&cluster, 2, how, how, AT_ONCE);
    }
    for how in ["sleep", "spin"] {
        let key = format!("cancelled-{how}");
        let call = cluster.submit(1, "holder", &query(2, &["end", &key, how]), b"");
        wait_held(&cluster, 1, &key, 1);
        cluster.ask(3, &format!("DELETE /v1/calls/{call}"), b"");
        check_free(&cluster, 3, &key, "cancelled", AT_ONCE);
        check_free(&cluster, 2, &key, "cancelled", AT_ONCE);
    }
    let dies = (1..=3).find(|node| *node != cluster.leader(1) && *node != 1).expect("a follower");
    let stays = 5 - dies;
    cluster.submit(1, "holder", &query(dies, &["end", "killed", "sleep"]), b"");
    wait_held(&cluster, 1, "killed", 1);
    cluster.kill(dies);
    check_free(&cluster, stays, "killed", "killed", AFTER_KILL);
    check_free(&cluster, 1, "killed", "killed", AT_ONCE);
    assert_eq!(lock(&cluster, "killed"), None);
}

#[test]
fn circles_end_at_once_and_lines_go_on_without_those_that_left() {
    let cluster = cluster();
    // A parent that waits for a child that wants its lock, on whatever node.
    let said = invoke(&cluster, 2, &["parent", "family"]);
    assert!(said[0] == 15 && said[1] < AT_ONCE as i64, "{said:?}");
    // Two that each want what the other has.
    let said: Vec<Vec<i64>> = std::thread::scope(|scope| {
        let pairs = [(1, ["two", "left", "right"]), (3, ["two", "right", "left"])];
        let cluster = &cluster;
        let calls = pairs.map(|(node, args)| scope.spawn(move || invoke(cluster, node, &args)));
        calls.into_iter().map(|call| call.join().expect("it is answered")).collect()
    });
    let refused = said.iter().filter(|said| said[0] == -15).count();
    assert!(refused == 1 && said.iter().any(|said| said[0] == 0), "{said:?}");
    assert!(said.iter().all(|said| said[1] < AT_ONCE as i64), "{said:?}");

    // Those in the line are served in order; who was cancelled is in it no more.
    let submit = |node: usize, mode: &str, ms: &str| {
        let line = query(node, &["line", "queue", mode, ms]);
        cluster.submit(node, "holder", &line, b"")
    };
    let waits = |count: usize| {
        wait_for("all stand in line", PATIENCE, || {
            let lock = lock(&cluster, "queue")?;
            (lock.waiters.len() == count && lock.holders.len() == 1).then_some(lock)
        })
    };
    let mut calls = vec![submit(1, "write", "1500")];
    waits(0);
    for (at, mode) in ["read", "write", "read", "read", "write", "read"].iter().enumerate() {
        calls.push(submit(1 + at % 3, mode, "20"));
        waits(at + 1);
    }
    let gone = calls.remove(2);
    cluster.ask(2, &format!("DELETE /v1/calls/{gone}"), b"");
    let lock = waits(5);
    let line: Vec<&str> = lock.waiters.iter().map(|waiter| waiter.call.as_str()).collect();
    assert_eq!(line, calls[1..].iter().map(String::as_str).collect::<Vec<_>>());
    for call in &calls {
        assert_eq!(cluster.record(1, call, "20s").result, Some(0));
    }
    assert_eq!(self::lock(&cluster, "queue"), None);
}

#[test]
fn neither_readers_nor_writers_starve_under_a_load_of_the_others() {
    let cluster = cluster();
    let until = Instant::now() + Duration::from_millis(1_500);
    let longest = |mode: &'static str, node: usize| {
        let (mut longest, mut times) = (0, 0);
        while Instant::now() < until {
            let said = invoke(&cluster, node, &["line", "shared", mode, "5"]);
            assert_eq!(said[0], 0, "{mode}");
            (longest, times) = (said[1].max(longest), times + 1);
        }
        (mode, longest, times)
    };
    let all: Vec<_> = std::thread::scope(|scope| {
        let one = |mode, node| {
            let longest = &longest;
            scope.spawn(move || longest(mode, node))
        };
        let many: Vec<_> = (0..9).map(|at| one("read", 1 + at % 3)).collect();
        let few = [one("write", 1), one("write", 2)];
        many.into_iter().chain(few).map(|call| call.join().expect("it is answered")).collect()
    });
    println!("longest wait in ms, and times: {all:?}");
    assert!(
        all.iter().all(|(_, longest, times)| *times > 2 && *longest < AT_ONCE as i64),
        "{all:?}"
    );
}
