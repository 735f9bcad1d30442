//! Nodes come and go at run time: a cluster grows from one node to seven and shrinks to three under
//! load and loses nothing; who has no right to come in, or to come back, is refused.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use common::guests::guest;
use common::members::Growing;
use common::processes::{Answer, PATIENCE, wait_for};
use faasm::gateway::view::{CallView, FunctionView, SubmittedView};

const MOST: usize = 7;
const LEAST: usize = 3;
/// Bytes of an output that does not travel with the call's end.
const LARGE: usize = 300_000;
/// Calls that must be right before the next node comes or goes.
const MORE: u64 = 12;

/// Clients that ask any node, and another one when that one takes no calls.
struct Load<'a> {
    cluster: &'a Growing,
    stop: AtomicBool,
    right: AtomicU64,
    passed_on: AtomicU64,
    /// The newest upload that was acknowledged.
    version: AtomicU64,
    /// Asynchronous calls that were accepted, with what they are to output.
    accepted: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl<'a> Load<'a> {
    fn new(cluster: &'a Growing) -> Self {
        let (stop, right, passed_on) = Default::default();
        let (version, accepted) = Default::default();
        Self { cluster, stop, right, passed_on, version, accepted }
    }

    fn client(&self, client: usize) {
        for turn in client.. {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            match turn % 3 {
                0 => self.synchronous("echo", format!("client {client}, call {turn}").as_bytes()),
                1 => self.synchronous("sleep", format!("{}", 20 + turn % 80).as_bytes()),
                _ => self.asynchronous(client, turn),
            }
        }
    }

    /// Uploads one version after the other; what was acknowledged is what every node runs at once.
    fn uploader(&self) {
        for version in 1.. {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let answer =
                self.ask(0, "PUT /v1/functions/alice/version?memory=2MiB", &module(version));
            assert_eq!(answer.status, 200, "{}", answer.text());
            self.version.store(version, Ordering::SeqCst);
            for turn in 0..6 {
                let line = "POST /v1/functions/alice/version/invoke?policy=locality&timeout=20s";
                let answer = self.ask(turn, line, b"");
                assert_eq!(answer.text(), format!("{version:08}"), "an old version runs");
                self.right.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    fn synchronous(&self, function: &str, input: &[u8]) {
        let line = format!("POST /v1/functions/alice/{function}/invoke?policy=spread&timeout=20s");
        let answer = self.ask(self.right.load(Ordering::SeqCst) as usize, &line, input);
        assert_eq!((answer.status, &answer.body[..]), (200, input), "{line}: {}", answer.text());
        self.right.fetch_add(1, Ordering::SeqCst);
    }

    fn asynchronous(&self, client: usize, turn: usize) {
        let size = client + if turn.is_multiple_of(2) { LARGE } else { 100 };
        let invoke = "POST /v1/functions/alice/big_output/invoke";
        let answer = self.ask(turn, &format!("{invoke}?async&policy=spread&arg={size}"), b"");
        assert_eq!(answer.status, 202, "{}", answer.text());
        let output = (0..size).map(|i| (i * 31 + 7) as u8).collect();
        let call = answer.json::<SubmittedView>().call;
        self.accepted.lock().expect("the list").insert(call, output);
    }

    /// Asks the nodes in turn until one takes the request. A refusal means that nothing was done.
    fn ask(&self, turn: usize, line: &str, body: &[u8]) -> Answer {
        let until = Instant::now() + PATIENCE;
        for turn in turn.. {
            let up = self.cluster.up();
            let (node, base) = &up[turn % up.len()];
            match self.cluster.try_ask(base, line, body) {
                Ok(answer) if answer.status != 503 => return answer,
                Ok(answer) => assert_eq!(answer.code(), "FAASM_EUNAVAILABLE", "{}", answer.text()),
                Err(ureq::Error::Io(error)) => {
                    let refused = std::io::ErrorKind::ConnectionRefused;
                    assert_eq!(error.kind(), refused, "{node} lost {line}: {error}");
                }
                Err(ureq::Error::ConnectionFailed) => {}
                Err(error) => panic!("{node} lost {line}: {error}"),
            }
            self.passed_on.fetch_add(1, Ordering::SeqCst);
            assert!(Instant::now() < until, "no node takes {line}");
        }
        unreachable!("turns do not end")
    }

    fn wait_for_more(&self) {
        let before = self.right.load(Ordering::SeqCst);
        wait_for(&format!("{MORE} more calls are right"), PATIENCE, || {
            assert!(!self.stop.load(Ordering::SeqCst), "a client failed");
            (self.right.load(Ordering::SeqCst) >= before + MORE).then_some(())
        });
    }
}

/// Ends the load, also when a client or the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn growing_to_seven_and_shrinking_to_three_under_load_loses_no_call_no_upload_and_no_setting() {
    let cluster = Growing::begin();
    cluster.done("n1", &["user", "add", "alice", "--functions", "5", "--running", "500"]);
    for function in ["echo", "sleep", "big_output"] {
        upload(&cluster, function, "retries=3&memory=2MiB");
    }
    let settings = settings(&cluster, "n1");
    let token = cluster.done("n1", &["nodes", "token", "--uses", "20"]);
    let load = Load::new(&cluster);
    std::thread::scope(|scope| {
        let stopping = Stop(&load.stop);
        for client in 0..3 {
            let load = &load;
            scope.spawn(move || {
                let _stop = Stop(&load.stop);
                load.client(client);
            });
        }
        scope.spawn(|| {
            let _stop = Stop(&load.stop);
            load.uploader();
        });
        load.wait_for_more();
        grow(&load, &token);
        shrink(&load);
        drop(stopping);
    });
    println!(
        "{} calls right, {} accepted to run later, {} requests passed on, {} versions",
        load.right.load(Ordering::SeqCst),
        load.accepted.lock().expect("the list").len(),
        load.passed_on.load(Ordering::SeqCst),
        load.version.load(Ordering::SeqCst)
    );
    for (node, _) in cluster.up() {
        assert_eq!(self::settings(&cluster, &node), settings, "{node} has other settings");
        check_version(&load, &node);
        check_calls(&load, &node);
    }
}

/// One node after the other joins through one that is there.
fn grow(load: &Load<'_>, token: &str) {
    for number in 2..=MOST {
        let through = format!("n{}", number - 1);
        let node = format!("n{number}");
        assert_eq!(load.cluster.join(&node, &through, token, &[]), node);
        load.wait_for_more();
    }
    load.cluster.voters("n1", 5);
}

/// The leader goes, then one that votes, and so on; each process ends by itself.
fn shrink(load: &Load<'_>) {
    let cluster = load.cluster;
    for turn in 0..MOST - LEAST {
        let up: Vec<String> = cluster.up().into_iter().map(|(node, _)| node).collect();
        let (leader, others) = cluster.voters(&up[0], if up.len() > 4 { 5 } else { 3 });
        let gone = if turn == 1 { others[0].clone() } else { leader };
        let asked = up.iter().find(|node| **node != gone).expect("another node");
        let began = Instant::now();
        cluster.done(asked, &["nodes", "remove", &gone, "--timeout", "25s"]);
        let removed = began.elapsed();
        let status = cluster.ended(&gone);
        println!("{gone} removed in {removed:?}, ended in {:?}", began.elapsed());
        assert!(status.success(), "{gone}: {status}");
        load.wait_for_more();
    }
    let left: BTreeSet<String> = cluster.up().into_iter().map(|(node, _)| node).collect();
    assert_eq!(left.len(), LEAST);
    for node in &left {
        cluster.voters(node, LEAST);
        let members = cluster.nodes(node).into_iter().map(|member| member.node).collect();
        assert_eq!(left, members, "{node} knows others");
    }
}

/// What is to be the same whoever comes and goes.
fn settings(cluster: &Growing, node: &str) -> Vec<String> {
    let mut settings = vec![cluster.ask(node, "GET /v1/users", b"").text()];
    for function in ["echo", "sleep", "big_output"] {
        let line = format!("GET /v1/functions/alice/{function}");
        settings.push(cluster.ask(node, &line, b"").text());
    }
    settings
}

/// A node lists and runs the newest upload.
fn check_version(load: &Load<'_>, node: &str) {
    let version = load.version.load(Ordering::SeqCst);
    assert!(version > 1, "too few uploads to prove anything");
    let listed = load.cluster.ask(node, "GET /v1/functions/alice/version", b"");
    let hash = blake3::hash(&module(version)).to_hex().to_string();
    assert_eq!(listed.json::<FunctionView>().hash, hash, "{node} lists another version");
    for pinned in load.cluster.up() {
        let line = format!("POST /v1/functions/alice/version/invoke?node={}", pinned.0);
        let output = load.cluster.ask(node, &line, b"").text();
        assert_eq!(output, format!("{version:08}"), "{} runs another version", pinned.0);
    }
}

/// Every accepted call ended well, and its output is there, through this node.
fn check_calls(load: &Load<'_>, node: &str) {
    let accepted = load.accepted.lock().expect("the list");
    assert!(accepted.len() > 20, "too few calls to prove anything: {}", accepted.len());
    for (call, output) in accepted.iter() {
        let record = load.cluster.ask(node, &format!("GET /v1/calls/{call}?wait=20s"), b"");
        let record: CallView = record.json();
        assert_eq!(record.result, Some(0), "{record:?}");
        let answer = load.cluster.ask(node, &format!("GET /v1/calls/{call}/output"), b"");
        assert!(answer.body == *output, "{call} has another output through {node}");
    }
}

/// Uploads a guest; for a while no copy may be made on a node that was lost.
fn upload(cluster: &Growing, name: &str, options: &str) {
    let wasm = std::fs::read(guest(name)).expect("the guest was compiled");
    let line = format!("PUT /v1/functions/alice/{name}?{options}");
    wait_for(&format!("{name} is uploaded"), PATIENCE, || {
        let answer = cluster.try_ask(&cluster.base("n1"), &line, &wasm).expect("an answer");
        assert!([200, 503].contains(&answer.status), "{}", answer.text());
        (answer.status == 200).then_some(())
    });
}

/// The guest that outputs this version.
fn module(version: u64) -> Vec<u8> {
    let mut wasm = std::fs::read(guest("version")).expect("the guest was compiled");
    let mark = b"version=";
    let at = wasm.windows(mark.len()).position(|bytes| bytes == mark).expect("the mark");
    let digits = at + mark.len();
    wasm[digits..digits + 8].copy_from_slice(format!("{version:08}").as_bytes());
    wasm
}

#[test]
fn a_node_comes_back_and_catches_up_but_not_with_an_empty_disk() {
    let cluster = Growing::begin();
    let token = cluster.done("n1", &["nodes", "token", "--uses", "5"]);
    assert_eq!(cluster.join("n2", "n1", &token, &[]), "n2");
    assert_eq!(cluster.join("n3", "n2", &token, &[]), "n3");
    cluster.voters("n1", 3);
    cluster.kill("n3");
    upload(&cluster, "echo", "retries=2");
    assert_eq!(cluster.start("n3", &[]), "n3");
    assert_eq!(cluster.nodes("n1").len(), 3);
    let line = "GET /v1/functions/alice/echo";
    assert_eq!(cluster.ask("n3", line, b"").text(), cluster.ask("n1", line, b"").text());
    let answer = cluster.ask("n3", "POST /v1/functions/alice/echo/invoke?node=n3", b"again");
    assert_eq!((answer.text().as_str(), answer.node()), ("again", "n3"));

    let place = cluster.nodes("n1").into_iter().find(|node| node.node == "n3").expect("n3");
    cluster.kill("n3");
    let address = ["--http", &place.http, "--quic", &place.quic];
    let base = cluster.base("n1");
    let join = ["--join", base.trim_start_matches("http://"), "--token", &token];
    let (status, log) = cluster.ends("wiped", &[&join[..], &address].concat());
    assert!(!status.success() && log.contains("--replace n3"), "{status}: {log}");
    let replacing = [&address[..], &["--replace", "n3"]].concat();
    assert_eq!(cluster.join("wiped", "n1", &token, &replacing), "n4");
    let members: Vec<String> = cluster.nodes("n4").into_iter().map(|node| node.node).collect();
    assert_eq!(members, ["n1", "n2", "n4"]);
    let answer = cluster.ask("n1", "POST /v1/functions/alice/echo/invoke?node=n4", b"new");
    assert_eq!((answer.text().as_str(), answer.node()), ("new", "n4"));
}

#[test]
fn a_drained_node_takes_calls_again_and_a_removed_one_does_not_come_back() {
    let cluster = Growing::begin();
    let token = cluster.done("n1", &["nodes", "token"]);
    assert_eq!(cluster.join("n2", "n1", &token, &[]), "n2");
    upload(&cluster, "echo", "");
    let pinned = "POST /v1/functions/alice/echo/invoke?node=n2&timeout=10s";
    assert_eq!(cluster.ask("n1", pinned, b"").node(), "n2");

    cluster.done("n1", &["nodes", "drain", "n2", "--timeout", "20s"]);
    assert!(cluster.nodes("n1").iter().any(|node| node.node == "n2" && node.draining));
    let line = "POST /v1/functions/alice/echo/invoke?policy=spread";
    for _ in 0..5 {
        assert_eq!(cluster.ask("n1", line, b"").node(), "n1", "a node that drains took a call");
    }
    let refused = cluster.try_ask(&cluster.base("n2"), line, b"").expect("an answer");
    assert_eq!((refused.status, refused.code().as_str()), (503, "FAASM_EUNAVAILABLE"));
    assert!(refused.text().contains("n2 drains"), "{}", refused.text());
    cluster.done("n1", &["nodes", "undrain", "n2"]);
    assert_eq!(cluster.ask("n1", pinned, b"").node(), "n2");
    let last = cluster.done("n1", &["nodes", "remove", "n2", "--timeout", "20s"]);
    assert_eq!(last, "n2 is removed");
    assert!(cluster.ended("n2").success());
    let (status, log) = cluster.ends("n2", &[]);
    assert!(log.contains("removed from the cluster"), "{status}: {log}");
    assert!(log.contains("empty data directory"), "it does not say what to do: {log}");
    let alone = cluster.faasm("n1", &["nodes", "drain", "n1"]);
    let error = String::from_utf8_lossy(&alone.stderr).into_owned();
    assert!(!alone.status.success() && error.contains("no other node"), "{error}");
}

#[test]
fn a_join_token_that_is_wrong_used_up_or_revoked_lets_nobody_in() {
    let cluster = Growing::begin();
    let refused = |folder: &str, token: &str| {
        let base = cluster.base("n1");
        let join = ["--join", base.trim_start_matches("http://"), "--token", token];
        let free = ["--http", "127.0.0.1:0", "--quic", "127.0.0.1:0"];
        let (status, log) = cluster.ends(folder, &[join, free].concat());
        assert!(!status.success() && log.contains("join token"), "{folder}: {status}: {log}");
        assert!(!log.contains(token), "the token is in the log: {log}");
    };
    let once = cluster.done("n1", &["nodes", "token", "--uses", "1"]);
    let wrong = once.replace(&once[once.len() / 2..], &"0".repeat(once.len().div_ceil(2)));
    refused("wrong", &wrong);
    assert_eq!(cluster.join("n2", "n1", &once, &[]), "n2");
    refused("used", &once);

    let made = cluster.done("n1", &["nodes", "token", "--uses", "9", "--json"]);
    let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
    let (token, name) = (made["token"].as_str().unwrap(), made["name"].as_str().unwrap());
    cluster.done("n1", &["nodes", "token", "--revoke", name]);
    refused("revoked", token);
    assert_eq!(cluster.nodes("n2").len(), 2);
}
