use super::*;

fn entry(index: u64, term: u64) -> Entry {
    Entry { index, term, data: vec![0; 100].into(), ..Entry::default() }
}

fn at(index: u64, term: u64) -> Position {
    Position { index, term }
}

fn log(base: Position, entries: Vec<Entry>) -> MemLog {
    MemLog::new(&Loaded { base, entries, ..Loaded::default() }, ConfState::default())
}

fn terms(log: &MemLog) -> Vec<(u64, u64)> {
    let all =
        log.entries(log.base().index + 1, log.last() + 1, None, GetEntriesContext::empty(false));
    all.unwrap_or_default().iter().map(|entry| (entry.index, entry.term)).collect()
}

#[test]
fn an_append_cuts_off_what_conflicts() {
    let mut log = log(at(4, 1), vec![entry(5, 1), entry(6, 1), entry(7, 1)]);
    log.append(&[entry(6, 2)]);
    assert_eq!(terms(&log), vec![(5, 1), (6, 2)]);
    assert_eq!(log.bytes(), 2 * size(&entry(5, 1)));
    log.append(&[]);
    assert_eq!(log.last(), 6);
}

#[test]
fn compaction_keeps_the_term_of_the_last_entry_forgotten() {
    let mut log = log(at(4, 1), vec![entry(5, 1), entry(6, 2), entry(7, 3)]);
    log.compact(at(6, 2));
    assert_eq!((log.base(), log.first_index().unwrap()), (at(6, 2), 7));
    assert_eq!(log.term(6).unwrap(), 2);
    assert_eq!(log.term(5), Err(StorageError::Compacted.into()));
    assert_eq!(log.term(8), Err(StorageError::Unavailable.into()));
    assert_eq!(log.bytes(), size(&entry(7, 3)));
    log.reset(at(20, 9), ConfState::default());
    assert_eq!((log.last(), log.term(20).unwrap(), log.bytes()), (20, 9, 0));
}

#[test]
fn a_limit_in_bytes_gives_at_least_one_entry() {
    let log = log(at(0, 0), vec![entry(1, 1), entry(2, 1), entry(3, 1)]);
    let take = |limit| {
        let taken = log.entries(1, 4, limit, GetEntriesContext::empty(false));
        taken.unwrap().len()
    };
    assert_eq!((take(Some(0)), take(Some(250)), take(None)), (1, 2, 3));
    let context = || GetEntriesContext::empty(false);
    assert_eq!(log.entries(0, 2, None, context()), Err(StorageError::Compacted.into()));
    assert_eq!(log.entries(1, 5, None, context()), Err(StorageError::Unavailable.into()));
}

#[test]
fn a_snapshot_that_is_not_there_is_asked_for_and_handed_out_once() {
    let log = log(at(0, 0), vec![]);
    let unavailable = Err(StorageError::SnapshotTemporarilyUnavailable.into());
    assert_eq!(log.snapshot(0, 2), unavailable);
    assert!(log.take_wanted() && !log.take_wanted());
    let mut snapshot = Snapshot::default();
    snapshot.mut_metadata().index = 9;
    log.offer(snapshot.clone());
    assert_eq!(log.snapshot(5, 2), Ok(snapshot.clone()));
    assert_eq!(log.snapshot(5, 2), unavailable);
    log.offer(snapshot);
    assert_eq!(log.snapshot(10, 2), unavailable, "it is too old");
}

#[test]
fn parts_that_do_not_fit_together_are_corrupt() {
    let good =
        Loaded { base: at(4, 1), entries: vec![entry(5, 1), entry(6, 2)], ..Loaded::default() };
    let with = |commit, snapshot: Option<Position>| {
        let mut loaded = good.clone();
        loaded.hard_state.commit = commit;
        loaded.snapshot = snapshot.map(|at| (at, Vec::new()));
        loaded.check()
    };
    assert_eq!(with(5, Some(at(5, 1))), Ok(()));
    assert!(with(7, Some(at(5, 1))).is_err(), "commit is past the end");
    assert!(with(4, Some(at(5, 1))).is_err(), "commit is before the snapshot");
    assert!(with(6, Some(at(7, 2))).is_err(), "the snapshot is past the end");
    assert!(with(6, None).is_err(), "what was forgotten is in no snapshot");
    let mut holes = good.clone();
    holes.entries.remove(0);
    assert!(holes.check().is_err());
}
