//! How the process ends: exit codes and errors.

use std::fmt;
use std::path::Path;

use crate::gateway::view::ErrorView;

/// Exit codes, above those that functions usually return and below those of shells and signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The command line is wrong.
    Usage = 120,
    /// No node of the cluster answers.
    Unreachable = 121,
    /// The cluster refused: nothing was done.
    Refused = 122,
    /// The call was made and ended without a result of its own.
    CallFailed = 123,
    /// A deadline passed.
    TimedOut = 124,
    /// A file or process of this machine.
    Local = 125,
}

/// What `faasm --help` says of exit codes.
pub const HELP: &str = "\
Exit codes:
  0        done; for `invoke`, the function's result 0
  1..255   for `invoke`, the function's own result
  120      the command line is wrong
  121      no node of the cluster answers, or not all are ready
  122      the cluster refused: nothing was done
  123      the call ended without a result: a trap, a limit, a cancel, a lost node
  124      a deadline passed
  125      a file or a process of this machine
A function can return 120 to 125 too. Only an error of faasm itself prints a line that begins
with `faasm: error:` on stderr; `invoke --json` prints the result as a field. With --json,
what the cluster refused is on stdout too, as an object with the field `error`.

Examples:
  faasm cluster up
  faasm upload alice/hello hello.wasm
  faasm invoke alice/hello --input world
  faasm cluster down";

/// Why a command failed: what was wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    /// How the process ends.
    pub exit: Exit,
    /// For people.
    pub message: String,
    /// What the cluster answered, if it did.
    pub answer: Option<Box<ErrorView>>,
}

impl CliError {
    /// An error of any kind.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), answer: None }
    }

    /// Something on this machine.
    pub fn local(message: impl Into<String>) -> Self {
        Self::new(Exit::Local, message)
    }

    /// A file that could not be read or written.
    pub fn file(path: &Path, error: &std::io::Error) -> Self {
        Self::local(format!("{}: {error}", path.display()))
    }

    /// What a node answered instead of a success.
    pub fn answered(error: &ErrorView) -> Self {
        let exit = match (error.code.as_str(), &error.call) {
            ("FAASM_ETIMEDOUT", _) => Exit::TimedOut,
            (_, Some(_)) => Exit::CallFailed,
            (_, None) => Exit::Refused,
        };
        let message = match &error.call {
            None => format!("{}: {}", error.code, error.detail),
            Some(call) => format!(
                "call {call}: {}: {}\nfaasm: see `faasm status {call}` and `faasm logs {call}`",
                error.code, error.detail
            ),
        };
        Self { answer: Some(Box::new(error.clone())), ..Self::new(exit, message) }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: &str, call: Option<&str>) -> Exit {
        let (code, call) = (code.to_owned(), call.map(str::to_owned));
        CliError::answered(&ErrorView { code, detail: "x".into(), call }).exit
    }

    #[test]
    fn answers_have_their_exit_codes() {
        assert_eq!(answered("FAASM_ENOENT", None), Exit::Refused);
        assert_eq!(answered("FAASM_EFAILED", Some("ab")), Exit::CallFailed);
        assert_eq!(answered("FAASM_ETIMEDOUT", Some("ab")), Exit::TimedOut);
        assert_eq!(answered("FAASM_ETIMEDOUT", None), Exit::TimedOut);
    }

    #[test]
    fn every_exit_code_is_documented() {
        let exits = [
            Exit::Usage,
            Exit::Unreachable,
            Exit::Refused,
            Exit::CallFailed,
            Exit::TimedOut,
            Exit::Local,
        ];
        for exit in exits {
            assert!(HELP.contains(&format!("\n  {}  ", exit as u8)), "{exit:?}");
        }
    }
}
