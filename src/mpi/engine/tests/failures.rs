//! Ranks and nodes that are lost, jobs that are aborted, communicators that are revoked.

use bytes::Bytes;

use super::harness::{
    PATIENCE, Seated, doubted, end, got, nodes, pattern, receive, seat, send, sit, sit_all,
};
use crate::errno::Errno;
use crate::function::EndReason;
use crate::mpi::constants as c;
use crate::mpi::engine::{Envelope, Mode, Payload, Target};

const FAILED: i32 = c::MPIX_ERR_PROC_FAILED;

/// Waits until a rank is told to end; what its record will say.
async fn told(rank: &Seated) -> crate::errno::CallError {
    let ended = std::future::poll_fn(|cx| match rank.control.poll_ended(cx) {
        Some(reason) => std::task::Poll::Ready(reason),
        None => std::task::Poll::Pending,
    });
    let reason = tokio::time::timeout(PATIENCE, ended).await.expect("it is told to end");
    assert_eq!(reason, EndReason::JobAborted);
    rank.control.error(reason)
}

#[tokio::test]
async fn a_rank_that_ends_without_finalize_ends_the_job_on_all_nodes() {
    let nodes = nodes(3).await;
    let ranks = sit_all(&nodes, &[1, 2, 2, 3]);
    let waiting = receive(&ranks[3].endpoint, Some(0), None);
    ranks[1].endpoint.leave(false);
    for rank in [0, 2, 3] {
        let error = told(&ranks[rank]).await;
        assert_eq!(error.code, Errno::Failed);
        assert!(error.detail.contains("rank 1"), "{}", error.detail);
    }
    assert_eq!(end(&waiting).await.error, c::MPI_ERR_PROC_ABORTED);
    drop(ranks);
    assert!(nodes.iter().all(|node| node.worlds.ranks().is_empty()), "nothing is left behind");
}

#[tokio::test]
async fn what_depends_on_a_lost_node_fails_and_the_rest_goes_on_where_errors_are_handled() {
    let nodes = nodes(3).await;
    let ranks = sit_all(&nodes, &[1, 2, 3]);
    ranks.iter().for_each(|rank| rank.endpoint.survives_failures(true));
    let zero = &ranks[0].endpoint;
    let from_two = receive(zero, Some(2), None);
    let from_any = receive(zero, None, Some(9));
    let from_one = receive(zero, Some(1), Some(5));
    let to_two = send(zero, 2, 1, Bytes::from(vec![0; 100_000]), Mode::Standard);
    let probed = pattern(Some(2), None);
    let probing = zero.wait_probe(&probed);
    nodes[2].net.close(PATIENCE).await;
    for request in [&from_two, &to_two] {
        assert_eq!(end(request).await.error, FAILED);
    }
    doubted(&from_any).await;
    assert_eq!(tokio::time::timeout(PATIENCE, probing).await.unwrap(), Err(FAILED));
    assert_eq!(zero.failed(), [2]);
    assert!(!from_one.is_done());
    assert_eq!(end(&send(zero, 2, 1, Bytes::new(), Mode::Standard)).await.error, FAILED);
    assert_eq!(end(&receive(zero, Some(2), None)).await.error, FAILED);
    let late = receive(zero, None, Some(7));
    doubted(&late).await;
    assert_eq!(zero.received(&late).await.error, FAILED, "a blocking one cannot go on");
    assert_eq!(zero.acknowledge(0), [2]);
    assert!(!from_any.is_in_doubt(), "it goes on");
    send(&ranks[1].endpoint, 0, 9, Bytes::from_static(b"old"), Mode::Standard);
    assert_eq!(got(&from_any).await, "old");
    let from_any = receive(zero, None, Some(6));
    send(&ranks[1].endpoint, 0, 6, Bytes::from_static(b"any"), Mode::Standard);
    send(&ranks[1].endpoint, 0, 5, Bytes::from_static(b"one"), Mode::Standard);
    assert_eq!((got(&from_any).await, got(&from_one).await), ("any".into(), "one".into()));
    assert!(ranks[0].control.ended().is_none() && ranks[1].control.ended().is_none());
}

#[tokio::test]
async fn failures_of_ranks_outside_of_a_communicator_do_not_touch_it() {
    let nodes = nodes(2).await;
    let ranks = sit_all(&nodes, &[1, 1, 2]);
    ranks.iter().for_each(|rank| rank.endpoint.survives_failures(true));
    let zero = &ranks[0].endpoint;
    zero.has_members(8, &[0, 1]);
    let any = |context| pattern_in(context);
    let outside = zero.receive(any(0), Target::Host(10));
    let inside = zero.receive(any(8), Target::Host(10));
    ranks[2].endpoint.leave(false);
    doubted(&outside).await;
    let envelope = Envelope { context: 8, source: 1, tag: 0 };
    let bytes = Bytes::from_static(b"on");
    ranks[1].endpoint.send(0, envelope, Payload::Host(bytes), Mode::Standard);
    assert_eq!(got(&inside).await, "on");
}

