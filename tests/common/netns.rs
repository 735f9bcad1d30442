//! A cluster of hosts that are network namespaces, made by `scripts/netns`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use ureq::tls::{RootCerts, TlsConfig, parse_pem};

use super::processes::{Answer, binary};

/// Hosts with a node in each. Dropping it ends all, and so does the end of the test process.
pub struct Hosts {
    /// How many.
    pub count: usize,
    prefix: String,
    dir: PathBuf,
    keeper: Child,
    keep_files: bool,
    /// How clients get in; none where there are no nodes.
    entry: Option<Entry>,
}

/// What clients need.
struct Entry {
    tls: TlsConfig,
    /// The header that has the admin's token.
    token: String,
}

impl Entry {
    /// From the folder of a cluster, as the command line finds it there.
    fn of(dir: &Path) -> Self {
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).expect("it was made");
        let provider = rustls::crypto::ring::default_provider();
        let pem = read("ca/ca.pem");
        let roots = parse_pem(pem.as_bytes()).map(|item| match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => certificate,
            _ => panic!("ca.pem has something that is no certificate"),
        });
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(std::sync::Arc::new(provider))
            .root_certs(RootCerts::from(roots.collect::<Vec<_>>().into_iter()))
            .build();
        Self { tls, token: format!("Bearer {}", read("admin.token").trim()) }
    }
}

/// Why this machine has no namespaces for us; `None` when it has.
pub fn missing() -> Option<String> {
    let prefix = format!("c{}-", std::process::id());
    let output = script().args(["--prefix", &prefix, "check"]).output().expect("bash starts");
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    (!output.status.success()).then_some(why)
}

fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/netns"))
}

impl Hosts {
    /// Makes so many hosts, and waits until their nodes are ready.
    pub fn up(count: usize) -> Self {
        let binary = binary();
        let binary = binary.to_str().expect("UTF-8");
        let mut hosts = Self::make(count, &["--binary", binary]);
        hosts.entry = Some(Entry::of(&hosts.dir));
        hosts
    }

    /// Makes hosts without nodes.
    pub fn bare(count: usize) -> Self {
        Self::make(count, &["--bare"])
    }

    fn make(count: usize, options: &[&str]) -> Self {
        // Kept as it is when the test fails: no folder that removes itself.
        let dir = tempfile::Builder::new().prefix("faasm-netns-").tempdir().expect("a folder");
        let dir = dir.keep();
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("t{}-{number}-", std::process::id());
        let keeper = keeper(&dir, &prefix);
        let hosts = Self { count, prefix, dir, keeper, keep_files: false, entry: None };
        // Isolated: this machine has no addresses for the hosts of several tests.
        hosts.must(&[&["up", &count.to_string(), "--isolated"], options].concat());
        hosts
    }

    /// Runs a command of `scripts/netns`.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("bash starts")
    }

    /// One that is not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let dir = self.dir.to_str().expect("UTF-8");
        let mut command = script();
        command.args(["--dir", dir, "--prefix", &self.prefix]).args(args);
        command
    }

    /// Runs one that must succeed; what it printed.
    pub fn must(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "scripts/netns {}: {errors}", args.join(" "));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What the names of its namespaces begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where its files are: a folder per node, n1 and so on.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Leaves the files where they are at the end.
    pub fn keep_files(&mut self) {
        self.keep_files = true;
    }

    /// Does something in a thread on a host; 0 is the switch. In one of its own, since `down` kills
    /// whatever process is on a host.
    pub fn on<T: Send>(&self, host: usize, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter(host);
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread, for good, to a host.
    fn enter(&self, host: usize) {
        let name = if host == 0 { "sw".to_owned() } else { format!("n{host}") };
        let file = File::open(format!("/run/netns/{}{name}", self.prefix)).expect("the namespace");
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), kind).expect("root may enter");
    }

    /// The URL of a node, from any host.
    pub fn base(&self, host: usize) -> String {
        format!("https://10.77.0.{host}:7001")
    }

    /// The process of a node.
    pub fn pid(&self, host: usize) -> u32 {
        let file = self.dir.join(format!("n{host}/netns.pid"));
        let text = std::fs::read_to_string(file).expect("a pid file");
        text.trim().parse().expect("a number")
    }

    /// Asks a node, from its own host: also one that others cannot reach. As the admin.
    pub fn ask(
        &self,
        host: usize,
        line: &str,
        request: Request<'_>,
    ) -> Result<Answer, ureq::Error> {
        self.on(host, || self.ask_here(host, line, request))
    }

    fn ask_here(
        &self,
        host: usize,
        line: &str,
        request: Request<'_>,
    ) -> Result<Answer, ureq::Error> {
        let (method, path) = line.split_once(' ').expect("a method and a path");
        let mut made =
            http::Request::builder().method(method).uri(format!("{}{path}", self.base(host)));
        if let Some(key) = request.key {
            made = made.header("idempotency-key", key);
        }
        let entry = self.entry.as_ref().expect("these hosts have nodes");
        made = made.header("authorization", &entry.token);
        for (name, value) in request.headers {
            made = made.header(*name, *value);
        }
        let made = made.body(request.body).map_err(ureq::Error::Http)?;
        let agent = agent(request.patience, entry.tls.clone());
        let made = agent.configure_request(made).allow_non_standard_methods(true).build();
        let (head, mut body) = agent.run(made)?.into_parts();
        let body = body.with_config().limit(1 << 26).read_to_vec()?;
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }
}

/// What a request has besides its line.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Its body.
    pub body: &'a [u8],
    /// Its Idempotency-Key.
    pub key: Option<&'a str>,
    /// More headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// How long the client waits for the answer.
    pub patience: Duration,
}

impl Default for Request<'_> {
    fn default() -> Self {
        Self { body: b"", key: None, headers: &[], patience: Duration::from_secs(5) }
    }
}

/// A new one each time: no connection is kept, since it would be one of another host.
fn agent(patience: Duration, tls: TlsConfig) -> ureq::Agent {
    ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .proxy(None)
        .max_idle_connections(0)
        .timeout_global(Some(patience))
        .build()
        .new_agent()
}

impl Drop for Hosts {
    fn drop(&mut self) {
        if self.keep_files {
            self.run(&["down", "--keep"]);
            eprintln!("logs and data are in {}", self.dir.display());
        }
        // The keeper ends what is left when its stdin is closed.
        drop(self.keeper.stdin.take());
        let ended = self.keeper.wait().expect("the keeper ends");
        assert!(ended.success() || std::thread::panicking(), "the keeper: {ended}");
    }
}

/// A process that outlives this one, whatever ends it, and then takes the hosts down.
fn keeper(dir: &Path, prefix: &str) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", r#"cat > /dev/null; exec "$@""#, "sh"]).stdin(Stdio::piped());
    let down = script();
    command.arg(down.get_program()).arg("--dir").arg(dir).args(["--prefix", prefix, "down"]);
    // Out of the reach of a Ctrl-C for the tests.
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.spawn().expect("sh starts")
}
