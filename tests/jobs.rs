//! MPI jobs on a cluster of real processes: where ranks go, what comes of them, and that nothing is
//! left of them however they end.

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use common::guests::guest;
use common::processes::{PATIENCE, Processes, wait_for};
use faasm::gateway::view::{CallsView, FunctionView, FunctionsView, JobView};

#[path = "jobs/failures.rs"]
mod failures;

/// A job has ended on all nodes within this time after one of its ranks, or a node, failed.
const ENDS: Duration = Duration::from_secs(5);
/// The same where the failed node may have led the cluster.
const ENDS_WITHOUT_LEADER: Duration = Duration::from_secs(8);

/// The exit code of a wrong command line.
const USAGE: i32 = 120;

fn upload(cluster: &Processes, name: &str, options: &[&str]) {
    let module = guest(&format!("mpi/{name}"));
    let module = module.to_str().expect("a path");
    let function = format!("alice/{name}");
    let output = cluster.faasm(&[&["upload", &function, module], options].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn mpirun(cluster: &Processes, args: &[&str]) -> Output {
    let mut command = cluster.command(&["mpirun", "--timeout", "60s"]);
    command.args(args).stdin(Stdio::null()).output().expect("faasm starts")
}

/// A job's standard output, of one that must end with this code.
#[track_caller]
fn prints(cluster: &Processes, code: i32, args: &[&str]) -> String {
    let output = mpirun(cluster, args);
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{err}");
    out.into_owned()
}

/// Ends and says nothing of a job: no call is left on any node, nor a place kept.
#[track_caller]
fn all_is_over(cluster: &Processes, node: usize) {
    wait_for("no call is left", ENDS, || {
        let calls: CallsView = cluster.ask(node, "GET /v1/calls", b"").json();
        calls.calls.is_empty().then_some(())
    });
}

fn job(cluster: &Processes, node: usize, call: &str) -> JobView {
    cluster.record(node, call, "0s").job.expect("it is a job")
}

/// Starts a job that runs for ever, and waits until all of its ranks run.
fn forever(cluster: &Processes, ranks: u32, query: &str) -> String {
    let query = format!("mpi={ranks}&{query}&timeout=60s&arg=forever");
    let call = cluster.submit(1, "job", &query, b"");
    wait_for("all ranks run", PATIENCE, || {
        let calls: CallsView = cluster.ask(1, "GET /v1/calls", b"").json();
        let runs = calls.calls.iter().filter(|c| c.rank.is_some() && c.phase == "running");
        (runs.count() == ranks as usize).then_some(())
    });
    call
}

/// How many ranks said that they were on which node.
fn hosts(text: &str) -> BTreeMap<String, usize> {
    let mut nodes = BTreeMap::new();
    for line in text.lines() {
        let (_, node) = line.split_once(' ').expect("a rank and a node");
        *nodes.entry(node.to_owned()).or_default() += 1;
    }
    nodes
}

#[test]
fn jobs_of_any_size_run_on_one_node_and_on_three() {
    let cluster = Processes::up(3);
    upload(&cluster, "job", &[]);
    for ranks in [1, 2, 3, 4, 7, 16, 17] {
        let sum = (ranks * (ranks + 1) / 2).to_string();
        for query in ["map_by=slot", "map_by=node", "hosts=n2", "hosts=n3,n1:8"] {
            let query = format!("mpi={ranks}&{query}&arg=ring&timeout=30s");
            let answer = cluster.invoke(1 + ranks % 3, "job", &query, b"");
            assert_eq!((answer.status, answer.text()), (200, sum.clone()), "{query}");
        }
    }
    let ranks =
        |args: &[&str]| prints(&cluster, 0, &[args, &["alice/job", "--", "hosts"]].concat());
    let on = |args: &[&str]| hosts(&ranks(args)).into_values().collect::<Vec<_>>();
    assert_eq!(on(&["-n", "6", "--map-by", "node"]), [2, 2, 2]);
    assert_eq!(on(&["-n", "5", "--hosts", "n3:4,n2"]), [1, 4]);
    assert_eq!(on(&["-n", "4", "--hosts", "n2"]), [4]);
    all_is_over(&cluster, 1);
    // What cannot be is said at once.
    for query in ["mpi=0", "mpi=5000", "mpi=3&hosts=n1:2", "mpi=2&hosts=n9", "map_by=node"] {
        let answer = cluster.invoke(1, "job", query, b"");
        assert_eq!((answer.status, answer.code()), (400, "FAASM_EINVAL".to_owned()), "{query}");
    }
}

#[test]
fn a_job_ends_as_its_ranks_do() {
    let cluster = Processes::up(3);
    upload(&cluster, "job", &[]);
    let on_three = ["-n", "5", "--map-by", "node"];
    let ends = |code, args: &[&str]| {
        let begun = Instant::now();
        let text = prints(&cluster, code, &[&on_three, &["alice/job", "--"][..], args].concat());
        assert!(begun.elapsed() < ENDS, "{args:?} took {:?}", begun.elapsed());
        all_is_over(&cluster, 1);
        text
    };
    assert_eq!(ends(0, &["exit", "0", "0"]), "");
    assert!(ends(7, &["exit", "7", "3"]).contains("ended with 7"));
    assert!(ends(3, &["abort", "3", "1"]).contains("rank 1 called MPI_Abort with 3"));
    assert!(ends(9, &["leave", "9", "2"]).contains("rank 2"));
    // Without MPI_Finalize even 0 is a failure, as a trap is.
    assert!(ends(123, &["leave", "0", "4"]).contains("without MPI_Finalize"));
    assert!(ends(123, &["trap", "0", "1"]).contains("rank 1"));
    // A program without MPI is a job, too.
    assert_eq!(ends(4, &["plain", "4"]).lines().filter(|line| *line == "no MPI").count(), 5);
}

#[test]
fn output_comes_as_it_is_written_and_stdin_goes_to_rank_0() {
    let cluster = Processes::up(3);
    upload(&cluster, "job", &[]);
    let text = prints(&cluster, 0, &["-n", "3", "--tag-output", "alice/job", "--", "lines", "50"]);
    for rank in 0..3 {
        let of = |line: &&str| line.starts_with(&format!("[{rank}] "));
        let found: Vec<_> = text.lines().filter(of).collect();
        let expected: Vec<_> =
            (0..50).map(|line| format!("[{rank}] line {line} of rank {rank}")).collect();
        assert_eq!(found, expected);
    }
    let answer = cluster.invoke(2, "job", "mpi=3&map_by=node&stream&arg=stdin", b"a\nb\nc\n");
    let mut lines: Vec<_> = answer.text().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["0 lines", "0 lines", "3 lines", "read a", "read b", "read c"]);

    // While the job runs, and by another node than the one that launched it.
    let mut following = cluster.command(&["mpirun", "-n", "4", "--map-by", "node", "alice/job"]);
    let following = following.args(["--", "forever"]).stdin(Stdio::null());
    let mut running = following.stdout(Stdio::piped()).spawn().expect("faasm starts");
    let mut out = BufReader::new(running.stdout.take().expect("a pipe"));
    for _ in 0..4 {
        let mut line = String::new();
        out.read_line(&mut line).expect("it is read");
        assert_eq!(line, "begun\n");
    }
    let ps = String::from_utf8(cluster.faasm(&["ps"]).stdout).expect("text");
    assert!(ps.contains("4 ranks") && ps.contains("MESSAGES"), "{ps}");
    let calls: CallsView = cluster.ask(3, "GET /v1/calls", b"").json();
    let call = calls.calls.iter().find(|call| call.depth == 0).expect("the job").call.clone();
    let mut follow = cluster.command(&["logs", "--follow", &call, "--cluster", cluster.base(3)]);
    let mut follow = follow.stdout(Stdio::piped()).spawn().expect("faasm starts");
    let mut followed = BufReader::new(follow.stdout.take().expect("a pipe"));
    let mut line = String::new();
    followed.read_line(&mut line).expect("it is read");
    assert_eq!(line, "begun\n");
    // Who watched it is gone: the job ends, on all nodes.
    running.kill().expect("it runs");
    running.wait().expect("it ends");
    followed.read_to_string(&mut line).expect("it comes to its end");
    assert!(follow.wait().expect("it ends").success());
    all_is_over(&cluster, 1);
}

/// As with another MPI: a program's file, its own options after it, its input files beside it, what
/// it writes kept. Run again it is not uploaded again.
#[test]
fn a_program_on_this_machine_runs_with_its_files() {
    let cluster = Processes::up(3);
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("port files.x");
    std::fs::copy(guest("mpi/port_files"), &program).expect("it is copied");
    std::fs::write(folder.path().join("words.txt"), "one   two three\n").expect("it is written");
    std::fs::write(folder.path().join("typed"), "typed\n").expect("it is written");
    let mut versions = Vec::new();
    for _ in 0..2 {
        let mut command = cluster.command(&["mpirun", "-np", "3", "--map-by", "node"]);
        command.args(["--oversubscribe", "--file", "words.txt", "--save", "out"]);
        command.args(["--stdin", "typed", "./port files.x", "-i", "words.txt"]);
        let output = command.current_dir(&folder).stdin(Stdio::null()).output().expect("it starts");
        assert!(output.status.success(), "{output:?}");
        let saved = std::fs::read_to_string(folder.path().join("out/result.txt"));
        assert_eq!(saved.expect("rank 0 wrote it"), "rank 0\nmore\n");
        assert!(!folder.path().join("out/words.txt").exists(), "what was given came back");
        let functions: FunctionsView = cluster.ask(2, "GET /v1/functions", b"").json();
        let of = |f: &&FunctionView| f.function.ends_with("/port_files.x");
        versions.push(functions.functions.iter().find(of).expect("its name").version);
    }
    assert_eq!(versions[0], versions[1], "it was uploaded again");
    let output = mpirun(&cluster, &["-n", "2", file!()]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no WebAssembly module"));
}

#[test]
fn a_record_has_the_traffic_of_each_pair_of_ranks() {
    let cluster = Processes::up(3);
    upload(&cluster, "job", &[]);
    upload(&cluster, "chainer", &[]);
    let call = cluster.submit(1, "job", "mpi=4&map_by=node&arg=ring", b"");
    assert_eq!(cluster.record(2, &call, "20s").result, Some(0));
    let job = job(&cluster, 2, &call);
    assert_eq!((job.ranks, job.nodes.len()), (4, 3));
    for rank in 0..4 {
        let (from, to) = (rank.to_string(), ((rank + 1) % 4).to_string());
        let row = job.traffic.iter().find(|row| row.from == from && row.to == to);
        let row = row.unwrap_or_else(|| panic!("nothing from {from} to {to}: {:?}", job.traffic));
        assert!(row.messages >= 1 && row.bytes >= 4, "{row:?}");
    }
    let shown = cluster.faasm(&["status", &call]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("FROM \\ TO"));
    // A function chains one.
    let answer = cluster.invoke(3, "chainer", "timeout=20s", b"5");
    assert_eq!((answer.status, answer.text().as_str()), (200, "15"));
    assert_eq!(cluster.invoke(3, "chainer", "timeout=20s", b"0").header("faasm-result"), "1");
}

#[test]
fn a_job_that_is_cancelled_or_whose_time_is_up_leaves_nothing() {
    let cluster = Processes::up(3);
    upload(&cluster, "job", &[]);
    let call = forever(&cluster, 6, "map_by=node");
    assert_eq!(cluster.ask(2, &format!("DELETE /v1/calls/{call}"), b"").status, 200);
    let error = cluster.record(3, &call, "5s").error.expect("it was cancelled");
    assert_eq!(error.code, "FAASM_ECANCELLED");
    all_is_over(&cluster, 3);
    let answer = cluster.invoke(1, "job", "mpi=3&map_by=node&timeout=1s&arg=busy", b"");
    assert_eq!(answer.code(), "FAASM_ETIMEDOUT");
    all_is_over(&cluster, 2);
}

#[test]
fn a_job_whose_ranks_wait_for_ever_ends_at_its_deadline_and_says_where_they_were() {
    let cluster = Processes::up(2);
    upload(&cluster, "stuck", &[]);
    let query = "mpi=4&hosts=n1:2,n2:2&timeout=2s";
    let said = |text: &str| {
        let named = ["ranks 0, 2 waited in MPI_Recv", "rank 1 waited in MPI_Barrier"];
        let named = named.iter().chain(&["rank 3 waited in no call of MPI"]);
        named.filter(|named| !text.contains(**named)).copied().collect::<Vec<_>>()
    };
    let answer = cluster.invoke(1, "stuck", query, b"");
    assert_eq!(answer.code(), "FAASM_ETIMEDOUT");
    assert!(said(&answer.text()).is_empty(), "{}", answer.text());
    all_is_over(&cluster, 1);
    // Who cancels it hears the same.
    let call = cluster.submit(2, "stuck", "mpi=4&hosts=n1:2,n2:2&timeout=60s", b"");
    wait_for("all ranks wait", PATIENCE, || {
        let calls: CallsView = cluster.ask(1, "GET /v1/calls", b"").json();
        let sent = calls.calls.iter().filter_map(|call| call.rank.as_ref());
        (sent.map(|rank| rank.messages).sum::<u64>() >= 4).then_some(())
    });
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(cluster.ask(2, &format!("DELETE /v1/calls/{call}"), b"").status, 200);
    let error = cluster.record(1, &call, "5s").error.expect("it was cancelled");
    assert!(said(&error.detail).is_empty(), "{}", error.detail);
    all_is_over(&cluster, 2);
}

/// Variables of the environment, files of all ranks, and what is no option.
#[test]
fn mpirun_does_what_other_mpiruns_do() {
    let cluster = Processes::up(2);
    let folder = tempfile::tempdir().expect("a folder");
    let run = |args: &[&str], set: &str| {
        let mut command = cluster.command(&["mpirun", "--timeout", "60s"]);
        command.args(args).current_dir(&folder).env("GIVEN", set).stdin(Stdio::null());
        command.output().expect("faasm starts")
    };
    upload(&cluster, "env_files", &[]);
    let args = ["-c", "3", "--map-by", "node", "-x", "A=b c", "-x", "GIVEN", "-x", "PMI_RANK=9"];
    let args = [&args[..], &["--save", "out", "alice/env_files", "-x"]].concat();
    let output = run(&args, "here");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().filter(|line| *line == "b c here 9 -x").count(), 3, "{text}");
    for (name, text) in
        [("mine", "0"), ("mine.rank1", "1"), ("mine.rank2", "2"), ("of/2", "2"), ("same", "all")]
    {
        let found = std::fs::read_to_string(folder.path().join("out").join(name));
        assert_eq!(found.expect(name), text);
    }
    // Options may come after the program, too, if what is its own comes after two dashes.
    let output =
        run(&["-n", "1", "alice/env_files", "-x", "A=b c", "-x", "GIVEN", "--", "-x"], "2");
    assert!(String::from_utf8_lossy(&output.stdout).contains("b c 2 "), "{output:?}");
    for wrong in [&["-x", "NOBODY_SETS_THIS"][..], &["-x", "=1"], &["--bogus"], &["-Q"]] {
        let output = run(&[&["-n", "2"], wrong, &["alice/env_files"]].concat(), "");
        assert_eq!(output.status.code(), Some(USAGE), "{wrong:?}: {output:?}");
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(why.contains(wrong[wrong.len() - 1]), "{why}");
    }
}

/// A stdin that speaks only when the job runs is not lost in silence.
#[test]
fn a_stdin_that_speaks_too_late_ends_the_job_unless_it_was_to_be_waited_for() {
    let cluster = Processes::up(1);
    upload(&cluster, "job", &[]);
    let speaks = |wait: bool, what: &str| {
        let mut command = cluster.command(&["mpirun", "-n", "2", "--timeout", "60s"]);
        command.args(if wait { &["--stdin", "-"][..] } else { &[] });
        let command = command.args(["alice/job", "--", what]).stdin(Stdio::piped());
        let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let running = running.as_mut().expect("faasm starts");
        if wait {
            std::thread::sleep(Duration::from_millis(300));
        } else {
            let mut begun = [0; 6];
            let out = running.stdout.as_mut().expect("a pipe");
            out.read_exact(&mut begun).expect("the job begins without it");
        }
        let mut stdin = running.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut stdin, b"late\n").expect("it is read");
        drop(stdin);
        let mut err = String::new();
        let mut out = String::new();
        running.stderr.take().expect("a pipe").read_to_string(&mut err).expect("text");
        running.stdout.take().expect("a pipe").read_to_string(&mut out).expect("text");
        (running.wait().expect("it ends").code(), out, err)
    };
    let (code, _, err) = speaks(false, "forever");
    assert!(code == Some(USAGE) && err.contains("--stdin -"), "{code:?} {err}");
    all_is_over(&cluster, 1);
    let (code, out, err) = speaks(true, "stdin");
    assert!(code == Some(0) && out.contains("read late"), "{code:?} {out} {err}");
}

