//! Tokens: how they are drawn, and how they are kept on disk.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::exit::CliError;

/// What a user's token begins with; 64 hexadecimal digits follow.
const PREFIX: &str = "faasm_";

/// Draws a token: 256 random bits.
pub fn new_token() -> String {
    let secret: [u8; 32] = rand::random();
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{PREFIX}{hex}")
}

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
