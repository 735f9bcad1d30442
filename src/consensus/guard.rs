//! Which Raft messages are taken from a peer. raft-rs panics on some that no healthy peer sends;
//! they are found here first.

use std::collections::BTreeSet;

use protobuf::Message as _;
use raft::eraftpb::{
    ConfChangeV2, ConfState, Entry, EntryType, Message as RaftMessage, MessageType,
};
use raft::{Raft, StateRole, Storage};

use super::conf::Conf;
use super::image;
use super::log::MemLog;
use super::machine::Machine;
use super::raft_node::Fatal;
use crate::id::NodeId;
use crate::wire::Malformed;

/// Terms up to this one are believed of anybody, and those at most [`TERM_STEP`] above this member's
/// own: elections never get there, and past the last number arithmetic would fail on every start.
const PLAUSIBLE_TERM: u64 = 1 << 62;
/// See [`PLAUSIBLE_TERM`].
const TERM_STEP: u64 = 1 << 32;

/// Why a message is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is ignored, as if it had been lost.
    Drop(String),
    /// It shows that this member cannot go on.
    Fatal(Fatal),
}

/// Reads the bytes of a Raft message from `from`.
pub fn parse(from: NodeId, me: NodeId, bytes: &[u8]) -> Result<RaftMessage, Malformed> {
    let malformed = |why: String| Malformed { what: "Raft message", why };
    let mut message = RaftMessage::default();
    message.merge_from_bytes(bytes).map_err(|error| malformed(error.to_string()))?;
    if message.to != me.0 {
        return Err(malformed(format!("it is for n{}, not for {me}", message.to)));
    }
    if message.from != from.0 {
        return Err(malformed(format!("{from} sent it in the name of n{}", message.from)));
    }
    if !is_taken(message.get_msg_type()) {
        return Err(malformed(format!("no peer sends {:?}", message.get_msg_type())));
    }
    let is_question = message.get_msg_type() == MessageType::MsgReadIndex;
    if (message.term == 0) != is_question {
        let kind = message.get_msg_type();
        return Err(malformed(format!("{kind:?} with term {}", message.term)));
    }
    if message.priority != 0 || message.deprecated_priority != 0 {
        return Err(malformed("no member has a priority".to_owned()));
    }
    let reads =
        matches!(message.get_msg_type(), MessageType::MsgReadIndex | MessageType::MsgReadIndexResp);
    if reads && message.entries.len() != 1 {
        return Err(malformed(format!("a read with {} contexts", message.entries.len())));
    }
    Ok(message)
}

fn is_taken(kind: MessageType) -> bool {
    use MessageType as T;
    matches!(
        kind,
        T::MsgAppend
            | T::MsgAppendResponse
            | T::MsgRequestVote
            | T::MsgRequestVoteResponse
            | T::MsgRequestPreVote
            | T::MsgRequestPreVoteResponse
            | T::MsgSnapshot
            | T::MsgHeartbeat
            | T::MsgHeartbeatResponse
            | T::MsgReadIndex
            | T::MsgReadIndexResp
            | T::MsgTimeoutNow
            | T::MsgTransferLeader
    )
}

/// Looks at a message before raft-rs does.
pub fn admit(raft: &Raft<MemLog>, message: &RaftMessage) -> Result<(), Refusal> {
    if message.term < raft.term && message.term != 0 {
        return Ok(());
    }
    check(message.term <= raft.term.max(PLAUSIBLE_TERM).saturating_add(TERM_STEP), || {
        format!("it is of term {}, and this member is in {}", message.term, raft.term)
    })?;
    if leads(message.get_msg_type()) && message.term == raft.term {
        let known = raft.leader_id;
        check(known == raft::INVALID_ID || known == message.from, || {
            format!("n{} leads in term {}", known, raft.term)
        })?;
    }
    match message.get_msg_type() {
        // raft-rs would pass it on in the name of the asker, who asks again anyway.
        MessageType::MsgReadIndex => {
            check(raft.state == StateRole::Leader, || "this member does not lead".to_owned())
        }
        MessageType::MsgHeartbeat => heartbeat(raft, message),
        MessageType::MsgAppend => append(raft, message),
        MessageType::MsgAppendResponse if !message.reject => {
            let last = raft.raft_log.last_index();
            check(message.index <= last, || {
                format!("{} is acknowledged, and the log ends at {last}", message.index)
            })
        }
        MessageType::MsgSnapshot => snapshot(message),
        MessageType::MsgTimeoutNow => check(message.from == raft.leader_id, || {
            format!("n{} does not lead, and hands the lead over", message.from)
        }),
        _ => Ok(()),
    }
}

