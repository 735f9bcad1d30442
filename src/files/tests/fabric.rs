//! Blob stores that reach each other in this process: nodes can be killed, restarted, and
//! replaced by scripts that misbehave.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::config::FileOptions;
use crate::files::members::Members;
use crate::files::remote::{Remote, Stream};
use crate::files::serve::Server;
use crate::files::store::Store;
use crate::files::transfer::TransferError;
use crate::files::{Blobs, Place};
use crate::id::{BlobHash, Incarnation, NodeId};
use crate::net::{Peer, PeerStatus, PeerTable, RequestError, SendError};
use crate::wire::blobs::{BlobBulk, Have, Lacking};
use crate::wire::encode;

/// What happens to a stream at a node that is not what it should be.
pub type Script = Arc<dyn Fn(BlobBulk, Stream) -> BoxFuture<'static, ()> + Send + Sync>;

#[derive(Clone)]
enum Node {
    Up(Server),
    Scripted(Script),
}

#[derive(Default)]
struct Wires {
    nodes: BTreeMap<NodeId, Node>,
    links: u64,
    peers: BTreeMap<NodeId, watch::Sender<Arc<PeerTable>>>,
}

/// The wires between the stores. Cheap to clone.
#[derive(Clone, Default)]
pub struct Fabric {
    wires: Arc<Mutex<Wires>>,
}

impl Fabric {
    fn set(&self, id: NodeId, node: Option<Node>) {
        let mut wires = self.wires.lock();
        wires.links += 1;
        let link = wires.links;
        let status = status(id, node.as_ref().map(|_| link));
        match node {
            Some(node) => wires.nodes.insert(id, node),
            None => wires.nodes.remove(&id),
        };
        for (at, peers) in &wires.peers {
            if *at != id {
                peers.send_modify(|table| {
                    Arc::make_mut(table).insert(id, status.clone());
                });
            }
        }
    }

    /// Puts a misbehaving node in the place of `id`.
    pub fn script(&self, id: NodeId, script: Script) {
        self.set(id, Some(Node::Scripted(script)));
    }

    /// Runs `before` ahead of each stream that a running node is given.
    pub fn intercept<F>(&self, id: NodeId, before: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Ok(Node::Up(server)) = self.node(id) else { panic!("{id} is not up") };
        self.script(
            id,
            Arc::new(move |request, stream| {
                let (server, before) = (server.clone(), before());
                Box::pin(async move {
                    before.await;
                    server.accept(id, &encode(&request), stream).unwrap();
                })
            }),
        );
    }

    /// Breaks the streams that a running node is given, until the gate is open.
    pub fn gate(&self, id: NodeId, open: Arc<AtomicBool>) {
        let Ok(Node::Up(server)) = self.node(id) else { panic!("{id} is not up") };
        let script: Script = Arc::new(move |request, stream| {
            if open.load(Ordering::SeqCst) {
                server.accept(id, &encode(&request), stream).unwrap();
            }
            Box::pin(std::future::ready(()))
        });
        self.script(id, script);
    }

    fn node(&self, id: NodeId) -> Result<Node, TransferError> {
        let node = self.wires.lock().nodes.get(&id).cloned();
        node.ok_or_else(|| RequestError::Send(SendError::Down(id, "killed".to_owned())).into())
    }
}

fn status(id: NodeId, link: Option<u64>) -> PeerStatus {
    let up = link.map(|link| Peer { node: id, incarnation: Incarnation(1), link });
    PeerStatus { up, since: Instant::now(), rtt: None, last_error: None }
}

/// Two ends of one stream.
pub fn pipe() -> (Stream, Stream) {
    let (to, from_there) = tokio::io::duplex(64 << 10);
    let (back, from_here) = tokio::io::duplex(64 << 10);
    let here = Stream { send: Box::new(to), recv: Box::new(from_here) };
    (here, Stream { send: Box::new(back), recv: Box::new(from_there) })
}

struct Port {
    me: NodeId,
    fabric: Fabric,
}

