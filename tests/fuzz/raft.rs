//! Raft messages, well-formed and with fields that no healthy peer sets.

use faasm::consensus::fuzzing as consensus;
use raft::eraftpb::{Entry, EntryType, Message, MessageType};
use rand::Rng;

use super::mutate::Mutator;

/// What peers send each other; by the last two a leader hands over.
pub const KINDS: [MessageType; 13] = [
    MessageType::MsgAppend,
    MessageType::MsgAppendResponse,
    MessageType::MsgRequestVote,
    MessageType::MsgRequestVoteResponse,
    MessageType::MsgRequestPreVote,
    MessageType::MsgRequestPreVoteResponse,
    MessageType::MsgSnapshot,
    MessageType::MsgHeartbeat,
    MessageType::MsgHeartbeatResponse,
    MessageType::MsgReadIndex,
    MessageType::MsgReadIndexResp,
    MessageType::MsgTimeoutNow,
    MessageType::MsgTransferLeader,
];

/// A message as a peer of a member in this term, whose log ends at `last`, may send it.
pub fn usual(kind: MessageType, term: u64, last: u64) -> Message {
    let mut message = Message::default();
    message.set_msg_type(kind);
    (message.from, message.to, message.term) = (consensus::PEER.0, 1, term);
    (message.index, message.log_term, message.commit) = (last, term, last);
    match kind {
        MessageType::MsgReadIndex | MessageType::MsgReadIndexResp => {
            // The name of a question, as member 1 gives it.
            let mut context = vec![2];
            [1_u64, 1, 1].iter().for_each(|part| context.extend_from_slice(&part.to_be_bytes()));
            message.entries = vec![Entry { data: context.into(), ..Entry::default() }].into();
            if kind == MessageType::MsgReadIndex {
                message.term = 0;
            }
        }
        MessageType::MsgAppend => {
            let data = super::corpus::log_entries().into_iter();
            let entry = |(index, data): (u64, Vec<u8>)| Entry {
                index,
                term,
                data: data.into(),
                ..Entry::default()
            };
            message.entries = (last + 1..).zip(data).map(entry).collect();
        }
        MessageType::MsgSnapshot => {
            let data = super::corpus::log_entries();
            let index = data.len() as u64;
            message.mut_snapshot().data = consensus::image(&data).into();
            let meta = message.mut_snapshot().mut_metadata();
            (meta.index, meta.term) = (index, term);
            meta.mut_conf_state().set_voters(vec![1, 2, 3]);
        }
        _ => {}
    }
    message
}

/// The next message to a member in this term, whose log ends at `last`.
pub fn next(mutator: &mut Mutator, term: u64, last: u64) -> Message {
    let kind = KINDS[mutator.rng().random_range(0..KINDS.len())];
    let mut message = usual(kind, term, last);
    for _ in 0..mutator.rng().random_range(0..4) {
        change(mutator, &mut message);
    }
    message
}

fn change(mutator: &mut Mutator, message: &mut Message) {
    match mutator.rng().random_range(0..16) {
        0 => message.term = mutator.number(message.term),
        1 => message.log_term = mutator.number(message.log_term),
        2 => message.index = mutator.number(message.index),
        3 => message.commit = mutator.number(message.commit),
        4 => message.commit_term = mutator.number(message.log_term),
        5 => message.reject = !message.reject,
        6 => message.reject_hint = mutator.number(message.index),
        7 => message.request_snapshot = mutator.number(message.index),
        8 => message.context = context(mutator),
        9 => message.term = mutator.rng().random_range(0..4),
        10 => drop(message.entries.pop()),
        11 | 12 => {
            let numbers = (mutator.number(message.index), mutator.number(message.term));
            let plain = mutator.rng().random_range(0..8) != 0;
            let data = mutator.input();
            let count = message.entries.len();
            if count == 0 {
                return;
            }
            let at = mutator.rng().random_range(0..count);
            let entry = &mut message.entries[at];
            match mutator.rng().random_range(0..3) {
                0 => entry.index = numbers.0,
                1 => entry.term = numbers.1,
                _ => entry.data = data.into(),
            }
            if !plain {
                entry.set_entry_type(EntryType::EntryConfChangeV2);
            }
        }
        13 => snapshot(mutator, message),
        14 => message.priority = mutator.number(0) as i64,
        _ => {
            let entry = Entry {
                index: mutator.number(message.index),
                term: mutator.number(message.term),
                data: context(mutator),
                ..Entry::default()
            };
            message.entries.push(entry);
        }
    }
}

/// The name of a question, of this member's or not.
fn context(mutator: &mut Mutator) -> bytes::Bytes {
    let mut context = vec![mutator.rng().random_range(0..4)];
    for _ in 0..mutator.rng().random_range(2..4) {
        context.extend_from_slice(&mutator.number(1).to_be_bytes());
    }
    context.into()
}

fn snapshot(mutator: &mut Mutator, message: &mut Message) {
    let (index, term) = (mutator.number(5), mutator.number(1));
    let ids: Vec<u64> =
        (0..mutator.rng().random_range(0..5)).map(|_| mutator.rng().random_range(0..5)).collect();
    let data = mutator.input();
    let meta = message.mut_snapshot().mut_metadata();
    match mutator.rng().random_range(0..8) {
        0 => meta.index = index,
        1 => meta.term = term,
        2 => meta.mut_conf_state().set_voters(ids),
        3 => meta.mut_conf_state().set_learners(ids),
        4 => meta.mut_conf_state().set_voters_outgoing(ids),
        5 => meta.mut_conf_state().set_learners_next(ids),
        6 => meta.mut_conf_state().auto_leave = true,
        _ => message.mut_snapshot().data = data.into(),
    }
}
