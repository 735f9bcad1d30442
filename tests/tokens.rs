//! Tokens, TLS and quotas against real nodes: when a token is needed, how the command line finds
//! it, what is encrypted, and what a user may have.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Output};

use common::guests::guest;
use common::people::Person;
use common::processes::{PATIENCE, Processes, wait_for};
use faasm::id::{ClusterId, NodeId};
use faasm::net::CertificateAuthority;
use serde_json::Value;

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// From the first user on, and until the last is gone, every request needs a token.
#[test]
fn a_cluster_on_loopback_is_open_until_it_has_a_user() {
    let cluster = Processes::up(1);
    let admin = cluster.admin();
    assert_eq!(cluster.ask(1, "GET /v1/users", b"").status, 200, "no token is needed yet");
    let wrong = Person { cluster: &cluster, name: "admin".into(), token: "faasm_00".into() };
    assert_eq!(wrong.ask(1, "GET /v1/nodes", b"").status, 401, "but a wrong one is wrong");
    let shown = cluster.done(&["user", "whoami"]);
    assert!(shown.starts_with("admin (admin), by token"), "{shown}");

    cluster.add_user("alice", &[]);
    assert_eq!(cluster.ask(1, "GET /v1/nodes", b"").status, 401);
    assert_eq!(admin.ask(1, "GET /v1/users", b"").status, 200);
    let text = cluster.done(&["user", "ls"]);
    assert!(text.contains("alice") && text.contains("made with the cluster"), "{text}");

    // Nobody locks the admins out, by mistake or otherwise.
    for args in [
        &["user", "rm", "admin"][..],
        &["user", "set", "admin", "--role", "user"],
        &["user", "token", "admin", "--all"],
    ] {
        let output = cluster.faasm(args);
        assert!(!output.status.success() && err(&output).contains("make another"), "{args:?}");
    }
    // Tokens that end do.
    let short = cluster.done(&["user", "token", "alice", "--expires", "1s"]);
    let short = Person { cluster: &cluster, name: "alice".into(), token: short.trim().into() };
    let mut wire = short.connect(1);
    let mut status = || wire.ask("GET /v1/whoami", "", b"").0;
    assert_eq!(status(), 200);
    wait_for("the token ends", PATIENCE, || {
        (short.ask(1, "GET /v1/whoami", b"").status == 401).then_some(())
    });
    assert_eq!(status(), 401, "on the connection that was open, too");

    cluster.done(&["user", "rm", "alice"]);
    assert_eq!(cluster.ask(1, "GET /v1/nodes", b"").status, 200, "it is open again");
    cluster.restart();
    assert_eq!(admin.ask(1, "GET /v1/users", b"").status, 200);
}

#[test]
fn a_user_has_what_its_quotas_say_and_the_others_are_not_touched() {
    let cluster = Processes::up(1);
    let size = std::fs::metadata(guest("sleep")).expect("compiled").len();
    let limits = ["--functions", "2", "--bytes", &format!("{}", size * 2 + size / 2)];
    let dave = cluster.add_user("dave", &[&limits[..], &["--running", "3"]].concat());
    let erin = cluster.add_user("erin", &[]);
    erin.must_upload("sleep");

    let refused = |answer: &common::processes::Answer, status, word: &str| {
        assert_eq!((answer.status, answer.code().as_str()), (status, "FAASM_EQUOTA"), "{word}");
        assert!(answer.text().contains(word), "{}", answer.text());
    };
    dave.must_upload("sleep");
    assert_eq!(dave.upload(1, "sleep", "two").status, 200);
    let third = dave.upload(1, "sleep", "three");
    refused(&third, 403, "2 functions");
    assert_eq!(third.header("retry-after"), "", "waiting does not help");
    assert_eq!(dave.upload(1, "sleep", "two").status, 200, "a new version is no new function");
    cluster.done(&["user", "set", "dave", "--functions", "0"]);
    refused(&dave.upload(1, "sleep", "three"), 403, "bytes");
    assert_eq!(dave.ask(1, "DELETE /v1/functions/dave/two", b"").status, 200);
    assert_eq!(dave.upload(1, "sleep", "three").status, 200);

    let running: Vec<String> = (0..3).map(|_| dave.submit(1, "sleep", "arg=600000")).collect();
    let fourth = dave.invoke(1, "sleep", "arg=1", b"");
    refused(&fourth, 429, "3 calls alive");
    assert_eq!(fourth.header("retry-after"), "1");
    assert_eq!(erin.invoke(1, "sleep", "arg=1", b"").status, 200);
    cluster.done(&["user", "set", "dave", "--running", "4"]);
    assert_eq!(dave.invoke(1, "sleep", "arg=1", b"").status, 200, "the new limit holds at once");
    for call in &running {
        assert_eq!(dave.ask(1, &format!("DELETE /v1/calls/{call}"), b"").status, 200);
    }

    cluster.done(&["user", "set", "dave", "--requests", "5"]);
    let mut wire = dave.connect(1);
    let answers: Vec<(u16, String)> =
        (0..40).map(|_| wire.ask("GET /v1/whoami", "", b"")).collect();
    let good = answers.iter().filter(|(status, _)| *status == 200).count();
    assert!((5..40).contains(&good), "{good} of 40 at once");
    let (status, text) = answers.iter().find(|(status, _)| *status != 200).expect("too many");
    assert!(*status == 429 && text.contains("5 requests a second"), "{status} {text}");
    for _ in 0..20 {
        assert_eq!(erin.ask(1, "GET /v1/whoami", b"").status, 200);
    }
    wait_for("dave may ask again", PATIENCE, || {
        (dave.ask(1, "GET /v1/whoami", b"").status == 200).then_some(())
    });
    let shown: Value = dave_whoami(&cluster, &dave);
    assert_eq!(shown["quotas"]["requests"], 5);
}

