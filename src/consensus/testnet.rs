//! A cluster in one process: real logs and real drivers, and messages handed over in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::Consensus;
use super::members::configured;
use super::service::Door;
use super::setup::{Local, Start};
use super::transport::Transport;
use crate::config::{ClusterConfig, ConsensusOptions, NodeAddress};
use crate::id::{FunctionKey, Incarnation, NodeId};
use crate::net::SendError;
use crate::wire::consensus::{Answer, Command, Message, Request, Response};
use crate::wire::decode;
use crate::wire::function::FunctionEntry;
use crate::wire::members::{JoinToken, KeyHash, MemberCommand, TokenHash};
use crate::wire::shards::{Shard, ShardChange, ShardCommand, ShardId, ShardStep};

/// What connects the nodes.
#[derive(Default)]
pub struct Wires {
    doors: Mutex<BTreeMap<NodeId, (u64, Arc<Door>)>>,
    cut: Mutex<BTreeSet<NodeId>>,
}

impl Wires {
    fn door(&self, from: NodeId, to: NodeId) -> Option<(u64, Arc<Door>)> {
        let cut = self.cut.lock();
        if cut.contains(&from) || cut.contains(&to) {
            return None;
        }
        self.doors.lock().get(&to).cloned()
    }
}

struct Wire {
    me: NodeId,
    wires: Weak<Wires>,
}

impl Wire {
    fn door(&self, to: NodeId) -> Option<(u64, Arc<Door>)> {
        self.wires.upgrade()?.door(self.me, to)
    }
}

impl Transport for Wire {
    fn send(&self, to: NodeId, message: &Message, body: Bytes) -> Result<(), SendError> {
        let (link, door) =
            self.door(to).ok_or_else(|| SendError::Down(to, "it is cut off".into()))?;
        let message = decode("consensus message", &crate::wire::encode(message)).unwrap();
        door.take(self.me, link, message, body).unwrap();
        Ok(())
    }

    fn request(
        &self,
        to: NodeId,
        request: Request,
        _deadline: Instant,
    ) -> BoxFuture<'static, Result<Answer, String>> {
        let answer = self.door(to).and_then(|(_, door)| door.answer(request));
        Box::pin(async move {
            match answer {
                Some(answer) => Ok(answer.await),
                None => Err("it is cut off".to_owned()),
            }
        })
    }

    fn why_down(&self, node: NodeId) -> Option<String> {
        self.door(node).is_none().then(|| "it is cut off".to_owned())
    }
}

/// The nodes of a test.
pub struct TestCluster {
    wires: Arc<Wires>,
    config: ClusterConfig,
    options: ConsensusOptions,
    dir: tempfile::TempDir,
    nodes: BTreeMap<NodeId, Consensus>,
    lives: BTreeMap<NodeId, u64>,
}

impl TestCluster {
    /// `count` nodes, not started. Ticks are short so that tests are.
    pub fn new(count: u64, snapshot_after: u64) -> Self {
        let address = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let node = |id| NodeAddress { id, quic: address(0), http: address(0) };
        let config = ClusterConfig {
            name: "test".into(),
            id: None,
            admin_token_hash: None,
            founders: Vec::new(),
            nodes: (1..=count).map(node).collect(),
        };
        let options = ConsensusOptions {
            tick: Duration::from_millis(20),
            session: Duration::from_millis(800),
            snapshot_after,
            replace_after: Duration::from_secs(1),
        };
        Self {
            wires: Arc::default(),
            config,
            options,
            dir: tempfile::tempdir().unwrap(),
            nodes: BTreeMap::new(),
            lives: BTreeMap::new(),
        }
    }

    /// All of them, started.
    pub async fn start(count: u64, snapshot_after: u64) -> Self {
        let mut cluster = Self::new(count, snapshot_after);
        for id in 1..=count {
            cluster.start_node(NodeId(id)).await;
        }
        cluster
    }

    /// Starts a node with what its directory holds.
    pub async fn start_node(&mut self, id: NodeId) {
        let life = self.lives.entry(id).or_default();
        *life += 1;
        let life = *life;
        let founding = MemberCommand::Found {
            members: configured(&self.config),
            authority: None,
            admin: None,
            now_ms: 0,
        };
        let local = Local {
            me: id,
            incarnation: Incarnation(life),
            start: self.how(id),
            dir: self.node_dir(id),
            http: format!("http-of-{id}"),
            key: None,
            founding: self.config.node(id).map(|_| founding),
            options: self.options.clone(),
        };
        let wire = Wire { me: id, wires: Arc::downgrade(&self.wires) };
        let (consensus, door) = local.start(Arc::new(wire)).await.unwrap();
        self.wires.doors.lock().insert(id, (life, Arc::new(door)));
        self.nodes.insert(id, consensus);
    }

