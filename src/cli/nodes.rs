//! `faasm nodes`.

use clap::Args;

use super::client::{Ask, Client};
use super::exit::CliError;
use super::table::{Table, micros, or_dash, yes_no};
use super::{Globals, out};
use crate::gateway::view::NodesView;

/// Arguments of `faasm nodes`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  faasm nodes --json")]
pub struct NodesArgs {}

/// Lists the nodes, as the first one that answers sees them.
pub fn list(globals: &Globals, _args: &NodesArgs) -> Result<(), CliError> {
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
        let role = match (node.leader, node.voter) {
            (true, _) => "leader",
            (false, true) => "voter",
            (false, false) => "follower",
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
