//! The HTTP client: asks the nodes of a cluster in turn, until one answers.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::tls::TlsConfig;

use super::Globals;
use super::cluster::layout::{self, Layout};
use super::credentials::Credentials;
use super::exit::{CliError, Exit};
use super::tls::{self, Trust};
use crate::config::ClusterConfig;
use crate::gateway::view::{ErrorBody, ErrorView};

/// Longest time to connect: a node that is up answers at once.
const CONNECT: Duration = Duration::from_secs(2);
/// Longest time to move a body either way.
const TRANSFER: Duration = Duration::from_secs(600);
/// Longest time for an answer that waits for nothing.
pub const ANSWER: Duration = Duration::from_secs(30);
/// What an answer that waits may take longer than it was asked to wait.
pub const MARGIN: Duration = Duration::from_secs(10);
/// Largest body taken: an output of the largest limit, and some.
const MAX_BODY: u64 = (1 << 30) + (1 << 20);

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Method.
    pub method: &'a str,
    /// Path and query, encoded.
    pub path: &'a str,
    /// Body.
    pub body: &'a [u8],
    /// Longest time until the answer begins.
    pub within: Duration,
}

impl<'a> Ask<'a> {
    /// A GET that waits for nothing.
    pub fn get(path: &'a str) -> Self {
        Self { method: "GET", path, body: &[], within: ANSWER }
    }

    /// Whether it may be sent to another node after it may have been carried out.
    fn repeatable(&self) -> bool {
        self.method != "POST"
    }
}

/// An answer with a status of success.
#[derive(Debug)]
pub struct Reply {
    headers: http::HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Reply {
    /// A header's text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, CliError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let message = format!("the answer is not what this version of faasm reads: {error}");
            CliError::new(Exit::Unreachable, message)
        })
    }
}

/// An answer whose body is read as it comes.
pub struct Opened {
    headers: http::HeaderMap,
    /// Its body.
    pub body: ureq::BodyReader<'static>,
}

impl Opened {
    /// A header's text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// How one node answered.
enum Tried {
    /// With a success.
    Done(Reply),
    /// With an error that another node may not have.
    Elsewhere(CliError),
    /// With a certificate that the authority does not vouch for; the error says what to do.
    Untrusted(CliError),
}

/// The nodes of one cluster.
pub struct Client {
    pub(super) agent: Agent,
    pub(super) bases: Vec<String>,
    pub(super) hint: String,
    pub(super) token: Option<String>,
    ca: Option<PathBuf>,
}

/// The address of a cluster that the command line or the environment names; none: the local one.
pub fn address(globals: &Globals) -> Option<String> {
    let given = globals.cluster.clone();
    match globals.data_dir {
        // What is typed goes before what is in the environment.
        Some(_) => given,
        None => given.or_else(|| std::env::var("FAASM_CLUSTER").ok().filter(|v| !v.is_empty())),
    }
}

impl Client {
    /// Finds the cluster that the command line, the environment or the default names.
    pub fn find(globals: &Globals) -> Result<Self, CliError> {
        match address(globals) {
            Some(url) => Self::of_url(&url, Credentials::given(globals)),
            None => Self::of_data_dir(&data_dir(globals)?, Credentials::given(globals)),
        }
    }

    /// A client of one node.
    pub fn of_url(url: &str, credentials: Credentials) -> Result<Self, CliError> {
        let base = check_url(url)?;
        let hint = match base.starts_with("https://") && credentials.ca.is_none() {
            true => "name the certificate of the cluster's authority with --ca FILE",
            false => "is it the HTTP address of a node that runs?",
        };
        Self::new(vec![base], hint.to_owned(), credentials)
    }

    /// A client of one node over TLS that shows no token.
    pub fn over_tls(base: &str, trust: Trust<'_>) -> Result<Self, CliError> {
        let hint = "is it the HTTP address of a node that runs?".to_owned();
        let agent = agent_with(tls::config(trust).map_err(CliError::local)?);
        Ok(Self { agent, bases: vec![base.to_owned()], hint, token: None, ca: None })
    }

    fn new(bases: Vec<String>, hint: String, credentials: Credentials) -> Result<Self, CliError> {
        bases.iter().try_for_each(|base| credentials.check(base))?;
        let Credentials { ref token, ref ca } = credentials;
        let (token, ca) = (token.clone(), ca.clone());
        Ok(Self { agent: agent(&credentials)?, bases, hint, token, ca })
    }