#[test]
fn a_job_waits_in_line_for_room_and_says_so() {
    let cluster = Processes::with_options(2, "[function]\ninstances = 16\n");
    upload(&cluster, "job", &[]);
    let places = |node| cluster.metric(node, "faasm_scheduler_free_places", "");
    let before = (places(1), places(2));
    let first = forever(&cluster, 20, "map_by=slot");
    let second = cluster.submit(1, "job", "mpi=20&timeout=60s&arg=ring", b"");
    let third = cluster.submit(1, "job", "mpi=2&timeout=60s&arg=ring", b"");
    wait_for("the second says that it waits", PATIENCE, || {
        job(&cluster, 2, &second).note.contains("waits for 20 places").then_some(())
    });
    let ps = String::from_utf8(cluster.faasm(&["ps"]).stdout).expect("text");
    assert!(ps.contains("waits for 20 places"), "{ps}");
    assert!(job(&cluster, 2, &third).note.contains("waits behind 1"), "in the order of asking");
    assert_eq!(cluster.record(1, &second, "0s").phase, "queued");
    let late = cluster.invoke(1, "job", "mpi=20&timeout=1s&arg=ring", b"");
    assert!(late.text().contains("waits"), "{}", late.text());
    cluster.ask(1, &format!("DELETE /v1/calls/{first}"), b"");
    for call in [second, third] {
        assert_eq!(cluster.record(2, &call, "20s").result, Some(0));
    }
    all_is_over(&cluster, 1);
    wait_for("all places are free", PATIENCE, || ((places(1), places(2)) == before).then_some(()));
}

