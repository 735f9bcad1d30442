//! Locks: among the instances of a node, and what comes of those of the cluster.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;

use super::{Mapped, World, call, key};
use crate::errno::Errno;
use crate::function::StateSpace;
use crate::function::values::{Mode, Pushed, Reach, StateHost};
use crate::id::{CallId, Name};

const SOON: Option<Duration> = Some(Duration::from_millis(5));

async fn take(host: &Arc<dyn StateHost>, mode: Mode) -> Result<(), Errno> {
    host.lock("k", Reach::Node, mode, SOON).await
}

#[tokio::test]
async fn readers_share_writers_do_not_and_nobody_takes_a_lock_twice() {
    let world = World::new();
    let node = world.node();
    let [a, b, c] = [call(&node), call(&node), call(&node)];
    assert_eq!(a.unlock_here("k", Mode::Read), Err(Errno::Perm));
    assert_eq!(take(&a, Mode::Read).await, Ok(()));
    assert_eq!(take(&b, Mode::Read).await, Ok(()));
    assert_eq!(take(&a, Mode::Read).await, Err(Errno::DeadLk));
    assert_eq!(take(&a, Mode::Write).await, Err(Errno::DeadLk), "no upgrade");
    assert_eq!(take(&c, Mode::Write).await, Err(Errno::TimedOut));
    assert_eq!(a.unlock_here("k", Mode::Write), Err(Errno::Perm), "held, but not so");
    assert_eq!(a.unlock_here("k", Mode::Read), Ok(()));
    drop(b);
    assert_eq!(take(&c, Mode::Write).await, Ok(()), "a call that ended kept its lock");
    assert_eq!(take(&a, Mode::Read).await, Err(Errno::TimedOut));
    assert_eq!(c.unlock_here("k", Mode::Write), Ok(()));
    assert_eq!(a.try_lock("k", Mode::Read), Some(Ok(())));
}

#[tokio::test]
async fn locks_are_given_in_order_also_past_those_who_gave_up() {
    let world = World::new();
    let node = world.node();
    let hosts: Vec<_> = (0..5).map(|_| call(&node)).collect();
    take(&hosts[0], Mode::Read).await.unwrap();
    let mut writer = hosts[1].lock("k", Reach::Node, Mode::Write, None);
    assert!((&mut writer).now_or_never().is_none());
    // A reader that comes after a writer waits behind it.
    let mut reader = hosts[2].lock("k", Reach::Node, Mode::Read, None);
    assert!((&mut reader).now_or_never().is_none());
    let mut last = hosts[3].lock("k", Reach::Node, Mode::Write, None);
    assert!((&mut last).now_or_never().is_none());
    assert_eq!(hosts[4].try_lock("k", Mode::Read), None);
    hosts[0].unlock_here("k", Mode::Read).unwrap();
    assert_eq!((&mut writer).now_or_never(), Some(Ok(())));
    assert!((&mut reader).now_or_never().is_none());
    drop(writer);
    hosts[1].unlock_here("k", Mode::Write).unwrap();
    // The reader was told, and gives up before it hears: the next in line has it.
    drop(reader);
    assert_eq!((&mut last).now_or_never(), Some(Ok(())));
    drop(last);
    hosts[3].unlock_here("k", Mode::Write).unwrap();
    assert_eq!(hosts[4].try_lock("k", Mode::Write), Some(Ok(())));
}

#[tokio::test]
async fn waits_that_would_never_end_fail_at_once() {
    let world = World::new();
    let node = world.node();
    let user = Name::new("tester").unwrap();
    let ids: Vec<CallId> = (0..3).map(|_| CallId::random()).collect();
    let [a, b, c] = [0, 1, 2].map(|at| node.open(ids[at], &user));
    let lock = |host: &Arc<dyn StateHost>, key: &'static str| {
        let host = host.clone();
        async move { host.lock(key, Reach::Node, Mode::Write, None).await }
    };
    lock(&a, "a").await.unwrap();
    lock(&b, "b").await.unwrap();
    lock(&c, "c").await.unwrap();
    let mut first = Box::pin(lock(&a, "b"));
    assert!((&mut first).now_or_never().is_none());
    let mut second = Box::pin(lock(&b, "c"));
    assert!((&mut second).now_or_never().is_none());
    assert_eq!(lock(&c, "a").now_or_never(), Some(Err(Errno::DeadLk)), "a cycle of three");
    drop((first, second));

    // A parent that awaits its child counts as waiting for it.
    a.awaits(Some(ids[1]));
    assert_eq!(lock(&b, "a").now_or_never(), Some(Err(Errno::DeadLk)));
    a.awaits(None);
    let mut child = Box::pin(lock(&b, "a"));
    assert!((&mut child).now_or_never().is_none());
    a.awaits(Some(ids[1]));
    assert_eq!((&mut child).now_or_never(), Some(Err(Errno::DeadLk)), "awaited after it asked");
    a.awaits(None);
    // Over one in between that holds nothing.
    let between = node.open(CallId(7), &user);
    between.awaits(Some(ids[1]));
    a.awaits(Some(CallId(7)));
    assert_eq!(lock(&b, "a").now_or_never(), Some(Err(Errno::DeadLk)));
}

