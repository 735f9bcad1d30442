//! The HTTP API of one real node, as README.md lists it.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::LazyLock;
use std::time::Duration;

use common::guests::guest;
use common::processes::{PATIENCE, Processes, wait_for};
use faasm::gateway::view::{
    CallView, CallsView, FunctionView, FunctionsView, NodesView, SummaryView,
};

/// Largest body that the node takes, in bytes.
const BODY: usize = 4 << 20;

/// The node that all tests of this file share, each with functions of its own user or name.
static NODE: LazyLock<Processes> = LazyLock::new(|| {
    let node = Processes::with_options(1, &format!("[gateway]\nbody_bytes = {BODY}\n"));
    for name in ["echo", "sleep", "args", "exit_code", "trap"] {
        node.must_upload(1, name, "");
    }
    node
});

/// Invokes alice's function at the shared node.
fn invoke(name: &str, query: &str, input: &[u8]) -> common::processes::Answer {
    NODE.invoke(1, name, query, input)
}

fn get(path: &str) -> common::processes::Answer {
    NODE.ask(1, &format!("GET {path}"), b"")
}

#[test]
fn functions_are_uploaded_listed_shown_and_removed() {
    let wasm = std::fs::read(guest("echo")).expect("the guest was compiled");
    let line = "PUT /v1/functions/bob/first?memory=64MiB&run_time=10s&policy=spread&retries=2";
    let put = NODE.ask(1, line, &wasm);
    assert_eq!((put.status, put.header("content-type")), (200, "application/json"));
    let function: FunctionView = put.json();
    assert_eq!((function.function.as_str(), function.size), ("bob/first", wasm.len() as u64));
    assert_eq!((function.limits.memory, function.limits.run_ms), (64 << 20, 10_000));
    assert_eq!((function.policy.as_str(), function.retries), ("spread", 2));
    let newer: FunctionView = NODE.ask(1, "PUT /v1/functions/bob/first", &wasm).json();
    assert!(newer.version > function.version, "{newer:?}");
    assert_eq!((newer.hash.as_str(), newer.policy.as_str()), (&*function.hash, "bin-pack"));

    let listed: FunctionsView = get("/v1/functions?user=bob").json();
    assert_eq!(listed.functions, std::slice::from_ref(&newer));
    let all: FunctionsView = get("/v1/functions").json();
    assert!(all.functions.len() > 5 && all.functions.contains(&newer));
    assert_eq!(get("/v1/functions/bob/first").json::<FunctionView>(), newer);

    assert_eq!(NODE.ask(1, "DELETE /v1/functions/bob/first", b"").status, 200);
    for line in [
        "GET /v1/functions/bob/first",
        "DELETE /v1/functions/bob/first",
        "POST /v1/functions/bob/first/invoke",
    ] {
        let answer = NODE.ask(1, line, b"");
        assert_eq!((answer.status, answer.code().as_str()), (404, "FAASM_ENOENT"), "{line}");
        assert!(answer.text().contains("bob/first"), "{}", answer.text());
    }
}

