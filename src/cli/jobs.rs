//! MPI jobs for people: what they write, where their ranks are, who sent how much to whom.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::mpsc;

use super::exit::CliError;
use super::out;
use super::table::{Table, size};
use crate::gateway::view::{CallsView, JobView};

/// Most ranks or nodes whose traffic is shown as a matrix; of more it is a list.
const MATRIX: usize = 16;

/// Bytes read at once, and how many such pieces wait to be printed: as much as a job may write.
const PIECE: usize = 64 << 10;
const WAITING: usize = 1024;

/// Prints a body as it comes. Whether it came to its end. It is read on while nobody takes what is
/// printed, as when a pager waits: a node ends the call of a client that stops reading.
pub fn print(mut body: impl Read + Send + 'static) -> Result<bool, CliError> {
    let (reads, prints) = mpsc::sync_channel(WAITING);
    std::thread::spawn(move || {
        loop {
            let mut piece = vec![0; PIECE];
            let read = body.read(&mut piece);
            let over = !matches!(read, Ok(1..));
            piece.truncate(*read.as_ref().unwrap_or(&0));
            if reads.send(read.map(|_| piece)).is_err() || over {
                return;
            }
        }
    });
    for read in prints {
        match read {
            Ok(piece) if piece.is_empty() => return Ok(true),
            Ok(piece) => out::bytes(&piece)?,
            Err(_) => return Ok(false),
        }
    }
    Ok(false)
}

/// A text with another one below it, if that says anything.
pub fn below(text: String, more: String) -> String {
    if more.is_empty() { text } else { format!("{text}\n\n{more}") }
}

/// Adds what a record says of its ranks; gives their traffic.
pub fn add(table: &mut Table, job: &JobView) -> String {
    let nodes: Vec<_> = job.nodes.iter().map(|on| format!("{}:{}", on.node, on.ranks)).collect();
    table.row(["ranks".to_owned(), format!("{} ({})", job.ranks, nodes.join(" "))]);
    if job.epoch > 0 {
        table.row(["try".to_owned(), (job.epoch + 1).to_string()]);
    }
    if !job.note.is_empty() {
        table.row(["job".to_owned(), job.note.clone()]);
    }
    traffic(job)
}

fn traffic(job: &JobView) -> String {
    let mut names: Vec<&String> = job.traffic.iter().flat_map(|row| [&row.from, &row.to]).collect();
    names.sort_by_key(|name| (name.len(), (*name).clone()));
    names.dedup();
    if names.is_empty() {
        return String::new();
    }
    if names.len() > MATRIX {
        let mut table = Table::new(&["FROM", "TO", "MESSAGES", "BYTES"]);
        for row in &job.traffic {
            let (messages, bytes) = (row.messages.to_string(), size(row.bytes));
            table.row([row.from.clone(), row.to.clone(), messages, bytes]);
        }
        return table.to_string();
    }
    let headings: Vec<&str> =
        ["FROM \\ TO"].into_iter().chain(names.iter().map(|n| n.as_str())).collect();
    let mut table = Table::new(&headings);
    for from in &names {
        let cell = |to: &&String| {
            let row = job.traffic.iter().find(|row| row.from == **from && row.to == **to);
            row.map_or_else(|| "-".to_owned(), |r| format!("{}/{}", r.messages, size(r.bytes)))
        };
        let cells = names.iter().map(cell);
        table.cells(std::iter::once((*from).clone()).chain(cells).collect());
    }
    format!("messages/bytes\n{table}")
}

/// The jobs among the living calls: their ranks by node.
pub fn running(view: &CallsView) -> String {
    let mut table = Table::new(&["JOB", "NODE", "RANKS", "MESSAGES", "BYTES"]);
    let mut any = false;
    let mut nodes: BTreeMap<(&str, &str), (u64, u64, u64)> = BTreeMap::new();
    for call in &view.calls {
        let Some(rank) = call.rank else { continue };
        let row = nodes.entry((&call.root, &call.node)).or_default();
        *row = (row.0 + 1, row.1 + rank.messages, row.2 + rank.bytes);
    }
    for ((job, node), (ranks, messages, bytes)) in nodes {
        any = true;
        let (ranks, messages) = (ranks.to_string(), messages.to_string());
        table.row([job.to_owned(), node.to_owned(), ranks, messages, size(bytes)]);
    }
    let notes = view.calls.iter().filter(|call| !call.note.is_empty());
    let notes: Vec<String> = notes.map(|call| format!("{}: {}", call.call, call.note)).collect();
    match any {
        true => below(table.to_string(), notes.join("\n")),
        false => notes.join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::view::{RankView, RanksView, SummaryView, TrafficView};

    #[test]
    fn traffic_of_few_is_a_matrix() {
        let row = |from: &str, to: &str| TrafficView {
            from: from.into(),
            to: to.into(),
            messages: 2,
            bytes: 2048,
        };
        let nodes = vec![RanksView { node: "n1".into(), ranks: 2 }];
        let mut job = JobView {
            ranks: 2,
            epoch: 1,
            note: "rank 1 failed".into(),
            nodes,
            traffic: vec![row("0", "1")],
        };
        let mut table = Table::bare();
        let text = add(&mut table, &job);
        assert_eq!(
            text,
            "messages/bytes\nFROM \\ TO  0  1\n0          -  2/2.0KiB\n1          -  -"
        );
        assert_eq!(table.to_string(), "ranks  2 (n1:2)\ntry    2\njob    rank 1 failed");
        job.traffic = (0..40).map(|rank| row(&rank.to_string(), "0")).collect();
        assert_eq!(traffic(&job).lines().count(), 41);
    }

    #[test]
    fn ranks_are_summed_by_job_and_node() {
        let call = |node: &str, rank| SummaryView {
            call: format!("c{node}"),
            root: "ab".into(),
            function: "a/b".into(),
            node: node.into(),
            depth: 1,
            phase: "running".into(),
            since_us: 1,
            note: String::new(),
            rank,
        };
        let rank = |rank| Some(RankView { rank, messages: 3, bytes: 10 });
        let mut job = call("n1", None);
        job.note = "3 ranks".into();
        let calls = vec![job, call("n1", rank(0)), call("n2", rank(1)), call("n1", rank(2))];
        let text = running(&CallsView { calls });
        let expected = "JOB  NODE  RANKS  MESSAGES  BYTES\nab   n1    2      6         20B\n\
                        ab   n2    1      3         10B\n\ncn1: 3 ranks";
        assert_eq!(text, expected);
    }
}
