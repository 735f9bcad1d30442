//! What other nodes say about calls.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Calls;
use super::cell::{Ended, Payload};
use super::gang::no_place;
use super::kept::KeptKey;
use super::live::{LiveCall, Origin};
use super::outgoing::Lost;
use super::place::no_session;
use super::records::{Stored, Vote};
use super::spec::{Role, Spec, Tree};
use crate::clock;
use crate::errno::{CallError, Errno};
use crate::function::EndReason;
use crate::id::{Attempt, CallId, FunctionKey, NodeId};
use crate::net::{BulkStream, Inbound, Peer, Replier};
use crate::scheduler::Needs;
use crate::wire::calls::{
    CallBulk, CallMessage, CallReply, CallRequest, Done, INLINE_MAX, Phase, Record, Start,
};
use crate::wire::function::{Limits, Policy};
use crate::wire::{Malformed, decode};

/// Largest input that another node may send, in bytes.
pub const MAX_INPUT: u64 = 1 << 30;
/// Longest that a peer may take to send an input or fetch an output.
const BULK_TIME: Duration = Duration::from_secs(60);

impl Inbound for Calls {
    fn message(&self, from: Peer, head: &[u8], body: Bytes) -> Result<(), Malformed> {
        self.told(from, decode("call message", head)?, body)
    }

    fn request(
        &self,
        from: Peer,
        head: &[u8],
        body: Bytes,
        reply: Replier,
    ) -> Result<(), Malformed> {
        let (answer, bytes) = self.answer(from, decode("call request", head)?, body)?;
        reply.send(&answer, bytes);
        Ok(())
    }

    fn bulk(&self, from: Peer, head: &[u8], stream: BulkStream) -> Result<(), Malformed> {
        match decode("call stream", head)? {
            CallBulk::Start(start) => {
                if start.input_len > MAX_INPUT {
                    return Err(wrong("an input larger than a node may send"));
                }
                let calls = self.clone();
                self.spawn(async move { calls.read_start(from, *start, stream).await });
            }
            CallBulk::Output(call, attempt) => self.serve_kept((call, attempt, false), stream),
            CallBulk::Log(call, attempt) => self.serve_kept((call, attempt, true), stream),
            CallBulk::Hand(call, attempt, is_log, len) => {
                if len > Limits::MAX_OUTPUT {
                    return Err(wrong("an output larger than a function may have"));
                }
                let calls = self.clone();
                self.spawn(
                    async move { calls.take_over((call, attempt, is_log), len, stream).await },
                );
            }
        }
        Ok(())
    }

    fn datagram(&self, _: Peer, _: &[u8]) -> Result<(), Malformed> {
        Err(wrong("calls are not told by datagrams"))
    }
}

impl Calls {
    /// A message of another node.
    pub(super) fn told(
        &self,
        from: Peer,
        message: CallMessage,
        body: Bytes,
    ) -> Result<(), Malformed> {
        match message {
            CallMessage::Start(start) => {
                if start.input_len != body.len() as u64 || body.len() > INLINE_MAX {
                    return Err(wrong("a start whose input is not as long as it says"));
                }
                self.taken_in(from, start, body)?;
            }
            CallMessage::Accepted(call, attempt, room) => {
                let place = self.outgoing().lock().accepted(from.node, call, attempt);
                drop(place.flatten());
                if let Some(told) = self.answers().lock().remove(&call) {
                    let _ = told.send(true);
                }
                self.scheduler().answered(from.node, room);
            }
            CallMessage::Refused(call, attempt, error, room) => {
                self.scheduler().told(from.node, room);
                self.refused(from.node, call, attempt, error);
            }
            CallMessage::Done(done) => self.done(from, done, body)?,
            CallMessage::Cancel(call, attempt) => self.cancel_from(call, attempt),
            CallMessage::CancelTree(root) => self.end_tree_here(root, EndReason::Cancelled),
            CallMessage::CancelBelow(call) => self.end_below_here(call, EndReason::Cancelled),
            CallMessage::Involved(call) => self.involved_from(from.node, call),
            CallMessage::Printed(world, rank) => self.printed(from, world, rank, &body),
            CallMessage::Tolerates(world, rank) => self.tolerates(from, world, rank),
            CallMessage::Release(world, ticket) => {
                self.places().lock().release((from.node, world, ticket));
            }
            CallMessage::Keep(record) => {
                let stored = stored(*record, body)?;
                self.keep_here(stored);
            }
        }
        Ok(())
    }

