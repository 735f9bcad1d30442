//! What calls do as time passes and peers come and go: those whose time is up end, and those whose
//! node or session was lost.

use std::collections::BTreeMap;

use super::handover::Moves;
use super::live::Origin;
use super::{Calls, metrics as names};
use crate::clock;
use crate::errno::{CallError, Errno};
use crate::function::EndReason;
use crate::id::{Incarnation, NodeId};

/// With more calls than this, deadlines are looked at only every so many ticks: looking at each
/// takes time.
const FEW: usize = 1_000;
const MANY_EVERY: u64 = 5;
/// Sessions, and calls that wait for certain nodes, are looked at every so many ticks.
const LOOK_EVERY: u64 = 10;
/// Gauges and old records are seen to every so many ticks.
const HOUSEKEEPING_EVERY: u64 = 100;

/// What was seen last.
pub(super) struct Watch {
    calls: Calls,
    links: BTreeMap<NodeId, u64>,
    sessions: BTreeMap<NodeId, Incarnation>,
    had_session: bool,
    ticks: u64,
    moves: Moves,
}

impl Watch {
    /// Begins to watch.
    pub fn new(calls: Calls) -> Self {
        let links = links(&calls);
        let (sessions, moves) = (BTreeMap::new(), Moves::default());
        Self { calls, links, sessions, had_session: false, ticks: 0, moves }
    }

    /// A connection that is gone, or is another one now: what was sent on the old one is lost.
    pub fn peers_changed(&mut self) {
        let links = links(&self.calls);
        for node in links.keys().filter(|node| links.get(node) != self.links.get(node)) {
            self.calls.file_again(*node);
        }
        for (node, link) in &self.links {
            if links.get(node) != Some(link) {
                tracing::info!(peer = %node, "a node was lost; its calls end or run again");
                self.calls.node_lost(*node, links.get(node).copied());
            }
        }
        self.links = links;
    }

    /// A little time has passed.
    pub fn tick(&mut self) {
        self.ticks += 1;
        self.calls.accept_lasting();
        self.calls.pass_all_on();
        if self.calls.live().len() <= FEW || self.ticks.is_multiple_of(MANY_EVERY) {
            self.end_overdue();
        }
        let has_session = self.calls.registry().session_is_live();
        if self.had_session && !has_session {
            tracing::warn!("this node's session lapsed; its calls and those of other nodes end");
            let of_peer = |live: &super::live::LiveCall| matches!(live.origin, Origin::Peer(_));
            self.calls.end_where(EndReason::SessionLapsed, of_peer);
            self.calls.end_roots(EndReason::SessionLapsed);
        }
        self.had_session = has_session;
        if has_session {
            self.calls.report_late();
        }
        if self.ticks.is_multiple_of(LOOK_EVERY) {
            self.end_stranded();
            self.calls.places().lock().trim(clock::now());
            self.sessions_changed();
            self.calls.look_at_roster();
        }
        if self.ticks.is_multiple_of(HOUSEKEEPING_EVERY) {
            self.housekeeping();
            self.follow_sessions();
        }
        self.calls.move_records(&mut self.moves);
    }

    /// Records move when sessions began or ended; not while this node has none, for then it may
    /// have heard of the others' late.
    fn follow_sessions(&mut self) {
        if !self.had_session {
            return;
        }
        let nodes = self.calls.registry().keepers();
        if self.moves.sessions_are(nodes) {
            self.moves.look_at(self.calls.recorded());
        }
    }

    fn end_overdue(&self) {
        let now = clock::now();
        let alive = |live: &super::live::LiveCall| live.control.ended().is_none();
        for live in self.calls.living_where(|live| alive(live) && live.overdue(now).is_some()) {
            if let Some(reason) = live.overdue(now) {
                self.calls.end_call(&live, reason);
            }
        }
        let silent = self.calls.outgoing().lock().overdue(now);
        for call in silent {
            let detail = format!("{} did not report the call's end by its deadline", call.node);
            let error = CallError::new(Errno::TimedOut, detail);
            if !call.accepted {
                self.calls.scheduler().unanswered(call.node);
            }
            self.calls.cancel_branch(call.spec.call, Some((call.node, call.attempt)));
            self.calls.unstarted(&call.spec, &call.cell, error);
        }
    }

    /// Calls in line that may only run on nodes that are down end.
    fn end_stranded(&self) {
        let is_up = |node: NodeId| self.links.contains_key(&node);
        for call in self.calls.scheduler().stranded(&is_up) {
            let Some(live) = self.calls.live_call(call) else { continue };
            if self.calls.scheduler().take_queued(call).is_some() {
                let named = live.spec.needs.pin.iter().map(NodeId::to_string).collect::<Vec<_>>();
                let detail =
                    format!("none of the nodes the call is pinned to is up: {}", named.join(", "));
                let error = CallError::new(Errno::Unavailable, detail);
                self.calls.finish_unstarted(&live, error);
            }
        }
    }

    /// A node without a session runs nothing, though it may be connected.
    fn sessions_changed(&mut self) {
        let sessions = self.calls.registry().sessions();
        let nodes = self.calls.outgoing().lock().nodes();
        for node in nodes {
            if self.sessions.contains_key(&node) && !sessions.contains_key(&node) {
                tracing::info!(peer = %node, "a node's session ended; its calls end or run again");
                self.calls.lost_calls(node, None);
            }
        }
        self.sessions = sessions;
        self.calls.outlived_calls();
    }

    fn housekeeping(&self) {
        let now = clock::now();
        self.calls.forget_users();
        let records = {
            let mut records = self.calls.records().lock();
            records.trim(now);
            records.len()
        };
        self.calls.kept().lock().trim(now);
        self.calls.refresh_records(now);
        metrics::gauge!(names::RECORDS).set(records as f64);
        metrics::gauge!(names::LIVE).set(self.calls.live().len() as f64);
        metrics::gauge!(names::OUTGOING).set(self.calls.outgoing().lock().len() as f64);
    }
}

fn links(calls: &Calls) -> BTreeMap<NodeId, u64> {
    let peers = calls.net().peers().borrow().clone();
    peers.iter().filter_map(|(node, status)| Some((*node, status.up?.link))).collect()
}
