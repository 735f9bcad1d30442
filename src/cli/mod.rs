//! The command line: `faasm node`, and the client of a cluster.
//!
//! Each command is a file: its arguments, and a function that runs it. [`client`] speaks HTTP,
//! [`exit`] says how the process ends, [`table`] what people read.

mod authority;
mod bundle;
mod calls;
mod cert;
mod client;
mod cluster;
mod credentials;
mod exit;
mod functions;
mod invoke;
mod jobs;
mod mpirun;
mod node;
mod nodes;
mod out;
mod program;
mod secret;
mod state;
mod table;
mod tls;
mod transfer;
mod user;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::exit::{CliError, Exit};
use crate::gateway::view::ErrorBody;

/// Runs WebAssembly functions on a cluster of equal nodes.
#[derive(Debug, Parser)]
#[command(name = "faasm", version, after_help = exit::HELP, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
pub struct Globals {
    /// The local cluster's directory [env: FAASM_DATA_DIR; default: ~/.local/share/faasm]; for
    /// `faasm node`, the node's own.
    #[arg(long, global = true, value_name = "D", help_heading = "Cluster")]
    pub data_dir: Option<PathBuf>,
    /// Any other cluster: the HTTP address of one of its nodes [env: FAASM_CLUSTER].
    #[arg(long, global = true, value_name = "URL", help_heading = "Cluster")]
    pub cluster: Option<String>,
    /// The token that says who you are [env: FAASM_TOKEN; default: the local cluster's].
    #[arg(long, global = true, value_name = "TOKEN", help_heading = "Cluster")]
    pub token: Option<String>,
    /// The certificate of the cluster's authority, for https [env: FAASM_CA; default: the local
    /// cluster's].
    #[arg(long, global = true, value_name = "FILE", help_heading = "Cluster")]
    pub ca: Option<PathBuf>,
    /// Print JSON instead of tables.
    #[arg(long, global = true, help_heading = "Cluster")]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start, stop or look at a cluster on this machine.
    Cluster(cluster::ClusterArgs),
    /// Register a function, or a new version of it.
    Upload(functions::UploadArgs),
    /// Run a function: its output goes to stdout, its result becomes the exit code.
    Invoke(invoke::InvokeArgs),
    /// Run an MPI program as a job of ranks: their output goes to stdout as it comes.
    Mpirun(mpirun::MpirunArgs),
    /// Show the record of a call.
    Status(calls::StatusArgs),
    /// Print the output of a call.
    Output(calls::OutputArgs),
    /// Print what a call wrote to stdout and stderr.
    Logs(calls::LogsArgs),
    /// End a call and all below it.
    Cancel(calls::CancelArgs),
    /// List the calls that wait or run.
    Ps(calls::PsArgs),
    /// List the nodes.
    Nodes(nodes::NodesArgs),
    /// List the functions.
    Functions(functions::FunctionsArgs),
    /// Remove a function.
    Delete(functions::DeleteArgs),
    /// List, read, write and remove values of the state.
    State(state::StateArgs),
    /// List the global locks on values: who holds them, who waits.
    Locks(state::tables::LocksArgs),
    /// List the shards of the state: who owns them, who has copies.
    Shards(state::tables::ShardsArgs),
    /// Add and remove users, their limits and tokens.
    User(user::UserArgs),
    /// Rotate and list certificates; make those of a cluster whose file is made by hand.
    Cert(cert::CertArgs),
    /// Run one node, until SIGTERM or SIGINT.
    Node(node::NodeArgs),
}

/// Parses the command line and runs it. The exit codes are those of [`exit::HELP`].
pub fn main() -> ExitCode {
    // What people are used to from other MPIs.
    let mut seen = false;
    let line = std::env::args_os().map(|arg| match !seen && arg == "-np" {
        // A second one is the program's own.
        true => {
            seen = true;
            "-n".into()
        }
        false => arg,
    });
    let cli = match parse(line.collect()) {
        Ok(cli) => cli,
        Err(error) => {
            // A pipe that was closed is no error of ours, and there is nowhere else to say it.
            let _printed = error.print();
            let code = if error.use_stderr() { Exit::Usage as u8 } else { 0 };
            return ExitCode::from(code);
        }
    };
    let json = cli.globals.json;
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("faasm: error: {error}");
            if let (true, Some(answer)) = (json, &error.answer) {
                // Said on stderr already, should stdout be gone.
                let _printed = out::json(&ErrorBody { error: (**answer).clone() }).is_ok();
            }
            ExitCode::from(error.exit as u8)
        }
    }
}

