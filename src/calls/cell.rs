//! The end of a call, as its caller awaits it: set once, seen by all who wait.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use super::budget::Share;
use super::live::LiveCall;
use crate::errno::CallError;
use crate::function::EndReason;
use crate::id::{Attempt, NodeId};
use crate::wire::calls::{Kept, KeptAt, Times, Work};
use crate::wire::jobs::RankEnd;

/// Bytes that a call produced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// At hand.
    Here(Bytes),
    /// At the node that made them.
    At(KeptAt),
}

impl Payload {
    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        match self {
            Self::Here(bytes) => bytes.len() as u64,
            Self::At(at) => at.len,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How a message tells of them, and the bytes that go beside it.
    pub fn to_wire(&self) -> (Kept, Bytes) {
        match self {
            Self::Here(bytes) => (Kept::Inline(bytes.len() as u64), bytes.clone()),
            Self::At(at) => (Kept::At(*at), Bytes::new()),
        }
    }

    /// Takes what a message tells of; `None` when `body` is shorter than it says.
    pub fn from_wire(kept: &Kept, body: &mut Bytes) -> Option<Self> {
        match *kept {
            Kept::Inline(len) => {
                let len = usize::try_from(len).ok().filter(|len| *len <= body.len())?;
                Some(Self::Here(body.split_to(len)))
            }
            Kept::At(at) => Some(Self::At(at)),
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The function's own result, or what stopped it.
    pub result: Result<u8, CallError>,
    /// Its output.
    pub output: Payload,
    /// Its log.
    pub log: Payload,
    /// When.
    pub times: Times,
    /// The node that ran it.
    pub node: NodeId,
    /// What it and its descendants did where.
    pub work: Vec<Work>,
    /// How it left its job, if it was a rank.
    pub rank: Option<RankEnd>,
}

impl Ended {
    /// A call that ended without having run.
    pub fn unstarted(node: NodeId, error: CallError, now_us: u64) -> Self {
        Self {
            result: Err(error),
            output: Payload::Here(Bytes::new()),
            log: Payload::Here(Bytes::new()),
            times: Times { accepted_us: now_us, started_us: 0, ended_us: now_us },
            node,
            work: Vec::new(),
            rank: None,
        }
    }

    /// The same, of a call whose node lost its session: what came of it counts for nothing.
    pub fn lapsed(self) -> Self {
        let nothing = || Payload::Here(Bytes::new());
        let result = Err(EndReason::SessionLapsed.error());
        Self { result, output: nothing(), log: nothing(), rank: None, ..self }
    }
}

/// Where the end of one call appears.
#[derive(Default)]
pub struct CallCell {
    parent: Option<Weak<LiveCall>>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    ended: Option<Arc<Ended>>,
    /// What the output and log take of the node's budget.
    share: Option<Share>,
    wakers: Vec<Waker>,
    node: Option<NodeId>,
    attempt: Attempt,
}

impl CallCell {
    /// A call that has not ended, of this parent.
    pub fn new(parent: Option<Weak<LiveCall>>) -> Arc<Self> {
        Arc::new(Self { parent, inner: Mutex::default() })
    }

    /// The call that chained this one, while it is known here.
    pub fn parent(&self) -> Option<Arc<LiveCall>> {
        self.parent.as_ref().and_then(Weak::upgrade)
    }

    /// Sets the end; only the first counts. Whether this was the first. The work that was done
    /// counts to the parent's before anybody sees the end: the parent may end at once.
    pub fn complete(&self, ended: Arc<Ended>, share: Option<Share>) -> bool {
        let parent = self.parent();
        let wakers = {
            let mut inner = self.inner.lock();
            if inner.ended.is_some() {
                return false;
            }
            if let Some(parent) = &parent {
                parent.add_work(&ended.work);
            }
            inner.ended = Some(ended);
            inner.share = share;
            std::mem::take(&mut inner.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
        true
    }

    /// The end, if it is there.
    pub fn ended(&self) -> Option<Arc<Ended>> {
        self.inner.lock().ended.clone()
    }

    /// The node that runs the call, as last heard.
    pub fn node(&self) -> Option<NodeId> {
        self.inner.lock().node
    }

    /// The node that runs the call, as last heard, and as which try.
    pub fn placed_as(&self) -> Option<(NodeId, Attempt)> {
        let inner = self.inner.lock();
        inner.node.map(|node| (node, inner.attempt))
    }

    /// Which try is current.
    pub fn attempt(&self) -> Attempt {
        self.inner.lock().attempt
    }

    /// Notes the node that runs it, and as which try.
    pub fn placed(&self, node: NodeId, attempt: Attempt) {
        let mut inner = self.inner.lock();
        (inner.node, inner.attempt) = (Some(node), attempt);
    }

    /// The end, or a wake-up when it is there.
    pub fn poll(&self, waker: &Waker) -> Poll<Arc<Ended>> {
        let mut inner = self.inner.lock();
        if let Some(ended) = &inner.ended {
            return Poll::Ready(ended.clone());
        }
        if !inner.wakers.iter().any(|known| known.will_wake(waker)) {
            inner.wakers.push(waker.clone());
        }
        Poll::Pending
    }

    /// Waits for the end.
    pub async fn wait(&self) -> Arc<Ended> {
        poll_fn(|cx| self.poll(cx.waker())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::Errno;

    fn ended(detail: &str) -> Arc<Ended> {
        Arc::new(Ended::unstarted(NodeId(1), CallError::new(Errno::Failed, detail), 1))
    }

    #[tokio::test]
    async fn the_first_end_counts_and_everybody_sees_it() {
        let cell = CallCell::new(None);
        let waiting = tokio::spawn({
            let cell = cell.clone();
            async move { cell.wait().await }
        });
        assert!(cell.complete(ended("first"), None));
        assert!(!cell.complete(ended("second"), None));
        assert_eq!(waiting.await.unwrap().result, ended("first").result);
        assert_eq!(cell.wait().await.result, ended("first").result);
    }

    #[test]
    fn a_payload_longer_than_its_message_is_refused() {
        let mut body = Bytes::from_static(b"abc");
        assert_eq!(Payload::from_wire(&Kept::Inline(4), &mut body), None);
        let taken = Payload::from_wire(&Kept::Inline(2), &mut body);
        assert_eq!(taken, Some(Payload::Here(Bytes::from_static(b"ab"))));
        assert_eq!(&body[..], b"c");
    }
}
