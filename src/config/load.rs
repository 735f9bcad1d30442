//! Reading configuration files. An error names the file, the field and what is allowed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{ClusterConfig, Options, S3Options};

/// Largest configuration file read, in bytes: far above any real one.
const MAX_FILE: u64 = 1 << 20;
/// Most nodes of one cluster: every node holds a connection to every other.
pub const MAX_NODES: usize = 256;
/// Longest name of a cluster, in characters.
const MAX_CLUSTER_NAME: usize = 64;
/// Shortest Raft tick: below it, a node under load would be taken for dead.
const MIN_TICK: Duration = Duration::from_millis(10);

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {why}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// The file is too large to be a configuration.
    #[error("{}: larger than {MAX_FILE} bytes, which no configuration is", .0.display())]
    TooBig(PathBuf),
    /// Not TOML, or not these fields.
    #[error("{}: {why}", path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Line, column, and what was expected.
        why: String,
    },
    /// A value that is not allowed.
    #[error("{}: {problem}", path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// Which value.
        problem: Problem,
    },
}

/// A value that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {why}")]
pub struct Problem {
    /// The field, as a path from the top of the file.
    pub field: String,
    /// What is wrong, and what is allowed.
    pub why: String,
}

impl Problem {
    fn new(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self { field: field.into(), why: why.into() }
    }
}

impl ClusterConfig {
    /// Reads and checks a cluster file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let config: Self = read(path)?;
        let invalid = |problem| ConfigError::Invalid { path: path.to_owned(), problem };
        config.validate().map_err(invalid)?;
        Ok(config)
    }

    /// Checks what the types cannot: unique ids and addresses, a hash that is one.
    pub fn validate(&self) -> Result<(), Problem> {
        let name_fits = (1..=MAX_CLUSTER_NAME).contains(&self.name.chars().count());
        if !name_fits || self.name.chars().any(char::is_control) {
            return Err(Problem::new("name", "1 to 64 printable characters are allowed"));
        }
        if self.id.is_some() && self.cluster_id().is_none() {
            return Err(Problem::new(
                "id",
                "32 hexadecimal digits are allowed; leave it out in a \
                file that describes a cluster yet to be made",
            ));
        }
        let is_hash =
            |text: &String| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if self.admin_token_hash.as_ref().is_some_and(|text| !is_hash(text)) {
            let why = "64 hexadecimal digits are allowed: the BLAKE3 hash of the admin's token";
            return Err(Problem::new("admin_token_hash", why));
        }
        if !(1..=MAX_NODES).contains(&self.nodes.len()) {
            return Err(Problem::new("nodes", format!("1 to {MAX_NODES} nodes are allowed")));
        }
        self.validate_nodes()
    }

    fn validate_nodes(&self) -> Result<(), Problem> {
        let (mut ids, mut quic, mut http) = (HashSet::new(), HashSet::new(), HashSet::new());
        for (index, node) in self.nodes.iter().enumerate() {
            let field = |name| format!("nodes[{index}].{name}");
            if node.id == 0 {
                return Err(Problem::new(field("id"), "ids start at 1"));
            }
            if !ids.insert(node.id) {
                return Err(Problem::new(field("id"), format!("{} is given twice", node.id)));
            }
            if node.http.ip().is_unspecified() {
                let why = "clients and other nodes reach no such address: name one of this \
                           machine's, or 127.0.0.1 for this machine alone";
                return Err(Problem::new(field("http"), format!("{}: {why}", node.http)));
            }
            let ports = [("quic", node.quic, &mut quic), ("http", node.http, &mut http)];
            for (name, address, seen) in ports {
                if address.port() == 0 {
                    if self.nodes.len() > 1 && name == "quic" {
                        let why = "port 0 is for a cluster of one: the others must know the port";
                        return Err(Problem::new(field(name), why));
                    }
                } else if !seen.insert(address) {
                    let why = format!("{address} is given twice");
                    return Err(Problem::new(field(name), why));
                }
            }
        }
        Ok(())
    }
}