    /// Answers another node's request.
    pub(super) fn answer(
        &self,
        from: Peer,
        request: CallRequest,
        body: Bytes,
    ) -> Result<(CallReply, Bytes), Malformed> {
        Ok(match request {
            CallRequest::Claim(record) => {
                let stored = stored(*record, body)?;
                if !self.registry().session_is_live() {
                    // Others may ask only those that have a session, and miss what is kept here.
                    return Ok((CallReply::NotYet, Bytes::new()));
                }
                let known = self.records().lock().claim(stored, clock::now());
                known.map_or((CallReply::Done, Bytes::new()), to_reply)
            }
            CallRequest::Prepare(vote, record) | CallRequest::Accept(vote, record) => {
                voted(self.vote_here(vote, stored(*record, body)?))
            }
            CallRequest::Lookup(call) => match self.lookup_here(call) {
                Some(known) => to_reply(known),
                None => (CallReply::Unknown, Bytes::new()),
            },
            CallRequest::Cancel(call) => {
                let found = self.cancel_here(call);
                (if found { CallReply::Done } else { CallReply::Unknown }, Bytes::new())
            }
            CallRequest::List(most) => {
                (CallReply::Calls(self.list_here(most as usize)), Bytes::new())
            }
            CallRequest::ListOf(most, user) => {
                (CallReply::Calls(self.list_of_here(&user, most as usize)), Bytes::new())
            }
            CallRequest::Leaving(load) => (self.peer_leaves(from, load)?, Bytes::new()),
            CallRequest::Reserve(asked) => (self.reserve(from.node, &asked), Bytes::new()),
            CallRequest::Follow(call, at) => self.text_of(call, at),
        })
    }

    /// Takes in a call that another node sent, or refuses it.
    pub(super) fn taken_in(&self, from: Peer, start: Start, input: Bytes) -> Result<(), Malformed> {
        let (call, attempt, may_queue) = (start.call, start.attempt, start.may_queue);
        self.hear(start.tree.clock);
        let refuse = |error| {
            let message = CallMessage::Refused(call, attempt, error, self.scheduler().room());
            let _ = self.net().send(from.node, &message, Bytes::new());
            Ok(())
        };
        let spec = match self.spec_from(start, input)? {
            Ok(spec) => Arc::new(spec),
            Err(error) => return refuse(error),
        };
        if self.inner.cancelled.lock().covers(call, attempt, clock::now()) {
            return refuse(EndReason::Cancelled.error());
        }
        if let Some(known) = self.live_call(call).filter(|known| known.phase() != Phase::Done) {
            let same = matches!(&known.origin, Origin::Peer(peer) if peer.node == from.node);
            if !same || known.attempt >= attempt {
                return refuse(CallError::new(Errno::Again, "this node has this call already"));
            }
            // Its caller has given it up.
            self.end_call(&known, EndReason::ParentLost);
        }
        if !self.registry().session_is_live() {
            return refuse(no_session());
        }
        let _entering = self.enters();
        if !self.scheduler().takes_calls() {
            return refuse(CallError::new(Errno::Unavailable, "the node is stopping"));
        }
        let place = match &spec.role {
            Role::Rank(seat, ticket) => {
                self.kept_place(from.node, seat.world, *ticket).ok_or_else(no_place)
            }
            _ => self.place_here(&spec.user).ok_or_else(|| {
                CallError::new(Errno::Full, "the node has no place for another call")
            }),
        };
        let place = match place {
            Ok(place) => place,
            Err(error) => return refuse(error),
        };
        let slot = self.scheduler().try_slot(&spec.user.holding);
        if slot.is_none() && !may_queue {
            return refuse(CallError::new(Errno::Full, "the node has no slot free"));
        }
        let live = LiveCall::new(self.clone(), spec, attempt, Origin::Peer(from), place);
        self.enter(live.clone(), slot, false);
        if self.is_stale(from) {
            // It came while the connection ended: its caller has given it up.
            self.end_call(&live, EndReason::ParentLost);
            return Ok(());
        }
        match may_queue {
            // The sender waits for the answer.
            true => self.accept(from, call, attempt),
            false => self.unaccepted().lock().push((from, call, attempt)),
        }
        Ok(())
    }

