//! What is known of one peer outside its actor: where it listens, the keys that it may show, and
//! the live connection to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use ractor::ActorRef;

use crate::id::{Incarnation, NodeId};
use crate::net::actor::PeerMsg;
use crate::net::error::{CloseCode, Fault};
use crate::net::hello::Known;
use crate::net::link::Link;
use crate::net::metrics;
use crate::wire::members::KeyHash;

/// Another node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerSpec {
    /// Which.
    pub node: NodeId,
    /// Where it listens.
    pub addr: SocketAddr,
    /// The public keys that it may show; empty for any that a certificate of the cluster with its
    /// name has.
    pub keys: Vec<KeyHash>,
}

impl PeerSpec {
    /// A peer that may show any certificate of the cluster that names it.
    pub fn new(node: NodeId, addr: SocketAddr) -> Self {
        Self { node, addr, keys: Vec::new() }
    }
}

/// Whether a node with these registered keys may show `key`.
pub(super) fn allows(keys: &[KeyHash], key: &KeyHash) -> bool {
    keys.is_empty() || keys.contains(key)
}

/// A peer.
pub(super) struct Slot {
    /// Which.
    pub node: NodeId,
    /// Where it listens.
    pub addr: Mutex<SocketAddr>,
    /// The keys that it may show.
    keys: Mutex<Vec<KeyHash>>,
    /// The live connection.
    pub link: ArcSwapOption<Link>,
    /// Its newest incarnation seen.
    seen: AtomicU64,
    /// Its actor, while the component is open.
    pub actor: Mutex<Option<ActorRef<PeerMsg>>>,
}

impl Slot {
    /// A peer without a connection.
    pub(super) fn new(spec: &PeerSpec) -> Arc<Self> {
        Arc::new(Self {
            node: spec.node,
            addr: Mutex::new(spec.addr),
            keys: Mutex::new(spec.keys.clone()),
            link: ArcSwapOption::empty(),
            seen: AtomicU64::new(0),
            actor: Mutex::new(None),
        })
    }

    /// What the hello is to be measured by.
    pub(super) fn known(&self) -> Known {
        let seen = Incarnation(self.seen.load(Ordering::Acquire));
        Known { seen, keys: self.keys.lock().clone() }
    }

    /// Whether the peer may show this key.
    pub(super) fn allows(&self, key: &KeyHash) -> bool {
        allows(&self.keys.lock(), key)
    }

    /// Makes `link` the connection to the peer.
    pub(super) fn set_link(&self, link: &Arc<Link>) {
        self.seen.fetch_max(link.peer.incarnation.0, Ordering::AcqRel);
        self.link.store(Some(Arc::clone(link)));
        metrics::peer_is_up(self.node, true);
    }

    /// There is no connection any more. Whether there was one.
    pub(super) fn clear_link(&self) -> Option<Arc<Link>> {
        let link = self.link.swap(None)?;
        metrics::peer_is_up(self.node, false);
        Some(link)
    }

    /// Sends the actor a message; without one nothing is to be done.
    pub(super) fn tell(&self, message: PeerMsg) {
        if let Some(actor) = self.actor.lock().clone() {
            let _ = actor.send_message(message);
        }
    }

    /// Changes where it listens. Whether that is news.
    pub(super) fn move_to(&self, addr: SocketAddr) -> bool {
        std::mem::replace(&mut *self.addr.lock(), addr) != addr
    }

    /// Changes the keys; ends the connection at once if its key is not among them. Gives why.
    pub(super) fn set_keys(&self, keys: &[KeyHash]) -> Option<String> {
        *self.keys.lock() = keys.to_vec();
        let link = self.link.load_full()?;
        if allows(keys, &link.key()) {
            return None;
        }
        let why = format!("the key that {} showed is not registered for it any more", self.node);
        self.cut(CloseCode::Revoked, &why);
        Some(why)
    }

    /// Ends the connection at once: what is queued is dropped, requests under way fail.
    pub(super) fn cut(&self, code: CloseCode, why: &str) {
        if let Some(link) = self.clear_link() {
            link.close(&Fault { code, why: why.to_owned() });
            link.bury();
        }
    }
}
