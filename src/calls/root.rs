//! Root calls: a client's request, answered at once or by a record.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::cell::{CallCell, Ended, Payload};
use super::claim::{CLAIM_TIME, Claim, Claimed};
use super::gang::output::JobOutput;
use super::gang::{Gang, JobRun};
use super::place::no_session;
use super::records::Stored;
use super::spec::{Function, Role, Spec, Tree, UserBook};
use super::{Calls, DEFAULT_DEADLINE, Finished, Invoke, MAX_DEADLINE};
use crate::clock;
use crate::errno::{CallError, Errno};
use crate::function::EndReason;
use crate::id::{CallId, Name, NodeId};
use crate::scheduler::Needs;
use crate::wire::calls::{Entry, Kept, Phase, Record, Times};

/// A synchronous call that runs longer than this gets a record while it runs, so that other nodes
/// can answer for it; shorter ones get theirs at the end.
const RECORD_AFTER: Duration = Duration::from_millis(100);
/// Nodes that keep a root call's record.
pub const RECORD_COPIES: usize = 2;
/// Ends of calls so young may not have reached a node that was not connected, and so many of them
/// are sent again.
const MISSED: Duration = Duration::from_secs(30);
const MOST_MISSED: usize = 10_000;

/// A root call of this node.
pub struct Root {
    pub(super) spec: Arc<Spec>,
    pub(super) cell: Arc<CallCell>,
    pub(super) requested_us: u64,
    /// When its record was last filed while it runs.
    filed: Mutex<Option<Instant>>,
    /// The session in which this node answers for it.
    session: u64,
    /// The nodes that keep its claim, if it was claimed.
    claimed_by: Option<Vec<NodeId>>,
    /// Whether it was taken; until then its request may still be refused.
    pub(super) accepted: AtomicBool,
    /// Whether its end is being agreed on.
    pub(super) ending: AtomicBool,
}

/// Cancels the tree of a synchronous call whose client went away.
struct CancelOnDrop<'a> {
    calls: &'a Calls,
    call: CallId,
    armed: bool,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.calls.end_tree(self.call, EndReason::Cancelled);
        }
    }
}

impl Calls {
    /// Makes a call and waits for its end. Dropping the future cancels the tree. `Err` when the
    /// call was not accepted (no such function, no room, no quorum).
    pub async fn invoke(&self, request: Invoke) -> Result<Finished, CallError> {
        let keyed = request.idempotency.is_some();
        let entering = self.enters();
        let spec = self.root_spec(request)?;
        let mut claim = None;
        if keyed {
            match self.claim(&spec).await? {
                Claimed::New(new) => claim = Some(new),
                Claimed::Known(known) => {
                    drop(entering);
                    return self.follow(*known, &spec).await;
                }
            }
        }
        let call = spec.call;
        let mut guard = CancelOnDrop { calls: self, call, armed: true };
        let begun = self.begin_root(spec, claim).await;
        let root = begun.inspect_err(|_| guard.armed = false)?;
        drop(entering);
        let ended = match tokio::time::timeout(RECORD_AFTER, root.cell.wait()).await {
            Ok(ended) => ended,
            Err(_) => {
                self.file(&root);
                root.cell.wait().await
            }
        };
        guard.armed = false;
        let (user, until) = (&root.spec.user, root.spec.tree.deadline);
        let output = self.to_client(user, (call, false), &ended.output, until).await?;
        Ok(Finished { call, node: ended.node, result: ended.result.clone(), output })
    }

    /// Makes a call; returns when the nodes that keep its record have it.
    pub async fn submit(&self, request: Invoke) -> Result<CallId, CallError> {
        let _entering = self.enters();
        let spec = self.root_spec(request)?;
        let call = spec.call;
        let claim = match self.claim(&spec).await? {
            Claimed::New(claim) => claim,
            Claimed::Known(_) => return Ok(call),
        };
        let root = self.begin_root(spec, Some(claim)).await?;
        *root.filed.lock() = Some(clock::now());
        Ok(call)
    }

