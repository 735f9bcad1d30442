//! One node: its components, started in order, and stopped in the reverse one.
//!
//! Two tokio runtimes: this one, *control*, has the network, Raft, timers and the gateway; the
//! *guest* runtime, made by [`Functions`], has the instances alone.
//!
//! The node is the root of the supervision tree. Its children, in the order of their start; each
//! has its own table of what is below it.
//!
//! | child | on failure | on shutdown |
//! |---|---|---|
//! | [`Net`] | peers are supervised; a failed one is dialed again | 9th: flushes, tells the peers, closes |
//! | [`Consensus`] | started again from disk, a few times; a disk that fails [ends the node](Node::ends) | 6th: ends its session, syncs its log |
//! | [`Blobs`] | a failed round of repair is run again | 8th: ends repair |
//! | [`Functions`] | the call of a failed actor ends with `FAASM_EFAILED`, the actor is replaced | last, with what still runs |
//! | [`Scheduler`] | started again; its books survive | 5th: ends its reports |
//! | [`State`] | a damaged copy is made again from the others; without its thread [the node ends](Node::ends) | 7th: ends its thread |
//! | [`Worlds`] | keeps no task but one that follows the peers | 7th: ends that |
//! | [`Calls`] | started again; its tables survive | 1st: takes no more, gives the living their grace; 4th: ends its clock |
//! | gateway | a failed request is answered with 500 | 1st: its answers close their connections; 2nd: takes no more, ends what is open |

pub mod certs;
mod draining;
pub mod founding;
mod modules;
mod peers;
mod rotation;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::task::AbortHandle;

use crate::calls::{Calls, CallsSetup};
use crate::config::NodeConfig;
use crate::consensus::{Consensus, ConsensusSetup, Start};
use crate::files::{BlobSetup, Blobs};
use crate::function::{FunctionSetup, Functions};
use crate::gateway::{self, GatewayServer, GatewaySetup, Tls};
use crate::id::{Incarnation, NodeId};
use crate::mpi::engine::Worlds;
use crate::net::{Identity, Net, NetSetup};
use crate::scheduler::{Scheduler, SchedulerSetup};
use crate::state::{State, StateSetup};
pub use founding::now_ms;

use self::draining::Drained;
use crate::wire::load::MAX_MODULES;
use crate::wire::members::KeyHash;

/// The folder of a node's certificate, below its data folder.
pub const TLS_DIR: &str = "certs";

/// The folder of a node's log, below its data folder.
const RAFT_DIR: &str = "raft";

/// How often the root looks whether a child has failed for good.
const LOOK: Duration = Duration::from_millis(500);

/// The handles of a running node, for the gateway. Cheap to clone.
#[derive(Clone)]
pub struct Handles {
    /// The cluster's name, for people.
    pub cluster: Arc<str>,
    /// This node.
    pub node: NodeId,
    /// Which of its lives.
    pub incarnation: Incarnation,
    /// Connections.
    pub net: Net,
    /// Consensus.
    pub consensus: Consensus,
    /// Blobs.
    pub blobs: Blobs,
    /// Functions.
    pub functions: Functions,
    /// Placement.
    pub scheduler: Scheduler,
    /// State.
    pub state: State,
    /// MPI jobs.
    pub worlds: Worlds,
    /// Calls.
    pub calls: Calls,
}

/// A running node.
pub struct Node {
    handles: Handles,
    gateway: GatewayServer,
    /// What follows the members: connections, certificates.
    following: Vec<AbortHandle>,
}

/// Why a node ends by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It cannot keep its promises any more.
    Failed(String),
    /// The cluster has removed it.
    Removed,
}

impl Node {
    /// Starts a node: returns once it listens; it may not have a quorum yet (`/readyz` says).
    pub async fn start(config: NodeConfig) -> anyhow::Result<Self> {
        describe_metrics();
        let me = config.node;
        let address = config.cluster.node(me).with_context(|| {
            format!("{me} is not among the nodes of cluster `{}`", config.cluster.name)
        })?;
        let cluster = config.cluster.cluster_id().context(
            "the cluster's configuration has no valid `id`; `faasm cluster up` draws one",
        )?;
        let (quic, http) = (address.quic, address.http);
        let dir = &config.data_dir;
        // Before anything is founded: a cluster that nobody could enter is not to be.
        let new = config.cluster.founders().contains(&me) && !dir.join(RAFT_DIR).exists();
        gateway::check(http, config.cluster.admin_token_hash.is_some() || !new)?;
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let incarnation = crate::consensus::identity::load_and_bump(dir, me, cluster)?;
        let identity = Identity::load(&dir.join(TLS_DIR))?;
        let (key, shown) = (identity.key()?, identity.clone());
        let peers = peers::at_start(me, dir, &config.cluster);
        let net = Net::start(NetSetup {
            me,
            incarnation,
            cluster,
            listen: quic,
            peers: peers.clone(),
            identity,
            options: config.options.net.clone(),
        })?;
        let handles = components(&config, net, incarnation, http, key).await?;
        let gateway = gateway::serve(GatewaySetup {
            address: http,
            handles: handles.clone(),
            options: config.options.gateway.clone(),
            identity: shown,
        })
        .await?;
        handles.net.open();
        let (net, consensus) = (handles.net.clone(), handles.consensus.clone());
        let certs = certs::follow(me, config.certs_dir(), net.clone(), consensus.clone());
        let members = peers::follow(
            me,
            dir.clone(),
            net.clone(),
            consensus,
            Drained::new(handles.scheduler.clone(), handles.blobs.clone(), handles.calls.clone()),
            peers,
        );
        let shown = show_identity(net, gateway.tls());
        let following = vec![
            tokio::spawn(certs).abort_handle(),
            tokio::spawn(members).abort_handle(),
            tokio::spawn(shown).abort_handle(),
        ];
        tracing::info!(node = %me, %incarnation, %quic, %http, "the node runs");
        Ok(Self { handles, gateway, following })
    }

