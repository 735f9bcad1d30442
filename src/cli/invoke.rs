//! `faasm invoke`.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::client::{ANSWER, Ask, Client, MARGIN, Reply};
use super::exit::{CliError, Exit};
use super::{Globals, out};
use crate::calls::{DEFAULT_DEADLINE, MAX_DEADLINE};
use crate::config::units::{UnitError, parse_duration};
use crate::files::MAX_BLOB;
use crate::gateway::query::encode;
use crate::gateway::view::{CALL_HEADER, FinishedView, NODE_HEADER, RESULT_HEADER, SubmittedView};
use crate::id::{FunctionKey, NodeId};
use crate::wire::function::Policy;

/// Arguments of `faasm invoke`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  faasm invoke alice/hello --input world
  faasm invoke alice/count --input-file text.txt --timeout 5s -- --top 10
  faasm invoke alice/count --input-file - --async")]
pub struct InvokeArgs {
    /// The function, as USER/NAME.
    #[arg(value_name = "USER/NAME")]
    function: FunctionKey,
    /// Its input, as text.
    #[arg(long, value_name = "TEXT", conflicts_with = "input_file")]
    input: Option<String>,
    /// A file with its input; - for stdin.
    #[arg(long, value_name = "FILE")]
    input_file: Option<PathBuf>,
    /// Print the call's id and do not wait for its end.
    #[arg(long = "async")]
    detached: bool,
    /// The only node that may run it.
    #[arg(long, value_name = "N")]
    node: Option<NodeId>,
    /// Longest time the call and all below it may take, as in 500ms or 5s.
    #[arg(long, value_name = "TIME", value_parser = timeout)]
    timeout: Option<Duration>,
    /// How a node is chosen, instead of the function's own policy: bin-pack, spread or locality.
    #[arg(long, value_name = "P")]
    policy: Option<Policy>,
    /// What `main` is given after the function's name.
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
}

/// Runs a function; gives its result, for the exit code.
pub fn run(globals: &Globals, args: &InvokeArgs) -> Result<u8, CliError> {
    let client = Client::find(globals)?;
    let input = read_input(args)?;
    let path = path(args);
    let within = match args.detached {
        true => ANSWER,
        false => args.timeout.unwrap_or(DEFAULT_DEADLINE) + MARGIN,
    };
    let reply = client.ask(Ask { method: "POST", path: &path, body: &input, within })?;
    if args.detached {
        let submitted: SubmittedView = reply.json()?;
        match globals.json {
            true => out::json(&submitted)?,
            false => out::line(&submitted.call)?,
        }
        return Ok(0);
    }
    let result = result_of(&reply)?;
    match globals.json {
        true => out::json(&finished(&reply, result))?,
        false => out::bytes(&reply.body)?,
    }
    Ok(result)
}

pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text).map_err(|error: UnitError| error.to_string())?;
    match time.is_zero() || time > MAX_DEADLINE {
        true => Err(format!("1ms to {}h are allowed", MAX_DEADLINE.as_secs() / 3600)),
        false => Ok(time),
    }
}

fn read_input(args: &InvokeArgs) -> Result<Vec<u8>, CliError> {
    if let Some(text) = &args.input {
        return Ok(text.clone().into_bytes());
    }
    let Some(path) = &args.input_file else { return Ok(Vec::new()) };
    let mut input = Vec::new();
    let failed = |error| CliError::file(path, &error);
    // One byte more than can be sent shows that there is more.
    match path.as_os_str() == "-" {
        true => std::io::stdin().take(MAX_BLOB + 1).read_to_end(&mut input),
        false => std::fs::File::open(path)
            .and_then(|file| file.take(MAX_BLOB + 1).read_to_end(&mut input)),
    }
    .map_err(failed)?;
    if input.len() as u64 > MAX_BLOB {
        let message = format!("{}: larger than the {MAX_BLOB} bytes allowed", path.display());
        return Err(CliError::local(message));
    }
    Ok(input)
}

fn path(args: &InvokeArgs) -> String {
    let mut query = Vec::new();
    if args.detached {
        query.push("async".to_owned());
    }
    if let Some(timeout) = args.timeout {
        query.push(format!("timeout={}ms", timeout.as_millis()));
    }
    if let Some(policy) = args.policy {
        query.push(format!("policy={policy}"));
    }
    if let Some(node) = args.node {
        query.push(format!("node={node}"));
    }
    query.extend(args.args.iter().map(|arg| format!("arg={}", encode(arg))));
    let mark = if query.is_empty() { "" } else { "?" };
    format!("/v1/functions/{}/invoke{mark}{}", args.function, query.join("&"))
}

fn result_of(reply: &Reply) -> Result<u8, CliError> {
    reply.header(RESULT_HEADER).parse().map_err(|_| {
        let message = format!("the answer has no header {RESULT_HEADER}: is this a faasm node?");
        CliError::new(Exit::Unreachable, message)
    })
}

fn finished(reply: &Reply, result: u8) -> FinishedView {
    let text = std::str::from_utf8(&reply.body).ok().map(str::to_owned);
    let hex = || reply.body.iter().map(|byte| format!("{byte:02x}")).collect();
    FinishedView {
        call: reply.header(CALL_HEADER).to_owned(),
        node: reply.header(NODE_HEADER).to_owned(),
        result,
        output_hex: text.is_none().then(hex),
        output: text,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: InvokeArgs,
    }

    fn parse(line: &[&str]) -> Result<InvokeArgs, clap::Error> {
        Line::try_parse_from([&["invoke"], line].concat()).map(|line| line.args)
    }

    #[test]
    fn all_that_is_named_is_in_the_path() {
        let line = [
            "a/b",
            "--input",
            "x",
            "--async",
            "--node",
            "2",
            "--timeout",
            "5s",
            "--policy",
            "spread",
            "--",
            "--top",
            "a b&c",
        ];
        let expected = "/v1/functions/a/b/invoke\
                        ?async&timeout=5000ms&policy=spread&node=n2&arg=--top&arg=a%20b%26c";
        assert_eq!(path(&parse(&line).unwrap()), expected);
        assert_eq!(path(&parse(&["a/b"]).unwrap()), "/v1/functions/a/b/invoke");
    }

    #[test]
    fn what_cannot_be_is_refused_by_the_command_line() {
        for line in [
            &["a"][..],
            &["a/b", "--timeout", "5"],
            &["a/b", "--timeout", "0s"],
            &["a/b", "--timeout", "48h"],
            &["a/b", "--node", "0"],
            &["a/b", "--policy", "best"],
            &["a/b", "--input", "x", "--input-file", "y"],
        ] {
            assert!(parse(line).is_err(), "{line:?} was taken");
        }
    }

    #[test]
    fn the_input_is_text_or_a_file_or_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"\0bytes").unwrap();
        let name = file.path().to_str().unwrap();
        assert_eq!(read_input(&parse(&["a/b"]).unwrap()).unwrap(), b"");
        assert_eq!(read_input(&parse(&["a/b", "--input", "x"]).unwrap()).unwrap(), b"x");
        let read = read_input(&parse(&["a/b", "--input-file", name]).unwrap()).unwrap();
        assert_eq!(read, b"\0bytes");
        let error = read_input(&parse(&["a/b", "--input-file", "/no/file"]).unwrap()).unwrap_err();
        assert!(error.exit == Exit::Local && error.message.contains("/no/file"), "{error}");
    }
}