    /// Tells the senders of calls that are not over yet that they were taken. Most calls end
    /// sooner, and their result tells it.
    pub(super) fn accept_lasting(&self) {
        let waiting = std::mem::take(&mut *self.unaccepted().lock());
        for (from, call, attempt) in waiting {
            if self.live_call(call).is_some_and(|live| live.phase() != Phase::Done) {
                self.accept(from, call, attempt);
            }
        }
    }

    fn accept(&self, from: Peer, call: CallId, attempt: Attempt) {
        let accepted = CallMessage::Accepted(call, attempt, self.scheduler().room());
        let _ = self.net().send(from.node, &accepted, Bytes::new());
    }

    fn spec_from(&self, start: Start, input: Bytes) -> Result<Result<Spec, CallError>, Malformed> {
        let key = FunctionKey::new(&start.user, &start.name).map_err(|e| wrong(e.to_string()))?;
        let left = Duration::from_millis(start.tree.left_ms).min(super::MAX_DEADLINE);
        let tree = Tree {
            root: start.tree.root,
            home: start.tree.home,
            deadline: clock::now() + left,
            depth: start.tree.depth,
            trace: start.tree.trace,
        };
        let user = self.user(&key.user);
        let function = self.version(key, &start);
        let needs = Needs { policy: Policy::BinPack, pin: Vec::new(), wasm: start.wasm };
        let (call, start_at, args) = (start.call, start.entry, start.args);
        let above = start.above.into();
        let role = match start.seat {
            Some((seat, _)) if seat.rank as usize >= seat.nodes.len() => {
                return Err(wrong("a rank that is not in its world"));
            }
            Some((seat, ticket)) => Role::Rank(Arc::new(seat), ticket),
            None => Role::Plain,
        };
        let share = match self.budget().take(&user, input.len()) {
            Ok(share) => share,
            Err(error) => return Ok(Err(error)),
        };
        let start = start_at;
        Ok(Ok(Spec { call, function, user, start, args, input, share, tree, above, needs, role }))
    }

    async fn read_start(&self, from: Peer, start: Start, mut stream: BulkStream) {
        let len = start.input_len as usize;
        let read = async {
            let _budget = self.bulk_budget(start.input_len).await?;
            let input = stream.recv.read_to_end(len).await.ok()?;
            (input.len() == len).then_some(input)
        };
        let Ok(Some(input)) = tokio::time::timeout(BULK_TIME, read).await else {
            let (call, attempt) = (start.call, start.attempt);
            let error = CallError::new(Errno::HostLost, "the input did not arrive whole");
            let message = CallMessage::Refused(call, attempt, error, self.scheduler().room());
            let _ = self.net().send(from.node, &message, Bytes::new());
            return;
        };
        if let Err(error) = self.taken_in(from, start, input.into()) {
            tracing::warn!(%error, peer = %from.node, "a call sent in bulk was dropped");
        }
    }

    /// Keeps what a node that stops has kept.
    async fn take_over(&self, key: KeptKey, len: u64, mut stream: BulkStream) {
        let read = async {
            let _budget = self.bulk_budget(len).await?;
            stream.recv.read_to_end(len as usize).await.ok()
        };
        let Ok(Some(bytes)) = tokio::time::timeout(BULK_TIME, read).await else { return };
        if bytes.len() as u64 == len {
            self.kept().lock().keep(key, bytes.into(), clock::now());
        }
    }

    fn serve_kept(&self, key: KeptKey, mut stream: BulkStream) {
        let bytes = self.kept().lock().get(key);
        self.spawn(async move {
            let write = async {
                let Some(bytes) = bytes else { return stream.send.finish().is_ok() };
                let len = (bytes.len() as u64).to_le_bytes();
                stream.send.write_all(&len).await.is_ok()
                    && stream.send.write_chunk(bytes).await.is_ok()
                    && stream.send.finish().is_ok()
            };
            let _ = tokio::time::timeout(BULK_TIME, write).await;
        });
    }

