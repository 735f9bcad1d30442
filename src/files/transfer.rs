//! Moving one blob over one stream: what both ends do, whatever the stream is made of.

use std::io;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::disk::blocking;
use super::remote::Remote;
use super::{BlobError, MAX_BLOB, metrics};
use crate::id::{BlobHash, NodeId};
use crate::net::RequestError;
use crate::wire::blobs::{BlobBulk, BulkReply, MAX_REPLY};
use crate::wire::{Malformed, decode, encode};

/// Bytes written or read at once: large enough for the stream, small beside other traffic.
const CHUNK: usize = 256 << 10;
/// A transfer slower than this, in bytes per second, is given up, so that a peer which drips or
/// stalls holds nothing for long.
const SLOWEST: u64 = 4 << 20;
/// Time for the other node to begin: its queue for memory and disk, and the disk itself.
pub const REPLY_WAIT: Duration = Duration::from_secs(5);

/// Why a blob was not moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// The node could not be asked. The text names it.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The stream broke.
    #[error("the stream broke: {0}")]
    Stream(String),
    /// The deadline passed.
    #[error("it was too slow: {0}")]
    TimedOut(&'static str),
    /// It does not have the blob.
    #[error("does not have it")]
    NotFound,
    /// It would not.
    #[error("refused: {0}")]
    Refused(String),
    /// Its disk has no room.
    #[error("its disk is full: {0}")]
    Full(String),
    /// It announced more bytes than a blob may have.
    #[error("announced {0} bytes, more than a blob may have")]
    TooBig(u64),
    /// The stream ended before the blob did.
    #[error("sent {got} of {len} bytes")]
    Ended {
        /// Bytes that came.
        got: u64,
        /// Bytes announced.
        len: u64,
    },
    /// The bytes are not the blob.
    #[error("sent bytes that do not have the blob's hash")]
    WrongHash,
    /// It said what no message says.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// This node takes no more blobs.
    #[error("this node leaves the cluster")]
    Leaving,
    /// Something failed here, not there.
    #[error(transparent)]
    Here(#[from] BlobError),
}

impl TransferError {
    /// The error as a sentence that names the node.
    pub fn told(&self, node: NodeId) -> String {
        match self {
            Self::Request(error) => error.to_string(),
            error => format!("{node}: {error}"),
        }
    }
}

impl From<io::Error> for TransferError {
    fn from(error: io::Error) -> Self {
        Self::Stream(error.to_string())
    }
}

/// Memory for the blobs that are on their way: bounds both their bytes and their number.
pub struct Budget {
    units: Semaphore,
}

impl Budget {
    /// One unit is a MiB; a blob takes at least one.
    const UNIT: u64 = 1 << 20;
    /// Units of one budget: room for two of the largest blobs, or for 512 small ones.
    const UNITS: usize = 2 * (MAX_BLOB / Self::UNIT) as usize;

    /// All of it free.
    pub fn new() -> Self {
        Self { units: Semaphore::new(Self::UNITS) }
    }

    /// Waits for room for `len` bytes, which is given back when the permit is dropped.
    pub async fn take(&self, len: u64) -> Result<SemaphorePermit<'_>, TransferError> {
        let units = len.div_ceil(Self::UNIT).clamp(1, Self::UNITS as u64);
        // At most 512, so that it fits.
        self.units
            .acquire_many(units as u32)
            .await
            .map_err(|e| TransferError::Stream(e.to_string()))
    }
}

/// How long moving `len` bytes may take, once they flow.
pub fn time_for(len: u64) -> Duration {
    Duration::from_secs(len / SLOWEST)
}

/// Runs `work` until `deadline` at most.
pub async fn within<T>(
    deadline: Instant,
    what: &'static str,
    work: impl Future<Output = Result<T, TransferError>>,
) -> Result<T, TransferError> {
    match tokio::time::timeout_at(deadline.into(), work).await {
        Ok(done) => done,
        Err(_) => Err(TransferError::TimedOut(what)),
    }
}

/// Gets a blob from a node, checked. `budget` bounds what is received at once.
pub async fn fetch(
    remote: &dyn Remote,
    from: NodeId,
    hash: BlobHash,
    budget: &Budget,
    deadline: Instant,
) -> Result<Bytes, TransferError> {
    let first = deadline.min(Instant::now() + REPLY_WAIT);
    let mut stream = remote.open(from, BlobBulk::Fetch(hash), first).await?;
    let reply = within(first, "no answer came", receive_reply(&mut stream.recv)).await?;
    let len = match reply {
        BulkReply::Found(len) if len <= MAX_BLOB => len,
        BulkReply::Found(len) => return Err(TransferError::TooBig(len)),
        BulkReply::NotFound => return Err(TransferError::NotFound),
        BulkReply::Refused(why) => return Err(TransferError::Refused(why)),
        reply => return Err(unexpected(&reply)),
    };
    let last = deadline.min(Instant::now() + REPLY_WAIT + time_for(len));
    let body = async {
        let _room = budget.take(len).await?;
        send_reply(&mut stream.send, &BulkReply::Go).await?;
        receive_blob(&mut stream.recv, hash, len).await
    };
    within(last, "its bytes did not come in time", body).await
}

