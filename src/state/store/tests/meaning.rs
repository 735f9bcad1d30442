//! What operations mean while others are under way: fences, repeats, staged bytes, quotas.

use bytes::Bytes;

use super::support::*;
use super::*;
use crate::state::values::{KEY_COST, SNAPSHOT_MS, STAGED_MS};
use crate::wire::locks::{Mode, Proof};
use crate::wire::state::WriteId;

fn node() -> (tempfile::TempDir, Node) {
    let dir = folder();
    let node = Node::open(dir.path());
    (dir, node)
}

fn start(node: &mut Node, name: &str, bulk: Bulk) -> (WriteId, Decision) {
    let id = node.id();
    (id, node.decide(name, Op::Write { id, write: bulk.0 }, &bulk.1.into()))
}

fn record(decision: Decision) -> Bytes {
    match decision {
        Decision::Append(body) | Decision::Fence(body) => body,
        other => panic!("{other:?}"),
    }
}

fn append(bytes: &[u8]) -> Bulk {
    Bulk(Write::Append, bytes.to_vec())
}

#[test]
fn many_appends_are_under_way_at_once_and_lie_one_behind_the_other() {
    let (_dir, mut node) = node();
    let mut ids = Vec::new();
    for n in 0..50_u8 {
        let (id, decision) = start(&mut node, "a", append(&[n; 100]));
        node.log(record(decision));
        ids.push(id);
    }
    assert_eq!(stat(&mut node, "a"), None, "none of them is committed");
    let last = node.last();
    let all = node.store.apply(SHARD, last, 0).unwrap();
    for (n, ((seq, applied), id)) in all.into_iter().zip(ids).enumerate() {
        let (whose, written) = applied.written.unwrap();
        assert_eq!((seq, whose, written.at), (n as u64 + 1, id, n as u64 * 100));
    }
    let expected: Vec<u8> = (0..50).flat_map(|n| [n; 100]).collect();
    assert_eq!(node.bytes("a"), expected);
    let op = Op::Appended { most: 3, off: 150, at: None };
    let (answer, bytes) = node.ask("a", op, vec![]);
    assert_eq!(bytes, &expected[150..300]);
    assert!(matches!(answer, Answer::Pulled(pulled) if pulled.len == 300 && pulled.done == 300));
}

#[test]
fn a_refusal_and_a_repeat_wait_for_what_is_not_committed() {
    let (_dir, mut node) = node();
    let (id, made) = start(&mut node, "a", Write::Create { len: 5 }.into());
    let body = record(made);
    node.log(body);
    let (_, again) = start(&mut node, "a", Write::Create { len: 5 }.into());
    assert!(matches!(again, Decision::After(1)), "{again:?}");
    let op = Op::Write { id, write: Write::Create { len: 5 } };
    let repeat = node.decide("a", op.clone(), &Bytes::new());
    assert!(matches!(repeat, Decision::After(1)), "{repeat:?}");
    // The record is cut off: it never was.
    node.store.write(&[LogWrite::Truncate(SHARD, 0)]).unwrap();
    node.store.forget_head(SHARD).unwrap();
    let made = node.decide("a", op, &Bytes::new());
    assert!(matches!(made, Decision::Append(_)), "{made:?}");
}

#[test]
fn an_answer_is_given_again_also_after_a_start_and_forgotten_when_settled() {
    let (_dir, mut node) = node();
    let id = node.id();
    let first = node.write_as("a", id, append(b"once")).unwrap();
    for _ in 0..2 {
        assert_eq!(node.write_as("a", id, append(b"once")).unwrap(), first);
        node.store.checkpoint(0).unwrap();
        let last = node.last();
        node.store.compact(SHARD, last).unwrap();
        node = node.again();
    }
    assert_eq!(node.bytes("a"), b"once");
    node.settled = 2;
    node.number = 1;
    node.append("a", b"two").unwrap();
    let late = node.write_as("a", id, append(b"once")).unwrap_err();
    assert!(matches!(late, Refusal::Invalid(_)), "{late:?}");
    let ahead = WriteId { number: 100_000, ..node.id() };
    assert!(matches!(node.write_as("a", ahead, append(b"")), Err(Refusal::Invalid(_))));
    let over = node.store.overdue(SHARD, 0, &|_| true).unwrap().unwrap();
    let seq = node.log(over);
    node.store.apply(SHARD, seq, 0).unwrap();
    assert!(node.store.overdue(SHARD, 0, &|_| true).unwrap().is_none());
}

