//! Every node is told to stop and is started again, one after the other, under load: no call that
//! was accepted is lost, nor its record, nor a large output that stayed where it was made.

mod common;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::processes::{PATIENCE, Processes, wait_for};
use faasm::gateway::view::SubmittedView;
use rustix::process::Signal;

const NODES: usize = 3;
/// Bytes of an output that does not travel with the call's end.
const LARGE: usize = 300_000;

/// Clients that ask any node, and another one when that one takes no calls.
struct Load<'a> {
    cluster: &'a Processes,
    stop: AtomicBool,
    right: AtomicU64,
    passed_on: AtomicU64,
    requests: AtomicU64,
    /// Asynchronous calls that were accepted, with what they are to output.
    accepted: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Load<'_> {
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

    fn synchronous(&self, function: &str, input: &[u8]) {
        let line = format!("POST /v1/functions/alice/{function}/invoke?policy=spread&timeout=20s");
        let (status, body) = self.ask(&line, input);
        assert_eq!((status, &body[..]), (200, input), "{}", String::from_utf8_lossy(&body));
        self.right.fetch_add(1, Ordering::SeqCst);
    }

    fn asynchronous(&self, client: usize, turn: usize) {
        let size = if turn.is_multiple_of(2) { LARGE } else { 100 };
        let line = format!(
            "POST /v1/functions/alice/big_output/invoke?async&policy=spread&arg={}",
            size + client
        );
        let (status, body) = self.ask(&line, b"");
        assert_eq!(status, 202, "{}", String::from_utf8_lossy(&body));
        let call = serde_json::from_slice::<SubmittedView>(&body).expect("an id").call;
        let output = (0..size + client).map(|i| (i * 31 + 7) as u8).collect();
        self.accepted.lock().expect("the list").insert(call, output);
    }

    /// Asks the nodes in turn until one takes the request. A refusal means that nothing was done;
    /// after a connection that broke, the key of the request keeps it from being done twice.
    fn ask(&self, line: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let key = format!("request {}", self.requests.fetch_add(1, Ordering::SeqCst));
        let headers = [("idempotency-key", key.as_str())];
        let until = Instant::now() + PATIENCE;
        loop {
            for node in 1..=NODES {
                match self.cluster.try_ask_with(node, line, body, &headers) {
                    Ok(answer) if answer.status != 503 => return (answer.status, answer.body),
                    Ok(answer) => assert_eq!(answer.code(), "FAASM_EUNAVAILABLE"),
                    Err(ureq::Error::Io(_) | ureq::Error::ConnectionFailed) => {}
                    Err(error) => panic!("a request was lost on n{node}: {error}"),
                }
                self.passed_on.fetch_add(1, Ordering::SeqCst);
            }
            assert!(Instant::now() < until, "no node takes {line}");
        }
    }

    fn wait_for_more(&self, more: u64) {
        let before = self.right.load(Ordering::SeqCst);
        wait_for(&format!("{more} more calls are right"), PATIENCE, || {
            (self.right.load(Ordering::SeqCst) >= before + more).then_some(())
        });
    }
}

#[test]
fn a_rolling_restart_of_all_nodes_loses_no_call_no_record_and_no_output() {
    let cluster = Processes::up(NODES);
    for function in ["echo", "sleep", "big_output"] {
        cluster.must_upload(1, function, "");
    }
    let load = Load {
        cluster: &cluster,
        stop: AtomicBool::new(false),
        right: AtomicU64::new(0),
        passed_on: AtomicU64::new(0),
        requests: AtomicU64::new(0),
        accepted: Mutex::default(),
    };
    let load = &load;
    std::thread::scope(|scope| {
        (0..4).for_each(|client| drop(scope.spawn(move || load.client(client))));
        let stopping = Stop(load);
        load.wait_for_more(20);
        for node in 1..=NODES {
            let pid = cluster.pid(node);
            cluster.signal(node, Signal::TERM);
            wait_for(&format!("n{node} has ended"), Duration::from_secs(20), || {
                rustix::process::test_kill_process(pid).is_err().then_some(())
            });
            load.wait_for_more(20);
            cluster.restart();
            load.wait_for_more(20);
        }
        drop(stopping);
    });
    let accepted = load.accepted.lock().expect("the list");
    println!(
        "{} calls right, {} accepted to run later, {} requests passed on to another node",
        load.right.load(Ordering::SeqCst),
        accepted.len(),
        load.passed_on.load(Ordering::SeqCst)
    );
    for (at, (call, output)) in accepted.iter().enumerate() {
        let node = at % NODES + 1;
        let record = cluster.record(node, call, "20s");
        assert_eq!(record.result, Some(0), "{record:?}");
        let answer = cluster.ask(node, &format!("GET /v1/calls/{call}/output"), b"");
        assert_eq!(answer.status, 200, "{call}: {}", answer.text());
        assert!(answer.body == *output, "{call} has another output");
    }
}

/// Ends the load, also when the test fails.
struct Stop<'a, 'b>(&'a Load<'b>);

impl Drop for Stop<'_, '_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }
}
