//! One round of repair: what this node has, a peer should have and lacks, is sent to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::local::Local;
use super::members::Members;
use super::remote::Remote;
use super::transfer::{self, TransferError};
use super::{BlobError, metrics};
use crate::id::{BlobHash, NodeId};
use crate::wire::blobs::MAX_HAVE;

/// Bytes sent per second by repair: a tenth of what a stream can carry, so that calls do not
/// notice it.
const RATE: u64 = 64 << 20;
/// Longest wait for the answer of which blobs a peer lacks.
const QUESTION: Duration = Duration::from_secs(5);

/// What a round works on. Cheap to clone.
#[derive(Clone)]
pub struct Rounds {
    /// This node's blobs.
    pub local: Local,
    /// Who keeps what.
    pub members: Members,
    /// The other nodes.
    pub remote: Arc<dyn Remote>,
}

impl Rounds {
    /// Makes one round. `Err` ends it at the first copy that the peer could not take.
    pub async fn run(&self, peer: NodeId) -> Result<(), TransferError> {
        let mut page = self.local.after(None, MAX_HAVE);
        while let Some(last) = page.last().copied() {
            page.retain(|hash| self.members.targets(hash).contains(&peer));
            for hash in self.lacking(peer, page).await? {
                self.give(peer, hash).await?;
            }
            page = self.local.after(Some(&last), MAX_HAVE);
        }
        Ok(())
    }

    async fn give(&self, peer: NodeId, hash: BlobHash) -> Result<(), TransferError> {
        // The other holders make their rounds at the same time: asked again, it may have it by
        // now.
        if self.lacking(peer, vec![hash]).await?.is_empty() {
            return Ok(());
        }
        let bytes = match self.local.read(&hash).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(()),
            Err(error @ BlobError::Io(_)) => {
                tracing::warn!(blob = %hash, %error, "a blob could not be read for repair");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let len = bytes.len() as u64;
        let deadline = Instant::now() + transfer::REPLY_WAIT + transfer::time_for(len);
        transfer::offer(&*self.remote, peer, hash, &bytes, deadline).await?;
        ::metrics::counter!(metrics::REPAIRED).increment(1);
        tracing::info!(blob = %hash, to = %peer, len, "a missing copy was made");
        tokio::time::sleep(Duration::from_micros(len.saturating_mul(1_000_000) / RATE)).await;
        Ok(())
    }

    /// Those of the hashes that the peer lacks, in the order given.
    async fn lacking(
        &self,
        peer: NodeId,
        hashes: Vec<BlobHash>,
    ) -> Result<Vec<BlobHash>, TransferError> {
        if hashes.is_empty() {
            return Ok(hashes);
        }
        let deadline = Instant::now() + QUESTION;
        let mut lacking = self.remote.lacking(peer, hashes.clone(), deadline).await?;
        lacking.sort_unstable();
        Ok(hashes.into_iter().filter(|hash| lacking.binary_search(hash).is_ok()).collect())
    }
}