impl Options {
    /// Reads and checks an options file. It names only what it changes.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let options: Self = read(path)?;
        let invalid = |problem| ConfigError::Invalid { path: path.to_owned(), problem };
        options.validate().map_err(invalid)?;
        Ok(options)
    }

    /// Checks what the types cannot.
    pub fn validate(&self) -> Result<(), Problem> {
        if self.net.keep_alive.is_zero() || self.net.keep_alive * 3 >= self.net.silence {
            return Err(Problem::new(
                "net.keep_alive",
                "it must be above 0, and three times it below net.silence: one lost packet must \
                 not make a peer look dead",
            ));
        }
        if self.consensus.tick < MIN_TICK {
            return Err(Problem::new("consensus.tick", "10 milliseconds or more are allowed"));
        }
        if self.consensus.session < self.consensus.tick * 10 {
            return Err(Problem::new(
                "consensus.session",
                "ten times consensus.tick or more are allowed: a session is renewed on ticks",
            ));
        }
        let percent = self.function.memory_percent;
        if !(1..=100).contains(&percent) {
            let why = format!("{percent} is not in 1 to 100");
            return Err(Problem::new("function.memory_percent", why));
        }
        if let Some(s3) = &self.files.s3 {
            s3.validate()?;
        }
        for (field, value) in self.counts() {
            if value == 0 {
                return Err(Problem::new(field, "1 or more is allowed"));
            }
        }
        Ok(())
    }

    /// What must not be zero: nothing would run.
    fn counts(&self) -> [(&'static str, u64); 17] {
        [
            ("net.queue_bytes", self.net.queue_bytes as u64),
            ("consensus.snapshot_after", self.consensus.snapshot_after),
            ("function.instances", self.function.instances as u64),
            ("scheduler.slots_per_worker", self.scheduler.slots_per_worker as u64),
            ("scheduler.report", u64::from(!self.scheduler.report.is_zero())),
            ("calls.depth", u64::from(self.calls.depth)),
            ("calls.records", self.calls.records as u64),
            ("files.copies", self.files.copies as u64),
            ("files.scrub_rate", self.files.scrub_rate),
            ("files.scrub_period", u64::from(!self.files.scrub_period.is_zero())),
            ("state.log_bytes", self.state.log_bytes),
            ("state.threads", self.state.threads as u64),
            ("state.patience_ms", self.state.patience_ms),
            ("gateway.body_bytes", self.gateway.body_bytes as u64),
            ("gateway.bodies_bytes", self.gateway.bodies_bytes as u64),
            ("gateway.requests", self.gateway.requests as u64),
            ("gateway.connections", self.gateway.connections as u64),
        ]
    }
}

impl S3Options {
    fn validate(&self) -> Result<(), Problem> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if !(3..=63).contains(&self.bucket.len()) || !self.bucket.chars().all(plain) {
            let why = "3 to 63 lower case letters, digits, `-` and `.` are allowed";
            return Err(Problem::new("files.s3.bucket", why));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if !self.prefix.chars().all(plain) || self.prefix.split('/').any(|part| part == "..") {
            let why = "letters, digits, `-`, `_`, `.` and `/` are allowed";
            return Err(Problem::new("files.s3.prefix", why));
        }
        if self.region.is_empty() {
            let why = "a name is needed; `us-east-1` will do for a service without regions";
            return Err(Problem::new("files.s3.region", why));
        }
        let why = match self.endpoint.as_deref() {
            Some(url) if url.starts_with("http://") && !self.allow_http => {
                "it is not encrypted: use https://, or set `allow_http = true`"
            }
            Some(url) if !url.starts_with("http://") && !url.starts_with("https://") => {
                "a URL that begins with https:// or http:// is allowed"
            }
            _ => return Ok(()),
        };
        Err(Problem::new("files.s3.endpoint", why))
    }
}

