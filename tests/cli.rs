//! The command line as its users type it, against clusters of real processes.

mod common;

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use common::guests::guest;
use common::processes::{PATIENCE, Processes, wait_for};
use serde_json::Value;

/// The cluster that the tests of this file share; what they upload differs in its user.
static CLUSTER: LazyLock<Processes> = LazyLock::new(|| {
    let cluster = Processes::up(1);
    for name in ["echo", "sleep", "args", "exit_code", "trap"] {
        cluster.must_upload(1, name, "");
    }
    cluster
});

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs `faasm`, which must succeed; its stdout.
fn ok(args: &[&str]) -> String {
    let output = CLUSTER.faasm(args);
    assert!(output.status.success(), "faasm {args:?}: {}", err(&output));
    out(&output)
}

/// Runs `faasm` with `--json`, which must succeed; what it printed.
fn json(args: &[&str]) -> Value {
    let text = ok(&[&["--json"], args].concat());
    serde_json::from_str(&text).unwrap_or_else(|why| panic!("faasm {args:?}: {why}: {text}"))
}

/// Runs `faasm`, which must fail with this code and say something of this; its stderr.
fn fails(args: &[&str], code: i32, word: &str) -> String {
    let output = CLUSTER.faasm(args);
    let text = err(&output);
    assert_eq!(output.status.code(), Some(code), "faasm {args:?}: {text}");
    assert!(text.contains(word), "faasm {args:?}: no word of {word}: {text}");
    text
}

#[test]
fn a_function_is_uploaded_listed_called_and_removed() {
    let wasm = guest("args");
    let wasm = wasm.to_str().expect("a path");
    let said = ok(&["upload", "bob/args", wasm, "--memory", "64MiB", "--policy", "spread"]);
    assert!(said.starts_with("uploaded bob/args: version "), "{said}");
    let table = ok(&["functions", "bob"]);
    assert!(table.starts_with("FUNCTION") && table.contains("64MiB"), "{table}");
    assert_eq!(table.lines().count(), 2, "{table}");
    let listed = json(&["functions"]);
    let listed = listed["functions"].as_array().expect("a list");
    assert!(listed.iter().any(|f| f["function"] == "bob/args" && f["policy"] == "spread"));

    let said = ok(&["invoke", "bob/args", "--", "--top", "10 %", ""]);
    assert_eq!(said, "args\n--top\n10 %\n\n");
    let again = json(&["upload", "bob/args", wasm]);
    assert_eq!(again["policy"], "bin-pack");

    assert_eq!(ok(&["delete", "bob/args"]), "deleted bob/args\n");
    fails(&["delete", "bob/args"], 122, "FAASM_ENOENT");
    let said = fails(&["invoke", "bob/args"], 122, "bob/args");
    assert!(said.starts_with("faasm: error: "), "{said}");
}

#[test]
fn invoke_takes_its_input_from_text_files_and_stdin() {
    assert_eq!(ok(&["invoke", "alice/echo", "--input", "a text"]), "a text");
    assert_eq!(ok(&["invoke", "alice/echo"]), "");
    let bytes: Vec<u8> = (0..200_000).map(|i| (i % 251) as u8).collect();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &bytes).expect("written");
    let path = file.path().to_str().expect("a path");
    let output = CLUSTER.faasm(&["invoke", "alice/echo", "--input-file", path]);
    assert!(output.stdout == bytes, "{} bytes: {}", output.stdout.len(), err(&output));

    let mut child = CLUSTER
        .command(&["invoke", "alice/echo", "--input-file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("faasm starts");
    child.stdin.take().expect("stdin").write_all(&bytes).expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stdout == bytes);

    fails(&["invoke", "alice/echo", "--input-file", "/no/such/file"], 125, "/no/such/file");
    fails(&["invoke", "alice/echo", "--input", "x", "--input-file", "y"], 120, "--input-file");
}

#[test]
fn invoke_exits_with_the_result_of_the_function() {
    for code in [0, 1, 42, 255] {
        let output = CLUSTER.faasm(&["invoke", "alice/exit_code", "--", &code.to_string()]);
        assert_eq!(output.status.code(), Some(code), "{}", err(&output));
        assert_eq!(err(&output), "");
    }
    let output = CLUSTER.faasm(&["--json", "invoke", "alice/exit_code", "--", "42"]);
    let view: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), &view["result"]), (Some(42), &Value::from(42)));
    let view = json(&["invoke", "alice/echo", "--input", "text", "--node", "n1"]);
    assert_eq!((&view["output"], &view["node"]), (&Value::from("text"), &Value::from("n1")));
}

