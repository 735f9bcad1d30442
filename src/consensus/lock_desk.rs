//! What this node's calls have asked for of the global locks. Pure.
//!
//! What one call asks for is proposed one after the other, since proposals may pass each other on
//! the way: a request that was given up must not come into the log behind its withdrawal. Only
//! releases do not hold up what follows. A request that was refused while releases of the same call
//! were on their way is made again behind them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::lock_ask::{Ask, Grant, LockError, Told};
use super::locks::{LockChange, LockEnd, Locks};
use crate::id::CallId;
use crate::wire::consensus::{Response, SessionId};
use crate::wire::locks::{Holder, LockAnswer, LockCommand, Mode};
use crate::wire::shards::StateKey;

/// Proposals of locks on their way: some of those that a node may have open are left to others.
pub const MAX_FLYING: usize = 384;
/// Calls that may have asked for something; more are refused with `Full`.
pub const MAX_CALLERS: usize = 20_000;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Request {
    ticket: u64,
    key: StateKey,
    mode: Mode,
    /// Not before the releases that are on their way.
    last: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Op {
    Acquire(Request),
    GiveUp(StateKey),
    Release(StateKey, Mode),
    Await(Vec<CallId>),
    Resume(u64),
    End(u64),
}

#[derive(Debug)]
struct Current {
    request: Request,
    /// It is known to stand in line; else it is on its way.
    in_line: bool,
    wanted: bool,
}

#[derive(Debug, Default)]
struct Caller {
    ops: VecDeque<Op>,
    /// Proposals on their way, but for releases: at most one.
    flying: usize,
    releasing: usize,
    current: Option<Current>,
    held: BTreeMap<StateKey, (Mode, u64)>,
    awaiting: bool,
}

impl Caller {
    fn is_idle(&self) -> bool {
        let flies = self.flying > 0 || self.releasing > 0;
        let has = self.current.is_some() || !self.held.is_empty() || self.awaiting;
        !flies && !has && self.ops.is_empty()
    }

    /// Whether a lock is asked for.
    fn asks(&self) -> bool {
        let wanted = self.current.as_ref().is_some_and(|current| current.wanted);
        wanted || self.ops.iter().any(|op| matches!(op, Op::Acquire(_)))
    }

    fn may_go(&self, op: &Op) -> bool {
        let alone = self.flying == 0 && self.releasing == 0;
        match op {
            Op::Release(..) | Op::GiveUp(_) => self.flying == 0,
            Op::Acquire(request) if request.last => alone,
            Op::Acquire(_) => self.flying == 0,
            Op::End(_) if self.has_nothing() => alone,
            Op::End(_) => self.flying == 0,
            Op::Await(_) | Op::Resume(_) => alone,
        }
    }

    fn has_nothing(&self) -> bool {
        self.current.is_none() && self.held.is_empty() && !self.awaiting
    }
}

/// All calls of this node that asked for something.
#[derive(Debug, Default)]
pub struct Desk {
    callers: BTreeMap<CallId, Caller>,
    /// Proposals on their way; without a call those of a session that is over.
    flying: BTreeMap<u64, Option<(CallId, Op)>>,
    ready: VecDeque<CallId>,
    told: Vec<Told>,
}

impl Desk {
    /// What is to be told since the last time.
    pub fn take_told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// A call asks for something; `session` is this node's.
    pub fn ask(&mut self, ask: Ask, session: Option<SessionId>) {
        match ask {
            Ask::Lock { ticket, call, key, mode } => {
                let full = self.callers.len() >= MAX_CALLERS && !self.callers.contains_key(&call);
                let asks = self.callers.get(&call).is_some_and(Caller::asks);
                let error = match session {
                    None => LockError::Lost,
                    Some(_) if full => LockError::Full,
                    Some(_) if asks => LockError::Deadlock,
                    Some(_) => {
                        let request = Request { ticket, key, mode, last: false };
                        return self.push(call, Op::Acquire(request));
                    }
                };
                self.told.push(Told::Answer { ticket, call, key, mode, result: Err(error) });
            }
            Ask::GiveUp { ticket, call } => self.give_up(ticket, call),
            Ask::Unlock { call, key, mode } => {
                let held = self.callers.get_mut(&call).and_then(|c| c.held.remove(&key));
                if held.is_some() {
                    self.push(call, Op::Release(key, mode));
                }
            }
            Ask::Await { .. } if session.is_none() => {}
            Ask::Await { call, children } => self.push(call, Op::Await(children)),
            Ask::Resume { ticket, call } => {
                let Some(caller) = self.callers.get_mut(&call) else {
                    return self.told.push(Told::Done(ticket));
                };
                if matches!(caller.ops.back(), Some(Op::Await(_))) {
                    caller.ops.pop_back();
                    return self.told.push(Told::Done(ticket));
                }
                self.push(call, Op::Resume(ticket));
            }
            Ask::End { ticket, call } => {
                let Some(caller) = self.callers.get_mut(&call) else {
                    return self.told.push(Told::Done(ticket));
                };
                let ops = std::mem::take(&mut caller.ops);
                // What it holds is released in any case; others wait for nothing of this.
                caller.ops = ops.into_iter().filter(|op| matches!(op, Op::Release(..))).collect();
                caller.current.iter_mut().for_each(|current| current.wanted = false);
                self.push(call, Op::End(ticket));
            }
        }
    }

    fn push(&mut self, call: CallId, op: Op) {
        self.callers.entry(call).or_default().ops.push_back(op);
        self.ready.push_back(call);
    }

    fn give_up(&mut self, ticket: u64, call: CallId) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let asked = |op: &Op| matches!(op, Op::Acquire(request) if request.ticket == ticket);
        caller.ops.retain(|op| !asked(op));
        if let Some(current) = caller.current.as_mut().filter(|c| c.request.ticket == ticket) {
            if std::mem::replace(&mut current.wanted, false) {
                let key = current.request.key.clone();
                caller.ops.push_front(Op::GiveUp(key));
            }
        } else if let Some((key, mode)) = caller
            .held
            .iter()
            .find(|(_, (_, granted))| *granted == ticket)
            .map(|(key, (mode, _))| (key.clone(), *mode))
        {
            caller.held.remove(&key);
            self.told.push(Told::Ended { call, key: key.clone(), mode });
            caller.ops.push_back(Op::Release(key, mode));
        }
        self.ready.push_back(call);
    }

    /// Proposes what may be proposed now. `propose` gives a proposal's number, or nothing when
    /// there is no room for it now.
    pub fn pump(
        &mut self,
        session: Option<SessionId>,
        mut propose: impl FnMut(LockCommand) -> Option<u64>,
    ) {
        let Some(session) = session else { return };
        while self.flying.len() < MAX_FLYING {
            let Some(call) = self.ready.pop_front() else { return };
            let Some(caller) = self.callers.get_mut(&call) else { continue };
            while let Some(op) = caller.ops.front()
                && caller.may_go(op)
                && self.flying.len() < MAX_FLYING
            {
                if let Op::End(ticket) = op
                    && caller.has_nothing()
                {
                    self.told.push(Told::Done(*ticket));
                    caller.ops.pop_front();
                    continue;
                }
                let Some(number) = propose(command(op, Holder { call, session })) else {
                    self.ready.push_front(call);
                    return;
                };
                let Some(op) = caller.ops.pop_front() else { break };
                match &op {
                    Op::Release(..) => caller.releasing += 1,
                    Op::Acquire(request) => {
                        caller.flying += 1;
                        let request = Request { last: caller.releasing == 0, ..request.clone() };
                        caller.current = Some(Current { request, in_line: false, wanted: true });
                    }
                    Op::Await(_) => {
                        caller.flying += 1;
                        caller.awaiting = true;
                    }
                    _ => caller.flying += 1,
                }
                self.flying.insert(number, Some((call, op)));
            }
            if caller.is_idle() {
                self.callers.remove(&call);
            } else if caller.ops.front().is_some_and(|op| caller.may_go(op)) {
                self.ready.push_back(call);
            }
        }
    }

    /// A proposal was applied, with this answer; `epoch` gives the epoch of a key's shard. Whether
    /// it was one of these.
    pub fn settled(
        &mut self,
        number: u64,
        response: &Response,
        epoch: impl Fn(&StateKey) -> u64,
    ) -> bool {
        let Some(flying) = self.flying.remove(&number) else { return false };
        let Some((call, op)) = flying else { return true };
        let Some(caller) = self.callers.get_mut(&call) else { return true };
        match op {
            Op::Release(..) => caller.releasing -= 1,
            Op::Acquire(_) => {
                caller.flying -= 1;
                let answer = match response {
                    Response::Lock(answer) => Ok(**answer),
                    Response::Refused(_) => Err(LockError::Lost),
                    _ => Err(LockError::Unavailable("the cluster gave no answer".into())),
                };
                self.acquired(call, answer, epoch);
            }
            Op::GiveUp(_) => {
                caller.flying -= 1;
                caller.current = None;
            }
            Op::Await(_) => {
                caller.flying -= 1;
                // Not known there, it need not be taken back.
                caller.awaiting = *response == lock(LockAnswer::Queued);
            }
            Op::Resume(ticket) => {
                caller.flying -= 1;
                caller.awaiting = false;
                self.told.push(Told::Done(ticket));
            }
            Op::End(ticket) => {
                caller.flying -= 1;
                (caller.current, caller.awaiting) = (None, false);
                for (key, (mode, _)) in std::mem::take(&mut caller.held) {
                    self.told.push(Told::Ended { call, key, mode });
                }
                self.told.push(Told::Done(ticket));
            }
        }
        self.ready.push_back(call);
        true
    }

    fn acquired(
        &mut self,
        call: CallId,
        answer: Result<LockAnswer, LockError>,
        epoch: impl Fn(&StateKey) -> u64,
    ) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let Some(mut current) = caller.current.take() else { return };
        let error = match answer {
            Ok(LockAnswer::Granted(token)) => {
                let epoch = epoch(&current.request.key);
                return self.granted(call, current, Grant { token, epoch });
            }
            Ok(LockAnswer::Queued) => {
                current.in_line = true;
                if current.wanted {
                    self.told.push(Told::Queued(call));
                }
                caller.current = Some(current);
                return;
            }
            Ok(LockAnswer::Deadlock) if !current.request.last && current.wanted => {
                caller.ops.push_front(Op::Acquire(Request { last: true, ..current.request }));
                return;
            }
            Ok(LockAnswer::Deadlock) => LockError::Deadlock,
            Ok(LockAnswer::Full) => LockError::Full,
            Ok(LockAnswer::NotHeld) => LockError::NotHeld,
            Err(error) => error,
        };
        self.refused(call, current, error);
    }

    fn granted(&mut self, call: CallId, current: Current, grant: Grant) {
        let Some(caller) = self.callers.get_mut(&call) else { return };
        if !current.wanted {
            // Its withdrawal is on its way, or the end of the call, and releases it.
            caller.current = Some(current);
            return;
        }
        let Request { ticket, key, mode, .. } = current.request;
        caller.held.insert(key.clone(), (mode, ticket));
        self.told.push(Told::Answer { ticket, call, key, mode, result: Ok(grant) });
    }

    /// A request ended without a lock. A withdrawal that was not proposed yet has nothing to
    /// withdraw: it must not, for the call may have the lock from before.
    fn refused(&mut self, call: CallId, current: Current, error: LockError) {
        if let Some(caller) = self.callers.get_mut(&call) {
            caller.ops.retain(|op| !matches!(op, Op::GiveUp(_)));
        }
        if current.wanted {
            let Request { ticket, key, mode, .. } = current.request;
            self.told.push(Told::Answer { ticket, call, key, mode, result: Err(error) });
        }
    }

    /// A lock of this node's present session has changed.
    pub fn changed(&mut self, change: &LockChange, epoch: impl Fn(&StateKey) -> u64) {
        let (LockChange::Granted { key, holder, .. }
        | LockChange::Ended { key, holder, .. }
        | LockChange::Refused { key, holder }) = change;
        let call = holder.call;
        let Some(caller) = self.callers.get_mut(&call) else { return };
        let of_line = |c: &mut Current| c.in_line && c.request.key == **key;
        match change {
            LockChange::Granted { token, .. } => {
                // What is on its way is told by its answer.
                if let Some(current) = caller.current.take_if(of_line) {
                    let grant = Grant { token: *token, epoch: epoch(key) };
                    self.granted(call, current, grant);
                }
            }
            LockChange::Refused { .. } => {
                if let Some(current) = caller.current.take_if(of_line) {
                    self.refused(call, current, LockError::Deadlock);
                }
            }
            LockChange::Ended { mode, how, .. } => {
                if *how != LockEnd::Released && caller.held.remove(&**key).is_some() {
                    self.told.push(Told::Ended { call, key: StateKey::clone(key), mode: *mode });
                }
            }
        }
        self.ready.push_back(call);
    }

    /// This node's session is over: so is all that was asked for in it.
    pub fn session_over(&mut self) {
        self.ready.clear();
        let flying: Vec<_> = self.flying.values_mut().filter_map(Option::take).collect();
        for (call, op) in flying {
            // A request is told of below: it is known whether it is still wanted.
            if !matches!(op, Op::Acquire(_)) {
                self.lost(call, op);
            }
        }
        for (call, caller) in std::mem::take(&mut self.callers) {
            for (key, (mode, _)) in caller.held {
                self.told.push(Told::Ended { call, key, mode });
            }
            let current = caller.current.filter(|current| current.wanted);
            let current = current.map(|current| Op::Acquire(current.request));
            for op in current.into_iter().chain(caller.ops) {
                self.lost(call, op);
            }
        }
    }

    fn lost(&mut self, call: CallId, op: Op) {
        match op {
            Op::Acquire(Request { ticket, key, mode, .. }) => {
                let result = Err(LockError::Lost);
                self.told.push(Told::Answer { ticket, call, key, mode, result });
            }
            Op::Resume(ticket) | Op::End(ticket) => self.told.push(Told::Done(ticket)),
            Op::GiveUp(_) | Op::Release(..) | Op::Await(_) => {}
        }
    }

    /// What came of requests is read from the state: the entries were never seen here, or an
    /// earlier driver of this life saw them.
    pub fn reconcile(
        &mut self,
        locks: &Locks,
        session: Option<SessionId>,
        epoch: impl Fn(&StateKey) -> u64,
    ) {
        let Some(session) = session else { return };
        let calls: BTreeSet<CallId> = self.callers.keys().copied().collect();
        for call in calls {
            let holder = Holder { call, session };
            let Some(caller) = self.callers.get_mut(&call) else { continue };
            let Some(current) = caller.current.take_if(|current| current.in_line) else { continue };
            let key = current.request.key.clone();
            if let Some((_, token)) = locks.held(&key, &holder) {
                let grant = Grant { token, epoch: epoch(&key) };
                self.granted(call, current, grant);
            } else if locks.waits(&key, &holder) {
                caller.current = Some(current);
            } else {
                self.refused(call, current, LockError::Deadlock);
            }
            self.ready.push_back(call);
        }
        for (key, mode, call) in locks.held_in(session) {
            let caller = self.callers.entry(call).or_default();
            let releases = |op: &Op| matches!(op, Op::Release(of, _) if of == key);
            let known = caller.held.contains_key(key)
                || caller.ops.iter().any(releases)
                || caller.releasing > 0
                || caller.flying > 0
                || caller.current.is_some();
            if !known {
                caller.held.insert(key.clone(), (mode, 0));
            }
        }
    }
}

fn command(op: &Op, holder: Holder) -> LockCommand {
    match op {
        Op::Acquire(Request { key, mode, .. }) => {
            LockCommand::Acquire { key: key.clone(), mode: *mode, holder }
        }
        Op::GiveUp(key) => LockCommand::GiveUp { key: key.clone(), holder },
        Op::Release(key, mode) => LockCommand::Release { key: key.clone(), mode: *mode, holder },
        Op::Await(children) => LockCommand::AwaitAny { holder, children: children.clone() },
        Op::Resume(_) => LockCommand::Await { holder, child: None },
        Op::End(_) => LockCommand::End { holders: vec![holder] },
    }
}

fn lock(answer: LockAnswer) -> Response {
    Response::Lock(Box::new(answer))
}

#[cfg(test)]
#[path = "lock_desk_tests.rs"]
mod tests;
