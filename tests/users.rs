//! Users, as an attacker sees them: alice tries to reach what is bob's by every route, from outside
//! and from inside functions; and what is revoked is out at once, on every node.

mod common;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use common::people::{Person, Wire};
use common::processes::{PATIENCE, Processes, wait_for};
use serde_json::Value;

/// What bob's function answers and nobody else may see.
const SECRET: &str = "what bob alone knows";
/// An id that no call has.
const RANDOM: &str = "5c0ffee5c0ffee5c0ffee5c0ffee5c0f";

/// A cluster of two nodes with alice and bob, and what bob has there.
struct Cast {
    cluster: Processes,
    alice: String,
    bob: String,
    /// Calls of bob's: one that ended, one that runs.
    calls: [String; 2],
}

static CAST: LazyLock<Cast> = LazyLock::new(|| {
    let cluster = Processes::up(2);
    let (alice, bob) = (cluster.add_user("alice", &[]), cluster.add_user("bob", &[]));
    for name in ["echo", "sleep", "intruder"] {
        alice.must_upload(name);
    }
    bob.must_upload("sleep");
    assert_eq!(bob.upload(1, "echo", "secret").status, 200);
    let ended = bob.ask_with(
        1,
        "POST /v1/functions/bob/secret/invoke",
        SECRET.as_bytes(),
        &[("idempotency-key", "bobs key")],
    );
    assert_eq!(ended.text(), SECRET);
    let calls = [ended.header("faasm-call-id").to_owned(), bob.submit(2, "sleep", "arg=600000")];
    let (alice, bob) = (alice.token, bob.token);
    Cast { cluster, alice, bob, calls }
});

fn person(name: &str, token: &str) -> Person<'static> {
    Person { cluster: &CAST.cluster, name: name.to_owned(), token: token.to_owned() }
}

fn alice() -> Person<'static> {
    person("alice", &CAST.alice)
}

fn bob() -> Person<'static> {
    person("bob", &CAST.bob)
}

#[test]
fn without_a_valid_token_there_is_nothing_but_health() {
    let routes = [
        "GET /v1/functions",
        "GET /v1/functions/bob/secret",
        "PUT /v1/functions/bob/secret",
        "DELETE /v1/functions/bob/secret",
        "POST /v1/functions/bob/secret/invoke",
        "GET /v1/calls",
        "GET /v1/nodes",
        "GET /v1/users",
        "PUT /v1/users/eve?role=admin",
        "DELETE /v1/users/bob",
        "POST /v1/users/admin/tokens",
        "GET /metrics",
        "GET /nothing",
    ];
    let cut = &CAST.alice[..CAST.alice.len() - 1];
    for token in ["", "faasm_", "x", &"0".repeat(5000), cut, &CAST.alice.to_uppercase()] {
        for route in routes {
            let (status, body) = Wire::new(&CAST.cluster, 1, token).ask(route, "", b"");
            assert_eq!(status, 401, "{route} with `{token}`: {body}");
            assert!(body.contains("faasm user token") && !body.contains(SECRET), "{body}");
        }
    }
    let answer = CAST.cluster.ask(1, "GET /v1/nodes", b"");
    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"faasm\"");
    for open in ["GET /healthz", "GET /readyz"] {
        assert_eq!(CAST.cluster.ask(2, open, b"").status, 200);
    }
}

#[test]
fn functions_of_others_are_refused_the_same_whether_they_exist_or_not() {
    let module = std::fs::read(common::guests::guest("echo")).expect("compiled");
    let alice = alice();
    for (method, end, body) in [
        ("GET", "", &b""[..]),
        ("PUT", "", &module),
        ("DELETE", "", b""),
        ("POST", "/invoke", b"x"),
        ("POST", "/invoke?async", b"x"),
    ] {
        let ask = |path: &str| {
            let answer = alice.ask(1, &format!("{method} /v1/functions/{path}{end}"), body);
            (answer.status, answer.text())
        };
        let there = ask("bob/secret");
        assert_eq!(there.0, 403, "{method} {end}: {}", there.1);
        for path in ["bob/none", "nobody/none", "admin/x", "ALICE/secret"] {
            assert_eq!(ask(path), there, "{method} {path}{end}");
        }
    }
    assert_eq!(bob().invoke(1, "secret", "", b"still here").text(), "still here");
}