    /// A call that this node sent has ended.
    fn done(&self, from: Peer, done: Done, mut body: Bytes) -> Result<(), Malformed> {
        self.hear(done.clock);
        let output = Payload::from_wire(&done.output, &mut body);
        let log = Payload::from_wire(&done.log, &mut body);
        let (Some(output), Some(log), true) = (output, log, body.is_empty()) else {
            return Err(wrong("a result whose bytes are not as long as it says"));
        };
        let taken = self.outgoing().lock().take(from.node, done.call, done.attempt);
        self.scheduler().told(from.node, done.room);
        let Some(outgoing) = taken else { return Ok(()) };
        if !outgoing.accepted {
            self.scheduler().unanswered(from.node);
        }
        // A node that stops, or lost its session, gives its calls up: as if it had died.
        let given_up = matches!(&done.result, Err(error) if error.code == Errno::HostLost);
        let lost = if given_up { outgoing.lost() } else { Lost::End(outgoing) };
        let outgoing = match lost {
            Lost::Again(again) => {
                self.go_again(again);
                return Ok(());
            }
            Lost::End(outgoing) => outgoing,
        };
        let ended = Ended {
            result: done.result,
            output,
            log,
            times: done.times,
            node: from.node,
            work: done.work,
            rank: done.rank,
        };
        drop(outgoing.place);
        self.complete(&outgoing.spec, &outgoing.cell, ended);
        Ok(())
    }

    /// Whether a peer's connection is known to be another one now, or none.
    fn is_stale(&self, peer: Peer) -> bool {
        let peers = self.net().peers().borrow().clone();
        peers.get(&peer.node).is_some_and(|now| now.up.is_none_or(|now| now.link != peer.link))
    }

    fn cancel_from(&self, call: CallId, attempt: Attempt) {
        let live = self.live_call(call);
        if live.as_ref().is_none_or(|live| live.attempt < attempt) {
            self.inner.cancelled.lock().note(call, attempt, clock::now());
        }
        if let Some(live) = live.filter(|live| live.attempt <= attempt) {
            self.end_call(&live, EndReason::Cancelled);
        }
    }

    /// A node is gone: its calls end or run again, and what it asked for ends.
    /// `link` is the connection to it that there is now, if there is one.
    pub(super) fn node_lost(&self, node: NodeId, link: Option<u64>) {
        self.scheduler().lost(node);
        self.places().lock().lost(node);
        self.lost_calls(node, link);
        self.end_where(EndReason::ParentLost, |live| {
            let asked = |peer: &Peer| peer.node == node && Some(peer.link) != link;
            matches!(&live.origin, Origin::Peer(peer) if asked(peer)) || live.spec.tree.home == node
        });
    }
}

fn stored(record: Record, mut body: Bytes) -> Result<Stored, Malformed> {
    let output = Payload::from_wire(&record.output, &mut body);
    let log = Payload::from_wire(&record.log, &mut body);
    let here = |payload| match payload {
        Some(Payload::Here(bytes)) => Some(bytes),
        Some(Payload::At(_)) => Some(Bytes::new()),
        None => None,
    };
    match (here(output), here(log), body.is_empty()) {
        (Some(output), Some(log), true) => Ok(Stored { record, output, log }),
        _ => Err(wrong("a record whose bytes are not as long as it says")),
    }
}

fn to_reply(stored: Stored) -> (CallReply, Bytes) {
    let body = stored.body();
    (CallReply::Record(Box::new(stored.record)), body)
}

/// The answer of a node that keeps records in a vote on an end.
fn voted(vote: Vote) -> (CallReply, Bytes) {
    match vote {
        Vote::Yes => (CallReply::Done, Bytes::new()),
        Vote::No => (CallReply::NotYet, Bytes::new()),
        Vote::Known(known) => to_reply(known),
        Vote::Accepted(vote, end) => {
            let body = end.body();
            (CallReply::Accepted(vote, Box::new(end.record)), body)
        }
    }
}

/// Reads the answer to a look-up.
pub(super) fn from_reply(record: Record, body: Bytes) -> Option<Stored> {
    stored(record, body).ok()
}

fn wrong(why: impl Into<String>) -> Malformed {
    Malformed { what: "call message", why: why.into() }
}
