//! Clusters that histories are of: processes that talk over loopback, or hosts in namespaces.

use std::fmt::Write as _;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::common::guests::guest;
use super::common::netns::{Hosts, Request};
use super::common::processes::{Answer, PATIENCE, Processes, agent, wait_for};
use super::plan::{Fault, Kind, NODES};
use super::power::Power;

/// What a client sends.
pub struct Ask<'a> {
    pub line: &'a str,
    pub body: &'a [u8],
    pub headers: &'a [(&'a str, &'a str)],
    pub patience: Duration,
}

/// A cluster of [`NODES`] nodes.
pub trait Place: Sync {
    /// Asks a node, from beside it.
    fn ask(&self, node: usize, ask: &Ask<'_>) -> Result<Answer, ureq::Error>;
    /// Makes a fault; what there is to say about it.
    fn begin(&self, fault: &Fault) -> String;
    /// Undoes it.
    fn end(&self, fault: &Fault);
    /// The kinds of faults that can be made here.
    fn kinds(&self) -> Vec<Kind>;
}

/// Processes of this machine.
pub struct Loopback {
    cluster: Processes,
    power: Power,
    agent: ureq::Agent,
}

impl Loopback {
    /// Starts them.
    pub fn up() -> Self {
        let power = Power::new();
        let cluster = Processes::with_environment(NODES, "", power.environment());
        Self { cluster, power, agent: agent() }
    }

    /// Kills all; returns when they are gone.
    fn kill_all(&self) {
        let all: Vec<Pid> = (1..=NODES).map(|node| self.cluster.pid(node)).collect();
        (1..=NODES).for_each(|node| self.cluster.kill(node));
        wait_for("all nodes are gone", PATIENCE, || all.iter().all(|pid| gone(*pid)).then_some(()));
    }
}

/// A process that only its parent has to take notice of is gone, too.
fn gone(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.map_or(true, |stat| stat.contains(") Z "))
}

impl Place for Loopback {
    fn ask(&self, node: usize, ask: &Ask<'_>) -> Result<Answer, ureq::Error> {
        let (method, path) = ask.line.split_once(' ').expect("a method and a path");
        let uri = format!("{}{path}", self.cluster.base(node));
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        let request = request.body(ask.body).map_err(ureq::Error::Http)?;
        let request = self.agent.configure_request(request).timeout_global(Some(ask.patience));
        let request = request.allow_non_standard_methods(true).build();
        let (head, mut body) = self.agent.run(request)?.into_parts();
        let body = body.with_config().limit(1 << 26).read_to_vec()?;
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    fn begin(&self, fault: &Fault) -> String {
        match fault.kind {
            Kind::Kill => self.cluster.kill(fault.node),
            Kind::Pause | Kind::Usurp => self.cluster.signal(fault.node, Signal::STOP),
            Kind::KillAll => self.kill_all(),
            Kind::PowerCut => {
                self.kill_all();
                let lost = self.power.fails(self.cluster.dir());
                assert!(lost.writes > 0 && lost.syncs > 0, "nothing was noted: {lost:?}");
                return format!("{lost:?}");
            }
            Kind::Isolate | Kind::OneWay | Kind::Apart => panic!("there are no links to cut"),
        }
        String::new()
    }

    fn end(&self, fault: &Fault) {
        match fault.kind {
            Kind::Pause | Kind::Usurp => self.cluster.signal(fault.node, Signal::CONT),
            _ => self.cluster.restart(),
        }
    }

    fn kinds(&self) -> Vec<Kind> {
        vec![Kind::Kill, Kind::Pause, Kind::Usurp, Kind::Kill, Kind::KillAll, Kind::PowerCut]
    }
}

/// Hosts with links between them.
pub struct Linked(pub Hosts);

impl Place for Linked {
    fn ask(&self, node: usize, ask: &Ask<'_>) -> Result<Answer, ureq::Error> {
        let Ask { line, body, headers, patience } = *ask;
        self.0.ask(node, line, Request { body, headers, patience, key: None })
    }

    fn begin(&self, fault: &Fault) -> String {
        let (node, other) = (fault.node.to_string(), fault.other.to_string());
        match fault.kind {
            Kind::Kill => self.0.must(&["kill", &node]),
            Kind::Pause | Kind::Usurp => self.0.must(&["pause", &node]),
            Kind::Isolate => self.0.must(&["cut", &node]),
            Kind::OneWay => self.0.must(&["cut", &node, &other, "--one-way"]),
            Kind::Apart => self.0.must(&["cut", &node, &other]),
            Kind::KillAll | Kind::PowerCut => panic!("this is for processes on loopback"),
        }
    }

    fn end(&self, fault: &Fault) {
        let (node, other) = (fault.node.to_string(), fault.other.to_string());
        match fault.kind {
            Kind::Kill => self.0.must(&["start", &node]),
            Kind::Pause | Kind::Usurp => self.0.must(&["resume", &node]),
            Kind::OneWay | Kind::Apart => self.0.must(&["heal", &node, &other]),
            _ => self.0.must(&["heal", &node]),
        };
    }

    fn kinds(&self) -> Vec<Kind> {
        vec![Kind::Isolate, Kind::OneWay, Kind::Usurp, Kind::Apart, Kind::Isolate, Kind::Kill]
    }
}

/// Uploads the guest, and waits until it runs on every node.
pub fn prepare(place: &dyn Place) {
    let wasm = std::fs::read(guest("history")).expect("compiled");
    let (headers, patience) = (&[][..], PATIENCE);
    let line = "PUT /v1/functions/alice/history";
    let upload = place.ask(1, &Ask { line, body: &wasm, headers, patience }).expect("n1 answers");
    assert_eq!(upload.status, 200, "{}", upload.text());
    for node in 1..=NODES {
        let line = invocation(node, &["look", "none"], Duration::from_secs(5));
        wait_for("the function runs", PATIENCE, || {
            let ask = Ask { line: &line, body: b"", headers, patience };
            place.ask(node, &ask).ok().filter(|answer| answer.status == 200)
        });
    }
}

/// The request that runs the guest on a node.
pub fn invocation(node: usize, args: &[&str], limit: Duration) -> String {
    let seconds = limit.as_secs();
    let mut line =
        format!("POST /v1/functions/alice/history/invoke?node={node}&timeout={seconds}s");
    for arg in args {
        write!(line, "&arg={arg}").expect("memory");
    }
    line
}
