//! Who deposes a leader by claims of a newer term, and who does not.

use raft::CAMPAIGN_TRANSFER;

use super::tests::{Test, from_leader};
use super::*;

/// What a peer sends that makes raft-rs take its term.
const RAISING: [MessageType; 6] = [
    MessageType::MsgAppend,
    MessageType::MsgHeartbeat,
    MessageType::MsgAppendResponse,
    MessageType::MsgHeartbeatResponse,
    MessageType::MsgRequestVoteResponse,
    MessageType::MsgRequestVote,
];

impl Test {
    /// A node claims a newer term.
    fn claim(&mut self, from: u64, kind: MessageType) {
        let mut claim = from_leader(kind);
        (claim.from, claim.term) = (from, self.core.status().term + 3);
        if kind == MessageType::MsgRequestVote {
            // As if the leader had asked for it.
            claim.context = CAMPAIGN_TRANSFER.into();
        }
        self.core.raft_message(claim).unwrap();
        self.flush().into_iter().for_each(|effect| self.answer(effect));
    }

    fn ticks(&mut self, count: usize) {
        for _ in 0..count {
            self.tick().into_iter().for_each(|effect| self.answer(effect));
        }
    }

    /// How many ticks node 3 needs to depose the leader.
    fn deposed_after(&mut self) -> usize {
        let term = self.core.status().term;
        (0..1000)
            .find(|_| {
                self.claim(3, MessageType::MsgHeartbeatResponse);
                let deposed = self.core.status().term > term;
                self.ticks(usize::from(!deposed));
                deposed
            })
            .unwrap_or(1000)
    }
}

#[test]
fn one_peer_that_claims_newer_terms_deposes_no_leader() {
    let mut test = Test::leader();
    let term = test.core.status().term;
    for tick in 0..90 {
        test.claim(3, RAISING[tick % RAISING.len()]);
        test.ticks(1);
    }
    assert!(test.core.raft().leads());
    assert_eq!(test.core.status().term, term);
}

#[test]
fn one_that_goes_on_is_believed_in_the_end_and_later_each_time() {
    let mut test = Test::leader();
    let mut took = Vec::new();
    for _ in 0..3 {
        took.push(test.deposed_after());
        while !test.core.raft().leads() {
            test.ticks(1);
        }
    }
    let doubled = took.iter().zip([100, 200, 400]);
    let all = doubled.into_iter().all(|(took, most)| (most - 20..=most).contains(took));
    assert!(all, "a member that was cut off in an election is freed: {took:?}");
}

#[test]
fn a_leader_whom_the_others_have_left_believes_them_at_once() {
    let mut test = Test::leader();
    test.claim(3, MessageType::MsgAppend);
    assert!(test.core.raft().leads());
    test.claim(2, MessageType::MsgAppendResponse);
    assert!(!test.core.raft().leads());
}

#[test]
fn a_follower_leaves_its_leader_for_one_that_it_announced_or_when_it_is_silent() {
    let heartbeat = from_leader(MessageType::MsgHeartbeat);
    for announced in [false, true] {
        let mut test = Test::new(3);
        test.core.raft_message(heartbeat.clone()).unwrap();
        test.flush();
        if announced {
            let mut news = from_leader(MessageType::MsgTransferLeader);
            news.index = 3;
            test.core.raft_message(news).unwrap();
        }
        test.claim(3, MessageType::MsgRequestVote);
        assert_eq!(test.core.status().term > heartbeat.term, announced);
    }
    let mut test = Test::new(3);
    test.core.raft_message(heartbeat.clone()).unwrap();
    test.flush();
    for _ in 0..10 {
        test.claim(3, MessageType::MsgHeartbeat);
        assert_eq!(test.core.status().leader, Some(NodeId(2)));
        let now = test.core.status().term;
        assert_eq!(now, heartbeat.term);
        test.tick();
    }
    test.claim(3, MessageType::MsgHeartbeat);
    assert_eq!(test.core.status().leader, Some(NodeId(3)));
}

#[test]
fn a_peer_announces_no_successor_of_another() {
    let mut test = Test::new(3);
    test.core.raft_message(from_leader(MessageType::MsgHeartbeat)).unwrap();
    test.flush();
    let mut news = from_leader(MessageType::MsgTransferLeader);
    (news.from, news.index) = (3, 3);
    test.core.raft_message(news).unwrap();
    test.claim(3, MessageType::MsgRequestVote);
    assert_eq!(test.core.status().leader, Some(NodeId(2)));
}
