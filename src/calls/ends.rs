//! How a call that was claimed ends, the same for everybody who asks.
//!
//! The nodes that keep its record vote. The home proposes the end as long as its session lasts, and
//! tells it once all of them took it. When that session is over, whoever asks proposes in the home's
//! place: the end that one of them took, or else that the call was lost. This is Paxos with the home
//! as the first proposer, which needs no preparation, and with all keepers as the quorum: one that
//! does not answer is no keeper any more when its session is over.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;

use super::Calls;
use super::cell::Ended;
use super::inbound::from_reply;
use super::records::{Stored, Vote};
use super::root::{RECORD_COPIES, Root, payload_of};
use crate::clock;
use crate::errno::{CallError, Errno};
use crate::id::NodeId;
use crate::wire::calls::{CallReply, CallRequest, Phase, Record};

/// The home's vote, before all others.
const FIRST: u64 = 1;
/// Bits of a vote's number that tell proposers of the same microsecond apart.
const PROPOSER_BITS: u32 = 8;
/// How long a node may take to answer.
const ASK_TIME: Duration = Duration::from_millis(700);
/// Pause before those are asked again that did not answer, at first and at most.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(320));
/// The home tells an end after this time also when only some other node took it: the rest is out of
/// its reach for longer than a node that is cut off keeps its session.
const MOST: Duration = Duration::from_secs(5);
/// The same when no other node took it, or when this node's session is over and nobody answers.
const MOST_ALONE: Duration = Duration::from_secs(12);

impl Calls {
    /// A claimed call of this node has ended: tells so when that is agreed on.
    pub(super) fn agree_on_end(&self, root: Arc<Root>, ended: Ended) {
        if root.ending.swap(true, Ordering::AcqRel) {
            return;
        }
        root.accepted.store(true, Ordering::Release);
        let calls = self.clone();
        self.spawn(async move {
            let ended = calls.agreed(&root, ended).await;
            calls.completed(&root.spec, &root.cell, ended);
        });
    }