fn proof(token: u64, mode: Mode) -> Option<Proof> {
    Some(Proof { token, mode, epoch: 1 })
}

#[test]
fn a_newer_holder_is_recorded_before_it_is_answered_and_fences_the_older_also_after_delete() {
    let (_dir, mut node) = node();
    node.write("a", push(&[(0, b"x")])).unwrap();
    node.proof = proof(7, Mode::Write);
    // Even a pull is logged first.
    let pull = Op::Pull(range(0, 1));
    let fence = node.decide("a", pull.clone(), &Bytes::new());
    assert!(matches!(fence, Decision::Fence(_)), "{fence:?}");
    let seq = node.log(record(fence));
    let wait = node.decide("a", pull.clone(), &Bytes::new());
    assert!(matches!(wait, Decision::After(s) if s == seq), "{wait:?}");
    node.store.apply(SHARD, seq, 0).unwrap();
    assert!(matches!(node.decide("a", pull.clone(), &Bytes::new()), Decision::Read(_)));
    node.write("a", Write::Delete { only: Only::Any }).unwrap();
    node.store.checkpoint(0).unwrap();
    let last = node.last();
    node.store.compact(SHARD, last).unwrap();
    node = node.again();
    node.proof = proof(6, Mode::Write);
    assert_eq!(node.write("a", push(&[(0, b"y")])).unwrap_err(), Refusal::LockLost);
    assert_eq!(node.ask("a", pull, vec![]).0, Answer::Refused(Refusal::LockLost));
    node.proof = proof(8, Mode::Read);
    assert_eq!(node.write("a", push(&[(0, b"y")])).unwrap_err(), Refusal::ReadLock);
    // That was an answer too.
    node.proof = proof(7, Mode::Write);
    assert_eq!(node.write("a", push(&[(0, b"y")])).unwrap_err(), Refusal::LockLost);
    node.proof = None;
    node.write("a", push(&[(0, b"y")])).unwrap();
    assert_eq!(stat(&mut node, "a").unwrap().token, 8);
}

#[test]
fn a_new_generation_is_stale_to_those_who_knew_the_old_one() {
    let (_dir, mut node) = node();
    let first = node.write("a", Write::Create { len: 3 }).unwrap().version;
    node.write("a", Write::Delete { only: Only::Version(first) }).unwrap();
    let old = |only| with(Push { only, ..plain() }, &[(0, b"z")]);
    let generation = Only::Generation(first.generation);
    assert_eq!(node.write("a", old(generation)).unwrap_err(), Refusal::Stale);
    let second = node.write("a", Write::Create { len: 3 }).unwrap().version;
    assert!(second.generation > first.generation && second.seq > first.seq);
    assert_eq!(node.write("a", old(generation)).unwrap_err(), Refusal::Stale);
    let mismatch = Refusal::Mismatch(Some(second));
    assert_eq!(node.write("a", old(Only::Version(first))).unwrap_err(), mismatch);
    node.write("a", old(Only::Generation(second.generation))).unwrap();
}

#[test]
fn staged_bytes_are_seen_all_at_once_and_given_up_in_time() {
    let (_dir, mut node) = node();
    let stage = |node: &mut Node, push: Option<u64>, off: u64| {
        let id = node.id();
        let (extents, bytes) = split(&[(off, b"staged")]);
        let push = push.unwrap_or(id.number);
        node.write_as("a", id, Bulk(Write::Stage { push, extents }, bytes)).map(|_| push)
    };
    let first = stage(&mut node, None, 0).unwrap();
    stage(&mut node, Some(first), 10_000).unwrap();
    assert_eq!(stat(&mut node, "a"), None);
    node.store.checkpoint(0).unwrap();
    node = node.again();
    let commit = Write::Push(Push { staged: Some(first), ..plain() });
    let written = node.write("a", commit.clone()).unwrap();
    assert_eq!(written.len, 10_006);
    // A start does the push again, of bytes that were staged before the checkpoint.
    node = node.again();
    assert_eq!(&node.bytes("a")[10_000..], b"staged");
    assert_eq!(node.write("a", commit).unwrap_err(), Refusal::Again, "it is used");

    let second = stage(&mut node, None, 0).unwrap();
    assert!(node.store.overdue(SHARD, STAGED_MS - 1, &|_| false).unwrap().is_none());
    let over = node.store.overdue(SHARD, STAGED_MS, &|_| false).unwrap().unwrap();
    let seq = node.log(over);
    node.store.apply(SHARD, seq, 0).unwrap();
    assert_eq!(stage(&mut node, Some(second), 1).unwrap_err(), Refusal::Again);
    let commit = Write::Push(Push { staged: Some(second), ..plain() });
    assert_eq!(node.write("a", commit).unwrap_err(), Refusal::Again);
}

