//! `faasm status`, `output`, `logs`, `cancel`, `ps`.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;

use super::client::{ANSWER, Ask, Client, MARGIN};
use super::exit::CliError;
use super::table::{Table, micros, or_dash, size};
use super::{Globals, jobs, out};
use crate::calls::MAX_DEADLINE;
use crate::config::units::parse_duration;
use crate::gateway::view::{CallView, CallsView, CancelledView};
use crate::id::CallId;

/// Longest wait asked of a node at once: so a node that dies meanwhile is noticed.
const WAIT_STEP: Duration = Duration::from_secs(20);

/// Arguments of `faasm status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  faasm status 0123456789abcdef0123456789abcdef
  faasm status 0123456789abcdef0123456789abcdef --wait 10s --json")]
pub struct StatusArgs {
    /// The call, as `invoke --async` or `ps` printed it.
    call: CallId,
    /// Wait so long for its end.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    wait: Option<Duration>,
}

/// Arguments of `faasm output`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  faasm output 0123456789abcdef0123456789abcdef -o result.bin")]
pub struct OutputArgs {
    /// The call.
    call: CallId,
    /// Write it to a file instead of stdout.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Arguments of `faasm logs`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  faasm logs 0123456789abcdef0123456789abcdef
  faasm logs 0123456789abcdef0123456789abcdef --follow")]
pub struct LogsArgs {
    /// Print it as it is written, until the call ends: of an MPI job line by line, of other calls
    /// at their end.
    #[arg(short, long)]
    follow: bool,
    /// The call.
    call: CallId,
}

/// Arguments of `faasm cancel`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  faasm cancel 0123456789abcdef0123456789abcdef")]
pub struct CancelArgs {
    /// The call.
    call: CallId,
}

/// Arguments of `faasm ps`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  faasm ps --limit 20")]
pub struct PsArgs {
    /// Most calls listed.
    #[arg(long, value_name = "N", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

/// Shows a call's record.
pub fn status(globals: &Globals, args: &StatusArgs) -> Result<(), CliError> {
    let client = Client::find(globals)?;
    let until = Instant::now() + args.wait.unwrap_or_default();
    let record = loop {
        let left = until.saturating_duration_since(Instant::now());
        let step = left.min(WAIT_STEP);
        let path = format!("/v1/calls/{}?wait={}ms", args.call, step.as_millis());
        let ask = Ask { within: step + MARGIN, ..Ask::get(&path) };
        let record: CallView = client.json(ask)?;
        if record.phase == "done" || left == step {
            break record;
        }
    };
    match globals.json {
        true => out::json(&record),
        false => out::line(describe(&record)),
    }
}

/// Prints a call's output.
pub fn output(globals: &Globals, args: &OutputArgs) -> Result<(), CliError> {
    let path = format!("/v1/calls/{}/output", args.call);
    let reply = Client::find(globals)?.ask(Ask::get(&path))?;
    match &args.output {
        None => out::bytes(&reply.body),
        Some(file) => {
            std::fs::write(file, &reply.body).map_err(|error| CliError::file(file, &error))
        }
    }
}

/// Prints a call's log.
pub fn logs(globals: &Globals, args: &LogsArgs) -> Result<(), CliError> {
    if args.follow {
        let path = format!("/v1/calls/{}/logs?follow", args.call);
        let ask = Ask { within: MAX_DEADLINE + MARGIN, ..Ask::get(&path) };
        let opened = Client::find(globals)?.open(ask)?;
        return jobs::print(opened.body).map(drop);
    }
    let path = format!("/v1/calls/{}/logs", args.call);
    out::bytes(&Client::find(globals)?.ask(Ask::get(&path))?.body)
}

/// Cancels a call.
pub fn cancel(globals: &Globals, args: &CancelArgs) -> Result<(), CliError> {
    let path = format!("/v1/calls/{}", args.call);
    let ask = Ask { method: "DELETE", path: &path, body: &[], within: ANSWER };
    let cancelled: CancelledView = Client::find(globals)?.json(ask)?;
    match globals.json {
        true => out::json(&cancelled),
        false => out::line(format!("cancelled {}", cancelled.cancelled)),
    }
}

/// Lists the living calls.
pub fn ps(globals: &Globals, args: &PsArgs) -> Result<(), CliError> {
    let path = format!("/v1/calls?limit={}", args.limit);
    let calls: CallsView = Client::find(globals)?.json(Ask::get(&path))?;
    match globals.json {
        true => out::json(&calls),
        false => out::line(jobs::below(list(&calls, now_us()).to_string(), jobs::running(&calls))),
    }
}

fn list(view: &CallsView, now_us: u64) -> Table {
    let mut table = Table::new(&["CALL", "FUNCTION", "NODE", "PHASE", "FOR", "DEPTH", "ROOT"]);
    // Ranks are listed with their job.
    for call in view.calls.iter().filter(|call| call.rank.is_none()) {
        table.row([
            call.call.clone(),
            call.function.clone(),
            call.node.clone(),
            call.phase.clone(),
            micros(now_us.saturating_sub(call.since_us)),
            call.depth.to_string(),
            call.root.clone(),
        ]);
    }
    table
}

fn describe(call: &CallView) -> String {
    let mut table = Table::bare();
    let mut add = |name: &str, value: String| table.row([name.to_owned(), value]);
    add("call", call.call.clone());
    add("function", call.function.clone());
    add("phase", call.phase.clone());
    add("node", or_dash(call.node.as_ref()));
    if let Some(parent) = &call.parent {
        add("parent", parent.clone());
    }
    add("result", or_dash(call.result));
    if let Some(error) = &call.error {
        add("error", format!("{}: {}", error.code, error.detail));
    }
    add("output", size(call.output_bytes));
    add("log", size(call.log_bytes));
    let times = &call.times;
    if times.started_us > 0 {
        add("waited", micros(times.started_us.saturating_sub(times.accepted_us)));
    }
    if times.ended_us > 0 {
        add("ran", micros(times.ended_us.saturating_sub(times.started_us)));
    }
    add("attempt", call.attempt.to_string());
    add("trace", call.trace.clone());
    let traffic = call.job.as_ref().map(|job| jobs::add(&mut table, job)).unwrap_or_default();
    if call.work.is_empty() {
        return jobs::below(table.to_string(), traffic);
    }
    let mut work = Table::new(&["NODE", "FUNCTION", "CALLS", "BUSY"]);
    for row in &call.work {
        let busy = micros(row.busy_us);
        work.row([row.node.clone(), row.function.clone(), row.calls.to_string(), busy]);
    }
    jobs::below(format!("{table}\n\n{work}"), traffic)
}

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::view::{ErrorView, SummaryView, TimesView, WorkView};

