//! What happens when nodes die, restart, fall silent or fail inside.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Runtime;

use super::harness::{Authority, Relay, TestNode, connect, introduce, note, soon};
use crate::id::{Incarnation, NodeId};
use crate::net::actor::PeerMsg;
use crate::net::{
    BulkStream, Inbound, NetSetup, Peer, Replier, RequestError, SendError, ServiceId,
};
use crate::wire::Malformed;

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);

/// Longer than any test waits: what is noticed, is noticed without it.
const NEVER: Duration = Duration::from_secs(60);

/// A node on a runtime of its own, so that it can be killed: nothing of it says goodbye.
struct Mortal {
    node: TestNode,
    runtime: Runtime,
}

impl Mortal {
    fn start(setup: NetSetup) -> Self {
        let runtime = Runtime::new().unwrap();
        let node = {
            let _entered = runtime.enter();
            TestNode::start(setup)
        };
        Self { node, runtime }
    }

    /// `held` is what else of it the test has.
    async fn kill(self, held: impl Send + 'static) {
        let Self { node, runtime } = self;
        let killed = tokio::task::spawn_blocking(move || {
            runtime.shutdown_timeout(Duration::from_secs(5));
            drop((node, held));
        });
        killed.await.unwrap();
    }
}

/// The same node in its next life, at the same address.
fn reborn(old: &NetSetup, at: &TestNode) -> NetSetup {
    let incarnation = Incarnation(old.incarnation.0 + 1);
    NetSetup { incarnation, listen: at.net.local_addr(), ..old.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_node_is_connected_again_without_waiting_for_silence() {
    let authority = Authority::new();
    // Each in turn: the node that dials is restarted, and the node that is dialed.
    for (stays, dies) in [(2, 1), (1, 2)] {
        let mut setup = authority.setup(stays, &[dies]);
        setup.options.silence = NEVER;
        let stays = TestNode::start(setup);
        let mut setup = authority.setup(dies, &[stays.id.0]);
        setup.options.silence = NEVER;
        let mut dies = Mortal::start(setup.clone());
        let id = dies.node.id;
        connect(&stays, &dies.node).await;
        let before = stays.sees_up(id).await;

        let net = stays.net.clone();
        let pending = tokio::spawn(async move {
            net.request(id, ServiceId::Calls, &note(1), Bytes::new(), soon()).await
        });
        let unanswered = dies.node.next_request().await;
        let next = reborn(&setup, &dies.node);
        dies.kill(unanswered).await;
        let again = TestNode::start(next);
        introduce(&stays, &again);

        assert_eq!(pending.await.unwrap().unwrap_err(), RequestError::Lost(id));
        let newer = |up: &Peer| up.incarnation == Incarnation(2);
        let status = stays.sees(id, "back", |status| status.up.as_ref().is_some_and(newer)).await;
        assert!(status.up.unwrap().link > before.link);
        again.sees_up(stays.id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_cut_off_is_down_after_silence_and_up_when_the_path_is_back() {
    const SILENCE: Duration = Duration::from_millis(600);
    let authority = Authority::new();
    let [mut one, mut two] = [authority.setup(1, &[2]), authority.setup(2, &[1])];
    for setup in [&mut one, &mut two] {
        setup.options.silence = SILENCE;
        setup.options.keep_alive = Duration::from_millis(100);
    }
    let (one, two) = (TestNode::start(one), TestNode::start(two));
    let relay = Relay::to(two.net.local_addr()).await;
    one.net.set_peer_addr(TWO, relay.addr);
    one.net.open();
    two.net.open();
    let before = (one.sees_up(TWO).await, two.sees_up(ONE).await);

    relay.cut(true);
    let cut = Instant::now();
    one.sees_error(TWO, "n2 is silent").await;
    two.sees_error(ONE, "n1 is silent").await;
    // A keep-alive may have been on its way when the path was cut.
    assert!(cut.elapsed() >= SILENCE - Duration::from_millis(150), "{:?}", cut.elapsed());
    let error = one.net.send(TWO, ServiceId::Calls, &note(1), Bytes::new()).unwrap_err();
    assert!(matches!(error, SendError::Down(TWO, _)), "{error}");

    relay.cut(false);
    assert!(one.sees_up(TWO).await.link > before.0.link);
    assert!(two.sees_up(ONE).await.link > before.1.link);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_and_takes_again_when_the_peer_has_read() {
    let authority = Authority::new();
    let mut setup = authority.setup(1, &[2]);
    setup.options.queue_bytes = 3 << 20;
    setup.options.silence = NEVER;
    let one = TestNode::start(setup);
    let mut setup = authority.setup(2, &[1]);
    setup.options.silence = NEVER;
    let mut two = TestNode::start(setup);
    let relay = Relay::to(two.net.local_addr()).await;
    one.net.set_peer_addr(TWO, relay.addr);
    one.net.open();
    two.net.open();
    one.sees_up(TWO).await;
    two.sees_up(ONE).await;

    relay.cut(true);
    let body = Bytes::from(vec![1; 64 << 10]);
    let send = |number| one.net.send(TWO, ServiceId::Calls, &note(number), body.clone());
    let sent = (0..10_000).find(|number| match send(*number) {
        Ok(()) => false,
        Err(error) => {
            assert_eq!(error, SendError::Full(TWO));
            true
        }
    });
    let sent = sent.expect("the queue took 600 MB");
    // Other services have queues of their own.
    one.net.send(TWO, ServiceId::Consensus, &note(0), Bytes::new()).unwrap();
    relay.cut(false);
    let mut calls = 0;
    while calls < sent {
        let (_, got, bytes) = two.next_message().await;
        if bytes.is_empty() {
            continue;
        }
        assert_eq!((got, bytes.len()), (note(calls), body.len()));
        calls += 1;
    }
    send(sent).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peers_actor_that_fails_is_restarted_and_the_peers_connect_again() {
    let (one, two) = Authority::new().pair().await;
    let before = (one.sees_up(TWO).await, two.sees_up(ONE).await);
    for (node, peer, before) in [(&one, TWO, before.0), (&two, ONE, before.1)] {
        let before = before.link;
        node.net.shared.tell(peer, PeerMsg::Panic);
        let newer = |up: &Peer| up.link > before;
        node.sees(peer, "up again", |status| status.up.as_ref().is_some_and(newer)).await;
    }
    two.sees_up(ONE).await;
    one.sees_up(TWO).await;
}

/// Panics on every message, once told to.
struct Panics;

impl Inbound for Panics {
    fn message(&self, _: Peer, _: &[u8], _: Bytes) -> Result<(), Malformed> {
        panic!("asked to")
    }
    fn request(&self, _: Peer, _: &[u8], _: Bytes, _: Replier) -> Result<(), Malformed> {
        Ok(())
    }
    fn bulk(&self, _: Peer, _: &[u8], _: BulkStream) -> Result<(), Malformed> {
        Ok(())
    }
    fn datagram(&self, _: Peer, _: &[u8]) -> Result<(), Malformed> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_panics_costs_its_connection_and_no_more() {
    let authority = Authority::new();
    let one = TestNode::start(authority.setup(1, &[2]));
    let mut two = TestNode::start(authority.setup(2, &[1]));
    two.net.register(ServiceId::Blobs, Arc::new(Panics));
    connect(&one, &two).await;
    let before = one.sees_up(TWO).await.link;
    one.net.send(TWO, ServiceId::Blobs, &note(1), Bytes::new()).unwrap();
    let newer = |up: &Peer| up.link > before;
    one.sees(TWO, "up again", |status| status.up.as_ref().is_some_and(newer)).await;
    one.net.send(TWO, ServiceId::Calls, &note(2), Bytes::new()).unwrap();
    assert_eq!(two.next_message().await.1, note(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_handle_takes_the_connections_along() {
    let (one, two) = Authority::new().pair().await;
    drop(one);
    two.sees_error(ONE, "stopping").await;
}
