//! The way of a call to where it runs: here at once, in line here, or at another node.

use std::sync::Arc;

use super::Calls;
use super::cell::{CallCell, Ended};
use super::live::{LiveCall, Origin};
use super::outgoing::{Lost, Outgoing};
use super::ports::PushError;
use super::spec::{Role, Spec, UserBook, now_us};
use crate::clock;
use crate::errno::{CallError, Errno};
use crate::function::{EndReason, Job};
use crate::id::{Attempt, CallId, NodeId};
use crate::scheduler::{FunctionBook, Go, Place, Slot, Waiting};
use crate::wire::calls::{CallBulk, CallMessage, INLINE_MAX};

/// The right of one user's call to an instance here; given back when dropped.
pub struct PlaceHere {
    /// None for a job, which runs no instance.
    _place: Option<Place>,
    user: Arc<UserBook>,
    _entered: Option<Entered>,
}

impl PlaceHere {
    /// The same, with the right to an instance of its function.
    pub(super) fn entered(mut self, entered: Entered) -> Self {
        self._entered = Some(entered);
        self
    }
}

/// An instance of a function that is sure to come; it counts until this is dropped.
pub struct Entered(Arc<FunctionBook>);

impl Entered {
    /// Counts one, if the function may have so many.
    pub(super) fn new(book: &Arc<FunctionBook>, instances: u32) -> Option<Self> {
        book.try_enter(instances).then(|| Self(book.clone()))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Drop for PlaceHere {
    fn drop(&mut self) {
        self.user.leave();
    }
}

/// Somebody looks for a node that takes a call.
struct Asking<'a> {
    calls: &'a Calls,
    spec: &'a Arc<Spec>,
    cell: &'a Arc<CallCell>,
    armed: bool,
}

impl Drop for Asking<'_> {
    /// Nobody looks any more: a call that no node has then ends.
    fn drop(&mut self) {
        self.calls.answers().lock().remove(&self.spec.call);
        let nowhere = || self.calls.outgoing().lock().sent_as(self.spec.call).is_none();
        if self.armed && self.cell.ended().is_none() && nowhere() {
            self.calls.unstarted(self.spec, self.cell, EndReason::Cancelled.error());
        }
    }
}

/// A call on its way, with what is known of the way so far.
pub(super) struct Way {
    pub spec: Arc<Spec>,
    pub cell: Arc<CallCell>,
    pub attempt: Attempt,
    pub place: Option<PlaceHere>,
    pub tried: Vec<NodeId>,
}

impl Calls {
    /// A place here for a call of a user, if the node has one and the user may have it.
    pub(super) fn place_here(&self, user: &Arc<UserBook>) -> Option<PlaceHere> {
        let place = self.scheduler().try_place()?;
        let place = Some(place);
        user.try_enter().then(|| PlaceHere { _place: place, user: user.clone(), _entered: None })
    }

    /// The right of a user's job to be launched here.
    pub(super) fn place_for_job(user: &Arc<UserBook>) -> Option<PlaceHere> {
        user.try_enter().then(|| PlaceHere { _place: None, user: user.clone(), _entered: None })
    }

    /// Sends a new call on its way, without waiting; `false` when there is no place for it here.
    pub(super) fn originate(&self, spec: &Arc<Spec>, cell: &Arc<CallCell>) -> bool {
        if let Role::Job(run) = &spec.role {
            return self.launch(spec, cell, run).is_ok();
        }
        if self.queue_is_full(&spec.user).is_some() {
            return false;
        }
        let Some(place) = self.place_here(&spec.user) else { return false };
        self.go(Way {
            spec: spec.clone(),
            cell: cell.clone(),
            attempt: Attempt(0),
            place: Some(place),
            tried: Vec::new(),
        });
        true
    }

    /// The error of a user of whom too many calls wait here, if that is so.
    pub(super) fn queue_is_full(&self, user: &UserBook) -> Option<CallError> {
        let full = self.scheduler().is_queue_full(&user.user);
        full.then(|| queue_full(self.scheduler().queue_per_user()))
    }

