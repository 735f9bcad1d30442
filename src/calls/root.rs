//! Root calls: a client's request, answered at once or by a record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::cell::{CallCell, Payload};
use super::place::no_session;
use super::records::Stored;
use super::spec::{Spec, Tree, now_us};
use super::{Calls, DEFAULT_DEADLINE, Finished, Invoke, MAX_DEADLINE};
use crate::errno::{CallError, Errno};
use crate::function::EndReason;
use crate::id::{CallId, Name, NodeId};
use crate::net::ServiceId;
use crate::scheduler::Needs;
use crate::wire::calls::{CallMessage, CallReply, CallRequest, Entry, Kept, Phase, Record, Times};
use crate::wire::decode;

/// A synchronous call that runs longer than this gets a record while it runs, so that other nodes
/// can answer for it; shorter ones get theirs at the end.
const RECORD_AFTER: Duration = Duration::from_millis(100);
/// Nodes that keep a root call's record.
pub const RECORD_COPIES: usize = 2;
/// How long a node may take to say that it keeps a record.
const CLAIM_TIME: Duration = Duration::from_secs(3);

/// A root call of this node.
pub struct Root {
    spec: Arc<Spec>,
    pub(super) cell: Arc<CallCell>,
    requested_us: u64,
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
        let spec = self.root_spec(request)?;
        if keyed && let Some(known) = self.claim(&spec).await? {
            return self.follow(known, spec.tree.deadline).await;
        }
        let call = spec.call;
        let root = self.begin_root(spec).await?;
        let mut guard = CancelOnDrop { calls: self, call, armed: true };
        let ended = match tokio::time::timeout(RECORD_AFTER, root.cell.wait()).await {
            Ok(ended) => ended,
            Err(_) => {
                self.keep_record(root.stored(self));
                root.cell.wait().await
            }
        };
        guard.armed = false;
        let output = self.payload(call, &ended.output, root.spec.tree.deadline).await?;
        Ok(Finished { call, node: ended.node, result: ended.result.clone(), output })
    }

    /// Makes a call; returns when the nodes that keep its record have it.
    pub async fn submit(&self, request: Invoke) -> Result<CallId, CallError> {
        let spec = self.root_spec(request)?;
        let call = spec.call;
        if self.claim(&spec).await?.is_some() {
            return Ok(call);
        }
        self.begin_root(spec).await?;
        Ok(call)
    }

    fn root_spec(&self, request: Invoke) -> Result<Arc<Spec>, CallError> {
        if !self.consensus().session_is_live() {
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
            None => CallId::random(),
            Some(key) => {
                let user = request.key.user.as_str();
                let since = self.consensus().users().get(user).map_or(0, |user| user.created_ms);
                keyed_id(user, since, key)
            }
        };
        let timeout = request.timeout.unwrap_or(DEFAULT_DEADLINE).min(MAX_DEADLINE);
        let trace = if request.trace == 0 { rand::random() } else { request.trace };
        let (root, home) = (call, self.me());
        let tree = Tree { root, home, deadline: Instant::now() + timeout, depth: 0, trace };
        let options = &function.entry.options;
        let pin = if request.pin.is_empty() { options.pin.clone() } else { request.pin };
        self.check_pin(&pin)?;
        let policy = request.policy.unwrap_or(options.policy);
        let needs = Needs { policy, pin, wasm: function.entry.wasm };
        let user = self.user(&request.key.user);
        let (args, input, start) = (request.args, request.input, Entry::Main);
        let share = self.budget().take(&user, input.len())?;
        Ok(Arc::new(Spec { call, function, user, start, args, input, share, tree, needs }))
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

    async fn begin_root(&self, spec: Arc<Spec>) -> Result<Arc<Root>, CallError> {
        let cell = CallCell::new(None);
        let root = Root { spec: spec.clone(), cell: cell.clone(), requested_us: now_us() };
        let root = Arc::new(root);
        self.roots().insert(spec.call, root.clone());
        if !self.originate(&spec, &cell)
            && let Err(error) = self.originate_elsewhere(&spec, &cell).await
        {
            self.roots().remove(&spec.call);
            return Err(error);
        }
        Ok(root)
    }

    /// A root call ended: its record goes to the nodes that keep it.
    pub(super) fn close_root(&self, call: CallId) {
        let root = self.roots().get(&call).map(|root| root.clone());
        if let Some(root) = root {
            // Filed first: somebody may ask at this moment.
            self.keep_record(root.stored(self));
            self.roots().remove(&call);
        }
    }

    fn keep_record(&self, stored: Stored) {
        // Here too: who heard of the end may ask before the others have the record.
        self.records().lock().keep(stored.clone(), Instant::now());
        for node in self.record_nodes(stored.record.call) {
            if node == self.me() {
                continue;
            }
            let message = CallMessage::Keep(Box::new(stored.record.clone()));
            let body = [stored.output.clone(), stored.log.clone()].concat();
            let sent = self.net().send(node, ServiceId::Calls, &message, body.into());
            if let Err(error) = sent {
                tracing::debug!(%error, "a record could not be sent to a node that keeps it");
            }
        }
    }

    /// The nodes that keep a call's record: those with a live session that rendezvous hashing
    /// puts first.
    pub(super) fn record_nodes(&self, call: CallId) -> Vec<NodeId> {
        let members = self.consensus().members();
        let mut live: Vec<_> =
            members.into_iter().filter(|m| m.session.is_some()).map(|m| m.node).collect();
        let rank =
            |node: &NodeId| std::cmp::Reverse(xxh3_64_with_seed(&call.0.to_le_bytes(), node.0));
        live.sort_by_key(|node| (rank(node), *node));
        live.truncate(RECORD_COPIES);
        live
    }

    /// Files a record with the nodes that keep it. An older one under the same id is the answer.
    async fn claim(&self, spec: &Arc<Spec>) -> Result<Option<Stored>, CallError> {
        let root = Root { spec: spec.clone(), cell: CallCell::new(None), requested_us: now_us() };
        let stored = root.stored(self);
        let deadline = Instant::now() + CLAIM_TIME;
        let (mut kept, mut why) = (0, String::from("no node has a live session"));
        for node in self.record_nodes(spec.call) {
            if node == self.me() {
                if let Some(known) = self.records().lock().claim(stored.clone(), Instant::now()) {
                    return Ok(Some(known));
                }
                kept += 1;
                continue;
            }
            let request = CallRequest::Claim(Box::new(stored.record.clone()));
            let reply =
                self.net().request(node, ServiceId::Calls, &request, Bytes::new(), deadline).await;
            match reply.map(|reply| (decode("call reply", &reply.head), reply.body)) {
                Ok((Ok(CallReply::Done), _)) => kept += 1,
                Ok((Ok(CallReply::Record(record)), body)) => {
                    return Ok(super::inbound::from_reply(*record, body));
                }
                Ok((answer, _)) => why = format!("{node} gave an unexpected answer: {answer:?}"),
                Err(error) => why = error.to_string(),
            }
        }
        if kept == 0 {
            let detail = format!("no node could keep the call's record: {why}");
            return Err(CallError::new(Errno::Unavailable, detail));
        }
        Ok(None)
    }

    /// Waits for the end of the call that an earlier request with the same key made.
    async fn follow(&self, known: Stored, deadline: Instant) -> Result<Finished, CallError> {
        let call = known.record.call;
        let record = self.wait(call, crate::function::job::left(deadline)).await?;
        let Some(result) = record.result.clone() else {
            return Err(CallError::new(Errno::TimedOut, "the call with this key still runs"));
        };
        let output = self.output(call).await?;
        Ok(Finished { call, node: record.node.unwrap_or(record.home), result, output })
    }
}

