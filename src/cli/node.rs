//! `faasm node`: runs one node until it is told to stop.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Globals;
use super::exit::{CliError, Exit};
use crate::config::{ClusterConfig, NodeConfig, Options};
use crate::id::NodeId;
use crate::node::Node;
use crate::telemetry::{self, LogFormat};

/// Time that calls under way get to end when the node is told to stop.
pub const STOP_GRACE: Duration = Duration::from_secs(10);
/// What a stop may take on top of that before the process ends anyway.
const STOP_MARGIN: Duration = Duration::from_secs(3);
/// What tasks that nobody waits for may take at the very end.
const RUNTIME_GRACE: Duration = Duration::from_secs(1);

/// Arguments of `faasm node`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  faasm node --config cluster/local.toml --id 1 --data-dir /var/lib/faasm

The log goes to stderr; FAASM_LOG filters it, as in FAASM_LOG=info,faasm::calls=debug. SIGTERM and
SIGINT stop the node: running calls get 10 s to end. A second one ends it at once.")]
pub struct NodeArgs {
    /// What the cluster is.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Which of its nodes this is.
    #[arg(long, value_name = "N")]
    id: NodeId,
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
    telemetry::init_log(args.id, args.log).map_err(|why| CliError::new(Exit::Usage, why))?;
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
    let cluster = ClusterConfig::load(&args.config).map_err(|error| usage(error.to_string()))?;
    if cluster.node(args.id).is_none() {
        let ids: Vec<String> = cluster.nodes.iter().map(|n| NodeId(n.id).to_string()).collect();
        let (file, ids) = (args.config.display(), ids.join(", "));
        return Err(usage(format!("{file} has no node {}: its nodes are {ids}", args.id)));
    }
    let options = match &args.options {
        None => Options::default(),
        Some(file) => Options::load(file).map_err(|error| usage(error.to_string()))?,
    };
    Ok(NodeConfig { cluster, node: args.id, data_dir, options })
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
        why = node.failed() => {
            tracing::error!(%why, "the node cannot go on: stopping");
            ended = Err(CliError::local(format!("{id} stopped: {why}")));
        }
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
    use std::path::Path;

    use super::*;

    fn args(config: &Path, id: u64) -> NodeArgs {
        NodeArgs {
            config: config.to_owned(),
            id: NodeId(id),
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
}
