//! Decisions of a copy, asserted effect by effect; and what hostile peers may say.

use std::time::Instant;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Effect, Event, Opened, Record, Replica, Role, Settled, WriteError};
use crate::id::{Incarnation, NodeId};
use crate::wire::replicas::{Head, Held, Message, Point, Term, What};
use crate::wire::shards::{Shard, ShardId};

const SHARD: ShardId = ShardId(7);

fn nodes(ids: &[u64]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

fn table(revision: u64, epoch: u64, owner: u64, in_sync: &[u64], targets: &[u64]) -> Event {
    Event::Table(Some(Shard {
        epoch,
        revision,
        owner: NodeId(owner),
        in_sync: nodes(in_sync),
        targets: nodes(targets),
    }))
}

fn copy(me: u64) -> Replica {
    Replica::new(NodeId(me), Incarnation(1), SHARD, &Opened::default())
}

fn term(epoch: u64) -> Term {
    Term::new(epoch, Incarnation(1), 0)
}

fn point(epoch: u64, seq: u64) -> Point {
    Point { term: term(epoch), seq }
}

fn told(from: u64, epoch: u64, round: u64, what: What, body: &'static [u8]) -> Event {
    let message = Message { shard: SHARD, term: term(epoch), round, what };
    Event::Message { from: NodeId(from), message, body: Bytes::from_static(body) }
}

fn send(to: u64, epoch: u64, round: u64, what: What) -> Effect {
    let message = Message { shard: SHARD, term: term(epoch), round, what };
    Effect::Send { to: NodeId(to), message, body: Bytes::new() }
}

fn record(epoch: u64, seq: u64, body: &'static [u8]) -> Record {
    Record { term: term(epoch), seq, body: Bytes::from_static(body) }
}

/// Tells all and gives the effects.
fn after(copy: &mut Replica, now: Instant, events: impl IntoIterator<Item = Event>) -> Vec<Effect> {
    events.into_iter().for_each(|event| copy.handle(now, event).unwrap());
    copy.flush(now)
}

fn append(prev: Point, heads: &[(u64, u32)], commit: u64) -> What {
    let records = heads.iter().map(|(epoch, len)| Head { term: term(*epoch), len: *len }).collect();
    What::Append { prev, records, commit, keep: 0 }
}

#[test]
fn a_single_copy_serves_and_commits_when_its_disk_has_synced() {
    let (mut copy, now) = (copy(1), Instant::now());
    let effects = after(&mut copy, now, [table(1, 1, 1, &[1], &[1])]);
    assert_eq!(effects, [Effect::Append { op: 1, records: vec![record(1, 1, b"")] }]);
    assert_eq!((copy.role(), copy.serving()), (Role::Activating, None));
    assert_eq!(copy.write(1, Bytes::new()), Err(WriteError::NotServing));
    let effects = after(&mut copy, now, [Event::Synced { op: 1 }]);
    assert_eq!(effects, [Effect::Apply { through: 1 }]);
    assert_eq!(copy.serving(), Some(1));

    assert_eq!(copy.write(5, Bytes::from_static(b"a")), Ok(2));
    assert_eq!(copy.write(6, Bytes::from_static(b"b")), Ok(3));
    let both = vec![record(1, 2, b"a"), record(1, 3, b"b")];
    assert_eq!(copy.flush(now), [Effect::Append { op: 2, records: both }]);
    let settle = |ticket, seq| Effect::Settle { ticket, outcome: Settled::Committed { seq } };
    let effects = after(&mut copy, now, [Event::Synced { op: 2 }]);
    assert_eq!(effects, [Effect::Apply { through: 3 }, settle(5, 2), settle(6, 3)]);
}

#[test]
fn a_new_owner_asks_every_member_and_commits_with_every_member() {
    let (mut copy, now) = (copy(1), Instant::now());
    let effects = after(&mut copy, now, [table(1, 1, 1, &[1, 2, 3], &[1, 2, 3])]);
    assert_eq!(effects, [send(2, 1, 1, What::Probe), send(3, 1, 1, What::Probe)]);
    let empty = || What::Position(Held::default());
    assert_eq!(after(&mut copy, now, [told(2, 1, 1, empty(), b"")]), [], "one has not answered");
    let effects = after(&mut copy, now, [told(3, 1, 1, empty(), b"")]);
    let asked = |to, round| send(to, 1, round, append(point(1, 1), &[], 0));
    let first = Effect::Append { op: 1, records: vec![record(1, 1, b"")] };
    assert_eq!(effects, [first, asked(2, 2), asked(3, 3)]);
    let ack = || What::Ack { through: 1 };
    let effects = after(&mut copy, now, [Event::Synced { op: 1 }, told(2, 1, 2, ack(), b"")]);
    assert_eq!((effects, copy.serving()), (vec![], None), "a member has not acknowledged it");
    let effects = after(&mut copy, now, [told(3, 1, 3, ack(), b"")]);
    assert_eq!((effects, copy.serving()), (vec![Effect::Apply { through: 1 }], Some(1)));
}

#[test]
fn below_the_quorum_nothing_is_committed_and_a_deposed_owner_loses_its_tickets() {
    let (mut copy, now) = (copy(1), Instant::now());
    after(&mut copy, now, [table(1, 1, 1, &[1], &[1])]);
    after(&mut copy, now, [Event::Synced { op: 1 }]);
    after(&mut copy, now, [table(2, 1, 1, &[1], &[1, 2, 3])]);
    assert_eq!(copy.write(5, Bytes::from_static(b"a")), Ok(2));
    copy.flush(now);
    assert_eq!(after(&mut copy, now, [Event::Synced { op: 2 }]), []);
    let effects = after(&mut copy, now, [table(3, 2, 2, &[1, 2], &[1, 2, 3])]);
    assert_eq!(effects, [Effect::Settle { ticket: 5, outcome: Settled::Lost }]);
    assert_eq!((copy.role(), copy.serving()), (Role::Follower, None));
}

#[test]
fn a_follower_acknowledges_what_is_synced_and_removes_what_differs() {
    let (mut copy, now) = (copy(2), Instant::now());
    after(&mut copy, now, [table(1, 1, 1, &[1, 2], &[1, 2])]);
    let two = append(Point::default(), &[(1, 1), (1, 1)], 0);
    let effects = after(&mut copy, now, [told(1, 1, 1, two, b"ab")]);
    let records = vec![record(1, 1, b"a"), record(1, 2, b"b")];
    assert_eq!(effects, [Effect::Append { op: 1, records }]);
    let effects = after(&mut copy, now, [Event::Synced { op: 1 }]);
    assert_eq!(effects, [send(1, 1, 1, What::Ack { through: 2 })]);

    let other = append(point(1, 1), &[(2, 1)], 1);
    let news = [table(2, 2, 3, &[1, 2, 3], &[1, 2, 3]), told(3, 2, 1, other, b"c")];
    let effects = after(&mut copy, now, news);
    let expected = [
        Effect::Truncate { op: 2, after: 1 },
        Effect::Append { op: 3, records: vec![record(2, 2, b"c")] },
        Effect::Apply { through: 1 },
        send(3, 2, 1, What::Ack { through: 1 }),
    ];
    assert_eq!(effects, expected);
    let late = append(point(1, 2), &[(1, 1)], 2);
    assert_eq!(after(&mut copy, now, [told(1, 1, 9, late, b"x")]), [], "of an older term");
    let effects = after(&mut copy, now, [Event::Synced { op: 3 }]);
    assert_eq!(effects, [send(3, 2, 1, What::Ack { through: 2 })]);
}

#[test]
fn a_copy_that_failed_acknowledges_nothing_and_says_why() {
    let (mut copy, now) = (copy(2), Instant::now());
    let failed = Event::Failed("no space".into());
    after(&mut copy, now, [table(1, 1, 1, &[1, 2], &[1, 2]), failed]);
    let one = append(Point::default(), &[(1, 1)], 1);
    let effects = after(&mut copy, now, [told(1, 1, 1, one, b"a")]);
    assert_eq!(effects, [send(1, 1, 1, What::Failed { why: "no space".into() })]);
}

fn any_point(rng: &mut StdRng) -> Point {
    let seq = [0, 1, 2, 3, 9, u64::MAX, u64::MAX - 1][rng.random_range(0..7)];
    Point { term: any_term(rng), seq }
}

fn any_term(rng: &mut StdRng) -> Term {
    [Term(0), term(1), term(2), term(3), Term(u64::MAX)][rng.random_range(0..5)]
}

fn any_held(rng: &mut StdRng) -> Held {
    let known = any_point(rng).seq;
    Held { last: any_point(rng), known, blank: rng.random() }
}

fn any_what(rng: &mut StdRng) -> What {
    let records = (0..rng.random_range(0..4))
        .map(|_| Head { term: any_term(rng), len: [0, 1, 2, u32::MAX][rng.random_range(0..4)] })
        .collect();
    let (prev, number) = (any_point(rng), any_point(rng).seq);
    match rng.random_range(0..13) {
        0 => What::Probe,
        1 => What::Fetch(any_held(rng)),
        2..=4 => What::Append { prev, records, commit: number, keep: any_point(rng).seq },
        5 => What::Begin { base: prev },
        6 => What::Part { number },
        7 => What::Position(any_held(rng)),
        8 => What::Tail { prev, records },
        9 => What::TailGone,
        10 => What::Ack { through: number },
        11 => What::Behind(any_held(rng)),
        _ => [What::Hello, What::Want { number }, What::Failed { why: "x".into() }]
            [rng.random_range(0..3)]
        .clone(),
    }
}

#[test]
fn whatever_a_peer_says_is_taken_or_refused_without_a_panic() {
    let start = Instant::now();
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut copy = copy(rng.random_range(1..=2));
        let mut now = start;
        after(&mut copy, now, [table(1, 1, 1, &[1, 2], &[1, 2, 3])]);
        for _ in 0..200 {
            now += super::TICK;
            let message = Message {
                shard: SHARD,
                term: any_term(&mut rng),
                round: rng.random_range(0..6),
                what: any_what(&mut rng),
            };
            let body = Bytes::from(vec![0; rng.random_range(0..4)]);
            let from = NodeId(rng.random_range(1..=3));
            let _ = copy.handle(now, Event::Message { from, message, body });
            let _ = copy.write(1, Bytes::from_static(b"w"));
            copy.handle(now, Event::Tick).unwrap();
            for effect in copy.flush(now) {
                let (Effect::Append { op, .. } | Effect::Truncate { op, .. }) = effect else {
                    continue;
                };
                copy.handle(now, Event::Synced { op }).unwrap();
            }
        }
    }
}
