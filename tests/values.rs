//! Values of the state over HTTP and the command line, against three real nodes.

mod common;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use common::processes::{PATIENCE, Processes, wait_for};
use serde_json::Value;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs `faasm` against one node; its stdout, or what it said on stderr with its exit code.
fn at(cluster: &Processes, node: usize, args: &[&str]) -> Result<String, (i32, String)> {
    let base = cluster.base(node);
    let output: Output = cluster.faasm(&[&["--cluster", base], args].concat());
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err((output.status.code().unwrap_or(-1), text(&output.stderr))),
    }
}

fn ok(cluster: &Processes, node: usize, args: &[&str]) -> String {
    at(cluster, node, args).unwrap_or_else(|why| panic!("faasm {args:?}: {why:?}"))
}

fn refused(cluster: &Processes, node: usize, args: &[&str], word: &str) {
    let (code, said) = at(cluster, node, args).expect_err("it was done");
    assert!(code == 122 && said.contains(word), "faasm {args:?}: {code} {said}");
}

fn json(cluster: &Processes, node: usize, args: &[&str]) -> Value {
    let said = ok(cluster, node, &[&["--json"], args].concat());
    serde_json::from_str(&said).unwrap_or_else(|why| panic!("faasm {args:?}: {why}: {said}"))
}

#[test]
fn values_are_written_and_read_through_any_node() {
    let cluster = Processes::up(3);
    let shards = wait_for("each shard is on three nodes", PATIENCE, || {
        let shards = json(&cluster, 1, &["shards"])["shards"].as_array()?.clone();
        let all =
            shards.iter().all(|shard| shard["in_sync"].as_array().is_some_and(|s| s.len() == 3));
        (shards.len() == 128 && all).then_some(shards)
    });
    let owners: std::collections::BTreeSet<_> =
        shards.iter().map(|shard| shard["owner"].to_string()).collect();
    assert_eq!(owners.len(), 3, "each node owns some: {owners:?}");

    let dir = tempfile::tempdir().expect("a folder");
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let (source, target) = (from.to_str().expect("a path"), to.to_str().expect("a path"));
    let whole: Vec<u8> = (0..9_000_001_u32).map(|i| (i / 3) as u8).collect();
    std::fs::write(&from, &whole).expect("a file");
    for (node, key) in [(1, "alice/a"), (2, "alice/b/c"), (3, "alice//ä ?#%.")] {
        ok(&cluster, node, &["state", "put", key, source]);
        let other = node % 3 + 1;
        ok(&cluster, other, &["state", "get", key, "-o", target]);
        assert!(std::fs::read(&to).expect("a file") == whole, "{key} through node {other}");
        let range = ["state", "get", key, "--offset", "4095", "--len", "2", "-o", target];
        ok(&cluster, other, &range);
        assert_eq!(std::fs::read(&to).expect("a file"), whole[4095..4097]);
    }
    let listed = json(&cluster, 2, &["state", "ls", "alice"]);
    let keys: Vec<&str> = listed["values"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|v| v["key"].as_str())
        .collect();
    assert_eq!(keys, ["/ä ?#%.", "a", "b/c"]);
    assert_eq!(json(&cluster, 3, &["state", "ls", "alice/b"])["values"][0]["size"], 9_000_001);

    conditions(&cluster);
    refused(&cluster, 1, &["state", "get", "alice/none"], "FAASM_ENOENT");
    assert_eq!(ok(&cluster, 3, &["state", "rm", "alice/a"]), "deleted alice/a\n");
    refused(&cluster, 1, &["state", "info", "alice/a"], "FAASM_ENOENT");
}

/// Read, change and write without a lock: of those who read the same version one writes.
fn conditions(cluster: &Processes) {
    put(cluster, 1, &["state", "put", "alice/n", "--if-none-match", "*"], b"one").expect("made");
    let again = put(cluster, 2, &["state", "put", "alice/n", "-", "--if-none-match", "*"], b"two");
    assert!(again.expect_err("made twice").contains("If-None-Match"));
    let info = json(cluster, 3, &["state", "info", "alice/n"]);
    let version = info["etag"].as_str().expect("a version").trim_matches('"').to_owned();
    assert_eq!(info["shard"]["in_sync"].as_array().map(Vec::len), Some(3), "{info}");
    refused(cluster, 2, &["state", "get", "alice/n", "--if-none-match", &version], "still");
    let change = ["state", "put", "alice/n", "--if-match", &version];
    put(cluster, 2, &change, b"two").expect("it was the version");
    put(cluster, 3, &change, b"three").expect_err("it is another version");
    put(cluster, 3, &["state", "put", "alice/n", "--offset", "3"], b"+").expect("inside");
    assert_eq!(ok(cluster, 1, &["state", "get", "alice/n"]), "two+");
    refused(cluster, 1, &["state", "rm", "alice/n", "--if-match", &version], "If-Match");
}

/// Runs `faasm` with something on stdin.
fn put(cluster: &Processes, node: usize, args: &[&str], input: &[u8]) -> Result<(), String> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_faasm"))
        .args(["--cluster", cluster.base(node)])
        .args(args)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("faasm runs");
    child.stdin.take().expect("a pipe").write_all(input).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    if output.status.success() { Ok(()) } else { Err(text(&output.stderr)) }
}
