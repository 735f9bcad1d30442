//! Histories with one thing wrong: the checker finds each, and nothing in a good one.

use std::time::Duration;

use super::checker::{
    ended_twice, given_up, late, lost, lost_uploads, ran_twice, violations, without_reason, wrong,
};
use super::history::{Call, End, Fault, History, Kind, Read, Seen, Sort, Upload, What};

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn seen(seconds: u64, what: What) -> Seen {
    Seen { at: at(seconds), through: 2, what }
}

fn end(result: Result<u8, &str>) -> End {
    let output = result.ok().map(|_| "c1 0123456789abcdef".to_owned());
    End { result: result.map_err(str::to_owned), output, attempt: Some(0), runs: Some(1) }
}

fn ended(seconds: u64, result: Result<u8, &str>) -> Seen {
    seen(seconds, What::Ended(end(result)))
}

/// A call accepted at 20 s with a limit of 5 s.
fn call(sort: Sort, looks: Vec<Seen>) -> Call {
    Call {
        name: "c1".to_owned(),
        id: None,
        sort,
        through: 1,
        begun: at(20),
        accepted: Some(at(20)),
        limit: at(5),
        cancelled: None,
        seen: looks,
    }
}

fn fault(kind: Kind, host: usize, from: u64) -> Fault {
    Fault { kind, hosts: vec![host], from: at(from), until: at(from + 1) }
}

fn history(faults: Vec<Fault>) -> History {
    History { faults, healed: at(60), nodes: 1, ..History::default() }
}

#[test]
fn a_good_history_has_no_violations() {
    let mut good = history(vec![fault(Kind::Kill, 2, 21)]);
    good.calls = vec![
        call(Sort::Keyed, vec![seen(20, What::Alive), ended(21, Ok(0)), ended(30, Ok(0))]),
        call(Sort::Sync, vec![ended(24, Err("FAASM_EHOSTLOST"))]),
        call(Sort::Keyed, vec![seen(21, What::Silence), ended(22, Ok(0))]),
        call(Sort::Endless, vec![ended(25, Err("FAASM_ETIMEDOUT"))]),
        // Never accepted, so it need not end.
        Call { accepted: None, ..call(Sort::Keyed, vec![seen(22, What::Silence)]) },
    ];
    let upload = |version, confirmed| Upload { function: "f".to_owned(), version, confirmed };
    good.uploads = vec![upload(1, Some(at(1))), upload(2, None), upload(3, Some(at(30)))];
    let read = |begun, version| Read { function: "f".to_owned(), begun, through: 1, version };
    good.reads = vec![read(at(10), 1), read(at(20), 2), read(at(61), 3)];
    assert_eq!(violations(&good), Vec::<String>::new());
}

#[test]
fn a_doubled_end_is_found() {
    let quiet = history(vec![]);
    for looks in [
        vec![ended(21, Ok(0)), ended(22, Err("FAASM_ETIMEDOUT"))],
        vec![ended(21, Err("FAASM_EHOSTLOST")), ended(22, Ok(0))],
        vec![ended(21, Ok(0)), seen(22, What::Alive)],
        vec![ended(21, Ok(0)), {
            let other = Some("c1 ffffffffffffffff".to_owned());
            seen(22, What::Ended(End { output: other, ..end(Ok(0)) }))
        }],
    ] {
        assert!(ended_twice(&quiet, &call(Sort::Keyed, looks.clone())).is_some(), "{looks:?}");
    }
    // A fault near is no excuse; that all that kept the record died explains that it is given up.
    let lost_first = vec![ended(21, Err("FAASM_EHOSTLOST")), ended(22, Ok(0))];
    let other = vec![ended(21, Err("FAASM_ETIMEDOUT")), ended(22, Ok(0))];
    let near = history(vec![fault(Kind::Pause, 2, 20), fault(Kind::Kill, 1, 20)]);
    assert!(ended_twice(&near, &call(Sort::Keyed, lost_first.clone())).is_some());
    let mut died = history(vec![fault(Kind::Kill, 2, 20), fault(Kind::Kill, 1, 20)]);
    assert!(ended_twice(&died, &call(Sort::Keyed, other)).is_some());
    assert!(ended_twice(&died, &call(Sort::Keyed, lost_first.clone())).is_none());
    died.calls = vec![call(Sort::Keyed, lost_first), call(Sort::Keyed, vec![ended(21, Ok(0))])];
    assert_eq!(given_up(&died).len(), 1);
}

#[test]
fn a_lost_call_is_found_unless_both_its_records_died() {
    let none = call(Sort::Keyed, vec![seen(21, What::Alive), seen(58, What::Unknown)]);
    assert!(lost(&history(vec![]), &none).is_some());
    assert!(lost(&history(vec![fault(Kind::Kill, 1, 22)]), &none).is_some());
    let both = vec![fault(Kind::Kill, 1, 22), fault(Kind::Kill, 2, 30)];
    assert!(lost(&history(both), &none).is_none());
    // Kills before it was accepted, and other faults, are no excuse.
    let other = vec![
        fault(Kind::Kill, 1, 2),
        fault(Kind::Kill, 2, 3),
        fault(Kind::Pause, 1, 22),
        fault(Kind::Isolate, 2, 22),
    ];
    assert!(lost(&history(other), &none).is_some());
}

