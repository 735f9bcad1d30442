//! A cluster in this process: real nodes on loopback, each with folders of its own.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use faasm::calls::{Finished, Invoke};
use faasm::config::{ClusterConfig, NodeAddress, NodeConfig, Options};
use faasm::errno::CallError;
use faasm::id::{BlobHash, ClusterId, FunctionKey, NodeId};
use faasm::net::CertificateAuthority;
use faasm::node::{Node, TLS_DIR};
use faasm::wire::consensus::Command;
use faasm::wire::function::{FunctionEntry, Limits, Options as FunctionOptions};

/// How long anything here may take before the test fails and says what it waited for.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running cluster.
pub struct Cluster {
    nodes: Vec<Option<Node>>,
    config: ClusterConfig,
    options: Options,
    dir: tempfile::TempDir,
}

/// How a cluster is to be.
pub struct Builder {
    nodes: usize,
    options: Options,
}

impl Cluster {
    /// A cluster of one node, unless told otherwise.
    pub fn builder() -> Builder {
        let mut options = Options::default();
        // Several pools share this process's address space.
        options.function.instances = 600;
        options.function.workers = 2;
        Builder { nodes: 1, options }
    }

    /// The node at this position.
    pub fn node(&self, at: usize) -> &Node {
        self.nodes[at].as_ref().expect("the node was stopped")
    }

    /// Its id.
    pub fn id(at: usize) -> NodeId {
        NodeId(at as u64 + 1)
    }

    /// Stops a node, as abruptly as one process allows.
    pub async fn stop(&mut self, at: usize) {
        if let Some(node) = self.nodes[at].take() {
            node.stop(Duration::ZERO).await;
        }
    }

    /// Starts a stopped node again, on its data.
    pub async fn start(&mut self, at: usize) {
        let config = node_config(&self.config, &self.options, self.dir.path(), at);
        self.nodes[at] = Some(Node::start(config).await.expect("the node starts again"));
    }

    /// Uploads a module through a node.
    pub async fn upload(&self, at: usize, name: &str, wasm: &[u8], limits: Limits) {
        self.upload_with(at, name, wasm, limits, FunctionOptions::default()).await;
    }

    /// Uploads a module with placement options.
    pub async fn upload_with(
        &self,
        at: usize,
        name: &str,
        wasm: &[u8],
        limits: Limits,
        options: FunctionOptions,
    ) {
        let handles = self.node(at).handles();
        let deadline = Instant::now() + PATIENCE;
        let bytes = Bytes::copy_from_slice(wasm);
        let hash = BlobHash::of(wasm);
        handles.functions.compile(hash, bytes.clone()).await.expect("it compiles");
        handles.blobs.put(bytes, deadline).await.expect("it is stored");
        let key = FunctionKey::new("alice", name).expect("a valid name");
        let size = wasm.len() as u64;
        let entry = FunctionEntry { wasm: hash, size, version: 0, uploaded_ms: 0, limits, options };
        let command =
            Command::PutFunction { user: key.user.to_string(), name: key.name.to_string(), entry };
        let applied = handles.consensus.propose(command, deadline).await.expect("it is registered");
        let everywhere = handles.consensus.wait_applied_everywhere(applied.index, deadline);
        everywhere.await.expect("all nodes know it");
    }

    /// Invokes a function of alice through a node.
    pub async fn invoke(
        &self,
        at: usize,
        name: &str,
        input: &[u8],
        args: &[&str],
    ) -> Result<Finished, CallError> {
        let request = request(name, input, args);
        let invoked = self.node(at).handles().calls.invoke(request);
        tokio::time::timeout(PATIENCE, invoked).await.expect("the call ends")
    }
}

/// An invocation of alice's function.
pub fn request(name: &str, input: &[u8], args: &[&str]) -> Invoke {
    Invoke {
        key: FunctionKey::new("alice", name).expect("a valid name"),
        input: Bytes::copy_from_slice(input),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        timeout: Some(PATIENCE),
        policy: None,
        pin: Vec::new(),
        idempotency: None,
        trace: 0,
        job: None,
    }
}

impl Builder {
    /// So many nodes.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// Changes settings.
    pub fn options(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    /// Starts the nodes and waits until each has a session.
    pub async fn start(self) -> Cluster {
        let dir = tempfile::tempdir().expect("a folder");
        let id = ClusterId::random();
        let nodes = (1..=self.nodes as u64).map(|id| NodeAddress {
            id,
            quic: free_udp(),
            http: "127.0.0.1:0".parse().expect("an address"),
        });
        let config = ClusterConfig {
            name: "test".to_owned(),
            id: Some(id.to_string()),
            admin_token_hash: None,
            founders: Vec::new(),
            nodes: nodes.collect(),
        };
        let ca = CertificateAuthority::create(id).expect("an authority");
        let mut started = Vec::new();
        for at in 0..self.nodes {
            let node = node_config(&config, &self.options, dir.path(), at);
            let identity = ca.issue(node.node, &["127.0.0.1".parse().expect("an address")]);
            identity.expect("a certificate").save(&node.data_dir.join(TLS_DIR)).expect("saved");
            started.push(Some(Node::start(node).await.expect("the node starts")));
        }
        let cluster = Cluster { nodes: started, config, options: self.options, dir };
        for at in 0..self.nodes {
            let consensus = cluster.node(at).handles().consensus.clone();
            let all = self.nodes;
            wait_until("every node has a session that all know", || {
                let sessions = consensus.members().iter().filter(|m| m.session.is_some()).count();
                consensus.session_is_live() && sessions == all
            })
            .await;
        }
        cluster
    }
}

fn node_config(cluster: &ClusterConfig, options: &Options, dir: &Path, at: usize) -> NodeConfig {
    let node = Cluster::id(at);
    NodeConfig {
        cluster: cluster.clone(),
        node,
        data_dir: dir.join(node.to_string()),
        options: options.clone(),
    }
}

fn free_udp() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("its address")
}

/// Waits until something holds; fails, saying what it waited for.
pub async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "waited {PATIENCE:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
