use raft::eraftpb::{ConfState, Entry, HardState};
use raft::{Config, RawNode};

use super::*;
use crate::consensus::log::{Loaded, Position};
use crate::consensus::slog_bridge;

const ME: NodeId = NodeId(1);

fn entry(index: u64, term: u64) -> Entry {
    Entry { index, term, ..Entry::default() }
}

/// A follower in term 2 whose log holds (1, 1), (2, 1), (3, 2), committed up to 2.
fn follower() -> RawNode<MemLog> {
    let hard_state = HardState { term: 2, commit: 2, ..HardState::default() };
    let entries = vec![entry(1, 1), entry(2, 1), entry(3, 2)];
    let loaded = Loaded { hard_state, base: Position::default(), entries, ..Loaded::default() };
    let mut conf = ConfState::default();
    conf.set_voters(vec![1, 2, 3]);
    let config = Config { id: ME.0, ..Config::default() };
    RawNode::new(&config, MemLog::new(&loaded, conf), &slog_bridge::logger()).unwrap()
}

fn message(kind: MessageType) -> RaftMessage {
    let mut message = RaftMessage::default();
    message.set_msg_type(kind);
    message.from = 2;
    message.to = ME.0;
    message.term = 2;
    message
}

fn parsed(message: &RaftMessage) -> Result<RaftMessage, Malformed> {
    parse(NodeId(2), ME, &message.write_to_bytes().unwrap())
}

fn append(index: u64, log_term: u64, entries: Vec<Entry>) -> RaftMessage {
    let mut append = message(MessageType::MsgAppend);
    (append.index, append.log_term) = (index, log_term);
    append.set_entries(entries.into());
    append
}

#[test]
fn a_peer_speaks_in_its_own_name_to_this_node_and_sends_no_local_messages() {
    let good = message(MessageType::MsgHeartbeat);
    assert_eq!(parsed(&good), Ok(good.clone()));
    let mut foreign = good.clone();
    foreign.from = 3;
    assert!(parsed(&foreign).unwrap_err().why.contains("in the name of n3"));
    let mut stray = good;
    stray.to = 3;
    assert!(parsed(&stray).unwrap_err().why.contains("for n3"));
    for kind in [MessageType::MsgHup, MessageType::MsgPropose, MessageType::MsgBeat] {
        assert!(parsed(&message(kind)).is_err(), "{kind:?} was taken");
    }
    assert!(parsed(&message(MessageType::MsgReadIndex)).is_err(), "raft-rs would panic on it");
    let mut without_term = message(MessageType::MsgAppend);
    without_term.term = 0;
    assert!(parsed(&without_term).unwrap_err().why.contains("term 0"));
    let mut question = message(MessageType::MsgReadIndex);
    question.entries.push(Entry::default());
    assert!(parsed(&question).unwrap_err().why.contains("term 2"), "raft-rs would panic on it");
    let mut preferred = message(MessageType::MsgRequestPreVote);
    preferred.priority = -1;
    assert!(parsed(&preferred).unwrap_err().why.contains("priority"), "so would it on this");
    assert!(parse(NodeId(2), ME, b"\xff").is_err());
}

#[test]
fn a_heartbeat_that_tells_of_a_lost_log_is_fatal() {
    let node = follower();
    let mut heartbeat = message(MessageType::MsgHeartbeat);
    heartbeat.commit = 3;
    assert_eq!(admit(&node.raft, &heartbeat), Ok(()));
    heartbeat.commit = 4;
    let forgot = Fatal::Forgot { node: ME, last: 3, confirmed: 4 };
    assert_eq!(admit(&node.raft, &heartbeat), Err(Refusal::Fatal(forgot)));
    heartbeat.term = 1;
    assert_eq!(admit(&node.raft, &heartbeat), Ok(()), "raft-rs ignores an older term");
}

#[test]
fn appends_must_be_contiguous_plain_and_leave_the_committed_alone() {
    let node = follower();
    assert_eq!(admit(&node.raft, &append(2, 1, vec![entry(3, 2), entry(4, 2)])), Ok(()));
    let mut change = entry(4, 2);
    change.set_entry_type(EntryType::EntryConfChange);
    let bad = [
        append(2, 1, vec![entry(4, 2)]),
        append(2, 1, vec![entry(3, 3)]),
        append(u64::MAX, 1, vec![entry(0, 1)]),
        append(3, 2, vec![change]),
        append(1, 1, vec![entry(2, 2)]),
        append(0, 0, vec![entry(1, 0)]),
        append(9, 0, vec![entry(10, 2)]),
        append(0, 1, vec![entry(1, 1)]),
    ];
    for message in bad {
        let refused = admit(&node.raft, &message);
        assert!(matches!(refused, Err(Refusal::Drop(_))), "{message:?}: {refused:?}");
    }
}

