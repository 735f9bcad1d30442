//! Certificates are replaced while a cluster works: new keys for all nodes, a new authority, and a
//! node that was down meanwhile. No call is lost.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::processes::{PATIENCE, Processes, wait_for};
use faasm::gateway::certs::CertsView;
use rustix::process::Signal;

const NODES: usize = 3;

/// Calls that go from node to node, one after the other, each with its answer.
fn call(cluster: &Processes, client: usize, stop: &AtomicBool, right: &AtomicU64) {
    for turn in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let (function, input) = match turn % 2 {
            0 => ("echo", format!("client {client}, call {turn}")),
            _ => ("sleep", format!("{}", 50 + turn % 200)),
        };
        // The third node is the one that is stopped.
        let line = format!("/v1/functions/alice/{function}/invoke?policy=spread&timeout=20s");
        let answer = cluster.ask(client % 2 + 1, &format!("POST {line}"), input.as_bytes());
        assert_eq!((answer.status, answer.text()), (200, input));
        right.fetch_add(1, Ordering::SeqCst);
    }
}

fn faasm(cluster: &Processes, args: &[&str]) -> String {
    let output = cluster.faasm(args);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {text}{error}");
    text
}

fn certs(cluster: &Processes) -> CertsView {
    serde_json::from_str(&faasm(cluster, &["cert", "ls", "--json"])).expect("the certificates")
}

fn keys(view: &CertsView) -> Vec<Vec<String>> {
    view.nodes.iter().map(|node| node.registered.clone()).collect()
}

#[test]
fn certificates_and_the_authority_are_replaced_under_load_and_a_node_that_was_down_follows() {
    let cluster = Processes::up(NODES);
    cluster.must_upload(1, "echo", "");
    cluster.must_upload(1, "sleep", "");
    wait_for("the keys of all nodes are registered", PATIENCE, || {
        keys(&certs(&cluster)).iter().all(|keys| keys.len() == 1).then_some(())
    });
    let (stop, right) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (cluster, stop, right) = (&cluster, &stop, &right);
        for client in 0..2 {
            scope.spawn(move || call(cluster, client, stop, right));
        }
        let stopping = Stop(stop);
        let more = || {
            let before = right.load(Ordering::SeqCst);
            wait_for("20 more calls are right", PATIENCE, || {
                (right.load(Ordering::SeqCst) >= before + 20).then_some(())
            });
        };
        more();
        let (before, ca) = (keys(&certs(cluster)), faasm(cluster, &["cert", "ca"]));
        faasm(cluster, &["cert", "rotate"]);
        let after = certs(cluster);
        assert_eq!((after.generation, after.replacing), (2, false));
        assert!(keys(&after).iter().zip(&before).all(|(new, old)| new.len() == 1 && new != old));
        assert_eq!(faasm(cluster, &["cert", "ca"]), ca);
        more();

        cluster.signal(3, Signal::TERM);
        let gone = || certs(cluster).nodes.iter().any(|node| !node.live).then_some(());
        wait_for("n3 is down", Duration::from_secs(20), gone);
        let text = faasm(cluster, &["cert", "rotate", "--authority"]);
        assert!(text.contains("n3 follow"), "{text}");
        assert!(certs(cluster).replacing);
        more();
        cluster.restart();
        wait_for("n3 has followed, and the authority before is not trusted", PATIENCE, || {
            let view = certs(cluster);
            let follows = view.nodes.iter().all(|node| node.generation == Some(3));
            (follows && !view.replacing && keys(&view).iter().all(|keys| keys.len() == 1))
                .then_some(())
        });
        assert_ne!(faasm(cluster, &["cert", "ca"]), ca);
        more();
        drop(stopping);
    });
    println!("{} calls right", right.load(Ordering::SeqCst));
}

/// Ends the load, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
