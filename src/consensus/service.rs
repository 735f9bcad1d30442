//! What peers ask of this node's consensus. Bytes become typed values here, or end the connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::frames::Assembler;
use super::guard;
use super::inbox::{Inbox, Input};
use super::shared::Shared;
use crate::id::NodeId;
use crate::net::{BulkStream, Inbound, Peer, Replier};
use crate::wire::consensus::{Answer, MAX_PROPOSALS, Message, Request};
use crate::wire::{Malformed, decode};

/// Requests of peers that may wait here at once; more are left unanswered.
const MAX_WAITS: usize = 4096;
/// Longest wait of a peer's request.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The door.
pub struct Door {
    me: NodeId,
    inbox: Inbox,
    shared: Arc<Shared>,
    assemblers: Mutex<HashMap<NodeId, Assembler>>,
    waits: Arc<AtomicUsize>,
}

impl Door {
    /// The door of node `me`.
    pub fn new(me: NodeId, inbox: Inbox, shared: Arc<Shared>) -> Self {
        Self { me, inbox, shared, assemblers: Mutex::default(), waits: Arc::default() }
    }

    /// Takes a message that came over connection `link`.
    pub fn take(
        &self,
        from: NodeId,
        link: u64,
        message: Message,
        body: Bytes,
    ) -> Result<(), Malformed> {
        match message {
            Message::Raft(part) => {
                let whole =
                    self.assemblers.lock().entry(from).or_default().take(link, part, body)?;
                if let Some(bytes) = whole {
                    let message = guard::parse(from, self.me, &bytes)?;
                    self.inbox.put_or_drop(Input::Raft(message, bytes.len()));
                }
            }
            Message::Propose(proposals) if proposals.len() > MAX_PROPOSALS => {
                let why = format!("{} proposals, and {MAX_PROPOSALS} are allowed", proposals.len());
                return Err(Malformed { what: "consensus message", why });
            }
            other => self.inbox.put_or_drop(Input::Peer(from, other)),
        }
        Ok(())
    }

    /// Answers a request; `None` when too many wait.
    pub fn answer(&self, request: Request) -> Option<impl Future<Output = Answer> + Send + use<>> {
        let Request::WaitApplied { index, wait_ms } = request;
        let place = Place::take(&self.waits)?;
        let mut applied = self.shared.applied();
        Some(async move {
            let _place = place;
            let wait = Duration::from_millis(wait_ms).min(MAX_WAIT);
            // However the wait ends, the answer says how far this node is.
            let _ = tokio::time::timeout(wait, applied.wait_for(|now| *now >= index)).await;
            Answer::Applied(*applied.borrow())
        })
    }
}

/// One of the [`MAX_WAITS`].
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waits: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(waits.clone());
        (waits.fetch_add(1, Ordering::Relaxed) < MAX_WAITS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Inbound for Door {
    fn message(&self, from: Peer, head: &[u8], body: Bytes) -> Result<(), Malformed> {
        self.take(from.node, from.link, decode("consensus message", head)?, body)
    }

    fn request(
        &self,
        _from: Peer,
        head: &[u8],
        _body: Bytes,
        reply: Replier,
    ) -> Result<(), Malformed> {
        let request = decode("consensus request", head)?;
        if let Some(answer) = self.answer(request) {
            tokio::spawn(async move { reply.send(&answer.await, Bytes::new()) });
        }
        Ok(())
    }

    fn bulk(&self, _from: Peer, _head: &[u8], _stream: BulkStream) -> Result<(), Malformed> {
        Err(Malformed { what: "bulk stream", why: "consensus takes none".into() })
    }

    fn datagram(&self, _from: Peer, _bytes: &[u8]) -> Result<(), Malformed> {
        Err(Malformed { what: "datagram", why: "consensus takes none".into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Incarnation;
    use crate::wire::consensus::{Part, Renewal, SessionId};

    fn door() -> (Door, Inbox) {
        let inbox = Inbox::new();
        (Door::new(NodeId(1), inbox.clone(), Arc::new(Shared::new())), inbox)
    }

    #[test]
    fn hostile_bytes_are_malformed_and_reach_nobody() {
        let (door, inbox) = door();
        let part = Message::Raft(Part { message: 1, part: 0, parts: 1 });
        assert!(door.take(NodeId(2), 1, part, Bytes::from_static(b"\xff\xff")).is_err());
        assert!(decode::<Message>("consensus message", &[7; 40]).is_err());
        assert!(inbox.take(Duration::ZERO, 1).is_empty());
    }

    #[test]
    fn a_renewal_reaches_the_driver() {
        let (door, inbox) = door();
        let session = SessionId { node: NodeId(2), incarnation: Incarnation(1), opened: 3 };
        let renew = Message::Renew(Renewal { session, number: 1, applied: 3 });
        door.take(NodeId(2), 1, renew.clone(), Bytes::new()).unwrap();
        let inputs = inbox.take(Duration::ZERO, 2);
        assert!(matches!(&inputs[..], [Input::Peer(NodeId(2), message)] if *message == renew));
    }

    #[tokio::test]
    async fn a_wait_ends_when_the_index_is_applied_and_there_are_not_too_many() {
        let (door, _inbox) = door();
        let request = Request::WaitApplied { index: 5, wait_ms: 60_000 };
        let waits: Vec<_> = (0..MAX_WAITS).map(|_| door.answer(request).unwrap()).collect();
        assert!(door.answer(request).is_none());
        let status = super::super::RaftStatus { applied: 5, ..Default::default() };
        door.shared.set_status(status);
        for wait in waits {
            assert_eq!(wait.await, Answer::Applied(5));
        }
        assert!(door.answer(request).is_some());
    }
}
