//! Secrets on disk.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::exit::CliError;

/// Writes a secret for its owner only; a crash leaves the old file or the new one.
pub fn write(path: &Path, secret: &str) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::file(path, &error);
    let fresh = path.with_extension("new");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&fresh).map_err(failed)?;
    file.write_all(format!("{secret}\n").as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    std::fs::rename(&fresh, path).map_err(failed)
}
