//! The requests of one (peer, service) that wait for their answers.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::net::{Reply, RequestError};

/// Most requests under way to one peer and service, on either side.
pub(super) const MAX_PENDING: usize = 65_536;

type Waiter = oneshot::Sender<Result<Reply, RequestError>>;

/// Why a request was not entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// [`MAX_PENDING`] are under way.
    Full,
    /// The connection is gone.
    Closed,
}

/// The table. Ids begin at 1 and are never used twice.
#[derive(Default)]
pub(super) struct Pending {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    last: u64,
    closed: bool,
    waiters: HashMap<u64, Waiter>,
}

impl Pending {
    /// Enters a request; what arrives for it, or its failure, comes out of the receiver.
    pub(super) fn enter(
        &self,
    ) -> Result<(u64, oneshot::Receiver<Result<Reply, RequestError>>), Refused> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(Refused::Closed);
        }
        if inner.waiters.len() >= MAX_PENDING {
            return Err(Refused::Full);
        }
        let (sender, receiver) = oneshot::channel();
        inner.last += 1;
        let id = inner.last;
        inner.waiters.insert(id, sender);
        Ok((id, receiver))
    }

    /// Ends a request. An id that is not there is one whose deadline passed, or one that a peer
    /// made up: nobody waits for it.
    pub(super) fn finish(&self, id: u64, result: Result<Reply, RequestError>) {
        let waiter = self.inner.lock().waiters.remove(&id);
        if let Some(waiter) = waiter {
            // The requester may have gone away at this moment: nobody is left to tell.
            let _ = waiter.send(result);
        }
    }

    /// Gives a request up.
    pub(super) fn forget(&self, id: u64) {
        self.inner.lock().waiters.remove(&id);
    }

    /// Ends all with `error` and takes no more.
    pub(super) fn fail_all(&self, error: &RequestError) {
        let waiters = {
            let mut inner = self.inner.lock();
            inner.closed = true;
            std::mem::take(&mut inner.waiters)
        };
        for waiter in waiters.into_values() {
            let _ = waiter.send(Err(error.clone()));
        }
    }

    /// How many are under way.
    pub(super) fn len(&self) -> usize {
        self.inner.lock().waiters.len()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::id::NodeId;

    #[test]
    fn an_answer_reaches_its_request_and_no_other() {
        let pending = Pending::default();
        let (first, mut first_answer) = pending.enter().unwrap();
        let (second, mut second_answer) = pending.enter().unwrap();
        assert_ne!(first, second);
        let reply = Reply { head: Bytes::from_static(b"x"), body: Bytes::new() };
        pending.finish(second, Ok(reply));
        assert!(first_answer.try_recv().is_err());
        assert_eq!(second_answer.try_recv().unwrap().unwrap().head, "x");
        pending.finish(999, Err(RequestError::Lost(NodeId(1))));
        assert_eq!(pending.len(), 1);
    }

    #[test]
    fn a_lost_connection_fails_all_and_refuses_more() {
        let pending = Pending::default();
        let (_, mut answer) = pending.enter().unwrap();
        pending.fail_all(&RequestError::Lost(NodeId(1)));
        assert_eq!(answer.try_recv().unwrap().unwrap_err(), RequestError::Lost(NodeId(1)));
        assert_eq!(pending.enter().unwrap_err(), Refused::Closed);
    }

    #[test]
    fn the_table_is_bounded() {
        let pending = Pending::default();
        let receivers: Vec<_> = (0..MAX_PENDING).map(|_| pending.enter().unwrap()).collect();
        assert_eq!(pending.enter().unwrap_err(), Refused::Full);
        pending.forget(receivers[0].0);
        assert!(pending.enter().is_ok());
    }
}