#[test]
fn quotas_and_lengths_bound_a_value() {
    let (_dir, mut node) = node();
    node.write("a", push(&[(0, &[1; 8_192])])).unwrap();
    assert_eq!(node.store.usage(SHARD, "u").unwrap(), (8_192 + KEY_COST, 0));
    node.room = 10;
    assert!(matches!(node.append("a", &[1; 11]), Err(Refusal::TooBig(_))));
    assert!(matches!(node.write("b", push(&[(0, &[1; 1])])), Err(Refusal::TooBig(_))));
    node.write("a", push(&[(0, &[2; 8_192])])).unwrap();
    let same = Push { replace: true, len: Some(8_192), ..plain() };
    node.write("a", with(same, &[(0, &[3; 8_192])])).unwrap();
    node.write("a", Write::ClearAppended).unwrap();
    assert_eq!(node.store.usage(SHARD, "u").unwrap(), (KEY_COST, 0));
    node.room = u64::MAX;
    let long = Write::Create { len: (1 << 40) + 1 };
    assert!(matches!(node.write("c", long), Err(Refusal::TooBig(_))));
    let far = push(&[((1 << 40) - 1, b"xy")]);
    assert!(matches!(node.write("c", far), Err(Refusal::Invalid(_))));
    let cut = with(Push { len: Some(1), ..plain() }, &[(0, b"xy")]);
    assert!(matches!(node.write("c", cut), Err(Refusal::Invalid(_))));
}

#[test]
fn values_without_bytes_and_writes_that_are_not_applied_count_for_a_quota() {
    let (_dir, mut node) = node();
    let room = 100 * KEY_COST;
    let mut made = 0;
    for name in 0..1_000 {
        // Nothing is applied meanwhile.
        node.room = room - node.store.usage(SHARD, "u").unwrap().0;
        let write = if name % 2 == 0 { Write::Create { len: 0 } } else { Write::Append };
        let id = node.id();
        match node.decide(&name.to_string(), Op::Write { id, write }, &Bytes::new()) {
            Decision::Append(body) => drop(node.log(body)),
            Decision::Answer(Answer::Refused(Refusal::TooBig(why))) => {
                assert!(why.contains("quota of u leaves 0 bytes"), "{why}");
                continue;
            }
            other => panic!("{other:?}"),
        }
        made += 1;
    }
    assert_eq!(made, 100);
    let last = node.last();
    node.store.apply(SHARD, last, 0).unwrap();
    assert_eq!(node.store.usage(SHARD, "u").unwrap(), (room, 0));
    node.write("0", Write::Delete { only: Only::Any }).unwrap();
    assert_eq!(node.store.usage(SHARD, "u").unwrap(), (room - KEY_COST, 0));
}

#[test]
fn what_is_staged_counts_until_it_is_used_or_given_up() {
    let (_dir, mut node) = node();
    let stage = |node: &mut Node, push: Option<u64>, at: u64| {
        let id = node.id();
        let extents = vec![Extent { off: at * 4_096, len: 4_096 }];
        let stage = Write::Stage { push: push.unwrap_or(id.number), extents };
        node.write_as("a", id, Bulk(stage, vec![1; 4_096])).map(|_| id.number)
    };
    let first = stage(&mut node, None, 0).unwrap();
    stage(&mut node, Some(first), 1).unwrap();
    assert_eq!(node.store.usage(SHARD, "u").unwrap(), (0, 8_192 + KEY_COST));
    node.room = 4_096;
    assert!(matches!(stage(&mut node, Some(first), 2), Err(Refusal::TooBig(_))));
    node.room = 8_192 + KEY_COST;
    let id = node.id();
    let write = Write::Push(Push { staged: Some(first), ..plain() });
    let Decision::Append(body) = node.decide("a", Op::Write { id, write }, &Bytes::new()) else {
        panic!("it fits exactly")
    };
    let seq = node.log(body);
    let (used, _) = node.store.usage(SHARD, "u").unwrap();
    assert!(used >= 8_192 + KEY_COST, "it is logged: {used}");
    node.store.apply(SHARD, seq, 0).unwrap();
    assert_eq!(node.store.usage(SHARD, "u").unwrap(), (8_192 + KEY_COST, 0));
}

