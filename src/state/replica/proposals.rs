//! What an owner proposes: to admit a copy that has caught up, to drop one that is damaged. One
//! proposal at a time; one that nobody knows the end of is made again, the very same, until the
//! table says what became of it.

use std::time::{Duration, Instant};

use super::base::Base;
use super::event::{Effect, Outcome};
use super::handover::Handing;
use super::owner::{Owner, Stage};
use super::progress::Way;
use crate::id::NodeId;
use crate::wire::shards::{ShardChange, ShardStep};

/// Pause after a proposal that came to nothing.
const PAUSE: Duration = Duration::from_secs(1);

/// The one under way.
struct Open {
    change: ShardChange,
    /// It is with Raft at this moment.
    asked: bool,
    /// An earlier attempt may still be made.
    doubt: bool,
}

/// See the top.
pub struct Proposals {
    open: Option<Open>,
    /// Nothing is proposed before.
    after: Instant,
    /// The damaged member that is to be dropped.
    damaged: Option<NodeId>,
    /// Who was tried last as the owner instead of this node.
    tried: Option<NodeId>,
}

impl Proposals {
    /// None.
    pub fn new(now: Instant) -> Self {
        Self { open: None, after: now, damaged: None, tried: None }
    }
}

impl Owner {
    /// Whether something may be proposed.
    pub fn may_propose(&self, now: Instant) -> bool {
        self.proposals.open.is_none() && now >= self.proposals.after
    }

    /// Proposes from the table as it is.
    pub fn propose(&mut self, base: &mut Base, now: Instant, step: ShardStep) {
        let Some(table) = base.table.as_ref().filter(|_| self.may_propose(now)) else { return };
        let change = ShardChange { shard: base.shard, was: table.revision, step };
        base.out.push(Effect::Propose(change.clone()));
        self.proposals.open = Some(Open { change, asked: true, doubt: false });
    }

    /// Makes one again that is in doubt.
    pub fn propose_again(&mut self, base: &mut Base, now: Instant) {
        let Some(open) = self.proposals.open.as_mut() else { return };
        if !open.asked && now >= self.proposals.after {
            open.asked = true;
            base.out.push(Effect::Propose(open.change.clone()));
        }
    }

    /// One came to an end.
    pub fn proposed(&mut self, base: &Base, now: Instant, change: &ShardChange, outcome: Outcome) {
        let Some(open) = self.proposals.open.as_mut().filter(|open| open.change == *change) else {
            return;
        };
        open.asked = false;
        open.doubt |= outcome == Outcome::Unknown;
        self.proposals.after = now + PAUSE;
        // If a drop is made after all, later, it does no harm.
        let harmless = matches!(change.step, ShardStep::Drop { .. });
        let unchanged = base.table.as_ref().is_some_and(|table| table.revision == change.was);
        if outcome == Outcome::Refused && unchanged && (harmless || !open.doubt) {
            self.close_proposal(now);
        }
    }

    /// The one under way can have no effect any more, or has had it.
    fn close_proposal(&mut self, now: Instant) {
        self.proposals.open = None;
        self.admitting.clear();
        if matches!(self.handing, Some(Handing::Proposed)) {
            self.handing = None;
            self.rest(now);
        }
    }

    /// The table has moved on: so whatever was proposed from an earlier revision is settled.
    pub fn proposals_after_change(&mut self, base: &Base) {
        let Some(table) = &base.table else { return };
        let over =
            self.proposals.open.as_ref().is_some_and(|open| open.change.was < table.revision);
        if over {
            let now = self.proposals.after;
            self.close_proposal(now);
        }
    }

    /// Proposes what is due.
    pub fn propose_due(&mut self, base: &mut Base, now: Instant) {
        if !self.may_propose(now) || self.hands_over() {
            return;
        }
        let Some(table) = &base.table else { return };
        if let Some(node) = self.proposals.damaged.take().filter(|n| table.in_sync.contains(n)) {
            return self.propose(base, now, ShardStep::Drop { node });
        }
        let needed = match self.stage {
            Stage::Settling { first } => first.max(base.commit),
            Stage::Serving => base.commit,
            _ => return,
        };
        let ready = |node: &&NodeId| {
            let copy = self.copies.get(node);
            !table.in_sync.contains(node)
                && copy.is_some_and(|c| c.way == Way::Streaming && c.matched >= needed)
        };
        if let Some(node) = table.targets.iter().find(ready).copied() {
            // It counts from now on: whatever is committed before Raft admits it, it has.
            self.admitting.insert(node);
            self.propose(base, now, ShardStep::Admit { node });
        }
    }

    /// A copy's disk failed.
    pub fn failed(&mut self, base: &mut Base, now: Instant, from: NodeId) {
        if let Some(copy) = self.copies.get_mut(&from) {
            copy.heard = now;
        }
        // While it takes over, the owner needs what the others have: Raft drops it, or it heals.
        self.lacks_much(base, now, from);
    }

    /// A member has lost what it had acknowledged: others must not wait for it.
    pub fn lacks_much(&mut self, base: &mut Base, now: Instant, node: NodeId) {
        if base.table.as_ref().is_some_and(|table| table.in_sync.contains(&node)) {
            self.proposals.damaged = Some(node);
            self.propose_due(base, now);
        }
    }

    /// This copy is damaged: proposes one member after the other as the owner.
    pub fn give_away(&mut self, base: &mut Base, now: Instant) {
        let damaged = base.failed.is_some() || base.blank;
        let may = damaged && self.may_propose(now);
        let Some(table) = base.table.as_ref().filter(|_| may) else { return };
        let mut members: Vec<NodeId> = table.in_sync.clone();
        let has = |node: &NodeId| self.copies.get(node).map_or(0, |copy| copy.matched);
        members.retain(|node| *node != base.me);
        members.sort_by_key(|node| (std::cmp::Reverse(has(node)), *node));
        let tried = members.iter().position(|node| Some(*node) == self.proposals.tried);
        let next = tried.map_or(0, |at| at + 1);
        let Some(owner) = members.get(next).or(members.first()).copied() else { return };
        self.proposals.tried = Some(owner);
        self.propose(base, now, ShardStep::Promote { owner });
    }
}