/// Runs a job that needs a place on each of three nodes: it waits until they have told of theirs.
fn all_have_room(cluster: &Processes) {
    let answer = cluster.invoke(1, "job", "mpi=3&hosts=n1:1,n2:1,n3:1&arg=ring&timeout=20s", b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn the_end_of_a_node_ends_the_job_and_the_next_one_runs() {
    let cluster = Processes::up(3);
    upload(&cluster, "job", &[]);
    for victim in [2, 3] {
        let leader = cluster.leader(1);
        all_have_room(&cluster);
        let call = forever(&cluster, 6, "map_by=node");
        cluster.kill(victim);
        let begun = Instant::now();
        let within = if victim == leader { ENDS_WITHOUT_LEADER } else { ENDS };
        let record = cluster.record(1, &call, "10s");
        let took = begun.elapsed();
        assert_eq!(record.error.expect("it failed").code, "FAASM_EHOSTLOST");
        assert!(took < within, "the job ended {took:?} after n{victim}");
        all_is_over(&cluster, 1);
        wait_for("the next job runs on the other nodes", PATIENCE, || {
            let query = "mpi=4&map_by=node&arg=ring&timeout=10s";
            let answer = cluster.invoke(1, "job", query, b"");
            (answer.status == 200 && answer.text() == "10").then_some(())
        });
        cluster.restart();
    }
    // With a retry, the job runs again where there is room.
    upload(&cluster, "job", &["--retries", "2"]);
    all_have_room(&cluster);
    let call = forever(&cluster, 3, "map_by=node&hosts=n1:2,n2:2,n3:1");
    cluster.kill(3);
    wait_for("the job is tried again", PATIENCE, || {
        let job = job(&cluster, 1, &call);
        (job.epoch == 1 && job.note.is_empty() && job.nodes.len() == 2).then_some(())
    });
    cluster.ask(1, &format!("DELETE /v1/calls/{call}"), b"");
    all_is_over(&cluster, 1);
}
