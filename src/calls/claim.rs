//! Claims of the ids of calls that were asked for with a key or to be made detached: before such a
//! call is placed, the nodes that keep its record know who answers for it, so that a repeat of the
//! request finds it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Calls;
use super::inbound::from_reply;
use super::place::no_session;
use super::records::Stored;
use super::root::unplaced;
use super::roster::Wanted;
use super::spec::Spec;
use crate::clock;
use crate::errno::{CallError, Errno};
use crate::id::NodeId;
use crate::wire::calls::{CallReply, CallRequest, Phase};

/// How long it may take until nodes keep a claim, or until it is known what became of another one.
pub(super) const CLAIM_TIME: Duration = Duration::from_secs(3);
/// How long one of them may take.
const CANDIDATE_TIME: Duration = Duration::from_millis(900);
/// How long a node without a session waits for it to come back, to withdraw a claim.
const GIVE_IN: Duration = Duration::from_secs(600);
/// Pause between two questions whether a call was taken, at first and at most.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(160));

/// The claim of a call's id. When it is dropped before the call was made, the key is free for another
/// try.
pub(super) struct Claim<'a> {
    calls: &'a Calls,
    spec: Arc<Spec>,
    /// The session in which this node may take the call.
    pub session: u64,
    /// When the request came.
    pub requested_us: u64,
    /// The nodes that keep it, and those that may.
    pub kept_by: Vec<NodeId>,
    asked: Vec<NodeId>,
    /// Whether there is something to withdraw.
    pub armed: bool,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let root = self.calls.roots().get(&self.spec.call).map(|root| root.clone());
        if let Some(root) = root.filter(|root| root.requested_us == self.requested_us) {
            // Whoever asked went away, but the call is on its way, or has ended.
            root.accepted.store(true, Ordering::Release);
            return;
        }
        let mut stored = self.stored();
        stored.record.phase = Phase::Done;
        stored.record.result =
            Some(Err(CallError::new(Errno::Unavailable, "the call was not accepted")));
        let (calls, asked) = (self.calls.clone(), std::mem::take(&mut self.asked));
        if self.is_mine() {
            return calls.keep_record(stored, &asked);
        }
        self.calls.spawn(async move { calls.withdraw_later(stored, asked).await });
    }
}

impl Claim<'_> {
    /// Whether this node may still decide what becomes of it.
    pub(super) fn is_mine(&self) -> bool {
        self.calls.registry().own_session() == Some(self.session)
    }

    fn stored(&self) -> Stored {
        unplaced(&self.spec, self.session, self.requested_us).stored(self.calls)
    }
}

/// What a request with a key comes to.
pub(super) enum Claimed<'a> {
    /// The call is to be made.
    New(Claim<'a>),
    /// A request before this one made it: it was taken, or has ended.
    Known(Box<Stored>),
}

