//! How consensus reaches the other nodes: over [`Net`], or inside one process in tests.

use std::time::Instant;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::id::NodeId;
use crate::net::{Net, SendError, ServiceId};
use crate::wire::consensus::{Answer, Message, Request};

/// The way to the other nodes. Messages may be lost.
pub trait Transport: Send + Sync + 'static {
    /// Queues a message; never waits.
    fn send(&self, to: NodeId, message: &Message, body: Bytes) -> Result<(), SendError>;
    /// Asks, and waits for the answer; the error says why there is none.
    fn request(
        &self,
        to: NodeId,
        request: Request,
        deadline: Instant,
    ) -> BoxFuture<'static, Result<Answer, String>>;
    /// Why a node cannot be reached now; `None` if it can.
    fn why_down(&self, node: NodeId) -> Option<String>;
}

/// Over the node's connections.
pub struct NetTransport(pub Net);

impl Transport for NetTransport {
    fn send(&self, to: NodeId, message: &Message, body: Bytes) -> Result<(), SendError> {
        self.0.send(to, ServiceId::Consensus, message, body)
    }

    fn request(
        &self,
        to: NodeId,
        request: Request,
        deadline: Instant,
    ) -> BoxFuture<'static, Result<Answer, String>> {
        let net = self.0.clone();
        Box::pin(async move {
            let reply = net.request(to, ServiceId::Consensus, &request, Bytes::new(), deadline);
            let reply = reply.await.map_err(|error| error.to_string())?;
            crate::wire::decode("answer", &reply.head).map_err(|error| error.to_string())
        })
    }

    fn why_down(&self, node: NodeId) -> Option<String> {
        let peers = self.0.peers().borrow().clone();
        match peers.get(&node) {
            None => Some("it is not configured".into()),
            Some(peer) if peer.up.is_some() => None,
            Some(peer) => Some(peer.last_error.clone().unwrap_or_else(|| "no connection".into())),
        }
    }
}
