//! Who is no peer: both ends say why.

use std::io::Write;
use std::sync::Arc;

use parking_lot::Mutex;

use super::harness::{Authority, TestNode, connect, introduce};
use crate::id::{ClusterId, Incarnation, NodeId};
use crate::net::setup::Running;
use crate::net::{CertificateAuthority, Net, NetSetup};
use crate::wire::hello::Hello;

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);

/// A node that says something else of itself than its setup.
fn liar(setup: NetSetup, change: impl Fn(&mut Hello)) -> TestNode {
    let id = setup.me;
    let mut shared = setup.prepare().unwrap();
    change(&mut shared.hello);
    let shared = Arc::new(shared);
    let running = Arc::new(Running::new(&shared));
    TestNode::around(id, Net { shared, running })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_authority_is_refused() {
    let authority = Authority::new();
    let other = CertificateAuthority::create(authority.0.cluster()).unwrap();
    let one = TestNode::start(authority.setup(1, &[2]));
    let mut setup = authority.setup(2, &[1]);
    setup.identity = other.issue(TWO, &[]).unwrap();
    let two = TestNode::start(setup);
    introduce(&one, &two);
    let error = one.sees_error(TWO, "invalid peer certificate").await;
    assert!(error.contains("faasm cert"), "{error}");
    let error = two.sees_error(ONE, "invalid peer certificate").await;
    assert!(error.contains("faasm cert"), "{error}");
}

/// The dialer trusts the other end, but its own certificate is foreign.
#[tokio::test(flavor = "multi_thread")]
async fn a_dialer_with_a_foreign_certificate_is_refused() {
    let authority = Authority::new();
    let other = CertificateAuthority::create(authority.0.cluster()).unwrap();
    let mut setup = authority.setup(1, &[2]);
    setup.identity = other.issue(ONE, &[]).unwrap();
    setup.identity.ca_pem = authority.0.cert_pem().to_owned();
    let one = TestNode::start(setup);
    let two = TestNode::start(authority.setup(2, &[1]));
    introduce(&one, &two);
    let error = one.sees_error(TWO, "n2 refused this node's TLS").await;
    assert!(error.contains("invalid peer certificate"), "{error}");
    two.sees_error(ONE, "invalid peer certificate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_of_another_node_is_not_taken_for_the_one_dialed() {
    let authority = Authority::new();
    let one = TestNode::start(authority.setup(1, &[2]));
    let three = TestNode::start(authority.setup(3, &[1]));
    one.net.set_peer_addr(TWO, three.net.local_addr());
    three.net.set_peer_addr(ONE, one.net.local_addr());
    one.net.open();
    three.net.open();
    one.sees_error(TWO, "not valid for name \"n2.").await;
    three.sees_error(ONE, "not valid for name \"n2.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_cluster_is_refused() {
    let authority = Authority::new();
    let one = TestNode::start(authority.setup(1, &[2]));
    let two = liar(authority.setup(2, &[1]), |hello| hello.cluster = ClusterId(7));
    introduce(&one, &two);
    let ours = authority.0.cluster();
    let text = format!("n1 belongs to cluster {ours}, n2 to cluster {}", ClusterId(7));
    one.sees_error(TWO, &format!("n2 refused this node: {text}")).await;
    two.sees_error(ONE, &format!("refused by this node: {text}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_speaks_no_common_protocol_is_refused() {
    let authority = Authority::new();
    let newer = |hello: &mut Hello| (hello.protocol_min, hello.protocol_max) = (8, 9);
    let one = liar(authority.setup(1, &[2]), newer);
    let two = TestNode::start(authority.setup(2, &[1]));
    introduce(&one, &two);
    let text = "n1 speaks protocol 8 to 9, n2 speaks 2 to 2: upgrade the older one";
    one.sees_error(TWO, &format!("n2 refused this node: {text}")).await;
    two.sees_error(ONE, &format!("refused by this node: {text}")).await;
}

/// The dialer refuses, here: the one that was dialed lies.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_claims_to_be_another_is_refused() {
    let authority = Authority::new();
    let one = TestNode::start(authority.setup(1, &[2, 3]));
    let two = liar(authority.setup(2, &[1]), |hello| hello.node = NodeId(3));
    introduce(&one, &two);
    let text = "n3 shows a certificate of n2.";
    one.sees_error(TWO, &format!("refused by this node: {text}")).await;
    two.sees_error(ONE, &format!("n1 refused this node: {text}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_of_an_older_life_is_refused_while_the_newer_one_stays() {
    let authority = Authority::new();
    let mut setup = authority.setup(1, &[2]);
    let old = TestNode::start(setup.clone());
    setup.incarnation = Incarnation(2);
    let new = TestNode::start(setup);
    let two = TestNode::start(authority.setup(2, &[1]));
    connect(&new, &two).await;
    let up = two.sees_up(ONE).await;
    old.net.set_peer_addr(TWO, two.net.local_addr());
    old.net.open();
    let text = "n2 refused this node: n1 comes in incarnation i1, and i2 was seen";
    old.sees_error(TWO, text).await;
    assert_eq!(two.sees_up(ONE).await, up);
}

/// A place that the log is written to.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// On one thread, so that the log of that thread is the log of both nodes.
#[tokio::test]
async fn a_node_that_is_not_configured_is_refused_and_both_log_it() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let authority = Authority::new();
    let one = TestNode::start(authority.setup(1, &[2]));
    let two = TestNode::start(authority.setup(2, &[3]));
    introduce(&one, &two);
    let text = "n1 is no member of the cluster that n2 knows";
    one.sees_error(TWO, &format!("n2 refused this node: {text}")).await;
    let log = String::from_utf8(log.0.lock().clone()).unwrap();
    assert!(log.contains(&format!("n2 refused this node: {text}")), "{log}");
    assert!(log.contains(&format!("refused by this node: {text}")), "{log}");
}
