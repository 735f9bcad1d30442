//! Peers that come and go while the node runs, and keys that are registered or revoked.

use std::time::Instant;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::harness::{Authority, Got, TestNode, connect, introduce, note, soon};
use crate::id::NodeId;
use crate::net::{Net, PeerSpec, RequestError, SendError, ServiceId};
use crate::wire::members::KeyHash;

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);
const THREE: NodeId = NodeId(3);

/// Makes exactly these nodes the peers of `node`, each with any key.
fn knows(node: &TestNode, peers: &[&TestNode]) {
    let spec = |peer: &&TestNode| PeerSpec::new(peer.id, peer.net.local_addr());
    node.net.set_peers(peers.iter().map(spec).collect());
}

/// Makes `peer` the only peer of `node`, with these keys.
fn knows_by(node: &TestNode, peer: &TestNode, keys: &[KeyHash]) {
    let (id, addr) = (peer.id, peer.net.local_addr());
    node.net.set_peers(vec![PeerSpec { node: id, addr, keys: keys.to_vec() }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_peer_is_connected_and_one_removed_is_cut_off_at_once_and_told() {
    let authority = Authority::new();
    let (one, two) = authority.pair().await;
    let mut three = TestNode::start(authority.setup(3, &[1, 2]));
    three.net.open();
    knows(&one, &[&two, &three]);
    knows(&two, &[&one, &three]);
    one.sees_up(THREE).await;
    two.sees_up(THREE).await;

    let net = one.net.clone();
    let pending = tokio::spawn(async move {
        net.request(THREE, ServiceId::Calls, &note(1), Bytes::new(), soon()).await
    });
    let unanswered = three.next_request().await;
    knows(&one, &[&two]);
    assert_eq!(pending.await.unwrap().unwrap_err(), RequestError::Lost(THREE));
    assert!(!one.net.peers().borrow().contains_key(&THREE));
    let error = one.net.send(THREE, ServiceId::Calls, &note(1), Bytes::new()).unwrap_err();
    assert_eq!(error, SendError::Down(THREE, "it was removed from the cluster".into()));
    assert!(!two.net.was_removed());
    three.sees_error(ONE, "n1 cut this node off: n3 was removed from the cluster").await;
    assert!(three.net.was_removed());
    drop(unanswered);
    // The others keep their connections.
    three.sees_up(TWO).await;
}

/// The removed node is the one that dials: it goes on asking, and gets no further.
#[tokio::test(flavor = "multi_thread")]
async fn a_removed_node_that_dials_is_refused_and_may_come_back_when_it_is_added_again() {
    let authority = Authority::new();
    let (one, two) = authority.pair().await;
    let before = two.sees_up(ONE).await;
    knows(&two, &[]);
    one.sees_error(TWO, "n2 refused this node: n1 was removed from the cluster").await;
    assert!(one.net.was_removed());
    knows(&two, &[&one]);
    assert!(two.sees_up(ONE).await.link > before.link);
    one.sees_up(TWO).await;
    assert!(!one.net.was_removed());
}

/// Sends numbered messages, without a pause that would let a loss go unseen, until it is stopped;
/// gives how many.
fn stream(from: Net, to: NodeId) -> (JoinHandle<u64>, tokio::sync::oneshot::Sender<()>) {
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        let mut sent = 0;
        while stopped.try_recv().is_err() {
            from.send(to, ServiceId::Calls, &note(sent), Bytes::new()).unwrap();
            sent += 1;
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        sent
    });
    (task, stop)
}

#[tokio::test(flavor = "multi_thread")]
async fn while_others_come_and_go_no_message_between_those_that_stay_is_lost() {
    let authority = Authority::new();
    let (one, mut two) = authority.pair().await;
    let link = one.sees_up(TWO).await;
    let (sending, stop) = stream(one.net.clone(), TWO);
    let three = TestNode::start(authority.setup(3, &[1, 2]));
    three.net.open();
    for _ in 0..5 {
        knows(&one, &[&two, &three]);
        knows(&two, &[&one, &three]);
        one.sees_up(THREE).await;
        two.sees_up(THREE).await;
        knows(&one, &[&two]);
        knows(&two, &[&one]);
    }
    stop.send(()).unwrap();
    let sent = sending.await.unwrap();
    for number in 0..sent {
        assert_eq!(two.next_message().await.1, note(number));
    }
    assert_eq!(one.sees_up(TWO).await, link);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_loses_its_connection_at_once_and_does_not_come_back() {
    let authority = Authority::new();
    // Each in turn: the one that dials loses its key, and the one that is dialed.
    for (judge, loser) in [(2, 1), (1, 2)] {
        let setup = authority.setup(loser, &[judge]);
        let (key, other) = (setup.identity.key().unwrap(), KeyHash([9; 32]));
        let loser = TestNode::start(setup);
        let judge = TestNode::start(authority.setup(judge, &[loser.id.0]));
        knows_by(&judge, &loser, &[key, other]);
        connect(&judge, &loser).await;
        let net = judge.net.clone();
        let id = loser.id;
        let pending = tokio::spawn(async move {
            net.request(id, ServiceId::Calls, &note(1), Bytes::new(), soon()).await
        });
        let mut loser = loser;
        let unanswered = loser.next_request().await;

        knows_by(&judge, &loser, &[other]);
        let error = judge.net.send(id, ServiceId::Calls, &note(1), Bytes::new()).unwrap_err();
        assert!(matches!(error, SendError::Down(..)), "{error}");
        assert_eq!(pending.await.unwrap().unwrap_err(), RequestError::Lost(id));
        drop(unanswered);
        let text = "shows a certificate whose key is not registered for it";
        judge.sees_error(id, text).await;
        loser.sees_error(judge.id, text).await;
        // It was the key, and nothing else.
        knows_by(&judge, &loser, &[key]);
        judge.sees_up(id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_authority_with_an_unregistered_key_is_refused() {
    let authority = Authority::new();
    for (judge, thief) in [(2, 1), (1, 2)] {
        let owner = authority.setup(thief, &[judge]);
        let thief = TestNode::start(authority.setup(thief, &[judge]));
        let judge = TestNode::start(authority.setup(judge, &[thief.id.0]));
        knows_by(&judge, &thief, &[owner.identity.key().unwrap()]);
        introduce(&judge, &thief);
        let text = "shows a certificate whose key is not registered for it";
        judge.sees_error(thief.id, text).await;
        thief.sees_error(judge.id, text).await;
        assert!(judge.net.peers().borrow()[&thief.id].up.is_none());
    }
}

/// Asks one question after another until it is stopped; gives how many were answered.
fn ask(from: Net, to: NodeId) -> (JoinHandle<u64>, tokio::sync::oneshot::Sender<()>) {
    let (stop, mut stopped) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        let mut answered = 0;
        while stopped.try_recv().is_err() {
            let question = note(answered);
            let asked = from.request(to, ServiceId::Calls, &question, Bytes::new(), soon());
            asked.await.unwrap();
            answered += 1;
        }
        answered
    });
    (task, stop)
}

/// Answers all requests.
fn answer_all(mut node: TestNode) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(got) = node.got.recv().await {
            if let Got::Request(asked, body, reply) = got {
                reply.send(&asked, body);
            }
        }
    })
}

/// A new key, a new authority and again a new key for each of two nodes, step by step as a cluster
/// does it, while they ask each other questions: the connection lives on, and every question is
/// answered.
#[tokio::test(flavor = "multi_thread")]
async fn keys_and_the_authority_are_rotated_under_traffic() {
    let old = Authority::new();
    let new = crate::net::CertificateAuthority::create(old.0.cluster()).unwrap();
    let (one, two) = old.pair().await;
    let link = one.sees_up(TWO).await;
    let (addr_1, addr_2) = (one.net.local_addr(), two.net.local_addr());
    let nets = [one.net.clone(), two.net.clone()];
    let asking = [ask(nets[0].clone(), TWO), ask(nets[1].clone(), ONE)];
    let answering = [answer_all(one), answer_all(two)];

    let both = [new.cert_pem(), old.0.cert_pem()].concat();
    for (me, other, addr) in [(0, 1, addr_1), (1, 0, addr_2)] {
        let (mine, others) = (&nets[me], &nets[other]);
        let id = NodeId(me as u64 + 1);
        let current = mine.identity().borrow().clone();
        // All trust both before anyone shows the new one.
        for net in &nets {
            let now = net.identity().borrow().clone();
            let trusting = crate::net::Identity { ca_pem: both.clone(), ..(*now).clone() };
            net.set_identity(trusting).unwrap();
        }
        let fresh = crate::net::Identity { ca_pem: both.clone(), ..new.issue(id, &[]).unwrap() };
        let (before, after) = (current.key().unwrap(), fresh.key().unwrap());
        others.set_peers(vec![PeerSpec { node: id, addr, keys: vec![before, after] }]);
        mine.set_identity(fresh).unwrap();
        assert_eq!(mine.renew(soon()).await, []);
        others.set_peers(vec![PeerSpec { node: id, addr, keys: vec![after] }]);
    }
    for net in &nets {
        let now = net.identity().borrow().clone();
        let last = crate::net::Identity { ca_pem: new.cert_pem().into(), ..(*now).clone() };
        net.set_identity(last).unwrap();
    }
    for (task, stop) in asking {
        stop.send(()).unwrap();
        assert!(task.await.unwrap() > 0);
    }
    assert_eq!(nets[0].peers().borrow()[&TWO].up, Some(link));
    for task in answering {
        task.abort();
    }

    // Who comes with a certificate of the authority before is refused now.
    let late = TestNode::start(old.setup(3, &[1]));
    late.net.set_peer_addr(ONE, addr_1);
    nets[0]
        .set_peers(vec![PeerSpec::new(TWO, addr_2), PeerSpec::new(THREE, late.net.local_addr())]);
    late.net.open();
    let error = late.sees_error(ONE, "invalid peer certificate").await;
    assert!(error.contains("--replace"), "{error}");
}

/// A thief has connected with a stolen key before its owner replaced it: the owner's proof is about
/// its own connection, so the thief's is not taken for renewed, and ends with the key.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_not_taken_for_somebody_elses_connection() {
    let authority = Authority::new();
    let stolen = authority.setup(2, &[1]);
    let (thief, owner) = (TestNode::start(stolen.clone()), TestNode::start(stolen.clone()));
    let one = TestNode::start(authority.setup(1, &[2]));
    let elsewhere = TestNode::start(authority.setup(1, &[2]));
    connect(&one, &thief).await;
    connect(&elsewhere, &owner).await;

    let fresh = authority.0.issue(TWO, &[]).unwrap();
    let (before, after) = (stolen.identity.key().unwrap(), fresh.key().unwrap());
    knows_by(&one, &thief, &[before, after]);
    owner.net.set_peer_addr(ONE, one.net.local_addr());
    owner.net.set_identity(fresh).unwrap();
    let refused = owner.net.renew(Instant::now()).await;
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].1.contains("another connection's end"), "{refused:?}");
    knows_by(&one, &thief, &[after]);
    thief.sees_error(ONE, "n1 cut this node off: the key that n2 showed").await;
}
