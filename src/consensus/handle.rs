//! The handle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use parking_lot::Mutex;
use ractor::ActorRef;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use super::actor::Event;
use super::inbox::{Inbox, Input};
use super::members::Members;
use super::proposals::Full;
use super::shared::Shared;
use super::transport::Transport;
use super::users::Users;
use super::{Applied, ConsensusSetup, MemberView, ProposeError, RaftStatus, StartError, image};
use crate::id::{BlobHash, FunctionKey, Incarnation, NodeId};
use crate::wire::consensus::{Answer, Command, Request, Response, SessionId};
use crate::wire::function::FunctionEntry;
use crate::wire::members::{KeyHash, Member};

/// How long a node that is behind holds its answer back; the question is then put again, so that
/// a connection that hangs does not decide.
const ASK_FOR: Duration = Duration::from_millis(500);
/// Pause before a node that did not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Handle of the component. Cheap to clone.
#[derive(Clone)]
pub struct Consensus {
    pub(super) inner: Arc<Inner>,
}

/// What all handles of one component share.
pub(super) struct Inner {
    /// This node.
    pub me: NodeId,
    /// The members until the cluster is founded.
    pub configured: Vec<Member>,
    /// The local copy of the state.
    pub shared: Arc<Shared>,
    /// Where the driver is told things.
    pub inbox: Inbox,
    /// The other nodes.
    pub transport: Arc<dyn Transport>,
    /// The driver's supervisor.
    pub actor: ActorRef<Event>,
    /// Its end; taken by the first that waits for it.
    pub ended: Mutex<Option<JoinHandle<()>>>,
}

impl Consensus {
    /// Reads the log, registers with the connections and starts. Returns before there is a leader;
    /// from then on this node votes, follows, and keeps its session open.
    pub async fn start(setup: ConsensusSetup) -> Result<Self, StartError> {
        setup.start().await
    }

    /// The handle of a running component.
    pub(super) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// Proposes a command, through the leader wherever it is, and waits until it is applied
    /// *here*. Matched by request id: retried after a change of leader without being done twice.
    /// A command too large for the log is answered with [`Response::Refused`].
    pub async fn propose(
        &self,
        command: Command,
        deadline: Instant,
    ) -> Result<Applied, ProposeError> {
        let bytes = crate::wire::encode(&command).len();
        if bytes > image::MAX_ENTRY {
            let most = image::MAX_ENTRY;
            let why = format!("the change has {bytes} bytes, and {most} are allowed");
            let index = self.status().applied;
            return Ok(Applied { index, response: Response::Refused(why) });
        }
        let (reply, answer) = oneshot::channel();
        self.put(Input::Propose(command, bytes, deadline, reply))?;
        self.outcome(answer, deadline).await
    }

    /// Waits until this node has applied all that was committed when it was asked (ReadIndex).
    /// Gives the index that is applied then.
    pub async fn read_barrier(&self, deadline: Instant) -> Result<u64, ProposeError> {
        let (reply, answer) = oneshot::channel();
        self.put(Input::Read(deadline, reply))?;
        self.outcome(answer, deadline).await
    }

    /// Whether the driver may be asked for something.
    pub(super) fn may_ask(&self) -> Result<(), ProposeError> {
        if self.inner.shared.stopping() {
            return Err(ProposeError::Stopping);
        }
        match self.inner.shared.failure() {
            Some(why) => {
                Err(ProposeError::NoQuorum(format!("consensus is down on this node: {why}")))
            }
            None => Ok(()),
        }
    }

    fn put(&self, input: Input) -> Result<(), ProposeError> {
        self.may_ask()?;
        if self.inner.inbox.put(input) { Ok(()) } else { Err(ProposeError::Full) }
    }

    async fn outcome<T>(
        &self,
        answer: oneshot::Receiver<Result<T, Full>>,
        deadline: Instant,
    ) -> Result<T, ProposeError> {
        match timeout_at(deadline.into(), answer).await {
            Ok(Ok(Ok(done))) => Ok(done),
            Ok(Ok(Err(Full))) => Err(ProposeError::Full),
            Ok(Err(_)) if self.inner.shared.stopping() => Err(ProposeError::Stopping),
            Ok(Err(_)) | Err(_) => Err(ProposeError::NoQuorum(format!(
                "no quorum: {}; nothing can be changed until a majority of the voters is back",
                self.situation()
            ))),
        }
    }

