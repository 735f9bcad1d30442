//! The end of a node's calls when it stops: first all others know that it takes none, so that none
//! is on its way here when the connections close; then what lives here gets its time.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;

use super::Calls;
use crate::clock;
use crate::function::EndReason;
use crate::id::{CallId, NodeId};
use crate::net::Peer;
use crate::wire::Malformed;
use crate::wire::calls::{CallReply, CallRequest};
use crate::wire::load::Load;

/// How long the others may take to confirm that they send nothing here any more.
const TOLD: Duration = Duration::from_secs(2);
/// Between two questions whether a node has heard of all that it sent here.
const ASK_AGAIN: Duration = Duration::from_millis(5);
/// Between two looks whether calls still live.
const LOOK: Duration = Duration::from_millis(5);
/// How long calls that were ended may take to be over.
const ENDING: Duration = Duration::from_millis(500);
/// How long a node that stops may take to hand over its records and outputs.
const HAND_OVER: Duration = Duration::from_secs(5);

/// A call that is being taken; until it is dropped the node does not stop.
pub(super) struct Entering<'a>(&'a Calls);

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        self.0.inner.entering.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Calls {
    /// Takes no new calls, gives the living `grace` to end, then ends them.
    pub async fn drain(&self, grace: Duration) {
        let until = clock::now() + grace;
        self.scheduler().stop_accepting();
        self.tell_all(clock::now() + TOLD).await;
        self.wait_for(until, || self.living_here() == 0 && self.entering() == 0).await;
        self.end_where(EndReason::Stopping, |_| true);
        self.wait_for(clock::now() + ENDING, || self.inner.live.is_empty()).await;
        // Those that run on other nodes: who asked is told.
        self.end_roots(EndReason::Stopping);
        self.wait_for(clock::now() + ENDING, || self.inner.roots.is_empty()).await;
        self.hand_over(clock::now() + HAND_OVER).await;
    }

    /// Calls that wait or run on this node, or that it answers for wherever they run.
    pub fn living_here(&self) -> usize {
        let roots: Vec<CallId> = self.inner.roots.iter().map(|root| *root.key()).collect();
        let elsewhere = roots.iter().filter(|root| !self.inner.live.contains_key(*root));
        elsewhere.count() + self.inner.live.len()
    }

    /// To be held from before it is asked whether this node takes calls until the call is among
    /// those that live here, or is refused.
    pub(super) fn enters(&self) -> Entering<'_> {
        self.inner.entering.fetch_add(1, Ordering::SeqCst);
        Entering(self)
    }

    fn entering(&self) -> usize {
        self.inner.entering.load(Ordering::SeqCst)
    }

    /// A node stops. Whether it has answered all that this one sent it.
    pub(super) fn peer_leaves(&self, from: Peer, load: Load) -> Result<CallReply, Malformed> {
        self.scheduler().heard_load(from, Load { accepting: false, ..load })?;
        let waits = self.outgoing().lock().awaits(from.node);
        Ok(if waits { CallReply::NotYet } else { CallReply::Done })
    }

    /// Tells all nodes that are connected that this one stops, until they have understood.
    async fn tell_all(&self, until: Instant) {
        let peers = self.net().peers().borrow().clone();
        let up = peers.iter().filter(|(_, status)| status.up.is_some());
        join_all(up.map(|(node, _)| self.tell(*node, until))).await;
    }

    async fn tell(&self, node: NodeId, until: Instant) {
        while clock::now() < until {
            let request = CallRequest::Leaving(self.scheduler().load());
            match self.net().request(node, request, Bytes::new(), until).await {
                Ok((CallReply::NotYet, _)) => tokio::time::sleep(ASK_AGAIN).await,
                Ok(_) => return,
                // It is gone, and with it what it sent.
                Err(error) => {
                    return tracing::info!(%error, "a node may still send calls to this one");
                }
            }
        }
        tracing::info!(peer = %node, "a node has sent calls that did not arrive in time");
    }

    async fn wait_for(&self, until: Instant, is_so: impl Fn() -> bool) {
        while !is_so() && clock::now() < until {
            tokio::time::sleep(LOOK).await;
        }
    }
}