impl Calls {
    /// Claims the id of a call, or finds the call of an earlier request.
    pub(super) async fn claim(&self, spec: &Arc<Spec>) -> Result<Claimed<'_>, CallError> {
        let until = clock::now() + CLAIM_TIME;
        loop {
            let known = match self.try_claim(spec, until).await? {
                Claimed::New(claim) => return Ok(Claimed::New(claim)),
                Claimed::Known(known) => *known,
            };
            if let Some(known) = self.confirmed(known, until).await? {
                return Ok(Claimed::Known(Box::new(known)));
            }
            // That request was refused: the key is free as soon as all have heard so.
            tokio::time::sleep(ASK_AGAIN.0).await;
        }
    }

    /// Withdraws a claim when this node may decide that again. Once its session is over others may
    /// have taken it for a call that was lost with it: it stays one.
    async fn withdraw_later(&self, stored: Stored, asked: Vec<NodeId>) {
        let (session, until) = (stored.record.home_session, clock::now() + GIVE_IN);
        while clock::now() < until && !self.is_over(&stored.record) {
            if self.registry().own_session() == Some(session) {
                return self.keep_record(stored, &asked);
            }
            tokio::time::sleep(ASK_AGAIN.1).await;
        }
    }

    async fn try_claim(&self, spec: &Arc<Spec>, until: Instant) -> Result<Claimed<'_>, CallError> {
        let session = self.registry().own_session().ok_or_else(no_session)?;
        let (spec, requested_us, armed) = (spec.clone(), self.stamp_us(), true);
        let (kept_by, asked) = (Vec::new(), Vec::new());
        let mut claim = Claim { calls: self, spec, session, requested_us, kept_by, asked, armed };
        let stored = claim.stored();
        let Wanted { asked, keep: wanted } = self.look_at_roster();
        let candidates = self.ranked(stored.record.call, asked);
        let mut why = String::from("too few nodes have a live session");
        for node in candidates {
            if claim.kept_by.len() == wanted {
                break;
            }
            claim.asked.push(node);
            match self.claim_at(node, &stored, until).await {
                Ok(None) => claim.kept_by.push(node),
                Ok(Some(known)) => {
                    // Those that took it keep that one's record.
                    if !known.was_withdrawn() {
                        drop(claim);
                        return Ok(Claimed::Known(Box::new(known)));
                    }
                    why = format!("{node} heard that it was withdrawn");
                }
                Err(error) => why = error,
            }
        }
        if claim.kept_by.len() < wanted {
            let kept = claim.kept_by.len();
            let detail = format!(
                "{kept} of the {wanted} nodes that must keep the call's record do: {why}; try again"
            );
            return Err(CallError::new(Errno::Unavailable, detail));
        }
        Ok(Claimed::New(claim))
    }

    /// `None` when that node keeps the claim, or what it keeps instead.
    async fn claim_at(
        &self,
        node: NodeId,
        stored: &Stored,
        until: Instant,
    ) -> Result<Option<Stored>, String> {
        if node == self.me() {
            return Ok(self.records().lock().claim(stored.clone(), clock::now()));
        }
        let request = CallRequest::Claim(Box::new(stored.record.clone()));
        let deadline = until.min(clock::now() + CANDIDATE_TIME);
        match self.net().request(node, request, Bytes::new(), deadline).await {
            Ok((CallReply::Done, _)) => Ok(None),
            Ok((CallReply::Record(record), body)) => {
                let known = from_reply(*record, body);
                known.map(Some).ok_or_else(|| format!("{node} gave a record that is cut short"))
            }
            Ok((answer, _)) => Err(format!("{node} gave an unexpected answer: {answer:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Finds out whether the call of a record was taken: only the node that claimed its id knows,
    /// while its session lasts. `None` when it was not, and will not be.
    async fn confirmed(
        &self,
        mut known: Stored,
        until: Instant,
    ) -> Result<Option<Stored>, CallError> {
        let mut pause = ASK_AGAIN.0;
        loop {
            if known.was_withdrawn() {
                // Some may not have heard it yet.
                let candidates = self.ranked(known.record.call, self.look_at_roster().asked);
                self.keep_record(known, &candidates);
                return Ok(None);
            }
            known = self.settle(known).await;
            if !known.is_claim() {
                return Ok(Some(known));
            }
            if clock::now() >= until {
                let detail = format!(
                    "{} has an earlier request with the same key, and did not say whether it took \
                     it; try again",
                    known.record.home
                );
                return Err(CallError::new(Errno::Unavailable, detail));
            }
            if let Some(now) = self.ask_home(&known, until).await
                && now.request() == known.request()
            {
                known = now;
            }
            if known.is_claim() {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ASK_AGAIN.1);
            }
        }
    }

    /// Who is to keep a claim now.
    pub(super) fn look_at_roster(&self) -> Wanted {
        let keepers = self.registry().keepers();
        let mut nodes = self.registry().sessions();
        nodes.retain(|node, _| keepers.contains(node));
        let mut roster = self.inner.roster.lock();
        roster.see(nodes, clock::now());
        roster.wanted()
    }

    async fn ask_home(&self, known: &Stored, until: Instant) -> Option<Stored> {
        let (home, call) = (known.record.home, known.record.call);
        if home == self.me() {
            return self.lookup_here(call);
        }
        let (request, nothing) = (CallRequest::Lookup(call), Bytes::new());
        match self.net().request(home, request, nothing, until).await.ok()? {
            (CallReply::Record(record), body) => from_reply(*record, body),
            _ => None,
        }
    }
}
