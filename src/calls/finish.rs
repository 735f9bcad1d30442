//! The end of calls: results on their way back, and cancelling what lives below.

use std::sync::Arc;

use bytes::Bytes;

use super::budget::Share;
use super::cell::{CallCell, Ended, Payload};
use super::kept::KeptKey;
use super::live::{LiveCall, Origin};
use super::spec::{Role, Spec, now_us};
use super::{Calls, MOST_UNREPORTED, metrics as names};
use crate::clock;
use crate::errno::CallError;
use crate::function::{EndReason, Outcome};
use crate::id::{Attempt, CallId, NodeId};
use crate::net::Peer;
use crate::wire::calls::{CallMessage, Done, INLINE_MAX, KeptAt, Phase, Times, Work};

impl Calls {
    /// An instance ended.
    pub(super) fn finish(&self, live: &Arc<LiveCall>, outcome: Outcome) {
        let times = Times { accepted_us: live.accepted_us, ..outcome.times };
        let work = Work {
            node: self.me(),
            function: live.spec.label(),
            calls: 1,
            busy_us: times.ended_us.saturating_sub(times.started_us),
        };
        let rank = self.rank_end(live);
        // What a rank wrote was passed on, and is in its job's log.
        let log = if rank.is_some() { Bytes::new() } else { outcome.log };
        let ended = Ended {
            result: outcome.result,
            output: Payload::Here(outcome.output),
            log: Payload::Here(log),
            times,
            node: self.me(),
            work: live.total_work(work),
            rank,
        };
        self.count(&ended);
        self.over(live, ended);
        self.scheduler().pump();
    }

    /// All ranks of a job have ended.
    pub(super) fn finish_job(
        &self,
        live: &Arc<LiveCall>,
        result: Result<u8, CallError>,
        output: Bytes,
        log: Bytes,
    ) {
        let (started_us, ended_us) = (live.control.started_us(), now_us());
        let ended = Ended {
            result,
            output: Payload::Here(output),
            log: Payload::Here(log),
            times: Times { accepted_us: live.accepted_us, started_us, ended_us },
            node: self.me(),
            work: live.work_below(),
            rank: None,
        };
        self.count(&ended);
        self.over(live, ended);
    }

    /// An admitted call ends without having run.
    pub(super) fn finish_unstarted(&self, live: &Arc<LiveCall>, error: CallError) {
        self.over(live, Ended::unstarted(self.me(), error, live.accepted_us));
    }

    fn over(&self, live: &Arc<LiveCall>, ended: Ended) {
        let stopped = live.control.ended().is_some();
        tracing::debug!(call = %live.spec.call, result = ?ended.result, "a call has ended");
        if live.ends() && matches!(live.spec.role, Role::Plain) {
            live.spec.function.book.leave();
        }
        if stopped && !live.is_childless() {
            self.cancel_children(live);
        }
        let over = live.clone();
        self.after_locks(live, move |calls| {
            if over.is_childless() {
                calls.forget(&over);
            }
            match &over.origin {
                Origin::Here(cell) => calls.complete(&over.spec, cell, ended),
                Origin::Peer(peer) => calls.report(*peer, &over, ended),
            }
        });
    }

    /// Tells the caller's node how a call ended here. When this node's session lapsed, what came of
    /// the call counts for nothing; that it is lost is told as soon as there is a session again, which
    /// may be the same one: then nobody else knows.
    fn report(&self, peer: Peer, live: &Arc<LiveCall>, ended: Ended) {
        let lapsed = !self.registry().session_is_live();
        let ended = if lapsed { ended.lapsed() } else { ended };
        let call = live.spec.call;
        let (output, output_bytes) =
            self.keep_large((call, live.attempt, false), ended.output).to_wire();
        let (log, log_bytes) = self.keep_large((call, live.attempt, true), ended.log).to_wire();
        let done = Done {
            call,
            attempt: live.attempt,
            result: ended.result,
            output,
            log,
            times: ended.times,
            work: ended.work,
            clock: self.tick(),
            room: self.scheduler().room(),
            rank: ended.rank,
        };
        if lapsed {
            let mut unreported = self.inner.unreported.lock();
            if unreported.len() < MOST_UNREPORTED {
                unreported.push((peer.node, done));
            }
            return;
        }
        let body = join(output_bytes, log_bytes);
        let sent = self.net().send(peer.node, &CallMessage::Done(done), body);
        if let Err(error) = sent {
            tracing::debug!(%call, %error, "a result could not be reported");
        }
    }

