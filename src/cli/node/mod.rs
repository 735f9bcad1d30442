//! `faasm node`: runs one node until it is told to stop.

mod bootstrap;
mod home;
mod join;
mod listen;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Globals;
use super::exit::{CliError, Exit};
use crate::config::{ClusterConfig, NodeConfig, Options};
use crate::id::NodeId;
use crate::node::{Ending, Node};
use crate::telemetry::{self, LogFormat};

/// Time that calls under way get to end when the node is told to stop.
pub const STOP_GRACE: Duration = Duration::from_secs(10);
/// What a stop may take on top of that, by the bounds of its steps and some, before the process ends
/// anyway: most of it is for handing over records and outputs.
pub const STOP_MARGIN: Duration = Duration::from_secs(12);
/// What tasks that nobody waits for may take at the very end.
const RUNTIME_GRACE: Duration = Duration::from_secs(1);

/// Arguments of `faasm node`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  faasm node --bootstrap --listen 10.0.0.1 --data-dir /var/lib/faasm
  faasm node --join 10.0.0.1:7001 --token faasm_join_1_2 --listen 10.0.0.2 --data-dir /var/lib/faasm
  faasm node --data-dir /var/lib/faasm
  faasm node --config cluster/local.toml --id 1 --data-dir /var/lib/faasm

The first one begins a cluster and writes the admin's token to admin.token in its data directory;
the second one joins it with a token that `faasm nodes token` prints. A node that did either is
started again by the third. The fourth is for clusters whose nodes are all named in a file.

The log goes to stderr; FAASM_LOG filters it, as in FAASM_LOG=info,faasm::calls=debug. SIGTERM and
SIGINT stop the node: running calls get 10 s to end. A second one ends it at once.")]
pub struct NodeArgs {
    /// What the cluster is.
    #[arg(long, value_name = "FILE", requires = "id", conflicts_with_all = ["bootstrap", "join"])]
    config: Option<PathBuf>,
    /// Which of its nodes this is.
    #[arg(long, value_name = "N", requires = "config")]
    id: Option<NodeId>,
    /// Begin a new cluster, unless the data directory is of one already.
    #[arg(long, conflicts_with = "join")]
    bootstrap: bool,
    /// The new cluster's name.
    #[arg(long, value_name = "NAME", requires = "bootstrap", default_value = "faasm")]
    name: String,
    /// Join a cluster through this member's HTTP address, unless the data directory is of a node
    /// already; --token is the join token then, or a file that holds it [env: FAASM_JOIN_TOKEN].
    #[arg(long, value_name = "ADDR")]
    join: Option<String>,
    /// Take the place of this node, whose disk was lost: it is removed, and this one gets a new
    /// id.
    #[arg(long, value_name = "N", requires = "join")]
    replace: Option<NodeId>,
    #[command(flatten)]
    listen: listen::Listen,
    /// How log lines look.
    #[arg(long, value_name = "FORMAT", default_value_t)]
    log: LogFormat,
    /// Settings of the components, where they differ from the defaults.
    #[arg(long, value_name = "FILE")]
    options: Option<PathBuf>,
    /// Leave the session of the process that started it (`faasm cluster up` does).
    #[arg(long, hide = true)]
    detach: bool,
}

/// Runs the node.
pub fn run(globals: &Globals, args: &NodeArgs) -> Result<(), CliError> {
    if args.detach {
        rustix::process::setsid()
            .map_err(|error| CliError::local(format!("no session of its own: {error}")))?;
    }
    let config = config(globals, args)?;
    telemetry::init_log(config.node, args.log).map_err(|why| CliError::new(Exit::Usage, why))?;
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(control_workers())
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| CliError::local(format!("no threads for the node: {error}")))?;
    let ended = runtime.block_on(live(config));
    runtime.shutdown_timeout(RUNTIME_GRACE);
    ended
}

/// Threads of the control runtime: half the cores, and one on small machines. There a second one
/// mostly adds hand-overs between threads (ARCHITECTURE.md has the measurement).
fn control_workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

/// Reads and checks what the node is started with.
fn config(globals: &Globals, args: &NodeArgs) -> Result<NodeConfig, CliError> {
    let usage = |message: String| CliError::new(Exit::Usage, message);
    let data_dir = globals.data_dir.clone().ok_or_else(|| {
        usage("name the directory where the node keeps its data: --data-dir D".to_owned())
    })?;
    let (cluster, node) = match (&args.config, args.id) {
        (Some(file), Some(id)) => (configured(file, id)?, id),
        _ => at_home(globals, args, &home::Home::new(&data_dir))?,
    };
    let options = match &args.options {
        None => Options::default(),
        Some(file) => Options::load(file).map_err(|error| usage(error.to_string()))?,
    };
    Ok(NodeConfig { cluster, node, data_dir, options })
}

/// A cluster file that names this node.
fn configured(file: &Path, id: NodeId) -> Result<ClusterConfig, CliError> {
    let usage = |message: String| CliError::new(Exit::Usage, message);
    let cluster = ClusterConfig::load(file).map_err(|error| usage(error.to_string()))?;
    if cluster.node(id).is_none() {
        let ids: Vec<String> = cluster.nodes.iter().map(|n| NodeId(n.id).to_string()).collect();
        let (file, ids) = (file.display(), ids.join(", "));
        return Err(usage(format!("{file} has no node {id}: its nodes are {ids}")));
    }
    Ok(cluster)
}

