//! What repair does: what this node has and another should have and lacks, is sent to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::local::Local;
use super::members::Members;
use super::metrics;
use super::remote::Remote;
use super::rendezvous;
use super::transfer::{self, TransferError};
use crate::id::{BlobHash, NodeId};
use crate::wire::blobs::MAX_HAVE;

/// Bytes sent per second by repair: a tenth of what a stream can carry, so that calls do not
/// notice it.
const RATE: u64 = 64 << 20;
/// Longest wait for the answer of which blobs a peer lacks.
const QUESTION: Duration = Duration::from_secs(5);
/// Copies that a peer may refuse before it is left alone for a while: it may take smaller ones.
const REFUSALS: usize = 3;

/// What repair works on. Cheap to clone.
#[derive(Clone)]
pub struct Rounds {
    /// This node's blobs.
    pub local: Local,
    /// Who keeps what.
    pub members: Members,
    /// The other nodes.
    pub remote: Arc<dyn Remote>,
}

/// Blobs of which a named node has no copy, as far as is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanting {
    /// How many.
    pub blobs: usize,
    /// Why it is not known of some: the nodes that did not answer.
    pub why: Vec<String>,
}

/// Peers that could not be asked, or that refused too often, and why.
#[derive(Default)]
struct Bad(BTreeMap<NodeId, (usize, String)>);

impl Bad {
    /// Whether a peer is to be left alone.
    fn has(&self, peer: NodeId) -> bool {
        self.0.get(&peer).is_some_and(|(strikes, _)| *strikes >= REFUSALS)
    }

    fn note(&mut self, peer: NodeId, error: &TransferError) {
        let (strikes, why) = self.0.entry(peer).or_default();
        *strikes += match error {
            // A file that cannot be read here is no fault of the peer's.
            TransferError::Here(_) => 0,
            TransferError::Refused(_) | TransferError::Full(_) => 1,
            _ => REFUSALS,
        };
        *why = error.told(peer);
    }

    fn into_result(self) -> Result<(), Vec<String>> {
        let why: Vec<String> = self.0.into_values().map(|(_, why)| why).collect();
        if why.is_empty() { Ok(()) } else { Err(why) }
    }
}

impl Rounds {
    /// Gives a peer all that it should have and lacks. `Err` when it could not take all.
    pub async fn round(&self, peer: NodeId) -> Result<(), Vec<String>> {
        let mut bad = Bad::default();
        let mut page = self.local.after(None, MAX_HAVE);
        while let Some(last) = page.last().copied() {
            let nodes = self.members.all();
            page.retain(|hash| self.targets(hash, &nodes).contains(&peer));
            self.supply(peer, page, &mut bad).await;
            if bad.has(peer) {
                break;
            }
            page = self.local.after(Some(&last), MAX_HAVE);
        }
        bad.into_result()
    }

    /// Gives the surplus blobs to the nodes that should have them and lack them; those which all
    /// of them have are only cached from then on. `Err` when some are left.
    pub async fn settle(&self) -> Result<(), Vec<String>> {
        let mut bad = Bad::default();
        let mut page = self.local.surplus_after(None, MAX_HAVE);
        while let Some(last) = page.last().copied() {
            let nodes = self.members.all();
            let mut left = BTreeMap::new();
            for (peer, hashes) in self.by_target(&page, &nodes) {
                for hash in self.supply(peer, hashes, &mut bad).await {
                    left.insert(hash, peer);
                }
            }
            for hash in page.iter().filter(|hash| !left.contains_key(hash)) {
                // Else other members are to have it by now.
                if self.members.targets(hash) == self.targets(hash, &nodes) {
                    self.local.settle(hash).await;
                }
            }
            page = self.local.surplus_after(Some(&last), MAX_HAVE);
        }
        bad.into_result()
    }