#[test]
fn calls_that_end_without_a_result_have_exit_codes_of_their_own() {
    let said = fails(&["invoke", "alice/trap"], 123, "FAASM_EFAILED");
    let logs = said.split('`').find(|text| text.starts_with("faasm logs ")).expect("what to do");
    let call = logs.rsplit(' ').next().expect("a call");
    assert_eq!(ok(&["logs", call]), "about to trap\n");
    let sleep = ["invoke", "alice/sleep", "--timeout", "200ms", "--input", "60000"];
    fails(&sleep, 124, "FAASM_ETIMEDOUT");
    let output = CLUSTER.faasm(&["--json", "invoke", "alice/trap"]);
    let view: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(view["error"]["code"], "FAASM_EFAILED");
}

#[test]
fn an_asynchronous_call_is_followed_from_its_id() {
    let call = ok(&["invoke", "alice/args", "--async", "--", "x"]);
    let call = call.trim();
    let status = ok(&["status", call, "--wait", "20s"]);
    for line in ["function  alice/args", "phase     done", "result    0", "node      n1"] {
        assert!(status.contains(line), "no line `{line}` in\n{status}");
    }
    let record = json(&["status", call]);
    assert_eq!((&record["call"], &record["result"]), (&Value::from(call), &Value::from(0)));
    assert_eq!(ok(&["output", call]), "args\nx\n");
    let logs = ok(&["logs", call]);
    assert!(logs.contains("2 arguments\n") && logs.contains("last: x\n"), "{logs}");
    let file = tempfile::NamedTempFile::new().expect("a file");
    ok(&["output", call, "-o", file.path().to_str().expect("a path")]);
    assert_eq!(std::fs::read_to_string(file.path()).expect("read"), "args\nx\n");
    fails(&["status", "00000000000000000000000000000001"], 122, "FAASM_ENOENT");
    fails(&["status", "nonsense"], 120, "nonsense");
}

#[test]
fn a_call_that_lives_is_listed_and_cancelled() {
    let submitted = json(&["invoke", "alice/sleep", "--async", "--input", "60000"]);
    let call = submitted["call"].as_str().expect("an id");
    wait_for("the call is listed as running", PATIENCE, || {
        let table = ok(&["ps"]);
        assert!(table.starts_with("CALL "), "{table}");
        table.lines().any(|l| l.starts_with(call) && l.contains("running")).then_some(())
    });
    let calls = json(&["ps"]);
    let calls = calls["calls"].as_array().expect("a list");
    assert!(calls.iter().any(|c| c["call"] == call && c["function"] == "alice/sleep"));
    fails(&["output", call], 122, "FAASM_EAGAIN");
    assert_eq!(ok(&["cancel", call]), format!("cancelled {call}\n"));
    let status = ok(&["status", call, "--wait", "10s"]);
    assert!(status.contains("FAASM_ECANCELLED"), "{status}");
    assert_eq!(json(&["cancel", call])["cancelled"], call);
}

#[test]
fn the_cluster_and_its_nodes_are_shown() {
    let table = ok(&["cluster", "status"]);
    assert!(table.starts_with("NODE") && table.contains("up "), "{table}");
    let status = json(&["cluster", "status"]);
    let node = &status["nodes"][0];
    assert_eq!((&node["node"], &node["ready"]), (&Value::from("n1"), &Value::from(true)));
    assert_eq!(node["pid"], CLUSTER.pid(1).as_raw_nonzero().get());
    assert!(ok(&["cluster", "up"]).starts_with("The cluster is up already."));
    fails(&["cluster", "up", "--nodes", "3"], 120, "1 nodes, not 3");
    let table = ok(&["nodes"]);
    assert!(table.contains("leader n1"), "{table}");
    assert_eq!(json(&["nodes"])["nodes"][0]["leader"], true);
    // The same by URL, from anywhere.
    let url = CLUSTER.base(1);
    let mut faasm = Command::new(env!("CARGO_BIN_EXE_faasm"));
    faasm.env_remove("FAASM_DATA_DIR").args(["--cluster", url, "nodes", "--json"]);
    let nodes: Value = serde_json::from_slice(&faasm.output().expect("faasm starts").stdout)
        .expect("the nodes as JSON");
    assert_eq!(nodes["answered_by"], "n1");
}

