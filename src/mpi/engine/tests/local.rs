//! Ranks of one node.

use bytes::Bytes;
use futures_util::FutureExt;

use super::harness::{end, got, pattern, receive, send};
use crate::mpi::constants as c;
use crate::mpi::engine::inbox::{MOST_KEPT, OVERHEAD};
use crate::mpi::engine::{Endpoint, Mode, Target, World};

fn two() -> (std::sync::Arc<Endpoint>, std::sync::Arc<Endpoint>) {
    let world = World::local(2);
    (Endpoint::new(world.clone(), 0), Endpoint::new(world, 1))
}

#[tokio::test]
async fn a_message_longer_than_its_receive_is_cut_and_the_receiver_hears_of_it() {
    let (zero, one) = two();
    for posted_first in [false, true] {
        let target = || Target::Host(3);
        let early = posted_first.then(|| one.receive(pattern(Some(0), Some(5)), target()));
        let sent = send(&zero, 1, 5, Bytes::from_static(b"12345"), Mode::Standard);
        let request = early.unwrap_or_else(|| one.receive(pattern(Some(0), Some(5)), target()));
        let status = end(&request).await;
        assert_eq!((status.error, status.bytes), (c::MPI_ERR_TRUNCATE, 3));
        assert_eq!(request.take_bytes().unwrap(), "123");
        assert_eq!(end(&sent).await.error, c::MPI_SUCCESS, "the sender is not to blame");
    }
}

#[tokio::test]
async fn a_rank_sends_to_itself() {
    let alone = Endpoint::alone();
    let request = receive(&alone, Some(0), None);
    let sent = send(&alone, 0, 3, Bytes::from_static(b"me"), Mode::Synchronous);
    assert_eq!(end(&sent).await.error, c::MPI_SUCCESS);
    assert_eq!(got(&request).await, "me");
    assert_eq!(request.status().unwrap().tag, 3);
}

#[tokio::test]
async fn a_synchronous_send_waits_for_its_receive_and_a_standard_one_does_not() {
    let (zero, one) = two();
    let standard = send(&zero, 1, 1, Bytes::from_static(b"a"), Mode::Standard);
    let synchronous = send(&zero, 1, 2, Bytes::from_static(b"b"), Mode::Synchronous);
    assert!(standard.is_done() && !synchronous.is_done());
    assert_eq!(got(&receive(&one, Some(0), Some(2))).await, "b");
    assert!(synchronous.is_done());
}

#[tokio::test]
async fn what_did_not_match_can_be_cancelled_and_what_did_cannot() {
    let (zero, one) = two();
    let sent = send(&zero, 1, 1, Bytes::from_static(b"a"), Mode::Synchronous);
    assert!(zero.cancel(&sent) && sent.status().unwrap().cancelled);
    let request = receive(&one, None, None);
    assert!(!request.is_done(), "it took a message that was withdrawn");
    assert!(one.cancel(&request) && request.status().unwrap().cancelled);
    let sent = send(&zero, 1, 1, Bytes::from_static(b"b"), Mode::Synchronous);
    assert!(!sent.is_done(), "a receive that was withdrawn took it");
    assert_eq!(got(&receive(&one, None, None)).await, "b");
    assert!(!zero.cancel(&sent) && !sent.status().unwrap().cancelled);
}

#[tokio::test]
async fn short_messages_without_a_receive_stay_with_their_sender_once_the_host_keeps_enough() {
    let (zero, one) = two();
    let bytes = Bytes::from(vec![1; 32 << 10]);
    let most = MOST_KEPT / (bytes.len() as u64 + OVERHEAD);
    let kept = (0..most).all(|_| send(&zero, 1, 1, bytes.clone(), Mode::Standard).is_done());
    assert!(kept);
    let over = send(&zero, 1, 1, bytes.clone(), Mode::Standard);
    assert!(!over.is_done());
    for _ in 0..=most {
        assert_eq!(got(&receive(&one, Some(0), Some(1))).await.len(), bytes.len());
    }
    assert!(over.is_done());
    assert!(send(&zero, 1, 1, bytes, Mode::Standard).is_done());
}

#[tokio::test]
async fn a_probe_waits_for_a_message_and_takes_it_out_of_the_queue() {
    let (zero, one) = two();
    let wanted = pattern(None, Some(4));
    let mut probe = Box::pin(one.wait_probe(&wanted));
    assert!(probe.as_mut().now_or_never().is_none());
    send(&zero, 1, 3, Bytes::from_static(b"other"), Mode::Standard);
    assert!(probe.as_mut().now_or_never().is_none());
    send(&zero, 1, 4, Bytes::from_static(b"this"), Mode::Standard);
    let found = probe.await.unwrap();
    assert_eq!((found.envelope.source, found.envelope.tag, found.bytes), (0, 4, 4));
    let (_, message) = one.take(&wanted).unwrap();
    assert!(one.probe(&wanted).is_none());
    assert_eq!(got(&one.receive_taken(message, Target::Host(10))).await, "this");
}

#[tokio::test]
async fn a_rank_outside_of_the_world_is_an_error() {
    let (zero, _one) = two();
    assert_eq!(end(&send(&zero, 2, 0, Bytes::new(), Mode::Standard)).await.error, c::MPI_ERR_RANK);
}
