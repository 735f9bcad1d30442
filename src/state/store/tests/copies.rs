//! Copies that are made whole by a difference while the other side is written.

use bytes::Bytes;
use rand::Rng;

use super::model::{World, seeds};
use super::support::*;
use super::*;

/// One step of the talk: what the importer asks next.
fn step(from: &Node, to: &Store, request: &Bytes) -> Option<Bytes> {
    let part = from.store.export(SHARD, request, from.now).unwrap();
    assert!(part.len() <= (1 << 20) + (64 << 10), "{} bytes", part.len());
    to.import(SHARD, &part).unwrap()
}

/// Gives a copy the log behind what it has.
fn follow(from: &Node, to: &Store) {
    loop {
        let last = to.opened(SHARD).unwrap().last;
        let records = from.store.log_read(SHARD, last + 1, 1 << 20).unwrap();
        if records.is_empty() {
            break;
        }
        to.write(&[LogWrite::Append(SHARD, records)]).unwrap();
    }
    let last = to.opened(SHARD).unwrap().last;
    to.apply(SHARD, last, 0).unwrap();
}

fn same(one: &Store, other: &Store) {
    let (one, other) = (one.shard(SHARD).unwrap().lock(), other.shard(SHARD).unwrap().lock());
    let (one, other) = (&one.values, &other.values);
    assert_eq!((one.applied, one.term), (other.applied, other.term));
    assert_eq!(one.keys, other.keys);
    let brief = |values: &crate::state::values::Values| {
        let sessions = values.sessions.all.iter();
        sessions
            .map(|(id, session)| {
                let known = |(number, w): (&u64, &crate::wire::state::Written)| {
                    (*number, w.version, w.len, w.at)
                };
                (*id, session.settled, session.answers.iter().map(known).collect::<Vec<_>>())
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(brief(one), brief(other));
    let staged = |values: &crate::state::values::Values| {
        let staged = values.staged.iter();
        staged
            .map(|(id, staged)| (*id, staged.key.clone(), staged.pieces().to_vec()))
            .collect::<Vec<_>>()
    };
    assert_eq!(staged(one), staged(other));
}

#[test]
fn a_difference_and_the_log_behind_it_make_a_copy_equal_under_writes() {
    for seed in seeds(6) {
        let mut world = World::new(seed);
        let dir = folder();
        let mut to = Store::open(Node::options(dir.path()), 0).unwrap();
        for round in 0..6 {
            // The first difference is of everything, the later ones of what changed since.
            for _ in 0..world.rng.random_range(0..60) {
                world.change();
            }
            if world.rng.random_bool(0.5) {
                world.checkpoint();
            }
            let opened = world.node.store.opened(SHARD).unwrap();
            let term = opened.starts.iter().rev().find(|(_, first)| *first <= opened.last);
            let base = (term.map_or(opened.before.0, |(term, _)| *term), opened.last);
            let mut next = Some(to.import_begin(SHARD, base).unwrap());
            let (mut steps, mut whole) = (0, true);
            while let Some(request) = next {
                next = step(&world.node, &to, &request);
                steps += 1;
                // Now and then the importer dies in the middle: it is blank then.
                if next.is_some() && round % 2 == 1 && world.rng.random_bool(0.1) {
                    whole = false;
                    break;
                }
                for _ in 0..world.rng.random_range(0..6) {
                    world.change();
                    assert!(steps < 10_000, "it does not end");
                }
            }
            drop(to);
            to = Store::open(Node::options(dir.path()), 0).unwrap();
            let opened = to.opened(SHARD).unwrap();
            assert_eq!(opened.blank, !whole);
            if whole {
                assert_eq!((opened.before, opened.applied), (base, base.1));
                follow(&world.node, &to);
                same(&world.node.store, &to);
            }
        }
        let last = world.node.last();
        let mut next = Some(to.import_begin(SHARD, (world.node.term, last)).unwrap());
        while let Some(request) = next {
            next = step(&world.node, &to, &request);
        }
        // It serves what the other one served, also what had to be read again.
        let (node, dir) = (&mut world.node, folder());
        std::mem::swap(&mut node.store, &mut to);
        world.check();
        drop(dir);
    }
}

#[test]
fn large_and_many_values_are_exported_in_parts() {
    let (one, other) = (folder(), folder());
    let mut node = Node::open(one.path());
    let large: Vec<u8> =
        (0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for piece in 0..130 {
        node.write("large", push(&[(piece << 20, &large)])).unwrap();
    }
    node.write("sparse", Write::Create { len: 100 << 30 }).unwrap();
    node.write("sparse", push(&[(99 << 30, b"far")])).unwrap();
    for n in 0..300 {
        node.append("log", &[7; 40]).unwrap();
        node.write(&format!("small{n}"), push(&[(n, b"x")])).unwrap();
    }
    let to = Store::open(Node::options(other.path()), 0).unwrap();
    let base = (node.term, node.last());
    let count = |node: &Node, to: &Store| {
        let (mut next, mut steps) = (Some(to.import_begin(SHARD, base).unwrap()), 0);
        while let Some(request) = next {
            next = step(node, to, &request);
            steps += 1;
        }
        steps
    };
    let steps = count(&node, &to);
    assert!((140..200).contains(&steps), "{steps} steps");
    same(&node.store, &to);
    let steps = count(&node, &to);
    assert!(steps < 10, "{steps} steps, though nothing is missing");
    node.store = to;
    assert_eq!(node.read("sparse", 99 << 30, 3).unwrap().1[..3], *b"far");
    let tail = node.read("large", 129 << 20, 1 << 20).unwrap().1;
    assert!(tail == large);
}

#[test]
fn a_blank_copy_exports_nothing() {
    let dir = folder();
    let node = Node::open(dir.path());
    let request = node.store.import_begin(SHARD, (0, 0)).unwrap();
    assert!(matches!(node.store.export(SHARD, &request, 0), Err(StoreError::Misuse(_))));
    let bad = Bytes::from_static(b"\x05\0\0\0nonsense");
    assert!(matches!(node.store.export(SHARD, &bad, 0), Err(StoreError::Misuse(_))));
    assert!(matches!(node.store.import(SHARD, &bad), Err(StoreError::Copy { .. })));
}
