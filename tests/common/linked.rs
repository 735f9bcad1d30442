//! Nodes of one process that are connected, with nothing on them but MPI.

use std::net::SocketAddr;
use std::time::Duration;

use faasm::config::NetOptions;
use faasm::id::{ClusterId, Incarnation, NodeId};
use faasm::mpi::engine::Worlds;
use faasm::net::{CertificateAuthority, Net, NetSetup, PeerSpec};

/// One.
pub struct Linked {
    /// Its number.
    pub id: NodeId,
    /// Its connections.
    pub net: Net,
    /// Its jobs.
    pub worlds: Worlds,
}

/// So many, numbered from 1 on, once all are connected to each other.
pub async fn linked(count: u64) -> Vec<Linked> {
    let authority = CertificateAuthority::create(ClusterId::random()).expect("an authority");
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let node = |id: u64| {
        let setup = NetSetup {
            me: NodeId(id),
            incarnation: Incarnation(1),
            cluster: authority.cluster(),
            listen: nowhere,
            peers: (1..=count).map(|peer| PeerSpec::new(NodeId(peer), nowhere)).collect(),
            identity: authority.issue(NodeId(id), &[]).expect("a certificate"),
            options: NetOptions::default(),
        };
        let net = Net::start(setup).expect("it starts");
        let worlds = Worlds::start(NodeId(id), &net, 2);
        Linked { id: NodeId(id), net, worlds }
    };
    let all: Vec<_> = (1..=count).map(node).collect();
    for one in &all {
        for other in all.iter().filter(|other| other.id != one.id) {
            one.net.set_peer_addr(other.id, other.net.local_addr());
        }
        one.net.open();
    }
    for one in &all {
        let mut peers = one.net.peers();
        let up = peers.wait_for(|table| table.values().all(|status| status.up.is_some()));
        let up = tokio::time::timeout(Duration::from_secs(20), up).await;
        up.expect("they connect").expect("the node runs");
    }
    all
}
