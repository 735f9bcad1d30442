//! A cluster of hosts under load while nodes are killed and paused and links cut at random; what
//! its clients saw is checked afterwards.
//!
//! `FAASM_CHAOS_SECONDS` says how long (3600 for an hour), `FAASM_CHAOS_SEED` which faults and which
//! load, `FAASM_CHAOS_NODES` how many nodes, `FAASM_CHAOS_SHAPE` what the faults are like (`plan.rs`);
//! with `FAASM_CHAOS_STRICT=1` the bounds of time are those of a machine that has nothing else to do.
//! Skipped, with the reason, where there can be no namespaces.

#[path = "chaos/checker.rs"]
mod checker;
#[path = "chaos/client.rs"]
mod client;
mod common;
#[path = "chaos/history.rs"]
mod history;
#[path = "chaos/leftovers.rs"]
mod leftovers;
#[path = "chaos/plan.rs"]
mod plan;
#[path = "chaos/planted.rs"]
mod planted;

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use client::{Client, Run};
use common::guests::guest;
use common::netns::{self, Hosts, Request};
use history::{Fault, History, Sort, What};

/// Faults go on for so many seconds unless told otherwise.
const SECONDS: u64 = 40;
const NODES: u64 = 5;
const CLIENTS: u64 = 10;
/// After healing, all works within this time, of an idle machine.
const WORKS_AGAIN: Duration = Duration::from_secs(8);
/// How long to wait for that, so that the message can say how long it took.
const PATIENCE: Duration = Duration::from_secs(40);
/// What is bounded in time may take longer by this factor on a machine that is busy with other work.
const BUSY: u32 = 3;
/// How long the load goes on after it: errors then have no reason.
const CALM: Duration = Duration::from_secs(12);

fn setting(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Err(_) => otherwise,
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
    }
}

/// The module of a version.
fn module_of(version: u32) -> Vec<u8> {
    let mut wasm = std::fs::read(guest("version")).expect("compiled");
    let mark = b"version=";
    let at = wasm.windows(mark.len()).position(|bytes| bytes == mark).expect("its version");
    let digits = at + mark.len();
    wasm[digits..digits + 8].copy_from_slice(format!("{version:08}").as_bytes());
    wasm
}

/// Every node is ready, and an upload and a call through each succeed.
fn works(hosts: &Hosts) -> Result<(), String> {
    let wasm = module_of(1);
    for host in 1..=hosts.count {
        let upload = Request { body: &wasm, ..Request::default() };
        for (line, request) in [
            ("GET /readyz", Request::default()),
            ("PUT /v1/functions/chaos/probe", upload),
            ("POST /v1/functions/chaos/probe/invoke?timeout=3s", Request::default()),
        ] {
            match hosts.ask(host, line, request) {
                Ok(answer) if answer.status == 200 => {}
                Ok(answer) => return Err(format!("n{host}: {line}: {}", answer.text())),
                Err(error) => return Err(format!("n{host}: {line}: {error}")),
            }
        }
    }
    Ok(())
}

