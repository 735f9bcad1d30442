use std::fs;

use super::*;

fn entry(index: u64, term: u64) -> Entry {
    let data = format!("data of {index} in {term}").into_bytes().into();
    Entry { index, term, data, ..Entry::default() }
}

fn entries(range: std::ops::RangeInclusive<u64>, term: u64) -> Vec<Entry> {
    range.map(|index| entry(index, term)).collect()
}

fn hard(term: u64, commit: u64) -> HardState {
    HardState { term, vote: 1, commit, ..HardState::default() }
}

fn open(dir: &Path) -> (EngineDisk, Loaded) {
    let (disk, loaded) = EngineDisk::open(dir).unwrap();
    loaded.check().unwrap();
    (disk, loaded)
}

fn refused(dir: &Path) -> DiskError {
    EngineDisk::open(dir).map(|_| ()).unwrap_err()
}

fn append(disk: &mut EngineDisk, hard_state: &HardState, entries: &[Entry]) {
    let (hard_state, entries) = (Some(hard_state.clone()), entries.to_vec());
    disk.carry_out(&Write::Append { hard_state, entries, sync: true }, true).unwrap();
}

fn compact(disk: &mut EngineDisk, snapshot: Position, base: Position) {
    let data = b"state".as_slice().into();
    disk.carry_out(&Write::Compact { snapshot, data, base }, true).unwrap();
}

fn at(index: u64, term: u64) -> Position {
    Position { index, term }
}

/// The engine's newest log file.
fn log_file(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir.join("log")).unwrap().flatten().map(|file| file.path());
    files.filter(|path| path.extension().is_some_and(|e| e == "raftlog")).max().unwrap()
}

#[test]
fn a_new_log_is_empty_and_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let (_, loaded) = open(dir.path());
        assert_eq!((loaded.hard_state, loaded.base), (HardState::default(), at(0, 0)));
        assert!(loaded.entries.is_empty() && loaded.snapshot.is_none());
    }
}

#[test]
fn entries_and_hard_state_survive_a_restart_and_a_conflict_cuts_off() {
    let dir = tempfile::tempdir().unwrap();
    let (mut disk, _) = open(dir.path());
    append(&mut disk, &hard(1, 2), &entries(1..=5, 1));
    append(&mut disk, &hard(2, 3), &entries(4..=4, 2));
    drop(disk);
    let (_, loaded) = open(dir.path());
    assert_eq!(loaded.hard_state, hard(2, 3));
    assert_eq!(loaded.entries, [entries(1..=3, 1), entries(4..=4, 2)].concat());
}

#[test]
fn compaction_and_its_snapshot_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (mut disk, _) = open(dir.path());
    append(&mut disk, &hard(1, 10), &entries(1..=10, 1));
    for (snapshot, base) in [(at(6, 1), at(5, 1)), (at(9, 1), at(7, 1))] {
        compact(&mut disk, snapshot, base);
    }
    append(&mut disk, &hard(1, 11), &entries(11..=11, 1));
    drop(disk);
    let (_, loaded) = open(dir.path());
    assert_eq!(loaded.base, at(7, 1));
    assert_eq!(loaded.entries, entries(8..=11, 1));
    assert_eq!(loaded.snapshot, Some((at(9, 1), b"state".to_vec())));
}

#[test]
fn a_received_snapshot_takes_the_place_of_the_whole_log() {
    let dir = tempfile::tempdir().unwrap();
    let (mut disk, _) = open(dir.path());
    append(&mut disk, &hard(1, 2), &entries(1..=30, 1));
    let data = b"theirs".as_slice().into();
    let reset = Write::Reset { hard_state: hard(3, 20), snapshot: at(20, 3), data };
    disk.carry_out(&reset, true).unwrap();
    append(&mut disk, &hard(3, 21), &entries(21..=22, 3));
    drop(disk);
    let (_, loaded) = open(dir.path());
    assert_eq!(loaded.base, at(20, 3));
    assert_eq!(loaded.entries, entries(21..=22, 3), "nothing of the old log is left");
    assert_eq!(loaded.snapshot, Some((at(20, 3), b"theirs".to_vec())));
}

#[test]
fn a_snapshot_that_was_saved_and_not_referred_to_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let (mut disk, _) = open(dir.path());
    append(&mut disk, &hard(1, 3), &entries(1..=3, 1));
    snapshot_file::write(dir.path(), at(3, 1), b"state").unwrap();
    drop(disk);
    let (_, loaded) = open(dir.path());
    assert_eq!((loaded.snapshot, loaded.entries.len()), (None, 3));
}

#[test]
fn a_torn_tail_costs_the_last_write_only() {
    let dir = tempfile::tempdir().unwrap();
    let (mut disk, _) = open(dir.path());
    append(&mut disk, &hard(1, 1), &entries(1..=3, 1));
    let whole = written(dir.path());
    append(&mut disk, &hard(1, 1), &entries(4..=4, 1));
    drop(disk);
    let file = fs::OpenOptions::new().write(true).open(log_file(dir.path())).unwrap();
    file.set_len(whole + 9).unwrap();
    let (_, loaded) = open(dir.path());
    assert_eq!(loaded.entries, entries(1..=3, 1));
}

/// Bytes of the newest log file up to its last one that is not zero.
fn written(dir: &Path) -> u64 {
    let bytes = fs::read(log_file(dir)).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

#[test]
fn a_corrupt_snapshot_is_refused_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let (mut disk, _) = open(dir.path());
    append(&mut disk, &hard(1, 3), &entries(1..=3, 1));
    compact(&mut disk, at(3, 1), at(3, 1));
    drop(disk);
    let mut files = fs::read_dir(dir.path()).unwrap().flatten().map(|file| file.path());
    let file = files.find(|path| path.is_file()).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let text = refused(dir.path()).to_string();
    assert!(text.contains("checksum does not match"), "{text}");
    assert!(text.contains(&file.display().to_string()) && text.contains("restore"), "{text}");
}

#[test]
fn two_processes_do_not_share_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let (_disk, _) = open(dir.path());
    assert!(matches!(refused(dir.path()), DiskError::Io { .. }));
}