/// Gives a blob to a node; returns when it is durable there.
pub async fn offer(
    remote: &dyn Remote,
    to: NodeId,
    hash: BlobHash,
    bytes: &Bytes,
    deadline: Instant,
) -> Result<(), TransferError> {
    let len = bytes.len() as u64;
    let deadline = deadline.min(Instant::now() + REPLY_WAIT + time_for(len));
    let mut stream = remote.open(to, BlobBulk::Store(hash, len), deadline).await?;
    let work = async {
        match receive_reply(&mut stream.recv).await? {
            BulkReply::Go => {}
            BulkReply::Refused(why) => return Err(TransferError::Refused(why)),
            BulkReply::Full(why) => return Err(TransferError::Full(why)),
            reply => return Err(unexpected(&reply)),
        }
        let sent = send_blob(&mut stream.send, bytes).await;
        // A node that refuses stops reading, and says why: that is worth more than the write's
        // error.
        match (receive_reply(&mut stream.recv).await, sent) {
            (Ok(BulkReply::Stored), _) => Ok(()),
            (Ok(BulkReply::Refused(why)), _) => Err(TransferError::Refused(why)),
            (Ok(BulkReply::Full(why)), _) => Err(TransferError::Full(why)),
            (_, Err(error)) | (Err(error), Ok(())) => Err(error),
            (Ok(reply), Ok(())) => Err(unexpected(&reply)),
        }
    };
    within(deadline, "it did not store it in time", work).await
}

/// Writes a blob's bytes, and ends the stream's direction.
pub async fn send_blob<W>(to: &mut W, bytes: &Bytes) -> Result<(), TransferError>
where
    W: AsyncWrite + Unpin + ?Sized,
{
    for chunk in bytes.chunks(CHUNK) {
        to.write_all(chunk).await?;
        ::metrics::counter!(metrics::SENT_BYTES).increment(chunk.len() as u64);
    }
    Ok(to.shutdown().await?)
}

/// Reads the `len` bytes of a blob and checks that they are it. The caller has checked `len`
/// against [`MAX_BLOB`] and made room for it.
pub async fn receive_blob<R>(from: &mut R, hash: BlobHash, len: u64) -> Result<Bytes, TransferError>
where
    R: AsyncRead + Unpin + ?Sized,
{
    let size = usize::try_from(len).map_err(|_| TransferError::TooBig(len))?;
    // Pages that no byte came for are never touched, and cost nothing.
    let mut bytes = BytesMut::with_capacity(size);
    while bytes.len() < size {
        let most = CHUNK.min(size - bytes.len());
        if from.read_buf(&mut (&mut bytes).limit(most)).await? == 0 {
            return Err(TransferError::Ended { got: bytes.len() as u64, len });
        }
    }
    let bytes = bytes.freeze();
    let checked = bytes.clone();
    if blocking(move || Ok(BlobHash::of(&checked))).await? != hash {
        return Err(TransferError::WrongHash);
    }
    ::metrics::counter!(metrics::RECEIVED_BYTES).increment(len);
    Ok(bytes)
}

/// Writes a reply with its length before it.
pub async fn send_reply<W>(to: &mut W, reply: &BulkReply) -> Result<(), TransferError>
where
    W: AsyncWrite + Unpin + ?Sized,
{
    let archive = encode(reply);
    let mut frame = Vec::with_capacity(4 + archive.len());
    frame.extend_from_slice(&(archive.len() as u32).to_le_bytes());
    frame.extend_from_slice(&archive);
    Ok(to.write_all(&frame).await?)
}

/// Reads a reply of at most [`MAX_REPLY`] bytes.
pub async fn receive_reply<R>(from: &mut R) -> Result<BulkReply, TransferError>
where
    R: AsyncRead + Unpin + ?Sized,
{
    let len = from.read_u32_le().await? as usize;
    if len > MAX_REPLY {
        let why = format!("its length of {len} bytes exceeds {MAX_REPLY}");
        return Err(Malformed { what: "answer on a blob stream", why }.into());
    }
    let mut archive = vec![0; len];
    from.read_exact(&mut archive).await?;
    Ok(decode("answer on a blob stream", &archive)?)
}

/// A reply that answers another question.
pub fn unexpected(reply: &BulkReply) -> TransferError {
    Malformed { what: "answer on a blob stream", why: format!("{reply:?} is none here") }.into()
}
