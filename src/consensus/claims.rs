//! Which claims of a newer term a member believes. Raft lets whoever names a newer term depose a
//! leader; one peer alone, broken or hostile, could do so again and again. Pure.
//!
//! A member is settled while it leads, or hears from its leader. What names a newer term then is
//! dropped, as if it had been lost, unless
//! - the leader has announced that it hands over to the claimant,
//! - so many voters claim one that the others are no majority, and
//! - a claimant has gone on for long: it may have been cut off in the middle of an election that
//!   it began, and is freed only by a new one. Each time it takes twice as long.
//!
//! A leader that the others have left loses its followers' answers, and is not settled any more.

use std::collections::BTreeMap;

use raft::eraftpb::{Message as RaftMessage, MessageType};
use raft::{CAMPAIGN_TRANSFER, INVALID_ID, Raft, StateRole, Storage};

/// Ticks for which a claim is remembered.
const LATELY: u64 = 20;
/// Ticks that one peer claims for until it is believed, the first time.
const PATIENCE: u64 = 100;
/// How often that is doubled at most: then it is days.
const MAX_DOUBLED: u32 = 14;
/// Peers whose claims are remembered.
const MAX_PEERS: usize = 4096;

#[derive(Debug, Clone, Copy)]
struct Claim {
    first: u64,
    last: u64,
    believed: u32,
}

/// What peers claimed.
#[derive(Debug, Default)]
pub struct Claims {
    now: u64,
    peers: BTreeMap<u64, Claim>,
    /// In which term the leader hands over, and to whom.
    successor: Option<(u64, u64)>,
}

impl Claims {
    /// One tick.
    pub fn tick(&mut self) {
        self.now += 1;
    }

    /// The leader of this term hands over.
    pub fn hands_over(&mut self, term: u64, to: u64) {
        self.successor = Some((term, to));
    }

    /// Whether to take a message, as far as its term goes.
    pub fn believes<S: Storage>(&mut self, raft: &Raft<S>, message: &RaftMessage) -> bool {
        if message.term <= raft.term || !raises(message) || !is_settled(raft) {
            return true;
        }
        if self.successor == Some((raft.term, message.from)) {
            return true;
        }
        let Some(claim) = self.claim(message.from) else { return false };
        if self.outnumbered(raft) {
            return true;
        }
        let patience = PATIENCE << claim.believed.min(MAX_DOUBLED);
        if claim.last - claim.first < patience {
            return false;
        }
        let believed = claim.believed + 1;
        self.peers.insert(message.from, Claim { first: self.now, last: self.now, believed });
        true
    }

    fn claim(&mut self, from: u64) -> Option<Claim> {
        let now = self.now;
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&from) {
            return None;
        }
        let claim = self.peers.entry(from).or_insert(Claim { first: now, last: now, believed: 0 });
        if now - claim.last > LATELY {
            claim.first = now;
        }
        claim.last = now;
        Some(*claim)
    }

    /// Whether the voters that claim no newer term are no majority.
    fn outnumbered<S: Storage>(&self, raft: &Raft<S>) -> bool {
        let claims =
            |id: &u64| self.peers.get(id).is_some_and(|claim| self.now - claim.last <= LATELY);
        let others = raft.prs().iter().map(|(id, _)| *id).filter(|id| !claims(id)).collect();
        !raft.prs().has_quorum(&others)
    }
}

/// Whether raft-rs would take the term of a message for its own. Votes without the word of a
/// leader it refuses itself while it hears from one.
fn raises(message: &RaftMessage) -> bool {
    match message.get_msg_type() {
        MessageType::MsgRequestPreVote => false,
        MessageType::MsgRequestPreVoteResponse => message.reject,
        MessageType::MsgRequestVote => message.context == CAMPAIGN_TRANSFER,
        _ => true,
    }
}

fn is_settled<S: Storage>(raft: &Raft<S>) -> bool {
    let hears = raft.leader_id != INVALID_ID && raft.election_elapsed < raft.election_timeout();
    raft.state == StateRole::Leader || hears
}