#[test]
fn calls_of_others_look_like_calls_that_do_not_exist() {
    let alice = alice();
    for node in [1, 2] {
        for call in &CAST.calls {
            for (method, end) in [
                ("GET", ""),
                ("GET", "?wait=30s"),
                ("GET", "/output"),
                ("GET", "/logs"),
                ("DELETE", ""),
            ] {
                let ask = |id: &str| {
                    let answer = alice.ask(node, &format!("{method} /v1/calls/{id}{end}"), b"");
                    (answer.status, answer.text())
                };
                let begun = Instant::now();
                let (theirs, none) = (ask(call), ask(RANDOM));
                assert_eq!(theirs, none, "{method} {end} at n{node}");
                assert_eq!(theirs.0, 404);
                assert!(begun.elapsed() < Duration::from_secs(10), "it waited for bob's call");
            }
        }
    }
    let [ended, running] = &CAST.calls;
    let bob = bob();
    assert_eq!(bob.ask(2, &format!("GET /v1/calls/{ended}/output"), b"").text(), SECRET);
    let record: Value = bob.ask(1, &format!("GET /v1/calls/{running}"), b"").json();
    assert_eq!(record["phase"], "running", "alice could not cancel it: {record}");
    let admin = CAST.cluster.admin();
    assert_eq!(admin.ask(2, &format!("GET /v1/calls/{ended}/output"), b"").text(), SECRET);
}

/// How long a lookup takes does not tell whether somebody else has that call.
#[test]
fn looking_for_a_call_of_another_takes_as_long_as_for_none() {
    let mut wire = alice().connect(1);
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..200 {
        for (times, id) in took.iter_mut().zip([CAST.calls[0].as_str(), RANDOM]) {
            let begun = Instant::now();
            assert_eq!(wire.ask(&format!("GET /v1/calls/{id}"), "", b"").0, 404);
            times.push(begun.elapsed());
        }
    }
    let [theirs, none] = took.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    // Asked of one node alone, a hit would take a small part of a miss, which asks the other node.
    assert!(theirs < none * 2 && none < theirs * 2, "{theirs:?} and {none:?}");
}

#[test]
fn lists_show_ones_own_only() {
    let (alice, bob, admin) = (alice(), bob(), CAST.cluster.admin());
    let mine = alice.submit(1, "sleep", "arg=600000");
    for node in [1, 2] {
        let functions = |who: &Person<'_>, query: &str| {
            who.ask(node, &format!("GET /v1/functions{query}"), b"").text()
        };
        let seen = functions(&alice, "");
        assert!(seen.contains("alice/echo") && !seen.contains("bob"), "{seen}");
        assert!(functions(&admin, "").contains("bob/secret"));
        assert!(!functions(&admin, "?user=alice").contains("bob"));
        let theirs = CAST.calls[1].clone();
        assert!(alice.calls(node, "").contains(&mine));
        assert!(!alice.calls(node, "").contains(&theirs));
        // What others have does not push out one's own.
        assert_eq!(bob.calls(node, "limit=1"), [theirs.as_str()]);
        assert!(admin.calls(node, "").contains(&mine) && admin.calls(node, "").contains(&theirs));
        assert!(!admin.calls(node, "user=alice").contains(&theirs));
        for route in ["/v1/functions?user=bob", "/v1/calls?user=bob", "/v1/calls?user=nobody"] {
            assert_eq!(alice.ask(node, &format!("GET {route}"), b"").status, 403, "{route}");
        }
    }
    assert_eq!(alice.ask(2, &format!("DELETE /v1/calls/{mine}"), b"").status, 200);
}

#[test]
fn what_is_for_admins_is_not_for_users() {
    let alice = alice();
    for route in [
        "GET /v1/users",
        "PUT /v1/users/eve",
        "PUT /v1/users/alice?role=admin",
        "PATCH /v1/users/alice?role=admin",
        "PATCH /v1/users/alice?requests=0",
        "DELETE /v1/users/bob",
        "POST /v1/users/bob/tokens",
        "POST /v1/users/alice/tokens",
        "DELETE /v1/users/bob/tokens",
        "DELETE /v1/users/bob/tokens/00",
        "GET /metrics",
    ] {
        let answer = alice.ask(1, route, b"");
        assert_eq!((answer.status, answer.code().as_str()), (403, "FAASM_EPERM"), "{route}");
    }
    let me: Value = alice.ask(1, "GET /v1/whoami", b"").json();
    assert_eq!((&me["user"], &me["role"]), (&"alice".into(), &"user".into()));
    let nodes: Value = alice.ask(1, "GET /v1/nodes", b"").json();
    assert_eq!(nodes["nodes"].as_array().map(Vec::len), Some(2));
    let users = CAST.cluster.done(&["user", "ls"]);
    assert!(users.contains("alice  user"), "{users}");
    assert!(!users.contains(&CAST.alice), "a token is shown once");
}

