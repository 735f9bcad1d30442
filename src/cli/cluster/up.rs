//! `faasm cluster up`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;

use super::down::{self, forget};
use super::interrupt::Interrupt;
use super::layout::Layout;
use super::make::{self, Wanted};
use super::process::{Process, Running};
use super::status;
use crate::cli::exit::CliError;
use crate::cli::{Globals, out};
use crate::config::{ClusterConfig, MAX_NODES};
use crate::id::NodeId;
use crate::telemetry::LogFormat;

/// Nodes of a new cluster when nothing says how many: the fewest that survive a loss.
const DEFAULT_NODES: usize = 3;
/// Longest time until all nodes are ready.
const READY: Duration = Duration::from_secs(60);
/// Between two looks at the nodes.
const LOOK: Duration = Duration::from_millis(50);
/// Longest time for what is left of a killed node to go: it unmaps all its instances.
const ENDING: Duration = Duration::from_secs(10);
/// Time that nodes get to stop when the start failed.
const GIVE_UP: Duration = Duration::from_secs(5);
/// Lines of a log that are shown.
const TAIL_LINES: usize = 20;
/// Bytes of a log that are read for them.
const TAIL_BYTES: u64 = 16 << 10;

/// Arguments of `faasm cluster up`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  faasm cluster up
  faasm cluster up --nodes 1 --data-dir /tmp/one
  faasm cluster up --config cluster/local.toml

A cluster that is up is left alone; of one that is partly up, the nodes that are down are started.
Clusters in different data directories never collide.")]
pub struct UpArgs {
    /// How many nodes a new cluster has [default: 3].
    #[arg(long, value_name = "N", conflicts_with = "config",
          value_parser = clap::value_parser!(u16).range(1..=MAX_NODES as i64))]
    nodes: Option<u16>,
    /// A file with the nodes and addresses of a new cluster; else free ports are picked.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Settings of the components, for this start and later ones.
    #[arg(long, value_name = "FILE")]
    options: Option<PathBuf>,
    /// How log lines look.
    #[arg(long, value_name = "FORMAT", default_value_t)]
    log: LogFormat,
}

/// Starts what does not run, and waits until all nodes are ready.
pub fn run(globals: &Globals, layout: &Layout, args: &UpArgs) -> Result<(), CliError> {
    let root = layout.root();
    std::fs::create_dir_all(root).map_err(|error| CliError::file(root, &error))?;
    let _lock = layout.lock()?;
    let config = prepare(layout, args)?;
    let before = status::all(layout, &config);
    if before.iter().all(|node| node.ready) {
        if !globals.json {
            out::line("The cluster is up already.\n")?;
        }
        return status::print(globals, layout, &config, &before);
    }
    let interrupt = Interrupt::watch()?;
    let mut started = Vec::new();
    let ready = wait_ready(layout, &config, args.log, &mut started, &interrupt);
    match ready {
        Ok(nodes) => {
            status::print(globals, layout, &config, &nodes)?;
            if globals.json { Ok(()) } else { out::line(next_steps(globals)) }
        }
        Err(error) => {
            give_up(layout, started);
            Err(error)
        }
    }
}

/// The cluster that is there, or a new one.
fn prepare(layout: &Layout, args: &UpArgs) -> Result<ClusterConfig, CliError> {
    let (nodes, file) = (args.nodes.map(usize::from), args.config.as_deref());
    if let Some(options) = &args.options {
        make::keep_options(layout, options)?;
    }
    let config = if layout.config().exists() {
        let config = layout.load()?;
        make::check_fits(layout, &config, nodes, file)?;
        config
    } else {
        let nodes = nodes.unwrap_or(DEFAULT_NODES);
        make::make(layout, &Wanted { name: "local", nodes, config: file })?
    };
    make::issue_certificates(layout, &config)?;
    Ok(config)
}

/// A node that this command started.
struct Started {
    id: NodeId,
    child: Child,
    /// Taken while it surely is the child's.
    process: Option<Process>,
    /// Length of its log before.
    log_from: u64,
}

fn start_missing(
    layout: &Layout,
    config: &ClusterConfig,
    log: LogFormat,
    started: &mut Vec<Started>,
) -> Result<(), CliError> {
    for node in &config.nodes {
        let id = NodeId(node.id);
        if started.iter().any(|started| started.id == id) {
            continue;
        }
        let before = Process::read(&layout.pid(id));
        if before.as_ref().and_then(Process::running).is_none() {
            if before.is_some_and(|before| !before.wait_gone(Instant::now() + ENDING)) {
                let text = format!("the process that was {id} ends, but has not ended; try again");
                return Err(CliError::local(text));
            }
            // Known before anything else can fail: what was started is stopped then.
            started.push(start(layout, id, log)?);
            started.last().map_or(Ok(()), |node| note(layout, node))?;
        }
    }
    Ok(())
}

