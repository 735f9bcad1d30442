//! Writing to stdout. A reader that has gone away (`| head`) ends the output, without an error.

use std::io::{self, Write};

use serde::Serialize;

use super::exit::CliError;

/// Writes bytes as they are.
pub fn bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::local(format!("stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a line.
pub fn line(text: impl std::fmt::Display) -> Result<(), CliError> {
    bytes(format!("{text}\n").as_bytes())
}

/// Writes a value as JSON.
pub fn json<T: Serialize>(value: &T) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::local(format!("the output is no JSON: {error}")))?;
    line(text)
}