    pub(super) fn root_spec(&self, request: Invoke) -> Result<Arc<Spec>, CallError> {
        if !self.registry().session_is_live() {
            return Err(no_session());
        }
        if !self.scheduler().accepting() {
            return Err(CallError::new(
                Errno::Unavailable,
                "this node is stopping; ask another one",
            ));
        }
        let function = self.function(&request.key)?;
        let call = match &request.idempotency {
            None => CallId(self.draw()),
            Some(key) => {
                let user = &request.key.user;
                keyed_id(user.as_str(), self.registry().user_since(user), key)
            }
        };
        let timeout = request.timeout.unwrap_or(DEFAULT_DEADLINE).min(MAX_DEADLINE);
        let trace = if request.trace == 0 { self.draw() } else { request.trace };
        let (root, home) = (call, self.me());
        let tree = Tree { root, home, deadline: clock::now() + timeout, depth: 0, trace };
        let options = &function.entry.options;
        let pin = if request.pin.is_empty() { options.pin.clone() } else { request.pin };
        self.check_pin(&pin)?;
        let policy = request.policy.unwrap_or(options.policy);
        let needs = Needs { policy, pin, wasm: function.entry.wasm };
        let user = self.user(&request.key.user);
        let (args, input, start) = (request.args, request.input, Entry::Main);
        let share = self.budget().take(&user, input.len())?;
        let role = match request.job {
            None => Role::Plain,
            Some(gang) => self.job_role(gang, &function, &user)?,
        };
        let above = Arc::default();
        let spec =
            Spec { call, function, user, start, args, input, share, tree, above, needs, role };
        Ok(Arc::new(spec))
    }

    /// What makes a call a job of these ranks.
    pub(super) fn job_role(
        &self,
        gang: Gang,
        function: &Function,
        user: &Arc<UserBook>,
    ) -> Result<Role, CallError> {
        gang.check().map_err(|why| CallError::new(Errno::Inval, why))?;
        let hosts: Vec<_> = gang.hosts.iter().map(|host| host.node).collect();
        self.check_pin(&hosts)?;
        let (budget, log) = (self.budget().clone(), function.entry.limits.rank_log());
        let output = JobOutput::new(gang.tag_output, gang.ranks, log, budget, user.clone());
        Ok(Role::Job(JobRun::new(gang, output)))
    }

    fn check_pin(&self, pin: &[NodeId]) -> Result<(), CallError> {
        let peers = self.net().peers().borrow().clone();
        let is_up = |node: &NodeId| {
            *node == self.me() || peers.get(node).is_some_and(|status| status.up.is_some())
        };
        if pin.is_empty() || pin.iter().any(is_up) {
            return Ok(());
        }
        let named = pin.iter().map(NodeId::to_string).collect::<Vec<_>>().join(", ");
        let detail = format!("none of the nodes the call is pinned to is up: {named}");
        Err(CallError::new(Errno::Unavailable, detail))
    }

    pub(super) async fn begin_root(
        &self,
        spec: Arc<Spec>,
        claim: Option<Claim<'_>>,
    ) -> Result<Arc<Root>, CallError> {
        let cell = CallCell::new(None);
        let session = self.registry().own_session().ok_or_else(no_session)?;
        let mut root = Root::new(spec.clone(), cell.clone(), session, self.stamp_us());
        if let Some(claim) = &claim {
            if !claim.is_mine() {
                return Err(EndReason::SessionLapsed.error());
            }
            root.requested_us = claim.requested_us;
            root.claimed_by = Some(claim.kept_by.clone());
        }
        let root = Arc::new(root);
        self.roots().insert(spec.call, root.clone());
        if !self.originate(&spec, &cell)
            && let Err(error) = self.originate_elsewhere(&spec, &cell).await
        {
            self.roots().remove(&spec.call);
            return Err(self.queue_is_full(&spec.user).unwrap_or(error));
        }
        root.accepted.store(true, Ordering::Release);
        if let Some(mut claim) = claim {
            claim.armed = false;
        }
        Ok(root)
    }

    /// The root of this cell, if its id was claimed.
    pub(super) fn claimed_root(&self, call: CallId, cell: &Arc<CallCell>) -> Option<Arc<Root>> {
        let root = self.roots().get(&call).map(|root| root.clone());
        root.filter(|root| root.claimed_by.is_some() && Arc::ptr_eq(&root.cell, cell))
    }

    /// Whether this node still decides how a root call ends.
    pub(super) fn is_home_of(&self, root: &Root) -> bool {
        self.registry().own_session() == Some(root.session)
    }

