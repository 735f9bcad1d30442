//! A call on this node, from its admission to its end: what it holds, its children, and what its
//! instance asks for.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use parking_lot::Mutex;

use super::Calls;
use super::cell::CallCell;
use super::locks::Involved;
use super::place::PlaceHere;
use super::spec::{Spec, now_us};
use crate::clock;
use crate::function::{Control, EndReason};
use crate::id::{Attempt, CallId};
use crate::net::Peer;
use crate::scheduler::Slot;
use crate::wire::calls::{CallSummary, Phase, Work};
use crate::wire::jobs::RankEnd;

/// Who awaits the end of a call.
pub enum Origin {
    /// A parent or client on this node.
    Here(Arc<CallCell>),
    /// Another node.
    Peer(Peer),
}

/// A chained call, as its parent knows it.
pub struct Child {
    /// Its id.
    pub call: CallId,
    /// Its end.
    pub cell: Arc<CallCell>,
}

/// A call that waits, runs, or ended while calls that it chained still live.
pub struct LiveCall {
    pub(super) me: Weak<LiveCall>,
    pub(super) calls: Calls,
    pub(super) spec: Arc<Spec>,
    pub(super) attempt: Attempt,
    pub(super) origin: Origin,
    pub(super) control: Arc<Control>,
    pub(super) children: Mutex<Vec<Child>>,
    pub(super) accepted_us: u64,
    pub(super) involved: Involved,
    above_children: OnceLock<Arc<[CallId]>>,
    held: Mutex<Held>,
    work: Mutex<Vec<Work>>,
    pending: AtomicUsize,
    resting: AtomicBool,
    began: OnceLock<Instant>,
    pub(super) rank: Mutex<RankNow>,
}

/// What a rank has told so far.
#[derive(Debug, Default)]
pub(super) struct RankNow {
    /// How it leaves, as far as that is known.
    pub end: RankEnd,
    /// What it wrote and its launcher has not heard yet.
    pub written: Vec<u8>,
}

/// What a call has taken on this node.
struct Held {
    phase: Phase,
    place: Option<PlaceHere>,
    slot: Option<Slot>,
}

