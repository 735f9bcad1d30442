//! Asking about calls from any node: records, outputs, logs, cancelling, listing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Calls;
use super::cell::Payload;
use super::inbound::from_reply;
use super::kept::KeptKey;
use super::records::Stored;
use super::root::payload_of;
use super::spec::UserBook;
use crate::clock;
use crate::errno::{CallError, Errno};
use crate::function::EndReason;
use crate::id::{CallId, Name, NodeId};
use crate::net::RequestError;
use crate::wire::calls::{
    CallBulk, CallReply, CallRequest, CallSummary, INLINE_MAX, KeptAt, Phase, Record,
};
use crate::wire::function::Limits;

/// How long another node may take to answer about a call.
const ASK_TIME: Duration = Duration::from_secs(3);
/// How often a call of another node is looked at while its end is awaited, at first and at most.
const POLL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

impl Calls {
    /// The record of a call, from whichever node has it. `FAASM_ENOENT` when none does.
    pub async fn record(&self, call: CallId) -> Result<Record, CallError> {
        self.stored(call).await.map(|stored| stored.record)
    }

    /// Waits at most `wait` for the call's end; gives the record as it is then.
    pub async fn wait(&self, call: CallId, wait: Duration) -> Result<Record, CallError> {
        self.wait_stored(call, wait).await.map(|stored| stored.record)
    }

    /// The same, with what was kept beside the record.
    pub(super) async fn wait_stored(
        &self,
        call: CallId,
        wait: Duration,
    ) -> Result<Stored, CallError> {
        let until = clock::now() + wait.min(super::MAX_DEADLINE);
        let root = self.roots().get(&call).map(|root| root.clone());
        if let Some(root) = root {
            let _ = tokio::time::timeout_at(clock::at(until), root.cell.wait()).await;
        }
        let mut pause = POLL.0;
        loop {
            let stored = self.stored(call).await?;
            let now = clock::now();
            if stored.record.phase == Phase::Done || now >= until {
                return Ok(stored);
            }
            tokio::time::sleep(pause.min(until - now)).await;
            pause = (pause * 2).min(POLL.1);
        }
    }

    /// The output of a call that ended. A call that failed gives its error.
    pub async fn output(&self, call: CallId) -> Result<Bytes, CallError> {
        let stored = self.stored(call).await?;
        match &stored.record.result {
            None => Err(CallError::new(Errno::Again, "the call has not ended; wait for it")),
            Some(Err(error)) => Err(error.clone()),
            Some(Ok(_)) => {
                let payload = payload_of(&stored.record.output, &stored.output);
                let user = self.user_of(&stored)?;
                let until = clock::now() + Duration::from_secs(60);
                self.to_client(&user, (call, false), &payload, until).await
            }
        }
    }

    /// The log of a call; of one that still runs, what there is so far is not offered.
    pub async fn log(&self, call: CallId) -> Result<Bytes, CallError> {
        let stored = self.stored(call).await?;
        if stored.record.phase != Phase::Done {
            return Err(CallError::new(Errno::Again, "the call has not ended; wait for it"));
        }
        let payload = payload_of(&stored.record.log, &stored.log);
        let user = self.user_of(&stored)?;
        self.to_client(&user, (call, true), &payload, clock::now() + Duration::from_secs(60)).await
    }

    fn user_of(&self, stored: &Stored) -> Result<Arc<UserBook>, CallError> {
        let name = Name::new(&stored.record.user);
        let name = name.map_err(|error| CallError::new(Errno::NoEnt, error.to_string()))?;
        Ok(self.user(&name))
    }

    /// Cancels a call and all below it; fine if it has ended.
    pub async fn cancel(&self, call: CallId) -> Result<(), CallError> {
        if self.cancel_here(call) {
            return Ok(());
        }
        if let Some(record) = self.record(call).await.ok().filter(|r| r.phase == Phase::Done) {
            // Children that nobody awaited may live on.
            match record.parent {
                None => self.end_tree(call, EndReason::Cancelled),
                Some(_) => self.end_below(call, EndReason::Cancelled),
            }
            return Ok(());
        }
        for (_, reply) in self.ask_all(&CallRequest::Cancel(call)).await {
            if matches!(reply, Ok((CallReply::Done, _))) {
                return Ok(());
            }
        }
        // It may have ended meanwhile.
        let record = self.record(call).await?;
        if record.phase == Phase::Done {
            return Ok(());
        }
        let home = record.home;
        let detail = format!("{home}, which answers for the call, does not answer; try again");
        Err(CallError::new(Errno::Unavailable, detail))
    }

