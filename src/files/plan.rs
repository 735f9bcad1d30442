//! When a put has succeeded or failed, and whom a get asks next. Pure.

use std::collections::{BTreeSet, VecDeque};

use super::BlobError;
use crate::id::{BlobHash, NodeId};

/// Why a copy was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoCopy {
    /// For people; it names the node.
    pub why: String,
    /// Whether the node's disk is full.
    pub full: bool,
}

/// A put under way: one copy to each target, done when a majority of them is durable.
#[derive(Debug)]
pub struct PutPlan {
    need: usize,
    have: usize,
    waiting: BTreeSet<NodeId>,
    failures: Vec<NoCopy>,
    told: bool,
}

impl PutPlan {
    /// Copies to these targets, of which there is at least one.
    pub fn new(targets: &[NodeId]) -> Self {
        let waiting: BTreeSet<NodeId> = targets.iter().copied().collect();
        Self { need: waiting.len() / 2 + 1, have: 0, waiting, failures: Vec::new(), told: false }
    }

    /// Whether any copy was made.
    pub fn is_somewhere(&self) -> bool {
        self.have > 0
    }

    /// A target's copy is durable, or failed. Gives the
    /// put's result the moment it is known; a failed one waits for all targets, so that the error
    /// counts right.
    pub fn answered(
        &mut self,
        node: NodeId,
        copy: Result<(), NoCopy>,
    ) -> Option<Result<(), BlobError>> {
        if !self.waiting.remove(&node) {
            return None;
        }
        match copy {
            Ok(()) => self.have += 1,
            Err(why) => self.failures.push(why),
        }
        if self.told || (self.have < self.need && !self.waiting.is_empty()) {
            return None;
        }
        self.told = true;
        if self.have >= self.need {
            return Some(Ok(()));
        }
        let why: Vec<&str> = self.failures.iter().map(|copy| &*copy.why).collect();
        let why = why.join("; ");
        let full = self.failures.iter().filter(|copy| copy.full).count();
        // With room it would have succeeded: to try again helps nobody.
        if self.have + full >= self.need {
            return Some(Err(BlobError::Full(why)));
        }
        Some(Err(BlobError::TooFewCopies { have: self.have, need: self.need, why }))
    }
}

/// A get under way: one node after another.
#[derive(Debug)]
pub struct GetPlan {
    hash: BlobHash,
    sources: VecDeque<NodeId>,
    asking: Option<NodeId>,
    failures: Vec<String>,
    /// Those that said they do not have it.
    without: Vec<NodeId>,
    /// Some place could not say whether it has it.
    unsure: bool,
    repeated: bool,
}

impl GetPlan {
    /// Asks these nodes in this order.
    pub fn new(hash: BlobHash, sources: Vec<NodeId>) -> Self {
        Self {
            hash,
            sources: sources.into(),
            asking: None,
            failures: Vec::new(),
            without: Vec::new(),
            unsure: false,
            repeated: false,
        }
    }

    /// The node to ask now; `None` when there is none left. Those that do not have it are asked a
    /// second time: while the others were asked, a copy may have moved from one of them to one
    /// asked before.
    pub fn next(&mut self) -> Option<NodeId> {
        if self.sources.is_empty() && !self.repeated && self.without.len() > 1 {
            self.repeated = true;
            self.sources = std::mem::take(&mut self.without).into();
        }
        self.asking = self.sources.pop_front();
        self.asking
    }

    /// A place was no use, for this reason, which names it.
    pub fn failed(&mut self, why: String) {
        self.asking = None;
        self.unsure = true;
        self.failures.push(why);
    }

    /// The node that was asked does not have it.
    pub fn lacks(&mut self, why: String) {
        self.without.extend(self.asking.take());
        if !self.failures.contains(&why) {
            self.failures.push(why);
        }
    }

    /// Whether all nodes were asked, and none has it.
    pub fn is_nowhere(&self) -> bool {
        self.sources.is_empty() && !self.unsure
    }

    /// Nobody is left to ask.
    pub fn not_found(self) -> BlobError {
        let why = match self.failures.is_empty() {
            true => "there is no other node".to_owned(),
            false => self.failures.join("; "),
        };
        BlobError::NotFound(self.hash, why)
    }

