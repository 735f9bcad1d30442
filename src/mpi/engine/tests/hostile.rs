//! A peer that says what no honest one says.

use bytes::Bytes;

use super::harness::{Node, PATIENCE, end, got, nodes, receive, seat, send, sit, sit_all};
use crate::id::CallId;
use crate::mpi::constants as c;
use crate::mpi::engine::Mode;
use crate::net::ServiceId;
use crate::wire::mpi::{MAX_EAGER, Mark, MpiMessage, MpiPull, MpiTold, Route, WorldId};

const MARK: Mark = Mark { context: 0, source: 0, tag: 1 };

fn world() -> WorldId {
    WorldId { world: CallId(7), epoch: 1 }
}

fn say(node: &Node, to: &Node, world: WorldId, what: MpiTold, body: Bytes) {
    node.net.send(to.id, ServiceId::Mpi, &MpiMessage { world, what }, body).unwrap();
}

/// Whether the connection was ended for what was said.
async fn is_cut_off(node: &Node, from: &Node) -> bool {
    let mut peers = node.net.peers();
    let cut = peers.wait_for(|table| {
        let error = table[&from.id].last_error.as_deref();
        error.is_some_and(|error| error.contains("malformed"))
    });
    tokio::time::timeout(PATIENCE, cut).await.is_ok()
}

#[tokio::test]
async fn a_peer_that_lies_about_ranks_lengths_or_credit_is_cut_off() {
    let route = |from, to| Route { from, to };
    let long = Bytes::from(vec![0; MAX_EAGER + 1]);
    let short = Bytes::from_static(b"1");
    let lies: Vec<(MpiTold, Bytes)> = vec![
        (MpiTold::Eager(route(1, 1), MARK, 0), short.clone()),
        (MpiTold::Eager(route(0, 0), MARK, 0), short.clone()),
        (MpiTold::Eager(route(0, 9), MARK, 0), short.clone()),
        (MpiTold::Eager(route(u32::MAX, 1), MARK, 0), short.clone()),
        (MpiTold::Eager(route(0, 1), MARK, 0), long),
        (MpiTold::Ask(route(0, 1), MARK, 10, 0), Bytes::new()),
        (MpiTold::Ask(route(0, 1), MARK, 10, 1), short),
        (MpiTold::Ended(1, false), Bytes::new()),
        (MpiTold::Abort(1, "x".repeat(5_000)), Bytes::new()),
    ];
    for (lie, body) in lies {
        let nodes = nodes(2).await;
        let ranks = sit_all(&nodes, &[1, 2]);
        say(&nodes[0], &nodes[1], world(), lie.clone(), body);
        assert!(is_cut_off(&nodes[0], &nodes[1]).await, "{lie:?} passed");
        drop(ranks);
    }
}

#[tokio::test]
async fn a_peer_that_sends_more_than_its_credit_is_cut_off() {
    let nodes = nodes(2).await;
    let _ranks = sit_all(&nodes, &[1, 2]);
    let body = Bytes::from(vec![0; MAX_EAGER]);
    let route = Route { from: 0, to: 1 };
    for _ in 0..20 {
        let what = MpiTold::Eager(route, MARK, 0);
        let message = MpiMessage { world: world(), what };
        // It may be cut off before the last.
        let _ = nodes[0].net.send(nodes[1].id, ServiceId::Mpi, &message, body.clone());
    }
    assert!(is_cut_off(&nodes[0], &nodes[1]).await);
}

#[tokio::test]
async fn what_an_honest_peer_may_say_too_late_is_passed_over() {
    let nodes = nodes(2).await;
    let ranks = sit_all(&nodes, &[1, 2]);
    let (liar, node) = (&nodes[0], &nodes[1]);
    let route = Route { from: 0, to: 1 };
    for number in [0, 5, u64::MAX] {
        for what in [
            MpiTold::Taken(route, number),
            MpiTold::Refused(route, number),
            MpiTold::Cancel(route, number),
            MpiTold::Cancelled(route, number),
            MpiTold::Credit(route, number),
        ] {
            say(liar, node, world(), what, Bytes::new());
        }
    }
    // Of worlds that nobody knows; what is kept of them is bounded.
    for world in 0..1_000 {
        let world = WorldId { world: CallId(1_000 + world), epoch: 0 };
        say(liar, node, world, MpiTold::Ask(route, MARK, 1, 1), Bytes::new());
    }
    let ask = MpiPull { world: world(), route, number: 77, most: 1 << 40 };
    let bulk = liar.net.bulk(node.id, ServiceId::Mpi, &ask, std::time::Instant::now() + PATIENCE);
    let mut stream = bulk.await.unwrap();
    assert!(stream.recv.read_to_end(10).await.is_ok_and(|bytes| bytes.is_empty()));
    let request = receive(&ranks[1].endpoint, Some(0), Some(2));
    send(&ranks[0].endpoint, 1, 2, Bytes::from_static(b"well"), Mode::Standard);
    assert_eq!(got(&request).await, "well");
}

#[tokio::test]
async fn a_message_whose_bytes_never_come_fails_its_receive() {
    let nodes = nodes(2).await;
    let ranks = sit_all(&nodes, &[1, 2]);
    let route = Route { from: 0, to: 1 };
    say(&nodes[0], &nodes[1], world(), MpiTold::Ask(route, MARK, 1 << 60, 99), Bytes::new());
    let request = receive(&ranks[1].endpoint, Some(0), Some(1));
    assert_eq!(end(&request).await.error, c::MPIX_ERR_PROC_FAILED);
}

#[tokio::test]
async fn a_seat_that_is_none_is_refused() {
    let nodes = nodes(1).await;
    let _zero = sit(&nodes, &seat(7, 1, 0, &[1, 1]));
    let control = crate::function::Control::new();
    for (wrong, why) in [
        (seat(7, 1, 0, &[1, 1]), "runs already"),
        (seat(7, 1, 1, &[1, 1, 1]), "different nodes"),
        (seat(7, 1, 1, &[1, 2]), "not for this node"),
        (seat(7, 1, 5, &[1, 1]), "not for this node"),
        (seat(8, 1, 0, &vec![1; 5_000]), "at most"),
    ] {
        let error = nodes[0].worlds.endpoint(&wrong, &control).unwrap_err();
        assert!(error.detail.contains(why), "{}", error.detail);
    }
}