    /// The living calls of all nodes, at most `most`.
    pub async fn list(&self, most: usize) -> Vec<CallSummary> {
        let mut calls = self.list_here(most);
        let request = CallRequest::List(u32::try_from(most).unwrap_or(u32::MAX));
        for (_, reply) in self.ask_all(&request).await {
            if let Ok((CallReply::Calls(there), _)) = reply {
                calls.extend(there);
            }
        }
        calls.sort_by_key(|call| (call.since_us, call.call));
        calls.truncate(most);
        calls
    }

    /// What a call produced, from here or from the node that keeps it.
    pub(super) async fn payload(
        &self,
        call: CallId,
        payload: &Payload,
        deadline: Instant,
    ) -> Result<Bytes, CallError> {
        self.kept_bytes(call, false, payload, deadline).await
    }

    /// A call's output, or its log, for a client. Large ones count to what the user's calls hold here
    /// until it has read them, which may be never; small ones are bounded with the connections.
    pub(super) async fn to_client(
        &self,
        user: &Arc<UserBook>,
        (call, is_log): (CallId, bool),
        payload: &Payload,
        deadline: Instant,
    ) -> Result<Bytes, CallError> {
        let len = usize::try_from(payload.len()).unwrap_or(usize::MAX);
        if len <= INLINE_MAX {
            return self.kept_bytes(call, is_log, payload, deadline).await;
        }
        let share = self.budget().take(user, len).map_err(|error| {
            let detail = format!("{}; {call} has ended and can be asked for it", error.detail);
            CallError::new(error.code, detail)
        })?;
        Ok(share.around(self.kept_bytes(call, is_log, payload, deadline).await?))
    }

    async fn kept_bytes(
        &self,
        call: CallId,
        is_log: bool,
        payload: &Payload,
        deadline: Instant,
    ) -> Result<Bytes, CallError> {
        let KeptAt { node, len, attempt, .. } = match payload {
            Payload::Here(bytes) => return Ok(bytes.clone()),
            Payload::At(at) => *at,
        };
        if len > Limits::MAX_OUTPUT {
            return Err(CallError::new(Errno::TooBig, "the output is larger than allowed"));
        }
        let key = (call, attempt, is_log);
        let mut why = String::from("they were kept for the time configured, no longer");
        // A node that stopped has handed them over to one that keeps the record.
        for holder in [node].into_iter().chain(self.record_nodes(call)) {
            let here = self.kept().lock().get(key);
            let bytes = match holder == self.me() {
                true => here.ok_or_else(|| why.clone()),
                false => self.fetch_kept(holder, key, len, deadline).await,
            };
            match bytes {
                Ok(bytes) if bytes.len() as u64 == len => return Ok(bytes),
                Ok(_) => {}
                Err(error) if holder == node => why = error,
                Err(_) => {}
            }
        }
        let detail = format!("the {len} bytes kept by {node} cannot be had: {why}");
        Err(CallError::new(Errno::HostLost, detail))
    }

    async fn fetch_kept(
        &self,
        node: NodeId,
        (call, attempt, is_log): KeptKey,
        len: u64,
        deadline: Instant,
    ) -> Result<Bytes, String> {
        let head = match is_log {
            true => CallBulk::Log(call, attempt),
            false => CallBulk::Output(call, attempt),
        };
        let fetch = self.net().fetch(node, head, len, deadline);
        let late = || "it did not send them in time".to_owned();
        tokio::time::timeout_at(clock::at(deadline), fetch).await.map_err(|_| late())?
    }

    /// The record of a call with its bytes: from here, from the nodes that keep it, or, for a
    /// chained call, from whichever node made it.
    async fn stored(&self, call: CallId) -> Result<Stored, CallError> {
        let here = self.lookup_here(call);
        if let Some(stored) = &here
            && stored.has_ended()
        {
            return Ok(stored.clone());
        }
        let ours = |stored: &Stored| stored.record.home == self.me() && !stored.is_claim();
        let ask = !here.as_ref().is_some_and(|here| ours(here) && !here.was_withdrawn());
        let mut found: Vec<Stored> = here.into_iter().collect();
        let mut answered = Vec::new();
        if ask {
            for (node, reply) in self.ask_all(&CallRequest::Lookup(call)).await {
                let Ok((reply, body)) = reply else { continue };
                answered.push(node);
                if let CallReply::Record(record) = reply {
                    found.extend(from_reply(*record, body));
                }
            }
        }
        let best = furthest(found);
        Ok(self.settle(best.ok_or_else(|| self.not_found(call, &answered))?).await)
    }

