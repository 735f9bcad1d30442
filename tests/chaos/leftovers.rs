//! What a node holds: before the run, and after it when nobody asks anything of it any more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use faasm::gateway::view::CallsView;

use super::common::netns::{Hosts, Request};

/// How long a node gets to let go of what it held.
const LET_GO: Duration = Duration::from_secs(20);
/// Open files a node may have more than before: connections that were made anew.
const MORE_FILES: usize = 20;
/// Threads it may have more than before: those that wait for more blocking work.
const MORE_THREADS: u64 = 16;
/// Memory that it may have more than before: its records, compiled modules, and what the allocator
/// keeps, for a run of a minute; in KiB.
const MORE_MEMORY: u64 = 96 << 10;
/// What it keeps of a call for ten minutes, at most, in KiB.
const A_CALL: u64 = 4;

/// Gauges that are 0 on a node that does nothing.
const IDLE: [&str; 6] = [
    "faasm_instances",
    "faasm_calls_live",
    "faasm_calls_outgoing",
    "faasm_scheduler_queued",
    "faasm_scheduler_running",
    "faasm_consensus_pending_proposals",
];

/// What a node holds.
#[derive(Debug, Clone)]
pub struct Held {
    /// Open files.
    pub files: usize,
    /// Resident memory, in KiB.
    pub memory: u64,
    /// Threads.
    pub threads: u64,
    /// Free slots of its scheduler.
    pub slots: f64,
}

/// Measures a node.
pub fn held(hosts: &Hosts, host: usize) -> Held {
    let pid = hosts.pid(host);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).expect("a number")
    };
    Held {
        files: std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").count(),
        memory: number("VmRSS:"),
        threads: number("Threads:"),
        slots: gauge(&metrics(hosts, host), "faasm_scheduler_free_slots").unwrap_or(0.0),
    }
}

/// How many open files a process has of each kind.
fn kinds(pid: u32) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives");
    for target in files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok()) {
        // Of files, the folder; of all else, what it is.
        let folder = target.parent().filter(|folder| folder.is_absolute());
        let text = folder.unwrap_or(&target).to_string_lossy().into_owned();
        let kind = text.split(':').next().unwrap_or_default().to_owned();
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

fn metrics(hosts: &Hosts, host: usize) -> String {
    let answer = hosts.ask(host, "GET /metrics", Request::default());
    answer.map(|answer| answer.text()).unwrap_or_default()
}

fn gauge(text: &str, name: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
    });
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

/// What is left on a node that should not be, once it had time: nothing, if all is well.
pub fn left(hosts: &Hosts, host: usize, before: &Held, calls: usize) -> Vec<String> {
    let until = Instant::now() + LET_GO;
    loop {
        let left = left_now(hosts, host, before, calls);
        if left.is_empty() || Instant::now() > until {
            return left.into_iter().map(|what| format!("n{host} has left over: {what}")).collect();
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn left_now(hosts: &Hosts, host: usize, before: &Held, calls: usize) -> Vec<String> {
    let text = metrics(hosts, host);
    let mut left: Vec<String> = IDLE
        .iter()
        .filter_map(|name| match gauge(&text, name) {
            Some(0.0) => None,
            other => Some(format!("{name} {other:?}")),
        })
        .collect();
    let records = gauge(&text, "faasm_call_records").unwrap_or(f64::INFINITY);
    if records > calls as f64 {
        left.push(format!("{records} records of {calls} calls"));
    }
    let living = hosts.ask(host, "GET /v1/calls", Request::default());
    match living.map(|answer| answer.json::<CallsView>().calls) {
        Ok(calls) if calls.is_empty() => {}
        other => left.push(format!("calls: {other:?}")),
    }
    let now = held(hosts, host);
    if now.files > before.files + MORE_FILES {
        let kinds = kinds(hosts.pid(host));
        left.push(format!("{} open files, {} before: {kinds:?}", now.files, before.files));
    }
    if now.threads > before.threads + MORE_THREADS {
        left.push(format!("{} threads, {} before", now.threads, before.threads));
    }
    if now.memory > before.memory + MORE_MEMORY + A_CALL * calls as u64 {
        left.push(format!("{} KiB of memory, {} before", now.memory, before.memory));
    }
    if now.slots < before.slots {
        left.push(format!("{} free slots, {} before", now.slots, before.slots));
    }
    left
}