impl Remote for Port {
    fn open(
        &self,
        to: NodeId,
        request: BlobBulk,
        _deadline: Instant,
    ) -> BoxFuture<'_, Result<Stream, TransferError>> {
        Box::pin(async move {
            let (here, there) = pipe();
            match self.fabric.node(to)? {
                Node::Up(server) => server.accept(self.me, &encode(&request), there)?,
                Node::Scripted(script) => drop(tokio::spawn(script(request, there))),
            }
            Ok(here)
        })
    }

    fn lacking(
        &self,
        of: NodeId,
        hashes: Vec<BlobHash>,
        _deadline: Instant,
    ) -> BoxFuture<'_, Result<Vec<BlobHash>, TransferError>> {
        Box::pin(async move {
            let Node::Up(server) = self.fabric.node(of)? else {
                return Err(RequestError::Bad(of, "scripted".to_owned()).into());
            };
            let Lacking(lacking) = server.lacking(&encode(&Have(hashes)))?;
            Ok(lacking)
        })
    }

    fn peers(&self) -> watch::Receiver<Arc<PeerTable>> {
        let mut wires = self.fabric.wires.lock();
        let Wires { nodes, peers, links } = &mut *wires;
        let table = || {
            let others = nodes.keys().filter(|id| **id != self.me);
            others.map(|id| (*id, status(*id, Some(*links)))).collect()
        };
        let peers = peers.entry(self.me).or_insert_with(|| watch::Sender::new(Arc::new(table())));
        peers.subscribe()
    }
}

/// Some nodes, all in this process.
pub struct Cluster {
    pub fabric: Fabric,
    pub blobs: BTreeMap<NodeId, Blobs>,
    /// The members, as all nodes know them at once.
    pub members: Arc<Mutex<Vec<NodeId>>>,
    options: FileOptions,
    dir: TempDir,
}

impl Cluster {
    /// `count` nodes, n1 first.
    pub async fn start(count: u64) -> Self {
        Self::with_options(count, FileOptions::default()).await
    }

    pub async fn with_options(count: u64, options: FileOptions) -> Self {
        let mut cluster = Self {
            fabric: Fabric::default(),
            blobs: BTreeMap::new(),
            members: Arc::new(Mutex::new((1..=count).map(NodeId).collect())),
            options,
            dir: tempfile::tempdir().unwrap(),
        };
        for id in 1..=count {
            cluster.up(NodeId(id)).await;
        }
        cluster
    }

    /// Starts a node on the directory it had.
    pub async fn up(&mut self, me: NodeId) {
        let list = self.members.clone();
        let nodes = Arc::new(move || list.lock().clone());
        let members = Members::new(me, self.options.copies, nodes);
        let port = Arc::new(Port { me, fabric: self.fabric.clone() });
        let store = Store::start(members, self.dir(me), &self.options, port).await.unwrap();
        let server = Server::new(store.local.clone(), Duration::from_secs(5));
        let blobs = Blobs::over(store, server.clone(), &self.options).await.unwrap();
        self.blobs.insert(me, blobs);
        self.fabric.set(me, Some(Node::Up(server)));
    }

    /// Takes a node away, as if it were killed.
    pub async fn down(&mut self, id: NodeId) {
        self.fabric.set(id, None);
        if let Some(blobs) = self.blobs.remove(&id) {
            blobs.stop(Duration::from_secs(5)).await;
        }
    }

    /// A node's directory.
    pub fn dir(&self, id: NodeId) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    /// The file of a blob at a node.
    pub fn file(&self, id: NodeId, hash: &BlobHash) -> PathBuf {
        let name = hash.to_string();
        self.dir(id).join(&name[..1]).join(name)
    }

    /// The insides of a node.
    pub fn store(&self, id: NodeId) -> &Arc<Store> {
        let Place::Nodes(store, _) = &self.blobs[&id].place else { panic!("not on nodes") };
        store
    }

    /// Whether a node has a blob.
    pub fn has(&self, id: NodeId, hash: &BlobHash) -> bool {
        self.store(id).local.len_of(hash).is_some()
    }

    /// Stores through one node and waits until all its targets have it.
    pub async fn put_everywhere(&self, through: NodeId, bytes: &Bytes) -> BlobHash {
        let hash = self.blobs[&through].put(bytes.clone(), soon()).await.unwrap();
        let targets = self.blobs[&through].targets(&hash);
        until("all targets have the blob", || targets.iter().all(|n| self.has(*n, &hash))).await;
        hash
    }
}

/// A deadline that no test reaches unless something hangs.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// Bytes that no other blob has.
pub fn blob(seed: u8, len: usize) -> Bytes {
    (0..len).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect()
}

/// Waits until something is so, and says what it waited for.
pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = soon();
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
