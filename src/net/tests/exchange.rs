//! What two connected nodes do: messages, requests, bulk streams, datagrams.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::harness::{Authority, Got, Note, PATIENCE, note, soon};
use crate::id::{ClusterId, NodeId};
use crate::net::frame::MAX_BODY;
use crate::net::{NetError, RequestError, SendError, ServiceId};
use crate::wire::{self, MAX_HEAD};

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);

/// A body whose length and content follow from the number; some are long.
fn body(number: u64) -> Bytes {
    let len = if number.is_multiple_of(97) { 20_000 } else { number % 300 };
    vec![number as u8; len as usize].into()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_arrive_whole_and_in_order_under_load_in_both_directions() {
    const COUNT: u64 = 20_000;
    let (mut one, mut two) = Authority::new().pair().await;
    for number in 0..COUNT {
        one.net.send(TWO, ServiceId::Calls, &note(number), body(number)).unwrap();
        two.net.send(ONE, ServiceId::Calls, &note(number), body(number)).unwrap();
    }
    for node in [&mut one, &mut two] {
        for number in 0..COUNT {
            let (_, got, bytes) = node.next_message().await;
            assert_eq!((got, bytes), (note(number), body(number)));
        }
    }
}

/// Guests' threads send too, at the same time as tasks of the component's own runtime.
#[tokio::test(flavor = "multi_thread")]
async fn any_thread_may_send_and_each_ones_messages_stay_in_order() {
    const SENDERS: u64 = 4;
    const COUNT: u64 = 3_000;
    let (one, mut two) = Authority::new().pair().await;
    let send = &|sender: u64, number: u64| {
        let note = Note { number, text: sender.to_string() };
        one.net.send(TWO, ServiceId::Calls, &note, body(number)).unwrap();
    };
    let net = one.net.clone();
    let on_runtime = tokio::spawn(async move {
        for number in 0..COUNT {
            let note = Note { number, text: "task".to_owned() };
            net.send(TWO, ServiceId::Calls, &note, body(number)).unwrap();
            tokio::task::yield_now().await;
        }
    });
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            for sender in 0..SENDERS {
                scope.spawn(move || (0..COUNT).for_each(|number| send(sender, number)));
            }
        });
    });
    on_runtime.await.unwrap();
    let mut next = std::collections::HashMap::new();
    for _ in 0..(SENDERS + 1) * COUNT {
        let (_, note, bytes) = two.next_message().await;
        let expected = next.entry(note.text).or_insert(0);
        assert_eq!((note.number, bytes), (*expected, body(*expected)));
        *expected += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_find_their_answers_whatever_the_order_of_those() {
    let (one, mut two) = Authority::new().pair().await;
    let ask = |number| {
        let net = one.net.clone();
        tokio::spawn(async move {
            net.request(TWO, ServiceId::Blobs, &note(number), body(number), soon()).await
        })
    };
    let asked: Vec<_> = (0..50).map(ask).collect();
    let mut requests = Vec::new();
    for _ in 0..asked.len() {
        requests.push(two.next_request().await);
    }
    for (got, bytes, reply) in requests.into_iter().rev() {
        assert_eq!(bytes, body(got.number));
        reply.send(&note(got.number + 1000), body(got.number + 1));
    }
    for (number, asked) in (0..).zip(asked) {
        let reply = asked.await.unwrap().unwrap();
        assert_eq!(wire::decode::<Note>("note", &reply.head), Ok(note(number + 1000)));
        assert_eq!(reply.body, body(number + 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_an_answer_ends_with_the_reason() {
    let (one, mut two) = Authority::new().pair().await;
    let ask = |deadline| {
        let net = one.net.clone();
        tokio::spawn(async move {
            net.request(TWO, ServiceId::Calls, &note(1), Bytes::new(), deadline).await
        })
    };
    let late = ask(Instant::now() + Duration::from_millis(50));
    let (_, _, kept) = two.next_request().await;
    assert_eq!(late.await.unwrap().unwrap_err(), RequestError::TimedOut(TWO));

    let dropped = ask(soon());
    drop(two.next_request().await);
    let error = dropped.await.unwrap().unwrap_err();
    assert_eq!(error, RequestError::Bad(TWO, "it dropped the request".to_owned()));

    let failed = ask(soon());
    two.next_request().await.2.fail("no room");
    let error = failed.await.unwrap().unwrap_err();
    assert_eq!(error, RequestError::Bad(TWO, "no room".to_owned()));

    let too_big = ask(soon());
    two.next_request().await.2.send(&note(1), vec![0; MAX_BODY + 1].into());
    let error = too_big.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("exceeds the protocol's limit"), "{error}");

    // An answer that comes too late does no harm: the connection still serves.
    kept.send(&note(2), Bytes::new());
    let served = ask(soon());
    two.next_request().await.2.send(&note(3), Bytes::new());
    assert!(served.await.unwrap().is_ok());
}

/// Guests run on a runtime without timers.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_be_made_on_a_runtime_without_timers() {
    let (one, two) = Authority::new().pair().await;
    let net = one.net.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let deadline = Instant::now() + Duration::from_millis(50);
        runtime.block_on(net.request(TWO, ServiceId::Calls, &note(1), Bytes::new(), deadline))
    });
    assert_eq!(asked.await.unwrap().unwrap_err(), RequestError::TimedOut(TWO));
    drop(two);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_stream_carries_64_mib_and_messages_pass_it_by() {
    const LEN: usize = 64 << 20;
    let (one, mut two) = Authority::new().pair().await;
    let mut stream = one.net.bulk(TWO, ServiceId::Blobs, &note(7), soon()).await.unwrap();
    let bytes = Bytes::from_iter((0..LEN).map(|at| (at / 1000) as u8));
    let (sent, net) = (bytes.clone(), one.net.clone());
    let sending = tokio::spawn(async move {
        stream.send.write_all(&sent[..LEN / 2]).await.unwrap();
        net.send(TWO, ServiceId::Consensus, &note(8), Bytes::new()).unwrap();
        stream.send.write_all(&sent[LEN / 2..]).await.unwrap();
        stream.send.finish().unwrap();
        stream.recv.read_to_end(100).await.unwrap()
    });
    let Got::Bulk(head, mut stream) = two.next().await else { panic!("no bulk stream came") };
    assert_eq!(head, note(7));
    let mut got = blake3::Hasher::new();
    let mut len = 0;
    while let Some(chunk) = stream.recv.read_chunk(1 << 20, true).await.unwrap() {
        len += chunk.bytes.len();
        got.update(&chunk.bytes);
    }
    assert_eq!((len, got.finalize()), (LEN, blake3::hash(&bytes)));
    assert_eq!(two.next_message().await.1, note(8));
    stream.send.write_all(b"thanks").await.unwrap();
    stream.send.finish().unwrap();
    assert_eq!(sending.await.unwrap(), b"thanks");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datagram_arrives_and_one_that_is_too_long_is_dropped() {
    let (one, mut two) = Authority::new().pair().await;
    one.net.datagram(TWO, ServiceId::Load, &[1; 1_151]);
    one.net.datagram(TWO, ServiceId::Load, &[2; 1_150]);
    let Got::Datagram(bytes) = two.next().await else { panic!("no datagram came") };
    assert_eq!(bytes, vec![2; 1_150]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_refused_with_the_reason() {
    let (one, _two) = Authority::new().pair().await;
    let send = |to, head: &Note, body| one.net.send(to, ServiceId::Calls, head, body);
    let long = Note { number: 0, text: "x".repeat(MAX_HEAD) };
    assert!(matches!(send(TWO, &long, Bytes::new()), Err(SendError::TooBig(_))));
    let body = Bytes::from(vec![0; MAX_BODY + 1]);
    assert!(matches!(send(TWO, &note(1), body), Err(SendError::TooBig(_))));
    let unknown = send(NodeId(9), &note(1), Bytes::new()).unwrap_err();
    assert!(
        unknown.to_string().contains("no member of the cluster that this node knows"),
        "{unknown}"
    );
    assert!(matches!(send(ONE, &note(1), Bytes::new()), Err(SendError::Down(ONE, _))));
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_sends_what_is_queued_and_tells_the_peer() {
    const COUNT: u64 = 2_000;
    let (one, mut two) = Authority::new().pair().await;
    for number in 0..COUNT {
        one.net.send(TWO, ServiceId::Calls, &note(number), vec![0; 1000].into()).unwrap();
    }
    one.net.close(PATIENCE).await;
    for number in 0..COUNT {
        assert_eq!(two.next_message().await.1, note(number));
    }
    two.sees_error(ONE, "n1 is stopping").await;
    let error = one.net.send(TWO, ServiceId::Calls, &note(1), Bytes::new()).unwrap_err();
    assert!(matches!(error, SendError::Down(TWO, _)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_that_cannot_work_is_refused_at_the_start() {
    let authority = Authority::new();
    let start = |setup| crate::net::Net::start(setup).err().map(|error| error.to_string());
    let mut other = authority.setup(1, &[2]);
    other.me = NodeId(3);
    assert!(start(other).unwrap().contains("give it its own"));
    let mut other = authority.setup(1, &[2]);
    other.cluster = ClusterId::random();
    assert!(start(other).unwrap().contains("give it its own"));
    let mut hasty = authority.setup(1, &[2]);
    hasty.options.silence = hasty.options.keep_alive * 2;
    assert!(start(hasty).unwrap().contains("3 times"));
    let mut small = authority.setup(1, &[2]);
    small.options.queue_bytes = 1000;
    assert!(start(small).unwrap().contains("queue_bytes"));
    let running = crate::net::Net::start(authority.setup(1, &[2])).unwrap();
    let mut taken = authority.setup(1, &[2]);
    taken.listen = running.local_addr();
    let error = crate::net::Net::start(taken).err().unwrap();
    assert!(matches!(error, NetError::Bind { .. }), "{error}");
}
