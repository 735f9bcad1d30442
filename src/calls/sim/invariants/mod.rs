//! What must hold, whatever happens. One file per property.

mod attempts_are_current;
mod every_call_ends;
mod no_call_ends_twice;
mod nothing_leaks;
mod results_are_right;
mod starts_are_allowed;
mod trees_end_together;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::guests::Program;
use super::world::SimNode;
use crate::calls::root::RECORD_COPIES;
use crate::errno::Errno;
use crate::id::{Attempt, CallId, NodeId};

/// How a call ended, as far as that is the same for everybody.
pub type End = Result<u8, Errno>;

/// One run of one attempt.
#[derive(Debug, Clone)]
pub struct Execution {
    pub call: CallId,
    pub attempt: Attempt,
    pub root: CallId,
    pub home: NodeId,
    /// The node that sent it, if it was another one.
    pub sent_by: Option<NodeId>,
    /// When that node or its root's home was killed.
    pub parent_lost: Option<Instant>,
    pub node: NodeId,
    pub retries: u32,
    pub deadline: Instant,
    pub begun: Instant,
    /// Since when its record may be kept.
    pub claimed: Instant,
    pub ended: Option<End>,
    /// Its node was killed.
    pub killed: bool,
}

/// A root call that a client was told of.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub program: Program,
    pub deadline: Instant,
    pub home: NodeId,
    pub cancelled: Option<Instant>,
    pub seen: Option<(End, String)>,
    /// Its home was killed or lost its session, so that others may give it up.
    pub home_was_lost: bool,
    /// Its record was with two nodes before it was accepted.
    pub claimed: bool,
    /// Nodes that were killed since its record was with them, or may have been.
    pub kills: usize,
}

impl Accepted {
    /// Whether its record lives, with a node at least.
    pub fn is_kept(&self) -> bool {
        self.claimed && self.kills < RECORD_COPIES
    }
}

/// A request of a client that is not answered.
#[derive(Debug, Clone)]
pub struct Open {
    pub node: NodeId,
    pub due: Instant,
    pub what: String,
}

/// What happened, and the first property that was broken.
#[derive(Default)]
pub struct Invariants {
    pub executions: Vec<Execution>,
    pub accepted: BTreeMap<CallId, Accepted>,
    pub open: BTreeMap<u64, Open>,
    /// Calls that several requests may have made.
    pub keyed: BTreeSet<CallId>,
    pub last_fault: Option<Instant>,
    pub fickle: bool,
    pub kills: Vec<Instant>,
    pub answers: u64,
    /// The newest attempt of each call that began, and when.
    newest: BTreeMap<CallId, (Attempt, Instant)>,
    broken: Option<String>,
}

impl Invariants {
    /// None was broken yet.
    pub fn new(fickle: bool) -> Self {
        Self { fickle, ..Self::default() }
    }

    /// Notes that something is wrong; the first counts.
    pub fn fail(&mut self, why: String) {
        self.broken.get_or_insert(why);
    }

    fn note(&mut self, checked: Result<(), String>) {
        if let Err(why) = checked {
            self.fail(why);
        }
    }

    /// Whether nothing has gone wrong for so long.
    pub fn calm_since(&self, now: Instant, length: Duration) -> bool {
        self.last_fault.is_none_or(|at| now.saturating_duration_since(at) > length)
    }

    /// An instance begins; gives the number of its execution.
    pub fn begins(&mut self, execution: Execution, session_is_live: bool) -> u64 {
        let mut checked = starts_are_allowed::check(&self.executions, &execution, session_is_live);
        // Who has the key again when all that kept its record died has another call.
        let first = self.executions.iter().find(|e| e.call == execution.call);
        let forgot = |since| self.killed_since(since) >= RECORD_COPIES;
        if self.keyed.contains(&execution.call) && first.is_some_and(|e| forgot(e.claimed)) {
            checked = Ok(());
        }
        self.note(checked);
        let began = (execution.attempt, execution.begun);
        let newest = self.newest.entry(execution.call).or_insert(began);
        let again = execution.attempt == Attempt(0) && self.keyed.contains(&execution.call);
        *newest = if again { began } else { (*newest).max(began) };
        self.executions.push(execution);
        self.executions.len() as u64 - 1
    }

    /// It ended.
    pub fn ends(&mut self, number: u64, end: End) {
        if let Some(execution) = self.executions.get_mut(number as usize) {
            execution.ended = Some(end);
        }
    }

    /// Somebody was told how a call ended.
    pub fn seen(&mut self, call: CallId, end: End, by: String) {
        self.answers += 1;
        let quiet = self.last_fault.is_none() && !self.fickle;
        let Some(accepted) = self.accepted.get_mut(&call) else { return };
        // Who has the key again when its record was lost has another call.
        if self.keyed.contains(&call) && !accepted.is_kept() {
            return;
        }
        let checked = no_call_ends_twice::check(call, accepted, &end, &by)
            .and_then(|()| results_are_right::check(call, accepted, &end, quiet));
        accepted.seen.get_or_insert((end, by));
        self.note(checked);
    }

    /// Somebody was given an output, with what the record says of it.
    pub fn output(&mut self, call: CallId, end: End, attempt: Option<Attempt>, output: &[u8]) {
        let checked = attempts_are_current::check(&self.executions, call, end, attempt, output);
        self.note(checked);
    }

    /// A node was killed.
    pub fn killed(&mut self, node: NodeId, now: Instant) {
        let above = |e: &&mut Execution| e.home == node || e.sent_by == Some(node);
        for execution in self.executions.iter_mut().filter(above) {
            execution.parent_lost.get_or_insert(now);
        }
        for execution in self.executions.iter_mut().filter(|e| e.node == node) {
            execution.killed |= execution.ended.is_none();
        }
        self.open.retain(|_, open| open.node != node);
        for accepted in self.accepted.values_mut() {
            accepted.home_was_lost |= accepted.home == node;
            accepted.kills += 1;
        }
        self.kills.push(now);
    }

    /// How many nodes were killed since then.
    pub fn killed_since(&self, since: Instant) -> usize {
        self.kills.iter().filter(|at| **at >= since).count()
    }

    /// A node stood still: what waits there may take longer by that.
    pub fn stood_still(&mut self, node: NodeId, length: Duration) {
        for open in self.open.values_mut().filter(|open| open.node == node) {
            open.due += length;
        }
    }

    /// From time to time.
    pub fn check(&mut self, now: Instant, runs: impl Fn(NodeId) -> bool) -> Result<(), String> {
        let checked = every_call_ends::answered(&self.open, now, runs);
        self.note(checked);
        let checked = trees_end_together::check(self, now);
        self.note(checked);
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// At the end, when all is healed and all deadlines have passed.
    pub fn settled(&self, nodes: &BTreeMap<NodeId, SimNode>) -> Result<(), String> {
        every_call_ends::settled(&self.open, &self.executions)?;
        nodes.values().try_for_each(nothing_leaks::check)
    }
}