    /// The deadline passed before anybody had sent it.
    pub fn timed_out(mut self) -> BlobError {
        if let Some(node) = self.asking {
            self.failures.push(format!("{node} did not answer in time"));
        }
        if !self.sources.is_empty() {
            let left: Vec<String> = self.sources.iter().map(NodeId::to_string).collect();
            self.failures.push(format!("not asked yet: {}", left.join(", ")));
        }
        BlobError::TimedOut(format!("{}: {}", self.hash, self.failures.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

    fn down(node: NodeId) -> Result<(), NoCopy> {
        Err(NoCopy { why: format!("{node} is down"), full: false })
    }

    fn full(node: NodeId) -> Result<(), NoCopy> {
        Err(NoCopy { why: format!("{node} is full"), full: true })
    }

    #[test]
    fn a_put_succeeds_with_a_majority_and_says_so_once() {
        let mut plan = PutPlan::new(&NODES);
        assert_eq!(plan.answered(NODES[0], Ok(())), None);
        assert_eq!(plan.answered(NODES[0], Ok(())), None, "one node counts once");
        assert_eq!(plan.answered(NODES[2], Ok(())), Some(Ok(())));
        assert_eq!(plan.answered(NODES[1], down(NODES[1])), None);
    }

    #[test]
    fn the_majority_is_that_of_the_targets() {
        for (targets, need) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)] {
            let targets: Vec<NodeId> = (1..=targets).map(NodeId).collect();
            let mut plan = PutPlan::new(&targets);
            let answers = targets.iter().map(|node| plan.answered(*node, Ok(())));
            let first = answers.into_iter().position(|answer| answer == Some(Ok(())));
            assert_eq!(first, Some(need - 1), "of {}", targets.len());
        }
    }

    #[test]
    fn a_put_with_one_target_down_succeeds_and_with_two_fails_with_their_names() {
        let mut plan = PutPlan::new(&NODES);
        assert_eq!(plan.answered(NODES[0], down(NODES[0])), None);
        assert_eq!(plan.answered(NODES[1], Ok(())), None);
        assert_eq!(plan.answered(NODES[2], Ok(())), Some(Ok(())));

        let mut plan = PutPlan::new(&NODES);
        assert_eq!(plan.answered(NODES[0], down(NODES[0])), None);
        assert_eq!(plan.answered(NODES[1], down(NODES[1])), None, "n3 may still store it");
        let why = "n1 is down; n2 is down".to_owned();
        let error = BlobError::TooFewCopies { have: 1, need: 2, why };
        assert_eq!(plan.answered(NODES[2], Ok(())), Some(Err(error)));
    }

    #[test]
    fn a_get_asks_in_order_and_tells_all_that_went_wrong() {
        let hash = BlobHash::of(b"x");
        let mut plan = GetPlan::new(hash, NODES.to_vec());
        assert_eq!(plan.next(), Some(NODES[0]));
        plan.failed("n1 is down".to_owned());
        assert_eq!(plan.next(), Some(NODES[1]));
        plan.lacks("n2: does not have it".to_owned());
        assert_eq!(plan.next(), Some(NODES[2]));
        plan.failed("n3 is down".to_owned());
        assert_eq!(plan.next(), None);
        assert!(!plan.is_nowhere());
        let why = "n1 is down; n2: does not have it; n3 is down".to_owned();
        assert_eq!(plan.not_found(), BlobError::NotFound(hash, why));
        let why = "there is no other node".to_owned();
        assert_eq!(GetPlan::new(hash, vec![]).not_found(), BlobError::NotFound(hash, why));
    }

    #[test]
    fn nodes_that_lack_it_are_asked_twice_for_a_copy_may_move_meanwhile() {
        let mut plan = GetPlan::new(BlobHash::of(b"x"), NODES.to_vec());
        let mut asked = Vec::new();
        while let Some(node) = plan.next() {
            asked.push(node);
            plan.lacks(format!("{node}: does not have it"));
        }
        assert_eq!(asked, [NODES, NODES].concat());
        assert!(plan.is_nowhere());
        let text = plan.not_found().to_string();
        assert_eq!(text.matches("n2: does not have it").count(), 1, "{text}");
    }

    #[test]
    fn a_put_that_only_lacks_room_says_so() {
        let mut plan = PutPlan::new(&NODES);
        assert_eq!(plan.answered(NODES[0], Ok(())), None);
        assert_eq!(plan.answered(NODES[1], full(NODES[1])), None);
        let error = plan.answered(NODES[2], down(NODES[2]));
        assert_eq!(error, Some(Err(BlobError::Full("n2 is full; n3 is down".to_owned()))));

        let mut plan = PutPlan::new(&NODES);
        assert_eq!(plan.answered(NODES[0], down(NODES[0])), None);
        assert_eq!(plan.answered(NODES[1], full(NODES[1])), None);
        let error = plan.answered(NODES[2], down(NODES[2]));
        assert!(matches!(error, Some(Err(BlobError::TooFewCopies { .. }))), "{error:?}");
    }

    #[test]
    fn a_late_get_names_who_was_asked_and_who_was_not() {
        let hash = BlobHash::of(b"x");
        let mut plan = GetPlan::new(hash, NODES.to_vec());
        plan.next();
        plan.failed("n1 is down".to_owned());
        plan.next();
        let text = format!("{hash}: n1 is down; n2 did not answer in time; not asked yet: n3");
        assert_eq!(plan.timed_out(), BlobError::TimedOut(text));
    }
}
