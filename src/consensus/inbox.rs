//! The driver's inbox: bounded in messages and in bytes, never waited for. What does not fit is
//! refused (own proposals) or dropped (Raft messages: Raft sends them again).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel,
};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use raft::eraftpb::Message as RaftMessage;
use tokio::sync::oneshot;

use super::lock_ask::{Ask, Grant, LockError};
use super::locks::LockView;
use super::{Applied, metrics};
use crate::id::NodeId;
use crate::wire::consensus::{Command, Message};

/// Messages that may wait for the driver.
const MAX_WAITING: usize = 4096;
/// Bytes of peers' messages that may wait for the driver; a larger one is taken when none waits.
const MAX_BYTES: usize = 64 << 20;

/// Whom to tell of a proposal's end. Dropped when it was given up.
pub type ProposeReply = oneshot::Sender<Result<Applied, super::proposals::Full>>;
/// Whom to tell of a read's end.
pub type ReadReply = oneshot::Sender<Result<u64, super::proposals::Full>>;

/// Whom to tell what came of an [`Ask`].
pub enum LockReply {
    /// A lock, or why not.
    Grant(oneshot::Sender<Result<Grant, LockError>>),
    /// It is done.
    Done(oneshot::Sender<()>),
}

/// What the driver is told.
pub enum Input {
    /// A proposal of this node, its size and deadline.
    Propose(Command, usize, Instant, ProposeReply),
    /// A read of this node, and its deadline.
    Read(Instant, ReadReply),
    /// A Raft message, and its size.
    Raft(RaftMessage, usize),
    /// Another message of a peer.
    Peer(NodeId, Message),
    /// A call of this node asks for something of the locks.
    Lock(Ask, Option<LockReply>),
    /// Somebody wants to see at most so many locks.
    Locks(usize, oneshot::Sender<Vec<LockView>>),
    /// Nothing: look whether the node stops, or the disk is further.
    Wake,
}

impl Input {
    fn bytes(&self) -> usize {
        match self {
            Self::Raft(_, bytes) => *bytes,
            Self::Propose(..)
            | Self::Read(..)
            | Self::Peer(..)
            | Self::Lock(..)
            | Self::Locks(..)
            | Self::Wake => 0,
        }
    }
}

/// The inbox; the driver that holds the receiving side may be replaced by another one.
#[derive(Clone)]
pub struct Inbox {
    sender: SyncSender<Input>,
    receiver: Arc<Mutex<Receiver<Input>>>,
    bytes: Arc<AtomicUsize>,
}

impl Inbox {
    /// An empty one.
    pub fn new() -> Self {
        let (sender, receiver) = sync_channel(MAX_WAITING);
        Self { sender, receiver: Arc::new(Mutex::new(receiver)), bytes: Arc::default() }
    }

    /// Puts something in; false if it does not fit.
    pub fn put(&self, input: Input) -> bool {
        let bytes = input.bytes();
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = bytes == 0 || before == 0 || before + bytes <= MAX_BYTES;
        if fits && self.sender.try_send(input).is_ok() {
            return true;
        }
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        false
    }

    /// Puts in what a call asks for, or gives it back.
    pub fn put_lock(
        &self,
        ask: Ask,
        reply: Option<LockReply>,
    ) -> Result<(), (Ask, Option<LockReply>)> {
        match self.sender.try_send(Input::Lock(ask, reply)) {
            Err(TrySendError::Full(Input::Lock(ask, reply))) => Err((ask, reply)),
            // The receiving side is held here too, so it is never closed.
            _ => Ok(()),
        }
    }

    /// Puts a peer's message in, or drops it.
    pub fn put_or_drop(&self, input: Input) {
        if !self.put(input) {
            ::metrics::counter!(metrics::DROPPED).increment(1);
        }
    }

    /// Takes what is there, at most `most`; waits for the first at most `wait`.
    pub fn take(&self, wait: Duration, most: usize) -> Vec<Input> {
        let receiver = self.receiver.lock();
        let mut inputs = Vec::new();
        match receiver.recv_timeout(wait) {
            Ok(input) => inputs.push(input),
            // The sending side is held here too, so it is never closed.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return inputs,
        }
        while inputs.len() < most {
            match receiver.try_recv() {
                Ok(input) => inputs.push(input),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        let bytes: usize = inputs.iter().map(Input::bytes).sum();
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        inputs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_messages_nor_bytes_grow_without_limit() {
        let inbox = Inbox::new();
        assert!(inbox.put(Input::Raft(RaftMessage::default(), 2 * MAX_BYTES)), "one always fits");
        assert!(!inbox.put(Input::Raft(RaftMessage::default(), 1)));
        assert_eq!(inbox.take(Duration::ZERO, 10).len(), 1);
        for _ in 0..MAX_WAITING {
            assert!(inbox.put(Input::Wake));
        }
        assert!(!inbox.put(Input::Wake));
        assert_eq!(inbox.take(Duration::ZERO, 10).len(), 10);
        assert!(inbox.put(Input::Raft(RaftMessage::default(), MAX_BYTES)), "bytes were given back");
    }
}
