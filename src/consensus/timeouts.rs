//! Election timeouts drawn from a seed. raft-rs draws its own from the thread's generator, which
//! no simulation could replay; they are overwritten with ours whenever it may have drawn.

use std::ops::RangeInclusive;

use raft::{INVALID_ID, RawNode, StateRole, Storage};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// A candidate waits up to so many times longer for votes, and for longer where its own disk is
/// slow: others' are too, votes come late, and who asks anew before they come never has them.
pub const LONGEST: usize = 4;

/// The timeouts of one member.
pub struct Timeouts {
    rng: StdRng,
    range: RangeInclusive<usize>,
    drawn_for: Option<(u64, StateRole, u64)>,
    current: usize,
    /// Elections begun since a leader was known.
    elections: u32,
}

impl Timeouts {
    /// Timeouts inside `range`, in ticks.
    pub fn new(seed: u64, range: RangeInclusive<usize>) -> Self {
        let current = *range.start();
        Self { rng: StdRng::seed_from_u64(seed), range, drawn_for: None, current, elections: 0 }
    }

    /// Sets the member's timeout; a new one is drawn when its term, role or leader changed. Its
    /// disk took so many ticks last.
    pub fn enforce<S: Storage>(&mut self, raw: &mut RawNode<S>, disk: usize) {
        let state = (raw.raft.term, raw.raft.state, raw.raft.leader_id);
        if self.drawn_for != Some(state) {
            self.drawn_for = Some(state);
            self.current = self.rng.random_range(self.range.clone());
            if raw.raft.leader_id != INVALID_ID {
                self.elections = 0;
            }
            if raw.raft.state == StateRole::Candidate {
                self.current *= LONGEST.min(1 << self.elections.min(8));
                self.elections += 1;
            }
        }
        let patience = if raw.raft.state == StateRole::Candidate { 2 * disk } else { 0 };
        let most = LONGEST * self.range.end();
        raw.raft.set_randomized_election_timeout(most.min(self.current + patience));
    }
}