#[test]
fn tricks_with_paths_and_headers_reach_nothing_of_bobs() {
    let lines = [
        "POST /v1/functions/alice/../bob/secret/invoke",
        "POST /v1/functions/alice/%2e%2e/bob/secret/invoke",
        "POST /v1/functions/alice/..%2fbob%2fsecret/invoke",
        "POST /v1/functions/alice%2f..%2fbob/secret/invoke",
        "POST /v1/functions/%62ob/secret/invoke",
        "POST /v1/functions//bob/secret/invoke",
        "POST //v1/functions/bob/secret/invoke",
        "POST /v1//functions/bob/secret/invoke",
        "POST /V1/FUNCTIONS/bob/secret/invoke",
        "POST /v1/functions/BOB/secret/invoke",
        "POST /v1/functions/bob/secret/invoke/",
        "POST /v1/functions/bob;alice/secret/invoke",
        "POST /v1/functions/bob%00/secret/invoke",
        "POST /v1/functions/alice/secret/invoke?user=bob",
        "POST /v1/functions/bob/secret/invoke?user=alice",
        "POST http://n/v1/functions/bob/secret/invoke",
        "GET /v1/functions/alice?user=bob",
        "GET /v1/functions/bob/secret?user=alice",
        "GET /v1/functions?user=alice&user=bob",
        "GET /v1/functions?user=%62ob",
        "GET /healthz/../v1/functions/bob/secret",
        "HEAD /v1/functions/bob/secret",
        "OPTIONS /v1/functions/bob/secret",
    ];
    let headers = [
        "",
        "x-user: bob\r\n",
        "x-forwarded-user: bob\r\nx-forwarded-for: 127.0.0.1\r\nforwarded: for=127.0.0.1\r\n",
        "x-http-method-override: GET\r\nx-original-url: /v1/users\r\n",
        "cookie: user=bob; token=bob\r\n",
    ];
    for line in lines {
        for headers in headers {
            let mut wire = alice().connect(1);
            wire.send(line, headers, SECRET.as_bytes());
            // The length in the answer to HEAD is of a body that does not come.
            if line.starts_with("HEAD") {
                continue;
            }
            let (status, body) = wire.receive();
            assert!((400..500).contains(&status), "{line} {headers}: {status} {body}");
            assert!(!body.contains(SECRET), "{line}: {body}");
        }
    }
    // Two tokens, in either order, are none.
    let second = format!("authorization: Bearer {}\r\n", CAST.bob);
    let (status, _) = alice().connect(1).ask("GET /v1/functions", &second, b"");
    assert_eq!(status, 401);
}

#[test]
fn names_and_keys_are_each_users_own() {
    let alice = alice();
    assert_eq!(alice.upload(1, "args", "secret").status, 200);
    let answer = alice.invoke(2, "secret", "arg=hers", b"");
    assert!(answer.text().contains("hers"), "her own function of that name: {}", answer.text());
    assert_eq!(bob().invoke(2, "secret", "", b"his").text(), "his");
    let line = "POST /v1/functions/alice/echo/invoke";
    for node in [1, 2] {
        let answer = alice.ask_with(node, line, b"hers", &[("idempotency-key", "bobs key")]);
        assert_eq!(answer.text(), "hers", "bob's key names bob's call only");
    }
}

