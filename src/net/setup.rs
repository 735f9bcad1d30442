//! How the component starts and stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ractor::{ActorRef, ActorRuntime};
use tokio::runtime::Handle;

use crate::config::NetOptions;
use crate::id::{ClusterId, Incarnation, NodeId};
use crate::net::error::{CloseCode, Fault, NetError};
use crate::net::frame::{HEADER, MAX_BODY};
use crate::net::identity::{CertName, Identity};
use crate::net::shared::{Parts, Shared};
use crate::net::slots::PeerSpec;
use crate::net::supervisor::{Msg, Supervisor};
use crate::net::transport;
use crate::wire::MAX_HEAD;
use crate::wire::hello::Hello;

/// Keep-alives that must fit into the time of silence: with fewer, one lost packet would pass for
/// a dead peer.
const KEEP_ALIVES: u32 = 3;

/// What the component is started with.
#[derive(Debug, Clone)]
pub struct NetSetup {
    /// This node.
    pub me: NodeId,
    /// Which of its lives.
    pub incarnation: Incarnation,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The other nodes; this node's own entry is passed over.
    pub peers: Vec<PeerSpec>,
    /// Its certificate.
    pub identity: Identity,
    /// Settings.
    pub options: NetOptions,
}

impl NetSetup {
    /// Checks everything and binds the socket.
    pub(super) fn prepare(self) -> Result<Shared, NetError> {
        let runtime = Handle::try_current()?;
        check_options(&self.options)?;
        check_name(&self.identity, CertName { node: self.me, cluster: self.cluster })?;
        let bound = transport::bind(self.listen, &self.identity, &self.options)?;
        Ok(Shared::new(Parts {
            hello: Hello::new(self.cluster, self.me, self.incarnation),
            options: self.options,
            addr: bound.addr,
            endpoint: bound.endpoint,
            doors: bound.doors,
            runtime,
            peers: self.peers,
        }))
    }
}

/// An identity that names somebody else would be refused everywhere.
pub(super) fn check_name(identity: &Identity, expected: CertName) -> Result<(), NetError> {
    match identity.name()? {
        found if found == expected => Ok(()),
        found => Err(NetError::WrongIdentity { found, expected }),
    }
}

fn check_options(options: &NetOptions) -> Result<(), NetError> {
    let bad = |why: String| Err(NetError::Options(why));
    if options.keep_alive.is_zero() || options.silence < options.keep_alive * KEEP_ALIVES {
        return bad(format!("`silence` must be at least {KEEP_ALIVES} times `keep_alive`"));
    }
    let longest = HEADER + MAX_HEAD + MAX_BODY;
    if options.queue_bytes < longest {
        return bad(format!("`queue_bytes` must hold the longest message, {longest} bytes"));
    }
    Ok(())
}

/// The running component: what the last handle, when dropped, takes along.
pub(super) struct Running {
    shared: Arc<Shared>,
    supervisor: Mutex<Option<ActorRef<Msg>>>,
}

impl Running {
    /// Not yet open.
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), supervisor: Mutex::new(None) }
    }

    /// The address it listens on.
    pub(super) fn local_addr(&self) -> SocketAddr {
        self.shared.addr
    }

    /// Starts the supervisor, once.
    pub(super) fn open(&self) {
        let mut supervisor = self.supervisor.lock();
        if supervisor.is_some() {
            return;
        }
        let _runtime = self.shared.runtime.enter();
        match ActorRuntime::spawn_instant(None, Supervisor, Arc::clone(&self.shared)) {
            Ok((actor, _)) => *supervisor = Some(actor),
            Err(error) => tracing::error!(%error, "the supervisor of connections did not start"),
        }
    }

    /// The set of peers changed.
    pub(super) fn peers_changed(&self) {
        if let Some(supervisor) = &*self.supervisor.lock() {
            // One that is gone has closed everything already.
            let _ = supervisor.send_message(Msg::Peers);
        }
    }

    /// Closes in good order, within `grace`.
    pub(super) async fn close(&self, grace: Duration) {
        let supervisor = self.supervisor.lock().clone();
        if let Some(supervisor) = supervisor {
            // One that is gone has closed everything already.
            let _ = supervisor.send_message(Msg::Close);
            let idle = {
                let _timers = self.shared.runtime.enter();
                tokio::time::timeout(grace, self.drained())
            };
            if idle.await.is_err() {
                tracing::warn!("connections were closed before all was sent");
            }
        }
        self.stop();
        // Receivers hold this component's handle: let go of each other.
        self.shared.inbounds.lock().fill(None);
    }

    /// Waits until the last connection is closed.
    async fn drained(&self) {
        let mut table = self.shared.table.subscribe();
        // The sender lives as long as `self`.
        let _ = table.wait_for(|table| table.values().all(|status| status.up.is_none())).await;
        self.shared.endpoint.wait_idle().await;
    }

    fn stop(&self) {
        for link in self.shared.slots().values().filter_map(|slot| slot.link.load_full()) {
            link.close(&Fault {
                code: CloseCode::Stopping,
                why: "the node is stopping".to_owned(),
            });
        }
        self.shared.endpoint.close(CloseCode::Stopping.into(), b"the node is stopping");
        if let Some(supervisor) = self.supervisor.lock().take() {
            supervisor.stop(None);
        }
        // The receivers hold handles of this component: let go of them, or neither ever ends.
        *self.shared.inbounds.lock() = Default::default();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}
