//! From configuration to a running component.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use ractor::Actor;

use super::actor::Supervisor;
use super::conf::Conf;
use super::core::CoreSettings;
use super::driver::DriverParts;
use super::error::StartError;
use super::handle::{Consensus, Inner};
use super::inbox::Inbox;
use super::machine::MAX_HTTP;
use super::members::configured;
use super::raft_node::RaftSettings;
use super::service::Door;
use super::shared::Shared;
use super::transport::{NetTransport, Transport};
use crate::config::{ClusterConfig, ConsensusOptions};
use crate::id::{Incarnation, NodeId};
use crate::net::{Net, ServiceId};
use crate::wire::members::{KeyHash, MemberCommand};

/// Shortest tick: below it a machine under load holds elections all the time.
const MIN_TICK: Duration = Duration::from_millis(5);
/// Fewest ticks in a session: the leader looks for lapsed sessions at ticks.
const MIN_SESSION_TICKS: u32 = 10;

/// How a node came to the cluster. Looked at only while its log is empty: from then on the log
/// says who votes.
#[derive(Debug, Clone)]
pub enum Start {
    /// It founds the cluster, with the other nodes of this configuration.
    Founder(ClusterConfig),
    /// The cluster let it in and gave it its id. It waits for the leader, which makes it a
    /// follower and sends it the state; nothing else need be known.
    Joiner,
}

/// What consensus is started with.
pub struct ConsensusSetup {
    /// This node.
    pub me: NodeId,
    /// Which of its lives, from [`super::identity::load_and_bump`].
    pub incarnation: Incarnation,
    /// How the node came to the cluster.
    pub start: Start,
    /// Where the log and the snapshots are kept; made when missing.
    pub dir: PathBuf,
    /// The HTTP address to announce, at most 256 bytes.
    pub http: String,
    /// The public key that this node shows.
    pub key: Option<KeyHash>,
    /// What founds the cluster, if this node is one of its founders.
    pub founding: Option<MemberCommand>,
    /// Timings and sizes.
    pub options: ConsensusOptions,
    /// The connections; consensus registers its service with it.
    pub net: Net,
}

impl ConsensusSetup {
    /// Starts, over the connections.
    pub(super) async fn start(self) -> Result<Consensus, StartError> {
        let net = self.net.clone();
        let (consensus, door) = self.start_over(Arc::new(NetTransport(net.clone()))).await?;
        net.register(ServiceId::Consensus, Arc::new(door));
        Ok(consensus)
    }

    async fn start_over(
        self,
        transport: Arc<dyn Transport>,
    ) -> Result<(Consensus, Door), StartError> {
        let Self { me, incarnation, start, dir, http, key, founding, options, net: _ } = self;
        let local = Local { me, incarnation, start, dir, http, key, founding, options };
        local.start(transport).await
    }
}

/// A [`ConsensusSetup`] without the connections.
pub(super) struct Local {
    /// This node.
    pub me: NodeId,
    /// Which of its lives.
    pub incarnation: Incarnation,
    /// How the node came to the cluster.
    pub start: Start,
    /// Where the log is.
    pub dir: PathBuf,
    /// The HTTP address to announce.
    pub http: String,
    /// The public key that this node shows.
    pub key: Option<KeyHash>,
    /// What founds the cluster.
    pub founding: Option<MemberCommand>,
    /// Timings and sizes.
    pub options: ConsensusOptions,
}

impl Local {
    fn check(&self) -> Result<(), StartError> {
        if let Start::Founder(cluster) = &self.start
            && cluster.node(self.me).is_none()
        {
            return Err(StartError::NotConfigured(self.me));
        }
        if self.options.tick < MIN_TICK {
            return Err(StartError::Options(format!("a tick is at least {MIN_TICK:?}")));
        }
        if self.options.session < self.options.tick * MIN_SESSION_TICKS {
            let why = format!("a session is at least {MIN_SESSION_TICKS} ticks long");
            return Err(StartError::Options(why));
        }
        if self.http.len() > MAX_HTTP {
            return Err(StartError::Options(format!("{} is too long an address", self.http)));
        }
        Ok(())
    }

    fn core(&self) -> CoreSettings {
        let founds = match &self.start {
            Start::Founder(cluster) => Some(Conf::of(cluster)),
            Start::Joiner => None,
        };
        CoreSettings {
            raft: RaftSettings {
                me: self.me,
                founds,
                snapshot_after: self.options.snapshot_after,
                seed: rand::random(),
            },
            incarnation: self.incarnation,
            session: self.options.session,
            replace_after: self.options.replace_after,
            http: self.http.clone(),
            key: self.key,
            founding: self.founding.clone(),
            numbers: Arc::new(AtomicU64::new(0)),
            restarts: 0,
        }
    }

    /// Starts over this transport; the door is where its messages are to be brought.
    pub(super) async fn start(
        self,
        transport: Arc<dyn Transport>,
    ) -> Result<(Consensus, Door), StartError> {
        self.check()?;
        super::metrics::describe();
        let (inbox, shared) = (Inbox::new(), Arc::new(Shared::new()));
        let parts = DriverParts {
            settings: self.core(),
            dir: self.dir.clone(),
            tick: self.options.tick,
            inbox: inbox.clone(),
            shared: shared.clone(),
            transport: transport.clone(),
        };
        let opening = parts.clone();
        let core = tokio::task::spawn_blocking(move || opening.open())
            .await
            .map_err(|error| StartError::Failed(format!("reading the log panicked: {error}")))??;
        let (actor, ended) = Supervisor::spawn(None, Supervisor, (parts, core))
            .await
            .map_err(|error| StartError::Failed(error.to_string()))?;
        let door = Door::new(self.me, inbox.clone(), shared.clone());
        let ended = parking_lot::Mutex::new(Some(ended));
        let me = self.me;
        let configured = match &self.start {
            Start::Founder(cluster) => configured(cluster),
            Start::Joiner => Vec::new(),
        };
        Ok((Consensus::new(Inner { me, configured, shared, inbox, transport, actor, ended }), door))
    }
}
