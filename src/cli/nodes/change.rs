//! `faasm nodes drain|undrain|remove`.

use std::time::{Duration, Instant};

use crate::cli::client::{ANSWER, Ask, Client};
use crate::cli::cluster::interrupt::Interrupt;
use crate::cli::exit::{CliError, Exit};
use crate::cli::{Globals, out};
use crate::gateway::join_view::{ChangedView, SelfView};
use crate::gateway::view::NodesView;
use crate::id::NodeId;

/// Between two looks at a node that drains.
const LOOK: Duration = Duration::from_millis(200);

/// Tells a node to drain, and waits until nothing of the cluster depends on it.
pub fn drain(globals: &Globals, node: NodeId, within: Duration) -> Result<(), CliError> {
    let client = Client::find(globals)?;
    drain_and_wait(&client, node, within)?;
    say(globals, node, "drained")
}

/// Lets a node take calls again.
pub fn undrain(globals: &Globals, node: NodeId) -> Result<(), CliError> {
    let path = format!("/v1/nodes/{node}/drain");
    let view: ChangedView = Client::find(globals)?.json(ask("DELETE", &path))?;
    say(globals, node, &view.state)
}

/// Drains a node if it is up, and removes it.
pub fn remove(
    globals: &Globals,
    node: NodeId,
    within: Duration,
    force: bool,
) -> Result<(), CliError> {
    let client = Client::find(globals)?;
    let nodes: NodesView = client.json(Ask::get("/v1/nodes"))?;
    let up = nodes.nodes.iter().any(|n| n.node == node.to_string() && n.session.is_some());
    if up && !force {
        drain_and_wait(&client, node, within)?;
    }
    let path = format!("/v1/nodes/{node}{}", if force { "?force" } else { "" });
    let view: ChangedView = client.json(ask("DELETE", &path))?;
    say(globals, node, &view.state)
}

fn drain_and_wait(client: &Client, node: NodeId, within: Duration) -> Result<(), CliError> {
    let deadline = Instant::now() + within;
    let interrupt = Interrupt::watch()?;
    let _: ChangedView = client.json(ask("PUT", &format!("/v1/nodes/{node}/drain")))?;
    let mut idle = false;
    loop {
        let nodes: NodesView = client.json(Ask::get("/v1/nodes"))?;
        let Some(view) = nodes.nodes.iter().find(|view| view.node == node.to_string()) else {
            return Ok(());
        };
        if view.session.is_none() {
            return Ok(());
        }
        let state: SelfView = client.json_at(&view.http, Ask::get("/v1/nodes/self"))?;
        // Twice: a request that came before the node knew may not be a call yet.
        let was_idle = std::mem::replace(&mut idle, is_idle(&state));
        if was_idle && idle {
            return Ok(());
        }
        if Instant::now() > deadline {
            let message = format!(
                "{node} drains, but is not done after {} s: {} calls run there, {} blobs and {} \
                 results of calls have no other copy, {} shards of the state are still to be \
                 copied{}; wait on with the same command, or `faasm nodes remove {node} --force`",
                within.as_secs(),
                state.calls,
                state.blobs,
                state.results,
                state.shards,
                if state.voter { ", and it still votes" } else { "" }
            );
            return Err(CliError::new(Exit::TimedOut, message));
        }
        if interrupt.wait(LOOK) {
            let message = format!("interrupted; {node} drains on: `faasm nodes undrain {node}`");
            return Err(CliError::local(message));
        }
    }
}

/// Whether nothing of the cluster depends on a node.
fn is_idle(state: &SelfView) -> bool {
    let left = state.calls + state.blobs + state.results + state.shards;
    state.draining && !state.voter && left == 0
}

fn say(globals: &Globals, node: NodeId, state: &str) -> Result<(), CliError> {
    let view = ChangedView { node: node.to_string(), state: state.to_owned() };
    match globals.json {
        true => out::json(&view),
        false => out::line(format!("{node} is {state}")),
    }
}

fn ask<'a>(method: &'a str, path: &'a str) -> Ask<'a> {
    Ask { method, path, body: &[], within: ANSWER }
}
