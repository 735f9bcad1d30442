//! What calls have to do with global locks: they are released before a call's end is told, and
//! those who wait for a call that stands in line for a lock count as waiting for the lock.
//!
//! A call is *involved* when it asks for a lock, or when one below it stands in line: its node
//! tells the nodes above, once. Only involved calls make known for whose end they wait, and only
//! when that takes a while, so that a tree that uses no locks costs nothing.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use super::live::{LiveCall, Origin};
use super::{Calls, Inner};
use crate::consensus::LockListener;
use crate::errno::Errno;
use crate::id::{CallId, NodeId};
use crate::wire::calls::CallMessage;

/// How long a call waits before that is made known: most waits are over by then.
const GRACE: Duration = Duration::from_millis(3);

/// Whether a call is involved.
#[derive(Default)]
pub struct Involved {
    is: AtomicBool,
    /// Whether the calls above know.
    told: AtomicBool,
    changed: Notify,
}

impl Involved {
    fn set(&self) {
        if !self.is.swap(true, Ordering::AcqRel) {
            self.changed.notify_waiters();
        }
    }

    /// Returns once it is.
    async fn wait(&self) {
        let mut changed = pin!(self.changed.notified());
        // Registered before it is looked, so that nothing is missed.
        changed.as_mut().enable();
        if !self.is.load(Ordering::Acquire) {
            changed.await;
        }
    }
}

/// A wait that was made known, until it is over.
struct Known<'a>(Option<&'a LiveCall>);

impl Drop for Known<'_> {
    fn drop(&mut self) {
        if let Some(live) = self.0 {
            // It is on its way already.
            drop(live.calls.registry().resumes(live.spec.call));
        }
    }
}

impl LiveCall {
    /// Waits for the end of one of these calls, and makes that known if locks depend on it.
    pub(super) async fn awaits<T>(
        &self,
        children: impl FnOnce() -> Vec<CallId>,
        wait: impl Future<Output = Result<T, Errno>>,
    ) -> Result<T, Errno> {
        let mut wait = pin!(wait);
        let involved = async {
            self.involved.wait().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            biased;
            done = &mut wait => return done,
            () = involved => {}
        }
        self.calls.registry().awaits(self.spec.call, children());
        let mut known = Known(Some(self));
        let done = wait.await;
        if matches!(done, Err(Errno::TimedOut)) {
            // The other call lives on: while the wait is still known, what this one does next could
            // be taken for a circle.
            known.0 = None;
            self.calls.registry().resumes(self.spec.call).await;
        }
        done
    }
}

impl Calls {
    /// Whoever is above this call is involved from now on.
    fn involve_above(&self, live: &Arc<LiveCall>) {
        let mut live = live.clone();
        while !live.involved.told.swap(true, Ordering::AcqRel) {
            let above = match &live.origin {
                Origin::Here(cell) => cell.parent(),
                Origin::Peer(peer) => {
                    let message = CallMessage::Involved(live.spec.call);
                    // When it is lost, so is the connection, and the call ends.
                    let _ = self.net().send(peer.node, &message, Bytes::new());
                    None
                }
            };
            let Some(above) = above else { return };
            above.involved.set();
            live = above;
        }
    }

    /// A call that this node sent away, or one below it, stands in line.
    pub(super) fn involved_from(&self, node: NodeId, call: CallId) {
        let cell = self.outgoing().lock().cell_of(node, call);
        if let Some(parent) = cell.and_then(|cell| cell.parent()) {
            parent.involved.set();
            self.involve_above(&parent);
        }
    }

    /// A call has ended here: what is to be done then, once its locks are released.
    pub(super) fn after_locks(
        &self,
        live: &Arc<LiveCall>,
        then: impl FnOnce(&Self) + Send + 'static,
    ) {
        // Another attempt of the same call ends what both asked for.
        let newer = self.live_call(live.spec.call).is_some_and(|known| !Arc::ptr_eq(&known, live));
        let released = match newer {
            true => None,
            false => self.registry().end_locks(live.spec.call),
        };
        match released {
            None => then(self),
            Some(released) => {
                let calls = self.clone();
                self.spawn(async move {
                    released.await;
                    then(&calls);
                });
            }
        }
    }

    /// What hears of locks.
    pub(super) fn lock_listener(&self) -> Arc<dyn LockListener> {
        Arc::new(Listener(Arc::downgrade(&self.inner)))
    }
}

struct Listener(Weak<Inner>);

impl Listener {
    fn find(&self, call: CallId) -> Option<(Calls, Arc<LiveCall>)> {
        let calls = Calls { inner: self.0.upgrade()? };
        let live = calls.live_call(call)?;
        Some((calls, live))
    }
}

impl LockListener for Listener {
    fn asks(&self, call: CallId) {
        if let Some((_, live)) = self.find(call) {
            live.involved.set();
        }
    }

    fn queued(&self, call: CallId) {
        if let Some((calls, live)) = self.find(call) {
            calls.involve_above(&live);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_hears_that_it_is_involved_also_when_it_was_before() {
        let involved = Arc::new(Involved::default());
        let waiting = tokio::spawn({
            let involved = involved.clone();
            async move { involved.wait().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        involved.set();
        waiting.await.unwrap();
        involved.wait().await;
    }
}