    /// What is known of the leader and the voters, for people.
    fn situation(&self) -> String {
        let leader = match self.status().leader {
            _ if self.inner.shared.failure().is_some() => "consensus is down on this node".into(),
            Some(leader) => format!("{leader} leads, but did not confirm in time"),
            None => "no leader is known".into(),
        };
        let voter = |node: NodeId| match self.inner.transport.why_down(node) {
            _ if node == self.inner.me => format!("{node} is this node"),
            None => format!("{node} is reachable"),
            Some(why) => format!("{node} is not reachable ({why})"),
        };
        let voters: Vec<String> = self.status().voters.into_iter().map(voter).collect();
        format!("{leader}; of the voters {}", voters.join(", "))
    }

    /// Waits until every node with a live session has applied `index`, or its session ended. To be
    /// called when `index` is applied here.
    pub async fn wait_applied_everywhere(
        &self,
        index: u64,
        deadline: Instant,
    ) -> Result<(), ProposeError> {
        let mut applied = self.applied();
        let here = applied.wait_for(|now| *now >= index);
        match timeout_at(deadline.into(), here).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Err(ProposeError::Stopping),
            Err(_) => return Err(self.behind(self.inner.me, index, "it is this node")),
        }
        let sessions = self.inner.shared.sessions();
        let others = sessions.values().filter(|session| session.id.node != self.inner.me);
        try_join_all(others.map(|other| self.wait_for(other.id, index, deadline))).await?;
        Ok(())
    }

    async fn wait_for(
        &self,
        session: SessionId,
        index: u64,
        deadline: Instant,
    ) -> Result<(), ProposeError> {
        tokio::select! {
            () = self.ended(session) => Ok(()),
            answer = self.ask(session.node, index, deadline) => answer,
        }
    }

    /// Returns when this session is not open any more, as this node knows.
    async fn ended(&self, session: SessionId) {
        let mut applied = self.applied();
        loop {
            applied.mark_unchanged();
            let sessions = self.inner.shared.sessions();
            if sessions.get(&session.node).is_none_or(|now| now.id != session) {
                return;
            }
            if applied.changed().await.is_err() {
                return;
            }
        }
    }

    async fn ask(&self, node: NodeId, index: u64, deadline: Instant) -> Result<(), ProposeError> {
        loop {
            let until = deadline.min(Instant::now() + 2 * ASK_FOR);
            let wait_ms = u64::try_from(ASK_FOR.as_millis()).unwrap_or(u64::MAX);
            let request = Request::WaitApplied { index, wait_ms };
            let why = match self.inner.transport.request(node, request, until).await {
                Ok(Answer::Applied(applied)) if applied >= index => return Ok(()),
                Ok(Answer::Applied(applied)) => format!("it is at {applied}"),
                Err(why) => why,
            };
            if Instant::now() + ASK_AGAIN >= deadline {
                return Err(self.behind(node, index, &why));
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    fn behind(&self, node: NodeId, index: u64, why: &str) -> ProposeError {
        let what = format!("{node} has not applied log index {index} in time ({why})");
        ProposeError::NoQuorum(format!("{what}; the change itself is made"))
    }

    /// A function, from the local copy. Nanoseconds: on the way of every call.
    pub fn function(&self, key: &FunctionKey) -> Option<Arc<FunctionEntry>> {
        self.inner.shared.function(key)
    }

    /// All functions (of one user), in order.
    pub fn functions(&self, user: Option<&str>) -> Vec<(FunctionKey, Arc<FunctionEntry>)> {
        self.inner.shared.functions(user)
    }

    /// The artifact hash recorded for a module and an engine.
    pub fn artifact(&self, wasm: &BlobHash, engine: u64) -> Option<BlobHash> {
        self.inner.shared.artifact(wasm, engine)
    }

    /// The members, with their sessions; before the cluster is founded those of the
    /// configuration.
    pub fn members(&self) -> Vec<MemberView> {
        let sessions = self.inner.shared.sessions();
        let members = self.membership();
        let status = self.status();
        let view = |member: &Member| {
            let session = sessions.get(&member.node);
            MemberView {
                node: member.node,
                voter: status.voters.contains(&member.node),
                leader: status.leader == Some(member.node),
                caught_up: status.caught_up.as_ref().map(|all| all.contains(&member.node)),
                quic: member.quic.clone(),
                http: session.map_or_else(|| member.http.clone(), |s| s.http.clone()),
                keys: member.keys.clone(),
                draining: member.draining,
                session: session.map(|session| session.id.incarnation),
            }
        };
        if members.founded() {
            members.all().values().map(view).collect()
        } else {
            self.inner.configured.iter().map(view).collect()
        }
    }

    /// The members with a live session, with the life that it is of and whether the member drains.
    /// Made anew by each call, but of numbers only: it is asked for on the way of calls.
    pub fn in_service(&self) -> Vec<(NodeId, Incarnation, bool)> {
        let (sessions, members) = (self.inner.shared.sessions(), self.membership());
        let all = members.all().values();
        let live = all.filter_map(|member| Some((member, sessions.get(&member.node)?)));
        live.map(|(member, session)| (member.node, session.id.incarnation, member.draining))
            .collect()
    }

    /// Who belongs to the cluster, as this node knows; not founded before the first leader.
    pub fn membership(&self) -> Arc<Members> {
        self.inner.shared.members().borrow().clone()
    }

    /// Who votes, as of what this node has applied.
    pub fn voters(&self) -> Vec<NodeId> {
        self.status().voters
    }

    /// Whether a node that drains, or was removed, may be switched off without harm: it does not
    /// vote, as of what this node has applied, and no change of the voters is under way.
    pub fn drained(&self, node: NodeId) -> bool {
        let status = self.status();
        !status.changing && !status.voters.contains(&node)
    }

    /// Waits until [`Consensus::drained`]; false if it is not in time.
    pub async fn wait_drained(&self, node: NodeId, deadline: Instant) -> bool {
        let mut applied = self.applied();
        loop {
            applied.mark_unchanged();
            if self.drained(node) {
                return true;
            }
            if !matches!(timeout_at(deadline.into(), applied.changed()).await, Ok(Ok(()))) {
                return self.drained(node);
            }
        }
    }

    /// Who belongs to the cluster, as it changes.
    pub fn watch_membership(&self) -> watch::Receiver<Arc<Members>> {
        self.inner.shared.members()
    }

    /// This node shows another public key from now on: its next session is opened with it.
    pub fn set_key(&self, key: KeyHash) {
        self.inner.shared.set_key(key);
    }

    /// Who may use the cluster, as this node knows.
    pub fn users(&self) -> Arc<Users> {
        self.inner.shared.users().borrow().clone()
    }

    /// Who may use the cluster, as it changes.
    pub fn watch_users(&self) -> watch::Receiver<Arc<Users>> {
        self.inner.shared.users()
    }

    /// Whether this node's own session is alive at this moment: one atomic load. A node whose
    /// session lapsed starts no call and reports no result.
    pub fn session_is_live(&self) -> bool {
        self.inner.shared.session_is_live()
    }

    /// The log index that opened this node's own session, as far as it has heard; it may have
    /// lapsed (see [`Consensus::session_is_live`]).
    pub fn session(&self) -> Option<u64> {
        self.session_of(self.inner.me)
    }

    /// The log index that opened a node's session, if it has one, as far as this node has heard.
    pub fn session_of(&self, node: NodeId) -> Option<u64> {
        self.inner.shared.sessions().get(&node).map(|session| session.id.opened)
    }

    /// Changes whenever the applied index does.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.inner.shared.applied()
    }

    /// How Raft stands.
    pub fn status(&self) -> RaftStatus {
        self.inner.shared.status()
    }

    /// Why consensus is down on this node while the node runs, if it is: the disk failed, the log
    /// was lost. Nothing but a restart changes that.
    pub fn failure(&self) -> Option<String> {
        self.inner.shared.failure()
    }

    /// Stops the driver, its log synced. The session ends at once here, and in the cluster if a
    /// majority is there. Bounded by `grace`.
    pub async fn stop(&self, grace: Duration) {
        self.inner.shared.stop();
        // When it does not fit, the driver looks at its next tick.
        let _ = self.inner.inbox.put(Input::Wake);
        if self.inner.shared.failure().is_some() {
            self.inner.actor.stop(None);
        }
        let ended = self.inner.ended.lock().take();
        if let Some(ended) = ended
            && tokio::time::timeout(grace, ended).await.is_err()
        {
            tracing::warn!("the consensus driver did not stop in time; its disk may hang");
        }
    }
}
