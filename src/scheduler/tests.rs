//! The handle: who waits, and who is believed.

use std::sync::Arc;

use super::{Needs, Parts, Scheduler, Waiting};
use crate::id::{BlobHash, CallId, Incarnation, Name, NodeId};
use crate::net::Peer;
use crate::wire::calls::Room;
use crate::wire::encode;
use crate::wire::function::Policy;
use crate::wire::load::{Load, MAX_RUMORS, Report, Rumor};

fn scheduler(slots: usize) -> Scheduler {
    Scheduler::new(Parts {
        me: NodeId(1),
        slots,
        capacity: 100,
        queue_per_user: 3,
        modules: Arc::new(Vec::new),
        accepting: Arc::new(|| true),
    })
}

fn waiting(call: u128, user: &str, pin: &[u64]) -> Waiting {
    let pin = pin.iter().map(|node| NodeId(*node)).collect();
    Waiting {
        call: CallId(call),
        user: Name::new(user).unwrap(),
        holding: Arc::default(),
        needs: Needs { policy: Policy::BinPack, pin, wasm: BlobHash::of(b"module") },
        movable: true,
        reserved: false,
        function: Arc::default(),
        go: Box::new(drop),
    }
}

fn report(rumors: Vec<Rumor>) -> Vec<u8> {
    let room = Room { free_slots: 4, free_places: 4, running: 0 };
    let own = Load { seq: 1, room, accepting: true, ..Load::default() };
    encode(&Report { own, rumors }).to_vec()
}

fn peer(node: u64) -> Peer {
    Peer { node: NodeId(node), incarnation: Incarnation(1), link: 1 }
}

#[test]
fn one_users_queue_is_bounded_and_anothers_is_its_own() {
    let scheduler = scheduler(0);
    assert!((1..=3).all(|call| scheduler.enqueue(waiting(call, "alice", &[]), 10)));
    assert!(!scheduler.enqueue(waiting(4, "alice", &[]), 10));
    assert!(scheduler.is_queue_full(&Name::new("alice").unwrap()));
    assert!(scheduler.enqueue(waiting(5, "bob", &[]), 10));
    assert!(scheduler.take_queued(CallId(2)).is_some());
    assert!(scheduler.enqueue(waiting(6, "alice", &[]), 10));
}

#[test]
fn what_waits_for_nodes_that_are_down_alone_is_stranded() {
    let scheduler = scheduler(0);
    for (call, pin) in [(1, &[2][..]), (2, &[2, 3]), (3, &[1, 2])] {
        scheduler.enqueue(waiting(call, "alice", pin), 10);
    }
    assert_eq!(scheduler.stranded(&|node| node == NodeId(3)), [CallId(1)]);
}

#[test]
fn a_start_that_waits_goes_where_room_is_reported() {
    let scheduler = scheduler(0);
    scheduler.enqueue(waiting(1, "alice", &[]), 10);
    scheduler.heard(peer(2), &report(Vec::new())).unwrap();
    assert_eq!(scheduler.waiting(), 0);
}

#[test]
fn a_report_that_tells_of_too_many_is_refused_and_one_about_this_node_ignored() {
    let rumor = |node| Rumor {
        node,
        incarnation: 1,
        age_ms: 0,
        free_slots: 9,
        free_places: 9,
        running: 0,
        accepting: true,
        tags: [0; 4],
    };
    let scheduler = scheduler(1);
    let up = (1..=3).map(|node| (NodeId(node), Incarnation(1))).collect();
    scheduler.round(scheduler.load(), up);
    assert!(scheduler.heard(peer(2), &report(vec![rumor(3); MAX_RUMORS + 1])).is_err());
    scheduler.heard(peer(2), &report(vec![rumor(1), rumor(3), rumor(4)])).unwrap();
    assert_eq!(scheduler.view_ages().len(), 2, "of the sender and of n3");
}
