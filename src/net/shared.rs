//! What the handle, the actors and the tasks of this component share.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use quinn::Endpoint;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::config::NetOptions;
use crate::id::{ClusterId, NodeId};
use crate::net::actor::PeerMsg;
use crate::net::doors::Doors;
use crate::net::error::{CloseCode, removed_text, says_removed};
use crate::net::gate::LogGate;
use crate::net::hello::Standing;
use crate::net::link::Link;
use crate::net::peer::Event;
use crate::net::slots::{PeerSpec, Slot};
use crate::net::streams::Inbounds;
use crate::net::{Peer, PeerStatus, PeerTable, SendError};
use crate::wire::hello::Hello;

/// The peers, by node.
pub(super) type Slots = BTreeMap<NodeId, Arc<Slot>>;

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
    /// How to dial and to accept.
    pub doors: Doors,
    /// The runtime that everything runs on.
    pub runtime: Handle,
    /// The peers; replaced as a whole, so that a look-up takes no lock.
    slots: ArcSwap<Slots>,
    /// The nodes that were peers. Locked while the peers change and while a connection is admitted:
    /// one that was made for an older set of peers does not slip in.
    removed: Mutex<BTreeSet<NodeId>>,
    /// The peers that said, when they last ended a connection, that this node was removed.
    told_removed: Mutex<BTreeSet<NodeId>>,
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
    pub doors: Doors,
    pub runtime: Handle,
    pub peers: Vec<PeerSpec>,
}

impl Shared {
    /// All peers down.
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { hello, options, addr, endpoint, doors, runtime, peers } = parts;
        let shared = Self {
            hello,
            options,
            addr,
            endpoint,
            doors,
            runtime,
            slots: ArcSwap::default(),
            removed: Mutex::default(),
            told_removed: Mutex::default(),
            table: watch::Sender::default(),
            inbounds: Mutex::default(),
            strangers: Mutex::default(),
            links: AtomicU64::new(0),
        };
        shared.set_peers(peers);
        shared
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

    /// The peers.
    pub(super) fn slots(&self) -> Arc<Slots> {
        self.slots.load_full()
    }

    /// A peer.
    pub(super) fn slot(&self, node: NodeId) -> Option<Arc<Slot>> {
        self.slots.load().get(&node).cloned()
    }

    /// Whether this is what is known of the peer, and not of one before it with the same name.
    pub(super) fn is_current(&self, slot: &Arc<Slot>) -> bool {
        self.slots.load().get(&slot.node).is_some_and(|current| Arc::ptr_eq(current, slot))
    }

    /// The live connection to a node.
    pub(super) fn link(&self, node: NodeId) -> Result<Arc<Link>, SendError> {
        let link = self.slots.load().get(&node).and_then(|slot| slot.link.load_full());
        link.ok_or_else(|| SendError::Down(node, self.why_down(node)))
    }

    fn why_down(&self, node: NodeId) -> String {
        if node == self.me() {
            return "it is this node itself".to_owned();
        }
        if let Some(status) = self.table.borrow().get(&node) {
            let error = status.last_error.clone();
            return error.unwrap_or_else(|| "there was no connection to it yet".to_owned());
        }
        match self.removed.lock().contains(&node) {
            true => "it was removed from the cluster".to_owned(),
            false => "it is no member of the cluster that this node knows".to_owned(),
        }
    }

