//! What calls need of the rest of the node, as traits: whole clusters of calls also run in one
//! process, on a network and instances that the tests make up.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use crate::consensus::Consensus;
use crate::function::{Functions, Job, RankSpace, StateSpace};
use crate::id::{CallId, FunctionKey, Incarnation, Name, NodeId};
use crate::net::{Net, PeerTable, RequestError, SendError, ServiceId};
use crate::wire::calls::{CallBulk, CallMessage, CallReply, CallRequest};
use crate::wire::decode;
use crate::wire::function::FunctionEntry;

/// The way to other nodes.
pub trait Connections: Send + Sync {
    /// Who is up.
    fn peers(&self) -> watch::Receiver<Arc<PeerTable>>;
    /// Queues a message; never waits.
    fn send(&self, to: NodeId, message: &CallMessage, body: Bytes) -> Result<(), SendError>;
    /// Asks, and waits for the answer.
    fn request(
        &self,
        to: NodeId,
        request: CallRequest,
        body: Bytes,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<(CallReply, Bytes), RequestError>>;
    /// Sends a head and an input on a stream of their own.
    fn push(
        &self,
        to: NodeId,
        head: CallBulk,
        input: Bytes,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<(), PushError>>;
    /// Fetches `len` kept bytes.
    fn fetch(
        &self,
        from: NodeId,
        head: CallBulk,
        len: u64,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Bytes, String>>;
}

/// Why an input was not pushed, as far as is known.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// It did not arrive whole, and will not.
    #[error("{0}")]
    Unsent(String),
    /// It may have arrived, and be acted on.
    #[error("{0}")]
    Unsure(String),
}

/// What the cluster has agreed on.
pub trait Registry: Send + Sync {
    /// A function.
    fn function(&self, key: &FunctionKey) -> Option<Arc<FunctionEntry>>;
    /// Whether this node may start calls.
    fn session_is_live(&self) -> bool;
    /// The nodes with a live session, as far as this node has heard.
    fn sessions(&self) -> BTreeMap<NodeId, Incarnation>;
    /// The nodes that may keep records: those with a live session, but not those that drain, unless
    /// all do.
    fn keepers(&self) -> BTreeSet<NodeId> {
        self.sessions().into_keys().collect()
    }
    /// The log index that opened this node's session, while that is live.
    fn own_session(&self) -> Option<u64>;
    /// The log index that opened a node's session, as far as this node has heard.
    fn session_of(&self, node: NodeId) -> Option<u64>;
    /// Whether a node's session that this log index opened is over, as far as this node has heard.
    fn session_is_over(&self, node: NodeId, opened: u64) -> bool;
    /// Calls of a user that may live on a node at once; 0 means no limit of its own.
    fn running_quota(&self, _user: &Name) -> u32 {
        0
    }
    /// A call waits for the end of one of these.
    fn awaits(&self, _call: CallId, _children: Vec<CallId>) {}
    /// It does not any more; told at once, done when that is agreed on.
    fn resumes(&self, _call: CallId) -> BoxFuture<'static, ()> {
        Box::pin(ready(()))
    }
    /// Releases the locks of a call that has ended; `None` when it never asked for any.
    fn end_locks(&self, _call: CallId) -> Option<BoxFuture<'static, ()>> {
        None
    }
    /// When a user was made, in milliseconds since 1970; 0 for one that nobody made.
    fn user_since(&self, _user: &Name) -> u64 {
        0
    }
}

/// Where calls run.
pub trait Instances: Send + Sync {
    /// How many there can be at once.
    fn capacity(&self) -> usize;
    /// Runs one; `job.done` is called exactly once.
    fn run(&self, job: Job);
}

/// All of them.
pub struct Ports {
    /// The way to other nodes.
    pub connections: Arc<dyn Connections>,
    /// What the cluster has agreed on.
    pub registry: Arc<dyn Registry>,
    /// Where calls run.
    pub instances: Arc<dyn Instances>,
    /// The state for those that run here, if there is any.
    pub state: Option<Arc<dyn StateSpace>>,
    /// The places of ranks in their worlds, if there are any.
    pub ranks: Option<Arc<dyn RankSpace>>,
    /// Runs a task of this component.
    pub spawn: Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>,
    /// Draws ids.
    pub draw: Arc<dyn Fn() -> u128 + Send + Sync>,
}

impl Ports {
    /// Those of a node; tasks run on the current tokio runtime.
    pub fn of_node(
        net: Net,
        consensus: Consensus,
        functions: Functions,
        state: Arc<dyn StateSpace>,
        ranks: Arc<dyn RankSpace>,
    ) -> Self {
        let control = tokio::runtime::Handle::current();
        Self {
            connections: Arc::new(net),
            registry: Arc::new(consensus),
            instances: Arc::new(functions),
            state: Some(state),
            ranks: Some(ranks),
            spawn: Arc::new(move |task| drop(control.spawn(task))),
            draw: Arc::new(rand::random),
        }
    }
}