    /// Asks the named nodes for all blobs that are here, and counts those that one of them lacks.
    pub async fn wanting(&self) -> Wanting {
        let mut bad = Bad::default();
        let mut blobs = 0;
        let mut page = self.local.after(None, MAX_HAVE);
        while let Some(last) = page.last().copied() {
            let nodes = self.members.all();
            let mut wanting: Vec<BlobHash> = Vec::new();
            for (peer, hashes) in self.by_target(&page, &nodes) {
                wanting.extend(self.lacking(peer, hashes, &mut bad).await);
            }
            wanting.sort_unstable();
            wanting.dedup();
            blobs += wanting.len();
            page = self.local.after(Some(&last), MAX_HAVE);
        }
        Wanting { blobs, why: bad.0.into_values().map(|(_, why)| why).collect() }
    }

    fn targets(&self, hash: &BlobHash, nodes: &[NodeId]) -> Vec<NodeId> {
        rendezvous::targets(hash, nodes, self.members.copies)
    }

    /// The other nodes that should have these blobs, with those that each should have.
    fn by_target(&self, page: &[BlobHash], nodes: &[NodeId]) -> BTreeMap<NodeId, Vec<BlobHash>> {
        let mut by_target: BTreeMap<NodeId, Vec<BlobHash>> = BTreeMap::new();
        for hash in page {
            for node in self.targets(hash, nodes).into_iter().filter(|n| *n != self.members.me) {
                by_target.entry(node).or_default().push(*hash);
            }
        }
        by_target
    }

    /// Gives a peer those of the blobs that it lacks. Gives back those that it may still lack.
    async fn supply(&self, peer: NodeId, hashes: Vec<BlobHash>, bad: &mut Bad) -> Vec<BlobHash> {
        let mut lacking = self.lacking(peer, hashes, bad).await;
        // Other nodes that have the same blobs begin elsewhere, so that few are sent twice.
        lacking.sort_by_cached_key(|hash| rendezvous::weight(hash, self.members.me));
        let mut left = Vec::new();
        for hash in lacking {
            if bad.has(peer) {
                left.push(hash);
            } else if let Err(error) = self.give(peer, hash).await {
                bad.note(peer, &error);
                left.push(hash);
            }
        }
        left
    }

    async fn give(&self, peer: NodeId, hash: BlobHash) -> Result<(), TransferError> {
        // The other holders make their rounds at the same time: asked again, it may have it by
        // now.
        if self.ask(peer, vec![hash]).await?.is_empty() {
            return Ok(());
        }
        let bytes = match self.local.read(&hash).await? {
            Some(bytes) => bytes,
            // It is not here any more: nothing to settle, nothing to give.
            None => return Ok(()),
        };
        let len = bytes.len() as u64;
        let deadline = Instant::now() + transfer::REPLY_WAIT + transfer::time_for(len);
        transfer::offer(&*self.remote, peer, hash, &bytes, deadline).await?;
        ::metrics::counter!(metrics::REPAIRED).increment(1);
        tracing::info!(blob = %hash, to = %peer, len, "a missing copy was made");
        tokio::time::sleep(Duration::from_micros(len.saturating_mul(1_000_000) / RATE)).await;
        Ok(())
    }

    /// Those of the hashes that the peer lacks, or all when it does not say.
    async fn lacking(&self, peer: NodeId, hashes: Vec<BlobHash>, bad: &mut Bad) -> Vec<BlobHash> {
        if hashes.is_empty() || bad.has(peer) {
            return hashes;
        }
        match self.ask(peer, hashes.clone()).await {
            Ok(lacking) => lacking,
            Err(error) => {
                bad.note(peer, &error);
                hashes
            }
        }
    }

    async fn ask(
        &self,
        peer: NodeId,
        hashes: Vec<BlobHash>,
    ) -> Result<Vec<BlobHash>, TransferError> {
        let deadline = Instant::now() + QUESTION;
        let mut lacking = self.remote.lacking(peer, hashes.clone(), deadline).await?;
        lacking.sort_unstable();
        Ok(hashes.into_iter().filter(|hash| lacking.binary_search(hash).is_ok()).collect())
    }
}