/// Starts one node, in a session of its own.
fn start(layout: &Layout, id: NodeId, format: LogFormat) -> Result<Started, CliError> {
    let dir = layout.node(id);
    std::fs::create_dir_all(&dir).map_err(|error| CliError::file(&dir, &error))?;
    let path = layout.log(id);
    let failed = |error| CliError::file(&path, &error);
    let log = File::options().create(true).append(true).open(&path).map_err(failed)?;
    let log_from = log.metadata().map_err(failed)?.len();
    let binary = std::env::current_exe()
        .map_err(|error| CliError::local(format!("the faasm binary is not found: {error}")))?;
    let mut command = Command::new(&binary);
    command.arg("node").arg("--detach").arg("--config").arg(layout.config());
    command.arg("--id").arg(id.to_string()).arg("--data-dir").arg(&dir);
    command.arg("--log").arg(format.to_string());
    if layout.options().exists() {
        command.arg("--options").arg(layout.options());
    }
    command.stdin(Stdio::null()).stdout(log.try_clone().map_err(failed)?).stderr(log);
    let child = command.spawn().map_err(|error| CliError::file(&binary, &error))?;
    let process = Process::of(child.id());
    Ok(Started { id, child, process, log_from })
}

/// Writes a node's pid file.
fn note(layout: &Layout, node: &Started) -> Result<(), CliError> {
    match &node.process {
        Some(process) => process.write(&layout.pid(node.id)),
        None => Err(died(layout, node)),
    }
}

/// Starts what does not run and waits until every node is ready, or one that was started has ended.
/// One that seemed to run may have been killed just before: then it is started as soon as it is
/// seen to be gone.
fn wait_ready(
    layout: &Layout,
    config: &ClusterConfig,
    log: LogFormat,
    started: &mut Vec<Started>,
    interrupt: &Interrupt,
) -> Result<Vec<status::Status>, CliError> {
    let deadline = Instant::now() + READY;
    loop {
        start_missing(layout, config, log, started)?;
        for node in started.iter_mut() {
            let ended = node.child.try_wait();
            if !matches!(ended, Ok(None)) {
                return Err(died(layout, node));
            }
        }
        let nodes = status::all(layout, config);
        if nodes.iter().all(|node| node.ready) {
            return Ok(nodes);
        }
        if Instant::now() > deadline {
            return Err(late(layout, config, &nodes));
        }
        if interrupt.wait(LOOK) {
            return Err(CliError::local("interrupted: the nodes that were started are stopped"));
        }
    }
}

/// Stops what this command started.
fn give_up(layout: &Layout, started: Vec<Started>) {
    let running: Vec<Option<Running>> =
        started.iter().map(|node| node.process.as_ref().and_then(Process::running)).collect();
    down::stop(&running, GIVE_UP);
    for mut node in started {
        // Both can only fail after the node is gone, which is what was wanted.
        let _gone = node.child.try_wait().is_ok();
        let _forgotten = forget(layout, node.id).is_ok();
    }
}

fn died(layout: &Layout, node: &Started) -> CliError {
    let path = layout.log(node.id);
    let tail = tail(&path, node.log_from);
    CliError::local(format!("{} ended at its start; its log, {}:\n{tail}", node.id, path.display()))
}

fn late(layout: &Layout, config: &ClusterConfig, nodes: &[status::Status]) -> CliError {
    let missing = config.nodes.iter().zip(nodes).filter(|(_, node)| !node.ready);
    let mut message = format!("not ready within {} s:", READY.as_secs());
    for (address, _) in missing {
        let id = NodeId(address.id);
        let path = layout.log(id);
        let tail = tail(&path, 0);
        message.push_str(&format!(" {id}; the end of its log, {}:\n{tail}", path.display()));
    }
    CliError::local(message)
}

/// The last lines of a log, of what was written past `from`.
fn tail(path: &Path, from: u64) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(TAIL_BYTES))))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Err(error) => format!("  ({error})"),
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().collect();
            let skipped = lines.len().saturating_sub(TAIL_LINES);
            let shown = lines.iter().skip(skipped).map(|line| format!("  {line}"));
            shown.collect::<Vec<_>>().join("\n")
        }
    }
}

fn next_steps(globals: &Globals) -> String {
    let dir = match &globals.data_dir {
        None => String::new(),
        Some(dir) => format!(" --data-dir {}", dir.display()),
    };
    format!(
        "\nNext:\n  faasm upload{dir} alice/hello hello.wasm\n  faasm invoke{dir} alice/hello \
         --input world\n  faasm cluster{dir} down"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_shown_from_where_it_began() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.log");
        let old = "old\n";
        let new: String = (1..=30).map(|n| format!("line {n}\n")).collect();
        std::fs::write(&path, format!("{old}{new}")).unwrap();
        let text = tail(&path, old.len() as u64);
        assert_eq!(text.lines().count(), TAIL_LINES);
        assert!(text.starts_with("  line 11\n") && text.ends_with("  line 30"), "{text}");
        std::fs::write(&path, "old\n").unwrap();
        assert_eq!(tail(&path, 4), "");
        assert!(tail(&dir.path().join("none"), 0).contains("No such file"));
    }

    #[test]
    fn the_next_steps_name_the_directory_that_was_given() {
        let globals = Globals { data_dir: Some("/d".into()), ..Globals::default() };
        assert!(next_steps(&globals).contains("faasm cluster --data-dir /d down"));
        assert!(next_steps(&Globals::default()).contains("faasm cluster down"));
    }
}
