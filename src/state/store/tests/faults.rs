//! Damaged files and full disks.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::model::{copy_tree, seeds};
use super::support::*;
use super::*;
use crate::state::values::SNAPSHOT_MS;

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        if entry.path().is_dir() {
            all.extend(files(&entry.path()));
        } else {
            all.push(entry.path());
        }
    }
    all.sort();
    all
}

fn flip(path: &Path, at: u64) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 4], at).unwrap();
}

fn find(node: &Node, kind: char) -> PathBuf {
    // What is held back is on no disk yet.
    node.store.shard(SHARD).unwrap().lock().files.flush().unwrap();
    let all = files(&node.dir.join("values").join(SHARD.0.to_string()));
    let of_kind = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(kind);
    all.into_iter().find(of_kind).unwrap()
}

fn is_damaged<T: std::fmt::Debug>(node: &Node, result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Copy { shard: SHARD, .. })), "{result:?}");
    let opened = node.store.opened(SHARD).unwrap();
    assert!(opened.blank && opened.damage.is_some());
    assert!(!node.store.opened(ShardId(4)).unwrap().blank, "the others are as they were");
}

fn try_read(node: &mut Node, name: &str) -> Result<(Answer, bytes::Bytes), StoreError> {
    match node.decide(name, Op::Pull(range(0, 1 << 40)), &bytes::Bytes::new()) {
        Decision::Read(plan) => node.store.read(SHARD, &plan),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_value_of_which_a_bit_or_the_end_or_all_is_lost_is_never_served() {
    let losses: [fn(&Path); 3] = [
        |path| flip(path, 4_100),
        |path| std::fs::File::options().write(true).open(path).unwrap().set_len(4_099).unwrap(),
        |path| std::fs::remove_file(path).unwrap(),
    ];
    for lose in losses {
        let dir = folder();
        let mut node = Node::open(dir.path());
        node.write("a", push(&[(0, &[1; 5_000])])).unwrap();
        node.store.checkpoint(0).unwrap();
        node = node.again();
        lose(&find(&node, 'v'));
        let read = try_read(&mut node, "a");
        is_damaged(&node, read);
        let opened = node.store.wipe(SHARD, true).unwrap();
        assert!(opened.blank && opened.damage.is_none());
        assert!(node.again().store.opened(SHARD).unwrap().blank, "also after a start");
    }
}

#[test]
fn what_lies_beside_a_damaged_chunk_is_not_hashed_anew() {
    let dir = folder();
    let mut node = Node::open(dir.path());
    node.write("a", push(&[(0, &[1; 5_000])])).unwrap();
    flip(&find(&node, 'v'), 100);
    let Bulk(write, bytes) = push(&[(7, b"x")]);
    let id = node.id();
    let Decision::Append(body) = node.decide("a", Op::Write { id, write }, &bytes.into()) else {
        panic!("it is not logged");
    };
    let seq = node.log(body);
    let applied = node.store.apply(SHARD, seq, 0);
    is_damaged(&node, applied);
}

/// A copy that is made again finds files of its life before, an interrupted one those of later
/// records.
#[test]
fn what_a_file_holds_where_nothing_was_written_does_not_count() {
    let dir = folder();
    let mut node = Node::open(dir.path());
    node.write("a", with(Push { len: Some(20_000), ..plain() }, &[(0, b"x")])).unwrap();
    let file = std::fs::File::options().write(true).open(find(&node, 'v')).unwrap();
    file.write_all_at(&[9; 10_000], 4_096).unwrap();
    node.write("a", push(&[(8_200, b"y")])).unwrap();
    let bytes = node.bytes("a");
    assert_eq!((bytes[0], bytes[8_200]), (b'x', b'y'));
    assert_eq!(bytes.iter().filter(|byte| **byte != 0).count(), 2);
}

#[test]
fn damaged_bounds_staged_bytes_and_checkpoints_are_found() {
    let dir = folder();
    let mut node = Node::open(dir.path());
    node.append("a", b"one").unwrap();
    flip(&find(&node, 'b'), 9);
    let op = Op::Appended { most: 1, off: 0, at: None };
    let Decision::Read(plan) = node.decide("a", op, &bytes::Bytes::new()) else { panic!() };
    let read = node.store.read(SHARD, &plan);
    is_damaged(&node, read);
    node.store.wipe(SHARD, false).unwrap();

    // What is packed is read when it is pushed; what lies where it belongs, when it is read.
    for (off, kind) in [(1, 'p'), (0, 's')] {
        let id = node.id();
        let (extents, bytes) = split(&[(off, b"staged")]);
        let stage = Bulk(Write::Stage { push: id.number, extents }, bytes);
        node.write_as("a", id, stage).unwrap();
        flip(&find(&node, kind), 2);
        let (staged, write) = (Some(id.number), node.id());
        let op = Op::Write { id: write, write: Write::Push(Push { staged, ..plain() }) };
        let Decision::Append(body) = node.decide("a", op, &bytes::Bytes::new()) else { panic!() };
        let seq = node.log(body);
        let applied = node.store.apply(SHARD, seq, 0);
        if kind == 'p' {
            is_damaged(&node, applied);
        } else {
            let read = try_read(&mut node, "a");
            is_damaged(&node, read);
        }
        node.store.wipe(SHARD, false).unwrap();
    }

    for cut in [false, true] {
        node.write("a", push(&[(0, b"x")])).unwrap();
        node.store.checkpoint(0).unwrap();
        let path = find(&node, 'm');
        match cut {
            true => std::fs::File::options().write(true).open(path).unwrap().set_len(30).unwrap(),
            false => flip(&path, 30),
        }
        node = node.again();
        let opened = node.store.opened(SHARD).unwrap();
        assert!(opened.blank && opened.damage.is_some(), "{opened:?}");
        node.store.wipe(SHARD, false).unwrap();
    }
}

/// Whatever bit is lost, a store that was closed in order serves what was written or nothing. Only
/// the log's end may be lost without a word: other copies have it.
#[test]
fn no_single_damage_makes_a_store_serve_what_was_never_written() {
    let mut rng = StdRng::seed_from_u64(0);
    let dir = folder();
    let mut node = Node::open(dir.path());
    let mut states = vec![None];
    for step in 0..12_u8 {
        let bytes = vec![step; rng.random_range(1..6_000)];
        node.write("a", push(&[(rng.random_range(0..9_000), &bytes)])).unwrap();
        node.append("a", &[step; 10]).unwrap();
        states.push(Some(node.bytes("a")));
        if step == 5 {
            node.store.checkpoint(0).unwrap();
        }
    }
    node.store.checkpoint(0).unwrap();
    drop(node.store);
    for seed in seeds(60) {
        let (mut rng, broken) = (StdRng::seed_from_u64(seed), folder());
        copy_tree(dir.path(), broken.path(), &mut |_, bytes| Some(bytes));
        let all: Vec<_> = files(broken.path());
        let sized: Vec<_> = all.iter().filter(|path| path.metadata().unwrap().len() > 0).collect();
        let path = sized[rng.random_range(0..sized.len())];
        let len = path.metadata().unwrap().len();
        // The log's file is longer than what is in it.
        let at = rng.random_range(0..len.min(60_000));
        match rng.random_bool(0.7) {
            true => flip(path, at),
            false => std::fs::File::options().write(true).open(path).unwrap().set_len(at).unwrap(),
        }
        let in_log = path.starts_with(broken.path().join("log"));
        let Ok(store) = Store::open(Node::options(broken.path()), 0) else { continue };
        let opened = store.opened(SHARD).unwrap();
        if opened.blank || store.apply(SHARD, opened.last, 0).is_err() {
            continue;
        }
        let mut node = Node::of(store, broken.path());
        let read = match stat(&mut node, "a") {
            Some(_) => match try_read(&mut node, "a") {
                Ok((_, bytes)) => Some(bytes.to_vec()),
                Err(_) => continue,
            },
            None => None,
        };
        match in_log {
            false => assert_eq!(&read, states.last().unwrap(), "{}", path.display()),
            // An append that was cut off leaves a state between two of these.
            true => {
                let prefix = |state: &Option<Vec<u8>>| match (state, &read) {
                    (Some(state), Some(read)) => {
                        state == read || state[..state.len() - 10] == read[..]
                    }
                    (state, read) => state == read,
                };
                assert!(opened.last == 0 || states.iter().any(prefix), "{}", path.display());
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_writes_before_they_are_logged() {
    let dir = folder();
    let mut node = Node::open(dir.path());
    node.write("a", push(&[(0, b"x")])).unwrap();
    let reserve = node.store.free() + (1 << 30);
    node.store.options.reserve = reserve;
    let last = node.last();
    assert_eq!(node.write("a", push(&[(0, b"y")])).unwrap_err(), Refusal::NoSpace);
    assert_eq!(node.append("a", b"y").unwrap_err(), Refusal::NoSpace);
    assert_eq!(node.last(), last);
    assert_eq!(node.bytes("a"), b"x");
    node.write("a", Write::Delete { only: Only::Any }).unwrap();
    node.store.options.reserve = 4 * reserve;
    let record = Record { term: node.term, seq: node.last() + 1, body: bytes::Bytes::new() };
    let writes = [LogWrite::Append(SHARD, vec![record])];
    assert_eq!(node.store.write(&writes), Err(StoreError::Full));
}

/// The file system that the next test has made, if it is run inside.
const SMALL_DISK: &str = "FAASM_STORE_SMALL_DISK";

#[test]
fn a_disk_that_is_full_in_truth_loses_nothing() {
    if let Ok(dir) = std::env::var(SMALL_DISK) {
        return fill(Path::new(&dir));
    }
    let dir = folder();
    let script = "mount -t tmpfs -o size=40m none \"$1\" || exit 77; \
                  exec \"$2\" --exact state::store::tests::faults::a_disk_that_is_full_in_truth_loses_nothing";
    let test = std::env::current_exe().unwrap();
    let run = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .args([dir.path(), &test])
        .env(SMALL_DISK, dir.path())
        .output();
    match run {
        Ok(run) if run.status.success() => {
            let text = String::from_utf8_lossy(&run.stdout);
            assert!(text.contains("1 passed"), "{text}");
        }
        Ok(run) if run.status.code() == Some(101) => {
            panic!(
                "{}{}",
                String::from_utf8_lossy(&run.stdout),
                String::from_utf8_lossy(&run.stderr)
            )
        }
        other => eprintln!("skipped: no file system can be mounted in a namespace: {other:?}"),
    }
}

fn fill(dir: &Path) {
    for reserve in [8 << 20, 0] {
        let dir = dir.join(reserve.to_string());
        let mut node = Node::open(&dir);
        node.store.options.reserve = reserve;
        let mut done = 0_u64;
        let full = loop {
            let Bulk(write, bytes) = push(&[(done << 18, &[done as u8 + 1; 1 << 18])]);
            let op = Op::Write { id: node.id(), write };
            match node.decide("a", op, &bytes.into()) {
                Decision::Append(body) => {
                    let record = Record { term: node.term, seq: node.last() + 1, body };
                    node.store.note(SHARD, &record).unwrap();
                    let seq = record.seq;
                    let logged = node.store.write(&[LogWrite::Append(SHARD, vec![record])]);
                    match logged.and_then(|()| node.store.apply(SHARD, seq, 0)) {
                        Ok(_) => done += 1,
                        Err(error) => break Some(error),
                    }
                }
                Decision::Answer(Answer::Refused(Refusal::NoSpace)) => break None,
                other => panic!("{other:?}"),
            }
        };
        if reserve > 0 {
            assert_eq!(full, None, "with a reserve nothing fails that was logged");
            assert!(
                node.read("a", (done - 1) << 18, 1 << 18)
                    .unwrap()
                    .1
                    .iter()
                    .all(|b| *b == done as u8)
            );
            node.write("a", Write::Delete { only: Only::Any }).unwrap();
            let last = node.last();
            node.store.compact(SHARD, last).unwrap();
            // Nobody reads it any more.
            node.store.checkpoint(SNAPSHOT_MS).unwrap();
            node.write("b", push(&[(0, &[1; 1 << 18])])).unwrap();
        }
        node = node.again();
        let name = if reserve > 0 { "b" } else { "a" };
        let value = stat(&mut node, name).unwrap();
        assert!(reserve > 0 || value.len >= done << 18, "{} of {done}", value.len);
        drop(node);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