fn wait_until_works(hosts: &Hosts) -> Result<Duration, String> {
    let from = Instant::now();
    loop {
        match works(hosts) {
            Ok(()) => return Ok(from.elapsed()),
            Err(why) if from.elapsed() > PATIENCE => return Err(why),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn upload_guests(hosts: &Hosts) {
    for (name, file, options) in [
        ("witness", "witness", ""),
        ("patient", "witness", "?retries=5"),
        ("tree", "tree", ""),
        ("sums", "mpi/sums", ""),
    ] {
        let wasm = std::fs::read(guest(file)).expect("compiled");
        // Before the run begins nothing is measured.
        let request = Request { body: &wasm, patience: PATIENCE, ..Request::default() };
        let line = format!("PUT /v1/functions/chaos/{name}{options}");
        let answer = hosts.ask(1, &line, request).expect("n1 answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// Performs the plan, and writes down each step in `log`. Gives the faults as they were: on a busy
/// machine they begin and end later than planned.
fn perform(run: &Run, mut faults: Vec<Fault>, log: &Mutex<String>) -> Vec<Fault> {
    for step in plan::steps(&faults) {
        std::thread::sleep(step.at.saturating_sub(run.now()));
        let words: Vec<&str> = step.command.iter().map(String::as_str).collect();
        let begun = run.now();
        run.hosts.must(&words);
        let (fault, begins) = (&mut faults[step.of.0], step.of.1);
        if begins {
            fault.from = begun;
        } else {
            fault.until = run.now();
        }
        let mut log = log.lock().expect("nobody failed");
        writeln!(log, "{:9.3} {}", run.now().as_secs_f64(), words.join(" ")).expect("memory");
    }
    faults.sort_by_key(|fault| fault.from);
    faults
}

/// The last look at everything, through nodes that all live.
fn look_again(run: &Run, calls: &mut [history::Call]) {
    for (at, call) in calls.iter_mut().enumerate() {
        let Some(id) = call.id.clone() else { continue };
        // Records are kept for ten minutes; of older ones nothing can be said.
        if run.now() - call.begun < Duration::from_secs(500) {
            let seen = run.look(&id, at % run.hosts.count + 1);
            call.seen.push(seen);
        }
    }
    let mut functions: Vec<String> =
        run.uploads.lock().expect("no client failed").iter().map(|u| u.function.clone()).collect();
    functions.sort();
    functions.dedup();
    for function in functions {
        let confirmed = |u: &history::Upload| u.function == function && u.confirmed.is_some();
        if run.uploads.lock().expect("no client failed").iter().any(confirmed) {
            for host in 1..=run.hosts.count {
                run.read(&function, host);
            }
        }
    }
}

fn summary(history: &History, healed: Duration) -> String {
    let count = |sort| history.calls.iter().filter(|c| c.sort == sort).count();
    let answered = |call: &&history::Call| {
        call.seen.iter().any(|s| matches!(&s.what, What::Ended(end) if end.result == Ok(0)))
    };
    let accepted = history.calls.iter().filter(|c| c.accepted.is_some()).count();
    let confirmed = history.uploads.iter().filter(|u| u.confirmed.is_some()).count();
    format!(
        "{} faults; {} calls ({} sync, {} trees, {} keyed, {} with retries, {} endless, {} jobs), \
         {accepted} accepted, {} right, {} cancelled; {confirmed} of {} uploads and writes confirmed, \
         {} versions read; all worked {healed:.2?} after healing",
        history.faults.len(),
        history.calls.len(),
        count(Sort::Sync),
        count(Sort::Tree),
        count(Sort::Keyed),
        count(Sort::Patient),
        count(Sort::Endless),
        count(Sort::Job),
        history.calls.iter().filter(answered).count(),
        history.calls.iter().filter(|c| c.cancelled.is_some()).count(),
        history.uploads.len(),
        history.reads.len(),
    )
}

#[test]
fn every_accepted_call_ends_once_and_rightly_while_nodes_die_and_links_are_cut() {
    if let Some(why) = netns::missing() {
        println!("skipped: {why}");
        return;
    }
    let seed = setting("FAASM_CHAOS_SEED", rand::random::<u32>().into());
    let time = Duration::from_secs(setting("FAASM_CHAOS_SECONDS", SECONDS));
    let nodes = setting("FAASM_CHAOS_NODES", NODES) as usize;
    let shape = std::env::var("FAASM_CHAOS_SHAPE").unwrap_or_else(|_| "mixed".to_owned());
    let replay = format!(
        "FAASM_CHAOS_SEED={seed} FAASM_CHAOS_SECONDS={} FAASM_CHAOS_NODES={nodes} \
         FAASM_CHAOS_SHAPE={shape} scripts/test --test chaos",
        time.as_secs()
    );
    let shape = plan::shape(&shape).expect("a shape that there is");
    println!("replay: {replay}");
    let mut hosts = Hosts::up(nodes);
    let log = Mutex::new(String::new());
    let faults = plan::faults(seed, shape, nodes, time);
    let violations = one_run(&hosts, (seed, time), faults, &log);
    if !violations.is_empty() {
        let log = log.into_inner().expect("nobody failed");
        hosts.keep_files();
        let text = format!("{replay}\n{log}\n{}\n", violations.join("\n"));
        std::fs::write(hosts.dir().join("chaos.log"), &text).expect("the log is written");
        let first: Vec<&str> = violations.iter().take(30).map(String::as_str).collect();
        panic!(
            "{} violations:\n{}\nfaults:\n{log}replay: {replay}",
            violations.len(),
            first.join("\n")
        );
    }
}

/// Load and faults for that time; all violations.
fn one_run(
    hosts: &Hosts,
    (seed, time): (u64, Duration),
    faults: Vec<Fault>,
    log: &Mutex<String>,
) -> Vec<String> {
    upload_guests(hosts);
    wait_until_works(hosts).expect("a new cluster works");
    let before: Vec<_> = (1..=hosts.count).map(|host| leftovers::held(hosts, host)).collect();
    let run = Run {
        hosts,
        start: Instant::now(),
        stop: AtomicBool::new(false),
        calls: Mutex::default(),
        uploads: Mutex::default(),
        reads: Mutex::default(),
    };
    let (again, healed, faults) = std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let client = Client::new(&run, seed, client);
            scope.spawn(|| client.work());
        }
        let chaos = scope.spawn(|| {
            let faults = perform(&run, faults, log);
            std::thread::sleep(time.saturating_sub(run.now()));
            let healing = Instant::now();
            hosts.must(&["heal"]);
            let again = wait_until_works(hosts).map(|_| healing.elapsed());
            let healed = run.now();
            std::thread::sleep(CALM);
            (again, healed, faults)
        });
        let outcome = chaos.join();
        run.stop.store(true, Ordering::SeqCst);
        outcome.expect("the faults were made")
    });
    let mut calls = std::mem::take(&mut *run.calls.lock().expect("no client failed"));
    look_again(&run, &mut calls);
    let history = History {
        faults,
        calls,
        uploads: std::mem::take(&mut *run.uploads.lock().expect("no client failed")),
        reads: std::mem::take(&mut *run.reads.lock().expect("no client failed")),
        healed,
        nodes: hosts.count,
        slack: if setting("FAASM_CHAOS_STRICT", 0) > 0 { 1 } else { BUSY },
    };
    let mut found = checker::violations(&history);
    let given_up = checker::given_up(&history);
    println!("{} calls whose record died ended otherwise {given_up:#?}", given_up.len());
    match again {
        Err(why) => found.push(format!("nothing works {PATIENCE:?} after healing: {why}")),
        Ok(again) => {
            println!("{}", summary(&history, again));
            if again > history.slack(WORKS_AGAIN) {
                found.push(format!("all worked only {again:?} after healing"));
            }
        }
    }
    for host in 1..=hosts.count {
        let before = &before[host - 1];
        found.extend(leftovers::left(hosts, host, before, history.calls.len() * 2));
        println!("n{host}: {:?}, before {before:?}", leftovers::held(hosts, host));
    }
    found
}
