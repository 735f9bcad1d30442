//! What is kept of calls, and for how long; and the votes on their ends.

use super::*;
use crate::errno::{CallError, Errno};
use crate::id::{Attempt, Incarnation, NodeId};
use crate::wire::calls::Times;

fn stored(call: u128, phase: Phase, output: &'static [u8]) -> Stored {
    let record = Record {
        call: CallId(call),
        user: "u".into(),
        name: "f".into(),
        parent: None,
        home: NodeId(1),
        home_incarnation: Incarnation(1),
        home_session: 1,
        node: None,
        attempt: Attempt(0),
        phase,
        result: None,
        output: Kept::Inline(output.len() as u64),
        log: Kept::Inline(0),
        times: Times::default(),
        requested_us: 0,
        work: Vec::new(),
        trace: 0,
        job: None,
    };
    Stored { record, output: Bytes::from_static(output), log: Bytes::new() }
}

fn live(_: &Record) -> bool {
    false
}

fn records(count: usize, bytes: usize) -> Records {
    Records::new(Bounds { age: Duration::from_secs(10), count, bytes })
}

#[test]
fn the_oldest_go_first_by_age_number_and_bytes() {
    let (mut records, now) = (records(2, 9), Instant::now());
    for call in 1..=3 {
        records.keep(stored(call, Phase::Done, b"x"), live, now);
    }
    assert!(records.get(CallId(1)).is_none() && records.get(CallId(3)).is_some());
    records.keep(stored(4, Phase::Done, b"12345"), live, now);
    assert!(records.get(CallId(3)).is_none() && records.get(CallId(4)).is_some());
    records.trim(now + Duration::from_secs(10));
    assert!(records.is_empty() && records.bytes == 0 && records.order.is_empty());
}

#[test]
fn a_record_that_changes_often_leaves_no_trail() {
    let (mut records, now) = (records(9, 9), Instant::now());
    records.keep(stored(1, Phase::Done, b"x"), live, now);
    for n in 0..10_000 {
        records.keep(stored(2, Phase::Running, b""), live, now + Duration::from_micros(n));
    }
    assert!(records.order.len() <= 4 + SLACK, "{} changes", records.order.len());
    assert_eq!((records.len(), records.bytes), (2, 5));
}

#[test]
fn the_texts_of_records_count() {
    let (mut records, now) = (records(9, 100), Instant::now());
    for call in 1..=9 {
        let mut long = stored(call, Phase::Done, b"");
        long.record.name = "x".repeat(60);
        records.keep(long, live, now);
    }
    assert_eq!(records.len(), 1);
}

#[test]
fn the_records_of_one_user_are_forgotten() {
    let (mut records, now) = (records(9, 9), Instant::now());
    records.keep(stored(1, Phase::Done, b"x"), live, now);
    let mut other = stored(2, Phase::Done, b"yy");
    other.record.user = "v".into();
    records.keep(other, live, now);
    records.forget_user("u");
    assert!(records.get(CallId(1)).is_none() && records.get(CallId(2)).is_some());
    assert_eq!(records.bytes, records.get(CallId(2)).map_or(0, Stored::bytes));
    records.trim(now + Duration::from_secs(10));
    assert!(records.is_empty() && records.order.is_empty());
}

#[test]
fn a_late_message_does_not_undo_the_end() {
    let (mut records, now) = (records(9, 9), Instant::now());
    records.keep(stored(1, Phase::Done, b"x"), live, now);
    records.keep(stored(1, Phase::Running, b""), live, now);
    assert_eq!(records.get(CallId(1)).unwrap().record.phase, Phase::Done);
}

#[test]
fn a_second_claim_gets_the_first_record() {
    let (mut records, now) = (records(9, 9), Instant::now());
    assert!(records.claim(stored(1, Phase::Queued, b""), now).is_none());
    let mut second = stored(1, Phase::Queued, b"");
    second.record.home = NodeId(2);
    assert_eq!(records.claim(second, now).unwrap().record.home, NodeId(1));
}