#[test]
fn the_longest_record_is_one_message_between_copies() {
    let (_dir, mut node) = node();
    let (one, count) = (vec![1; 512], 2_048_u64);
    let parts: Vec<_> = (0..count).map(|n| (n * 1_000, &one[..])).collect();
    let long = "k".repeat(512);
    for staged in [false, true] {
        let bulk = if staged {
            let (extents, bytes) = split(&parts);
            Bulk(Write::Stage { push: node.number + 1, extents }, bytes)
        } else {
            push(&parts)
        };
        assert_eq!(bulk.1.len(), 1 << 20);
        let body = record(start(&mut node, &long, bulk).1);
        assert!(body.len() <= (1 << 20) + (64 << 10), "{} bytes", body.len());
        let seq = node.log(body);
        let all = node.store.apply(SHARD, seq, 0).unwrap();
        let (_, written) = all[0].1.written.clone().unwrap();
        assert_eq!(written.parts.len(), if staged { 0 } else { 500 });
    }
}

#[test]
fn a_version_can_be_read_at_for_a_while_and_not_for_ever() {
    let (_dir, mut node) = node();
    node.write("a", push(&[(0, &[1; 10_000])])).unwrap();
    let (first, _) = node.read("a", 0, 4_096).unwrap();
    let at = |node: &mut Node| {
        let rest = Pull { at: Some(first.version), ..range(first.done, 10_000) };
        node.pull("a", rest).map(|(_, bytes)| bytes.iter().all(|byte| *byte == 1))
    };
    node.write("a", push(&[(0, &[2; 10_000])])).unwrap();
    node.write("a", with(Push { len: Some(5_000), ..plain() }, &[])).unwrap();
    assert_eq!(at(&mut node), Ok(true));
    node.write("a", with(Push { replace: true, ..plain() }, &[(0, b"new")])).unwrap();
    assert_eq!(at(&mut node), Ok(true));
    node.write("a", Write::Delete { only: Only::Any }).unwrap();
    node.store.checkpoint(0).unwrap();
    assert_eq!(at(&mut node), Ok(true), "of what is deleted too");
    node.now = SNAPSHOT_MS;
    assert_eq!(at(&mut node), Err(Refusal::Again));
    let last = node.last();
    node.store.compact(SHARD, last).unwrap();
    node.store.checkpoint(node.now).unwrap();
    let files = std::fs::read_dir(node.dir.join("values/3")).unwrap();
    let names = files.flatten().map(|file| file.file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| name.starts_with("meta")), "the space is given back");
}

#[test]
fn elements_that_are_forgotten_while_they_are_read_are_no_damage() {
    let (_dir, mut node) = node();
    node.append("a", b"one").unwrap();
    let op = Op::Appended { most: 1, off: 0, at: None };
    let Decision::Read(plan) = node.decide("a", op, &Bytes::new()) else { panic!("not read") };
    node.write("a", Write::ClearAppended).unwrap();
    node.store.checkpoint(0).unwrap();
    let (answer, _) = node.store.read(SHARD, &plan).unwrap();
    assert_eq!(answer, Answer::Refused(Refusal::Again));
    assert_eq!(node.store.opened(SHARD).unwrap().damage, None);
}

#[test]
fn a_read_under_way_is_not_torn_by_a_write() {
    let (_dir, mut node) = node();
    node.write("a", push(&[(0, &[1; 8_000])])).unwrap();
    let Decision::Read(plan) = node.decide("a", Op::Pull(range(0, 8_000)), &Bytes::new()) else {
        panic!("it is not read");
    };
    node.write("a", push(&[(0, &[2; 8_000])])).unwrap();
    let (_, bytes) = node.store.read(SHARD, &plan).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 1));
}

