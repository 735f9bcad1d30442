//! Who the node of a data directory is: its id, its cluster, and how often it has started.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::id::{ClusterId, Incarnation, NodeId};

/// Name of the file in the data directory.
const FILE: &str = "identity.json";
/// Format of the file.
const FORMAT: u32 = 1;
/// Largest identity file read, in bytes.
const MAX_FILE: u64 = 4096;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    format: u32,
    cluster: String,
    node: u64,
    incarnation: u64,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It belongs to somebody else.
    #[error(
        "{path} belongs to {found}, not to {wanted}: give this node another --data-dir, or start \
         it as the node that the directory is of"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who was to be started.
        wanted: String,
    },
    /// It cannot be understood.
    #[error(
        "{path} is damaged ({why}): restore it from a backup; it must not be made anew, since \
             a node that forgot its past must not vote again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the check found.
        why: String,
    },
    /// Reading or writing failed.
    #[error("{path} could not be read or written: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        error: std::io::Error,
    },
}

/// Whether a node has been started with this directory.
pub fn is_of_a_node(dir: &Path) -> bool {
    dir.join(FILE).exists()
}

/// Checks that `dir` is of this node of this cluster (or of nobody yet), counts the start, and
/// gives its number; durable on return. Blocks on the disk.
pub fn load_and_bump(
    dir: &Path,
    node: NodeId,
    cluster: ClusterId,
) -> Result<Incarnation, IdentityError> {
    let path = dir.join(FILE);
    let io = |error| IdentityError::Io { path: path.clone(), error };
    fs::create_dir_all(dir).map_err(io)?;
    let before = match read(&path).map_err(io)? {
        None => 0,
        Some(text) => check(&path, &text, node, cluster)?,
    };
    let incarnation = before.checked_add(1).ok_or_else(|| IdentityError::Damaged {
        path: path.clone(),
        why: format!("no node starts {before} times"),
    })?;
    let identity =
        Identity { format: FORMAT, cluster: cluster.to_string(), node: node.0, incarnation };
    let text = serde_json::to_string(&identity).map_err(|error| io(error.into()))?;
    replace(dir, &path, text.as_bytes()).map_err(io)?;
    Ok(Incarnation(incarnation))
}

fn read(path: &Path) -> std::io::Result<Option<String>> {
    use std::io::Read as _;
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = String::new();
    file.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(Some(text))
}

fn check(path: &Path, text: &str, node: NodeId, cluster: ClusterId) -> Result<u64, IdentityError> {
    let damaged = |why: String| IdentityError::Damaged { path: path.to_owned(), why };
    let found: Identity = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
    if found.format != FORMAT {
        let why = format!("it has format {}, and this build reads {FORMAT}", found.format);
        return Err(damaged(why));
    }
    if found.node != node.0 || found.cluster != cluster.to_string() {
        return Err(IdentityError::Foreign {
            path: path.to_owned(),
            found: format!("n{} of cluster {}", found.node, found.cluster),
            wanted: format!("{node} of cluster {cluster}"),
        });
    }
    Ok(found.incarnation)
}

fn replace(dir: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: ClusterId = ClusterId(7);

    #[test]
    fn a_number_of_starts_that_cannot_be_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        load_and_bump(dir.path(), NodeId(1), CLUSTER).unwrap();
        let path = dir.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        let last = u64::MAX.to_string();
        fs::write(&path, text.replace("\"incarnation\":1", &format!("\"incarnation\":{last}")))
            .unwrap();
        let error = load_and_bump(dir.path(), NodeId(1), CLUSTER).unwrap_err().to_string();
        assert!(error.contains(&last), "{error}");
    }

    #[test]
    fn each_start_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        for start in 1..=3 {
            let got = load_and_bump(dir.path(), NodeId(2), CLUSTER).unwrap();
            assert_eq!(got, Incarnation(start));
        }
    }

    #[test]
    fn another_nodes_or_clusters_directory_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        load_and_bump(dir.path(), NodeId(2), CLUSTER).unwrap();
        let before = fs::read(dir.path().join(FILE)).unwrap();
        for (node, cluster) in [(NodeId(3), CLUSTER), (NodeId(2), ClusterId(8))] {
            let error = load_and_bump(dir.path(), node, cluster).unwrap_err().to_string();
            assert!(error.contains("belongs to n2 of cluster") && error.contains("--data-dir"));
        }
        assert_eq!(fs::read(dir.path().join(FILE)).unwrap(), before);
    }

    #[test]
    fn a_damaged_file_is_an_error_and_not_a_first_start() {
        let dir = tempfile::tempdir().unwrap();
        for bad in ["", "{", "{\"format\":9}", "\u{0}"] {
            fs::write(dir.path().join(FILE), bad).unwrap();
            let error = load_and_bump(dir.path(), NodeId(2), CLUSTER).unwrap_err();
            assert!(matches!(error, IdentityError::Damaged { .. }), "{error}");
        }
    }
}
