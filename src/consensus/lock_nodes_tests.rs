//! Global locks on real logs and drivers, connected in memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::testnet::{TestCluster, soon};
use super::{Consensus, LockError, LockListener};
use crate::id::{CallId, NodeId};
use crate::wire::locks::Mode::{self, Read, Write};
use crate::wire::shards::StateKey;

fn key(name: &str) -> StateKey {
    StateKey { user: "alice".into(), key: name.into() }
}

async fn ready(nodes: u64) -> TestCluster {
    let cluster = TestCluster::start(nodes, 10_000).await;
    cluster.ready().await;
    cluster.until("shards are founded", |c| !c.node(1).shards().is_empty()).await;
    cluster
}

fn lock(
    node: &Consensus,
    call: u128,
    name: &str,
    mode: Mode,
    deadline: Instant,
) -> tokio::task::JoinHandle<Result<u64, LockError>> {
    let (node, key) = (node.clone(), key(name));
    tokio::spawn(async move {
        node.lock(&key, mode, CallId(call), deadline).await.map(|grant| grant.token)
    })
}

/// Waits until so many requests stand in line for a key, as a node knows.
async fn in_line(node: &Consensus, name: &str, count: usize) {
    let deadline = soon();
    loop {
        let locks = node.locks(100, deadline).await.unwrap();
        let of = locks.iter().find(|lock| lock.key == key(name));
        if of.map_or(0, |lock| lock.waiters.len()) == count {
            return;
        }
        assert!(Instant::now() < deadline, "never {count} in line");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Notes what it hears.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl LockListener for Notes {
    fn asks(&self, call: CallId) {
        self.0.lock().push(format!("{} asks", call.0));
    }
    fn queued(&self, call: CallId) {
        self.0.lock().push(format!("{} queued", call.0));
    }
    fn ended(&self, call: CallId, key: &StateKey, mode: Mode) {
        self.0.lock().push(format!("{} lost {} {mode:?}", call.0, key.key));
    }
}

impl Notes {
    fn at(node: &Consensus) -> Arc<Self> {
        let notes = Arc::new(Self::default());
        node.listen_to_locks(notes.clone());
        notes
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_goes_from_node_to_node_with_growing_tokens() {
    let cluster = ready(3).await;
    let (one, two) = (cluster.node(1), cluster.node(2));
    let first = one.lock(&key("k"), Write, CallId(1), soon()).await.unwrap();
    assert_eq!(first.epoch, 1);
    cluster.until("2 has heard", |c| c.node(2).write_locked(&key("k")) == Some(first.token)).await;
    let second = lock(two, 2, "k", Write, soon());
    in_line(one, "k", 1).await;
    assert_eq!(one.unlock(&key("k"), Read, CallId(1)), Err(LockError::NotHeld));
    assert_eq!(one.unlock(&key("k"), Write, CallId(1)), Ok(()));
    assert_eq!(one.unlock(&key("k"), Write, CallId(1)), Err(LockError::NotHeld));
    let second = second.await.unwrap().unwrap();
    assert!(second > first.token);
    // The same call again: its release is before this request, though nobody waited for it.
    two.unlock(&key("k"), Write, CallId(2)).unwrap();
    let again = two.lock(&key("k"), Read, CallId(2), soon()).await.unwrap();
    assert!(again.token > second);
    let again = two.lock(&key("k"), Read, CallId(2), soon()).await;
    assert_eq!(again, Err(LockError::Deadlock), "not re-entrant");
    assert!(two.lock(&key("k"), Read, CallId(3), soon()).await.is_ok(), "readers share");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_ends_at_its_deadline_and_leaves_nothing_behind() {
    let cluster = ready(3).await;
    let (one, two) = (cluster.node(1), cluster.node(2));
    one.lock(&key("k"), Write, CallId(1), soon()).await.unwrap();
    let late = Instant::now() + Duration::from_millis(30);
    assert_eq!(two.lock(&key("k"), Write, CallId(2), late).await, Err(LockError::TimedOut));
    in_line(one, "k", 0).await;
    // One that is dropped half-way, as when its call is cancelled.
    let dropped = lock(two, 3, "k", Write, soon());
    in_line(one, "k", 1).await;
    dropped.abort();
    in_line(one, "k", 0).await;
    one.unlock(&key("k"), Write, CallId(1)).unwrap();
    two.lock(&key("k"), Write, CallId(4), soon()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_call_releases_all_it_has_and_is_done_when_others_may_have_it() {
    let cluster = ready(3).await;
    let (one, two) = (cluster.node(1), cluster.node(2));
    let notes = Notes::at(one);
    assert!(one.end_call(CallId(1)).is_none(), "it has nothing to do with locks");
    one.lock(&key("a"), Write, CallId(1), soon()).await.unwrap();
    one.lock(&key("b"), Read, CallId(1), soon()).await.unwrap();
    let waits = lock(one, 2, "a", Write, soon());
    in_line(one, "a", 1).await;
    one.end_call(CallId(1)).unwrap().await;
    assert!(waits.await.unwrap().is_ok());
    let heard = notes.take();
    let lost = heard.iter().position(|note| note == "1 lost a Write").unwrap();
    assert_eq!(heard[..lost].iter().filter(|note| note.contains("asks")).count(), 3);
    assert!(heard.contains(&"2 queued".to_owned()) && heard.contains(&"1 lost b Read".to_owned()));
    one.end_call(CallId(2)).unwrap().await;
    let at_once = Instant::now() + Duration::from_secs(5);
    assert!(two.lock(&key("a"), Write, CallId(3), at_once).await.is_ok());
    // Without a lock left it only waits for the releases.
    two.unlock(&key("a"), Write, CallId(3)).unwrap();
    two.end_call(CallId(3)).unwrap().await;
    assert!(two.locks(10, soon()).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn circles_are_refused_at_once_also_across_nodes_and_calls_that_wait() {
    let cluster = ready(3).await;
    let (one, two) = (cluster.node(1), cluster.node(2));
    one.lock(&key("a"), Write, CallId(1), soon()).await.unwrap();
    two.lock(&key("b"), Write, CallId(2), soon()).await.unwrap();
    let first = lock(one, 1, "b", Write, soon());
    in_line(two, "b", 1).await;
    let second = two.lock(&key("a"), Write, CallId(2), soon()).await;
    assert_eq!(second, Err(LockError::Deadlock));
    two.end_call(CallId(2)).unwrap().await;
    first.await.unwrap().unwrap();
    // 1 waits for 3, which waits for 4, which asks for the lock of 1.
    let child = lock(two, 4, "a", Read, soon());
    in_line(two, "a", 1).await;
    one.awaits(CallId(1), vec![CallId(3)]);
    two.awaits(CallId(3), vec![CallId(4)]);
    assert_eq!(child.await.unwrap(), Err(LockError::Deadlock));
    one.resumes(CallId(1)).await;
    let child = lock(two, 4, "a", Read, soon());
    in_line(two, "a", 1).await;
    one.unlock(&key("a"), Write, CallId(1)).unwrap();
    assert!(child.await.unwrap().is_ok(), "1 does not wait any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_ends_with_the_session_of_its_node_and_the_node_is_told() {
    let cluster = ready(3).await;
    let leader = cluster.ready().await.0;
    let (cut, other) = (1 + leader % 3, 1 + (leader + 1) % 3);
    let notes = Notes::at(cluster.node(cut));
    let lost = cluster.node(cut).lock(&key("k"), Write, CallId(1), soon()).await.unwrap();
    let waits = lock(cluster.node(cut), 2, "k", Read, soon());
    in_line(cluster.node(other), "k", 1).await;
    cluster.cut(NodeId(cut), true);
    let next = cluster.node(other).lock(&key("k"), Write, CallId(3), soon()).await.unwrap();
    assert!(next.token > lost.token);
    assert!(!cluster.node(cut).session_is_live());
    let refused = cluster.node(cut).lock(&key("x"), Write, CallId(4), soon()).await;
    assert_eq!(refused, Err(LockError::Lost));
    cluster.cut(NodeId(cut), false);
    assert_eq!(waits.await.unwrap(), Err(LockError::Lost));
    cluster.until("it has a session again", |c| c.node(cut).session_is_live()).await;
    assert!(notes.take().contains(&"1 lost k Write".to_owned()));
    let unlocked = cluster.node(cut).unlock(&key("k"), Write, CallId(1));
    assert_eq!(unlocked, Err(LockError::NotHeld));
    assert_eq!(cluster.node(other).write_locked(&key("k")), Some(next.token));
}

/// Each increments a number under the lock, from all nodes; a node that follows from a snapshot
/// hears of its grants too.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_in_the_critical_section_with_another() {
    let cluster = TestCluster::start(3, 20).await;
    cluster.ready().await;
    let (inside, total) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
    let mut tasks = Vec::new();
    for task in 0..12_u64 {
        let node = cluster.node(1 + task % 3).clone();
        let (inside, total) = (inside.clone(), total.clone());
        tasks.push(tokio::spawn(async move {
            for round in 0..20_u64 {
                let call = CallId(u128::from(1 + task * 100 + round % 3));
                node.lock(&key("k"), Write, call, soon()).await.unwrap();
                assert!(inside.try_lock().is_some(), "somebody else is inside");
                let before = *total.lock();
                tokio::task::yield_now().await;
                *total.lock() = before + 1;
                node.unlock(&key("k"), Write, call).unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*total.lock(), 240);
}

/// What it costs: prints, and asserts only that it is not absurd.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_costs_one_round_and_many_share_it() {
    let cluster = ready(3).await;
    let leader = cluster.ready().await.0;
    for node in [leader, 1 + leader % 3] {
        let consensus = cluster.node(node);
        let mut took = Vec::new();
        for _ in 0..200 {
            let began = Instant::now();
            consensus.lock(&key("k"), Write, CallId(1), soon()).await.unwrap();
            consensus.unlock(&key("k"), Write, CallId(1)).unwrap();
            took.push(began.elapsed());
        }
        took.sort_unstable();
        eprintln!("n{node} of leader n{leader}: p50 {:?}, p99 {:?}", took[100], took[198]);
        consensus.end_call(CallId(1)).unwrap().await;
        assert!(took[100] < Duration::from_millis(100), "{:?}", took[100]);
    }
    let began = Instant::now();
    let mut tasks = Vec::new();
    for task in 0..300_u64 {
        let node = cluster.node(1 + task % 3).clone();
        tasks.push(tokio::spawn(async move {
            let (name, call) = (key(&format!("k{task}")), CallId(u128::from(100 + task)));
            let mut done = 0_u32;
            while began.elapsed() < Duration::from_secs(2) {
                match node.lock(&name, Write, call, soon()).await {
                    Ok(_) => node.unlock(&name, Write, call).unwrap(),
                    Err(LockError::Full) => continue,
                    Err(error) => panic!("{error}"),
                }
                done += 1;
            }
            done
        }));
    }
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    eprintln!(
        "{:.0} locks and unlocks per second",
        f64::from(done) / began.elapsed().as_secs_f64()
    );
    assert!(done > 500);
}