/// Reads a file of bounded size as TOML.
fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let failed = |why| ConfigError::Read { path: path.to_owned(), why };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > MAX_FILE {
        return Err(ConfigError::TooBig(path.to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    toml::from_str(&text).map_err(|error| ConfigError::Parse {
        path: path.to_owned(),
        why: error.to_string().trim_end().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> ClusterConfig {
        toml::from_str(include_str!("../../cluster/local.toml")).unwrap()
    }

    fn field(config: &ClusterConfig) -> String {
        config.validate().unwrap_err().field
    }

    #[test]
    fn the_default_cluster_is_valid_and_has_three_voters() {
        let config = three();
        assert_eq!(config.validate(), Ok(()));
        assert_eq!(config.voters().len(), 3);
        assert_eq!(config.id, None);
    }

    #[test]
    fn ids_and_addresses_are_unique() {
        let mut config = three();
        config.nodes[1].id = 1;
        assert_eq!(field(&config), "nodes[1].id");
        config.nodes[1].id = 0;
        assert_eq!(field(&config), "nodes[1].id");
        let mut config = three();
        config.nodes[2].quic = config.nodes[0].quic;
        assert_eq!(field(&config), "nodes[2].quic");
        let mut config = three();
        config.nodes[2].http = config.nodes[0].http;
        assert_eq!(field(&config), "nodes[2].http");
    }

    #[test]
    fn a_token_is_named_by_its_hash_http_can_be_reached_and_quic_has_a_port() {
        let mut config = three();
        config.nodes[0].http = "0.0.0.0:80".parse().unwrap();
        assert_eq!(field(&config), "nodes[0].http");
        config.nodes[0].http = "192.0.2.1:80".parse().unwrap();
        assert_eq!(config.validate(), Ok(()));
        let mut config = three();
        config.admin_token_hash = Some("faasm_1234".into());
        assert_eq!(field(&config), "admin_token_hash");
        config.admin_token_hash = Some("0f".repeat(32));
        assert_eq!(config.validate(), Ok(()));
        let mut config = three();
        config.nodes[0].quic.set_port(0);
        assert_eq!(field(&config), "nodes[0].quic");
        config.nodes.truncate(1);
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn default_options_are_valid_and_each_rule_has_its_field() {
        assert_eq!(Options::default().validate(), Ok(()));
        type Spoil = fn(&mut Options);
        fn s3(spoil: fn(&mut S3Options)) -> Option<S3Options> {
            let mut options = S3Options { bucket: "blobs".to_owned(), ..S3Options::default() };
            spoil(&mut options);
            Some(options)
        }
        let mut good = Options::default();
        good.files.s3 = s3(|_| {});
        assert_eq!(good.validate(), Ok(()));
        let cases: [(&str, Spoil); 11] = [
            ("files.scrub_rate", |o| o.files.scrub_rate = 0),
            ("files.s3.bucket", |o| o.files.s3 = Some(S3Options::default())),
            ("files.s3.prefix", |o| o.files.s3 = s3(|s3| s3.prefix = "a/../b".to_owned())),
            ("files.s3.region", |o| o.files.s3 = s3(|s3| s3.region.clear())),
            ("files.s3.endpoint", |o| {
                o.files.s3 = s3(|s3| s3.endpoint = Some("http://127.0.0.1:9".to_owned()));
            }),
            ("files.s3.endpoint", |o| {
                o.files.s3 = s3(|s3| s3.endpoint = Some("127.0.0.1:9".to_owned()));
            }),
            ("net.keep_alive", |o| o.net.keep_alive = o.net.silence / 3),
            ("consensus.tick", |o| o.consensus.tick = Duration::ZERO),
            ("consensus.session", |o| o.consensus.session = o.consensus.tick * 9),
            ("function.memory_percent", |o| o.function.memory_percent = 101),
            ("gateway.requests", |o| o.gateway.requests = 0),
        ];
        for (field, spoil) in cases {
            let mut options = Options::default();
            spoil(&mut options);
            assert_eq!(options.validate().unwrap_err().field, field);
        }
    }

    #[test]
    fn errors_name_the_file_and_the_field() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("o.toml");
        std::fs::write(&path, "[net]\nsilense = 3\n").unwrap();
        let text = Options::load(&path).unwrap_err().to_string();
        for part in ["o.toml", "silense", "silence", "line 2"] {
            assert!(text.contains(part), "no {part} in: {text}");
        }
        std::fs::write(&path, "[net]\nsilence = 100\n").unwrap();
        let text = Options::load(&path).unwrap_err().to_string();
        assert!(text.contains("o.toml") && text.contains("net.keep_alive"), "{text}");
        let text = Options::load(&dir.path().join("none.toml")).unwrap_err().to_string();
        assert!(text.contains("none.toml"), "{text}");
    }
}