    async fn agreed(&self, root: &Root, ended: Ended) -> Ended {
        if !self.is_home_of(root) {
            // No other end was proposed.
            return self.root_end(root.spec.call, ended);
        }
        let end = root.stored_as(self, Some(&ended));
        let running = root.stored_as(self, None);
        let (mut from, mut had_session, mut have_it) = (clock::now(), true, Vec::new());
        let mut pause = ASK_AGAIN.0;
        loop {
            let is_home = self.is_home_of(root);
            if is_home != had_session {
                (from, had_session) = (clock::now(), is_home);
            }
            let known = match is_home {
                true => self.propose(&end, &mut have_it).await,
                // The session may come back; if it does not, others decide, too.
                false => Some(self.settle(running.clone()).await).filter(Stored::has_ended),
            };
            if let Some(known) = known {
                return if known.record.result == end.record.result {
                    ended
                } else {
                    end_of(&known)
                };
            }
            let alone = !is_home || have_it.iter().all(|node| *node == self.me());
            let most = if alone { MOST_ALONE } else { MOST };
            // A node that stood still for long finds that others decide now.
            if self.is_home_of(root) == is_home && clock::now() >= from + most {
                return self.root_end(root.spec.call, ended);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(ASK_AGAIN.1);
        }
    }

    /// Asks the nodes that keep the record to take this end. The end, this or another one, when it is
    /// final.
    async fn propose(&self, end: &Stored, have_it: &mut Vec<NodeId>) -> Option<Stored> {
        let mut nodes = self.ranked(end.record.call, RECORD_COPIES);
        nodes.retain(|node| !have_it.contains(node));
        let votes = nodes.iter().map(|node| self.vote(*node, FIRST, end));
        let mut all = true;
        for (node, vote) in nodes.iter().zip(join_all(votes).await) {
            match vote {
                Some(Vote::Yes) => have_it.push(*node),
                Some(Vote::Known(known)) if known.has_ended() => return Some(known),
                _ => all = false,
            }
        }
        all.then(|| end.clone())
    }

    /// A call whose home's session is over has ended, though the home did not tell so. Not yet when a
    /// node that keeps its record does not answer.
    pub(super) async fn settle(&self, stored: Stored) -> Stored {
        let record = &stored.record;
        if record.phase == Phase::Done || !self.is_over(record) {
            return stored;
        }
        let nodes = self.ranked(record.call, RECORD_COPIES);
        match self.elect(&nodes, &stored).await {
            Some(end) => {
                self.keep_record(end.clone(), &[]);
                end
            }
            None => stored,
        }
    }

    async fn elect(&self, nodes: &[NodeId], stored: &Stored) -> Option<Stored> {
        let number =
            (self.stamp_us() << PROPOSER_BITS) | (self.me().0 & ((1 << PROPOSER_BITS) - 1));
        let prepared = nodes.iter().map(|node| self.vote(*node, number, stored));
        let mut best: Option<(u64, Stored)> = None;
        let mut undecided = nodes.is_empty();
        for vote in join_all(prepared).await {
            match vote {
                Some(Vote::Yes) => {}
                Some(Vote::Accepted(of, end)) => {
                    if best.as_ref().is_none_or(|(best, _)| of > *best) {
                        best = Some((of, end));
                    }
                }
                Some(Vote::Known(known)) if known.has_ended() => return Some(known),
                _ => undecided = true,
            }
        }
        if undecided {
            return None;
        }
        let end = best.map_or_else(|| lost(stored.clone()), |(_, end)| end);
        let accepted = join_all(nodes.iter().map(|node| self.vote(*node, number, &end))).await;
        let mut all = true;
        for vote in accepted {
            match vote {
                Some(Vote::Yes) => {}
                Some(Vote::Known(known)) if known.has_ended() => return Some(known),
                _ => all = false,
            }
        }
        all.then_some(end)
    }

    /// This node's own vote.
    pub(super) fn vote_here(&self, number: u64, stored: Stored) -> Vote {
        let over = |record: &Record| number > FIRST && self.is_over(record);
        let mut records = self.records().lock();
        match stored.has_ended() {
            true => records.accept(number, stored, over, clock::now()),
            false => records.prepare(number, stored, over, clock::now()),
        }
    }

    /// Asks a node to take part in a vote, or, with a record that has ended, to take that end.
    async fn vote(&self, node: NodeId, number: u64, stored: &Stored) -> Option<Vote> {
        if node == self.me() {
            return Some(self.vote_here(number, stored.clone()));
        }
        let record = Box::new(stored.record.clone());
        let request = match stored.has_ended() {
            true => CallRequest::Accept(number, record),
            false => CallRequest::Prepare(number, record),
        };
        let until = clock::now() + ASK_TIME;
        let (reply, body) = self.net().request(node, request, stored.body(), until).await.ok()?;
        Some(match reply {
            CallReply::Done => Vote::Yes,
            CallReply::Accepted(of, record) => Vote::Accepted(of, from_reply(*record, body)?),
            CallReply::Record(record) => Vote::Known(from_reply(*record, body)?),
            _ => Vote::No,
        })
    }
}

fn lost(mut stored: Stored) -> Stored {
    let record = &mut stored.record;
    let detail = format!("{}, which answered for the call, was lost", record.home);
    record.phase = Phase::Done;
    record.node.get_or_insert(record.home);
    record.result = Some(Err(CallError::new(Errno::HostLost, detail)));
    stored
}

fn end_of(known: &Stored) -> Ended {
    let Record { result, output, log, times, node, home, work, .. } = &known.record;
    let unknown = || Err(CallError::new(Errno::HostLost, "the record of the end has no result"));
    Ended {
        result: result.clone().unwrap_or_else(unknown),
        output: payload_of(output, &known.output),
        log: payload_of(log, &known.log),
        times: *times,
        node: node.unwrap_or(*home),
        work: work.clone(),
        rank: None,
    }
}