#[test]
fn a_withdrawn_claim_leaves_its_key_free() {
    let (mut records, now) = (records(9, 900), Instant::now());
    let mut withdrawn = stored(1, Phase::Done, b"");
    withdrawn.record.result = Some(Err(CallError::new(Errno::Full, "no room")));
    records.keep(withdrawn.clone(), live, now);
    let again = |home| {
        let mut again = stored(1, Phase::Queued, b"");
        (again.record.requested_us, again.record.home) = (7, NodeId(home));
        again
    };
    let late = records.claim(stored(1, Phase::Queued, b""), now);
    assert!(late.unwrap().was_withdrawn(), "a claim behind its own withdrawal is none");
    assert!(records.claim(again(1), now).is_none());
    records.keep(withdrawn.clone(), live, now);
    assert!(!records.get(CallId(1)).unwrap().was_withdrawn(), "that was another request");
    withdrawn.record.requested_us = 7;
    withdrawn.record.node = Some(NodeId(1));
    records.keep(withdrawn, live, now);
    assert!(records.claim(again(2), now).is_some(), "that one ran");
}

fn end(result: Result<u8, CallError>) -> Stored {
    let mut end = stored(1, Phase::Done, b"");
    (end.record.result, end.record.node) = (Some(result), Some(NodeId(1)));
    end
}

#[test]
fn a_vote_shuts_the_one_before_out_and_hears_what_that_took() {
    let (mut records, now) = (records(9, 900), Instant::now());
    let claim = || stored(1, Phase::Queued, b"");
    assert!(records.claim(claim(), now).is_none());
    assert!(matches!(records.accept(1, end(Ok(0)), live, now), Vote::Yes));
    let seen = records.get(CallId(1)).unwrap();
    assert_ne!(seen.record.phase, Phase::Done, "what was only proposed is not told");
    assert!(matches!(records.prepare(7, claim(), live, now), Vote::Accepted(1, _)));
    assert!(matches!(records.prepare(6, claim(), live, now), Vote::No));
    assert!(matches!(records.accept(1, end(Ok(0)), live, now), Vote::No));
    records.keep(stored(1, Phase::Running, b""), live, now);
    assert!(matches!(records.prepare(8, claim(), live, now), Vote::Accepted(1, _)));
    let lost = || end(Err(CallError::new(Errno::HostLost, "lost")));
    records.keep(lost(), live, now);
    assert!(matches!(records.accept(9, end(Ok(0)), live, now), Vote::Known(_)));
    assert!(matches!(records.accept(9, lost(), live, now), Vote::Yes));
    assert_eq!(records.bytes, records.get(CallId(1)).map_or(0, Stored::bytes));
}

#[test]
fn a_vote_on_one_request_passes_by_another_only_when_that_ones_home_is_gone() {
    let (mut records, now) = (records(9, 900), Instant::now());
    assert!(records.claim(stored(1, Phase::Queued, b""), now).is_none());
    let mut other = stored(1, Phase::Queued, b"");
    other.record.home = NodeId(2);
    assert!(matches!(records.prepare(7, other.clone(), live, now), Vote::Known(_)));
    assert!(matches!(records.prepare(7, other.clone(), |_| true, now), Vote::Yes));
    let mut lost = end(Err(CallError::new(Errno::HostLost, "lost")));
    lost.record.home = NodeId(2);
    records.keep(lost.clone(), live, now);
    assert!(!records.get(CallId(1)).unwrap().has_ended());
    records.keep(lost, |_| true, now);
    assert!(records.get(CallId(1)).unwrap().has_ended());
}

#[test]
fn a_withdrawal_that_comes_too_late_does_not_undo_an_end() {
    let (mut records, now) = (records(9, 900), Instant::now());
    let mut withdrawn = stored(1, Phase::Done, b"");
    withdrawn.record.result = Some(Err(CallError::new(Errno::Unavailable, "refused")));
    let lost = end(Err(CallError::new(Errno::HostLost, "lost")));
    for order in [[&withdrawn, &lost], [&lost, &withdrawn]] {
        records.claim(stored(1, Phase::Queued, b""), now);
        order.into_iter().for_each(|stored| records.keep(stored.clone(), live, now));
        assert!(records.get(CallId(1)).unwrap().has_ended());
        records.forget_user("u");
    }
}

#[test]
fn an_updated_record_lives_from_its_last_update() {
    let (mut records, now) = (records(9, 9), Instant::now());
    records.keep(stored(1, Phase::Queued, b""), live, now);
    let later = now + Duration::from_secs(6);
    records.keep(stored(1, Phase::Done, b"x"), live, later);
    records.trim(now + Duration::from_secs(11));
    assert!(records.get(CallId(1)).is_some());
    records.trim(later + Duration::from_secs(10));
    assert!(records.is_empty());
}