    fn of_data_dir(dir: &Path, credentials: Credentials) -> Result<Self, CliError> {
        let layout = Layout::new(dir);
        let file = layout.config();
        if !file.exists() {
            let message = format!(
                "there is no cluster in {}: start one with `faasm cluster up --data-dir {}`, or \
                 name another with --cluster URL",
                dir.display(),
                dir.display()
            );
            return Err(CliError::new(Exit::Unreachable, message));
        }
        let config =
            ClusterConfig::load(&file).map_err(|error| CliError::local(error.to_string()))?;
        let bases = config.nodes.iter().map(|node| layout.base(node)).collect();
        let hint = match config.nodes.iter().all(|node| node.http.ip().is_loopback()) {
            true => format!(
                "see `faasm cluster status --data-dir {0}`; `faasm cluster up --data-dir {0}` \
                 starts the nodes that are down",
                dir.display()
            ),
            false => "do the nodes run, and does this machine reach their addresses?".to_owned(),
        };
        Self::new(bases, hint, credentials.or_local(&layout)?)
    }

    /// Asks, and reads the answer as JSON.
    pub fn json<T: DeserializeOwned>(&self, ask: Ask<'_>) -> Result<T, CliError> {
        self.ask(ask)?.json()
    }

    /// Asks one node, by the HTTP address that it announced.
    pub fn json_at<T: DeserializeOwned>(&self, http: &str, ask: Ask<'_>) -> Result<T, CliError> {
        let scheme = self.bases.first().and_then(|base| base.split_once("://"));
        let base = format!("{}://{http}", scheme.map_or("http", |(scheme, _)| scheme));
        match self.try_node(&base, ask)? {
            Tried::Done(reply) => reply.json(),
            Tried::Elsewhere(error) | Tried::Untrusted(error) => Err(error),
        }
    }

    /// Asks the nodes in turn. A node that cannot be reached or has no room passes the question
    /// on; a request that must not be made twice is passed on only if it surely was not made.
    pub fn ask(&self, ask: Ask<'_>) -> Result<Reply, CliError> {
        let (mut last, mut answered) = (None, None);
        for base in &self.bases {
            // The first answer of a node says more than a later one that is unreachable.
            match self.try_node(base, ask)? {
                Tried::Done(reply) => return Ok(reply),
                Tried::Elsewhere(error) if error.exit == Exit::Refused => {
                    answered.get_or_insert(error);
                }
                Tried::Elsewhere(error) => last = Some(error),
                Tried::Untrusted(error) => {
                    answered.get_or_insert(error);
                }
            }
        }
        Err(match (answered, last) {
            (Some(error), _) => error,
            (None, Some(error)) => CliError::new(error.exit, format!("{error}; {}", self.hint)),
            (None, None) => CliError::new(Exit::Unreachable, "the cluster has no nodes"),
        })
    }

    /// Asks the nodes in turn until one answers, and leaves the body to be read as it comes: for at
    /// most `ask.within`.
    pub fn open(&self, ask: Ask<'_>) -> Result<Opened, CliError> {
        let mut last = None;
        for base in &self.bases {
            let error = match self.run(base, ask, Some(ask.within)) {
                Ok((head, mut body)) => {
                    if head.status.is_success() {
                        return Ok(Opened { headers: head.headers, body: body.into_reader() });
                    }
                    let text = body.read_to_vec().unwrap_or_default();
                    let error = error_of(head.status.as_u16(), &text);
                    let passed_on = head.status.as_u16() == 503 && error.call.is_none();
                    match passed_on {
                        true => CliError::answered(&error),
                        false => return Err(CliError::answered(&error)),
                    }
                }
                Err(error) if not_sent(&error) => {
                    CliError::new(Exit::Unreachable, format!("{base} does not answer: {error}"))
                }
                Err(error) => {
                    let message = self.untrusted(base, &error).unwrap_or_else(|| {
                        let why = format!("{base} does not answer: {error}; the call may run");
                        CliError::new(Exit::Unreachable, why)
                    });
                    return Err(message);
                }
            };
            last.get_or_insert(error);
        }
        Err(last.unwrap_or_else(|| CliError::new(Exit::Unreachable, "the cluster has no nodes")))
    }

    /// What to say when a node is not known by the authority's certificate that there is.
    fn untrusted(&self, base: &str, error: &ureq::Error) -> Option<CliError> {
        let ca = self.ca.as_ref().filter(|_| is_untrusted(error))?.display();
        let message = format!(
            "{base} shows a certificate that the authority in {ca} does not vouch for ({error}): it \
             is of another cluster, or its authority was replaced since; `certs/ca.pem` in a \
             node's data directory has what is trusted now, and `faasm cert ca` prints it"
        );
        Some(CliError::new(Exit::Unreachable, message))
    }

