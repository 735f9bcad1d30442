//! Ranks of several nodes.

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::harness::{PATIENCE, end, got, nodes, pattern, receive, seat, send, sit, sit_all};
use crate::mpi::constants as c;
use crate::mpi::engine::far::credit;
use crate::mpi::engine::inbox::OVERHEAD;
use crate::mpi::engine::{Mode, Target, Traffic};

/// Bytes that tell which they are.
fn bytes(number: usize, len: usize) -> Bytes {
    (0..len).map(|at| (at * 7 + number) as u8).collect::<Vec<_>>().into()
}

#[tokio::test]
async fn messages_keep_their_order_whatever_their_length_and_whenever_they_are_asked_for() {
    let nodes = nodes(2).await;
    let ranks = sit_all(&nodes, &[1, 2]);
    let mut rng = StdRng::seed_from_u64(5);
    let lengths = [0, 8, 1_000, 16 << 10, (16 << 10) + 1, 70_000, 600_000];
    let all: Vec<(i32, usize)> =
        (0..400).map(|_| (rng.random_range(0..3), lengths[rng.random_range(0..7)])).collect();
    let (from, to) = (&ranks[0].endpoint, &ranks[1].endpoint);
    let mut sent = Vec::new();
    let mut asked: Vec<_> =
        all.iter().enumerate().map(|(number, (tag, _))| (*tag, number)).collect();
    // By tags, each in its order; half of them before anything is sent.
    asked.sort_by_key(|(tag, _)| *tag);
    let post = |(tag, number): &(i32, usize)| (*number, receive(to, Some(0), Some(*tag)));
    let mut posted: Vec<_> = asked[..200].iter().map(post).collect();
    for (number, (tag, len)) in all.iter().enumerate() {
        sent.push(send(from, 1, *tag, bytes(number, *len), Mode::Standard));
    }
    posted.extend(asked[200..].iter().map(post));
    for (number, request) in posted {
        assert_eq!(got(&request).await, bytes(number, all[number].1), "message {number}");
    }
    for request in sent {
        assert_eq!(end(&request).await.error, c::MPI_SUCCESS);
    }
    let bytes = all.iter().map(|(_, len)| *len as u64).sum();
    let traffic = Traffic { from: 0, to: 1, messages: 400, bytes };
    assert_eq!(nodes[0].worlds.traffic(crate::id::CallId(7)), [traffic]);
}

#[tokio::test]
async fn a_sender_without_credit_waits_and_goes_on_when_it_gets_some_back() {
    let nodes = nodes(2).await;
    let ranks = sit_all(&nodes, &[1, 2]);
    let (from, to) = (&ranks[0].endpoint, &ranks[1].endpoint);
    let cost = 1_000 + OVERHEAD;
    let most = (credit(2) / cost) as usize;
    let sent: Vec<_> = (0..most + 50)
        .map(|number| send(from, 1, 1, bytes(number, 1_000), Mode::Standard))
        .collect();
    assert!(sent[..most].iter().all(|request| request.is_done()));
    assert!(sent[most..].iter().all(|request| !request.is_done()), "it sent more than it may");
    for number in 0..most + 50 {
        assert_eq!(got(&receive(to, Some(0), Some(1))).await, bytes(number, 1_000));
    }
    for request in &sent {
        assert_eq!(end(request).await.error, c::MPI_SUCCESS);
    }
    // All that was taken was given back, but for less than half: told before this answer.
    let last = send(from, 1, 2, Bytes::new(), Mode::Synchronous);
    got(&receive(to, Some(0), Some(2))).await;
    end(&last).await;
    assert!(send(from, 1, 1, bytes(0, 1_000), Mode::Standard).is_done());
}

#[tokio::test]
async fn a_synchronous_send_hears_when_its_message_is_taken() {
    let nodes = nodes(2).await;
    let ranks = sit_all(&nodes, &[1, 2]);
    let (from, to) = (&ranks[0].endpoint, &ranks[1].endpoint);
    for len in [3, 100_000] {
        let sent = send(from, 1, 1, bytes(0, len), Mode::Synchronous);
        let found = tokio::time::timeout(PATIENCE, to.wait_probe(&pattern(None, None))).await;
        assert_eq!(found.unwrap().unwrap().bytes, len as u64);
        assert!(!sent.is_done());
        assert_eq!(got(&receive(to, None, None)).await, bytes(0, len));
        assert_eq!(end(&sent).await.error, c::MPI_SUCCESS);
    }
}

