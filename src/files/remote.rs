//! What the blob store asks of other nodes: over [`Net`], or over an in-process fabric in tests.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::transfer::TransferError;
use crate::id::{BlobHash, NodeId};
use crate::net::{BulkStream, Net, PeerTable, ServiceId};
use crate::wire::blobs::{BlobBulk, Have, Lacking};
use crate::wire::decode;

/// Bytes both ways. Dropping it ends it.
pub struct Stream {
    /// To the other node.
    pub send: Box<dyn AsyncWrite + Send + Unpin>,
    /// From the other node.
    pub recv: Box<dyn AsyncRead + Send + Unpin>,
}

impl From<BulkStream> for Stream {
    fn from(stream: BulkStream) -> Self {
        Self { send: Box::new(stream.send), recv: Box::new(stream.recv) }
    }
}

/// The other nodes.
pub trait Remote: Send + Sync + 'static {
    /// Opens a bulk stream that begins with `request`.
    fn open(
        &self,
        to: NodeId,
        request: BlobBulk,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Stream, TransferError>>;

    /// Asks which of these blobs a node lacks.
    fn lacking(
        &self,
        of: NodeId,
        hashes: Vec<BlobHash>,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Vec<BlobHash>, TransferError>>;

    /// The other nodes and which of them are connected; changes at each connect and disconnect.
    fn peers(&self) -> watch::Receiver<Arc<PeerTable>>;
}

impl Remote for Net {
    fn open(
        &self,
        to: NodeId,
        request: BlobBulk,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Stream, TransferError>> {
        Box::pin(async move {
            let stream = self.bulk(to, ServiceId::Blobs, &request, deadline).await?;
            Ok(stream.into())
        })
    }

    fn lacking(
        &self,
        of: NodeId,
        hashes: Vec<BlobHash>,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Vec<BlobHash>, TransferError>> {
        Box::pin(async move {
            let question = Have(hashes);
            let reply =
                self.request(of, ServiceId::Blobs, &question, Bytes::new(), deadline).await?;
            let Lacking(hashes) = decode("answer to Have", &reply.head)?;
            Ok(hashes)
        })
    }

    fn peers(&self) -> watch::Receiver<Arc<PeerTable>> {
        Net::peers(self)
    }
}