impl Connections for Net {
    fn peers(&self) -> watch::Receiver<Arc<PeerTable>> {
        Net::peers(self)
    }

    fn send(&self, to: NodeId, message: &CallMessage, body: Bytes) -> Result<(), SendError> {
        Net::send(self, to, ServiceId::Calls, message, body)
    }

    fn request(
        &self,
        to: NodeId,
        request: CallRequest,
        body: Bytes,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<(CallReply, Bytes), RequestError>> {
        Box::pin(async move {
            let reply = Net::request(self, to, ServiceId::Calls, &request, body, deadline);
            let reply = reply.await?;
            let head = decode("call reply", &reply.head);
            let head = head.map_err(|error| RequestError::Bad(to, error.to_string()))?;
            Ok((head, reply.body))
        })
    }

    fn push(
        &self,
        to: NodeId,
        head: CallBulk,
        input: Bytes,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<(), PushError>> {
        Box::pin(async move {
            let unsent = PushError::Unsent;
            let bulk = self.bulk(to, ServiceId::Calls, &head, deadline).await;
            let mut stream = bulk.map_err(|error| unsent(error.to_string()))?.send;
            let late = || "the input could not be sent before the call's deadline".to_owned();
            let write = async {
                stream.write_chunk(input).await.map_err(|error| error.to_string())?;
                stream.finish().map_err(|error| error.to_string())
            };
            let written = tokio::time::timeout_at(deadline.into(), write).await;
            written.map_err(|_| unsent(late()))?.map_err(unsent)?;
            // It has arrived then: this node may close the connection.
            let arrived = tokio::time::timeout_at(deadline.into(), stream.stopped()).await;
            let arrived = arrived.map_err(|_| PushError::Unsure(late()))?;
            arrived.map(drop).map_err(|error| PushError::Unsure(error.to_string()))
        })
    }

    fn fetch(
        &self,
        from: NodeId,
        head: CallBulk,
        len: u64,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Bytes, String>> {
        Box::pin(async move {
            let bulk = self.bulk(from, ServiceId::Calls, &head, deadline).await;
            let mut stream = bulk.map_err(|error| error.to_string())?.recv;
            let mut told = [0; 8];
            let there = stream.read_exact(&mut told).await;
            there.map_err(|_| "that node has them no more".to_owned())?;
            if u64::from_le_bytes(told) != len {
                return Err("that node has other bytes under this call".to_owned());
            }
            let most = usize::try_from(len).unwrap_or(usize::MAX);
            let bytes = stream.read_to_end(most).await.map_err(|error| error.to_string())?;
            let whole = bytes.len() as u64 == len;
            whole.then(|| bytes.into()).ok_or_else(|| "they did not arrive whole".to_owned())
        })
    }
}

impl Registry for Consensus {
    fn function(&self, key: &FunctionKey) -> Option<Arc<FunctionEntry>> {
        Consensus::function(self, key)
    }

    fn session_is_live(&self) -> bool {
        Consensus::session_is_live(self)
    }

    fn sessions(&self) -> BTreeMap<NodeId, Incarnation> {
        self.in_service().into_iter().map(|(node, life, _)| (node, life)).collect()
    }

    fn keepers(&self) -> BTreeSet<NodeId> {
        let live = self.in_service();
        let stay: BTreeSet<_> =
            live.iter().filter(|(_, _, drains)| !drains).map(|(node, ..)| *node).collect();
        if stay.is_empty() { live.into_iter().map(|(node, ..)| node).collect() } else { stay }
    }

    fn own_session(&self) -> Option<u64> {
        self.session().filter(|_| self.session_is_live())
    }

    fn session_of(&self, node: NodeId) -> Option<u64> {
        Self::session_of(self, node)
    }

    fn session_is_over(&self, node: NodeId, opened: u64) -> bool {
        self.session_of(node) != Some(opened) && self.status().applied >= opened
    }

    fn running_quota(&self, user: &Name) -> u32 {
        self.users().get(user.as_str()).map_or(0, |user| user.quotas.running)
    }

    fn awaits(&self, call: CallId, children: Vec<CallId>) {
        Consensus::awaits(self, call, children);
    }

    fn resumes(&self, call: CallId) -> BoxFuture<'static, ()> {
        Consensus::resumes(self, call)
    }

    fn end_locks(&self, call: CallId) -> Option<BoxFuture<'static, ()>> {
        Consensus::end_call(self, call)
    }

    fn user_since(&self, user: &Name) -> u64 {
        self.users().get(user.as_str()).map_or(0, |user| user.created_ms)
    }
}

impl Instances for Functions {
    fn capacity(&self) -> usize {
        Functions::capacity(self)
    }

    fn run(&self, job: Job) {
        Functions::run(self, job);
    }
}
