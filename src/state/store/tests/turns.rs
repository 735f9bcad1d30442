//! A push of many bytes is applied in turns, between which the other values are there.

use bytes::Bytes;

use super::support::*;
use super::*;
use crate::wire::state::List;

/// Pieces of the push, and the bytes of each.
const PIECES: u64 = 8;
const PIECE: u64 = 1 << 20;

fn all() -> List {
    List { user: String::new(), prefix: String::new(), after: None, most: 10 }
}

/// What is read of a small value without applying anything.
fn now(node: &mut Node, name: &str) -> Bytes {
    match node.decide(name, Op::Pull(range(0, 100)), &Bytes::new()) {
        Decision::Read(plan) => node.store.read(SHARD, &plan).unwrap().1,
        other => panic!("{other:?}"),
    }
}

/// Stages all of a value, and logs the push of it; its record.
fn push_all(node: &mut Node, replace: bool, byte: u8) -> u64 {
    let (mut staged, mut number) = (0, 0);
    for piece in 0..PIECES {
        let id = node.id();
        number = if piece == 0 { id.number } else { number };
        let extents = vec![Extent { off: piece * PIECE, len: PIECE }];
        let stage = Bulk(Write::Stage { push: number, extents }, vec![byte; PIECE as usize]);
        node.write_as("large", id, stage).unwrap();
        staged += PIECE;
    }
    let id = node.id();
    let all = Push { staged: Some(number), len: Some(staged), replace, ..plain() };
    match node.decide("large", Op::Write { id, write: Write::Push(all) }, &Bytes::new()) {
        Decision::Append(body) => node.log(body),
        other => panic!("{other:?}"),
    }
}

fn holds(node: &mut Node, byte: u8) -> bool {
    let mut pieces = (0..PIECES).map(|piece| piece * PIECE);
    pieces.all(|off| node.read("large", off, PIECE).unwrap().1 == vec![byte; PIECE as usize])
}

#[test]
fn other_values_need_not_wait_for_all_of_a_long_push() {
    for replace in [false, true] {
        let dir = folder();
        let mut node = Node::open(dir.path());
        node.write("other", push(&[(0, b"small")])).unwrap();
        let first = push_all(&mut node, true, 1);
        node.store.apply(SHARD, first, 0).unwrap();
        let reader = node.read("large", 0, 10).unwrap().0.version;

        let record = push_all(&mut node, replace, 2);
        let (mut turns, mut applied) = (1, Vec::new());
        while !node.store.apply_some(SHARD, record, 0, &mut applied).unwrap() {
            turns += 1;
            assert!(applied.is_empty());
            assert_eq!(now(&mut node, "other"), "small");
            let pull = Op::Pull(range(0, 1));
            let later = node.decide("large", pull, &Bytes::new());
            assert!(matches!(later, Decision::After(seq) if seq == record), "{later:?}");
            assert_eq!(node.store.list(SHARD, &all()).unwrap().len(), 2, "both are listed");
        }
        assert_eq!(turns, PIECES, "one for each piece");
        assert_eq!(applied.len(), 1);
        assert!(holds(&mut node, 2));
        let old = Pull { at: Some(reader), ..range(PIECE, PIECE) };
        assert_eq!(node.pull("large", old).unwrap().1, vec![1; PIECE as usize]);
    }
}

#[test]
fn a_long_push_that_a_crash_cut_short_is_done_again() {
    for replace in [false, true] {
        let dir = folder();
        let mut node = Node::open(dir.path());
        let first = push_all(&mut node, true, 1);
        node.store.apply(SHARD, first, 0).unwrap();
        let record = push_all(&mut node, replace, 2);
        for _ in 0..3 {
            assert!(!node.store.apply_some(SHARD, record, 0, &mut Vec::new()).unwrap());
        }
        node.store.checkpoint(0).unwrap();
        assert!(!node.store.apply_some(SHARD, record, 0, &mut Vec::new()).unwrap());
        let mut node = node.again();
        assert!(holds(&mut node, 2), "replaced: {replace}");
    }
}
