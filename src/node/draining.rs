//! What a node does when an admin takes it out of service, and puts it back: it takes no new calls,
//! and its blobs go to other nodes. Its vote is taken by the leader.

use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use crate::files::Blobs;
use crate::scheduler::Scheduler;

/// How long one attempt to give the blobs away may last; then it begins again.
const ATTEMPT: Duration = Duration::from_secs(60);

/// Whether this node drains, and what is under way for it.
pub(super) struct Drained {
    scheduler: Scheduler,
    blobs: Blobs,
    leaving: Option<AbortHandle>,
}

impl Drained {
    /// In service.
    pub fn new(scheduler: Scheduler, blobs: Blobs) -> Self {
        Self { scheduler, blobs, leaving: None }
    }

    /// Begins to drain, or stops it.
    pub fn set(&mut self, draining: bool) {
        self.scheduler.set_draining(draining);
        match (draining, self.leaving.take()) {
            (true, None) => {
                let blobs = self.blobs.clone();
                self.leaving = Some(tokio::spawn(leave(blobs)).abort_handle());
            }
            (true, leaving) => self.leaving = leaving,
            (false, Some(leaving)) => {
                leaving.abort();
                self.blobs.stay();
            }
            (false, None) => {}
        }
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        self.leaving.take().inspect(AbortHandle::abort);
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
