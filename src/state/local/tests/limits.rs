//! Budgets, eviction, and what is left of calls that ended.

use std::sync::atomic::Ordering;

use futures_util::FutureExt;

use super::{Mapped, World, call, key, set, set_part};
use crate::errno::Errno;
use crate::function::memfd::PAGE;
use crate::function::values::{Missing, Part, Pushed};

#[tokio::test]
async fn clean_copies_that_nobody_uses_make_room_and_others_do_not() {
    let world = World::new();
    for name in ["old", "new", "dirty", "mapped", "next", "last"] {
        world.memory.put(&key(name), &[1; PAGE as usize]);
    }
    let node = world.node_with(4 * PAGE, 100 * PAGE);
    let keeps = call(&node);
    let mapped = Mapped::get(&keeps, "mapped").await.unwrap();
    for name in ["old", "new", "dirty"] {
        let host = call(&node);
        let map = Mapped::get(&host, name).await.unwrap();
        if name == "dirty" {
            map.poke(5, b"unpushed");
        }
    }
    assert_eq!((node.copies(), node.memory_used()), (4, 4 * PAGE));
    let host = call(&node);
    let next = Mapped::get(&host, "next").await.unwrap();
    assert_eq!(node.copy(&key("old")), None, "the one used longest ago goes first");
    let last = Mapped::get(&host, "last").await.unwrap();
    assert_eq!((node.copy(&key("new")), node.copies()), (None, 4));
    // What is left is mapped, or has something unpushed.
    assert_eq!(Mapped::get(&host, "old").await.err(), Some(Errno::NoMem));
    assert_eq!(node.copy(&key("dirty")), Some((PAGE, false)));
    assert_eq!(&Mapped::get(&host, "dirty").await.unwrap().peek()[5..13], b"unpushed");
    host.push("dirty", Pushed::Chunks).await.unwrap();
    drop((mapped, next, last, host, keeps));
    let host = call(&node);
    Mapped::get(&host, "old").await.unwrap();
}

#[tokio::test]
async fn a_user_has_a_share_of_the_memory() {
    let world = World::new();
    world.memory.put(&key("k"), &[1; 3 * PAGE as usize]);
    let node = world.node_with(100 * PAGE, 2 * PAGE);
    let host = call(&node);
    assert_eq!(Mapped::get(&host, "k").await.err(), Some(Errno::Quota));
    assert_eq!(set(&host, "own", &[0; 3 * PAGE as usize]).await, Err(Errno::Quota));
    let value = host.value("k", Missing::Fail, None).await.unwrap();
    Mapped::part(value, Part { off: PAGE, len: 10 }).await.unwrap();
}

#[tokio::test]
async fn many_values_have_a_copy_each_and_calls_leave_nothing_else() {
    let world = World::new();
    let node = world.node();
    for n in 0..2_000 {
        let host = call(&node);
        let name = format!("k{n}");
        host.create(&name, 10).await.unwrap();
        set_part(&host, &name, 3, b"x").await.unwrap();
        host.push(&name, Pushed::Chunks).await.unwrap();
        host.delete(&name).await.unwrap();
        assert_eq!(host.try_lock(&name, crate::wire::locks::Mode::Write), Some(Ok(())));
    }
    assert_eq!((node.copies(), node.memory_used()), (0, 0));
    assert_eq!(node.shared.table.slots(), 0, "places of keys are left");
}

#[tokio::test]
async fn an_operation_that_is_given_up_leaves_the_copy_as_it_was() {
    let world = World::new();
    world.memory.put(&key("k"), &[1; 10_000]);
    let node = world.node();
    let host = call(&node);
    let map = Mapped::get(&host, "k").await.unwrap();
    map.poke(0, b"changed");
    set_part(&host, "k", 5_000, b"flagged").await.unwrap();
    world.memory.stopped.store(true, Ordering::SeqCst);
    assert!(host.push("k", Pushed::Chunks).now_or_never().is_none());
    assert!(host.push("k", Pushed::Flagged).now_or_never().is_none());
    assert!(host.pull("k", None).now_or_never().is_none());
    world.memory.go_on();
    world.memory.moved();
    host.push("k", Pushed::Flagged).await.unwrap();
    assert_eq!(world.memory.moved().1, 7, "what was flagged is forgotten");
    drop(map);
    host.push("k", Pushed::Chunks).await.unwrap();
    let global = world.memory.bytes(&key("k")).unwrap();
    assert_eq!((&global[..7], &global[5_000..5_007]), (&b"changed"[..], &b"flagged"[..]));
}
