//! Nodes that are connected, and worlds on them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::config::NetOptions;
use crate::function::Control;
use crate::id::{CallId, ClusterId, Incarnation, NodeId};
use crate::mpi::constants as c;
use crate::mpi::engine::{
    Endpoint, Envelope, Mode, Pattern, Payload, Request, Status, Target, Worlds,
};
use crate::net::{CertificateAuthority, Net, NetSetup, PeerSpec};
use crate::wire::mpi::Seat;

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A node.
pub struct Node {
    pub id: NodeId,
    pub net: Net,
    pub worlds: Worlds,
}

/// So many nodes, connected.
pub async fn nodes(count: u64) -> Vec<Node> {
    let authority = CertificateAuthority::create(ClusterId::random()).unwrap();
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let node = |id: u64| {
        let net = Net::start(NetSetup {
            me: NodeId(id),
            incarnation: Incarnation(1),
            cluster: authority.cluster(),
            listen: nowhere,
            peers: (1..=count).map(|peer| PeerSpec::new(NodeId(peer), nowhere)).collect(),
            identity: authority.issue(NodeId(id), &[]).unwrap(),
            options: NetOptions::default(),
        });
        let net = net.unwrap();
        let worlds = Worlds::start(NodeId(id), &net, 2);
        Node { id: NodeId(id), net, worlds }
    };
    let all: Vec<Node> = (1..=count).map(node).collect();
    for one in &all {
        for other in all.iter().filter(|other| other.id != one.id) {
            one.net.set_peer_addr(other.id, other.net.local_addr());
        }
        one.net.open();
    }
    for one in &all {
        let mut peers = one.net.peers();
        let up = peers.wait_for(|table| table.values().all(|status| status.up.is_some()));
        tokio::time::timeout(PATIENCE, up).await.expect("they connect").unwrap();
    }
    all
}

/// A rank that sits.
pub struct Seated {
    pub endpoint: Arc<Endpoint>,
    pub control: Arc<Control>,
}

/// The seat of a rank of a job whose ranks are on these nodes.
pub fn seat(world: u128, epoch: u32, rank: u32, on: &[u64]) -> Seat {
    let nodes = on.iter().map(|node| NodeId(*node)).collect();
    Seat { world: CallId(world), epoch, rank, nodes }
}

/// Seats a rank.
pub fn sit(nodes: &[Node], seat: &Seat) -> Seated {
    let control = Control::new();
    let node = nodes.iter().find(|node| node.id == seat.nodes[seat.rank as usize]).unwrap();
    let endpoint = node.worlds.endpoint(seat, &control).unwrap();
    Seated { endpoint, control }
}

/// Seats all ranks of a job.
pub fn sit_all(nodes: &[Node], on: &[u64]) -> Vec<Seated> {
    (0..on.len() as u32).map(|rank| sit(nodes, &seat(7, 1, rank, on))).collect()
}

/// A message of the tests: its tag, and how many bytes of which number.
pub fn send(from: &Endpoint, to: u32, tag: i32, bytes: Bytes, mode: Mode) -> Arc<Request> {
    let envelope = Envelope { context: 0, source: from.rank(), tag };
    from.send(to, envelope, Payload::Host(bytes), mode)
}

/// What takes it.
pub fn pattern(source: Option<u32>, tag: Option<i32>) -> Pattern {
    Pattern { context: 0, source, world_source: source, tag }
}

/// Begins to receive.
pub fn receive(at: &Endpoint, source: Option<u32>, tag: Option<i32>) -> Arc<Request> {
    at.receive(pattern(source, tag), Target::Host(1 << 24))
}

/// Waits for its end.
pub async fn end(request: &Request) -> Status {
    tokio::time::timeout(PATIENCE, request.done()).await.expect("it is complete in time")
}

/// Waits for a good end; the bytes.
pub async fn got(request: &Request) -> Bytes {
    let status = end(request).await;
    assert_eq!((status.error, status.cancelled), (c::MPI_SUCCESS, false));
    request.take_bytes().unwrap_or_default()
}

/// Waits until a receive is in doubt.
pub async fn doubted(request: &Request) {
    let settled = std::future::poll_fn(|cx| match request.poll_settled(cx.waker()) {
        Some(status) => std::task::Poll::Ready(status),
        None => std::task::Poll::Pending,
    });
    let status = tokio::time::timeout(PATIENCE, settled).await.expect("it is in doubt in time");
    assert_eq!(status.error, c::MPIX_ERR_PROC_FAILED_PENDING);
    assert!(request.is_in_doubt() && !request.is_done());
}
