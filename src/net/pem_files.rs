//! Certificates and keys on disk.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::net::identity::IdentityError;

/// The authority's certificate.
pub(super) const CA_CERT: &str = "ca.pem";
/// The authority's private key.
pub(super) const CA_KEY: &str = "ca-key.pem";
/// A node's certificate.
pub(super) const NODE_CERT: &str = "node.pem";
/// A node's private key.
pub(super) const NODE_KEY: &str = "node-key.pem";

/// What a node's three files are to become, while they are written.
const JOURNAL: &str = "node-next.pem";
/// What stands between their texts there; no PEM has it.
const BETWEEN: &str = "\n=== next file ===\n";

/// Largest file read, in bytes; certificates and keys are far smaller.
const MAX_FILE: u64 = 64 << 10;

/// Reads a whole file.
pub(super) fn read(path: &Path) -> Result<String, IdentityError> {
    let failed = |source| IdentityError::File { path: path.display().to_string(), source };
    let size = fs::metadata(path).map_err(failed)?.len();
    if size > MAX_FILE {
        return Err(failed(std::io::Error::other(format!("{size} bytes are too many"))));
    }
    fs::read_to_string(path).map_err(failed)
}

/// Writes down what the node's key, its certificate and the authority's are to become.
pub(super) fn begin(dir: &Path, texts: [&str; 3]) -> Result<(), IdentityError> {
    write_secret(&dir.join(JOURNAL), &texts.join(BETWEEN))
}

/// Makes the three files what was written down, if anything was: also after a crash.
pub(super) fn finish(dir: &Path) -> Result<(), IdentityError> {
    let journal = dir.join(JOURNAL);
    if !journal.exists() {
        return Ok(());
    }
    let text = read(&journal)?;
    let failed = |source| IdentityError::File { path: journal.display().to_string(), source };
    let parts: Vec<&str> = text.split(BETWEEN).collect();
    let [key, cert, ca] = parts.as_slice() else {
        return Err(failed(std::io::Error::other("it should have three parts: remove it")));
    };
    write_secret(&dir.join(NODE_KEY), key)?;
    write(&dir.join(NODE_CERT), cert)?;
    write(&dir.join(CA_CERT), ca)?;
    fs::remove_file(&journal).map_err(failed)
}

/// Writes a file that anyone may read.
pub(super) fn write(path: &Path, text: &str) -> Result<(), IdentityError> {
    write_mode(path, text, 0o644)
}

/// Writes a file for its owner only.
pub(super) fn write_secret(path: &Path, text: &str) -> Result<(), IdentityError> {
    write_mode(path, text, 0o600)
}

/// Writes beside the file and renames: a crash leaves the old file or the new one, and a key is
/// never readable by others, not for a moment.
fn write_mode(path: &Path, text: &str, mode: u32) -> Result<(), IdentityError> {
    let failed = |source| IdentityError::File { path: path.display().to_string(), source };
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(failed)?;
    }
    let fresh = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&fresh, path).map_err(failed)
}