#[test]
fn a_wrong_answer_is_found() {
    let quiet = history(vec![]);
    for output in ["c2 0123456789abcdef", "c1", "c1 ", "c1 0123456789abcdef0", ""] {
        let look = What::Ended(End { output: Some(output.to_owned()), ..end(Ok(0)) });
        let call = call(Sort::Sync, vec![seen(21, look)]);
        assert!(wrong(&quiet, &call).is_some(), "{output:?}");
    }
    assert!(wrong(&quiet, &call(Sort::Keyed, vec![ended(21, Ok(3))])).is_some());
    assert!(wrong(&quiet, &call(Sort::Endless, vec![ended(21, Ok(0))])).is_some());
    assert!(wrong(&quiet, &call(Sort::Tree, vec![ended(21, Ok(0))])).is_some());
}

#[test]
fn a_late_end_is_found() {
    let quiet = history(vec![]);
    let lives = |at| vec![seen(at, What::Alive), ended(at + 1, Ok(0))];
    assert!(late(&quiet, &call(Sort::Keyed, lives(27))).is_none());
    assert!(late(&quiet, &call(Sort::Keyed, lives(29))).is_some());
    // Who is answered at once knows; who did not look for a while does not.
    let far = vec![ended(29, Ok(0))];
    assert!(late(&quiet, &call(Sort::Sync, vec![ended(27, Ok(0))])).is_none());
    assert!(late(&quiet, &call(Sort::Sync, far.clone())).is_some());
    assert!(late(&quiet, &call(Sort::Keyed, far.clone())).is_none());
    // On a busy machine there is more time.
    let busy = History { slack: 3, ..history(vec![]) };
    assert!(late(&busy, &call(Sort::Sync, far.clone())).is_none());
    assert!(late(&busy, &call(Sort::Keyed, lives(35))).is_some());
    // With a fault near there is more time, but not without end.
    let near = history(vec![fault(Kind::Kill, 2, 22)]);
    assert!(late(&near, &call(Sort::Sync, far)).is_none());
    assert!(late(&near, &call(Sort::Keyed, lives(40))).is_some());
    // Two faults at once may be two of three voters: nothing can be decided until one is over.
    let mut both = vec![fault(Kind::Isolate, 1, 25), fault(Kind::Isolate, 2, 25)];
    both.iter_mut().for_each(|fault| fault.until = at(32));
    let (in_time, too_late) = (lives(40), lives(42));
    assert!(late(&history(both.clone()), &call(Sort::Keyed, in_time)).is_none());
    assert!(late(&history(both), &call(Sort::Keyed, too_late)).is_some());
    let cancelled = Call { cancelled: Some(at(20)), limit: at(60), ..call(Sort::Endless, vec![]) };
    let looks = lives(30);
    assert!(late(&quiet, &Call { seen: looks, ..cancelled }).is_some());
}

#[test]
fn an_error_without_a_reason_is_found() {
    let quiet = history(vec![fault(Kind::Kill, 2, 2)]);
    let near = history(vec![fault(Kind::Kill, 2, 19)]);
    let cut = history(vec![fault(Kind::Isolate, 2, 19)]);
    let found = |history: &History, sort, look| without_reason(history, &call(sort, vec![look]));
    for look in [
        ended(21, Err("FAASM_EHOSTLOST")),
        seen(21, What::Refused("FAASM_EUNAVAILABLE".to_owned())),
        seen(21, What::Silence),
    ] {
        assert!(found(&quiet, Sort::Keyed, look.clone()).is_some(), "{look:?}");
        assert!(found(&near, Sort::Keyed, look.clone()).is_none(), "{look:?}");
    }
    // A cut node still answers, and no fault explains these.
    assert!(found(&cut, Sort::Keyed, seen(21, What::Silence)).is_some());
    assert!(found(&near, Sort::Keyed, ended(21, Err("FAASM_EFAILED"))).is_some());
    assert!(found(&near, Sort::Keyed, ended(21, Err("FAASM_ECANCELLED"))).is_some());
    assert!(found(&quiet, Sort::Tree, ended(21, Ok(4))).is_some());
    assert!(found(&near, Sort::Tree, ended(21, Ok(4))).is_none());
}

#[test]
fn a_second_run_is_found() {
    let quiet = history(vec![]);
    let look = |attempt, runs| {
        vec![seen(21, What::Ended(End { attempt: Some(attempt), runs: Some(runs), ..end(Ok(0)) }))]
    };
    assert!(ran_twice(&quiet, &call(Sort::Keyed, look(0, 1))).is_none());
    assert!(ran_twice(&quiet, &call(Sort::Keyed, look(1, 1))).is_some());
    assert!(ran_twice(&quiet, &call(Sort::Keyed, look(0, 2))).is_some());
    assert!(ran_twice(&quiet, &call(Sort::Patient, look(2, 1))).is_none());
}

#[test]
fn a_lost_upload_is_found() {
    let upload = |version, confirmed| Upload { function: "f".to_owned(), version, confirmed };
    let read = |begun, version| Read { function: "f".to_owned(), begun, through: 1, version };
    let mut bad = history(vec![]);
    bad.uploads = vec![upload(1, Some(at(1))), upload(2, Some(at(20)))];
    bad.reads = vec![read(at(61), 2)];
    assert_eq!(lost_uploads(&bad).len(), 0);
    // An older version after a newer one was confirmed, at once or at the end.
    for begun in [21, 61] {
        bad.reads = vec![read(at(62), 2), read(at(begun), 1)];
        assert_eq!(lost_uploads(&bad).len(), 1);
    }
    // One that nobody uploaded.
    bad.reads = vec![read(at(61), 3)];
    assert_eq!(lost_uploads(&bad).len(), 1);
    // A node where it is not to be had.
    bad.reads = vec![read(at(30), 2)];
    assert_eq!(lost_uploads(&bad).len(), 1);
}
