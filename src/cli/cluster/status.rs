//! `faasm cluster status`, and the table that `up` prints too.

use std::time::Duration;

use serde::Serialize;

use super::layout::Layout;
use super::process::Process;
use crate::cli::client::{Ask, Client};
use crate::cli::credentials::Credentials;
use crate::cli::exit::{CliError, Exit};
use crate::cli::table::{Table, or_dash, yes_no};
use crate::cli::{Globals, out};
use crate::config::{ClusterConfig, NodeAddress};
use crate::gateway::view::ReadyView;
use crate::id::NodeId;

/// Longest time for a node to say whether it is ready.
const PROBE: Duration = Duration::from_secs(2);

/// How a node of this machine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    node: String,
    /// Its process, if it runs.
    pid: Option<i32>,
    up: bool,
    /// Whether it takes calls.
    pub ready: bool,
    leader: bool,
    http: String,
    /// Of its HTTP API.
    url: String,
    quic: String,
}

#[derive(Debug, Serialize)]
struct StatusView<'a> {
    name: &'a str,
    id: Option<&'a str>,
    data_dir: String,
    nodes: &'a [Status],
}

/// Prints how each node is.
pub fn run(globals: &Globals, layout: &Layout) -> Result<(), CliError> {
    let config = layout.load()?;
    let nodes = all(layout, &config);
    print(globals, layout, &config, &nodes)?;
    let ready = nodes.iter().filter(|node| node.ready).count();
    if ready == nodes.len() {
        return Ok(());
    }
    let dir = layout.root().display();
    let message = format!(
        "{ready} of {} nodes are ready; `faasm cluster up --data-dir {dir}` starts those that are \
         down, their logs are {dir}/nN/node.log",
        nodes.len()
    );
    Err(CliError::new(Exit::Unreachable, message))
}

/// Looks at every node.
pub fn all(layout: &Layout, config: &ClusterConfig) -> Vec<Status> {
    config.nodes.iter().map(|node| look(layout, node)).collect()
}

/// Prints a table, or JSON.
pub fn print(
    globals: &Globals,
    layout: &Layout,
    config: &ClusterConfig,
    nodes: &[Status],
) -> Result<(), CliError> {
    if globals.json {
        let data_dir = layout.root().display().to_string();
        let view = StatusView { name: &config.name, id: config.id.as_deref(), data_dir, nodes };
        return out::json(&view);
    }
    out::line(table(nodes))
}

fn look(layout: &Layout, node: &NodeAddress) -> Status {
    let id = NodeId(node.id);
    let running = Process::read(&layout.pid(id)).and_then(|process| process.running());
    let said = running.as_ref().and_then(|_| probe(layout, node));
    Status {
        node: id.to_string(),
        pid: running.as_ref().map(|running| running.pid),
        up: running.is_some(),
        ready: said.as_ref().is_some_and(|said| said.ready && said.node == id.to_string()),
        leader: said.is_some_and(|said| said.leader == Some(id.to_string())),
        http: node.http.to_string(),
        url: layout.base(node),
        quic: node.quic.to_string(),
    }
}

/// What the node at an address says of itself; none when it does not answer.
fn probe(layout: &Layout, node: &NodeAddress) -> Option<ReadyView> {
    let base = layout.base(node);
    // Readiness needs no token.
    let known = Credentials::default().or_local(layout).ok()?;
    let client = Client::of_url(&base, Credentials { token: None, ..known }).ok()?;
    // 200 and 503 have the same body.
    let (_, reply) = client.send(&base, Ask { within: PROBE, ..Ask::get("/readyz") }).ok()?;
    reply.json().ok()
}

fn table(nodes: &[Status]) -> Table {
    let mut table = Table::new(&["NODE", "STATE", "PID", "READY", "LEADER", "HTTP", "QUIC"]);
    for node in nodes {
        table.row([
            node.node.clone(),
            if node.up { "up" } else { "down" }.to_owned(),
            or_dash(node.pid),
            yes_no(node.ready),
            yes_no(node.leader),
            node.url.clone(),
            node.quic.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::make::{Wanted, make};
    use super::*;

    #[test]
    fn nodes_that_never_ran_are_down() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let config = make(&layout, &Wanted { name: "t", nodes: 2, config: None }).unwrap();
        let nodes = all(&layout, &config);
        assert!(nodes.iter().all(|node| !node.up && !node.ready && node.pid.is_none()));
        let text = table(&nodes).to_string();
        assert!(text.contains("n2    down   -    no     no      http://127.0.0.1:"), "{text}");
        let error = run(&Globals { json: true, ..Globals::default() }, &layout).unwrap_err();
        assert!(error.exit == Exit::Unreachable && error.message.contains("0 of 2"), "{error}");
    }
}
