//! What the driver publishes of the locks, and what could not be told to it at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use parking_lot::{Mutex, RwLock};

use super::handle_locks::LockListener;
use super::inbox::LockReply;
use super::lock_ask::Ask;
use super::locks::{LockChange, Locks};
use crate::id::CallId;
use crate::wire::locks::{Mode, Token};
use crate::wire::shards::StateKey;

/// The local copy.
#[derive(Default)]
pub struct SharedLocks {
    /// Keys whose write lock is held by anybody.
    writing: DashMap<Arc<StateKey>, Token>,
    /// This node's calls that asked for locks, and those that they hold.
    calls: DashMap<CallId, Vec<(StateKey, Mode)>>,
    tickets: AtomicU64,
    listeners: RwLock<Vec<Arc<dyn LockListener>>>,
    /// As many as calls had something to say while the inbox was full.
    late: Mutex<VecDeque<(Ask, Option<LockReply>)>>,
    late_len: AtomicUsize,
}

impl SharedLocks {
    /// A new ticket.
    pub fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A call asks for a lock.
    pub fn asks(&self, call: CallId) {
        self.asks_quietly(call);
        self.listeners.read().iter().for_each(|listener| listener.asks(call));
    }

    /// A call has to do with locks.
    pub fn asks_quietly(&self, call: CallId) {
        self.calls.entry(call).or_default();
    }

    /// A call stands in line.
    pub fn queued(&self, call: CallId) {
        self.listeners.read().iter().for_each(|listener| listener.queued(call));
    }

    /// A call has a lock.
    pub fn holds(&self, call: CallId, key: StateKey, mode: Mode) {
        // One that has ended meanwhile is not among them any more.
        if let Some(mut held) = self.calls.get_mut(&call) {
            held.push((key, mode));
        }
    }

    /// A lock ended other than by its release.
    pub fn ended(&self, call: CallId, key: &StateKey, mode: Mode) {
        self.release(call, key, mode);
        self.listeners.read().iter().for_each(|listener| listener.ended(call, key, mode));
    }

    /// Whether a call held a lock; it does not any more.
    pub fn release(&self, call: CallId, key: &StateKey, mode: Mode) -> bool {
        let Some(mut held) = self.calls.get_mut(&call) else { return false };
        let before = held.len();
        held.retain(|(of, how)| of != key || *how != mode);
        held.len() < before
    }

    /// Whether a call ever had to do with locks; it is forgotten.
    pub fn ends(&self, call: CallId) -> bool {
        self.calls.remove(&call).is_some()
    }

    /// The token of the write lock of a key.
    pub fn write_locked(&self, key: &StateKey) -> Option<Token> {
        self.writing.get(key).map(|token| *token)
    }

    /// Adds a listener.
    pub fn listen(&self, listener: Arc<dyn LockListener>) {
        self.listeners.write().push(listener);
    }

    /// Whether nothing waits that must be told before what comes now.
    pub fn in_order(&self) -> bool {
        self.late_len.load(Ordering::Acquire) == 0
    }

    /// Keeps what the driver is to be told when it looks.
    pub fn later(&self, ask: Ask, reply: Option<LockReply>) {
        let mut late = self.late.lock();
        late.push_back((ask, reply));
        self.late_len.store(late.len(), Ordering::Release);
    }

    /// What was kept.
    pub fn take_late(&self) -> VecDeque<(Ask, Option<LockReply>)> {
        if self.in_order() {
            return VecDeque::new();
        }
        let mut late = self.late.lock();
        self.late_len.store(0, Ordering::Release);
        std::mem::take(&mut *late)
    }

    /// Publishes a change.
    pub fn change(&self, change: LockChange) {
        match change {
            LockChange::Granted { key, mode: Mode::Write, token, .. } => {
                self.writing.insert(key, token);
            }
            LockChange::Ended { key, mode: Mode::Write, .. } => drop(self.writing.remove(&*key)),
            _ => {}
        }
    }

    /// Replaces all by the state.
    pub fn replace(&self, locks: &Locks) {
        let mut writing = std::collections::HashMap::new();
        for (key, token) in locks.write_locked() {
            self.writing.insert(key.clone(), token);
            writing.insert(key.clone(), token);
        }
        self.writing.retain(|key, _| writing.contains_key(key));
    }
}
