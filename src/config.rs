//! Configuration: what a cluster is, as data, and an options struct per component, each field
//! with its reason. A configuration file names only what it changes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod load;
mod state;
pub mod units;

pub use load::{ConfigError, MAX_NODES, Problem};
pub use state::StateOptions;

use crate::id::{ClusterId, NodeId};

/// Everything one node is started with.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The cluster it belongs to.
    pub cluster: ClusterConfig,
    /// Which of its nodes this is.
    pub node: NodeId,
    /// Where it keeps its log, blobs and certificates; made when missing.
    pub data_dir: PathBuf,
    /// Settings of the components.
    pub options: Options,
}

impl NodeConfig {
    /// Where its certificate, its key and the authority it trusts are.
    pub fn certs_dir(&self) -> PathBuf {
        certs_dir(&self.data_dir)
    }
}

/// Where a node with this data directory has its certificate.
pub fn certs_dir(data_dir: &std::path::Path) -> PathBuf {
    data_dir.join("certs")
}

/// What a cluster is: read from a file such as `cluster/local.toml`.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ClusterConfig {
    /// For people.
    pub name: String,
    /// Nodes with another id are refused; drawn when the cluster is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// BLAKE3 of the first admin's token, in hexadecimal; without it there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_token_hash: Option<String>,
    /// The nodes that it began with, in order, where others have joined since; without it all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub founders: Vec<u64>,
    /// All its nodes. The first three vote (one, if there are fewer than three).
    pub nodes: Vec<NodeAddress>,
}

/// Where a node listens.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct NodeAddress {
    /// Its id, from 1.
    pub id: u64,
    /// QUIC, for the other nodes. Port 0 picks a free one (one-node clusters and tests only).
    pub quic: SocketAddr,
    /// HTTP, for clients.
    pub http: SocketAddr,
}

impl ClusterConfig {
    /// The cluster's id, if it was given one that is valid.
    pub fn cluster_id(&self) -> Option<ClusterId> {
        self.id.as_deref().and_then(|id| id.parse().ok())
    }

    /// The nodes that it began with.
    pub fn founders(&self) -> Vec<NodeId> {
        match self.founders.is_empty() {
            true => self.nodes.iter().map(|node| NodeId(node.id)).collect(),
            false => self.founders.iter().map(|id| NodeId(*id)).collect(),
        }
    }

    /// The founders that vote at first: three, or one when there are fewer.
    pub fn voters(&self) -> Vec<NodeId> {
        let mut founders = self.founders();
        founders.truncate(if founders.len() >= 3 { 3 } else { 1 });
        founders
    }

    /// The address entry of a node.
    pub fn node(&self, id: NodeId) -> Option<&NodeAddress> {
        self.nodes.iter().find(|n| n.id == id.0)
    }
}

/// Settings of the components.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Connections.
    pub net: NetOptions,
    /// Raft and sessions.
    pub consensus: ConsensusOptions,
    /// Instances.
    pub function: FunctionOptions,
    /// Placement.
    pub scheduler: SchedulerOptions,
    /// Calls and records.
    pub calls: CallOptions,
    /// Blobs.
    pub files: FileOptions,
    /// Values.
    pub state: StateOptions,
    /// HTTP.
    pub gateway: GatewayOptions,
}

/// Settings of the connections between nodes.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct NetOptions {
    /// A peer silent for this long is down; it may take one `keep_alive` longer. Lower finds
    /// deaths sooner, and takes pauses for them.
    #[serde(with = "millis")]
    pub silence: Duration,
    /// How often a silent connection is kept alive; at least three must fit into `silence`.
    #[serde(with = "millis")]
    pub keep_alive: Duration,
    /// Most bytes queued to one peer and service before `send` refuses; at least the longest
    /// message, about 2.1 MiB.
    pub queue_bytes: usize,
}

impl Default for NetOptions {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(3),
            keep_alive: Duration::from_millis(500),
            queue_bytes: 64 << 20,
        }
    }
}

/// Settings of Raft and of node sessions.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct ConsensusOptions {
    /// One Raft tick, at least 5 ms. Heartbeats go every 2, elections start after 10 to 20 without
    /// one. Lower replaces a dead leader sooner, and takes a busy or slow one for dead.
    #[serde(with = "millis")]
    pub tick: Duration,
    /// How long a session lasts after a renewal was sent, at least 10 ticks. Lower tells sooner
    /// that a node is lost, and takes pauses for it; it should outlast the election of a leader
    /// (20 ticks and a little), else every change of leader stops all nodes for a moment.
    #[serde(with = "millis")]
    pub session: Duration,
    /// Applied entries after which a snapshot is taken and the log compacted. Lower makes starts
    /// quicker and writes more; nodes that were away longer than that catch up by snapshot.
    pub snapshot_after: u64,
    /// How long a voter is down before another node votes in its place. Lower restores the
    /// tolerance of failures sooner, and replaces nodes that only restart.
    #[serde(with = "millis")]
    pub replace_after: Duration,
}

impl Default for ConsensusOptions {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(100),
            session: Duration::from_secs(3),
            snapshot_after: 10_000,
            replace_after: Duration::from_secs(60),
        }
    }
}

/// Settings of instances.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct FunctionOptions {
    /// Threads that run guests; 0 means one per core.
    pub workers: usize,
    /// Most instances alive at once; lowered where `vm.max_map_count` allows fewer.
    pub instances: usize,
    /// Share of the machine's memory that private guest memory may take, in percent.
    pub memory_percent: u8,
    /// Bytes of compiled modules kept in memory.
    pub module_cache: usize,
}