    /// Finds a place at another node for a call that has none here: each node that may have one is
    /// asked in turn. `FAASM_EFULL` when none has.
    pub(super) async fn originate_elsewhere(
        &self,
        spec: &Arc<Spec>,
        cell: &Arc<CallCell>,
    ) -> Result<(), CallError> {
        if let Role::Job(run) = &spec.role {
            return self.launch(spec, cell, run);
        }
        let mut asking = Asking { calls: self, spec, cell, armed: true };
        let taken = self.ask_for_place(spec, cell).await;
        asking.armed = false;
        taken
    }

    async fn ask_for_place(&self, spec: &Arc<Spec>, cell: &Arc<CallCell>) -> Result<(), CallError> {
        for node in self.scheduler().with_places(&spec.needs) {
            let (told, answer) = tokio::sync::oneshot::channel();
            self.answers().lock().insert(spec.call, told);
            let (spec_there, cell_there) = (spec.clone(), cell.clone());
            let (attempt, place, tried) = (Attempt(0), None, Vec::new());
            let way = Way { spec: spec_there, cell: cell_there, attempt, place, tried };
            self.send(way, node, true);
            match tokio::time::timeout_at(clock::at(spec.tree.deadline), answer).await {
                Ok(Ok(false)) => continue,
                // It was taken, or ended.
                Ok(_) => return Ok(()),
                Err(_) => {
                    // That node may have begun it: it ends, and its key stays taken.
                    if self.take_back(node, spec.call) {
                        let error = CallError::new(Errno::TimedOut, "no node answered in time");
                        self.unstarted(spec, cell, error);
                    }
                    return Ok(());
                }
            }
        }
        if let Some(most) = spec.user.spent() {
            let user = &spec.user.user;
            let detail = format!("quota: {user} may have {most} calls alive at once on each node");
            return Err(CallError::new(Errno::Quota, detail));
        }
        let detail = "no node has room for another call; wait for some to end, or add nodes";
        Err(CallError::new(Errno::Full, detail))
    }

    /// Gives up a call that a node has not answered; `false` if it has.
    fn take_back(&self, node: NodeId, call: CallId) -> bool {
        let taken = self.outgoing().lock().take(node, call, Attempt(0));
        let Some(outgoing) = taken else { return false };
        if !outgoing.accepted {
            self.scheduler().unanswered(node);
        }
        self.cancel_branch(call, Some((node, outgoing.attempt)));
        true
    }

    /// Sends a call that has a place here where the policy says.
    pub(super) fn go(&self, way: Way) {
        match self.scheduler().choose(&way.spec.needs, &way.tried) {
            Some(node) if node == self.me() => {
                match self.scheduler().try_slot(&way.spec.user.holding) {
                    Some(slot) => self.admit(way, Some(slot)),
                    None => self.admit(way, None),
                }
            }
            Some(node) => self.send(way, node, false),
            None => self.admit(way, None),
        }
    }

    /// Takes a call of this node in, to start now or to wait in line.
    fn admit(&self, way: Way, slot: Option<Slot>) {
        let Way { spec, cell, attempt, place, .. } = way;
        let Some(place) = place.or_else(|| self.place_here(&spec.user)) else {
            let detail = "no node has room for the call, which lost the one that ran it";
            return self.unstarted(&spec, &cell, CallError::new(Errno::Full, detail));
        };
        cell.placed(self.me(), attempt);
        let live = LiveCall::new(self.clone(), spec, attempt, Origin::Here(cell), place);
        self.enter(live, slot, true);
    }

    /// Puts an admitted call among the living, and starts it or puts it in line.
    pub(super) fn enter(&self, live: Arc<LiveCall>, slot: Option<Slot>, movable: bool) {
        self.live().insert(live.spec.call, live.clone());
        match slot {
            Some(slot) => self.begin(live, slot, movable),
            None => self.line_up(live, movable),
        }
    }