/// What only the leader of a term sends in it.
fn leads(kind: MessageType) -> bool {
    use MessageType as T;
    matches!(kind, T::MsgAppend | T::MsgHeartbeat | T::MsgSnapshot)
}

/// A leader tells a follower only of what the follower had confirmed.
fn heartbeat(raft: &Raft<MemLog>, message: &RaftMessage) -> Result<(), Refusal> {
    let last = raft.raft_log.last_index();
    if message.commit <= last {
        return Ok(());
    }
    let node = NodeId(raft.id);
    Err(Refusal::Fatal(Fatal::Forgot { node, last, confirmed: message.commit }))
}

fn append(raft: &Raft<MemLog>, message: &RaftMessage) -> Result<(), Refusal> {
    let mut index = message.index;
    let mut term = message.log_term;
    // Past the end of a log raft-rs takes the term for 0, and so an entry of term 0 for known.
    check((index == 0) == (term == 0), || format!("it follows ({index}, {term})"))?;
    for entry in message.get_entries() {
        check(is_known(entry), || format!("entry {} is of no kind known here", entry.index))?;
        let follows = Some(entry.index) == index.checked_add(1) && entry.term >= term.max(1);
        check(follows && entry.term <= message.term, || {
            format!("entry ({}, {}) follows ({index}, {term})", entry.index, entry.term)
        })?;
        (index, term) = (entry.index, entry.term);
    }
    let committed = raft.raft_log.committed;
    let first = raft.store().first_index().unwrap_or(0);
    let clash = message.get_entries().iter().find(|entry| {
        (first..=committed).contains(&entry.index)
            && raft.raft_log.term(entry.index).is_ok_and(|term| term != entry.term)
    });
    check(clash.is_none(), || "it changes a committed entry".to_owned())
}

fn is_known(entry: &Entry) -> bool {
    match entry.get_entry_type() {
        EntryType::EntryNormal => true,
        EntryType::EntryConfChangeV2 => {
            ConfChangeV2::default().merge_from_bytes(&entry.data).is_ok()
        }
        EntryType::EntryConfChange => false,
    }
}

fn snapshot(message: &RaftMessage) -> Result<(), Refusal> {
    let data = &message.get_snapshot().data;
    let machine = Machine::restore(data).map_err(|error| match image::is_newer(data) {
        true => Refusal::Fatal(Fatal::Entry(error)),
        false => Refusal::Drop(error.to_string()),
    })?;
    let meta = message.get_snapshot().get_metadata();
    let (index, term) = (meta.index, meta.term);
    check(machine.applied() == index, || {
        format!("a snapshot of {index} holds the state of {}", machine.applied())
    })?;
    check(index > 0 && (1..=message.term).contains(&term), || {
        format!("a snapshot of ({index}, {term}) in term {}", message.term)
    })?;
    check(is_group(meta.get_conf_state()), || "a snapshot of a group that cannot be".to_owned())?;
    check(Conf::from(meta.get_conf_state()) == *machine.conf(), || {
        format!("a snapshot of {index} is of other voters than it holds")
    })
}

/// Whether each member has one part in the group, or, while it changes, the two that go together.
fn is_group(conf: &ConfState) -> bool {
    let set = |ids: &[u64]| -> Option<BTreeSet<u64>> {
        let set: BTreeSet<u64> = ids.iter().copied().filter(|id| *id != 0).collect();
        (set.len() == ids.len()).then_some(set)
    };
    let sets = (
        set(conf.get_voters()),
        set(conf.get_learners()),
        set(conf.get_voters_outgoing()),
        set(conf.get_learners_next()),
    );
    let (Some(voters), Some(learners), Some(outgoing), Some(next)) = sets else { return false };
    !voters.is_empty()
        && learners.is_disjoint(&voters)
        && learners.is_disjoint(&outgoing)
        && next.is_subset(&outgoing)
        && next.is_disjoint(&voters)
        && next.is_disjoint(&learners)
        && (!conf.auto_leave || !outgoing.is_empty())
}

fn check(holds: bool, why: impl FnOnce() -> String) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::Drop(why())) }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