#[test]
fn from_inside_a_function_there_are_only_ones_own_functions_and_calls() {
    let names = [
        "bob/secret",
        "/bob/secret",
        "../bob/secret",
        "..%2Fbob%2Fsecret",
        "bob%2fsecret",
        "bob.secret",
        "bob\\secret",
        "BOB/SECRET",
        "alice/../bob/secret",
        "//secret",
        " secret",
        "nothing",
        "bob",
        ".",
        "..",
        "*",
        "secret/",
        "bob:secret",
    ];
    let query: Vec<_> = names.iter().map(|name| format!("arg={}", encoded(name))).collect();
    let answer = alice().invoke(1, "intruder", &query.join("&"), b"");
    assert_eq!(answer.header("faasm-result"), "0", "{}", answer.text());
    assert_eq!(answer.text(), "kept out");
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[test]
fn a_token_cannot_be_used_for_what_its_user_may_not_by_the_command_line_either() {
    let faasm = |args: &[&str]| {
        let output = CAST.cluster.command(args).env("FAASM_TOKEN", &CAST.alice).output();
        let output = output.expect("faasm starts");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(faasm(&["functions", "alice"]).0, Some(0));
    for args in [&["functions", "bob"][..], &["delete", "bob/secret"], &["user", "rm", "bob"]] {
        let (code, error) = faasm(args);
        assert!(code == Some(122) && error.contains("FAASM_EPERM"), "{args:?}: {error}");
    }
    let (code, error) = faasm(&["output", &CAST.calls[0]]);
    assert!(code == Some(122) && error.contains("FAASM_ENOENT"), "{error}");
}

/// On three nodes: with a token, everything that hangs on it ends, and nothing else does; with the
/// user, all that it runs.
#[test]
fn revoked_tokens_and_removed_users_are_out_at_once_everywhere() {
    let cluster = Processes::up(3);
    let carol = cluster.add_user("carol", &[]);
    carol.must_upload("sleep");
    let second = cluster.done(&["user", "token", "carol", "--label", "second"]);
    let other = Person { cluster: &cluster, name: "carol".into(), token: second.trim().into() };

    let mut kept: Vec<Wire> = (1..=3).map(|node| carol.connect(node)).collect();
    for wire in &mut kept {
        assert_eq!(wire.ask("GET /v1/whoami", "", b"").0, 200);
    }
    let call = other.submit(1, "sleep", "arg=600000&timeout=1h");
    let mut invokes: Vec<Wire> = (1..=3).map(|node| carol.connect(node)).collect();
    for wire in &mut invokes {
        wire.send("POST /v1/functions/carol/sleep/invoke?arg=600000", "", b"");
    }
    let mut waits: Vec<Wire> = (1..=3).map(|node| carol.connect(node)).collect();
    for wire in &mut waits {
        wire.send(&format!("GET /v1/calls/{call}?wait=300s"), "", b"");
    }
    wait_for("four calls run", PATIENCE, || (other.calls(2, "").len() == 4).then_some(()));

    let listed: Value = serde_json::from_str(&cluster.done(&["--json", "user", "ls"])).unwrap();
    let users = listed["users"].as_array().expect("users");
    let tokens =
        users.iter().find(|user| user["user"] == "carol").expect("carol")["tokens"].clone();
    let first = tokens.as_array().unwrap().iter().find(|token| token["label"] == "first");
    let id = first.expect("the first token")["id"].as_str().unwrap();
    cluster.done(&["user", "token", "carol", "--revoke", id]);
    let revoked = Instant::now();
    for (node, wire) in kept.iter_mut().enumerate() {
        assert_eq!(wire.ask("GET /v1/whoami", "", b"").0, 401, "kept open to n{}", node + 1);
    }
    for wire in invokes.iter_mut().chain(&mut waits) {
        let (status, body) = wire.receive();
        assert!(status == 401 && body.contains("revoked"), "{status} {body}");
    }
    assert!(revoked.elapsed() < Duration::from_secs(5), "{:?}", revoked.elapsed());
    wait_for("the calls of those clients end", PATIENCE, || {
        (other.calls(3, "") == [call.as_str()]).then_some(())
    });

    let running: Vec<String> =
        (1..=3).map(|node| other.submit(node, "sleep", "arg=600000")).collect();
    for call in &running {
        wait_for("a call runs", PATIENCE, || {
            let record: Value = other.ask(1, &format!("GET /v1/calls/{call}"), b"").json();
            (record["phase"] == "running").then_some(())
        });
    }
    let mut wire = other.connect(2);
    wire.send(&format!("GET /v1/calls/{call}?wait=300s"), "", b"");
    cluster.done(&["user", "rm", "carol"]);
    assert_eq!(wire.receive().0, 401);
    let admin = cluster.admin();
    for node in 1..=3 {
        assert_eq!(other.ask(node, "GET /v1/calls", b"").status, 401);
        wait_for("no instance is left", PATIENCE, || {
            let text = admin.ask(node, "GET /metrics", b"").text();
            text.lines().any(|line| line == "faasm_instances 0").then_some(())
        });
        wait_for("no call is left", PATIENCE, || admin.calls(node, "").is_empty().then_some(()));
        let functions = admin.ask(node, "GET /v1/functions", b"").text();
        assert!(!functions.contains("carol"), "{functions}");
    }
    // Somebody else of the same name finds nothing of hers.
    let again = cluster.add_user("carol", &[]);
    for call in running.iter().chain([&call]) {
        assert_eq!(again.ask(1, &format!("GET /v1/calls/{call}"), b"").status, 404);
    }
    assert_eq!(again.invoke(1, "sleep", "arg=1", b"").status, 404);
}