    fn record() -> CallView {
        CallView {
            call: "ab".into(),
            function: "alice/count".into(),
            phase: "done".into(),
            node: Some("n2".into()),
            home: "n1".into(),
            parent: None,
            result: Some(3),
            error: None,
            output_bytes: 2048,
            log_bytes: 0,
            times: TimesView { accepted_us: 10, started_us: 60, ended_us: 1_560 },
            requested_us: 5,
            work: vec![WorkView {
                node: "n2".into(),
                function: "count".into(),
                calls: 9,
                busy_us: 2_000,
            }],
            attempt: 0,
            trace: "0f".into(),
            job: None,
        }
    }

    #[test]
    fn a_record_reads_well() {
        let expected = "\
call      ab
function  alice/count
phase     done
node      n2
result    3
output    2.0KiB
log       0B
waited    50µs
ran       1.5ms
attempt   0
trace     0f

NODE  FUNCTION  CALLS  BUSY
n2    count     9      2.0ms";
        assert_eq!(describe(&record()), expected);
    }

    #[test]
    fn a_failure_shows_its_error() {
        let mut failed = record();
        failed.result = None;
        let detail = "trapped\nthere".to_owned();
        failed.error = Some(ErrorView { code: "FAASM_EFAILED".into(), detail, call: None });
        let text = describe(&failed);
        assert!(text.contains("result    -"), "{text}");
        assert!(text.contains("error     FAASM_EFAILED: trapped there"), "{text}");
    }

    #[test]
    fn living_calls_are_listed_with_their_age() {
        let call = SummaryView {
            call: "ab".into(),
            root: "cd".into(),
            function: "a/b".into(),
            node: "n1".into(),
            depth: 2,
            phase: "running".into(),
            since_us: 1_000_000,
            note: String::new(),
            rank: None,
        };
        let table = list(&CallsView { calls: vec![call] }, 4_000_000).to_string();
        assert!(table.ends_with("ab    a/b       n1    running  3.0s  2      cd"), "{table}");
    }
}