    /// Tells what could not be told before.
    pub(super) fn report_late(&self) {
        for (node, done) in std::mem::take(&mut *self.inner.unreported.lock()) {
            let done = Done { clock: self.tick(), room: self.scheduler().room(), ..done };
            // Who lost the connection since counts the call as lost.
            let _ = self.net().send(node, &CallMessage::Done(done), Bytes::new());
        }
    }

    /// Bytes too large for a message stay here, and the message tells where.
    pub(super) fn keep_large(&self, key: KeptKey, payload: Payload) -> Payload {
        match payload {
            Payload::Here(bytes) if bytes.len() > INLINE_MAX => {
                let len = bytes.len() as u64;
                let (node, incarnation, attempt) = (self.me(), self.incarnation(), key.1);
                self.kept().lock().keep(key, bytes, clock::now());
                Payload::At(KeptAt { node, incarnation, attempt, len })
            }
            other => other,
        }
    }

    /// The end of a call that this node made is known.
    pub(super) fn complete(&self, spec: &Arc<Spec>, cell: &Arc<CallCell>, ended: Ended) {
        let ended = match spec.tree.depth {
            0 => self.root_end(spec.call, ended),
            _ => ended,
        };
        match self.claimed_root(spec.call, cell) {
            Some(root) if spec.tree.depth == 0 => self.agree_on_end(root, ended),
            _ => self.completed(spec, cell, ended),
        }
    }

    /// The end of a call that this node made is known, and is how it ended for everybody.
    pub(super) fn completed(&self, spec: &Arc<Spec>, cell: &Arc<CallCell>, ended: Ended) {
        let (ended, share) = self.hold(spec, ended);
        let ended = Arc::new(ended);
        if !cell.complete(ended.clone(), share) {
            return;
        }
        if spec.tree.depth == 0 {
            self.close_root(spec.call);
        } else {
            self.recent().lock().push(spec, cell, &ended, clock::now());
        }
        if let Some(parent) = cell.parent()
            && parent.child_ended()
        {
            self.forget(&parent);
        }
    }

    /// Counts what a chained call produced to what its user holds here until the parent ends. When
    /// that is too much, the call has failed for its parent. A root's output has its record's bounds.
    fn hold(&self, spec: &Spec, ended: Ended) -> (Ended, Option<Share>) {
        if spec.tree.depth == 0 {
            return (ended, None);
        }
        let here = |payload: &Payload| match payload {
            Payload::Here(bytes) => bytes.len(),
            Payload::At(_) => 0,
        };
        match self.budget().take(&spec.user, here(&ended.output) + here(&ended.log)) {
            Ok(share) => (ended, Some(share)),
            Err(error) => {
                let nothing = Payload::Here(Bytes::new());
                let log = nothing.clone();
                (Ended { result: Err(error), output: nothing, log, ..ended }, None)
            }
        }
    }

    /// Ends a call that lives here, and all below it.
    pub(super) fn end_call(&self, live: &Arc<LiveCall>, reason: EndReason) {
        match self.rank_waits(live).filter(|_| reason.is_by_users()) {
            Some(at) => live.control.end_because(reason, &(reason.error().detail + &at)),
            None => live.control.end(reason),
        }
        match live.phase() {
            Phase::Queued => {
                if let Some(waiting) = self.scheduler().take_queued(live.spec.call) {
                    drop(waiting);
                    self.finish_unstarted(live, reason.error());
                }
            }
            Phase::Running => {}
            Phase::Done => self.cancel_children(live),
        }
    }