    fn try_node(&self, base: &str, ask: Ask<'_>) -> Result<Tried, CliError> {
        match self.send(base, ask) {
            Ok((status, reply)) if (200..300).contains(&status) => Ok(Tried::Done(reply)),
            Ok((status, reply)) => {
                let error = error_of(status, &reply.body);
                let answered = CliError::answered(&error);
                match status == 503 && error.call.is_none() {
                    true => Ok(Tried::Elsewhere(answered)),
                    false => Err(answered),
                }
            }
            Err(error) => {
                if let Some(error) = self.untrusted(base, &error) {
                    return Ok(Tried::Untrusted(error));
                }
                let exit = match error {
                    ureq::Error::Timeout(ureq::Timeout::RecvResponse) => Exit::TimedOut,
                    _ => Exit::Unreachable,
                };
                let message = format!("{base} does not answer: {error}");
                if not_sent(&error) || ask.repeatable() {
                    return Ok(Tried::Elsewhere(CliError::new(exit, message)));
                }
                // The node cancels what a client that is gone waited for, if it lives.
                let message = format!("{message}; the call may have been made: see `faasm ps`");
                Err(CliError::new(exit, message))
            }
        }
    }

    /// Sends a request to one node; gives the status and the whole answer.
    pub fn send(&self, base: &str, ask: Ask<'_>) -> Result<(u16, Reply), ureq::Error> {
        let (head, mut body) = self.run(base, ask, None)?;
        let body = body.with_config().limit(MAX_BODY).read_to_vec()?;
        Ok((head.status.as_u16(), Reply { headers: head.headers, body }))
    }

    /// Sends a request to one node; `reading` is the longest time to read the body.
    fn run(
        &self,
        base: &str,
        ask: Ask<'_>,
        reading: Option<Duration>,
    ) -> Result<(http::response::Parts, ureq::Body), ureq::Error> {
        let request =
            http::Request::builder().method(ask.method).uri(format!("{base}{}", ask.path));
        let request = match &self.token {
            None => request,
            Some(token) => request.header("authorization", format!("Bearer {token}")),
        };
        let request = request.body(ask.body).map_err(ureq::Error::Http)?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_recv_response(Some(ask.within))
            .timeout_recv_body(Some(reading.unwrap_or(TRANSFER)))
            .allow_non_standard_methods(true)
            .build();
        Ok(self.agent.run(request)?.into_parts())
    }
}

/// The directory of the local cluster.
pub fn data_dir(globals: &Globals) -> Result<PathBuf, CliError> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    layout::data_dir(globals.data_dir.clone(), from("FAASM_DATA_DIR"), from("HOME")).ok_or_else(
        || CliError::new(Exit::Usage, "HOME is not set: name the directory with --data-dir D"),
    )
}

/// The agent: no proxy, since a cluster on loopback is never behind one.
pub fn agent(credentials: &Credentials) -> Result<Agent, CliError> {
    Ok(agent_with(credentials.tls()?))
}

fn agent_with(tls: TlsConfig) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .tls_config(tls)
        .proxy(None)
        .max_redirects(0)
        .timeout_connect(Some(CONNECT))
        .timeout_send_body(Some(TRANSFER))
        .timeout_recv_body(Some(TRANSFER))
        .user_agent(concat!("faasm/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// The URL of a node that is named by its URL or by HOST:PORT; the latter is plain HTTP on
/// loopback and TLS elsewhere, as nodes serve it.
pub fn base_url(address: &str) -> Result<String, CliError> {
    if address.contains("://") {
        return check_url(address);
    }
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let ip: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let local = host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
    check_url(&format!("{}://{address}", if local { "http" } else { "https" }))
}

fn check_url(url: &str) -> Result<String, CliError> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let rest = rest.unwrap_or_default();
    if rest.is_empty() || rest.starts_with('/') || rest.contains(char::is_whitespace) {
        let message = format!(
            "`{url}` is no cluster: write http://HOST:PORT of one of its nodes, or https://"
        );
        return Err(CliError::new(Exit::Usage, message));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// Whether the node's certificate was refused, before anything was sent.
fn is_untrusted(error: &ureq::Error) -> bool {
    let ureq::Error::Io(error) = error else { return false };
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}

/// Whether a request surely did not reach the node.
pub(super) fn not_sent(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        ureq::Error::Timeout(timeout) => {
            matches!(timeout, ureq::Timeout::Resolve | ureq::Timeout::Connect)
        }
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => true,
        _ => false,
    }
}

/// The error in an answer; one of our own for an answer that is none of a node.
pub(super) fn error_of(status: u16, body: &[u8]) -> ErrorView {
    serde_json::from_slice::<ErrorBody>(body).map(|body| body.error).unwrap_or_else(|_| {
        let text = String::from_utf8_lossy(body);
        let text: String = text.chars().take(200).collect();
        ErrorView { code: format!("HTTP {status}"), detail: text, call: None }
    })
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