impl Root {
    /// Whose it is.
    pub(super) fn user(&self) -> &Name {
        &self.spec.user.user
    }

    /// The record of the call as it is now.
    pub(super) fn stored(&self, calls: &Calls) -> Stored {
        let spec = &self.spec;
        let ended = self.cell.ended();
        let phase = match (&ended, calls.live_call(spec.call).map(|live| live.phase())) {
            (Some(_), _) => Phase::Done,
            (None, Some(phase)) => phase,
            (None, None) => Phase::Running,
        };
        let (output, log) = match &ended {
            None => (Payload::Here(Bytes::new()), Payload::Here(Bytes::new())),
            Some(ended) => (
                calls.keep_large(spec.call, false, ended.output.clone()),
                calls.keep_large(spec.call, true, ended.log.clone()),
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
            node: ended.as_ref().map(|e| e.node).or_else(|| self.cell.node()),
            attempt: self.cell.attempt(),
            phase,
            result: ended.as_ref().map(|ended| ended.result.clone()),
            output,
            log,
            times: ended.as_ref().map_or_else(Times::default, |ended| ended.times),
            requested_us: self.requested_us,
            work: ended.map(|ended| ended.work.clone()).unwrap_or_default(),
            trace: spec.tree.trace,
        };
        Stored { record, output: output_bytes, log: log_bytes }
    }
}

/// The id of a call that a client named by a key: the same for the same user and key, so that
/// the nodes that keep its record see a repeat. A user of the same name that was made later is
/// another one.
fn keyed_id(user: &str, since_ms: u64, key: &str) -> CallId {
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
