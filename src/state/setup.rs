//! Starting the state of a node, and stopping it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::client::Client;
use super::driver::{Driver, INBOX, Input, Owners, Shared};
use super::global::Global;
use super::grants::Grants;
use super::local::{Local, LocalSetup};
use super::post::Post;
use super::quota::{Usage, Writers, follow};
use super::serve::{Copies, Questions};
use super::store::{Options, Store, StoreError};
use crate::config::StateOptions;
use crate::consensus::Consensus;
use crate::consensus::shards::Shards;
use crate::function::StateSpace;
use crate::id::{Incarnation, NodeId};
use crate::net::{Net, ServiceId};
use crate::wire::decode;
use crate::wire::shards::{ShardId, StateKey};
use crate::wire::state::{List, Listed, Request, Response};

/// What it takes to start.
pub struct StateSetup {
    /// This node.
    pub me: NodeId,
    /// Which of its lives.
    pub incarnation: Incarnation,
    /// The folder of its copies.
    pub dir: PathBuf,
    /// Settings.
    pub options: StateOptions,
    /// Connections.
    pub net: Net,
    /// Members, sessions, shards, locks.
    pub consensus: Consensus,
}

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The copies on disk.
    #[error("the state of this node cannot be opened: {0}")]
    Store(#[from] StoreError),
    /// A thread.
    #[error("the thread of the state's shards cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// How long Raft is asked for what was agreed, before it is asked again.
const BARRIER: Duration = Duration::from_secs(5);

/// A node's state: both tiers. Cheap to clone.
#[derive(Clone)]
pub struct State {
    inner: Arc<Inner>,
}

struct Inner {
    me: NodeId,
    net: Net,
    consensus: Consensus,
    owners: Owners,
    client: Arc<Client>,
    local: Local,
    following: Vec<AbortHandle>,
    driver: Mutex<Option<thread::JoinHandle<()>>>,
}

impl State {
    /// Opens the copies of this node and registers with its connections.
    pub async fn start(setup: StateSetup) -> Result<Self, StartError> {
        let StateSetup { me, incarnation, dir, options, net, consensus } = setup;
        let opening = Options {
            reserve: options.reserve_bytes,
            log_bytes: options.log_bytes,
            ..Options::new(dir)
        };
        let opened = tokio::task::spawn_blocking(move || Store::open(opening, 0)).await;
        let store = opened.map_err(std::io::Error::other)??;
        let (inbox, inputs) = sync_channel(INBOX);
        let shared = Shared::new(inbox);
        let owners = Owners::new(shared.clone());
        let now = Instant::now();
        let writers = Writers::default();
        let driver = Driver {
            me,
            start: incarnation,
            store: Arc::new(store),
            net: net.clone(),
            consensus: consensus.clone(),
            runtime: Handle::current(),
            shared,
            user_bytes: options.user_bytes,
            copies: BTreeMap::new(),
            table: Arc::new(Shards::default()),
            writes: Vec::new(),
            synced: Vec::new(),
            applying: BTreeMap::new(),
            apply_next: ShardId(0),
            post: Post::default(),
            gather: now,
            failed: None,
            began: now,
            tidied: now,
            checkpointed: now,
            checkpointing: false,
            usage: Usage::new(writers.clone()),
            inbox: inputs,
        };
        let driver = thread::Builder::new().name("shards".into()).spawn(move || driver.run())?;
        let client = Arc::new(Client::new(me, net.clone(), consensus.clone(), owners.clone()));
        let (memory, user_memory) = memory(&options);
        let local = Local::new(LocalSetup {
            global: client.clone(),
            locks: Arc::new(Grants::new(consensus.clone())),
            memory,
            user_memory,
            threads: options.threads,
            patience: Duration::from_millis(options.patience_ms),
        });
        net.register(ServiceId::State, Arc::new(Questions::new(owners.clone(), local.clone())));
        net.register(ServiceId::Shards, Arc::new(Copies(owners.clone())));
        let following = vec![
            tokio::spawn(follow_table(consensus.clone(), owners.clone())).abort_handle(),
            tokio::spawn(follow_peers(net.clone(), owners.clone())).abort_handle(),
            tokio::spawn(follow(me, net.clone(), consensus.clone(), owners.clone(), writers))
                .abort_handle(),
        ];
        let driver = Mutex::new(Some(driver));
        let inner = Inner { me, net, consensus, owners, client, local, following, driver };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The global tier.
    pub fn global(&self) -> Arc<dyn Global> {
        self.inner.client.clone()
    }

    /// The local tier.
    pub fn local(&self) -> &Local {
        &self.inner.local
    }

    /// The state for running calls.
    pub fn space(&self) -> Arc<dyn StateSpace> {
        Arc::new(self.inner.local.clone())
    }

    /// In how many shards this node serves at the moment.
    pub fn served(&self) -> usize {
        self.inner.owners.served()
    }

    /// Lists values in order of their names, and tells of how many shards: fewer than all while
    /// some have no owner that answers.
    pub async fn list(&self, list: List, deadline: Instant) -> (Vec<Listed>, u32) {
        let Inner { me, net, consensus, owners, .. } = &*self.inner;
        let shards = consensus.shards();
        let nodes: std::collections::BTreeSet<NodeId> =
            shards.iter().map(|(_, shard)| shard.owner).collect();
        let asked = nodes.into_iter().map(|node| {
            let list = list.clone();
            async move {
                if node == *me {
                    return owners.list(list).await;
                }
                let request = Request::List(list);
                let none = bytes::Bytes::new();
                let reply = net.request(node, ServiceId::State, &request, none, deadline).await;
                match decode("list of values", &reply.ok()?.head).ok()? {
                    Response::Listed { values, shards } => Some((values, shards)),
                    _ => None,
                }
            }
        });
        let (mut all, mut served) = (Vec::new(), 0);
        for (values, shards) in join_all(asked).await.into_iter().flatten() {
            all.extend(values);
            served += shards;
        }
        all.sort_by(|one: &Listed, other: &Listed| one.key.cmp(&other.key));
        all.dedup_by(|one, other| one.key == other.key);
        all.truncate(list.most as usize);
        (all, served)
    }

    /// Which nodes hold a local copy of a value: bytes resident, and whether it is mapped.
    pub async fn copies(&self, key: &StateKey, deadline: Instant) -> Vec<(NodeId, u64, bool)> {
        let Inner { me, net, consensus, local, .. } = &*self.inner;
        let asked = consensus.members().into_iter().map(|member| async move {
            let node = member.node;
            if node == *me {
                return local.copy(key).map(|(bytes, mapped)| (node, bytes, mapped));
            }
            let (request, none) = (Request::Copy(key.clone()), bytes::Bytes::new());
            let reply = net.request(node, ServiceId::State, &request, none, deadline).await;
            match decode("copy of a value", &reply.ok()?.head).ok()? {
                Response::Copy(Some((bytes, mapped))) => Some((node, bytes, mapped)),
                _ => None,
            }
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Why nothing can be done with this node's copies any more, if that is so: nothing but a
    /// restart changes it.
    pub fn failure(&self) -> Option<String> {
        let driver = self.inner.driver.lock();
        let ended = driver.as_ref().is_some_and(thread::JoinHandle::is_finished);
        ended.then(|| "the thread of the state's shards has ended".to_owned())
    }

    /// Ends the driver; what was acknowledged is durable. Bounded by `grace`.
    pub async fn stop(&self, grace: Duration) {
        self.inner.following.iter().for_each(AbortHandle::abort);
        self.inner.owners.stop();
        let Some(driver) = self.inner.driver.lock().take() else { return };
        let ended = tokio::task::spawn_blocking(move || driver.join().is_ok());
        if !matches!(tokio::time::timeout(grace, ended).await, Ok(Ok(true))) {
            tracing::warn!("the thread of the shards did not end in time, or failed");
        }
    }
}

/// Bytes that local copies may take, and those of one user.
fn memory(options: &StateOptions) -> (u64, u64) {
    let memory = match options.memory_bytes {
        0 => crate::function::machine_memory() / 4,
        bytes => bytes,
    };
    match options.user_memory_bytes {
        0 => (memory, memory / 2),
        bytes => (memory, bytes.min(memory)),
    }
}

/// Tells the driver of every change of the table.
async fn follow_table(consensus: Consensus, owners: Owners) {
    let mut table = consensus.watch_shards();
    // An older table might name fewer members than this node admitted before it started again.
    while consensus.read_barrier(Instant::now() + BARRIER).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    while !owners.try_tell(|| Input::Table) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while table.changed().await.is_ok() {
        table.mark_unchanged();
        while !owners.try_tell(|| Input::Table) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Tells the driver of new connections.
async fn follow_peers(net: Net, owners: Owners) {
    let mut peers = net.peers();
    let mut known: BTreeMap<NodeId, u64> = BTreeMap::new();
    loop {
        let links: BTreeMap<NodeId, u64> = {
            let peers = peers.borrow_and_update();
            let up = peers.iter().filter_map(|(node, status)| Some((*node, status.up?.link)));
            up.collect()
        };
        for (node, link) in &links {
            if known.get(node) != Some(link) {
                owners.tell(Input::Connected(*node));
            }
        }
        known = links;
        if peers.changed().await.is_err() {
            return;
        }
    }
}
