//! Where things are in a local cluster's directory.
//!
//! ```text
//! D/cluster.toml      what the cluster is, with its id and addresses
//! D/options.toml      settings of the components, if `up --options` gave some
//! D/admin.token       the first admin's token, for the owner of the directory
//! D/ca/               the authority
//! D/n1/               n1's data directory
//! D/n1/certs/         its certificate and key
//! D/n1/node.log       its log
//! D/n1/node.pid       its process
//! D/lock              held while a command changes the cluster
//! ```

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::cli::exit::CliError;
use crate::config::{ClusterConfig, NodeAddress, Options, certs_dir};
use crate::id::NodeId;

/// What may be there before the cluster's file is.
const UNFINISHED: [&str; 7] =
    ["ca", "lock", "options.toml", "options.part", "cluster.part", "admin.token", "admin.new"];

/// The directory of a local cluster.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

/// Which directory a local cluster has: as given, from `FAASM_DATA_DIR`, or below `HOME`.
pub fn data_dir(
    given: Option<PathBuf>,
    variable: Option<OsString>,
    home: Option<OsString>,
) -> Option<PathBuf> {
    given
        .or_else(|| variable.map(PathBuf::from))
        .or_else(|| home.map(|home| PathBuf::from(home).join(".local/share/faasm")))
}

impl Layout {
    /// The cluster in this directory.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the cluster is.
    pub fn config(&self) -> PathBuf {
        self.root.join("cluster.toml")
    }

    /// Settings of the components.
    pub fn options(&self) -> PathBuf {
        self.root.join("options.toml")
    }

    /// The authority.
    pub fn ca(&self) -> PathBuf {
        self.root.join("ca")
    }

    /// The token of the first admin, for the owner of this directory.
    pub fn admin_token(&self) -> PathBuf {
        self.root.join("admin.token")
    }

    /// The URL of a node's HTTP API.
    pub fn base(&self, node: &NodeAddress) -> String {
        let forced = || Options::load(&self.options()).is_ok_and(|options| options.gateway.tls);
        let tls = !node.http.ip().is_loopback() || forced();
        format!("{}://{}", if tls { "https" } else { "http" }, node.http)
    }

    /// A node's data directory.
    pub fn node(&self, node: NodeId) -> PathBuf {
        self.root.join(node.to_string())
    }

    /// A node's certificate and key.
    pub fn certs(&self, node: NodeId) -> PathBuf {
        certs_dir(&self.node(node))
    }

    /// A node's log.
    pub fn log(&self, node: NodeId) -> PathBuf {
        self.node(node).join("node.log")
    }

    /// A node's process.
    pub fn pid(&self, node: NodeId) -> PathBuf {
        self.node(node).join("node.pid")
    }

    /// The cluster's file, read and checked; an error that says what to do when there is none.
    pub fn load(&self) -> Result<ClusterConfig, CliError> {
        if !self.config().exists() {
            let dir = self.root.display();
            return Err(CliError::local(format!(
                "there is no cluster in {dir}: `faasm cluster up --data-dir {dir}` makes one"
            )));
        }
        ClusterConfig::load(&self.config()).map_err(|error| CliError::local(error.to_string()))
    }

    /// Takes the cluster for a command that changes it; dropping the file gives it back.
    pub fn lock(&self) -> Result<File, CliError> {
        let path = self.root.join("lock");
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(|error| CliError::file(&path, &error))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            let dir = self.root.display();
            CliError::local(format!("another `faasm cluster` command works in {dir}: let it end"))
        })?;
        Ok(file)
    }

    /// Whether the directory holds anything but what a command that was broken off left there.
    pub fn has_strangers(&self) -> Result<bool, CliError> {
        let failed = |error| CliError::file(&self.root, &error);
        for entry in std::fs::read_dir(&self.root).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if !UNFINISHED.iter().any(|ours| name == *ours) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_given_or_from_the_environment_or_below_home() {
        let find = |given: Option<&str>, variable: Option<&str>, home: Option<&str>| {
            data_dir(given.map(Into::into), variable.map(Into::into), home.map(Into::into))
        };
        assert_eq!(find(Some("/a"), Some("/b"), Some("/h")), Some("/a".into()));
        assert_eq!(find(None, Some("/b"), Some("/h")), Some("/b".into()));
        assert_eq!(find(None, None, Some("/h")), Some("/h/.local/share/faasm".into()));
        assert_eq!(find(None, None, None), None);
    }

    #[test]
    fn one_command_at_a_time_changes_a_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let first = layout.lock().unwrap();
        assert!(layout.lock().unwrap_err().message.contains("another"));
        drop(first);
        assert!(layout.lock().is_ok());
        assert!(!layout.has_strangers().unwrap());
        std::fs::write(dir.path().join("thesis.tex"), "").unwrap();
        assert!(layout.has_strangers().unwrap());
    }
}