    /// How a root call ended, to be told: others take a call for lost once the session is over in
    /// which its home answered for it, so that from then on that is how it ended.
    pub(super) fn root_end(&self, call: CallId, ended: Ended) -> Ended {
        let session = self.roots().get(&call).map(|root| root.session);
        if session.is_none() || session == self.registry().own_session() {
            return ended;
        }
        Ended::unstarted(self.me(), EndReason::SessionLapsed.error(), ended.times.accepted_us)
    }

    /// This node answers for its calls no more: they have ended, for all who ask.
    pub(super) fn end_roots(&self, reason: EndReason) {
        let mut roots: Vec<_> = self.roots().iter().map(|root| root.clone()).collect();
        // A simulated run is the same each time.
        roots.sort_unstable_by_key(|root| root.spec.call);
        for root in roots {
            self.end_tree(root.spec.call, reason);
            self.unstarted(&root.spec, &root.cell, reason.error());
        }
    }

    /// A root call ended: its record goes to the nodes that keep it.
    pub(super) fn close_root(&self, call: CallId) {
        let root = self.roots().get(&call).map(|root| root.clone());
        if let Some(root) = root {
            // Filed first: somebody may ask at this moment.
            self.keep_record(root.stored(self), root.claimed_by.as_deref().unwrap_or_default());
            self.roots().remove(&call);
        }
    }

    /// Files the record of a call that runs.
    pub(super) fn file(&self, root: &Root) {
        *root.filed.lock() = Some(clock::now());
        self.keep_record(root.stored(self), &[]);
    }

    /// Records of calls that run for long are filed again before they are too old to be kept.
    pub(super) fn refresh_records(&self, now: Instant) {
        let age = self.options().record_age / 3;
        let is_old = |at: Instant| now.saturating_duration_since(at) >= age;
        let old = self.roots().iter().filter(|root| root.filed.lock().is_some_and(is_old));
        let mut old: Vec<_> = old.map(|root| root.clone()).collect();
        old.sort_unstable_by_key(|root| root.spec.call);
        old.into_iter().for_each(|root| self.file(&root));
    }

    /// A node is connected anew: what it should keep and may have missed is sent again.
    pub(super) fn file_again(&self, node: NodeId) {
        let since = clock::now().checked_sub(MISSED);
        let recent = self.records().lock().since(since, MOST_MISSED);
        for stored in recent {
            let is_mine = stored.record.home == self.me();
            if is_mine && self.record_nodes(stored.record.call).contains(&node) {
                self.send_record(node, &stored);
            }
        }
    }

    /// Files a record here, with the nodes that keep it, and with `others`.
    pub(super) fn keep_record(&self, stored: Stored, others: &[NodeId]) {
        // Here too: who heard of the end may ask before the others have the record.
        self.keep_here(stored.clone());
        let mut nodes = self.record_nodes(stored.record.call);
        let more = others.iter().filter(|node| !nodes.contains(node)).copied();
        nodes.extend(more.collect::<Vec<_>>());
        for node in nodes.into_iter().filter(|node| *node != self.me()) {
            self.send_record(node, &stored);
        }
    }

    /// Keeps a record here.
    pub(super) fn keep_here(&self, stored: Stored) {
        let over = |record: &Record| self.is_over(record);
        self.records().lock().keep(stored, over, clock::now());
    }

    /// Whether the session is over in which a record's home answered for the call.
    pub(super) fn is_over(&self, record: &Record) -> bool {
        self.registry().session_is_over(record.home, record.home_session)
    }

    /// The nodes that keep a call's record: those with a live session that rendezvous hashing
    /// puts first.
    pub(super) fn record_nodes(&self, call: CallId) -> Vec<NodeId> {
        self.ranked(call, RECORD_COPIES)
    }

    /// The first so many by hashing.
    pub(super) fn ranked(&self, call: CallId, most: usize) -> Vec<NodeId> {
        let mut nodes = rank(call, self.registry().keepers());
        nodes.truncate(most);
        nodes
    }

    /// Waits for the end of the call that an earlier request with the same key made.
    async fn follow(&self, known: Stored, spec: &Spec) -> Result<Finished, CallError> {
        let call = known.record.call;
        let stored = self.wait_stored(call, clock::left(spec.tree.deadline)).await?;
        let record = &stored.record;
        let Some(result) = record.result.clone() else {
            return Err(CallError::new(Errno::TimedOut, "the call with this key still runs"));
        };
        let output = match &result {
            Ok(_) => {
                let payload = payload_of(&record.output, &stored.output);
                let until = clock::now() + CLAIM_TIME;
                self.to_client(&spec.user, (call, false), &payload, until).await?
            }
            Err(_) => Bytes::new(),
        };
        Ok(Finished { call, node: record.node.unwrap_or(record.home), result, output })
    }
}

