//! Calls by their user: whose a call is, which a user has, and their end when the user is removed.

use std::sync::atomic::Ordering;

use super::Calls;
use crate::consensus::users::Users;
use crate::errno::CallError;
use crate::function::EndReason;
use crate::id::{CallId, Name};
use crate::wire::calls::{CallReply, CallRequest, CallSummary, Phase, Record};

impl Calls {
    /// Whether a call is this user's. Another user's is answered as one that does not exist: with
    /// the same words, and after the same questions to the other nodes.
    /// So is one that was made before `since_ms` (milliseconds since 1970): it was another's, who
    /// had the same name.
    pub async fn owned_by(
        &self,
        call: CallId,
        user: &Name,
        since_ms: u64,
    ) -> Result<(), CallError> {
        let mine = |record: &Record| {
            record.user == user.as_str() && record.requested_us / 1000 >= since_ms
        };
        if self.lookup_here(call).is_some_and(|stored| mine(&stored.record)) {
            return Ok(());
        }
        let mut answered = Vec::new();
        for (node, reply) in self.ask_all(&CallRequest::Lookup(call)).await {
            let Ok((reply, _)) = reply else { continue };
            answered.push(node);
            if let CallReply::Record(record) = reply
                && record.call == call
                && mine(&record)
            {
                return Ok(());
            }
        }
        Err(self.not_found(call, &answered))
    }

    /// The living calls of a user on all nodes, at most `most`.
    pub async fn list_of(&self, user: &Name, most: usize) -> Vec<CallSummary> {
        let mut calls = self.list_of_here(user.as_str(), most);
        let limit = u32::try_from(most).unwrap_or(u32::MAX);
        for (_, reply) in self.ask_all(&CallRequest::ListOf(limit, user.to_string())).await {
            if let Ok((CallReply::Calls(there), _)) = reply {
                calls.extend(there.into_iter().filter(|call| call.user == user.as_str()));
            }
        }
        calls.sort_by_key(|call| (call.since_us, call.call));
        calls.truncate(most);
        calls
    }

    /// The calls of a user that live here.
    pub(super) fn list_of_here(&self, user: &str, most: usize) -> Vec<CallSummary> {
        let mine = |live: &super::live::LiveCall| {
            live.phase() != Phase::Done && live.spec.user.user.as_str() == user
        };
        self.living_where(mine).into_iter().take(most).map(|live| live.summary()).collect()
    }

    /// Ends what lives here of a user that was removed, and forgets what ended.
    pub fn end_user(&self, user: &Name) {
        let roots: Vec<CallId> = self
            .roots()
            .iter()
            .filter(|root| root.user() == user)
            .map(|root| *root.key())
            .collect();
        for root in roots {
            self.end_tree(root, EndReason::Cancelled);
        }
        self.end_where(EndReason::Cancelled, |live| live.spec.user.user == *user);
        self.records().lock().forget_user(user.as_str());
        self.recent().lock().forget_user(user);
    }

    /// Takes the users' limits over, for calls that are made from now on.
    pub fn limit_users(&self, users: &Users) {
        for book in &self.inner.users {
            let quota = users.get(book.key().as_str()).map_or(0, |user| user.quotas.running);
            book.quota.store(quota as usize, Ordering::Release);
        }
    }
}