impl LiveCall {
    /// A call that was admitted, with its place.
    pub(super) fn new(
        calls: Calls,
        spec: Arc<Spec>,
        attempt: Attempt,
        origin: Origin,
        place: PlaceHere,
    ) -> Arc<Self> {
        let held = Held { phase: Phase::Queued, place: Some(place), slot: None };
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            calls,
            spec,
            attempt,
            origin,
            control: Control::new(),
            children: Mutex::default(),
            accepted_us: now_us(),
            involved: Involved::default(),
            above_children: OnceLock::new(),
            held: Mutex::new(held),
            work: Mutex::default(),
            pending: AtomicUsize::new(0),
            resting: AtomicBool::new(true),
            began: OnceLock::new(),
            rank: Mutex::default(),
        })
    }

    /// It got a slot and starts.
    pub(super) fn starts(&self, slot: Slot) {
        let mut held = self.held.lock();
        held.phase = Phase::Running;
        held.slot = Some(slot);
        drop(held);
        self.runs();
    }

    /// It is a job, and its ranks start.
    pub(super) fn launches(&self) {
        self.held.lock().phase = Phase::Running;
        self.control.set_started_us(now_us());
    }

    /// It stops counting as a start.
    pub(super) fn give_slot(&self) {
        let slot = self.held.lock().slot.take();
        drop(slot);
    }

    /// Its place, when the call moves to another node before it started.
    pub(super) fn take_place(&self) -> Option<PlaceHere> {
        self.held.lock().place.take()
    }

    /// It ended: all that it holds is given back. Whether it had run.
    pub(super) fn ends(&self) -> bool {
        self.rests();
        let mut held = self.held.lock();
        let ran = held.phase == Phase::Running;
        held.phase = Phase::Done;
        let given_back = (held.slot.take(), held.place.take());
        drop(held);
        drop(given_back);
        ran
    }

    /// Where it is in its life.
    pub(super) fn phase(&self) -> Phase {
        self.held.lock().phase
    }

    /// It begins to run, or runs again.
    pub(super) fn runs(&self) {
        if self.resting.swap(false, Ordering::AcqRel) {
            self.calls.scheduler().runs();
        }
    }

    /// It waits or ended.
    pub(super) fn rests(&self) {
        if !self.resting.swap(true, Ordering::AcqRel) {
            self.calls.scheduler().rests();
        }
    }

    /// Adds a child; its handle.
    pub(super) fn add_child(&self, call: CallId, cell: Arc<CallCell>) -> u32 {
        self.pending.fetch_add(1, Ordering::AcqRel);
        let mut children = self.children.lock();
        children.push(Child { call, cell });
        (children.len() - 1) as u32
    }

    /// What is above its children, which is the same for all.
    pub(super) fn above_children(&self) -> Arc<[CallId]> {
        self.above_children.get_or_init(|| self.spec.above_children()).clone()
    }

    /// Takes back the last child: it was not accepted.
    pub(super) fn drop_child(&self, handle: u32) {
        self.children.lock().truncate(handle as usize);
        self.pending.fetch_sub(1, Ordering::AcqRel);
    }

    /// The work of a child counts to this call's.
    pub(super) fn add_work(&self, work: &[Work]) {
        add_work(&mut self.work.lock(), work);
    }

    /// A child ended. Whether this call is wholly over with it.
    pub(super) fn child_ended(&self) -> bool {
        let left = self.pending.fetch_sub(1, Ordering::AcqRel) - 1;
        left == 0 && self.phase() == Phase::Done
    }

    /// Whether no child is alive.
    pub(super) fn is_childless(&self) -> bool {
        self.pending.load(Ordering::Acquire) == 0
    }

    /// What it and its ended children did, with `own` added.
    pub(super) fn total_work(&self, own: Work) -> Vec<Work> {
        let mut work = std::mem::take(&mut *self.work.lock());
        add_work(&mut work, &[own]);
        work
    }

    /// What its ended children did.
    pub(super) fn work_below(&self) -> Vec<Work> {
        std::mem::take(&mut *self.work.lock())
    }

    /// Why it must end now, if its time is up.
    pub(super) fn overdue(&self, now: Instant) -> Option<EndReason> {
        if now >= self.spec.tree.deadline {
            return Some(EndReason::TimedOut);
        }
        let ran = now.saturating_duration_since(*self.began.get()?);
        (ran >= self.spec.run_limit()).then_some(EndReason::RunLimit)
    }

    /// Its instance begins to run.
    pub(super) fn begins(&self) {
        self.control.set_started_us(now_us());
        // An instance begins once.
        let _ = self.began.set(clock::now());
    }

    /// A line of `faasm ps`.
    pub(super) fn summary(&self) -> CallSummary {
        let started = self.control.started_us();
        CallSummary {
            call: self.spec.call,
            root: self.spec.tree.root,
            user: self.spec.function.key.user.to_string(),
            name: self.spec.label(),
            node: self.calls.me(),
            depth: self.spec.tree.depth,
            phase: self.phase(),
            since_us: if started > 0 { started } else { self.accepted_us },
            note: self.spec.role.job().map(|run| run.note()).unwrap_or_default(),
            rank: self.calls.rank_summary(&self.spec),
        }
    }
}

/// Most rows kept of a tree's work: a tree of very many functions sums the rest under one name.
const MAX_WORK_ROWS: usize = 256;

/// Adds rows of work to a sum, by node and function.
pub(super) fn add_work(sum: &mut Vec<Work>, rows: &[Work]) {
    for row in rows {
        let same = |w: &Work| w.node == row.node && w.function == row.function;
        let known = match sum.iter().position(same) {
            Some(at) => at,
            None if sum.len() < MAX_WORK_ROWS => {
                sum.push(row.clone());
                continue;
            }
            None => {
                sum[MAX_WORK_ROWS - 1].function = "(others)".to_owned();
                MAX_WORK_ROWS - 1
            }
        };
        sum[known].calls = sum[known].calls.saturating_add(row.calls);
        sum[known].busy_us = sum[known].busy_us.saturating_add(row.busy_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;

    fn work(node: u64, function: &str, calls: u64) -> Work {
        Work { node: NodeId(node), function: function.into(), calls, busy_us: calls * 10 }
    }

    #[test]
    fn work_is_summed_by_node_and_function() {
        let mut sum = vec![work(1, "f", 1)];
        add_work(&mut sum, &[work(1, "f", 2), work(2, "f", 1), work(1, "g", 1)]);
        assert_eq!(sum, [work(1, "f", 3), work(2, "f", 1), work(1, "g", 1)]);
    }

    #[test]
    fn the_rows_of_work_are_bounded_and_no_call_is_lost() {
        let mut sum = Vec::new();
        for function in 0..1000 {
            add_work(&mut sum, &[work(1, &function.to_string(), 1)]);
        }
        assert_eq!(sum.len(), MAX_WORK_ROWS);
        assert_eq!(sum.iter().map(|w| w.calls).sum::<u64>(), 1000);
    }
}