/// A root call that was not placed yet.
pub(super) fn unplaced(spec: &Arc<Spec>, session: u64, requested_us: u64) -> Root {
    Root::new(spec.clone(), CallCell::new(None), session, requested_us)
}

impl Root {
    fn new(spec: Arc<Spec>, cell: Arc<CallCell>, session: u64, requested_us: u64) -> Self {
        let (filed, claimed_by) = (Mutex::default(), None);
        let (accepted, ending) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { spec, cell, requested_us, filed, session, claimed_by, accepted, ending }
    }

    /// Whose it is.
    pub(super) fn user(&self) -> &Name {
        &self.spec.user.user
    }

    /// Whether other nodes keep a record of it.
    pub(super) fn is_filed(&self) -> bool {
        self.filed.lock().is_some()
    }

    /// The record of the call as it is now.
    pub(super) fn stored(&self, calls: &Calls) -> Stored {
        self.stored_as(calls, self.cell.ended().as_deref())
    }

    /// The same with this end, or none.
    pub(super) fn stored_as(&self, calls: &Calls, ended: Option<&Ended>) -> Stored {
        let spec = &self.spec;
        // A node that was only asked may not have taken it.
        let node = || self.cell.node().filter(|_| self.accepted.load(Ordering::Acquire));
        let phase = match (ended, calls.live_call(spec.call).map(|live| live.phase())) {
            (Some(_), _) => Phase::Done,
            (None, Some(Phase::Queued)) => Phase::Queued,
            // While its end is being agreed on, too.
            (None, _) => Phase::Running,
        };
        let attempt = self.cell.attempt();
        let (output, log) = match ended {
            None => (Payload::Here(Bytes::new()), Payload::Here(Bytes::new())),
            Some(ended) => (
                calls.keep_large((spec.call, attempt, false), ended.output.clone()),
                calls.keep_large((spec.call, attempt, true), ended.log.clone()),
            ),
        };
        let ((output, output_bytes), (log, log_bytes)) = (output.to_wire(), log.to_wire());
        let record = Record {
            call: spec.call,
            user: spec.function.key.user.to_string(),
            name: spec.function.key.name.to_string(),
            parent: None,
            home: calls.me(),
            home_incarnation: calls.incarnation(),
            home_session: self.session,
            node: ended.map(|ended| ended.node).or_else(node),
            attempt,
            phase,
            result: ended.map(|ended| ended.result.clone()),
            output,
            log,
            times: ended.map_or_else(Times::default, |ended| ended.times),
            requested_us: self.requested_us,
            work: ended.map(|ended| ended.work.clone()).unwrap_or_default(),
            trace: spec.tree.trace,
            job: spec.role.job().map(|run| run.record()),
        };
        Stored { record, output: output_bytes, log: log_bytes }
    }
}

/// Those of `nodes` that keep a call's record.
pub(super) fn rank_nodes(call: CallId, nodes: impl IntoIterator<Item = NodeId>) -> Vec<NodeId> {
    let mut nodes = rank(call, nodes);
    nodes.truncate(RECORD_COPIES);
    nodes
}

fn rank(call: CallId, nodes: impl IntoIterator<Item = NodeId>) -> Vec<NodeId> {
    let mut nodes: Vec<_> = nodes.into_iter().collect();
    let rank = |node: &NodeId| std::cmp::Reverse(xxh3_64_with_seed(&call.0.to_le_bytes(), node.0));
    nodes.sort_by_key(|node| (rank(node), *node));
    nodes
}

/// The id of a call that a client named by a key: the same for the same user and key, so that
/// the nodes that keep its record see a repeat. A user of the same name that was made later is
/// another one.
pub(super) fn keyed_id(user: &str, since_ms: u64, key: &str) -> CallId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(user.as_bytes()).update(b"\0");
    hasher.update(&since_ms.to_le_bytes()).update(key.as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    CallId(u128::from_le_bytes(id))
}

/// Bytes of a record that were not kept inline.
pub(super) fn payload_of(kept: &Kept, inline: &Bytes) -> Payload {
    match *kept {
        Kept::Inline(_) => Payload::Here(inline.clone()),
        Kept::At(at) => Payload::At(at),
    }
}