    fn line_up(&self, live: Arc<LiveCall>, movable: bool) {
        let spec = live.spec.clone();
        let calls = self.clone();
        let waiting = Waiting {
            call: spec.call,
            user: spec.user.user.clone(),
            holding: spec.user.holding.clone(),
            needs: spec.needs.clone(),
            movable,
            reserved: spec.role.is_rank(),
            function: spec.function.book.clone(),
            go: Box::new(move |go| match go {
                Go::Here(slot) => calls.begin(live, slot, movable),
                Go::There(node) => calls.move_to(&live, node),
            }),
        };
        let instances = match spec.role.is_rank() {
            // It is counted already.
            true => u32::MAX,
            false => spec.function.entry.limits.instances,
        };
        if !self.scheduler().enqueue(waiting, instances)
            && let Some(live) = self.live_call(spec.call)
        {
            self.finish_unstarted(&live, queue_full(self.scheduler().queue_per_user()));
        }
    }

    /// A call in line goes to another node.
    fn move_to(&self, live: &Arc<LiveCall>, node: NodeId) {
        let Origin::Here(cell) = &live.origin else { return };
        self.forget(live);
        let way = Way {
            spec: live.spec.clone(),
            cell: cell.clone(),
            attempt: live.attempt,
            place: live.take_place(),
            tried: Vec::new(),
        };
        match live.control.ended() {
            Some(reason) => self.unstarted(&way.spec, &way.cell, reason.error()),
            None => self.send(way, node, false),
        }
    }

    /// Starts an admitted call.
    fn begin(&self, live: Arc<LiveCall>, slot: Slot, movable: bool) {
        if let Some(reason) = live.control.ended() {
            return self.finish_unstarted(&live, reason.error());
        }
        if !self.registry().session_is_live() {
            return self.finish_unstarted(&live, no_session());
        }
        let spec = &live.spec;
        let instances = spec.function.entry.limits.instances;
        if !spec.role.is_rank() && !spec.function.book.try_enter(instances) {
            drop(slot);
            return self.line_up(live, movable);
        }
        let rank = match self.seat(&live) {
            Ok(rank) => rank,
            Err(error) => return self.finish_unstarted(&live, error),
        };
        live.starts(slot);
        let spec = &live.spec;
        let span = tracing::debug_span!(
            "call",
            call = %spec.call,
            root = %spec.tree.root,
            trace = %format_args!("{:032x}", spec.tree.trace),
            function = %spec.function.key,
            attempt = live.attempt.0,
        );
        span.in_scope(|| tracing::debug!("a call starts"));
        let calls = self.clone();
        let done = live.clone();
        let job = Job {
            call: spec.call,
            key: spec.function.key.clone(),
            entry: spec.function.entry.clone(),
            start: spec.start,
            args: spec.args.clone(),
            input: spec.input.clone(),
            control: live.control.clone(),
            host: live.clone(),
            state: self.inner.ports.state.clone(),
            rank,
            span,
            done: Box::new(move |outcome| calls.finish(&done, outcome)),
        };
        self.instances().run(job);
    }

    /// Sends a call to a node.
    pub(super) fn send(&self, way: Way, node: NodeId, may_queue: bool) {
        let Way { spec, cell, attempt, place, tried } = way;
        let start = spec.to_wire(attempt, self.tick(), may_queue);
        let call = spec.call;
        tracing::debug!(%call, root = %spec.tree.root, to = %node, "a call is sent");
        let input = spec.input.clone();
        cell.placed(node, attempt);
        let deadline = spec.tree.deadline;
        let peers = self.net().peers().borrow().clone();
        self.outgoing().lock().sent(Outgoing {
            spec,
            cell,
            attempt,
            node,
            accepted: false,
            place,
            tried,
            session: self.registry().session_of(node),
            link: peers.get(&node).and_then(|status| status.up).map_or(0, |peer| peer.link),
            cancelled: false,
        });
        self.scheduler().sent(node);
        if input.len() <= INLINE_MAX {
            let sent = self.net().send(node, &CallMessage::Start(start), input);
            if let Err(error) = sent {
                let error = CallError::new(Errno::HostLost, error.to_string());
                self.scheduler().unreached(node);
                self.refused(node, call, attempt, error);
            }
            return;
        }
        let calls = self.clone();
        self.spawn(async move {
            let head = CallBulk::Start(Box::new(start));
            match calls.net().push(node, head, input, deadline).await {
                Ok(()) => {}
                Err(PushError::Unsent(error)) => {
                    let error = CallError::new(Errno::HostLost, error);
                    calls.scheduler().unreached(node);
                    calls.refused(node, call, attempt, error);
                }
                // That node may have begun it.
                Err(PushError::Unsure(_)) => {
                    let lost = calls.outgoing().lock().lost_one(node, call, attempt);
                    if lost.is_some() {
                        calls.tell_cancelled(node, call, attempt);
                    }
                    lost.into_iter().for_each(|lost| calls.lost_call(lost));
                }
            }
        });
    }

