//! A cluster of real processes, driven as a user drives it: through the binary and over HTTP.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use faasm::gateway::view::{CallView, ErrorBody, NODE_HEADER, ReadyView, SubmittedView};
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;

use super::guests::guest;

/// How long anything here may take before the test fails and says what it waited for.
pub const PATIENCE: Duration = Duration::from_secs(25);
/// Between two looks at something outside of this process.
const LOOK: Duration = Duration::from_millis(10);

/// A cluster on this machine. Dropping it ends its nodes, and so does the end of the test process.
pub struct Processes {
    bases: Vec<String>,
    agent: ureq::Agent,
    keeper: Child,
    environment: Vec<(&'static str, PathBuf)>,
    dir: tempfile::TempDir,
}

/// What a node answered.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: http::HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Processes {
    /// Starts so many nodes.
    pub fn up(nodes: usize) -> Self {
        Self::with_options(nodes, "")
    }

    /// Starts so many nodes with settings of the components, as TOML.
    pub fn with_options(nodes: usize, options: &str) -> Self {
        Self::with_environment(nodes, options, Vec::new())
    }

    /// The same, with more in the environment of all processes.
    pub fn with_environment(
        nodes: usize,
        options: &str,
        environment: Vec<(&'static str, PathBuf)>,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let keeper = keeper(dir.path());
        let mut cluster = Self { bases: Vec::new(), agent: agent(), keeper, environment, dir };
        let file = cluster.dir.path().with_extension("options.toml");
        std::fs::write(&file, options).expect("the options are written");
        let nodes = nodes.to_string();
        let up = ["cluster", "up", "--nodes", &nodes, "--options"];
        let output = cluster.command(&up).arg(&file).output().expect("faasm starts");
        std::fs::remove_file(&file).expect("the options are removed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let status: serde_json::Value =
            serde_json::from_slice(&cluster.faasm(&["cluster", "status", "--json"]).stdout)
                .expect("the status is JSON");
        let nodes = status["nodes"].as_array().expect("a list of nodes");
        let base = |node: &serde_json::Value| node["url"].as_str().unwrap().to_owned();
        cluster.bases = nodes.iter().map(base).collect();
        cluster
    }

    /// `faasm` with this cluster's directory, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.env("FAASM_DATA_DIR", self.dir.path()).args(args);
        command.envs(self.environment.iter().cloned());
        for name in ["FAASM_CLUSTER", "FAASM_TOKEN", "FAASM_CA"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs `faasm` on this cluster.
    pub fn faasm(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("faasm starts")
    }

    /// Where the cluster is.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The URL of a node, counted from 1 as their names are.
    pub fn base(&self, node: usize) -> &str {
        &self.bases[node - 1]
    }

    /// Starts the nodes that are down, and waits until all are ready.
    pub fn restart(&self) {
        let output = self.faasm(&["cluster", "up"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Resident memory of a node, in KiB.
    pub fn resident(&self, node: usize) -> u64 {
        self.kib(node, "status", "VmRSS:")
    }

    /// What the kernel says of a node's process in one of its files, in KiB.
    pub fn kib(&self, node: usize, file: &str, field: &str) -> u64 {
        let path = format!("/proc/{}/{file}", self.pid(node).as_raw_nonzero());
        let text = std::fs::read_to_string(path).expect("the node runs");
        let line = text.lines().find_map(|line| line.strip_prefix(field)).expect("a line");
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
    }

    /// The process of a node.
    pub fn pid(&self, node: usize) -> Pid {
        let path = self.dir.path().join(format!("n{node}/node.pid"));
        let text = std::fs::read_to_string(path).expect("a pid file");
        let pid = text.split_whitespace().next().and_then(|word| word.parse().ok());
        Pid::from_raw(pid.expect("a number")).expect("a process")
    }

    /// Sends a signal to a node.
    pub fn signal(&self, node: usize, signal: Signal) {
        kill_process(self.pid(node), signal).expect("the node runs");
    }

    /// Stops a node until this is dropped. It is told again and again: whoever else stops and wakes
    /// processes of this machine, to measure something, must not wake it before.
    pub fn freeze(&self, node: usize) -> Frozen {
        let (pid, frozen) = (self.pid(node), Arc::new(AtomicBool::new(true)));
        kill_process(pid, Signal::STOP).expect("the node runs");
        let stays = frozen.clone();
        let keeper = std::thread::spawn(move || {
            while stays.load(Ordering::Acquire) {
                kill_process(pid, Signal::STOP).expect("the node is there");
                std::thread::sleep(Duration::from_millis(2));
            }
            kill_process(pid, Signal::CONT).expect("the node is there");
        });
        Frozen { frozen, keeper: Some(keeper) }
    }

    /// Ends a node with SIGKILL.
    pub fn kill(&self, node: usize) {
        self.signal(node, Signal::KILL);
    }

    /// Sends a request to a node. An error is one of the connection.
    pub fn try_ask(&self, node: usize, line: &str, body: &[u8]) -> Result<Answer, ureq::Error> {
        self.try_ask_with(node, line, body, &[])
    }

    /// The same, with headers.
    pub fn try_ask_with(
        &self,
        node: usize,
        line: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> Result<Answer, ureq::Error> {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let uri = format!("{}{path}", self.base(node));
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).map_err(ureq::Error::Http)?;
        let request = self.agent.configure_request(request).allow_non_standard_methods(true);
        let (head, mut body) = self.agent.run(request.build())?.into_parts();
        let body = body.with_config().limit(1 << 30).read_to_vec()?;
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Sends a request to a node that must answer.
    pub fn ask(&self, node: usize, line: &str, body: &[u8]) -> Answer {
        self.try_ask(node, line, body).unwrap_or_else(|error| panic!("n{node}: {line}: {error}"))
    }

    /// Uploads a guest as alice's function of the same name, with a query of options.
    pub fn upload(&self, node: usize, name: &str, options: &str) -> Answer {
        let wasm = std::fs::read(guest(name)).expect("the guest was compiled");
        self.ask(node, &format!("PUT /v1/functions/alice/{name}?{options}"), &wasm)
    }

    /// Uploads a guest; it must succeed.
    pub fn must_upload(&self, node: usize, name: &str, options: &str) {
        let answer = self.upload(node, name, options);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Invokes a function of alice's; the query is of the invocation.
    pub fn invoke(&self, node: usize, name: &str, query: &str, input: &[u8]) -> Answer {
        self.ask(node, &format!("POST /v1/functions/alice/{name}/invoke?{query}"), input)
    }

    /// Begins a call; its id. Tries again, as it is told to, while too few nodes would keep its record.
    pub fn submit(&self, node: usize, name: &str, query: &str, input: &[u8]) -> String {
        let answer = wait_for("the call is taken", PATIENCE, || {
            let answer = self.invoke(node, name, &format!("async&{query}"), input);
            (answer.status != 503).then_some(answer)
        });
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json::<SubmittedView>().call
    }

    /// The record of a call, waited for so long.
    pub fn record(&self, node: usize, call: &str, wait: &str) -> CallView {
        let answer = self.ask(node, &format!("GET /v1/calls/{call}?wait={wait}"), b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Waits until a call runs; gives the node it runs on.
    pub fn running(&self, node: usize, call: &str) -> String {
        wait_for(&format!("call {call} runs"), PATIENCE, || {
            let record = self.record(node, call, "0s");
            assert_ne!(record.phase, "done", "{record:?}");
            record.node.filter(|_| record.phase == "running")
        })
    }

    /// What a node says of itself, with the status; none when it does not answer.
    pub fn ready(&self, node: usize) -> Option<(u16, ReadyView)> {
        let answer = self.try_ask(node, "GET /readyz", b"").ok()?;
        Some((answer.status, answer.json()))
    }

    /// The leader, as a node knows it, as a number.
    pub fn leader(&self, node: usize) -> usize {
        wait_for("a leader is known", PATIENCE, || {
            self.ready(node)?.1.leader?.trim_start_matches('n').parse().ok()
        })
    }

    /// The sum of a metric over all its labels, or of those lines that contain `label`.
    pub fn metric(&self, node: usize, name: &str, label: &str) -> Option<f64> {
        let text = self.ask(node, "GET /metrics", b"").text();
        let values: Vec<f64> = text
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .filter(|line| line.contains(label))
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }
}

/// A node that is stopped; it goes on when this is dropped.
pub struct Frozen {
    frozen: Arc<AtomicBool>,
    keeper: Option<JoinHandle<()>>,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.frozen.store(false, Ordering::Release);
        if let Some(keeper) = self.keeper.take() {
            let _woken = keeper.join();
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
        // The keeper ends the nodes when its stdin is closed.
        drop(self.keeper.stdin.take());
        let ended = self.keeper.wait().expect("the keeper ends");
        assert!(ended.success() || std::thread::panicking(), "the keeper: {ended}");
    }
}

impl Processes {
    /// The end of each node's log, for who reads why a test failed.
    fn show_logs(&self) {
        for node in 1..=self.bases.len() {
            let log = self.dir.path().join(format!("n{node}/node.log"));
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("--- n{node}:\n{}", lines[lines.len().saturating_sub(15)..].join("\n"));
        }
    }
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|why| panic!("{why}: {}", self.text()))
    }

    /// The code of an error.
    pub fn code(&self) -> String {
        assert!(self.status >= 400, "a success: {} {}", self.status, self.text());
        self.json::<ErrorBody>().error.code
    }

    /// A header; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// The node that ran the call.
    pub fn node(&self) -> &str {
        self.header(NODE_HEADER)
    }
}

/// The nodes' program. Measurements take a release build, and planted bugs one with those.
pub fn binary() -> PathBuf {
    let given = std::env::var_os("FAASM_TEST_BIN");
    given.map_or_else(|| env!("CARGO_BIN_EXE_faasm").into(), PathBuf::from)
}

/// Looks until there is something; fails, saying what it waited for.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited {limit:?} in vain until {what}");
        std::thread::sleep(LOOK);
    }
}

/// A process of its own that outlives this one, whatever ends it, and then ends the nodes: those
/// whose pid files are in the folder, if their command line names it.
pub fn keeper(dir: &Path) -> Child {
    const SCRIPT: &str = r#"
        cat > /dev/null
        for file in "$0"/n*/node.pid; do
            read -r pid _ < "$file" || continue
            while grep -qs -F "$0/" "/proc/$pid/cmdline"; do kill -9 "$pid"; sleep 0.01; done
        done
        rm -rf "$0""#;
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT]).arg(dir).stdin(Stdio::piped());
    // Out of the reach of a Ctrl-C for the tests.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn().expect("sh starts")
}

/// Asks nodes: an error is an answer, and each request has a connection of its own.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        // A connection that was kept would break with its node, and fail the next request.
        .max_idle_connections(0)
        .timeout_connect(Some(Duration::from_secs(2)))
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .new_agent()
}