#[test]
fn a_call_answers_with_its_output_and_says_what_it_was_in_headers() {
    let answer = invoke("echo", "", b"\0\xffbytes");
    assert_eq!((answer.status, &answer.body[..]), (200, &b"\0\xffbytes"[..]));
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert_eq!((answer.header("faasm-result"), answer.node()), ("0", "n1"));
    let call = answer.header("faasm-call-id");
    assert_eq!(call.len(), 32);
    let record: CallView = get(&format!("/v1/calls/{call}")).json();
    assert_eq!((record.call.as_str(), record.phase.as_str()), (call, "done"));
    assert_eq!((record.function.as_str(), record.result), ("alice/echo", Some(0)));
    assert_eq!((record.output_bytes, record.node.as_deref()), (7, Some("n1")));
    let times = record.times;
    assert!(times.accepted_us <= times.started_us && times.started_us <= times.ended_us);
    assert_eq!(get(&format!("/v1/calls/{call}/output")).body, b"\0\xffbytes");

    let answer = invoke("exit_code", "arg=77", b"");
    assert_eq!((answer.status, answer.header("faasm-result")), (200, "77"));

    let answer = invoke("args", "arg=a%20b&arg=%C3%A4", b"");
    assert_eq!(answer.text(), "args\na b\nä\n");
    let log = get(&format!("/v1/calls/{}/logs", answer.header("faasm-call-id"))).text();
    assert!(log.contains("3 arguments\n") && log.contains("last: ä\n"), "{log}");

    let answer = invoke("trap", "", b"");
    assert_eq!((answer.status, answer.code().as_str()), (500, "FAASM_EFAILED"));
    let log = get(&format!("/v1/calls/{}/logs", answer.header("faasm-call-id"))).text();
    assert_eq!(log, "about to trap\n");
    let answer = invoke("sleep", "arg=60000&timeout=300ms", b"");
    assert_eq!((answer.status, answer.code().as_str()), (504, "FAASM_ETIMEDOUT"));
}

#[test]
fn an_asynchronous_call_is_found_waited_for_and_listed_while_it_lives() {
    let call = NODE.submit(1, "sleep", "arg=500", b"");
    NODE.running(1, &call);
    let calls: CallsView = get("/v1/calls").json();
    let listed = calls.calls.iter().find(|c| c.call == call).expect("it is listed");
    assert_eq!((listed.function.as_str(), listed.node.as_str()), ("alice/sleep", "n1"));
    assert_eq!(get(&format!("/v1/calls/{call}/output")).code(), "FAASM_EAGAIN");
    assert_eq!(NODE.record(1, &call, "1ms").phase, "running");
    let record = NODE.record(1, &call, "20s");
    assert_eq!((record.phase.as_str(), record.result), ("done", Some(0)));
    assert_eq!(get(&format!("/v1/calls/{call}/output")).text(), "500");
    let calls: CallsView = get("/v1/calls").json();
    assert!(calls.calls.iter().all(|c| c.call != call), "it is over");
    let unknown = get("/v1/calls/00000000000000000000000000000001");
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "FAASM_ENOENT"));
}

