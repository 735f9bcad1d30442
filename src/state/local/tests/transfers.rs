//! What is transferred, and what comes of values that change, grow and go.

use super::{Mapped, World, call, key, set, set_part};
use crate::errno::Errno;
use crate::function::values::{Missing, Mode, Part, Pushed, Reach};
use crate::wire::state::CHUNK;

const MIB: usize = 1 << 20;

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 / 7) as u8).collect()
}

#[tokio::test]
async fn only_what_is_asked_for_and_what_changed_is_transferred() {
    let world = World::new();
    let mut bytes = pattern(3 * MIB + 5);
    world.memory.put(&key("k"), &bytes);
    let node = world.node();
    let host = call(&node);
    let value = host.value("k", Missing::Fail, None).await.unwrap();
    let part = Part { off: CHUNK + 10, len: CHUNK };
    let window = Mapped::part(value, part).await.unwrap();
    assert_eq!(world.memory.moved(), (2 * CHUNK, 0), "two chunks hold the range");
    let all = Mapped::get(&host, "k").await.unwrap();
    assert_eq!(world.memory.moved().0, bytes.len() as u64 - 2 * CHUNK, "what was here came again");
    assert!(all.peek() == bytes);

    all.poke(2 * MIB as u64, b"one byte or a few");
    window.poke(CHUNK + 10, b"here");
    host.push("k", Pushed::Chunks).await.unwrap();
    assert_eq!(world.memory.moved(), (0, 2 * CHUNK));
    bytes = all.peek();
    assert!(world.memory.bytes(&key("k")).unwrap() == bytes);
    host.push("k", Pushed::Chunks).await.unwrap();
    host.pull("k", None).await.unwrap();
    assert_eq!(world.memory.moved(), (0, 0), "what was pushed came back");

    let other = world.node();
    let there = call(&other);
    set_part(&there, "k", 100, b"there").await.unwrap();
    there.push("k", Pushed::Chunks).await.unwrap();
    world.memory.moved();
    host.pull("k", None).await.unwrap();
    assert_eq!(world.memory.moved(), (CHUNK, 0));
    assert_eq!(&all.peek()[100..105], b"there");
}

