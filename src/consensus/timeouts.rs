//! Election timeouts drawn from a seed. raft-rs draws its own from the thread's generator, which
//! no simulation could replay; they are overwritten with ours whenever it may have drawn.

use std::ops::RangeInclusive;

use raft::{RawNode, StateRole, Storage};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The timeouts of one member.
pub struct Timeouts {
    rng: StdRng,
    range: RangeInclusive<usize>,
    drawn_for: Option<(u64, StateRole, u64)>,
    current: usize,
}

impl Timeouts {
    /// Timeouts inside `range`, in ticks.
    pub fn new(seed: u64, range: RangeInclusive<usize>) -> Self {
        let current = *range.start();
        Self { rng: StdRng::seed_from_u64(seed), range, drawn_for: None, current }
    }

    /// Sets the member's timeout; a new one is drawn when its term, role or leader changed.
    pub fn enforce<S: Storage>(&mut self, raw: &mut RawNode<S>) {
        let state = (raw.raft.term, raw.raft.state, raw.raft.leader_id);
        if self.drawn_for != Some(state) {
            self.drawn_for = Some(state);
            self.current = self.rng.random_range(self.range.clone());
        }
        raw.raft.set_randomized_election_timeout(self.current);
    }
}
