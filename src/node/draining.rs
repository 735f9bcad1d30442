//! What a node does when an admin takes it out of service, and puts it back: it takes no new calls,
//! and its blobs and kept outputs go to other nodes. Its vote is taken by the leader.

use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use crate::calls::Calls;
use crate::files::Blobs;
use crate::scheduler::Scheduler;

/// How long one attempt to give the blobs away may last; then it begins again.
const ATTEMPT: Duration = Duration::from_secs(60);

/// How often it is looked for records and outputs that are here alone.
const LOOK: Duration = Duration::from_millis(100);

/// Whether this node drains, and what is under way for it.
pub(super) struct Drained {
    scheduler: Scheduler,
    blobs: Blobs,
    calls: Calls,
    leaving: Option<[AbortHandle; 2]>,
}

impl Drained {
    /// In service.
    pub fn new(scheduler: Scheduler, blobs: Blobs, calls: Calls) -> Self {
        Self { scheduler, blobs, calls, leaving: None }
    }

    /// Begins to drain, or stops it.
    pub fn set(&mut self, draining: bool) {
        self.scheduler.set_draining(draining);
        match (draining, self.leaving.take()) {
            (true, None) => {
                let blobs = tokio::spawn(leave(self.blobs.clone())).abort_handle();
                let outputs = tokio::spawn(hand_over(self.calls.clone())).abort_handle();
                self.leaving = Some([blobs, outputs]);
            }
            (true, leaving) => self.leaving = leaving,
            (false, Some(leaving)) => {
                leaving.iter().for_each(AbortHandle::abort);
                self.blobs.stay();
            }
            (false, None) => {}
        }
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        self.leaving.iter().flatten().for_each(AbortHandle::abort);
    }
}

/// Gives records and outputs that are kept here to other nodes, also those of calls that end meanwhile.
async fn hand_over(calls: Calls) {
    loop {
        calls.leave(Instant::now() + ATTEMPT).await;
        tokio::time::sleep(LOOK).await;
    }
}

async fn leave(blobs: Blobs) {
    loop {
        let until = Instant::now() + ATTEMPT;
        match blobs.leave(until).await {
            Ok(()) => return tracing::info!("all blobs of this node are elsewhere"),
            Err(error) => tracing::warn!(%error, "the blobs of this node are not elsewhere yet"),
        }
        // An attempt that failed at once is not made again at once.
        tokio::time::sleep_until(until.into()).await;
    }
}