#[tokio::test]
async fn a_pull_begins_again_when_its_version_is_gone() {
    let world = World::new();
    let bytes = pattern(5 * MIB);
    world.memory.put(&key("k"), &bytes);
    let node = world.node();
    let host = call(&node);
    world.memory.again.store(3, std::sync::atomic::Ordering::SeqCst);
    assert!(Mapped::get(&host, "k").await.unwrap().peek() == bytes);
    world.memory.put(&key("k"), &pattern(2 * MIB));
    world.memory.again.store(1_000, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(host.pull("k", None).await, Err(Errno::Again), "it may not try for ever");
    world.memory.again.store(0, std::sync::atomic::Ordering::SeqCst);
    host.pull("k", None).await.unwrap();
    assert_eq!(host.size("k").await, Ok(2 * MIB as u64));
}

#[tokio::test]
async fn disjoint_ranges_from_two_nodes_survive_in_one_chunk() {
    let world = World::new();
    world.memory.put(&key("k"), &[0; 100]);
    let nodes = [world.node(), world.node()];
    let hosts = nodes.each_ref().map(call);
    let maps =
        [Mapped::get(&hosts[0], "k").await.unwrap(), Mapped::get(&hosts[1], "k").await.unwrap()];
    maps[0].poke(0, b"aaaa");
    maps[1].poke(50, b"bbbb");
    let part = |off| Pushed::Part(Part { off, len: 4 });
    hosts[0].push("k", part(0)).await.unwrap();
    hosts[1].push("k", part(50)).await.unwrap();
    assert_eq!(world.memory.moved().1, 8, "more than the bytes themselves was sent");
    let global = world.memory.bytes(&key("k")).unwrap();
    assert_eq!((&global[..4], &global[50..54]), (&b"aaaa"[..], &b"bbbb"[..]));
    hosts[0].pull("k", None).await.unwrap();
    hosts[1].pull("k", None).await.unwrap();
    assert_eq!((maps[0].peek(), maps[1].peek()), (global.clone(), global));
}

#[tokio::test]
async fn a_mask_names_the_bytes_to_send() {
    let world = World::new();
    world.memory.put(&key("k"), &[0; 3 * CHUNK as usize]);
    let node = world.node();
    let host = call(&node);
    let map = Mapped::get(&host, "k").await.unwrap();
    map.poke(0, &[7; 3 * CHUNK as usize]);
    let mut mask = vec![0; 3 * CHUNK as usize];
    mask[8..16].fill(0xff);
    mask[CHUNK as usize - 4..CHUNK as usize + 4].fill(0xff);
    set(&host, "mask", &mask).await.unwrap();
    host.push("k", Pushed::Masked("mask".into())).await.unwrap();
    let global = world.memory.bytes(&key("k")).unwrap();
    let expected: Vec<u8> = mask.iter().map(|byte| if *byte > 0 { 7 } else { 0 }).collect();
    assert!(global == expected);
    let missing = host.push("k", Pushed::Masked("none".into())).await;
    assert_eq!(missing, Err(Errno::NoEnt));
}

#[tokio::test]
async fn values_grow_and_shrink_under_their_readers() {
    let world = World::new();
    world.memory.put(&key("k"), &pattern(100_000));
    let node = world.node();
    let host = call(&node);
    let old = Mapped::get(&host, "k").await.unwrap();
    // Scribbled behind the end, where nobody owns anything.
    old.poke(100_000, &[9; 1000]);
    world.memory.put(&key("k"), &pattern(300));
    host.pull("k", None).await.unwrap();
    assert!(old.peek() == pattern(300), "it did not get shorter");
    let mut longer = pattern(300);
    longer.resize(200_000, 0);
    world.memory.put(&key("k"), &longer);
    let value = host.value("k", Missing::Fail, None).await.unwrap();
    value.fill(Part { off: 0, len: value.size() }, true).await.unwrap();
    let new = Mapped::get(&host, "k").await.unwrap();
    assert!(new.peek() == longer, "bytes behind a former end came back");
    // Old and new mappings are of the same bytes.
    old.poke(5, b"seen");
    assert_eq!(&new.peek()[5..9], b"seen");
    set(&host, "k", b"short").await.unwrap();
    host.push("k", Pushed::Chunks).await.unwrap();
    assert_eq!(world.memory.bytes(&key("k")).unwrap(), b"short");
    assert_eq!(new.peek(), b"short");
}

#[tokio::test]
async fn what_was_scribbled_behind_the_end_is_gone_when_the_value_gets_there() {
    let world = World::new();
    world.memory.put(&key("k"), b"short");
    let node = world.node();
    let host = call(&node);
    let map = Mapped::get(&host, "k").await.unwrap();
    map.poke(5, &[9; 60_000]);
    world.memory.grow(&key("k"), 10_000);
    host.pull("k", None).await.unwrap();
    let all = Mapped::get(&host, "k").await.unwrap();
    assert!(all.peek() == world.memory.bytes(&key("k")).unwrap(), "a copy has what nobody wrote");
}

#[tokio::test]
async fn who_has_a_deleted_value_keeps_it_and_cannot_push_it() {
    let world = World::new();
    world.memory.put(&key("k"), b"old");
    let (node, other) = (world.node(), world.node());
    let (host, neighbour, far) = (call(&node), call(&node), call(&other));
    let map = Mapped::get(&host, "k").await.unwrap();
    far.delete("k").await.unwrap();
    assert_eq!(far.delete("k").await, Err(Errno::NoEnt));
    far.create("k", 10).await.unwrap();
    assert_eq!(far.create("k", 10).await, Err(Errno::Exist));
    map.poke(0, b"new");
    assert_eq!(host.push("k", Pushed::Chunks).await, Err(Errno::Stale));
    assert_eq!(map.peek(), b"new");
    assert_eq!(host.pull("k", None).await, Err(Errno::Stale));
    assert_eq!(world.memory.bytes(&key("k")).unwrap(), [0; 10]);
    // The next get has the new one, here and in others.
    assert_eq!(Mapped::get(&neighbour, "k").await.unwrap().peek(), [0; 10]);
    assert_eq!(Mapped::get(&host, "k").await.unwrap().peek(), [0; 10]);
    assert_eq!(map.peek(), b"new");
    host.delete("k").await.unwrap();
    assert_eq!(Mapped::get(&host, "k").await.err(), Some(Errno::NoEnt));
}

#[tokio::test]
async fn values_begin_here_or_everywhere() {
    let world = World::new();
    let node = world.node();
    let host = call(&node);
    assert_eq!(host.value("k", Missing::Fail, None).await.err(), Some(Errno::NoEnt));
    let begun = host.value("k", Missing::Begin(10_000), None).await.unwrap();
    assert_eq!((begun.size(), world.memory.bytes(&key("k"))), (10_000, None));
    set_part(&host, "k", 9_999, b"x").await.unwrap();
    host.push("k", Pushed::Chunks).await.unwrap();
    let mut expected = vec![0; 10_000];
    expected[9_999] = b'x';
    assert!(world.memory.bytes(&key("k")).unwrap() == expected);
    assert_eq!(world.memory.moved().1, 10_000 - 2 * CHUNK, "zeros were sent");
    host.pull("k", None).await.unwrap();
    host.pull("k", None).await.unwrap();
    assert_eq!(world.memory.moved().0, 0, "what was made here came back");

    let made = host.value("made", Missing::Create(10 * MIB as u64), None).await.unwrap();
    let window = Mapped::part(made, Part { off: MIB as u64, len: 10 }).await.unwrap();
    window.poke(MIB as u64, b"x");
    host.push("made", Pushed::Chunks).await.unwrap();
    assert_eq!(world.memory.moved(), (0, CHUNK), "zeros were moved");
    host.create("zero", 0).await.unwrap();
    let zero = Mapped::get(&host, "zero").await.unwrap();
    assert_eq!(zero.peek(), b"");
    assert_eq!(host.size("zero").await, Ok(0));
    assert_eq!(host.size("none").await, Err(Errno::NoEnt));
    for bad in ["", "a\0b", &"x".repeat(513)] {
        assert_eq!(host.size(bad).await, Err(Errno::Inval));
    }
}

#[tokio::test]
async fn elements_are_appended_and_read() {
    let world = World::new();
    let node = world.node();
    let host = call(&node);
    for element in [&b"one"[..], b"two", b"three"] {
        host.append("k", bytes::Bytes::from_static(element)).await.unwrap();
    }
    let read = async |n, most| host.appended("k", n, most).await.unwrap().concat();
    assert_eq!(read(2, 100).await, b"onetwo");
    assert_eq!(read(100, 100).await, b"onetwothree");
    assert_eq!(read(100, 4).await, b"onet");
    assert_eq!(Mapped::get(&host, "k").await.unwrap().peek(), b"onetwothree");
    host.clear_appended("k").await.unwrap();
    assert_eq!(read(100, 100).await, b"");
    let long = bytes::Bytes::from(vec![0; MIB + 1]);
    assert_eq!(host.append("k", long).await, Err(Errno::TooBig));
}

#[tokio::test]
async fn what_a_lock_holder_left_unpushed_is_seen_by_nobody() {
    let world = World::new();
    world.memory.put(&key("k"), &pattern(2 * CHUNK as usize));
    let node = world.node();
    let (neighbour, dies) = (call(&node), call(&node));
    let seen = Mapped::get(&neighbour, "k").await.unwrap();
    dies.lock("k", Reach::Cluster, Mode::Write, None).await.unwrap();
    let map = Mapped::get(&dies, "k").await.unwrap();
    map.poke(10, b"half of what it wanted to wri");
    set_part(&dies, "k", CHUNK, b"and a half").await.unwrap();
    drop(map);
    drop(dies);
    world.locks.lose(&key("k"));
    // Who pushes without a lock does not push it for the dead.
    neighbour.push("k", Pushed::Chunks).await.unwrap();
    neighbour.push("k", Pushed::Flagged).await.unwrap();
    assert!(world.memory.bytes(&key("k")).unwrap() == pattern(2 * CHUNK as usize));
    let next = call(&node);
    next.lock("k", Reach::Cluster, Mode::Write, None).await.unwrap();
    next.pull("k", None).await.unwrap();
    let map = Mapped::get(&next, "k").await.unwrap();
    assert!(map.peek() == pattern(2 * CHUNK as usize), "it sees what the dead one wrote");
    assert!(seen.peek() == pattern(2 * CHUNK as usize));
}

#[tokio::test]
async fn a_value_begun_by_a_lock_holder_that_died_is_not_there() {
    let world = World::new();
    let node = world.node();
    let dies = call(&node);
    dies.lock("k", Reach::Cluster, Mode::Write, None).await.unwrap();
    set(&dies, "k", b"half").await.unwrap();
    drop(dies);
    let next = call(&node);
    assert_eq!(Mapped::get(&next, "k").await.err(), Some(Errno::NoEnt));
    next.push("k", Pushed::Chunks).await.unwrap();
    assert_eq!(world.memory.bytes(&key("k")), None, "it was pushed for the dead");
}

#[tokio::test]
async fn a_pull_discards_what_was_not_pushed_also_without_locks() {
    let world = World::new();
    world.memory.put(&key("k"), &pattern(100));
    let node = world.node();
    let host = call(&node);
    let map = Mapped::get(&host, "k").await.unwrap();
    map.poke(10, b"mine");
    host.pull("k", None).await.unwrap();
    assert!(map.peek() == pattern(100));
    set(&host, "k", b"other size").await.unwrap();
    host.pull("k", None).await.unwrap();
    assert!(map.peek() == pattern(100));
    host.push("k", Pushed::Chunks).await.unwrap();
    assert_eq!(world.memory.moved().1, 0);
}