#[test]
fn nobody_acknowledges_what_was_never_sent() {
    let node = follower();
    let mut response = message(MessageType::MsgAppendResponse);
    response.index = 4;
    assert!(matches!(admit(&node.raft, &response), Err(Refusal::Drop(_))));
    response.index = 3;
    assert_eq!(admit(&node.raft, &response), Ok(()));
}

#[test]
fn a_snapshot_must_hold_what_it_says() {
    let node = follower();
    let machine = Machine::begin(9, Conf::new([1, 2, 3].map(NodeId).to_vec(), Vec::new()));
    let mut offer = message(MessageType::MsgSnapshot);
    offer.mut_snapshot().data = machine.snapshot().into();
    offer.mut_snapshot().mut_metadata().index = 9;
    offer.mut_snapshot().mut_metadata().term = 2;
    offer.mut_snapshot().mut_metadata().mut_conf_state().set_voters(vec![1, 2, 3]);
    assert_eq!(admit(&node.raft, &offer), Ok(()));
    for term in [0, 3] {
        let mut other = offer.clone();
        other.mut_snapshot().mut_metadata().term = term;
        assert!(matches!(admit(&node.raft, &other), Err(Refusal::Drop(_))), "term {term}");
    }
    let mut damaged = offer.clone();
    damaged.mut_snapshot().data = vec![1, 9].into();
    assert!(matches!(admit(&node.raft, &damaged), Err(Refusal::Drop(_))));
    offer.mut_snapshot().mut_metadata().index = 10;
    assert!(matches!(admit(&node.raft, &offer), Err(Refusal::Drop(_))));
    offer.mut_snapshot().data = vec![9, 9].into();
    assert!(matches!(admit(&node.raft, &offer), Err(Refusal::Fatal(Fatal::Entry(_)))));
}

#[test]
fn a_group_has_voters_and_nobody_twice() {
    let group = |voters: &[u64], learners: &[u64], outgoing: &[u64], next: &[u64]| {
        let mut conf = ConfState::default();
        conf.set_voters(voters.to_vec());
        conf.set_learners(learners.to_vec());
        conf.set_voters_outgoing(outgoing.to_vec());
        conf.set_learners_next(next.to_vec());
        is_group(&conf)
    };
    assert!(group(&[1, 2, 3], &[4], &[], &[]));
    assert!(group(&[1, 2], &[4], &[1, 2, 3], &[3]), "while it changes");
    assert!(!group(&[], &[1], &[], &[]));
    assert!(!group(&[1, 1], &[], &[], &[]));
    assert!(!group(&[1, 0], &[], &[], &[]));
    assert!(!group(&[1, 2], &[2], &[], &[]));
    assert!(!group(&[1, 2], &[], &[], &[3]));
}

#[test]
fn a_term_has_one_leader_and_no_term_is_beyond_all_others() {
    let mut node = follower();
    let heartbeat = message(MessageType::MsgHeartbeat);
    node.raft.leader_id = 3;
    assert!(matches!(admit(&node.raft, &heartbeat), Err(Refusal::Drop(_))));
    node.raft.leader_id = 2;
    assert_eq!(admit(&node.raft, &heartbeat), Ok(()));
    let mut vote = message(MessageType::MsgRequestVote);
    vote.term = u64::MAX;
    assert!(matches!(admit(&node.raft, &vote), Err(Refusal::Drop(_))));
    vote.term = 1 << 60;
    assert_eq!(admit(&node.raft, &vote), Ok(()));
}

/// raft-rs would send the question on in the name of the asker, and the leader would take this node
/// for a liar.
#[test]
fn a_follower_does_not_pass_questions_on() {
    let mut node = follower();
    node.raft.leader_id = 3;
    let mut question = message(MessageType::MsgReadIndex);
    question.term = 0;
    question.entries.push(Entry::default());
    let question = parsed(&question).unwrap();
    assert!(matches!(admit(&node.raft, &question), Err(Refusal::Drop(_))));
}