    fn how(&self, id: NodeId) -> Start {
        match self.config.node(id) {
            Some(_) => Start::Founder(self.config.clone()),
            None => Start::Joiner,
        }
    }

    /// Lets a new node in, as a client of `at`, and starts it.
    pub async fn join(&mut self, at: u64) -> NodeId {
        let token = TokenHash([7; 32]);
        let open = JoinToken { hash: token, expires_ms: 1000, uses: 1 };
        let number = self.lives.len();
        let key = KeyHash([u8::try_from(100 + number).unwrap(); 32]);
        let join = MemberCommand::Join {
            token,
            key,
            quic: format!("quic-{number}"),
            http: format!("http-{number}"),
            replaces: None,
            now_ms: 1,
        };
        self.change(at, MemberCommand::PutJoinToken(open)).await;
        let Response::Joined(id) = self.change(at, join).await else { panic!("not let in") };
        self.start_node(id).await;
        id
    }

    /// Changes the members, as a client of `at`.
    pub async fn change(&self, at: u64, command: MemberCommand) -> Response {
        self.node(at).propose(Command::Member(command), soon()).await.unwrap().response
    }

    /// Stops a node as its operator would.
    pub async fn stop(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.remove(&id) {
            node.stop(Duration::from_secs(10)).await;
        }
        self.wires.doors.lock().remove(&id);
    }

    /// The voters, as a node knows them, when no change is under way.
    pub fn voters(&self, at: u64) -> Vec<u64> {
        let status = self.node(at).status();
        let settled = |_: &NodeId| !status.changing;
        status.voters.iter().filter(|id| settled(id)).map(|id| id.0).collect()
    }

    /// The node begins to count its lives anew.
    pub fn forget_lives(&mut self, id: NodeId) {
        self.lives.remove(&id);
    }

    /// Where a node keeps its log.
    pub fn node_dir(&self, id: NodeId) -> std::path::PathBuf {
        self.dir.path().join(id.to_string())
    }

    /// Stops a node; nothing of it reaches the others any more, as if it was killed.
    pub async fn kill(&mut self, id: NodeId) {
        self.wires.doors.lock().remove(&id);
        self.wires.cut.lock().insert(id);
        if let Some(node) = self.nodes.remove(&id) {
            node.stop(Duration::from_secs(10)).await;
        }
        self.wires.cut.lock().remove(&id);
    }

    /// Cuts a node off from all others, or joins it again.
    pub fn cut(&self, id: NodeId, cut: bool) {
        let mut all = self.wires.cut.lock();
        if cut {
            all.insert(id)
        } else {
            all.remove(&id)
        };
    }

    /// A node's handle.
    pub fn node(&self, id: u64) -> &Consensus {
        &self.nodes[&NodeId(id)]
    }

    /// Waits until something holds, and says what it waited for when it does not come.
    pub async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !holds(self) {
            assert!(Instant::now() < deadline, "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Does what owners of shards do when copies have caught up, until all targets are in sync.
    pub async fn catch_up(&self) {
        loop {
            let mut missing = 0;
            for (id, node) in &self.nodes {
                let admit = |(shard, now): (ShardId, &Arc<Shard>)| {
                    let node = now.targets.iter().find(|node| !now.in_sync.contains(node))?;
                    let step = ShardStep::Admit { node: *node };
                    Some(ShardChange { shard, was: now.revision, step })
                };
                let shards = node.shards();
                missing += shards.iter().filter_map(admit).count();
                let own = shards.iter().filter(|(_, shard)| shard.owner == *id);
                let changes: Vec<_> = own.filter_map(admit).collect();
                if !changes.is_empty() {
                    node.change_shards(ShardCommand { changes }, soon()).await.unwrap();
                }
            }
            if missing == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the sessions of all running nodes are live; gives the leader.
    pub async fn ready(&self) -> NodeId {
        self.until("all running nodes have live sessions and know a running leader", |cluster| {
            let leader = |node: &Consensus| node.status().leader;
            cluster.nodes.values().all(|node| {
                node.session_is_live()
                    && leader(node).is_some_and(|leader| cluster.nodes.contains_key(&leader))
            })
        })
        .await;
        self.nodes.values().find_map(|node| node.status().leader).unwrap()
    }
}

/// A deadline that is far away.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// A command that puts a function.
pub fn put(name: &str) -> Command {
    let entry = FunctionEntry {
        wasm: crate::id::BlobHash::of(name.as_bytes()),
        size: 1,
        version: 0,
        uploaded_ms: 0,
        limits: Default::default(),
        options: Default::default(),
    };
    Command::PutFunction { user: "alice".into(), name: name.into(), entry }
}

/// The key of [`put`].
pub fn key(name: &str) -> FunctionKey {
    FunctionKey::new("alice", name).unwrap()
}