#[tokio::test]
async fn nobody_waits_in_a_collective_of_a_communicator_with_a_rank_that_failed() {
    let nodes = nodes(3).await;
    let ranks = sit_all(&nodes, &[1, 1, 2, 3]);
    ranks.iter().for_each(|rank| rank.endpoint.survives_failures(true));
    let (zero, one, two) = (&ranks[0].endpoint, &ranks[1].endpoint, &ranks[2].endpoint);
    [zero, one, two].iter().for_each(|rank| rank.has_members(8, &[0, 1, 2]));
    let of =
        |context, source| crate::mpi::engine::Pattern { context, ..pattern(Some(source), Some(1)) };
    let near = zero.receive(of(1, 1), Target::Host(10));
    let away = zero.receive(of(1, 2), Target::Host(10));
    let other = zero.receive(of(9, 2), Target::Host(10));
    let plain = zero.receive(of(0, 2), Target::Host(10));
    let envelope = |context| Envelope { context, source: 0, tag: 1 };
    let long = Bytes::from(vec![0; 100_000]);
    let sent = zero.send(2, envelope(1), Payload::Host(long), Mode::Standard);
    ranks[3].endpoint.leave(false);
    for request in [&near, &away, &sent] {
        assert_eq!(end(request).await.error, FAILED);
    }
    let late = zero.send(1, envelope(1), Payload::Host(Bytes::new()), Mode::Standard);
    assert_eq!(end(&late).await.error, FAILED);
    for (context, request) in [(9, &other), (0, &plain)] {
        let envelope = Envelope { source: 2, ..envelope(context) };
        two.send(0, envelope, Payload::Host(Bytes::from_static(b"on")), Mode::Standard);
        assert_eq!(got(request).await, "on");
    }
}

fn pattern_in(context: u64) -> crate::mpi::engine::Pattern {
    crate::mpi::engine::Pattern { context, ..pattern(None, None) }
}

#[tokio::test]
async fn short_messages_of_a_rank_that_failed_are_still_received() {
    let nodes = nodes(2).await;
    let ranks = sit_all(&nodes, &[1, 2]);
    ranks.iter().for_each(|rank| rank.endpoint.survives_failures(true));
    let (zero, one) = (&ranks[0].endpoint, &ranks[1].endpoint);
    send(zero, 1, 1, Bytes::from_static(b"last"), Mode::Standard);
    send(zero, 1, 2, Bytes::from(vec![0; 100_000]), Mode::Standard);
    zero.leave(false);
    assert_eq!(end(&receive(one, Some(0), Some(2))).await.error, FAILED);
    assert_eq!(got(&receive(one, Some(0), Some(1))).await, "last");
}

#[tokio::test]
async fn an_abort_ends_all_other_ranks_and_those_that_come_later() {
    let nodes = nodes(2).await;
    let on = [1, 2, 2];
    let (zero, one) = (sit(&nodes, &seat(7, 1, 0, &on)), sit(&nodes, &seat(7, 1, 1, &on)));
    zero.endpoint.abort(3, "rank 0 called MPI_Abort with 3");
    let said = told(&one).await.detail;
    assert_eq!(said, "rank 0 called MPI_Abort with 3; rank 1 waited in no call of MPI");
    assert!(zero.control.ended().is_none(), "it ends by itself, with its own code");
    assert_eq!(one.endpoint.aborted().unwrap().0, 3);
    let late = sit(&nodes, &seat(7, 1, 2, &on));
    told(&late).await;
    assert_eq!(
        end(&send(&late.endpoint, 0, 0, Bytes::new(), Mode::Standard)).await.error,
        c::MPI_ERR_PROC_ABORTED
    );
}

#[tokio::test]
async fn a_revoked_communicator_is_of_no_use_on_any_node_and_others_are() {
    let nodes = nodes(2).await;
    let ranks = sit_all(&nodes, &[1, 2]);
    let (zero, one) = (&ranks[0].endpoint, &ranks[1].endpoint);
    let envelope = |context| Envelope { context, source: 0, tag: 1 };
    let of = |context| crate::mpi::engine::Pattern { context, ..pattern(Some(0), Some(1)) };
    let (lost, collective) = (of(4), of(5));
    let waits = [lost, collective].map(|pattern| one.receive(pattern, Target::Host(10)));
    let other = one.receive(of(6), Target::Host(10));
    assert!(zero.revoke(4));
    for request in waits {
        assert_eq!(end(&request).await.error, c::MPIX_ERR_REVOKED);
    }
    assert!(one.is_revoked(4) && !one.is_revoked(6));
    let sent = zero.send(1, envelope(4), Payload::Host(Bytes::new()), Mode::Standard);
    assert_eq!(end(&sent).await.error, c::MPIX_ERR_REVOKED);
    zero.send(1, envelope(6), Payload::Host(Bytes::from_static(b"x")), Mode::Standard);
    assert_eq!(got(&other).await, "x");
}
