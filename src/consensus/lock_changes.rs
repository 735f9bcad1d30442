//! Changes of the locks, as entries of the log.

use super::locks::{LockChange, LockEnd, Locks};
use super::machine::{Change, Machine};
use crate::id::{MAX_NAME_LEN, NodeId};
use crate::wire::consensus::{Response, SessionId};
use crate::wire::locks::{Holder, LockAnswer, LockCommand};

impl Machine {
    /// The global locks.
    pub fn locks(&self) -> &Locks {
        &self.locks
    }

    pub(super) fn change_locks(
        &mut self,
        index: u64,
        proposer: NodeId,
        command: LockCommand,
        changes: &mut Vec<Change>,
    ) -> Response {
        let mut made = Vec::new();
        let response = self.lock(index, proposer, command, &mut made);
        changes.extend(made.into_iter().map(Change::Lock));
        response
    }

    fn lock(
        &mut self,
        index: u64,
        proposer: NodeId,
        command: LockCommand,
        made: &mut Vec<LockChange>,
    ) -> Response {
        let holder = match &command {
            LockCommand::Acquire { holder, .. }
            | LockCommand::GiveUp { holder, .. }
            | LockCommand::Release { holder, .. }
            | LockCommand::Await { holder, .. }
            | LockCommand::AwaitAny { holder, .. } => Some(*holder),
            LockCommand::End { .. } => None,
        };
        if holder.is_some_and(|holder| !self.may_lock(proposer, &holder)) {
            return Response::Refused("the session of the call's node is over".into());
        }
        let answer = match command {
            LockCommand::Acquire { key, .. }
                if !key.is_valid() || key.user.len() > MAX_NAME_LEN || key.user.is_empty() =>
            {
                return Response::Refused("there is no such key".into());
            }
            LockCommand::Acquire { key, mode, holder } => {
                self.locks.acquire(index, key, mode, holder, made)
            }
            LockCommand::Release { key, mode, holder } => {
                self.locks.release(index, &key, mode, holder, made)
            }
            LockCommand::GiveUp { key, holder } => {
                self.locks.give_up(index, &key, holder, made);
                return Response::Done;
            }
            LockCommand::End { holders } => {
                let own = |holder: &&Holder| holder.session.node == proposer;
                let holders: Vec<_> = holders.iter().filter(own).copied().collect();
                self.locks.end(index, &holders, LockEnd::Call, made);
                return Response::Done;
            }
            LockCommand::Await { holder, child } => {
                self.awaits(index, holder, child.into_iter().collect(), made)
            }
            LockCommand::AwaitAny { holder, children } => {
                self.awaits(index, holder, children, made)
            }
        };
        Response::Lock(Box::new(answer))
    }

    fn awaits(
        &mut self,
        index: u64,
        holder: Holder,
        children: Vec<crate::id::CallId>,
        made: &mut Vec<LockChange>,
    ) -> LockAnswer {
        let known = self.locks.awaits(index, holder, children, made);
        if known { LockAnswer::Queued } else { LockAnswer::Full }
    }

    /// A node speaks for its own calls, in its present session.
    fn may_lock(&self, proposer: NodeId, holder: &Holder) -> bool {
        let session = self.session(proposer).map(|session| session.id);
        session == Some(holder.session)
    }

    /// The locks of sessions that these changes end are over too.
    pub(super) fn end_locks_of_sessions(&mut self, index: u64, changes: &mut Vec<Change>) {
        let over = |change: &Change| match change {
            Change::Ended(session) => Some(*session),
            _ => None,
        };
        let over: Vec<SessionId> = changes.iter().filter_map(over).collect();
        let mut made = Vec::new();
        over.into_iter().for_each(|session| self.locks.session_over(index, session, &mut made));
        changes.extend(made.into_iter().map(Change::Lock));
    }
}