#[test]
fn delete_cancels_a_call() {
    let call = NODE.submit(1, "sleep", "arg=60000", b"");
    NODE.running(1, &call);
    for _again in 0..2 {
        let answer = NODE.ask(1, &format!("DELETE /v1/calls/{call}"), b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let record = NODE.record(1, &call, "10s");
        assert_eq!(record.error.expect("no result").code, "FAASM_ECANCELLED");
    }
    let output = get(&format!("/v1/calls/{call}/output"));
    assert_eq!((output.status, output.code().as_str()), (409, "FAASM_ECANCELLED"));
}

#[test]
fn a_repeat_with_the_same_idempotency_key_gets_the_first_ones_result() {
    let ask = |key: &str, name: &str, query: &str, input: &[u8]| {
        let line = format!("POST /v1/functions/alice/{name}/invoke?{query}");
        NODE.try_ask_with(1, &line, input, &[("idempotency-key", key)]).expect("answered")
    };
    let first = ask("k1", "echo", "", b"first");
    let again = ask("k1", "echo", "", b"again");
    let other = ask("k2", "echo", "", b"other");
    assert_eq!((first.text(), again.text()), ("first".into(), "first".into()));
    assert_eq!(first.header("faasm-call-id"), again.header("faasm-call-id"));
    assert_eq!(other.text(), "other");
    // Also while the first one still runs, and asynchronously.
    let begun = ask("k3", "sleep", "async&arg=400", b"");
    let waited = ask("k3", "sleep", "arg=400", b"");
    assert_eq!((begun.status, waited.status), (202, 200));
    assert!(begun.text().contains(waited.header("faasm-call-id")), "{begun:?} {waited:?}");
}

#[test]
fn what_is_too_large_or_wrong_is_refused_with_its_own_status() {
    let big = vec![b'x'; BODY + 1];
    let fits = invoke("echo", "", &big[..BODY]);
    assert_eq!((fits.status, fits.body.len()), (200, BODY));
    for (line, body, status, code) in [
        ("POST /v1/functions/alice/echo/invoke", &big[..], 413, "FAASM_ETOOBIG"),
        ("PUT /v1/functions/alice/big", &big, 413, "FAASM_ETOOBIG"),
        ("PUT /v1/functions/alice/bad", b"no module", 400, "FAASM_EINVAL"),
        ("PUT /v1/functions/alice/bad", b"\0asm\x01\0\0\0\x99", 400, "FAASM_EINVAL"),
        ("PUT /v1/functions/alice/bad", b"", 400, "FAASM_EINVAL"),
        ("PUT /v1/functions/a%20b/bad", b"", 400, "FAASM_EINVAL"),
        ("PUT /v1/functions/alice/bad?polcy=spread", b"", 400, "FAASM_EINVAL"),
        ("POST /v1/functions/alice/none/invoke", b"", 404, "FAASM_ENOENT"),
        ("POST /v1/functions/alice/echo/invoke?timeout=soon", b"", 400, "FAASM_EINVAL"),
        ("POST /v1/functions/alice/echo/invoke?node=9", b"", 400, "FAASM_EINVAL"),
        ("GET /v1/calls/xyz", b"", 400, "FAASM_EINVAL"),
        ("GET /v1/nothing", b"", 404, "FAASM_ENOENT"),
        ("POST /v1/nodes", b"", 405, "FAASM_ENOSYS"),
    ] {
        let answer = NODE.ask(1, line, body);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{line}");
    }
    assert_eq!(get("/v1/functions/alice/bad").status, 404, "nothing of it was kept");
}

#[test]
fn the_node_tells_of_itself_and_the_cluster() {
    let (status, ready) = NODE.ready(1).expect("it answers");
    assert_eq!((status, ready.ready, ready.node.as_str()), (200, true, "n1"));
    assert_eq!(get("/healthz").status, 200);
    let nodes: NodesView = get("/v1/nodes").json();
    assert_eq!((nodes.answered_by.as_str(), nodes.leader.as_deref()), ("n1", Some("n1")));
    assert!(nodes.applied > 0 && nodes.applied <= nodes.commit, "{nodes:?}");
    let [node] = &nodes.nodes[..] else { panic!("{nodes:?}") };
    assert!(node.voter && node.leader && node.connected && node.session.is_some());
    assert_eq!(format!("http://{}", node.http), NODE.base(1));
}

#[test]
fn metrics_count_what_happens() {
    // A node of its own: nobody else's calls are counted.
    let node = Processes::up(1);
    for name in ["echo", "trap"] {
        node.must_upload(1, name, "");
    }
    for _ in 0..10 {
        assert_eq!(node.invoke(1, "echo", "", b"x").status, 200);
    }
    assert_eq!(node.invoke(1, "trap", "", b"").status, 500);
    assert_eq!(node.invoke(1, "none", "", b"").status, 404);
    let is = |name: &str, label: &str, expected: f64| {
        wait_for(&format!("{name}{{{label}}} is {expected}"), PATIENCE, || {
            (node.metric(1, name, label)? == expected).then_some(())
        });
    };
    is("faasm_calls_ended_total", "ok", 10.0);
    is("faasm_calls_ended_total", "FAASM_EFAILED", 1.0);
    is("faasm_call_seconds_count", "", 11.0);
    is("faasm_calls_started_total", "", 11.0);
    is("faasm_instances_ended_total", "", 11.0);
    is("faasm_instances", "", 0.0);
    is("faasm_calls_live", "", 0.0);
    is("faasm_http_requests_total", "route=\"invoke\",status=\"2xx\"", 10.0);
    is("faasm_http_requests_total", "route=\"invoke\",status=\"5xx\"", 1.0);
    is("faasm_http_requests_total", "route=\"functions\",status=\"2xx\"", 2.0);
    is("faasm_module_compile_seconds_count", "", 2.0);
    is("faasm_scheduler_queued", "", 0.0);
    is("faasm_call_records", "", 11.0);
    is("faasm_consensus_is_leader", "", 1.0);
    let at_least = |name: &str, least: f64| {
        let value = node.metric(1, name, "").unwrap_or_else(|| panic!("no metric {name}"));
        assert!(value >= least, "{name} is {value}");
    };
    // Modules, and what was compiled of them.
    at_least("faasm_blob_puts_total", 2.0);
    at_least("faasm_consensus_term", 1.0);
    at_least("faasm_consensus_applied_index", 3.0);
    at_least("faasm_scheduler_free_slots", 1.0);
    at_least("faasm_scheduler_free_places", 100.0);
    at_least("faasm_module_cache_bytes", 1000.0);
    at_least("faasm_http_connections", 1.0);
    let text = node.ask(1, "GET /metrics", b"").text();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let value: f64 = line.rsplit(' ').next().and_then(|v| v.parse().ok()).expect(line);
        assert!(value >= 0.0 && value.is_finite(), "{line}");
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let described = |name: &str| text.contains(&format!("# HELP {name} "));
        assert!(described(name) || base.is_some_and(described), "{name} has no description");
    }
}

