//! Nodes, a network that can be cut, and ways to wait.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::config::NetOptions;
use crate::id::{ClusterId, Incarnation, NodeId};
use crate::net::{
    BulkStream, CertificateAuthority, Inbound, Net, NetSetup, Peer, PeerSpec, PeerStatus, Replier,
    ServiceId,
};
use crate::wire::{self, Malformed};

/// Longest wait for anything, and the deadline of requests that are to be answered.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A message of the tests.
#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize, Clone, PartialEq, Eq, Debug)]
#[rkyv(attr(allow(missing_docs)))]
pub struct Note {
    pub number: u64,
    pub text: String,
}

/// The message with this number.
pub fn note(number: u64) -> Note {
    Note { number, text: format!("note {number}") }
}

/// Something that a node received.
pub enum Got {
    Message(Peer, Note, Bytes),
    Request(Note, Bytes, Replier),
    Bulk(Note, BulkStream),
    Datagram(Bytes),
}

/// More than any test sends before it looks.
const MOST_RECEIVED: usize = 1 << 17;

/// Hands all it receives to the test.
pub struct Recorder(mpsc::Sender<Got>);

impl Recorder {
    fn got(&self, got: Got) -> Result<(), Malformed> {
        // A test that ended does not look any more.
        let _ = self.0.try_send(got);
        Ok(())
    }
}

impl Inbound for Recorder {
    fn message(&self, from: Peer, head: &[u8], body: Bytes) -> Result<(), Malformed> {
        assert!(head.is_empty() || head.as_ptr().align_offset(16) == 0, "the head is not aligned");
        self.got(Got::Message(from, wire::decode("note", head)?, body))
    }

    fn request(
        &self,
        _from: Peer,
        head: &[u8],
        body: Bytes,
        reply: Replier,
    ) -> Result<(), Malformed> {
        self.got(Got::Request(wire::decode("note", head)?, body, reply))
    }

    fn bulk(&self, _from: Peer, head: &[u8], stream: BulkStream) -> Result<(), Malformed> {
        self.got(Got::Bulk(wire::decode("note", head)?, stream))
    }

    fn datagram(&self, _from: Peer, bytes: &[u8]) -> Result<(), Malformed> {
        self.got(Got::Datagram(Bytes::copy_from_slice(bytes)))
    }
}

/// A node and what it received.
pub struct TestNode {
    pub id: NodeId,
    pub net: Net,
    pub got: mpsc::Receiver<Got>,
}

impl TestNode {
    /// Starts on what `setup` says; every service is registered, nothing is open yet.
    pub fn start(setup: NetSetup) -> Self {
        Self::around(setup.me, Net::start(setup).unwrap())
    }

    pub fn around(id: NodeId, net: Net) -> Self {
        let (sender, got) = mpsc::channel(MOST_RECEIVED);
        for service in ServiceId::ALL {
            net.register(service, Arc::new(Recorder(sender.clone())));
        }
        Self { id, net, got }
    }

    pub async fn next(&mut self) -> Got {
        let got = tokio::time::timeout(PATIENCE, self.got.recv()).await;
        got.expect("nothing was received").unwrap()
    }

    /// The next thing received, which must be a message.
    pub async fn next_message(&mut self) -> (Peer, Note, Bytes) {
        match self.next().await {
            Got::Message(from, note, body) => (from, note, body),
            _ => panic!("{} received something else than a message", self.id),
        }
    }

    /// The next thing received, which must be a request.
    pub async fn next_request(&mut self) -> (Note, Bytes, Replier) {
        match self.next().await {
            Got::Request(note, body, reply) => (note, body, reply),
            _ => panic!("{} received something else than a request", self.id),
        }
    }

    /// Waits until what is known of `peer` is as `wanted`; gives it.
    pub async fn sees(
        &self,
        peer: NodeId,
        what: &str,
        wanted: impl Fn(&PeerStatus) -> bool,
    ) -> PeerStatus {
        let mut peers = self.net.peers();
        let seen = peers.wait_for(|table| wanted(&table[&peer]));
        match tokio::time::timeout(PATIENCE, seen).await {
            Ok(table) => table.unwrap()[&peer].clone(),
            Err(_) => {
                let now = self.net.peers().borrow()[&peer].clone();
                panic!("{} waited for {peer} to be {what}; it is {now:?}", self.id)
            }
        }
    }

