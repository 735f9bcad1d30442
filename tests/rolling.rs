//! Every node is told to stop and is started again, one after the other, under load: no call that
//! was accepted is lost, nor its record, nor a large output that stayed where it was made.

mod common;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::people::Wire;
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
    closed: AtomicU64,
    /// Asynchronous calls that were accepted, with what they are to output.
    accepted: Mutex<BTreeMap<String, Vec<u8>>>,
}

/// One client: with a connection for each request, or one for each node that it keeps.
struct Client<'a> {
    load: &'a Load<'a>,
    number: usize,
    kept: Option<BTreeMap<usize, Wire>>,
}

impl Client<'_> {
    fn run(&mut self) {
        for turn in self.number.. {
            if self.load.stop.load(Ordering::SeqCst) {
                return;
            }
            let number = self.number;
            match turn % 3 {
                0 => self.synchronous("echo", format!("client {number}, call {turn}").as_bytes()),
                1 => self.synchronous("sleep", format!("{}", 20 + turn % 80).as_bytes()),
                _ => self.asynchronous(turn),
            }
        }
    }

    fn synchronous(&mut self, function: &str, input: &[u8]) {
        let line = format!("POST /v1/functions/alice/{function}/invoke?policy=spread&timeout=20s");
        let (status, body) = self.ask(&line, input);
        assert_eq!((status, &body[..]), (200, input), "{}", String::from_utf8_lossy(&body));
        self.load.right.fetch_add(1, Ordering::SeqCst);
    }

    fn asynchronous(&mut self, turn: usize) {
        let size = if turn.is_multiple_of(2) { LARGE } else { 100 } + self.number;
        let line =
            format!("POST /v1/functions/alice/big_output/invoke?async&policy=spread&arg={size}");
        let (status, body) = self.ask(&line, b"");
        assert_eq!(status, 202, "{}", String::from_utf8_lossy(&body));
        let call = serde_json::from_slice::<SubmittedView>(&body).expect("an id").call;
        let output = (0..size).map(|i| (i * 31 + 7) as u8).collect();
        self.load.accepted.lock().expect("the list").insert(call, output);
    }

    /// Asks the nodes in turn until one takes the request. A refusal means that nothing was done.
    /// What was sent is answered: a broken connection fails the test.
    fn ask(&mut self, line: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let until = Instant::now() + PATIENCE;
        loop {
            for node in 1..=NODES {
                let answer = match self.kept {
                    None => self.ask_once(node, line, body),
                    Some(_) => self.ask_kept(node, line, body),
                };
                match answer {
                    Some((503, body)) => {
                        let text = String::from_utf8_lossy(&body);
                        assert!(text.contains("FAASM_EUNAVAILABLE"), "{text}");
                    }
                    Some(answer) => return answer,
                    None => {}
                }
                self.load.passed_on.fetch_add(1, Ordering::SeqCst);
            }
            assert!(Instant::now() < until, "no node takes {line}");
        }
    }

    /// On a connection of its own; nothing when the node does not listen.
    fn ask_once(&self, node: usize, line: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        match self.load.cluster.try_ask(node, line, body) {
            Ok(answer) => Some((answer.status, answer.body)),
            Err(ureq::Error::ConnectionFailed) => None,
            Err(ureq::Error::Io(error)) if error.kind() == ErrorKind::ConnectionRefused => None,
            Err(error) => panic!("a request was lost on n{node}: {error}"),
        }
    }

    /// On the connection that is kept with the node, or a new one if that is closed.
    fn ask_kept(&mut self, node: usize, line: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let kept = self.kept.as_mut()?;
        if kept.get(&node).is_some_and(Wire::is_closed) {
            kept.remove(&node);
            self.load.closed.fetch_add(1, Ordering::SeqCst);
        }
        let mut wire = match kept.remove(&node) {
            Some(wire) => wire,
            None => match Wire::try_new(self.load.cluster, node, "") {
                Ok(wire) => wire,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return None,
                Err(error) => panic!("no connection with n{node}: {error}"),
            },
        };
        let (status, answer) = wire.ask(line, "", body);
        kept.insert(node, wire);
        Some((status, answer.into_bytes()))
    }
}

impl Load<'_> {
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
        closed: AtomicU64::new(0),
        accepted: Mutex::default(),
    };
    let load = &load;
    std::thread::scope(|scope| {
        for number in 0..4 {
            let kept = (number % 2 == 1).then(BTreeMap::new);
            scope.spawn(move || Client { load, number, kept }.run());
        }
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
        "{} calls right, {} accepted to run later, {} requests passed on to another node, {} kept \
         connections closed by nodes",
        load.right.load(Ordering::SeqCst),
        accepted.len(),
        load.passed_on.load(Ordering::SeqCst),
        load.closed.load(Ordering::SeqCst)
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