#[test]
fn a_client_that_goes_away_cancels_its_call() {
    let wasm = std::fs::read(guest("sleep")).expect("the guest was compiled");
    assert_eq!(NODE.ask(1, "PUT /v1/functions/carol/leaves", &wasm).status, 200);
    let address = NODE.base(1).trim_start_matches("http://");
    let mut client = TcpStream::connect(address).expect("connected");
    let request = "POST /v1/functions/carol/leaves/invoke?arg=60000 HTTP/1.1\r\nhost: n\r\n\
                   content-length: 0\r\n\r\n";
    client.write_all(request.as_bytes()).expect("sent");
    let call = wait_for("the call runs", PATIENCE, || {
        let calls = get("/v1/calls").json::<CallsView>().calls;
        let mine = |c: &SummaryView| c.function == "carol/leaves" && c.phase == "running";
        calls.into_iter().find(mine).map(|c| c.call)
    });
    drop(client);
    let record = NODE.record(1, &call, "10s");
    assert_eq!(record.error.expect("no result").code, "FAASM_ECANCELLED");
    assert!(NODE.metric(1, "faasm_http_requests_abandoned_total", "") >= Some(1.0));
}

/// One connection, kept alive.
struct Client(TcpStream);

impl Client {
    fn connect() -> Self {
        let address = NODE.base(1).trim_start_matches("http://");
        let stream = TcpStream::connect(address).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        Self(stream)
    }

    /// Calls echo; gives the body of the answer, whose head must be that of a success.
    fn echo(&mut self, input: &str) -> String {
        let length = input.len();
        let request = format!(
            "POST /v1/functions/alice/echo/invoke HTTP/1.1\r\nhost: n\r\n\
             content-length: {length}\r\n\r\n{input}"
        );
        self.0.write_all(request.as_bytes()).expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("the connection is kept");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("text").to_lowercase();
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        assert!(head.contains(&format!("\r\ncontent-length: {length}\r\n")), "{head}");
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("a body");
        String::from_utf8(body).expect("text")
    }
}

#[test]
fn sixty_four_clients_at_once_keep_their_connections() {
    std::thread::scope(|scope| {
        for client in 0..64 {
            scope.spawn(move || {
                let mut connection = Client::connect();
                for turn in 0..20 {
                    let input = format!("client {client}, request {turn}");
                    assert_eq!(connection.echo(&input), input);
                }
            });
        }
    });
}
