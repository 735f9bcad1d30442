//! `faasm nodes`.

mod change;
mod token;

use std::time::Duration;

use clap::{Args, Subcommand};

use super::client::{Ask, Client};
use super::exit::CliError;
use super::table::{Table, micros, or_dash, yes_no};
use super::{Globals, out};
use crate::config::units::parse_duration;
use crate::gateway::view::NodesView;
use crate::id::NodeId;

/// Arguments of `faasm nodes`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  faasm nodes --json
  faasm nodes token
  faasm nodes drain n3
  faasm nodes remove n3")]
pub struct NodesArgs {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a join token, with which new nodes come in; list or revoke the open ones.
    #[command(after_help = "\
Examples:
  faasm nodes token
  faasm nodes token --uses 5 --expires 1h
  faasm nodes token --list
  faasm nodes token --revoke 0123456789ab")]
    Token {
        /// How long it is good for.
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_duration)]
        expires: Duration,
        /// How many nodes it lets in.
        #[arg(long, value_name = "N", default_value_t = 1)]
        uses: u32,
        /// List the open tokens by name instead.
        #[arg(long, conflicts_with = "revoke")]
        list: bool,
        /// Revoke the token of this name instead.
        #[arg(long, value_name = "NAME")]
        revoke: Option<String>,
    },
    /// Take a node out of service: no new calls; its running calls, its vote and its blobs leave.
    #[command(after_help = "\
Example:
  faasm nodes drain n3 --timeout 10m

Returns when nothing depends on the node any more; it may be stopped or removed then.")]
    Drain {
        /// Which.
        node: NodeId,
        /// Longest time to wait for that.
        #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration)]
        timeout: Duration,
    },
    /// Let a node that was drained take calls again.
    #[command(after_help = "\
Example:
  faasm nodes undrain n3")]
    Undrain {
        /// Which.
        node: NodeId,
    },
    /// Remove a node for ever, drained first if it is up.
    #[command(after_help = "\
Examples:
  faasm nodes remove n3
  faasm nodes remove n3 --force

Its id is never given again, and its certificate is void at once. To come back it joins with an
empty data directory.")]
    Remove {
        /// Which.
        node: NodeId,
        /// Longest time to wait for it to be drained.
        #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration)]
        timeout: Duration,
        /// Do not drain: what runs there ends.
        #[arg(long)]
        force: bool,
    },
}

/// Runs `faasm nodes`.
pub fn run(globals: &Globals, args: &NodesArgs) -> Result<(), CliError> {
    match &args.command {
        None => list(globals),
        Some(Command::Token { revoke: Some(name), .. }) => token::revoke(globals, name),
        Some(Command::Token { list: true, .. }) => token::list(globals),
        Some(Command::Token { expires, uses, .. }) => token::make(globals, *expires, *uses),
        Some(Command::Drain { node, timeout }) => change::drain(globals, *node, *timeout),
        Some(Command::Undrain { node }) => change::undrain(globals, *node),
        Some(Command::Remove { node, timeout, force }) => {
            change::remove(globals, *node, *timeout, *force)
        }
    }
}

/// Lists the nodes, as the first one that answers sees them.
fn list(globals: &Globals) -> Result<(), CliError> {
    let nodes: NodesView = Client::find(globals)?.json(Ask::get("/v1/nodes"))?;
    match globals.json {
        true => out::json(&nodes),
        false => {
            let leader = or_dash(nodes.leader.as_ref());
            let seen = format!(
                "as {} sees them; leader {leader}, term {}, applied {}",
                nodes.answered_by, nodes.term, nodes.applied
            );
            out::line(format!("{}\n\n{seen}", table(&nodes)))
        }
    }
}

fn table(view: &NodesView) -> Table {
    let headings = ["NODE", "SESSION", "ROLE", "CONNECTED", "RTT", "HTTP", "QUIC", "ERROR"];
    let mut table = Table::new(&headings);
    for node in &view.nodes {
        let role = match (node.leader, node.voter, node.draining) {
            (_, _, true) => "draining",
            (true, _, _) => "leader",
            (false, true, _) => "voter",
            (false, false, _) => "follower",
        };
        table.row([
            node.node.clone(),
            or_dash(node.session.as_ref()),
            role.to_owned(),
            yes_no(node.connected),
            or_dash(node.rtt_us.map(micros)),
            or_dash(Some(&node.http).filter(|http| !http.is_empty())),
            node.quic.clone(),
            node.error.clone().unwrap_or_default(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::view::NodeView;

    #[test]
    fn nodes_are_a_table() {
        let node = NodeView {
            node: "n1".into(),
            voter: true,
            leader: false,
            draining: false,
            session: None,
            connected: false,
            rtt_us: Some(120),
            error: Some("refused".into()),
            quic: "127.0.0.1:2".into(),
            http: String::new(),
        };
        let view = NodesView {
            answered_by: "n2".into(),
            leader: None,
            term: 1,
            commit: 2,
            applied: 2,
            nodes: vec![node],
        };
        let expected = "\
NODE  SESSION  ROLE   CONNECTED  RTT    HTTP  QUIC         ERROR
n1    -        voter  no         120µs  -     127.0.0.1:2  refused";
        assert_eq!(table(&view).to_string(), expected);
    }
}