    /// A node did not take a call: another one is tried, or it waits here.
    pub(super) fn refused(&self, node: NodeId, call: CallId, attempt: Attempt, error: CallError) {
        let Some(outgoing) = self.outgoing().lock().take(node, call, attempt) else { return };
        self.scheduler().unanswered(node);
        let waits = self.answers().lock().remove(&call);
        let Outgoing { spec, cell, attempt, place, mut tried, cancelled, .. } = outgoing;
        if cancelled {
            // Who waited for the answer finds that it ended.
            return self.unstarted(&spec, &cell, EndReason::Cancelled.error());
        }
        if waits.is_some_and(|told| told.send(false).is_ok()) {
            return;
        }
        tried.push(node);
        if place.is_none() {
            return self.unstarted(&spec, &cell, error);
        }
        self.go(Way { spec, cell, attempt, place, tried });
    }

    /// A node was lost, or is connected again by `link`: its calls are placed again, or end.
    pub(super) fn lost_calls(&self, node: NodeId, link: Option<u64>) {
        let lost = self.outgoing().lock().lost(node, link);
        lost.into_iter().for_each(|lost| self.lost_call(lost));
    }

    /// Sessions of nodes ended: the calls that were sent in them are placed again, or end.
    pub(super) fn outlived_calls(&self) {
        let registry = self.registry();
        let over = |node, session| registry.session_is_over(node, session);
        let lost = self.outgoing().lock().outlived(over);
        lost.into_iter().for_each(|lost| self.lost_call(lost));
    }

    fn lost_call(&self, lost: Lost) {
        let (Lost::Again(outgoing) | Lost::End(outgoing)) = &lost;
        let node = outgoing.node;
        if !outgoing.accepted {
            self.scheduler().unanswered(node);
        }
        // It may have been taken, so who waits must not try another node as if it had not.
        if let Some(told) = self.answers().lock().remove(&outgoing.spec.call) {
            let _ = told.send(true);
        }
        match lost {
            Lost::Again(again) => self.go_again(again),
            Lost::End(o) => {
                let detail = format!(
                    "{node}, which ran the call, was lost; a function uploaded with --retries is run again"
                );
                let error = match o.cancelled {
                    true => EndReason::Cancelled.error(),
                    false => CallError::new(Errno::HostLost, detail),
                };
                let ended = Ended::unstarted(node, error, now_us());
                self.complete(&o.spec, &o.cell, ended);
            }
        }
    }

    /// Places a call again that was lost with its node.
    pub(super) fn go_again(&self, lost: Outgoing) {
        let place = lost.place.or_else(|| self.place_here(&lost.spec.user));
        let Outgoing { spec, cell, attempt, tried, .. } = lost;
        self.go(Way { spec, cell, attempt, place, tried });
    }

    /// Ends a call of this node that did not start.
    pub(super) fn unstarted(&self, spec: &Arc<Spec>, cell: &Arc<CallCell>, error: CallError) {
        let ended = Ended::unstarted(self.me(), error, now_us());
        self.complete(spec, cell, ended);
    }
}

fn queue_full(most: usize) -> CallError {
    let detail = format!(
        "{most} calls of this user wait on the node already; wait for some to end (`queue_per_user`)"
    );
    CallError::new(Errno::Full, detail)
}

/// The error of a node that has no session with the cluster.
pub(super) fn no_session() -> CallError {
    CallError::new(
        Errno::Unavailable,
        "this node has no session with a majority of the cluster and starts no calls until it has",
    )
}
