//! A cluster that grows and shrinks: each node is a process that bootstrapped, joined, or was
//! started again by its data directory alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use faasm::config::ClusterConfig;
use faasm::gateway::view::{NodeView, NodesView, ReadyView};
use faasm::id::NodeId;

use super::processes::{Answer, PATIENCE, agent, binary, keeper, wait_for};

/// Free ports.
const FREE: [&str; 4] = ["--http", "127.0.0.1:0", "--quic", "127.0.0.1:0"];
/// Lines of each log that are shown when a test fails.
const SHOWN: usize = 15;

/// A cluster on this machine. Dropping it ends its nodes, and so does the end of the test process.
pub struct Growing {
    up: Mutex<BTreeMap<String, Up>>,
    agent: ureq::Agent,
    admin: String,
    keeper: Child,
    dir: tempfile::TempDir,
}

struct Up {
    base: String,
    process: Child,
}

impl Growing {
    /// The first node, n1, which bootstraps.
    pub fn begin() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let keeper = keeper(dir.path());
        let (up, admin) = (Mutex::default(), String::new());
        let mut cluster = Self { up, agent: agent(), admin, keeper, dir };
        let args = ["--bootstrap", FREE[0], FREE[1], FREE[2], FREE[3]];
        assert_eq!(cluster.start("n1", &args), "n1");
        let token = std::fs::read_to_string(cluster.folder("n1").join("admin.token"));
        cluster.admin = token.expect("the admin's token").trim().to_owned();
        cluster
    }

    /// The data directory of this name.
    pub fn folder(&self, folder: &str) -> PathBuf {
        self.dir.path().join(folder)
    }

    /// Starts a node in this data directory, and waits until it is ready; its name.
    pub fn start(&self, folder: &str, args: &[&str]) -> String {
        let mut process = self.spawn(folder, args);
        let began = |process: &mut Child| {
            let ended = process.try_wait().expect("the process is a child");
            assert!(ended.is_none(), "{folder} ended: {ended:?}\n{}", self.log(folder));
        };
        let (node, base) = wait_for(&format!("{folder} has a place"), PATIENCE, || {
            began(&mut process);
            self.place(folder)
        });
        let until = Instant::now() + PATIENCE;
        while !self.is_ready(&base) {
            began(&mut process);
            assert!(Instant::now() < until, "{folder} is not ready\n{}", self.log(folder));
            std::thread::sleep(Duration::from_millis(10));
        }
        let up = Up { base, process };
        self.up.lock().expect("the nodes").insert(node.clone(), up);
        node
    }

    /// Joins through a node that is up.
    pub fn join(&self, folder: &str, through: &str, token: &str, more: &[&str]) -> String {
        let base = self.base(through);
        let args = ["--join", base.trim_start_matches("http://"), "--token", token];
        let free = if more.contains(&"--http") { &[][..] } else { &FREE };
        self.start(folder, &[&args, free, more].concat())
    }

    /// A node that must end by itself: how, and its log.
    pub fn ends(&self, folder: &str, args: &[&str]) -> (ExitStatus, String) {
        let mut process = self.spawn(folder, args);
        let status = wait_for(&format!("{folder} ends by itself"), PATIENCE, || {
            process.try_wait().expect("the process is a child")
        });
        (status, self.log(folder))
    }

    /// Waits until a node that runs has ended by itself or by a signal, and forgets it.
    pub fn ended(&self, node: &str) -> ExitStatus {
        let status = wait_for(&format!("the process of {node} ends"), PATIENCE, || {
            let mut up = self.up.lock().expect("the nodes");
            up.get_mut(node)?.process.try_wait().expect("the process is a child")
        });
        self.up.lock().expect("the nodes").remove(node);
        status
    }

    /// Ends a node with SIGKILL.
    pub fn kill(&self, node: &str) {
        let mut up = self.up.lock().expect("the nodes").remove(node).expect("it is up");
        up.process.kill().expect("it runs");
        up.process.wait().expect("it ends");
    }

    /// The nodes whose processes run, with where they are.
    pub fn up(&self) -> Vec<(String, String)> {
        let up = self.up.lock().expect("the nodes");
        up.iter().map(|(node, up)| (node.clone(), up.base.clone())).collect()
    }

    /// Where a node is that is up.
    pub fn base(&self, node: &str) -> String {
        self.up.lock().expect("the nodes")[node].base.clone()
    }

    /// `faasm nodes token` and the like, as the admin, at a node that is up.
    pub fn faasm(&self, at: &str, args: &[&str]) -> Output {
        let mut command = self.command(args);
        command.args(["--cluster", &self.base(at), "--token", &self.admin]);
        command.output().expect("faasm starts")
    }

    /// The same; it must succeed. Its stdout.
    pub fn done(&self, at: &str, args: &[&str]) -> String {
        let output = self.faasm(at, args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "faasm {args:?}: {error}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Sends a request of the admin to this address. An error is one of the connection.
    pub fn try_ask(&self, base: &str, line: &str, body: &[u8]) -> Result<Answer, ureq::Error> {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let request = http::Request::builder().method(method).uri(format!("{base}{path}"));
        let request = request.header("Authorization", format!("Bearer {}", self.admin));
        let request = request.body(body).map_err(ureq::Error::Http)?;
        let request = self.agent.configure_request(request).allow_non_standard_methods(true);
        let (head, mut body) = self.agent.run(request.build())?.into_parts();
        let body = body.with_config().limit(1 << 30).read_to_vec()?;
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Sends a request of the admin to a node, which must answer it with 200.
    pub fn ask(&self, node: &str, line: &str, body: &[u8]) -> Answer {
        let answer = self.try_ask(&self.base(node), line, body);
        let answer = answer.unwrap_or_else(|error| panic!("{node}: {line}: {error}"));
        assert_eq!(answer.status, 200, "{node}: {line}: {}", answer.text());
        answer
    }

    /// The members, as a node sees them.
    pub fn nodes(&self, at: &str) -> Vec<NodeView> {
        self.ask(at, "GET /v1/nodes", b"").json::<NodesView>().nodes
    }

    /// Waits until so many of the nodes vote and one of them leads; the leader, and the others.
    pub fn voters(&self, at: &str, count: usize) -> (String, Vec<String>) {
        wait_for(&format!("{count} nodes vote"), PATIENCE, || {
            let nodes = self.nodes(at);
            let voters = nodes.iter().filter(|node| node.voter && node.session.is_some());
            let (leader, others): (Vec<_>, Vec<_>) = voters.partition(|node| node.leader);
            let names = others.iter().map(|node| node.node.clone()).collect();
            (leader.len() + others.len() == count)
                .then(|| leader.first().map(|leader| (leader.node.clone(), names)))?
        })
    }

    fn spawn(&self, folder: &str, args: &[&str]) -> Child {
        let path = self.folder(folder);
        std::fs::create_dir_all(&path).expect("the data directory");
        let log = File::options().create(true).append(true).open(path.join("node.log"));
        let mut command = self.command(&["node", "--data-dir"]);
        command.arg(&path).args(args).stdin(Stdio::null()).stdout(Stdio::null());
        let process = command.stderr(log.expect("the log")).spawn().expect("faasm starts");
        std::fs::write(path.join("node.pid"), format!("{}\n", process.id())).expect("a pid file");
        process
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(args).env("FAASM_LOG", "info");
        for name in ["FAASM_CLUSTER", "FAASM_TOKEN", "FAASM_CA", "FAASM_DATA_DIR"] {
            command.env_remove(name);
        }
        command
    }

    /// The name and address in a data directory.
    fn place(&self, folder: &str) -> Option<(String, String)> {
        let text = std::fs::read_to_string(self.folder(folder).join("node.toml")).ok()?;
        let id: u64 = text.trim().strip_prefix("id = ")?.parse().ok()?;
        let cluster = ClusterConfig::load(&self.folder(folder).join("cluster.toml")).ok()?;
        let http = cluster.node(NodeId(id))?.http;
        Some((NodeId(id).to_string(), format!("http://{http}")))
    }

    fn is_ready(&self, base: &str) -> bool {
        let answer = self.try_ask(base, "GET /readyz", b"");
        answer.is_ok_and(|answer| answer.status == 200 && answer.json::<ReadyView>().ready)
    }

    fn log(&self, folder: &str) -> String {
        let text = std::fs::read(self.folder(folder).join("node.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        // A test that failed may have poisoned it.
        let up = self.up.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        for node in up.values_mut() {
            let _ended = node.process.kill();
            let _status = node.process.wait();
        }
        if std::thread::panicking() {
            let entries = std::fs::read_dir(self.dir.path()).into_iter().flatten().flatten();
            for folder in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
                eprintln!("--- {folder}:\n{}", self.log(&folder));
            }
        }
        // The keeper ends what is left, and removes the folder.
        drop(self.keeper.stdin.take());
        let _status = self.keeper.wait();
    }
}