    /// Why nobody knows a call: there is none, but only if the nodes that would keep its record are
    /// among those that answered.
    pub(super) fn not_found(&self, call: CallId, answered: &[NodeId]) -> CallError {
        if !self.registry().session_is_live() {
            return CallError::new(
                Errno::Unavailable,
                "this node has no session with a majority of the cluster, and may not find the call; \
                 ask another node, or try again",
            );
        }
        let is_silent = |node: &NodeId| *node != self.me() && !answered.contains(node);
        let Some(silent) = self.record_nodes(call).into_iter().find(is_silent) else {
            return unknown();
        };
        let detail = format!(
            "{silent}, which would keep the record of the call, does not answer; try again"
        );
        CallError::new(Errno::Unavailable, detail)
    }

    /// What this node itself knows of a call.
    pub(super) fn lookup_here(&self, call: CallId) -> Option<Stored> {
        let root = self.roots().get(&call).map(|root| root.clone());
        if let Some(root) = root {
            return Some(root.stored(self));
        }
        let live = self.live_call(call).filter(|live| live.spec.tree.depth > 0);
        if let Some(live) = live {
            return Some(self.running_child(&live));
        }
        if let Some(stored) = self.records().lock().get(call) {
            return Some(stored.clone());
        }
        let age = self.options().record_age;
        let recent = self.recent().lock().get(call, age, clock::now()).cloned();
        recent.map(|end| self.ended_child(end))
    }

    /// Cancels what this node answers for or runs. Whether it knew the call.
    pub(super) fn cancel_here(&self, call: CallId) -> bool {
        if self.roots().contains_key(&call) {
            self.end_tree(call, EndReason::Cancelled);
            return true;
        }
        if let Some(live) = self.live_call(call) {
            self.end_call(&live, EndReason::Cancelled);
            // Below children that ended, others may live on.
            match live.spec.tree.depth {
                0 if live.phase() == Phase::Done => self.end_tree(call, EndReason::Cancelled),
                0 => {}
                _ => self.end_below(call, EndReason::Cancelled),
            }
            return true;
        }
        let sent = self.outgoing().lock().sent_as(call);
        if sent.is_some() {
            self.cancel_branch(call, sent);
            self.end_below(call, EndReason::Cancelled);
        }
        sent.is_some()
    }

    /// The calls that live here.
    pub(super) fn list_here(&self, most: usize) -> Vec<CallSummary> {
        let alive = self.living_where(|live| live.phase() != Phase::Done);
        alive.iter().take(most).map(|live| live.summary()).collect()
    }

    pub(super) async fn ask_all(
        &self,
        request: &CallRequest,
    ) -> Vec<(NodeId, Result<(CallReply, Bytes), RequestError>)> {
        let deadline = clock::now() + ASK_TIME;
        let peers = self.net().peers().borrow().clone();
        let up = peers.iter().filter(|(_, status)| status.up.is_some()).map(|(node, _)| *node);
        let asks = up.map(|node| async move {
            (node, self.net().request(node, request.clone(), Bytes::new(), deadline).await)
        });
        futures_util::future::join_all(asks).await
    }
}

/// The error for a call that is not known, or not to this user.
fn unknown() -> CallError {
    let detail = "no node knows this call: wrong id, or its record was kept long enough";
    CallError::new(Errno::NoEnt, detail)
}

/// The record that says most. What is left of a request that was refused is no call, wherever its
/// claim is still kept.
fn furthest(mut found: Vec<Stored>) -> Option<Stored> {
    let withdrawn = found.iter().filter(|stored| stored.was_withdrawn());
    let withdrawn: Vec<_> = withdrawn.map(Stored::request).collect();
    // Unless others had to give it up before they heard so.
    found.retain(|stored| stored.has_ended() || !withdrawn.contains(&stored.request()));
    let rank = |stored: &Stored| match (stored.record.phase, stored.is_claim()) {
        (Phase::Queued, true) => 0,
        (Phase::Running, true) => 1,
        (Phase::Queued, false) => 2,
        (Phase::Running, false) => 3,
        (Phase::Done, _) => 4,
    };
    found.into_iter().reduce(|best, other| if rank(&other) > rank(&best) { other } else { best })
}
