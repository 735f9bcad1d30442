//! What this node does for others: sends blobs, keeps blobs, says which it lacks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::local::Local;
use super::remote::Stream;
use super::transfer::{
    self, Budget, TransferError, receive_reply, send_reply, time_for, unexpected, within,
};
use super::{BlobError, MAX_BLOB};
use crate::id::{BlobHash, NodeId};
use crate::net::{BulkStream, Inbound, Peer, Replier};
use crate::wire::blobs::{BlobBulk, BulkReply, Have, Lacking, MAX_HAVE};
use crate::wire::{Malformed, decode};

/// Transfers that peers may have under way or waiting here; the streams of more are closed. Their
/// bytes are bounded by the budgets.
const ADMITTED: usize = 256;

/// The serving side. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    local: Local,
    closed: AtomicBool,
    /// Blobs that are being taken.
    taking: AtomicUsize,
    admitted: Arc<Semaphore>,
    /// Apart, so that nodes which fetch from each other cannot wait in a ring.
    sending: Budget,
    keeping: Budget,
    patience: Duration,
}

impl Server {
    /// Serves what is in `local`. A peer that neither sends nor takes anything is given up after
    /// `patience`.
    pub fn new(local: Local, patience: Duration) -> Self {
        let admitted = Arc::new(Semaphore::new(ADMITTED));
        let (sending, keeping) = (Budget::new(), Budget::new());
        let (closed, taking) = (AtomicBool::new(false), AtomicUsize::new(0));
        let inner = Inner { local, closed, taking, admitted, sending, keeping, patience };
        Self { inner: Arc::new(inner) }
    }

    /// Whether it takes no more blobs: this node leaves the cluster, and its blobs are elsewhere.
    pub fn set_closed(&self, closed: bool) {
        self.inner.closed.store(closed, Ordering::SeqCst);
    }

    /// Whether no blob is being taken.
    pub fn is_idle(&self) -> bool {
        self.inner.taking.load(Ordering::SeqCst) == 0
    }

    /// Takes a bulk stream that a peer opened, and serves it in the background.
    pub fn accept(&self, from: NodeId, head: &[u8], stream: Stream) -> Result<(), Malformed> {
        let request: BlobBulk = decode("blob stream", head)?;
        if let BlobBulk::Store(_, len) = request
            && len > MAX_BLOB
        {
            let why = format!("it announces {len} bytes, more than a blob may have ({MAX_BLOB})");
            return Err(Malformed { what: "blob stream", why });
        }
        let Ok(admitted) = self.inner.admitted.clone().try_acquire_owned() else {
            tracing::warn!(%from, "too many blob transfers; one more is turned away");
            return Ok(());
        };
        let inner = self.inner.clone();
        tokio::spawn(async move {
            let _admitted = admitted;
            let (what, done) = match request {
                BlobBulk::Fetch(hash) => ("send", inner.send(hash, stream).await),
                BlobBulk::Store(hash, len) => ("keep", inner.keep(hash, len, stream).await),
            };
            if let Err(error) = done {
                let why = error.told(from);
                tracing::warn!(%from, what, ?request, why, "a blob transfer for a peer failed");
            }
        });
        Ok(())
    }

    /// Answers a [`Have`].
    pub fn lacking(&self, head: &[u8]) -> Result<Lacking, Malformed> {
        let Have(hashes) = decode("blob request", head)?;
        if hashes.len() > MAX_HAVE {
            let why = format!("{} hashes are more than {MAX_HAVE}", hashes.len());
            return Err(Malformed { what: "blob request", why });
        }
        Ok(Lacking(self.inner.local.lacking(&hashes)))
    }
}

impl Inner {
    async fn send(&self, hash: BlobHash, mut stream: Stream) -> Result<(), TransferError> {
        let Some(len) = self.local.len_of(&hash) else {
            let reply = send_reply(&mut stream.send, &BulkReply::NotFound);
            return within(self.until(0), "it did not read the answer", reply).await;
        };
        let work = async {
            let _room = self.sending.take(len).await?;
            match self.local.read(&hash).await {
                Ok(Some(bytes)) => {
                    let found = BulkReply::Found(bytes.len() as u64);
                    send_reply(&mut stream.send, &found).await?;
                    match receive_reply(&mut stream.recv).await? {
                        BulkReply::Go => {}
                        reply => return Err(unexpected(&reply)),
                    }
                    transfer::send_blob(&mut stream.send, &bytes).await
                }
                Ok(None) => send_reply(&mut stream.send, &BulkReply::NotFound).await,
                Err(e) => send_reply(&mut stream.send, &BulkReply::refused(e.to_string())).await,
            }
        };
        within(self.until(len), "it did not read the blob in time", work).await
    }

    async fn keep(
        &self,
        hash: BlobHash,
        len: u64,
        mut stream: Stream,
    ) -> Result<(), TransferError> {
        let _taking = Taking::new(&self.taking);
        let work = async {
            if self.closed.load(Ordering::SeqCst) {
                return Err(TransferError::Leaving);
            }
            let _memory = self.keeping.take(len).await?;
            let room = self.local.room(len).await?;
            send_reply(&mut stream.send, &BulkReply::Go).await?;
            let bytes = transfer::receive_blob(&mut stream.recv, hash, len).await?;
            // Whatever this node thinks of the members: its answer counts as a durable copy.
            Ok(self.local.keep(hash, bytes, room).await?)
        };
        let done = within(self.until(len), "its bytes did not come", work).await;
        let reply = match &done {
            Ok(()) => BulkReply::Stored,
            Err(TransferError::Here(BlobError::Full(why))) => BulkReply::full(why),
            Err(error) => BulkReply::refused(error.to_string()),
        };
        let reply = send_reply(&mut stream.send, &reply);
        let told = within(self.until(0), "it did not read the answer", reply).await;
        done.and(told)
    }

    fn until(&self, len: u64) -> Instant {
        Instant::now() + self.patience + time_for(len)
    }
}

/// A blob that is being taken.
struct Taking<'a>(&'a AtomicUsize);

impl<'a> Taking<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Inbound for Server {
    fn message(&self, _from: Peer, _head: &[u8], _body: Bytes) -> Result<(), Malformed> {
        Err(Malformed { what: "blob message", why: "there are none".to_owned() })
    }

    fn request(
        &self,
        _from: Peer,
        head: &[u8],
        _body: Bytes,
        reply: Replier,
    ) -> Result<(), Malformed> {
        reply.send(&self.lacking(head)?, Bytes::new());
        Ok(())
    }

    fn bulk(&self, from: Peer, head: &[u8], stream: BulkStream) -> Result<(), Malformed> {
        self.accept(from.node, head, stream.into())
    }

    fn datagram(&self, _from: Peer, _bytes: &[u8]) -> Result<(), Malformed> {
        Err(Malformed { what: "blob datagram", why: "there are none".to_owned() })
    }
}