#[tokio::test]
async fn many_calls_count_under_a_lock() {
    let world = World::new();
    let node = world.node();
    world.memory.put(&key("k"), &0u64.to_le_bytes());
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let host = call(&node);
            tokio::spawn(async move {
                for _ in 0..50 {
                    host.lock("k", Reach::Node, Mode::Write, None).await.unwrap();
                    let map = Mapped::get(&host, "k").await.unwrap();
                    let count = u64::from_le_bytes(map.peek().try_into().unwrap());
                    tokio::task::yield_now().await;
                    map.poke(0, &(count + 1).to_le_bytes());
                    host.unlock_here("k", Mode::Write).unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let map = Mapped::get(&call(&node), "k").await.unwrap();
    assert_eq!(map.peek(), 1000u64.to_le_bytes());
}

#[tokio::test]
async fn a_lost_lock_of_the_cluster_is_lost_until_the_call_ends() {
    let world = World::new();
    world.memory.put(&key("k"), b"shared");
    let node = world.node();
    let host = call(&node);
    host.lock("k", Reach::Cluster, Mode::Write, None).await.unwrap();
    assert_eq!(host.lock("k", Reach::Cluster, Mode::Read, None).await, Err(Errno::DeadLk));
    let map = Mapped::get(&host, "k").await.unwrap();
    map.poke(0, b"SHARED");
    // The owner has seen a later holder.
    world.memory.fence(&key("k"), 100);
    assert_eq!(host.push("k", Pushed::Chunks).await, Err(Errno::LockLost));
    assert_eq!(world.memory.bytes(&key("k")).unwrap(), b"shared");
    world.memory.fence(&key("k"), 0);
    for result in [
        host.pull("k", None).await,
        host.append("k", bytes::Bytes::new()).await,
        host.unlock("k", Mode::Write).await,
        host.lock("k", Reach::Cluster, Mode::Write, None).await,
    ] {
        assert_eq!(result, Err(Errno::LockLost));
    }
    assert!(!host.is_plain(), "a pointer is given without a look at the lock");
    // Others go on, and see nothing of it.
    let other = call(&node);
    other.push("k", Pushed::Chunks).await.unwrap();
    assert_eq!(world.memory.bytes(&key("k")).unwrap(), b"shared");
    assert_eq!(map.peek(), b"shared");

    let second = call(&node);
    world.locks.lose(&key("k"));
    second.lock("k", Reach::Cluster, Mode::Write, None).await.unwrap();
    world.locks.lose(&key("k"));
    // Nobody took it yet, but its session is over.
    assert_eq!(second.push("k", Pushed::Chunks).await, Err(Errno::LockLost));
}

#[tokio::test]
async fn a_read_lock_allows_no_writes() {
    let world = World::new();
    world.memory.put(&key("k"), b"shared");
    let node = world.node();
    let host = call(&node);
    host.lock("k", Reach::Cluster, Mode::Read, None).await.unwrap();
    host.pull("k", None).await.unwrap();
    assert_eq!(host.push("k", Pushed::Chunks).await, Err(Errno::Perm));
    assert_eq!(host.delete("k").await, Err(Errno::Perm));
    assert_eq!(host.append("k", bytes::Bytes::new()).await, Err(Errno::Perm));
    assert_eq!(host.unlock("k", Mode::Write).await, Err(Errno::Perm));
    host.unlock("k", Mode::Read).await.unwrap();
    assert_eq!(host.unlock("k", Mode::Read).await, Err(Errno::Perm));
    host.push("k", Pushed::Chunks).await.unwrap();
}
