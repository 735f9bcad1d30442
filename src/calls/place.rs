//! The way of a call to where it runs: here at once, in line here, or at another node.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::Calls;
use super::cell::{CallCell, Ended};
use super::live::{LiveCall, Origin};
use super::outgoing::{Lost, Outgoing};
use super::spec::{Spec, UserBook, now_us};
use crate::errno::{CallError, Errno};
use crate::function::Job;
use crate::id::{Attempt, CallId, NodeId};
use crate::net::ServiceId;
use crate::scheduler::{Go, Place, Slot, Waiting};
use crate::wire::calls::{CallBulk, CallMessage, INLINE_MAX};

/// The right of one user's call to an instance here; given back when dropped.
pub struct PlaceHere {
    _place: Place,
    user: Arc<UserBook>,
}

impl Drop for PlaceHere {
    fn drop(&mut self) {
        self.user.leave();
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
        user.try_enter().then(|| PlaceHere { _place: place, user: user.clone() })
    }

    /// Sends a new call on its way, without waiting; `false` when there is no place for it here.
    pub(super) fn originate(&self, spec: &Arc<Spec>, cell: &Arc<CallCell>) -> bool {
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

    /// Finds a place at another node for a call that has none here: each node that may have one is
    /// asked in turn. `FAASM_EFULL` when none has.
    pub(super) async fn originate_elsewhere(
        &self,
        spec: &Arc<Spec>,
        cell: &Arc<CallCell>,
    ) -> Result<(), CallError> {
        for node in self.scheduler().with_places(&spec.needs) {
            let (told, answer) = tokio::sync::oneshot::channel();
            self.answers().lock().insert(spec.call, told);
            self.send(
                Way {
                    spec: spec.clone(),
                    cell: cell.clone(),
                    attempt: Attempt(0),
                    place: None,
                    tried: Vec::new(),
                },
                node,
                true,
            );
            let deadline = spec.tree.deadline.into();
            let taken = tokio::time::timeout_at(deadline, answer).await;
            self.answers().lock().remove(&spec.call);
            match taken {
                Ok(Ok(true)) => return Ok(()),
                Ok(_) => continue,
                Err(_) => return Err(CallError::new(Errno::TimedOut, "no node answered in time")),
            }
        }
        let detail = "no node has room for another call; wait for some to end, or add nodes";
        Err(CallError::new(Errno::Full, detail))
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
            function: spec.function.book.clone(),
            go: Box::new(move |go| match go {
                Go::Here(slot) => calls.begin(live, slot, movable),
                Go::There(node) => calls.move_to(&live, node),
            }),
        };
        self.scheduler().enqueue(waiting, spec.function.entry.limits.instances);
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
        if !self.consensus().session_is_live() {
            return self.finish_unstarted(&live, no_session());
        }
        if !live.spec.function.book.try_enter(live.spec.function.entry.limits.instances) {
            drop(slot);
            return self.line_up(live, movable);
        }
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
            span,
            done: Box::new(move |outcome| calls.finish(&done, outcome)),
        };
        self.functions().run(job);
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
        self.outgoing().lock().sent(Outgoing {
            spec,
            cell,
            attempt,
            node,
            accepted: false,
            place,
            tried,
        });
        self.scheduler().sent(node);
        if input.len() <= INLINE_MAX {
            let sent = self.net().send(node, ServiceId::Calls, &CallMessage::Start(start), input);
            if let Err(error) = sent {
                let error = CallError::new(Errno::HostLost, error.to_string());
                self.refused(node, call, attempt, error);
            }
            return;
        }
        let calls = self.clone();
        self.control().spawn(async move {
            if let Err(error) = calls.send_bulk(node, start, input, deadline).await {
                let error = CallError::new(Errno::HostLost, error);
                calls.refused(node, call, attempt, error);
            }
        });
    }

    async fn send_bulk(
        &self,
        node: NodeId,
        start: crate::wire::calls::Start,
        input: Bytes,
        deadline: Instant,
    ) -> Result<(), String> {
        let head = CallBulk::Start(Box::new(start));
        let bulk = self.net().bulk(node, ServiceId::Calls, &head, deadline).await;
        let mut stream = bulk.map_err(|error| error.to_string())?.send;
        let write = async {
            stream.write_chunk(input).await.map_err(|error| error.to_string())?;
            stream.finish().map_err(|error| error.to_string())
        };
        let late = || "the input could not be sent before the call's deadline".to_owned();
        tokio::time::timeout_at(deadline.into(), write).await.map_err(|_| late())?
    }

    /// A node did not take a call: another one is tried, or it waits here.
    pub(super) fn refused(&self, node: NodeId, call: CallId, attempt: Attempt, error: CallError) {
        let Some(outgoing) = self.outgoing().lock().take(node, call, attempt) else { return };
        self.scheduler().unanswered(node);
        if let Some(told) = self.answers().lock().remove(&call) {
            let _ = told.send(false);
            return;
        }
        let Outgoing { spec, cell, attempt, place, mut tried, .. } = outgoing;
        tried.push(node);
        if place.is_none() {
            return self.unstarted(&spec, &cell, error);
        }
        self.go(Way { spec, cell, attempt, place, tried });
    }

    /// A node was lost: its calls are placed again, or end.
    pub(super) fn lost_calls(&self, node: NodeId) {
        let lost = self.outgoing().lock().lost(node);
        for lost in lost {
            match lost {
                Lost::Again(again) => self.go_again(again),
                Lost::End(o) => {
                    if let Some(told) = self.answers().lock().remove(&o.spec.call) {
                        let _ = told.send(false);
                        continue;
                    }
                    let detail = format!(
                        "{node}, which ran the call, was lost; a function uploaded with --retries is run again"
                    );
                    let error = CallError::new(Errno::HostLost, detail);
                    let ended = Ended::unstarted(node, error, now_us());
                    self.complete(&o.spec, &o.cell, ended);
                }
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

/// The error of a node that has no session with the cluster.
pub(super) fn no_session() -> CallError {
    CallError::new(
        Errno::Unavailable,
        "this node has no session with a majority of the cluster and starts no calls until it has",
    )
}