    /// Replaces the set of peers; entries of this node are passed over. What changes is told to the
    /// actors of the peers; whether peers came or went is the answer.
    pub(super) fn set_peers(&self, specs: Vec<PeerSpec>) -> bool {
        let wanted: BTreeMap<NodeId, PeerSpec> = specs
            .into_iter()
            .filter(|spec| spec.node != self.me())
            .map(|spec| (spec.node, spec))
            .collect();
        let mut removed = self.removed.lock();
        let before = self.slots.load_full();
        let slot = |(node, spec): (&NodeId, &PeerSpec)| {
            let slot = before.get(node).map_or_else(|| Slot::new(spec), Arc::clone);
            (*node, slot)
        };
        let now: Slots = wanted.iter().map(slot).collect();
        let gone: Vec<_> = before.iter().filter(|(node, _)| !now.contains_key(node)).collect();
        let changed = !gone.is_empty() || now.len() > before.len();
        removed.retain(|node| !now.contains_key(node));
        removed.extend(gone.iter().map(|(node, _)| **node));
        if changed {
            self.slots.store(Arc::new(now.clone()));
            self.table.send_modify(|table| {
                let table = Arc::make_mut(table);
                table.retain(|node, _| now.contains_key(node));
                for node in now.keys() {
                    table.entry(*node).or_insert_with(PeerStatus::unseen);
                }
            });
        }
        for (node, slot) in gone {
            slot.cut(CloseCode::Removed, &removed_text(*node));
        }
        for (node, spec) in &wanted {
            let Some(slot) = before.get(node) else { continue };
            if slot.move_to(spec.addr) {
                slot.tell(PeerMsg::Event(Event::Moved));
            }
            if let Some(why) = slot.set_keys(&spec.keys, self.doors.generation()) {
                self.is_down(slot, &why);
            }
        }
        changed
    }

    /// How a node stands with this one.
    pub(super) fn standing(&self, node: NodeId) -> Standing {
        match self.slot(node) {
            Some(slot) => Standing::Known(slot.known()),
            None if self.removed.lock().contains(&node) => Standing::Removed,
            None => Standing::Unknown,
        }
    }

    /// The peer that listens at this address.
    pub(super) fn peer_at(&self, addr: SocketAddr) -> Option<NodeId> {
        let slots = self.slots.load();
        slots.values().find(|slot| *slot.addr.lock() == addr).map(|slot| slot.node)
    }

    /// Sends a peer's actor a message; without an actor nothing is to be done.
    pub(super) fn tell(&self, node: NodeId, message: PeerMsg) {
        if let Some(slot) = self.slot(node) {
            slot.tell(message);
        }
    }

    /// Makes `link` the connection to its peer, unless the peer was removed or lost its key since
    /// the hello; then the answer is why.
    pub(super) fn set_up(&self, slot: &Arc<Slot>, link: &Arc<Link>) -> Result<(), String> {
        let _unchanged = self.removed.lock();
        if !self.is_current(slot) {
            return Err(removed_text(slot.node));
        }
        if !slot.allows(&link.shown(), self.doors.generation()) {
            return Err(format!("the key of {} was revoked meanwhile", slot.node));
        }
        slot.set_link(link);
        let Peer { node, .. } = link.peer;
        self.told_removed.lock().remove(&node);
        self.update(node, |status| {
            status.up = Some(link.peer);
            status.since = Instant::now();
            status.rtt = Some(link.conn.rtt());
            status.last_error = None;
        });
        Ok(())
    }

    /// There is no connection to a peer any more. Does nothing when it was down before.
    pub(super) fn set_down(&self, slot: &Arc<Slot>, why: &str) {
        if let Some(link) = slot.clear_link() {
            self.hear_end(slot.node, &link.conn);
            self.is_down(slot, why);
        }
    }

    fn is_down(&self, slot: &Arc<Slot>, why: &str) {
        if !self.is_current(slot) {
            return;
        }
        self.update(slot.node, |status| {
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

    /// A connection to a peer has ended, maybe because this node was removed.
    pub(super) fn hear_end(&self, node: NodeId, conn: &quinn::Connection) {
        if conn.close_reason().is_some_and(|reason| says_removed(&reason))
            && self.slot(node).is_some()
        {
            self.told_removed.lock().insert(node);
        }
    }

    /// Whether a peer says that this node was removed.
    pub(super) fn was_removed(&self) -> bool {
        !self.told_removed.lock().is_empty()
    }

    /// Brings round trip times and gauges up to date. Nobody is woken for it.
    pub(super) fn refresh(&self) {
        let slots = self.slots.load_full();
        let links: Vec<_> = slots.values().filter_map(|slot| slot.link.load_full()).collect();
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