impl Default for FunctionOptions {
    fn default() -> Self {
        Self { workers: 0, instances: 12_000, memory_percent: 70, module_cache: 512 << 20 }
    }
}

/// Settings of placement.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct SchedulerOptions {
    /// Starts under way per guest worker.
    pub slots_per_worker: usize,
    /// Starts of one user that may wait on a node; more are refused with `FAASM_EFULL`.
    pub queue_per_user: usize,
    /// How often load is told to the others.
    #[serde(with = "millis")]
    pub report: Duration,
}

impl Default for SchedulerOptions {
    fn default() -> Self {
        Self { slots_per_worker: 4, queue_per_user: 10_000, report: Duration::from_millis(100) }
    }
}

/// Settings of calls and their records.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct CallOptions {
    /// Calls above a call.
    pub depth: u32,
    /// Children one call may chain.
    pub children: u32,
    /// Calls of one user alive on one node; 0 means seven eighths of the instances it can hold, so
    /// that no user can take them all.
    pub live_per_user: usize,
    /// How long a record is kept after its call ended.
    #[serde(with = "millis")]
    pub record_age: Duration,
    /// Most records kept on a node.
    pub records: usize,
    /// Bytes of inputs and outputs that calls may hold on a node outside of any instance, also those
    /// that clients have not read; one user half of them.
    pub held_bytes: usize,
    /// Bytes of outputs and logs kept beside the records.
    pub record_bytes: usize,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            depth: 64,
            children: 100_000,
            live_per_user: 0,
            record_age: Duration::from_secs(600),
            records: 100_000,
            held_bytes: 4 << 30,
            record_bytes: 1 << 30,
        }
    }
}

/// Settings of the blob store.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct FileOptions {
    /// Copies of a blob, or as many as there are nodes.
    pub copies: usize,
    /// Bytes of blobs cached that need not be here.
    pub cache_bytes: u64,
    /// Bytes of its disk that the blob store leaves free: Raft's log, compiled modules and logs are
    /// on it, too, and a node whose log cannot grow ends. Cached blobs go first, then uploads are
    /// refused.
    pub reserve_bytes: u64,
    /// Bytes of blobs read a second to look for damage. Higher finds it sooner, and takes more of
    /// the disk; the default reads a terabyte in a day and a half, at half a percent of a core.
    pub scrub_rate: u64,
    /// Least time from one reading of all blobs to the next; the first begins a minute after the
    /// start at most.
    #[serde(with = "millis")]
    pub scrub_period: Duration,
    /// Keeps blobs in a bucket instead of on the nodes; the same for all nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Options>,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            copies: 3,
            cache_bytes: 4 << 30,
            reserve_bytes: 512 << 20,
            scrub_rate: 8 << 20,
            scrub_period: Duration::from_secs(24 * 3600),
            s3: None,
        }
    }
}

/// A bucket of an S3 service. Its keys come from the node's environment: `AWS_ACCESS_KEY_ID`,
/// `AWS_SECRET_ACCESS_KEY` and, if there is one, `AWS_SESSION_TOKEN`.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct S3Options {
    /// Its name. It must exist.
    pub bucket: String,
    /// URL of the service; Amazon's for the region when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Region, as the signature of requests names it.
    pub region: String,
    /// Put before the names of all objects, so that a bucket can be shared.
    pub prefix: String,
    /// Allows an `http://` endpoint: who can listen to the network can then read blobs.
    pub allow_http: bool,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            bucket: String::new(),
            endpoint: None,
            region: "us-east-1".to_owned(),
            prefix: "faasm".to_owned(),
            allow_http: false,
        }
    }
}

/// Settings of the HTTP API.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayOptions {
    /// Largest request body, in bytes.
    pub body_bytes: usize,
    /// Bytes of all request bodies held at once; more get 503 with Retry-After.
    pub bodies_bytes: usize,
    /// Requests under way at once; more get 503 with Retry-After.
    pub requests: usize,
    /// Connections open at once; more get 503 and are closed.
    pub connections: usize,
    /// Requests of one user under way at once; more get 429 with Retry-After. 0 means a fifth of
    /// `requests`, so that it takes five users to fill a node.
    pub requests_per_user: usize,
    /// Connections that one user uses; on further ones it gets 429, and they are closed. 0 means
    /// half of `connections`, so that others always find room.
    pub connections_per_user: usize,
    /// Connections from one IP address, which is all that is known before a request came; 0 means
    /// three quarters of `connections`.
    pub connections_per_address: usize,
    /// Speak TLS on loopback too; elsewhere it always is spoken.
    pub tls: bool,
}

impl GatewayOptions {
    /// Requests of one user under way at once.
    pub fn user_requests(&self) -> usize {
        or(self.requests_per_user, self.requests / 5)
    }

    /// Connections of one user.
    pub fn user_connections(&self) -> usize {
        or(self.connections_per_user, self.connections / 2)
    }

    /// Connections from one address.
    pub fn address_connections(&self) -> usize {
        or(self.connections_per_address, self.connections - self.connections / 4)
    }
}

/// A limit, or for 0 its default; at least 1.
fn or(limit: usize, default: usize) -> usize {
    if limit == 0 { default.max(1) } else { limit }
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            body_bytes: 256 << 20,
            bodies_bytes: 1 << 30,
            requests: 10_000,
            connections: 10_000,
            requests_per_user: 0,
            connections_per_user: 0,
            connections_per_address: 0,
            tls: false,
        }
    }
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        u64::deserialize(d).map(Duration::from_millis)
    }
}
