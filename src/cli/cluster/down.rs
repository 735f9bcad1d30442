//! `faasm cluster down`.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::layout::Layout;
use super::process::{Process, Running};
use crate::cli::exit::CliError;
use crate::cli::node::{STOP_GRACE, STOP_MARGIN};
use crate::cli::table::{Table, or_dash};
use crate::cli::{Globals, out};
use crate::id::NodeId;

/// Time to stop before a node is killed: what it takes by its own bounds, and some.
const GRACE: Duration =
    STOP_GRACE.saturating_add(STOP_MARGIN).saturating_add(Duration::from_secs(2));
/// Time for a killed process to be gone.
const KILLED: Duration = Duration::from_secs(5);

/// How a node ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// It did not run.
    Down,
    /// It stopped when told.
    Stopped,
    /// It had to be killed.
    Killed,
    /// It is still there.
    Stuck,
}

impl End {
    fn name(self) -> &'static str {
        match self {
            Self::Down => "was down",
            Self::Stopped => "stopped",
            Self::Killed => "killed",
            Self::Stuck => "cannot be killed",
        }
    }
}

#[derive(Debug, Serialize)]
struct DownView {
    node: String,
    pid: Option<i32>,
    end: End,
}

/// Stops all nodes. Their data stays.
pub fn run(globals: &Globals, layout: &Layout) -> Result<(), CliError> {
    let config = layout.load()?;
    let _lock = layout.lock()?;
    let ids: Vec<NodeId> = config.nodes.iter().map(|node| NodeId(node.id)).collect();
    let running: Vec<Option<Running>> = ids
        .iter()
        .map(|id| Process::read(&layout.pid(*id)).and_then(|process| process.running()))
        .collect();
    let ends = stop(&running, GRACE);
    let mut views = Vec::new();
    for ((id, running), end) in ids.iter().zip(&running).zip(ends) {
        if end != End::Stuck {
            forget(layout, *id)?;
        }
        let pid = running.as_ref().map(|running| running.pid);
        views.push(DownView { node: id.to_string(), pid, end });
    }
    match globals.json {
        true => out::json(&views)?,
        false => {
            let dir = layout.root().display();
            out::line(format!("{}\n\nThe data stays in {dir}.", table(&views)))?;
        }
    }
    match views.iter().find(|view| view.end == End::Stuck) {
        None => Ok(()),
        Some(view) => Err(CliError::local(format!("{} does not end", view.node))),
    }
}

/// Ends processes, all at once: asked first, killed after `grace`. How each ended.
pub fn stop(running: &[Option<Running>], grace: Duration) -> Vec<End> {
    running.iter().flatten().for_each(Running::terminate);
    let deadline = Instant::now() + grace;
    let asked = |running: &Option<Running>| match running {
        None => End::Down,
        Some(running) if running.wait_until(deadline) => End::Stopped,
        Some(running) => {
            running.kill();
            End::Killed
        }
    };
    let mut ends: Vec<End> = running.iter().map(asked).collect();
    let deadline = Instant::now() + KILLED;
    for (running, end) in running.iter().zip(&mut ends) {
        if let (Some(running), End::Killed) = (running, *end)
            && !running.wait_until(deadline)
        {
            *end = End::Stuck;
        }
    }
    ends
}

/// Removes a node's pid file.
pub fn forget(layout: &Layout, id: NodeId) -> Result<(), CliError> {
    let path = layout.pid(id);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(CliError::file(&path, &error))
        }
        _ => Ok(()),
    }
}

fn table(views: &[DownView]) -> Table {
    let mut table = Table::new(&["NODE", "PID", "END"]);
    for view in views {
        table.row([view.node.clone(), or_dash(view.pid), view.end.name().to_owned()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn start(script: &str) -> (Child, Option<Running>) {
        let mut child =
            Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        // Its first byte says that it runs, and has set what it sets.
        let mut out = child.stdout.take().unwrap();
        std::io::Read::read_exact(&mut out, &mut [0]).unwrap();
        let running = Process::of(child.id()).unwrap().running();
        (child, running)
    }

    #[test]
    fn processes_are_asked_and_then_killed() {
        let (mut polite, first) = start("echo; exec sleep 60");
        let (mut deaf, second) = start("trap '' TERM; echo; while :; do sleep 60; done");
        let ends = stop(&[first, None, second], Duration::from_millis(500));
        assert_eq!(ends, [End::Stopped, End::Down, End::Killed]);
        polite.wait().unwrap();
        deaf.wait().unwrap();
    }
}
