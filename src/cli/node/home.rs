//! What a node that bootstrapped or joined keeps in its data directory, so that it is started
//! again by `faasm node --data-dir D` alone.
//!
//! ```text
//! D/cluster.toml    the cluster as it was when this node came to it
//! D/node.toml       which of its nodes this is; written last
//! D/certs/          certificate, key, authority
//! D/admin.token     of a node that bootstrapped: the first admin's token
//! ```

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::cluster::make::write_whole;
use crate::cli::exit::CliError;
use crate::config::ClusterConfig;
use crate::id::NodeId;

/// Where things are in the data directory of one node.
pub struct Home {
    root: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    id: u64,
}

impl Home {
    /// The home in this directory.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The certificates.
    pub fn certs(&self) -> PathBuf {
        crate::config::certs_dir(&self.root)
    }

    /// The first admin's token.
    pub fn admin_token(&self) -> PathBuf {
        self.root.join("admin.token")
    }

    fn cluster(&self) -> PathBuf {
        self.root.join("cluster.toml")
    }

    fn which(&self) -> PathBuf {
        self.root.join("node.toml")
    }

    /// What was kept; `None` in a directory of nobody.
    pub fn load(&self) -> Result<Option<(ClusterConfig, NodeId)>, CliError> {
        let path = self.which();
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path).map_err(|error| CliError::file(&path, &error))?;
        let which: Which = toml::from_str(&text).map_err(|error| {
            CliError::local(format!("{}: {error}; restore it from a backup", path.display()))
        })?;
        let cluster = ClusterConfig::load(&self.cluster())
            .map_err(|error| CliError::local(error.to_string()))?;
        Ok(Some((cluster, NodeId(which.id))))
    }

    /// Keeps it.
    pub fn save(&self, cluster: &ClusterConfig, node: NodeId) -> Result<(), CliError> {
        let text = |error: toml::ser::Error| CliError::local(error.to_string());
        write_whole(&self.cluster(), toml::to_string(cluster).map_err(text)?.as_bytes())?;
        let which = toml::to_string(&Which { id: node.0 }).map_err(text)?;
        write_whole(&self.which(), which.as_bytes())
    }
}
