//! Certificates are replaced while a cluster works: new keys for all nodes, a new authority, and a
//! node that was down meanwhile. No call is lost.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::processes::{PATIENCE, Processes, wait_for};
use faasm::gateway::certs::CertsView;
use faasm::net::CertificateAuthority;
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
        // Also that of n3, which was down: what founders keep of the authority is of the new one.
        for folder in ["n1/certs", "n2/certs", "n3/certs", "ca"] {
            let authority = CertificateAuthority::load(&cluster.dir().join(folder));
            assert!(authority.is_ok(), "{folder}: {:?}", authority.err());
        }
        more();
        drop(stopping);
    });
    println!("{} calls right", right.load(Ordering::SeqCst));
}

#[test]
fn clients_over_tls_follow_a_new_authority_or_are_told_and_old_join_tokens_are_void() {
    let cluster = Processes::with_options(1, "[gateway]\ntls = true\n");
    let join_token = faasm(&cluster, &["nodes", "token", "--uses", "2"]);
    let read = |name: &str| std::fs::read_to_string(cluster.dir().join(name)).expect("a file");
    let (old, token) = (cluster.dir().with_extension("old.pem"), read("admin.token"));
    let before = read("ca/ca.pem");
    std::fs::write(&old, &before).expect("a copy");
    let elsewhere = |args: &[&str]| {
        let ca = old.to_str().expect("UTF-8");
        let who = ["--cluster", cluster.base(1), "--ca", ca, "--token", token.trim()];
        let output = cluster.faasm(&[&who, args].concat());
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    wait_for("the node's key is registered", PATIENCE, || {
        (keys(&certs(&cluster))[0].len() == 1).then_some(())
    });

    let text = faasm(&cluster, &["cert", "rotate", "--authority"]);
    assert!(text.contains("join tokens are void") && text.contains("faasm cert ca"), "{text}");
    // While the one before vouches for the new one, who only knows that one gets in.
    assert_eq!(elsewhere(&["nodes"]), (true, String::new()));
    wait_for("the authority before is not trusted", PATIENCE, || {
        (!certs(&cluster).replacing).then_some(())
    });
    faasm(&cluster, &["cert", "rotate"]);
    assert_ne!(read("ca/ca.pem"), before);
    assert_eq!(faasm(&cluster, &["cert", "ca"]).trim(), read("ca/ca.pem").trim());
    CertificateAuthority::load(&cluster.dir().join("ca")).expect("its key");
    let (done, error) = elsewhere(&["nodes"]);
    let advice = error.contains("was replaced") && error.contains("certs/ca.pem");
    assert!(!done && advice && error.contains(old.to_str().expect("UTF-8")), "{error}");

    // Over TLS the new node itself sees it; else the member says so.
    assert!(!faasm(&cluster, &["nodes", "token", "--list"]).contains("in "));
    let home = cluster.dir().with_extension("joiner");
    let joins = ["node", "--join", cluster.base(1), "--token", join_token.trim()];
    let ports = ["--http", "127.0.0.1:0", "--quic", "127.0.0.1:0", "--data-dir"];
    let home_text = home.to_str().expect("UTF-8");
    let output = cluster.faasm(&[&joins[..], &ports, &[home_text]].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("voids all join tokens"), "{error}");
    for left in [old, home] {
        let _gone = std::fs::remove_file(&left).or_else(|_| std::fs::remove_dir_all(&left));
    }
}

/// Ends the load, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