#[test]
fn the_log_is_cut_off_and_compacted_and_told_so_after_a_start() {
    let (_dir, mut node) = node();
    for term in [1, 1, 2, 2, 5_u64] {
        node.term = term << 24;
        node.append("a", &[term as u8]).unwrap();
    }
    let term = |n: u64| n << 24;
    let read = |node: &Node, from| {
        let records = node.store.log_read(SHARD, from, 1 << 20).unwrap();
        records.iter().map(|record| (record.term >> 24, record.seq)).collect::<Vec<_>>()
    };
    let opened = node.store.opened(SHARD).unwrap();
    assert_eq!(opened.starts, [(term(1), 1), (term(2), 3), (term(5), 5)]);
    assert_eq!(read(&node, 2), [(1, 2), (2, 3), (2, 4), (5, 5)]);
    node.store.compact(SHARD, 3).unwrap();
    let (compacted, failed) = node.store.checkpoint(0).unwrap();
    assert_eq!((compacted, failed), (vec![(SHARD, 3)], vec![]));
    let record = |term, seq| Record { term, seq, body: Bytes::new() };
    node.store
        .write(&[LogWrite::Append(SHARD, vec![record(term(6), 6), record(term(6), 7)])])
        .unwrap();
    node.store.write(&[LogWrite::Truncate(SHARD, 5)]).unwrap();
    for _ in 0..2 {
        let opened = node.store.opened(SHARD).unwrap();
        assert_eq!(opened.before, (term(2), 3));
        assert_eq!((opened.last, opened.applied), (5, 5));
        assert_eq!(opened.starts.last(), Some(&(term(5), 5)));
        assert_eq!(read(&node, 3), []);
        assert_eq!(read(&node, 4), [(2, 4), (5, 5)]);
        assert_eq!(read(&node, 6), []);
        node = node.again();
    }
    node.store.write(&[LogWrite::Append(SHARD, vec![record(term(7), 6)])]).unwrap();
    node = node.again();
    assert_eq!(read(&node, 5), [(5, 5), (7, 6)]);
    let gap = node.store.write(&[LogWrite::Append(SHARD, vec![record(term(7), 8)])]);
    assert!(matches!(gap, Err(StoreError::Misuse(_))));
    let late = node.store.write(&[LogWrite::Truncate(SHARD, 2)]);
    assert!(matches!(late, Err(StoreError::Misuse(_))));
    let last = node.last();
    let many = [
        LogWrite::Append(SHARD, vec![record(term(7), last + 1)]),
        LogWrite::Truncate(SHARD, last),
        LogWrite::Append(ShardId(9), vec![record(term(1), 1)]),
        LogWrite::Append(SHARD, vec![record(term(8), last + 1)]),
    ];
    node.store.write(&many).unwrap();
    node = node.again();
    assert_eq!(read(&node, last + 1), [(8, last + 1)]);
    assert_eq!(node.store.opened(ShardId(9)).unwrap().last, 1);
    assert!(node.store.opened(ShardId(10)).unwrap().is_new);
    assert!(!node.store.opened(ShardId(9)).unwrap().is_new);
}

#[test]
fn elements_are_read_piece_by_piece_as_of_one_version() {
    let (_dir, mut node) = node();
    let mut expected = Vec::new();
    for n in 0..40_u8 {
        let element = vec![n; 70_000 + usize::from(n)];
        node.append("a", &element).unwrap();
        expected.extend(element);
    }
    let (mut got, mut at, mut len) = (Vec::new(), None, u64::MAX);
    while (got.len() as u64) < len {
        let op = Op::Appended { most: u64::MAX, off: got.len() as u64, at };
        let (answer, bytes) = node.ask("a", op, vec![]);
        let Answer::Pulled(pulled) = answer else { panic!("{answer:?}") };
        assert!(!bytes.is_empty() && bytes.len() <= 1 << 20);
        (at, len) = (Some(pulled.version), pulled.len);
        got.extend(bytes);
        assert_eq!(pulled.done, got.len() as u64);
        // It is appended to, and what lies there is written over.
        node.append("a", b"later").unwrap();
        node.write("a", push(&[(0, b"later"), (1_500_000, b"later")])).unwrap();
    }
    assert!(got == expected);
}

#[test]
fn nothing_is_decided_behind_a_record_that_is_not_known() {
    let dir = folder();
    let mut node = Node::open(dir.path());
    node.append("list", b"one").unwrap();
    let append = |id| Op::Write { id, write: Write::Append };
    let (two, three) = (Bytes::from_static(b"two"), Bytes::from_static(b"three"));
    let (op, later) = (append(node.id()), append(node.id()));
    let Decision::Append(body) = node.decide("list", op, &two) else { panic!("not appended") };
    let seq = node.log(body);
    // As if the node had just begun to own the shard: the record is logged, not noted nor applied.
    node.store.forget_head(SHARD).unwrap();
    for (op, body) in [(later.clone(), &three), (Op::Stat, &Bytes::new())] {
        let decision = node.decide("list", op, body);
        let refused = matches!(decision, Decision::Answer(Answer::Refused(Refusal::NotOwner)));
        assert!(refused, "{decision:?}");
    }
    node.store.apply(SHARD, seq, 0).unwrap();
    assert!(matches!(node.ask("list", later, three.to_vec()).0, Answer::Written(_)));
    assert_eq!(node.bytes("list"), b"onetwothree");
}