fn parse(line: Vec<OsString>) -> Result<Cli, clap::Error> {
    let cli = Cli::try_parse_from(&line)?;
    match &cli.command {
        Command::Mpirun(args) => args.reordered(&line).map_or(Ok(cli), Cli::try_parse_from),
        _ => Ok(cli),
    }
}

fn run(cli: Cli) -> Result<u8, CliError> {
    let globals = &cli.globals;
    match cli.command {
        Command::Invoke(args) => return invoke::run(globals, &args),
        Command::Mpirun(args) => return mpirun::run(globals, &args),
        Command::Node(args) => node::run(globals, &args),
        Command::Cluster(args) => cluster::run(globals, args),
        Command::Upload(args) => functions::upload(globals, &args),
        Command::Functions(args) => functions::list(globals, &args),
        Command::Delete(args) => functions::delete(globals, &args),
        Command::Status(args) => calls::status(globals, &args),
        Command::Output(args) => calls::output(globals, &args),
        Command::Logs(args) => calls::logs(globals, &args),
        Command::Cancel(args) => calls::cancel(globals, &args),
        Command::Ps(args) => calls::ps(globals, &args),
        Command::Nodes(args) => nodes::run(globals, &args),
        Command::State(args) => state::run(globals, args),
        Command::Locks(args) => state::tables::locks(globals, &args),
        Command::Shards(args) => state::tables::shards(globals, &args),
        Command::User(args) => user::run(globals, args),
        Command::Cert(args) => cert::run(globals, &args),
    }
    .map(|()| 0)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Every command below `command`, with its path.
    fn all(command: &clap::Command, path: &str) -> Vec<(String, clap::Command)> {
        let mut found = Vec::new();
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let path = format!("{path} {}", sub.get_name());
            found.push((path.clone(), sub.clone()));
            found.extend(all(sub, &path));
        }
        found
    }

    #[test]
    fn the_definition_is_sound_and_every_help_has_an_example() {
        let mut root = Cli::command();
        root.build();
        root.clone().debug_assert();
        let commands = all(&root, "faasm");
        assert!(commands.len() >= 18, "{} commands", commands.len());
        for (path, mut command) in commands {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example"), "{path} has no example:\n{help}");
            assert!(help.contains(&path), "the example of {path} does not show it:\n{help}");
        }
        assert!(root.render_long_help().to_string().contains("Exit codes"));
    }

    #[test]
    fn every_example_parses() {
        let mut root = Cli::command();
        root.build();
        for (path, mut command) in all(&root, "faasm") {
            let help = command.render_long_help().to_string();
            let examples = help.split("Example").nth(1).unwrap_or_default();
            for line in examples.lines().filter_map(|line| line.trim().strip_prefix("faasm ")) {
                let line = line.split(" | ").next().unwrap_or_default();
                let line = line.split(" > ").next().unwrap_or_default();
                let words = line.split_whitespace().map(|word| word.trim_matches('"'));
                let parsed = Cli::try_parse_from(std::iter::once("faasm").chain(words));
                assert!(parsed.is_ok(), "an example of {path}: faasm {line}: {parsed:?}");
            }
        }
    }

    #[test]
    fn globals_are_taken_before_and_after_the_command() {
        for line in [
            ["faasm", "--data-dir", "/d", "ps", "--json"],
            ["faasm", "ps", "--json", "--data-dir", "/d"],
        ] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(cli.globals.data_dir.as_deref(), Some(std::path::Path::new("/d")));
            assert!(cli.globals.json);
        }
    }
}
