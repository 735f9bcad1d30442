//! `faasm cluster`: a cluster on this machine, each node a process of its own.
//!
//! | file | what it decides |
//! |---|---|
//! | [`layout`] | where things are in the data directory |
//! | [`make`] | a new cluster: addresses, authority, cluster file |
//! | [`process`] | whether a process is the one that was started |
//! | [`up`], [`down`], [`status`] | the commands |

mod down;
pub mod interrupt;
pub mod layout;
pub mod make;
mod process;
mod status;
mod up;

use clap::{Args, Subcommand};

use super::exit::CliError;
use super::{Globals, client};

/// Arguments of `faasm cluster`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  faasm cluster up --nodes 3
  faasm cluster status
  faasm cluster down")]
pub struct ClusterArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the nodes that do not run; make the cluster first if there is none.
    Up(up::UpArgs),
    /// Stop all nodes; their data stays.
    #[command(after_help = "\
Example:
  faasm cluster down")]
    Down,
    /// Show each node's process, readiness and addresses.
    #[command(after_help = "\
Example:
  faasm cluster status --json

The exit code is 0 when all nodes are ready, else 121.")]
    Status,
}

/// Runs `faasm cluster`.
pub fn run(globals: &Globals, args: ClusterArgs) -> Result<(), CliError> {
    let layout = layout::Layout::new(&client::data_dir(globals)?);
    match args.command {
        Command::Up(args) => up::run(globals, &layout, &args),
        Command::Down => down::run(globals, &layout),
        Command::Status => status::run(globals, &layout),
    }
}