/// What the data directory says, or what is made now: a new cluster, or a place in one.
fn at_home(
    globals: &Globals,
    args: &NodeArgs,
    home: &home::Home,
) -> Result<(ClusterConfig, NodeId), CliError> {
    if let Some(kept) = home.load()? {
        return Ok(kept);
    }
    // Before a place in a cluster is taken that this directory could not fill.
    if (args.bootstrap || args.join.is_some()) && crate::node::has_started(home.root()) {
        let message = format!(
            "{} has the data of a node that was started with --config: start it so again, or name \
             an empty directory for a new node",
            home.root().display()
        );
        return Err(CliError::local(message));
    }
    if args.bootstrap {
        return bootstrap::make(home, &args.name, &args.listen);
    }
    if let Some(member) = &args.join {
        let from = std::env::var("FAASM_JOIN_TOKEN").ok().filter(|token| !token.is_empty());
        let token = globals.token.clone().or(from).ok_or_else(|| {
            let message = "a node joins with a token: `faasm nodes token` on the cluster prints \
                           one for --token";
            CliError::new(Exit::Usage, message)
        })?;
        let token = token.as_str();
        let (replaces, listen) = (args.replace, &args.listen);
        return join::join(home, &join::Joining { member, token, replaces, listen });
    }
    let message = format!(
        "{} is the directory of no node yet: begin a cluster with --bootstrap, join one with \
         --join ADDR --token TOKEN, or name a cluster file with --config and --id",
        home.root().display()
    );
    Err(CliError::new(Exit::Usage, message))
}

/// The node's life, from its start to its stop.
async fn live(config: NodeConfig) -> Result<(), CliError> {
    // Before the node starts: a signal during the start must not be lost.
    let mut stop = StopSignals::new()?;
    let id = config.node;
    let node = tokio::select! {
        started = Node::start(config) => {
            started.map_err(|error| CliError::local(format!("{id} could not start: {error:#}")))?
        }
        name = stop.next() => {
            tracing::info!("{name} during the start: ending");
            return Ok(());
        }
    };
    tracing::info!(http = %node.http(), "the node serves");
    let mut ended = Ok(());
    tokio::select! {
        name = stop.next() => tracing::info!("{name}: stopping"),
        ending = node.ends() => match ending {
            Ending::Removed => tracing::info!("{id} was removed from the cluster: stopping"),
            Ending::Failed(why) => {
                tracing::error!(%why, "the node cannot go on: stopping");
                ended = Err(CliError::local(format!("{id} stopped: {why}")));
            }
        },
    }
    let stopping = tokio::time::timeout(STOP_GRACE + STOP_MARGIN, node.stop(STOP_GRACE));
    tokio::select! {
        stopped = stopping => match stopped {
            Ok(()) => tracing::info!("stopped"),
            Err(_) => tracing::warn!("the stop took too long: ending anyway"),
        },
        name = stop.next() => tracing::warn!("{name} again: ending at once"),
    }
    ended
}

/// SIGTERM and SIGINT.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> Result<Self, CliError> {
        let failed = |error| CliError::local(format!("signals cannot be heard: {error}"));
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Connections are files: raises the limit to what the system allows.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files stays at {:?}", limit.current);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(config: &Path, id: u64) -> NodeArgs {
        NodeArgs {
            config: Some(config.to_owned()),
            id: Some(NodeId(id)),
            bootstrap: false,
            name: "faasm".to_owned(),
            join: None,
            replace: None,
            listen: listen::Listen::default(),
            log: LogFormat::Human,
            options: None,
            detach: false,
        }
    }

    #[test]
    fn a_node_needs_its_directory_and_its_place_in_the_cluster() {
        let local = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/local.toml");
        let none = Globals::default();
        let error = config(&none, &args(&local, 1)).unwrap_err();
        assert!(error.exit == Exit::Usage && error.message.contains("--data-dir"), "{error}");
        let globals = Globals { data_dir: Some("/d".into()), ..Globals::default() };
        assert_eq!(config(&globals, &args(&local, 3)).unwrap().node, NodeId(3));
        let error = config(&globals, &args(&local, 9)).unwrap_err();
        assert!(error.message.contains("n9") && error.message.contains("n1, n2, n3"), "{error}");
        let error = config(&globals, &args(Path::new("/no/file.toml"), 1)).unwrap_err();
        assert!(error.message.contains("/no/file.toml"), "{error}");
    }

    #[test]
    fn the_directory_of_another_node_is_not_joined_with() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("identity.json"), "{}").unwrap();
        let globals = Globals {
            data_dir: Some(dir.path().to_owned()),
            token: Some("faasm_join_1_2".to_owned()),
            ..Globals::default()
        };
        let none = args(Path::new("none"), 1);
        let begins = NodeArgs { config: None, id: None, bootstrap: true, ..none };
        let error = config(&globals, &begins).unwrap_err();
        assert!(error.message.contains("the data of a node"), "{error}");
        let joins = NodeArgs { bootstrap: false, join: Some("127.0.0.1:1".to_owned()), ..begins };
        let error = config(&globals, &joins).unwrap_err();
        assert!(error.message.contains("the data of a node"), "{error}");
    }
}
