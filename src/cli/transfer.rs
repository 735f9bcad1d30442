//! Bodies of any length, from and to files: nothing of them is kept in memory.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::SendBody;

use super::client::{Client, error_of, not_sent};
use super::exit::{CliError, Exit};

/// Longest time until an answer begins, behind the request's last byte: the node's own bounds.
const ANSWER: Duration = Duration::from_secs(90);
/// Longest time for a body either way; the nodes end what is slower than they allow long before.
const TRANSFER: Duration = Duration::from_secs(24 * 3600);
/// Most of an error's body that is read.
const MAX_ERROR: u64 = 1 << 16;

/// Where a body comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// There is none.
    Nothing,
    /// A file.
    File(PathBuf),
    /// Standard input, which is read once.
    Stdin,
}

impl Source {
    /// A file by its name; `-` is standard input.
    pub fn named(path: &Path) -> Self {
        match path.as_os_str() == "-" {
            true => Self::Stdin,
            false => Self::File(path.to_owned()),
        }
    }
}

/// A request.
#[derive(Debug)]
pub struct Transfer<'a> {
    /// Method.
    pub method: &'a str,
    /// Path and query, encoded.
    pub path: &'a str,
    /// Headers beside the token.
    pub headers: &'a [(&'a str, String)],
    /// Body.
    pub source: Source,
}

/// An answer with a status of success, its body unread.
pub type Coming = http::Response<ureq::Body>;

impl Client {
    /// Asks the nodes in turn, as [`Client::ask`] does. A body is sent to another node only if the
    /// first surely did not carry the request out.
    pub fn transfer(&self, transfer: &Transfer<'_>) -> Result<Coming, CliError> {
        let mut last = None;
        for base in &self.bases {
            match self.transfer_at(base, transfer)? {
                Ok(coming) => return Ok(coming),
                Err(error) => last = Some(error),
            }
        }
        Err(match last {
            Some(error) if error.exit == Exit::Refused => error,
            Some(error) => CliError::new(error.exit, format!("{error}; {}", self.hint)),
            None => CliError::new(Exit::Unreachable, "the cluster has no nodes"),
        })
    }

    /// Asks one node. The inner error is one that another node may not have.
    fn transfer_at(
        &self,
        base: &str,
        transfer: &Transfer<'_>,
    ) -> Result<Result<Coming, CliError>, CliError> {
        let Transfer { method, path, headers, source } = transfer;
        let mut request = http::Request::builder().method(*method).uri(format!("{base}{path}"));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in *headers {
            request = request.header(*name, value);
        }
        let body = match source {
            Source::Nothing => SendBody::none(),
            Source::Stdin => SendBody::from_owned_reader(io::stdin()),
            Source::File(path) => {
                let failed = |error| CliError::file(path, &error);
                let file = File::open(path).map_err(failed)?;
                request = request.header("content-length", file.metadata().map_err(failed)?.len());
                SendBody::from_owned_reader(file)
            }
        };
        let request = request.body(body).map_err(|error| CliError::local(error.to_string()))?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_recv_response(Some(ANSWER))
            .timeout_send_body(Some(TRANSFER))
            .timeout_recv_body(Some(TRANSFER))
            .allow_non_standard_methods(true)
            .build();
        match self.agent.run(request) {
            Ok(coming) if coming.status().is_success() => Ok(Ok(coming)),
            Ok(coming) => {
                let error = refused(coming);
                let again = error.1 == 503 && !matches!(source, Source::Stdin);
                if again { Ok(Err(error.0)) } else { Err(error.0) }
            }
            Err(error) => {
                let exit = match error {
                    ureq::Error::Timeout(ureq::Timeout::RecvResponse) => Exit::TimedOut,
                    _ => Exit::Unreachable,
                };
                let told = CliError::new(exit, format!("{base} does not answer: {error}"));
                let again = not_sent(&error) || *method == "GET";
                if again { Ok(Err(told)) } else { Err(told) }
            }
        }
    }
}

/// An answer that is no success, and its status.
fn refused(mut coming: Coming) -> (CliError, u16) {
    let status = coming.status().as_u16();
    if status == 304 {
        let message = "the value is still what --if-none-match names: it was not sent";
        return (CliError::new(Exit::Refused, message), status);
    }
    let mut body = Vec::new();
    // What cannot be read is as good as empty: the status is told in any case.
    let _read = coming.body_mut().as_reader().take(MAX_ERROR).read_to_end(&mut body);
    (CliError::answered(&error_of(status, &body)), status)
}

/// Writes an answer's body to a file, or to standard output. A file that is not whole is removed.
pub fn save(coming: Coming, to: Option<&Path>) -> Result<(), CliError> {
    let told = |error: io::Error| {
        let message = format!("the answer broke off: {error}; try again");
        CliError::new(Exit::Unreachable, message)
    };
    let mut body = coming.into_body().into_reader();
    let Some(path) = to.filter(|path| path.as_os_str() != "-") else {
        return match copy(&mut body, &mut io::stdout().lock()) {
            Copied::Done => Ok(()),
            Copied::Reading(error) => Err(told(error)),
            // Nobody reads on.
            Copied::Writing(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Copied::Writing(error) => Err(CliError::local(format!("stdout: {error}"))),
        };
    };
    let mut file = File::create(path).map_err(|error| CliError::file(path, &error))?;
    let error = match copy(&mut body, &mut file) {
        Copied::Done => return Ok(()),
        Copied::Reading(error) => told(error),
        Copied::Writing(error) => CliError::file(path, &error),
    };
    let _removed = std::fs::remove_file(path);
    Err(error)
}

enum Copied {
    Done,
    Reading(io::Error),
    Writing(io::Error),
}

fn copy(from: &mut dyn Read, to: &mut dyn Write) -> Copied {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let got = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Copied::Reading(error),
        };
        if let Err(error) = to.write_all(buffer.get(..got).unwrap_or_default()) {
            return Copied::Writing(error);
        }
    }
    to.flush().map_or_else(Copied::Writing, |()| Copied::Done)
}
