//! What the handle, the actors and the tasks of this component share.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use quinn::{Endpoint, ServerConfig};
use ractor::ActorRef;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::config::NetOptions;
use crate::id::{ClusterId, Incarnation, NodeId};
use crate::net::actor::PeerMsg;
use crate::net::gate::LogGate;
use crate::net::link::Link;
use crate::net::streams::Inbounds;
use crate::net::{Peer, PeerStatus, PeerTable, SendError, metrics};
use crate::wire::hello::Hello;

/// What is known of a configured peer, outside its actor.
pub(super) struct Slot {
    /// Where it listens.
    pub addr: Mutex<SocketAddr>,
    /// The live connection.
    pub link: ArcSwapOption<Link>,
    /// Its newest incarnation seen.
    seen: AtomicU64,
    /// Its actor, while the component is open.
    pub actor: Mutex<Option<ActorRef<PeerMsg>>>,
}

/// The state of the component.
pub(super) struct Shared {
    /// What this node says of itself.
    pub hello: Hello,
    /// Settings.
    pub options: NetOptions,
    /// Where it listens.
    pub addr: SocketAddr,
    /// The socket.
    pub endpoint: Endpoint,
    /// How to accept.
    pub server: ServerConfig,
    /// The runtime that everything runs on.
    pub runtime: Handle,
    /// The configured peers; fixed, so that a look-up takes no lock.
    pub slots: BTreeMap<NodeId, Slot>,
    /// What the others see of the peers.
    pub table: watch::Sender<Arc<PeerTable>>,
    /// The receivers of the services.
    pub inbounds: Mutex<Inbounds>,
    /// Keeps strangers from filling the log.
    pub strangers: Mutex<LogGate>,
    links: AtomicU64,
}

/// What is needed to make a [`Shared`].
pub(super) struct Parts {
    pub hello: Hello,
    pub options: NetOptions,
    pub addr: SocketAddr,
    pub endpoint: Endpoint,
    pub server: ServerConfig,
    pub runtime: Handle,
    pub peers: Vec<(NodeId, SocketAddr)>,
}

impl Shared {
    /// All peers down.
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { hello, options, addr, endpoint, server, runtime, mut peers } = parts;
        peers.retain(|(node, _)| *node != hello.node);
        let down = |(node, _): &(NodeId, SocketAddr)| {
            let status =
                PeerStatus { up: None, since: Instant::now(), rtt: None, last_error: None };
            (*node, status)
        };
        let table = watch::Sender::new(Arc::new(peers.iter().map(down).collect()));
        let slot = |(node, addr)| {
            let slot = Slot {
                addr: Mutex::new(addr),
                link: ArcSwapOption::empty(),
                seen: AtomicU64::new(0),
                actor: Mutex::new(None),
            };
            (node, slot)
        };
        Self {
            hello,
            options,
            addr,
            endpoint,
            server,
            runtime,
            slots: peers.into_iter().map(slot).collect(),
            table,
            inbounds: Mutex::default(),
            strangers: Mutex::default(),
            links: AtomicU64::new(0),
        }
    }

    /// This node.
    pub(super) fn me(&self) -> NodeId {
        self.hello.node
    }

    /// The cluster.
    pub(super) fn cluster(&self) -> ClusterId {
        self.hello.cluster
    }

    /// A number for a new connection, larger than those before.
    pub(super) fn next_link(&self) -> u64 {
        self.links.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The live connection to a node.
    pub(super) fn link(&self, node: NodeId) -> Result<Arc<Link>, SendError> {
        let link = self.slots.get(&node).and_then(|slot| slot.link.load_full());
        link.ok_or_else(|| SendError::Down(node, self.why_down(node)))
    }

    fn why_down(&self, node: NodeId) -> String {
        if node == self.me() {
            return "it is this node itself".to_owned();
        }
        match self.table.borrow().get(&node) {
            None => "it is no node of this node's configuration".to_owned(),
            Some(status) => {
                let error = status.last_error.clone();
                error.unwrap_or_else(|| "there was no connection to it yet".to_owned())
            }
        }
    }

    /// The configured peers, each with its newest incarnation seen.
    pub(super) fn known(&self) -> BTreeMap<NodeId, Incarnation> {
        let seen = |slot: &Slot| Incarnation(slot.seen.load(Ordering::Acquire));
        self.slots.iter().map(|(node, slot)| (*node, seen(slot))).collect()
    }

    /// The configured peer that listens at this address.
    pub(super) fn peer_at(&self, addr: SocketAddr) -> Option<NodeId> {
        self.slots.iter().find(|(_, slot)| *slot.addr.lock() == addr).map(|(node, _)| *node)
    }

    /// Sends a peer's actor a message; without an actor nothing is to be done.
    pub(super) fn tell(&self, node: NodeId, message: PeerMsg) {
        if let Some(actor) = self.slots.get(&node).and_then(|slot| slot.actor.lock().clone()) {
            let _ = actor.send_message(message);
        }
    }

    /// Makes `link` the connection to its peer.
    pub(super) fn set_up(&self, link: &Arc<Link>) {
        let Peer { node, incarnation, .. } = link.peer;
        let Some(slot) = self.slots.get(&node) else { return };
        slot.seen.fetch_max(incarnation.0, Ordering::AcqRel);
        slot.link.store(Some(Arc::clone(link)));
        metrics::peer_is_up(node, true);
        self.update(node, |status| {
            status.up = Some(link.peer);
            status.since = Instant::now();
            status.rtt = Some(link.conn.rtt());
            status.last_error = None;
        });
    }

    /// There is no connection to a peer any more. Does nothing when it was down before.
    pub(super) fn set_down(&self, node: NodeId, why: &str) {
        if self.slots.get(&node).and_then(|slot| slot.link.swap(None)).is_none() {
            return;
        }
        metrics::peer_is_up(node, false);
        self.update(node, |status| {
            status.up = None;
            status.since = Instant::now();
            status.rtt = None;
            status.last_error = Some(why.to_owned());
        });
    }

    /// Notes why there is no connection to a peer. Whether that is news.
    pub(super) fn note(&self, node: NodeId, why: &str) -> bool {
        self.table.send_if_modified(|table| {
            let news = |status: &&PeerStatus| status.last_error.as_deref() != Some(why);
            if table.get(&node).filter(news).is_none() {
                return false;
            }
            if let Some(status) = Arc::make_mut(table).get_mut(&node) {
                status.last_error = Some(why.to_owned());
            }
            true
        })
    }

    fn update(&self, node: NodeId, change: impl FnOnce(&mut PeerStatus)) {
        self.table.send_modify(|table| {
            if let Some(status) = Arc::make_mut(table).get_mut(&node) {
                change(status);
            }
        });
    }

    /// Brings round trip times and gauges up to date. Nobody is woken for it.
    pub(super) fn refresh(&self) {
        let links: Vec<_> = self.slots.values().filter_map(|slot| slot.link.load_full()).collect();
        links.iter().for_each(|link| link.report());
        self.table.send_if_modified(|table| {
            let table = Arc::make_mut(table);
            for link in &links {
                if let Some(status) = table.get_mut(&link.peer.node) {
                    status.rtt = status.up.is_some().then(|| link.conn.rtt());
                }
            }
            false
        });
    }
}
