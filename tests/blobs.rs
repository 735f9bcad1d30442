//! The blob store of real nodes: in a bucket of an S3 service, and on a disk that is full.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::guests::guest;
use common::processes::{PATIENCE, Processes, wait_for};
use rustix::process::{Pid, Signal, kill_process};

/// Set in the process of its own that a test needs: for an environment or mounts of its own, which
/// only a whole process can have.
const CHILD: &str = "FAASM_TEST_BLOBS";
/// Where the S3 service is, for that process, and which process it is.
const ENDPOINT: &str = "FAASM_TEST_S3";
const SERVER: &str = "FAASM_TEST_S3_PID";

/// Runs a test of this file in a process of its own, with `wrapper` before it.
fn in_a_process(test: &str, mut wrapper: Command) {
    let this = std::env::current_exe().expect("the test's path");
    wrapper.arg(this).args(["--exact", test, "--nocapture"]).env(CHILD, "1");
    let output = wrapper.output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
}

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// A server of S3's API on loopback. Dropping it ends it.
struct Server {
    process: Child,
    endpoint: String,
}

impl Server {
    /// Starts one on a free port; none where it is not installed.
    fn start() -> Option<Self> {
        let cache = std::env::var_os("FAASM_CACHE").map(PathBuf::from).or_else(|| {
            let home = || Some(Path::new(&std::env::var_os("HOME")?).join(".cache"));
            let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
            Some(cache?.join("faasm"))
        });
        let installed = cache.map(|cache| cache.join("s3-server/bin/moto_server"));
        let places = [installed, Some(PathBuf::from("moto_server"))];
        let works = |path: &PathBuf| {
            let help = Command::new(path).arg("--help").output();
            help.is_ok_and(|output| output.status.success())
        };
        let program = places.into_iter().flatten().find(works)?;
        let mut process = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let stderr = BufReader::new(process.stderr.take().expect("a pipe"));
        let (tell, told) = std::sync::mpsc::channel();
        // Reads on to the end, so that the server never waits for a reader.
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if let Some((_, url)) = line.split_once("Running on ") {
                    let _ = tell.send(url.trim().to_owned());
                }
            }
        });
        let endpoint = told.recv_timeout(PATIENCE).expect("it says where it listens");
        Some(Self { process, endpoint })
    }

    fn make_bucket(&self, name: &str) {
        let agent: ureq::Agent = ureq::Agent::config_builder().proxy(None).build().new_agent();
        let made = agent.put(format!("{}/{name}", self.endpoint)).send_empty();
        assert_eq!(made.expect("the bucket is made").status(), 200);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn nodes_that_keep_blobs_in_a_bucket_work_on_without_it() {
    let Some(server) = Server::start() else {
        eprintln!("skipped: there is no moto_server; scripts/setup installs it");
        return;
    };
    server.make_bucket("blobs");
    let mut wrapper = Command::new("env");
    wrapper
        .env("AWS_ACCESS_KEY_ID", "id")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env(ENDPOINT, &server.endpoint)
        .env(SERVER, server.process.id().to_string());
    in_a_process("in_a_bucket", wrapper);
}

fn s3_options(bucket: &str) -> String {
    let endpoint = std::env::var(ENDPOINT).expect("the endpoint");
    format!("[files.s3]\nbucket = \"{bucket}\"\nendpoint = \"{endpoint}\"\nallow_http = true\n")
}

#[test]
fn in_a_bucket() {
    if !is_child() {
        return;
    }
    assert_refused(&s3_options("elsewhere"), true, "there is no such bucket");
    assert_refused(&s3_options("blobs"), false, "AWS_ACCESS_KEY_ID is not set");

    let cluster = Processes::with_options(3, &s3_options("blobs"));
    cluster.must_upload(1, "echo", "");
    for node in 1..=3 {
        let answer = cluster.invoke(node, "echo", &format!("node={node}"), b"from the bucket");
        assert_eq!((answer.status, &*answer.text()), (200, "from the bucket"));
    }
    for node in 2..=3 {
        let fetched = cluster.metric(node, "faasm_blob_reads_total", "from=\"bucket\"");
        assert!(fetched.is_some_and(|count| count >= 1.0), "n{node}: {fetched:?}");
    }
    // What the bucket alone has outlives the disks of all nodes.
    for node in 1..=3 {
        cluster.kill(node);
        for folder in ["blobs", "compiled"] {
            fs::remove_dir_all(cluster.dir().join(format!("n{node}/{folder}"))).expect("removed");
        }
    }
    cluster.restart();
    for node in 1..=3 {
        let answer = cluster.invoke(node, "echo", &format!("node={node}"), b"again");
        assert_eq!((answer.status, &*answer.text()), (200, "again"));
    }

    let pid = std::env::var(SERVER).ok().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    kill_process(pid.expect("a process"), Signal::KILL).expect("the server ran");
    for node in 1..=3 {
        let answer = cluster.invoke(node, "echo", &format!("node={node}"), b"cached");
        assert_eq!((answer.status, &*answer.text()), (200, "cached"));
    }
    let begun = Instant::now();
    let refused = cluster.upload(2, "args", "");
    assert_eq!((refused.status, &*refused.code()), (503, "FAASM_EUNAVAILABLE"), "{refused:?}");
    assert!(refused.text().contains("bucket `blobs` at http://127.0.0.1:"), "{}", refused.text());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// A node with these options does not start, and says this.
fn assert_refused(options: &str, keys: bool, why: &str) {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("options.toml");
    fs::write(&file, options).expect("written");
    let mut up = Command::new(env!("CARGO_BIN_EXE_faasm"));
    up.args(["cluster", "up", "--nodes", "1", "--options"]).arg(&file);
    up.env("FAASM_DATA_DIR", dir.path().join("data")).env_remove("FAASM_CLUSTER");
    if !keys {
        up.env_remove("AWS_ACCESS_KEY_ID");
    }
    let output = up.output().expect("faasm starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let log = fs::read_to_string(dir.path().join("data/n1/node.log")).unwrap_or_default();
    assert!(!output.status.success(), "{text}");
    assert!(text.contains(why) || log.contains(why), "{text}\n{log}");
}

#[test]
fn a_cluster_whose_disk_is_full_refuses_uploads_and_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let mount = "mount -t tmpfs -o size=160m none \"$TMPDIR\"";
    let mut trial = Command::new("unshare");
    trial.args(["-m", "sh", "-c", mount]).env("TMPDIR", dir.path());
    if !trial.output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this user may not mount a file system");
        return;
    }
    // The mount is this process's and its children's alone, and ends with the last of them.
    let mut wrapper = Command::new("unshare");
    wrapper.args(["-m", "sh", "-c", &format!("{mount} && exec \"$0\" \"$@\"")]);
    wrapper.env("TMPDIR", dir.path());
    in_a_process("on_a_full_disk", wrapper);
}

const MIB: u64 = 1 << 20;

/// A module that is `len` bytes longer than it has to be, like no other of that length.
fn padded(wasm: &[u8], seed: u8, len: usize) -> Vec<u8> {
    let mut size = len + 1;
    let mut padded = wasm.to_vec();
    // A custom section: its id, its length in LEB128, and no name.
    padded.push(0);
    while size > 0x7f {
        padded.push((size & 0x7f) as u8 | 0x80);
        size >>= 7;
    }
    padded.push(size as u8);
    padded.push(0);
    padded.resize(padded.len() + len, seed);
    padded
}

#[test]
fn on_a_full_disk() {
    if !is_child() {
        return;
    }
    let reserve = 48 * MIB;
    let cluster = Processes::with_options(3, &format!("[files]\nreserve_bytes = {reserve}\n"));
    cluster.must_upload(1, "echo", "");
    let wasm = fs::read(guest("echo")).expect("the guest was compiled");
    let upload = |seed: u8| {
        let node = usize::from(seed) % 3 + 1;
        let line = format!("PUT /v1/functions/alice/big{seed}");
        cluster.ask(node, &line, &padded(&wasm, seed, 8 << 20))
    };
    let mut stored = 0;
    let refused = loop {
        let answer = upload(stored);
        if answer.status != 200 {
            break answer;
        }
        stored += 1;
        assert!(stored < 20, "it is never full");
    };
    assert!(stored >= 1, "{refused:?}");
    assert_eq!((refused.status, &*refused.code()), (507, "FAASM_EFULL"), "{}", refused.text());
    assert!(refused.text().contains("files.reserve_bytes"), "{}", refused.text());
    let disk = rustix::fs::statvfs(cluster.dir()).expect("the disk");
    assert!(disk.f_bavail * disk.f_frsize > reserve / 2, "the reserve was used up");

    // Calls of old and new functions, and what Raft has to write, go on.
    for node in 1..=3 {
        let pinned = format!("node={node}");
        assert_eq!(cluster.invoke(node, "echo", &pinned, b"on").text(), "on");
        for seed in 0..stored {
            let answer = cluster.invoke(node, &format!("big{seed}"), &pinned, b"big");
            assert_eq!(answer.text(), "big");
        }
        assert_eq!(cluster.ready(node).map(|(status, _)| status), Some(200));
    }
    let deleted = cluster.ask(2, "DELETE /v1/functions/alice/big0", b"");
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    let mut left = Vec::new();
    for node in 1..=3 {
        for sub in fs::read_dir(cluster.dir().join(format!("n{node}/blobs"))).expect("listed") {
            for file in fs::read_dir(sub.expect("a folder").path()).expect("listed") {
                left.push(file.expect("a file").file_name().to_string_lossy().into_owned());
            }
        }
    }
    assert!(left.iter().all(|name| !name.contains('#')), "half a file was left: {left:?}");
    // Nodes start on such a disk, too.
    for node in 1..=3 {
        cluster.kill(node);
    }
    cluster.restart();
    let again = wait_for("the nodes work again", PATIENCE, || {
        let answer = cluster.invoke(1, "echo", "", b"after a restart");
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(again.text(), "after a restart");
}