    /// Its handles.
    pub fn handles(&self) -> &Handles {
        &self.handles
    }

    /// Where its HTTP API listens.
    pub fn http(&self) -> SocketAddr {
        self.gateway.local_addr()
    }

    /// Waits until the node is to end, and says why: its part of consensus is over until it is
    /// started again, or it was removed. It takes no calls by then.
    pub async fn ends(&self) -> Ending {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            looks.tick().await;
            if self.was_removed() {
                return Ending::Removed;
            }
            let failure = self.handles.consensus.failure();
            if let Some(why) = failure.or_else(|| self.handles.state.failure()) {
                return Ending::Failed(why);
            }
        }
    }

    /// Whether the state says so, or, of a node that the state does not reach any more, a peer.
    fn was_removed(&self) -> bool {
        let Handles { node, consensus, net, .. } = &self.handles;
        consensus.membership().was_removed(*node)
            || (!consensus.session_is_live() && net.was_removed())
    }

    /// Stops it: no new calls, running ones get `grace` to end, then everything closes.
    pub async fn stop(self, grace: Duration) {
        let close = Duration::from_secs(1);
        self.following.iter().for_each(AbortHandle::abort);
        self.gateway.begin_to_stop();
        self.handles.calls.drain(grace).await;
        self.gateway.stop(close).await;
        self.handles.calls.stop();
        self.handles.scheduler.stop();
        self.handles.consensus.stop(close).await;
        self.handles.worlds.stop();
        self.handles.state.stop(3 * close).await;
        self.handles.blobs.stop(close).await;
        self.handles.net.close(close).await;
    }
}

/// Whether a node has been started with this data directory.
pub fn has_started(dir: &std::path::Path) -> bool {
    crate::consensus::identity::is_of_a_node(dir)
}

/// Shows clients the certificate that the connections between nodes show.
async fn show_identity(net: Net, tls: Option<Tls>) {
    let Some(tls) = tls else { return };
    let mut identity = net.identity();
    while identity.changed().await.is_ok() {
        let now = identity.borrow_and_update().clone();
        if let Err(error) = tls.set_identity(&now) {
            tracing::warn!(%error, "clients are still shown the certificate before");
        }
    }
}

/// Installs the recorder before any component takes a handle from it, and says what is counted.
fn describe_metrics() {
    let _ = crate::telemetry::init_metrics();
    crate::net::metrics::describe();
    crate::files::metrics::describe();
    crate::scheduler::metrics::describe();
    crate::calls::metrics::describe();
    crate::mpi::metrics::describe();
}

async fn components(
    config: &NodeConfig,
    net: Net,
    incarnation: Incarnation,
    http: SocketAddr,
    key: KeyHash,
) -> anyhow::Result<Handles> {
    let (me, dir, options) = (config.node, &config.data_dir, &config.options);
    let founder = config.cluster.founders().contains(&me);
    let (start, founding) = match founder {
        true => (
            Start::Founder(config.cluster.clone()),
            Some(founding::of(&config.cluster, &config.certs_dir())),
        ),
        false => (Start::Joiner, None),
    };
    let consensus = Consensus::start(ConsensusSetup {
        me,
        incarnation,
        start,
        dir: dir.join(RAFT_DIR),
        http: http.to_string(),
        key: Some(key),
        founding,
        options: options.consensus.clone(),
        net: net.clone(),
    })
    .await?;
    let members = consensus.clone();
    let blobs = Blobs::start(BlobSetup {
        me,
        dir: dir.join("blobs"),
        options: options.files.clone(),
        net: net.clone(),
        nodes: Arc::new(move || {
            members.members().into_iter().filter(|m| !m.draining).map(|m| m.node).collect()
        }),
    })
    .await?;
    let functions = Functions::start(FunctionSetup {
        options: options.function.clone(),
        dir: dir.join("compiled"),
        source: Arc::new(modules::Modules::new(consensus.clone(), blobs.clone())),
        control: tokio::runtime::Handle::current(),
        imports: crate::mpi::dispatch::link,
    })?;
    let (loaded, session) = (functions.clone(), consensus.clone());
    let scheduler = Scheduler::start(SchedulerSetup {
        me,
        options: options.scheduler.clone(),
        workers: functions.workers(),
        capacity: functions.capacity(),
        net: net.clone(),
        modules: Arc::new(move || loaded.modules(MAX_MODULES)),
        accepting: Arc::new(move || session.session_is_live()),
    })
    .await?;
    let state = State::start(StateSetup {
        me,
        incarnation,
        dir: dir.join("state"),
        options: options.state.clone(),
        net: net.clone(),
        consensus: consensus.clone(),
    })
    .await?;
    let worlds = Worlds::start(me, &net, functions.workers());
    let calls = Calls::start(CallsSetup {
        me,
        incarnation,
        options: options.calls.clone(),
        net: net.clone(),
        consensus: consensus.clone(),
        functions: functions.clone(),
        scheduler: scheduler.clone(),
        state: state.space(),
        ranks: Arc::new(worlds.clone()),
    })
    .await?;
    let cluster = Arc::from(config.cluster.name.as_str());
    Ok(Handles {
        cluster,
        node: me,
        incarnation,
        net,
        consensus,
        blobs,
        functions,
        scheduler,
        state,
        worlds,
        calls,
    })
}