#[tokio::test]
async fn long_messages_are_cut_where_the_receive_ends() {
    let nodes = nodes(2).await;
    let ranks = sit_all(&nodes, &[1, 2]);
    for room in [0, 70_000] {
        let sent = send(&ranks[0].endpoint, 1, 1, bytes(0, 100_000), Mode::Standard);
        let request = ranks[1].endpoint.receive(pattern(Some(0), Some(1)), Target::Host(room));
        let status = end(&request).await;
        assert_eq!((status.error, status.bytes), (c::MPI_ERR_TRUNCATE, room));
        assert_eq!(request.take_bytes().unwrap(), bytes(0, room as usize));
        assert_eq!(end(&sent).await.error, c::MPI_SUCCESS);
    }
}

#[tokio::test]
async fn a_send_to_another_node_is_cancelled_unless_its_message_was_taken() {
    let nodes = nodes(2).await;
    let ranks = sit_all(&nodes, &[1, 2]);
    let (from, to) = (&ranks[0].endpoint, &ranks[1].endpoint);
    for len in [3, 100_000] {
        let sent = send(from, 1, 1, bytes(0, len), Mode::Synchronous);
        from.cancel(&sent);
        assert!(end(&sent).await.cancelled);
        assert!(to.probe(&pattern(None, None)).is_none());
        let request = receive(to, Some(0), Some(1));
        let sent = send(from, 1, 1, bytes(1, len), Mode::Synchronous);
        assert_eq!(got(&request).await, bytes(1, len));
        from.cancel(&sent);
        assert!(!end(&sent).await.cancelled);
    }
}

#[tokio::test]
async fn messages_wait_for_a_rank_that_has_not_started() {
    let nodes = nodes(2).await;
    let on = [1, 2, 2];
    let zero = sit(&nodes, &seat(7, 1, 0, &on));
    let long = send(&zero.endpoint, 1, 1, bytes(1, 100_000), Mode::Standard);
    assert!(send(&zero.endpoint, 1, 2, bytes(2, 10), Mode::Standard).is_done());
    assert!(send(&zero.endpoint, 2, 3, bytes(3, 10), Mode::Standard).is_done());
    // The world begins there with another rank.
    let two = sit(&nodes, &seat(7, 1, 2, &on));
    assert_eq!(got(&receive(&two.endpoint, Some(0), Some(3))).await, bytes(3, 10));
    let one = sit(&nodes, &seat(7, 1, 1, &on));
    assert_eq!(got(&receive(&one.endpoint, Some(0), Some(2))).await, bytes(2, 10));
    assert_eq!(got(&receive(&one.endpoint, Some(0), Some(1))).await, bytes(1, 100_000));
    assert_eq!(end(&long).await.error, c::MPI_SUCCESS);
}

#[tokio::test]
async fn a_message_of_an_earlier_try_at_the_job_reaches_nobody() {
    let nodes = nodes(2).await;
    let on = [1, 2];
    let old = sit(&nodes, &seat(7, 1, 0, &on));
    let new = (sit(&nodes, &seat(7, 2, 0, &on)), sit(&nodes, &seat(7, 2, 1, &on)));
    send(&old.endpoint, 1, 1, bytes(1, 10), Mode::Standard);
    send(&new.0.endpoint, 1, 1, bytes(2, 10), Mode::Standard);
    assert_eq!(got(&receive(&new.1.endpoint, None, None)).await, bytes(2, 10));
    assert!(new.1.endpoint.probe(&pattern(None, None)).is_none());
}

#[tokio::test]
async fn a_world_is_forgotten_with_its_last_rank_but_for_its_traffic() {
    let nodes = nodes(2).await;
    let on = [1, 1, 2];
    let ranks = sit_all(&nodes, &on);
    send(&ranks[0].endpoint, 1, 1, bytes(1, 10), Mode::Standard);
    let here = &nodes[0].worlds;
    assert_eq!(here.ranks()[0].ranks, [0, 1]);
    ranks[0].endpoint.leave(true);
    assert_eq!(here.ranks()[0].ranks, [1]);
    ranks[1].endpoint.leave(true);
    assert!(here.ranks().is_empty());
    assert_eq!(here.traffic(crate::id::CallId(7)).len(), 1);
    let again = here.endpoint(&seat(7, 1, 0, &on), &crate::function::Control::new());
    assert_eq!(again.unwrap_err().code, crate::errno::Errno::Stale);
    assert_eq!(nodes[1].worlds.ranks()[0].ranks, [2], "there one still runs");
    assert!(ranks[2].control.ended().is_none(), "ranks that end in order end no other");
}