fn dave_whoami(cluster: &Processes, dave: &Person<'_>) -> Value {
    let text = wait_for("whoami is answered", PATIENCE, || {
        let output =
            cluster.command(&["--json", "user", "whoami", "--token", &dave.token]).output();
        let output = output.expect("faasm starts");
        output.status.success().then_some(output.stdout)
    });
    serde_json::from_slice(&text).expect("JSON")
}

#[test]
fn with_tls_the_command_line_knows_the_cluster_and_others_are_told() {
    let cluster = Processes::with_options(1, "[gateway]\ntls = true\n");
    let base = cluster.base(1);
    assert!(base.starts_with("https://127.0.0.1:"), "{base}");
    let module = guest("echo");
    let module = module.to_str().expect("a path");
    cluster.done(&["upload", "alice/echo", module]);
    assert_eq!(cluster.done(&["invoke", "alice/echo", "--input", "over TLS"]), "over TLS");
    let token = cluster.done(&["user", "add", "alice"]);
    let token = token.trim();
    let ca = cluster.dir().join("ca/ca.pem");
    let ca = ca.to_str().expect("a path");

    let elsewhere = |args: &[&str]| {
        let args = [&["--cluster", base], args, &["functions"]].concat();
        cluster.command(&args).output().expect("faasm starts")
    };
    let output = elsewhere(&["--ca", ca, "--token", token]);
    assert!(output.status.success(), "{}", err(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("alice/echo"));
    let strange = elsewhere(&["--token", token]);
    assert!(
        strange.status.code() == Some(121) && err(&strange).contains("--ca"),
        "{}",
        err(&strange)
    );
    let nobody = elsewhere(&["--ca", ca]);
    assert!(err(&nobody).contains("--token"), "the local admin's token is not for a URL");

    // In the clear, a client is told what to do.
    let mut plain = TcpStream::connect(base.trim_start_matches("https://")).expect("connected");
    plain.write_all(b"GET /v1/nodes HTTP/1.1\r\nhost: n\r\n\r\n").expect("sent");
    let mut answer = String::new();
    plain.read_to_string(&mut answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
}

#[test]
fn off_loopback_a_node_without_an_admin_does_not_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let port = |bound: std::io::Result<std::net::SocketAddr>| bound.expect("an address").port();
    let quic = port(UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()));
    let http = port(TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()));
    let certs = dir.path().join("n1/certs");
    // Bounded, should it start after all.
    let faasm = |args: &[&str]| {
        let args = [&["30", env!("CARGO_BIN_EXE_faasm")], args].concat();
        Command::new("timeout").args(args).output().expect("faasm starts")
    };
    let text = |path: &std::path::Path| path.to_str().expect("a path").to_owned();
    let id = ClusterId::random();
    let authority = CertificateAuthority::create(id).expect("an authority");
    let identity = authority.issue(NodeId(1), &["127.0.0.1".parse().unwrap()]);
    identity.and_then(|identity| identity.save(&certs)).expect("saved");
    let file = dir.path().join("cluster.toml");
    let nodes =
        format!("[[nodes]]\nid = 1\nquic = \"127.0.0.1:{quic}\"\nhttp = \"192.0.2.1:{http}\"\n");
    std::fs::write(&file, format!("name = \"x\"\nid = \"{id}\"\n{nodes}")).expect("written");
    let data = text(&dir.path().join("n1"));
    let output = faasm(&["node", "--config", &text(&file), "--id", "1", "--data-dir", &data]);
    assert!(
        !output.status.success() && err(&output).contains("admin_token_hash"),
        "{}",
        err(&output)
    );
    let hash = "0f".repeat(32);
    let text_with = format!("name = \"x\"\nid = \"{id}\"\nadmin_token_hash = \"{hash}\"\n{nodes}");
    std::fs::write(&file, text_with).expect("written");
    std::fs::remove_file(certs.join("node.pem")).expect("removed");
    let output = faasm(&["node", "--config", &text(&file), "--id", "1", "--data-dir", &data]);
    assert!(!output.status.success() && err(&output).contains("node.pem"), "{}", err(&output));
}
