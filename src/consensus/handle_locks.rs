//! The global locks, for callers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::ProposeError;
use super::handle::Consensus;
use super::inbox::{Input, LockReply};
use super::lock_ask::{Ask, Grant, LockError};
use super::locks::LockView;
use crate::id::CallId;
use crate::wire::locks::{Mode, Token};
use crate::wire::shards::StateKey;

/// How often it is looked whether a session is over while the cluster gives no answer.
const LOOK: Duration = Duration::from_millis(100);

/// Hears of this node's locks. Called on the way of Raft: it must not wait.
pub trait LockListener: Send + Sync {
    /// A call asks for a lock.
    fn asks(&self, _call: CallId) {}
    /// A call stands in line.
    fn queued(&self, _call: CallId) {}
    /// A lock ended other than by [`Consensus::unlock`]: with its call, its session, or because it
    /// was not wanted any more when it was granted. Comes before another call of this node has it.
    fn ended(&self, _call: CallId, _key: &StateKey, _mode: Mode) {}
}

/// Gives up what was asked for unless it was answered.
struct Asked<'a> {
    consensus: &'a Consensus,
    ticket: u64,
    call: CallId,
    answered: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.consensus.tell_driver(Ask::GiveUp { ticket: self.ticket, call: self.call }, None);
        }
    }
}

impl Consensus {
    /// Takes a global lock for a call, or waits in line until the deadline. Not re-entrant. Any
    /// call that was here must be ended by [`Consensus::end_call`]. Dropped, it gives up.
    pub async fn lock(
        &self,
        key: &StateKey,
        mode: Mode,
        call: CallId,
        deadline: Instant,
    ) -> Result<Grant, LockError> {
        if !key.is_valid() {
            return Err(LockError::Invalid("a key has 1 to 512 bytes, and no NUL".into()));
        }
        let shared = &self.inner.shared;
        if let Err(error) = self.may_ask() {
            return Err(LockError::Unavailable(error.to_string()));
        }
        if !shared.session_is_live() {
            return Err(LockError::Lost);
        }
        shared.locks.asks(call);
        let ticket = shared.locks.ticket();
        let (reply, answer) = oneshot::channel();
        let ask = Ask::Lock { ticket, call, key: key.clone(), mode };
        if !shared.locks.in_order()
            || !self.inner.inbox.put(Input::Lock(ask, Some(LockReply::Grant(reply))))
        {
            return Err(LockError::Full);
        }
        let mut asked = Asked { consensus: self, ticket, call, answered: false };
        match timeout_at(deadline.into(), answer).await {
            Ok(Ok(result)) => {
                asked.answered = true;
                result
            }
            Ok(Err(_)) => Err(LockError::Unavailable("consensus is down on this node".into())),
            Err(_) => Err(LockError::TimedOut),
        }
    }

    /// Releases a lock that a call holds. Returns before the others know: what the same call asks
    /// for later comes after it, and so does its end.
    pub fn unlock(&self, key: &StateKey, mode: Mode, call: CallId) -> Result<(), LockError> {
        if !self.inner.shared.locks.release(call, key, mode) {
            return Err(LockError::NotHeld);
        }
        self.tell_driver(Ask::Unlock { call, key: key.clone(), mode }, None);
        if self.inner.shared.session_is_live() { Ok(()) } else { Err(LockError::Lost) }
    }

    /// A call waits for the end of one of these. What it is for: a circle of calls that wait for
    /// each other's ends and locks is found.
    pub fn awaits(&self, call: CallId, children: Vec<CallId>) {
        self.inner.shared.locks.asks_quietly(call);
        self.tell_driver(Ask::Await { call, children }, None);
    }

    /// A call does not wait any more. Done when all nodes' locks know, or when this node's session
    /// is over.
    pub fn resumes(&self, call: CallId) -> BoxFuture<'static, ()> {
        let ticket = self.inner.shared.locks.ticket();
        let (reply, done) = oneshot::channel();
        self.tell_driver(Ask::Resume { ticket, call }, Some(LockReply::Done(reply)));
        self.done(done)
    }

    /// A call has ended: its locks are released and its requests withdrawn. `None` when it never
    /// asked for any. Done when that is agreed on, or when this node's session is over.
    pub fn end_call(&self, call: CallId) -> Option<BoxFuture<'static, ()>> {
        if !self.inner.shared.locks.ends(call) {
            return None;
        }
        let ticket = self.inner.shared.locks.ticket();
        let (reply, done) = oneshot::channel();
        self.tell_driver(Ask::End { ticket, call }, Some(LockReply::Done(reply)));
        Some(self.done(done))
    }

    fn done(&self, mut done: oneshot::Receiver<()>) -> BoxFuture<'static, ()> {
        let shared = self.inner.shared.clone();
        Box::pin(async move {
            while shared.session_is_live() {
                // An error says that the driver has gone; so has the session then, or soon.
                if tokio::time::timeout(LOOK, &mut done).await.is_ok() {
                    return;
                }
            }
        })
    }

    /// All locks, as this node knows them, at most so many.
    pub async fn locks(
        &self,
        most: usize,
        deadline: Instant,
    ) -> Result<Vec<LockView>, ProposeError> {
        let (reply, answer) = oneshot::channel();
        self.may_ask()?;
        if !self.inner.inbox.put(Input::Locks(most, reply)) {
            return Err(ProposeError::Full);
        }
        let silent = || ProposeError::NoQuorum("consensus gave no answer on this node".into());
        timeout_at(deadline.into(), answer).await.map_err(|_| silent())?.map_err(|_| silent())
    }

    /// The token of the call that has the write lock of a key, as far as this node has heard.
    pub fn write_locked(&self, key: &StateKey) -> Option<Token> {
        self.inner.shared.locks.write_locked(key)
    }

    /// Adds somebody who hears of this node's locks from now on.
    pub fn listen_to_locks(&self, listener: Arc<dyn LockListener>) {
        self.inner.shared.locks.listen(listener);
    }

    /// Tells the driver; what does not fit now is told a little later.
    fn tell_driver(&self, ask: Ask, reply: Option<LockReply>) {
        let locks = &self.inner.shared.locks;
        if !locks.in_order() {
            locks.later(ask, reply);
        } else if let Err((ask, reply)) = self.inner.inbox.put_lock(ask, reply) {
            locks.later(ask, reply);
        }
    }
}
