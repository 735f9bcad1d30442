//! With which identity this node dials and accepts; it can be replaced while connections live.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use quinn::{ClientConfig, Endpoint, ServerConfig, TransportConfig};
use tokio::sync::watch;

use crate::net::identity::{Identity, IdentityError};
use crate::net::{tls, transport};

/// How connections begin, by one identity.
struct Current {
    /// To dial a peer.
    dial: ClientConfig,
    /// To prove a new key to a peer that there is a connection to.
    renew: ClientConfig,
}

/// How to accept, and whether to.
struct Entrance {
    config: ServerConfig,
    open: bool,
}

/// The doors of an endpoint.
pub(super) struct Doors {
    transport: Arc<TransportConfig>,
    current: ArcSwap<Current>,
    entrance: Mutex<Entrance>,
    identity: watch::Sender<Arc<Identity>>,
}

impl Doors {
    /// Closed ones.
    pub(super) fn new(
        identity: Identity,
        transport: Arc<TransportConfig>,
    ) -> Result<Self, IdentityError> {
        let (current, config) = prepare(&identity, &transport)?;
        Ok(Self {
            transport,
            current: ArcSwap::from_pointee(current),
            entrance: Mutex::new(Entrance { config, open: false }),
            identity: watch::Sender::new(Arc::new(identity)),
        })
    }

    /// Lets connections in.
    pub(super) fn open(&self, endpoint: &Endpoint) {
        let mut entrance = self.entrance.lock();
        entrance.open = true;
        endpoint.set_server_config(Some(entrance.config.clone()));
    }

    /// Lets none in any more.
    pub(super) fn close(&self, endpoint: &Endpoint) {
        self.entrance.lock().open = false;
        endpoint.set_server_config(None);
    }

    /// Connections that begin from now on show this identity.
    pub(super) fn replace(
        &self,
        identity: Identity,
        endpoint: &Endpoint,
    ) -> Result<(), IdentityError> {
        let (current, config) = prepare(&identity, &self.transport)?;
        let mut entrance = self.entrance.lock();
        if entrance.open {
            endpoint.set_server_config(Some(config.clone()));
        }
        entrance.config = config;
        self.current.store(Arc::new(current));
        self.identity.send_replace(Arc::new(identity));
        Ok(())
    }

    /// How to dial a peer.
    pub(super) fn dial(&self) -> ClientConfig {
        self.current.load().dial.clone()
    }

    /// How to prove a new key.
    pub(super) fn renew(&self) -> ClientConfig {
        self.current.load().renew.clone()
    }

    /// The identity, as it changes.
    pub(super) fn identity(&self) -> watch::Receiver<Arc<Identity>> {
        self.identity.subscribe()
    }
}

fn prepare(
    identity: &Identity,
    transport: &Arc<TransportConfig>,
) -> Result<(Current, ServerConfig), IdentityError> {
    let tls = tls::configs(identity)?;
    let client = |crypto| {
        let mut config = ClientConfig::new(crypto);
        config.transport_config(Arc::clone(transport));
        config
    };
    let current = Current { dial: client(tls.dial), renew: client(tls.renew) };
    Ok((current, transport::server(tls.server, transport)))
}
