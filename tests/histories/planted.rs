//! The checker finds histories that cannot be, and takes those that can.

use std::time::Duration;

use super::history::{Entry, Histories, Seen};
use super::model::{Came, CounterOp, RegisterOp};

fn entry<O>(called: u64, returned: u64, what: O) -> Entry<O> {
    let at = |ms| Duration::from_millis(ms);
    // 0: it was never answered.
    let returned = (returned > 0).then(|| at(returned));
    Entry { client: 0, called: at(called), returned, what }
}

fn of_register(entries: Vec<Entry<RegisterOp>>) -> usize {
    let registers = [("key".to_owned(), entries)].into();
    Histories { registers, ..Histories::default() }.violations().len()
}

fn of_list(entries: Vec<Entry<Seen>>) -> usize {
    let lists = [("key".to_owned(), entries)].into();
    Histories { lists, ..Histories::default() }.violations().len()
}

fn of_counter(entries: Vec<Entry<CounterOp>>) -> usize {
    let counters = [("key".to_owned(), entries)].into();
    Histories { counters, ..Histories::default() }.violations().len()
}

fn put(value: u64, only: Option<u64>, came: Came) -> RegisterOp {
    RegisterOp::Put { value, only, came }
}

fn get(value: u64, tag: u64) -> RegisterOp {
    RegisterOp::Get { value, tag }
}

#[test]
fn a_register_is_read_as_it_was_written_last() {
    let done = |value, tag| put(value, None, Came::Done(tag));
    let at_once = vec![entry(0, 10, done(1, 11)), entry(5, 20, get(1, 11))];
    assert_eq!(of_register(at_once), 0);
    let stale =
        vec![entry(0, 10, done(1, 11)), entry(20, 30, done(2, 12)), entry(40, 50, get(1, 11))];
    assert_eq!(of_register(stale), 1);
    let lost = vec![entry(0, 10, done(1, 11)), entry(20, 30, get(0, 0))];
    assert_eq!(of_register(lost), 1);
    let other_tag = vec![entry(0, 10, done(1, 11)), entry(20, 30, get(1, 12))];
    assert_eq!(of_register(other_tag), 1);
    let late = vec![
        entry(0, 0, put(1, None, Came::Unknown)),
        entry(10, 20, get(0, 0)),
        entry(30, 40, get(1, 11)),
    ];
    assert_eq!(of_register(late), 0);
    let gone_again = vec![
        entry(0, 0, put(1, None, Came::Unknown)),
        entry(10, 20, get(1, 11)),
        entry(30, 40, get(0, 0)),
    ];
    assert_eq!(of_register(gone_again), 1);
}

#[test]
fn conditions_hold_where_they_say_so() {
    let first = entry(0, 10, put(1, None, Came::Done(11)));
    let both = vec![
        first.clone(),
        entry(20, 30, put(2, Some(11), Came::Done(12))),
        entry(20, 30, put(3, Some(11), Came::Done(13))),
    ];
    assert_eq!(of_register(both), 1);
    let one = vec![
        first.clone(),
        entry(20, 30, put(2, Some(11), Came::Done(12))),
        entry(20, 30, put(3, Some(11), Came::Refused)),
    ];
    assert_eq!(of_register(one), 0);
    let refused = vec![first, entry(20, 30, put(2, Some(11), Came::Refused))];
    assert_eq!(of_register(refused), 1);
}

#[test]
fn appends_are_kept_once_and_in_one_order() {
    let one = entry(0, 10, Seen::Append(1));
    let (two, unknown) = (entry(20, 30, Seen::Append(2)), entry(20, 0, Seen::Append(3)));
    let with = |elements: &[u64]| {
        let read = entry(40, 50, Seen::Read(elements.to_vec()));
        of_list(vec![one.clone(), two.clone(), unknown.clone(), read])
    };
    assert_eq!(with(&[1, 2]), 0);
    assert_eq!(with(&[1, 3, 2]), 0);
    assert_eq!(with(&[1, 2, 2]), 1, "doubled");
    assert_eq!(with(&[1, 3, 2, 3]), 1, "doubled");
    assert_eq!(with(&[2, 1]), 1, "reordered");
    assert_eq!(with(&[1]), 1, "lost");
    assert_eq!(with(&[3, 1, 2]), 1, "before it was begun");
}

#[test]
fn counters_lose_nothing_and_count_nothing_twice() {
    let add = |id, told| CounterOp::Add { id, told };
    let one = entry(0, 10, add(1, Some((1, 0))));
    let unknown = entry(15, 0, add(2, None));
    let with =
        |more: CounterOp| of_counter(vec![one.clone(), unknown.clone(), entry(20, 30, more)]);
    assert_eq!(with(add(3, Some((2, 1)))), 0);
    assert_eq!(with(add(3, Some((3, 2)))), 0);
    assert_eq!(with(add(3, Some((1, 0)))), 1, "lost");
    assert_eq!(with(add(3, Some((3, 1)))), 1, "counted twice");
    assert_eq!(with(CounterOp::Look { count: 2, last: 2 }), 0);
    assert_eq!(with(CounterOp::Look { count: 0, last: 0 }), 1, "stale");
    let set = entry(20, 30, CounterOp::Set { id: 9, count: 90 });
    let after = |told| of_counter(vec![one.clone(), set.clone(), entry(40, 50, add(3, told))]);
    assert_eq!(after(Some((91, 9))), 0);
    assert_eq!(after(Some((2, 1))), 1, "written over behind a holder's back");
    let late = CounterOp::Set { id: 9, count: 90 };
    let seen = vec![one, entry(15, 0, late), entry(20, 30, add(3, Some((91, 9))))];
    assert_eq!(of_counter(seen), 0);
}