#[test]
fn errors_say_what_to_do() {
    let none = tempfile::tempdir().expect("a folder");
    let dir = none.path().to_str().expect("a path");
    fails(&["--data-dir", dir, "ps"], 121, "faasm cluster up --data-dir");
    fails(&["--data-dir", dir, "cluster", "status"], 125, "faasm cluster up --data-dir");
    fails(&["--cluster", "http://127.0.0.1:9", "ps"], 121, "does not answer");
    fails(&["--cluster", "127.0.0.1:9", "ps"], 120, "http://HOST:PORT");
    fails(&["invoke", "nobody"], 120, "nobody");
    fails(&["upload", "alice/x", "/no/such.wasm"], 125, "/no/such.wasm");
    let text = tempfile::NamedTempFile::new().expect("a file");
    let path = text.path().to_str().expect("a path");
    std::fs::write(path, "(this is no module)").expect("written");
    fails(&["upload", "alice/x", path], 122, "FAASM_EINVAL");
    fails(&["upload", "alice/x", path, "--memory", "lots"], 120, "MiB");
    fails(&["invoke", "alice/echo", "--node", "n7"], 122, "n7");
    fails(&["frobnicate"], 120, "frobnicate");
}

#[test]
fn help_has_an_example_of_every_command_and_the_exit_codes() {
    let help = ok(&["--help"]);
    for code in ["120", "121", "122", "123", "124", "125"] {
        assert!(help.contains(&format!("\n  {code}  ")), "no exit code {code} in\n{help}");
    }
    let commands: Vec<&str> = help
        .split("Commands:\n")
        .nth(1)
        .and_then(|rest| rest.split("\n\n").next())
        .expect("a list of commands")
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() >= 13, "{commands:?}");
    for command in commands {
        let help = ok(&["help", command]);
        assert!(help.contains("Example"), "{command}:\n{help}");
        assert!(help.contains(&format!("  faasm {command}")), "{command}:\n{help}");
    }
}

#[test]
fn a_node_listens_where_it_can_be_reached() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("cluster.toml");
    let text = "name = \"open\"\nid = \"00000000000000000000000000000001\"\n[[nodes]]\nid = 1\n\
                quic = \"127.0.0.1:0\"\nhttp = \"0.0.0.0:0\"\n";
    std::fs::write(&file, text).expect("written");
    let (file, data) = (file.to_str().expect("a path"), dir.path().join("n1"));
    let data = data.to_str().expect("a path");
    let node = ["node", "--config", file, "--id", "1", "--data-dir", data];
    let said = fails(&node, 120, "0.0.0.0:0");
    assert!(said.contains("loopback") || said.contains("127.0.0.1"), "{said}");
    fails(&["cluster", "up", "--config", file, "--data-dir", data], 120, "0.0.0.0:0");
}

#[test]
fn two_clusters_live_side_by_side_and_down_keeps_the_data() {
    let other = Processes::up(1);
    other.must_upload(1, "echo", "");
    assert_ne!((other.base(1), other.dir()), (CLUSTER.base(1), CLUSTER.dir()));
    fails(&["invoke", "carol/mine"], 122, "FAASM_ENOENT");
    let wasm = guest("echo");
    let uploaded = other.faasm(&["upload", "carol/mine", wasm.to_str().expect("a path")]);
    assert!(uploaded.status.success(), "{}", err(&uploaded));
    fails(&["invoke", "carol/mine"], 122, "FAASM_ENOENT");

    let down = other.faasm(&["cluster", "down"]);
    assert!(down.status.success() && out(&down).contains("stopped"), "{}", out(&down));
    assert_eq!(other.faasm(&["cluster", "status"]).status.code(), Some(121));
    let gone = other.faasm(&["ps"]);
    assert_eq!(gone.status.code(), Some(121));
    assert!(err(&gone).contains("faasm cluster up"), "{}", err(&gone));
    assert_eq!(ok(&["invoke", "alice/echo", "--input", "still here"]), "still here");

    other.restart();
    let back = other.faasm(&["invoke", "carol/mine", "--input", "kept"]);
    assert_eq!(out(&back), "kept", "{}", err(&back));
}