    /// Cancels a call made by this node, wherever it runs (`at`, as last heard), and all below.
    pub(super) fn cancel_branch(&self, call: CallId, at: Option<(NodeId, Attempt)>) {
        if let Some(live) = self.live_call(call) {
            return self.end_call(&live, EndReason::Cancelled);
        }
        self.outgoing().lock().cancel_one(call);
        if let Some((node, attempt)) = at.filter(|(node, _)| *node != self.me()) {
            self.tell_cancelled(node, call, attempt);
        }
    }

    /// Tells a node that a try of a call, which it was sent, is not wanted any more.
    pub(super) fn tell_cancelled(&self, node: NodeId, call: CallId, attempt: Attempt) {
        let _ = self.net().send(node, &CallMessage::Cancel(call, attempt), Bytes::new());
    }

    fn tell_all_cancelled(&self, sent: Vec<(CallId, Attempt, NodeId)>) {
        for (call, attempt, node) in sent {
            self.tell_cancelled(node, call, attempt);
        }
    }

    /// Ends every call of a tree, on every node.
    pub(super) fn end_tree(&self, root: CallId, reason: EndReason) {
        self.end_tree_here(root, reason);
        self.tell_peers(&CallMessage::CancelTree(root));
    }

    /// Ends every call of a tree that lives here.
    pub(super) fn end_tree_here(&self, root: CallId, reason: EndReason) {
        // Others hear of the tree's end perhaps before a start that is on its way to them.
        let sent = self.outgoing().lock().cancel_tree(root);
        self.tell_all_cancelled(sent);
        self.end_where(reason, |live| live.spec.tree.root == root);
    }

    /// Ends every call below a chained one, on every node: also below children that have ended, which
    /// nobody can pass it on for any more.
    pub(super) fn end_below(&self, call: CallId, reason: EndReason) {
        self.end_below_here(call, reason);
        self.tell_peers(&CallMessage::CancelBelow(call));
    }

    fn tell_peers(&self, message: &CallMessage) {
        let peers = self.net().peers().borrow().clone();
        for (node, _) in peers.iter().filter(|(_, status)| status.up.is_some()) {
            let _ = self.net().send(*node, message, Bytes::new());
        }
    }

    /// Ends every call below a chained one that lives here, or was sent from here.
    pub(super) fn end_below_here(&self, call: CallId, reason: EndReason) {
        // On its way it is behind its start, which this message may overtake.
        let sent = self.outgoing().lock().cancel_below(call);
        self.tell_all_cancelled(sent);
        self.end_where(reason, |live| live.spec.above.contains(&call));
    }

    /// Ends every call here that `picks` picks.
    pub(super) fn end_where(&self, reason: EndReason, picks: impl Fn(&LiveCall) -> bool) {
        for live in self.living_where(picks) {
            self.end_call(&live, reason);
        }
    }

    pub(super) fn cancel_children(&self, live: &Arc<LiveCall>) {
        let children: Vec<_> = {
            let children = live.children.lock();
            let alive = children.iter().filter(|child| child.cell.ended().is_none());
            alive.map(|child| (child.call, child.cell.placed_as())).collect()
        };
        for (call, at) in children {
            self.cancel_branch(call, at);
        }
    }

    fn count(&self, ended: &Ended) {
        let label = match &ended.result {
            Ok(_) => "ok",
            Err(error) => error.code.name(),
        };
        metrics::counter!(names::ENDED, "result" => label).increment(1);
        let seconds = now_us().saturating_sub(ended.times.accepted_us) as f64 / 1e6;
        self.latency().record(seconds);
    }
}

fn join(output: Bytes, log: Bytes) -> Bytes {
    if log.is_empty() {
        return output;
    }
    if output.is_empty() {
        return log;
    }
    [output, log].concat().into()
}
