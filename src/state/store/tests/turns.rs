//! A push of many bytes is applied in turns, between which the other values are there, and what its
//! value was before; one that makes a whole value copies nothing.

use std::os::unix::fs::MetadataExt;

use bytes::Bytes;

use super::support::*;
use super::*;
use crate::wire::state::{List, Version};

/// Pieces of the push, and the bytes of each.
const PIECES: u64 = 8;
const PIECE: u64 = 1 << 20;
const ALL: u64 = PIECES * PIECE;

fn all() -> List {
    List { user: String::new(), prefix: String::new(), after: None, most: 10 }
}

/// What is read without applying anything.
fn read_now(node: &mut Node, name: &str, pull: Pull) -> (Version, Bytes) {
    match node.decide(name, Op::Pull(pull), &Bytes::new()) {
        Decision::Read(plan) => match node.store.read(SHARD, &plan).unwrap() {
            (Answer::Pulled(pulled), bytes) => (pulled.version, bytes),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Stages pieces in this order, from `from` on in the value; the number of the push.
fn stage(node: &mut Node, name: &str, order: &[u64], (from, byte): (u64, u8)) -> u64 {
    let mut number = 0;
    for (nth, piece) in order.iter().enumerate() {
        let id = node.id();
        number = if nth == 0 { id.number } else { number };
        let extents = vec![Extent { off: from + piece * PIECE, len: PIECE }];
        let bytes = vec![byte.wrapping_add(*piece as u8); PIECE as usize];
        let stage = Bulk(Write::Stage { push: number, extents }, bytes);
        node.write_as(name, id, stage).unwrap();
    }
    number
}

/// Logs the push of what was staged; its record.
fn commit(node: &mut Node, name: &str, staged: u64, replace: bool) -> u64 {
    let id = node.id();
    let len = replace.then_some(ALL);
    let push = Push { staged: Some(staged), len, replace, ..plain() };
    match node.decide(name, Op::Write { id, write: Write::Push(push) }, &Bytes::new()) {
        Decision::Append(body) => node.log(body),
        other => panic!("{other:?}"),
    }
}

const ORDER: [u64; PIECES as usize] = [0, 2, 1, 3, 4, 7, 6, 5];

fn push_all(node: &mut Node, replace: bool, byte: u8) -> u64 {
    let staged = stage(node, "large", &ORDER, (0, byte));
    commit(node, "large", staged, replace)
}

fn is_pushed(bytes: &[u8], byte: u8) -> bool {
    bytes
        .chunks(PIECE as usize)
        .zip(0..)
        .all(|(piece, nth): (_, u8)| piece.iter().all(|found| *found == byte.wrapping_add(nth)))
}

/// All of the large value.
fn whole(node: &mut Node) -> Vec<u8> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < ALL {
        let (_, some) = node.read("large", bytes.len() as u64, PIECE).unwrap();
        bytes.extend_from_slice(&some);
    }
    bytes
}

#[test]
fn a_whole_value_becomes_of_what_was_staged_without_a_copy() {
    let dir = folder();
    let mut node = Node::open(dir.path());
    let first = push_all(&mut node, true, 1);
    let files = dir.path().join("values").join(SHARD.0.to_string());
    let inodes = |kind: char| -> Vec<u64> {
        let entries = std::fs::read_dir(&files).unwrap().map(|entry| entry.unwrap());
        let those = entries.filter(|entry| entry.file_name().to_str().unwrap().starts_with(kind));
        those.map(|entry| entry.metadata().unwrap().ino()).collect()
    };
    let staged = inodes('s');
    let turn = node.store.apply_some(SHARD, first, 0).unwrap();
    assert_eq!((turn.reached, turn.part, turn.applied.len()), (first, None, 1), "one turn is all");
    assert_eq!(inodes('v'), staged, "the very file");
    assert!(is_pushed(&whole(&mut node), 1));
    // Later writes go to the file, which has two names until the next checkpoint.
    node.append("large", b"behind it").unwrap();
    node.write("large", push(&[(5000, b"within")])).unwrap();
    for checkpoint in [false, true, true] {
        if checkpoint {
            node.store.checkpoint(0).unwrap();
        }
        node = node.again();
        let bytes = whole(&mut node);
        assert_eq!(&bytes[5000..5006], b"within");
        assert!(is_pushed(&[&bytes[..5000], &[1; 6], &bytes[5006..]].concat(), 1));
        assert_eq!(node.read("large", ALL, 100).unwrap().1, "behind it");
    }
    assert_eq!(inodes('s'), [] as [u64; 0]);
    assert_eq!(inodes('v'), staged);
}

#[test]
fn staged_before_a_checkpoint_and_written_after_a_push_it_is_made_again() {
    let dir = folder();
    let mut node = Node::open(dir.path());
    let staged = stage(&mut node, "large", &ORDER, (0, 1));
    // The checkpoint has what is staged, the log the push and what came behind it.
    node.store.checkpoint(0).unwrap();
    let pushed = commit(&mut node, "large", staged, true);
    node.store.apply(SHARD, pushed, 0).unwrap();
    node.write("large", push(&[(PIECE + 7, b"within")])).unwrap();
    let mut node = node.again();
    let bytes = whole(&mut node);
    let (start, end) = (PIECE as usize + 7, PIECE as usize + 13);
    assert_eq!(&bytes[start..end], b"within");
    assert!(is_pushed(&[&bytes[..start], &[2; 6], &bytes[end..]].concat(), 1));
}

#[test]
fn pieces_that_meet_are_written_one_over_the_other() {
    let dir = folder();
    let mut node = Node::open(dir.path());
    let mut number = 0;
    for (off, byte, len) in [(0, 1_u8, 9000), (4096, 2, 5000), (100, 3, 50)] {
        let id = node.id();
        number = if off == 0 { id.number } else { number };
        let extents = vec![Extent { off, len }];
        let stage = Write::Stage { push: number, extents };
        node.write_as("large", id, Bulk(stage, vec![byte; len as usize])).unwrap();
    }
    let id = node.id();
    let all = Push { staged: Some(number), len: Some(9096), replace: true, ..plain() };
    node.write_as("large", id, Bulk(Write::Push(all), vec![])).unwrap();
    let expected = [vec![1; 100], vec![3; 50], vec![1; 3946], vec![2; 5000]].concat();
    assert_eq!(node.bytes("large"), expected);
    assert_eq!(node.again().bytes("large"), expected);
}

#[test]
fn other_values_need_not_wait_for_a_long_push_and_readers_see_all_of_it_or_none() {
    let dir = folder();
    let mut node = Node::open(dir.path());
    node.append("other", b"0").unwrap();
    let first = push_all(&mut node, true, 1);
    node.store.apply(SHARD, first, 0).unwrap();
    let old = stat(&mut node, "large").unwrap().version;

    let record = push_all(&mut node, false, 9);
    let (mut turns, mut last) = (0, record);
    loop {
        turns += 1;
        let turn = node.store.apply_some(SHARD, last, 0).unwrap();
        if turn.part.is_none() {
            break;
        }
        assert!(turn.applied.iter().all(|(seq, _)| *seq > record));
        assert!(turns == 1 || turn.reached == last, "what is logged behind it is applied");
        for at in [0, 2 * PIECE, 7 * PIECE] {
            let (version, bytes) = read_now(&mut node, "large", range(at, 10));
            let byte = 1 + (at / PIECE) as u8;
            assert_eq!((version, &bytes[..10]), (old, &[byte; 10][..]), "turn {turns}");
        }
        let since = Pull { since: Some(old), ..range(0, ALL) };
        assert_eq!(read_now(&mut node, "large", since).0, old);
        // Another value of the shard; it is written while the push is applied.
        let id = node.id();
        let append = Op::Write { id, write: Write::Append };
        match node.decide("other", append, &Bytes::from_static(b"+")) {
            Decision::Append(body) => last = node.log(body),
            other => panic!("{other:?}"),
        }
        // This one waits.
        let id = node.id();
        let append = Op::Write { id, write: Write::Append };
        let later = node.decide("large", append, &Bytes::from_static(b"+"));
        assert!(matches!(later, Decision::After(seq) if seq == record), "{later:?}");
        assert_eq!(node.store.list(SHARD, &all()).unwrap().len(), 2);
    }
    assert!(turns >= PIECES, "{turns}");
    node.store.apply(SHARD, last, 0).unwrap();
    assert!(is_pushed(&whole(&mut node), 9));
    assert_eq!(node.bytes("other").len() as u64, turns);
    let (version, bytes) = read_now(&mut node, "large", Pull { at: Some(old), ..range(0, PIECE) });
    assert_eq!((version, bytes[9]), (old, 1), "who began before reads on");
    assert!(stat(&mut node, "large").unwrap().version > old);
}

#[test]
fn a_long_push_that_a_crash_cut_short_is_done_again_with_what_came_behind_it() {
    for (replace, stop) in [(false, 1), (false, 4), (false, 7), (true, 1)] {
        for checkpoint in [false, true] {
            let dir = folder();
            let mut node = Node::open(dir.path());
            let first = push_all(&mut node, true, 1);
            node.store.apply(SHARD, first, 0).unwrap();
            let record = push_all(&mut node, replace, 5);
            let mut last = record;
            for _ in 0..stop {
                node.store.apply_some(SHARD, last, 0).unwrap();
                let id = node.id();
                let append = Op::Write { id, write: Write::Append };
                let Decision::Append(body) = node.decide("other", append, &Bytes::from("12"))
                else {
                    panic!("it waits")
                };
                last = node.log(body);
            }
            if checkpoint {
                node.store.checkpoint(0).unwrap();
            }
            node.store.apply_some(SHARD, last, 0).unwrap();
            let mut node = node.again();
            assert!(is_pushed(&whole(&mut node), 5), "{replace} {stop} {checkpoint}");
            assert_eq!(node.bytes("other").len(), 2 * stop, "{replace} {stop} {checkpoint}");
            assert_eq!(stat(&mut node, "other").unwrap().appended, stop as u64);
        }
    }
}
