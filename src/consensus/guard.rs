//! Which Raft messages are taken from a peer. raft-rs panics on some that no healthy peer sends;
//! they are found here first.

use protobuf::Message as _;
use raft::eraftpb::{ConfChangeV2, Entry, EntryType, Message as RaftMessage, MessageType};
use raft::{Raft, Storage};

use super::conf::Conf;
use super::log::MemLog;
use super::machine::Machine;
use super::raft_node::Fatal;
use crate::id::NodeId;
use crate::wire::Malformed;

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
    )
}

/// Looks at a message before raft-rs does.
pub fn admit(raft: &Raft<MemLog>, message: &RaftMessage) -> Result<(), Refusal> {
    if message.term < raft.term && message.term != 0 {
        return Ok(());
    }
    match message.get_msg_type() {
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
    for entry in message.get_entries() {
        check(is_known(entry), || format!("entry {} is of no kind known here", entry.index))?;
        let follows = Some(entry.index) == index.checked_add(1) && entry.term >= term;
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
    let machine = Machine::restore(&message.get_snapshot().data)
        .map_err(|error| Refusal::Fatal(Fatal::Entry(error)))?;
    let meta = message.get_snapshot().get_metadata();
    check(machine.applied() == meta.index, || {
        format!("a snapshot of {} holds the state of {}", meta.index, machine.applied())
    })?;
    check(Conf::from(meta.get_conf_state()) == *machine.conf(), || {
        format!("a snapshot of {} is of other voters than it holds", meta.index)
    })
}

fn check(holds: bool, why: impl FnOnce() -> String) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::Drop(why())) }
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