    /// Waits for a connection to `peer`.
    pub async fn sees_up(&self, peer: NodeId) -> Peer {
        self.sees(peer, "up", |status| status.up.is_some()).await.up.unwrap()
    }

    /// Waits for an error about `peer` that has `part` in it.
    pub async fn sees_error(&self, peer: NodeId, part: &str) -> String {
        let has = |status: &PeerStatus| {
            status.last_error.as_ref().is_some_and(|error| error.contains(part))
        };
        let what = format!("down with `{part}`");
        self.sees(peer, &what, has).await.last_error.unwrap()
    }
}

/// A cluster's authority, and setups of its nodes.
pub struct Authority(pub CertificateAuthority);

impl Authority {
    pub fn new() -> Self {
        Self(CertificateAuthority::create(ClusterId::random()).unwrap())
    }

    /// A setup on a free port, with short times; the peers' addresses are set later.
    pub fn setup(&self, me: u64, peers: &[u64]) -> NetSetup {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
        NetSetup {
            me: NodeId(me),
            incarnation: Incarnation(1),
            cluster: self.0.cluster(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            peers: peers.iter().map(|peer| PeerSpec::new(NodeId(*peer), nowhere)).collect(),
            identity: self.0.issue(NodeId(me), &[]).unwrap(),
            options: NetOptions::default(),
        }
    }

    /// Nodes 1 and 2, connected.
    pub async fn pair(&self) -> (TestNode, TestNode) {
        let one = TestNode::start(self.setup(1, &[2]));
        let two = TestNode::start(self.setup(2, &[1]));
        connect(&one, &two).await;
        (one, two)
    }
}

/// Tells two nodes of each other, opens them and waits until both are connected.
pub async fn connect(one: &TestNode, two: &TestNode) {
    introduce(one, two);
    one.sees_up(two.id).await;
    two.sees_up(one.id).await;
}

/// Tells two nodes of each other and opens them.
pub fn introduce(one: &TestNode, two: &TestNode) {
    one.net.set_peer_addr(two.id, two.net.local_addr());
    two.net.set_peer_addr(one.id, one.net.local_addr());
    one.net.open();
    two.net.open();
}

/// A deadline that is not to be met.
pub fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// A network path to one node that can be cut: what is sent to `addr` reaches the node from a port
/// of the relay's own, one per sender.
pub struct Relay {
    pub addr: SocketAddr,
    cut: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    pub async fn to(target: SocketAddr) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let addr = socket.local_addr().unwrap();
        let cut = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(forward(socket, Arc::clone(&cut), target));
        Self { addr, cut, task }
    }

    /// Loses everything, in both directions, or nothing.
    pub fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(front: Arc<UdpSocket>, cut: Arc<AtomicBool>, target: SocketAddr) {
    let mut backs: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut packet = vec![0; 1 << 16];
    while let Ok((len, from)) = front.recv_from(&mut packet).await {
        let back = match backs.get(&from) {
            Some(back) => Arc::clone(back),
            None => {
                let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
                let (front, cut) = (Arc::clone(&front), Arc::clone(&cut));
                tokio::spawn(answer(Arc::clone(&back), front, from, cut));
                backs.insert(from, Arc::clone(&back));
                back
            }
        };
        if !cut.load(Ordering::SeqCst) {
            // What the network loses is lost.
            let _ = back.send_to(&packet[..len], target).await;
        }
    }
}

async fn answer(back: Arc<UdpSocket>, front: Arc<UdpSocket>, to: SocketAddr, cut: Arc<AtomicBool>) {
    let mut packet = vec![0; 1 << 16];
    while let Ok((len, _)) = back.recv_from(&mut packet).await {
        if !cut.load(Ordering::SeqCst) {
            let _ = front.send_to(&packet[..len], to).await;
        }
    }
}
