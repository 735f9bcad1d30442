//! `faasm mpirun`.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use clap::Args;

use super::client::{Ask, Client, MARGIN};
use super::exit::{CliError, Exit};
use super::invoke::timeout;
use super::{Globals, bundle, jobs, out, program};
use crate::calls::gang::{Host, MapBy};
use crate::calls::{DEFAULT_DEADLINE, MAX_DEADLINE};
use crate::files::MAX_BLOB;
use crate::gateway::query::encode;
use crate::gateway::view::{CALL_HEADER, CallView, ErrorView};
use crate::id::FunctionKey;

/// How long a stdin that is neither a file nor a terminal may take to say something.
const SILENT: Duration = Duration::from_millis(100);
/// Longest wait asked of a node at once.
const WAIT_STEP: Duration = Duration::from_secs(20);

/// Arguments of `faasm mpirun`.
#[derive(Debug, Args)]
#[command(after_help = "\
What the ranks write goes to stdout as it comes, whole lines of one rank. Stdin, if it is no
terminal, is read to its end and given to rank 0; one that stays open and silent is not waited for.
The exit code is the job's: 0 when all ranks ended with 0, else that of the first that did not, or
the code of MPI_Abort. When this command ends before the job, so does the job.

Examples:
  faasm mpirun -n 8 ./jacobi.wasm 1024 400
  faasm mpirun -n 8 alice/jacobi
  faasm mpirun -n 8 --map-by node --tag-output alice/jacobi -- 1024 400
  faasm mpirun -n 4 --file in.lj --file pots --save results ./md.wasm -i in.lj
  faasm mpirun -n 6 --hosts n1,n2:4 --stdin input.txt alice/solver")]
pub struct MpirunArgs {
    /// How many ranks.
    #[arg(short = 'n', long = "np", value_name = "N")]
    ranks: u32,
    /// How ranks are laid out on nodes: slot fills one node after the other, node goes round.
    #[arg(long, value_name = "HOW")]
    map_by: Option<MapBy>,
    /// The only nodes, in this order; n2:4 takes at most 4 ranks.
    #[arg(long, value_name = "HOSTS", value_delimiter = ',')]
    hosts: Vec<Host>,
    /// Name the rank before each line that it writes.
    #[arg(long)]
    tag_output: bool,
    /// Longest time that the job may take, the wait for room included.
    #[arg(long, value_name = "TIME", value_parser = timeout)]
    timeout: Option<Duration>,
    /// A file that rank 0 reads as stdin, however long that takes; - for stdin itself.
    #[arg(long, value_name = "FILE")]
    stdin: Option<PathBuf>,
    /// A file or a folder that every rank finds by this path in its working directory; any number.
    #[arg(long = "file", value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Where to put the files that rank 0 wrote.
    #[arg(long, value_name = "FOLDER")]
    save: Option<PathBuf>,
    /// Taken for the sake of scripts: more ranks than cores need no leave.
    #[arg(long, hide = true)]
    oversubscribe: bool,
    /// Taken for the sake of scripts.
    #[arg(long, hide = true)]
    allow_run_as_root: bool,
    /// The function, as USER/NAME, or a module's file: it is uploaded first, if it is not yet.
    #[arg(value_name = "PROGRAM")]
    program: String,
    /// What `main` is given after the function's name. After --, also what is an option of this
    /// command.
    #[arg(allow_hyphen_values = true, value_name = "ARGS")]
    args: Vec<String>,
    /// The rest of them.
    #[arg(last = true, value_name = "ARGS")]
    more: Vec<String>,
}

/// Runs a job; gives its result, for the exit code.
pub fn run(globals: &Globals, args: &MpirunArgs) -> Result<u8, CliError> {
    let client = Client::find(globals)?;
    let function = program::function(&client, &args.program)?;
    let input = bundle::input(&args.files, stdin(args)?)?;
    let path = path(&function, args);
    let within = args.timeout.unwrap_or(DEFAULT_DEADLINE).min(MAX_DEADLINE) + MARGIN;
    let opened = client.open(Ask { method: "POST", path: &path, body: &input, within })?;
    let call = opened.header(CALL_HEADER).to_owned();
    if call.is_empty() {
        let message = format!("the answer has no header {CALL_HEADER}: is this a faasm node?");
        return Err(CliError::new(Exit::Unreachable, message));
    }
    if !jobs::print(opened.body)? {
        eprintln!("faasm: the node that launched the job is gone; its record says how it ended");
    }
    let record = ended(&client, &call)?;
    if globals.json {
        out::json(&record)?;
    }
    if let (Some(_), Some(folder)) = (record.result, &args.save) {
        let output = client.ask(Ask::get(&format!("/v1/calls/{call}/output")))?.body;
        let count = bundle::save(output, folder)?;
        eprintln!("faasm: {count} files in {}", folder.display());
    }
    match (record.result, record.error) {
        (Some(result), _) => Ok(result),
        (None, Some(error)) => Err(CliError::answered(&ErrorView { call: Some(call), ..error })),
        (None, None) => {
            let message = format!("job {call} has not ended: see `faasm status {call}`");
            Err(CliError::new(Exit::TimedOut, message))
        }
    }
}

fn ended(client: &Client, call: &str) -> Result<CallView, CliError> {
    let path = format!("/v1/calls/{call}?wait={}ms", WAIT_STEP.as_millis());
    client.json(Ask { within: WAIT_STEP + MARGIN, ..Ask::get(&path) })
}

fn path(function: &FunctionKey, args: &MpirunArgs) -> String {
    let mut query = format!("mpi={}&stream", args.ranks);
    if let Some(map_by) = args.map_by {
        query.push_str(&format!("&map_by={map_by}"));
    }
    if !args.hosts.is_empty() {
        let hosts: Vec<_> = args.hosts.iter().map(Host::to_string).collect();
        query.push_str(&format!("&hosts={}", hosts.join(",")));
    }
    if args.tag_output {
        query.push_str("&tag_output");
    }
    if let Some(timeout) = args.timeout {
        query.push_str(&format!("&timeout={}ms", timeout.as_millis()));
    }
    for arg in args.args.iter().chain(&args.more) {
        query.push_str(&format!("&arg={}", encode(arg)));
    }
    format!("/v1/functions/{function}/invoke?{query}")
}

fn stdin(args: &MpirunArgs) -> Result<Vec<u8>, CliError> {
    match &args.stdin {
        Some(path) if path.as_os_str() != "-" => {
            let file = std::fs::File::open(path).map_err(|error| CliError::file(path, &error))?;
            read(file).map_err(|error| CliError::file(path, &error))
        }
        Some(_) => read(std::io::stdin()).map_err(failed),
        None if std::io::stdin().is_terminal() => Ok(Vec::new()),
        None => what_comes(),
    }
}

fn failed(error: std::io::Error) -> CliError {
    CliError::local(format!("stdin: {error}"))
}

/// All of stdin, unless it stays open without a word.
fn what_comes() -> Result<Vec<u8>, CliError> {
    let (says, heard) = mpsc::sync_channel(2);
    std::thread::spawn(move || {
        let mut first = [0];
        let begun = std::io::stdin().read(&mut first);
        let more = matches!(begun, Ok(1));
        // Nobody listens any more once it was too slow.
        let _told = says.send(begun.map(|len| first.get(..len).unwrap_or_default().to_vec()));
        if more {
            let _told = says.send(read(std::io::stdin()));
        }
    });
    let Ok(first) = heard.recv_timeout(SILENT) else { return Ok(Vec::new()) };
    let mut bytes = first.map_err(failed)?;
    if !bytes.is_empty() {
        bytes.extend(heard.recv().unwrap_or_else(|_| Ok(Vec::new())).map_err(failed)?);
    }
    Ok(bytes)
}

fn read(from: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_BLOB + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_BLOB {
        true => Err(std::io::Error::other(format!("larger than the {MAX_BLOB} bytes allowed"))),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: MpirunArgs,
    }

    fn parse(line: &[&str]) -> Result<MpirunArgs, clap::Error> {
        Line::try_parse_from([&["mpirun"], line].concat()).map(|line| line.args)
    }

    #[test]
    fn all_that_is_named_is_in_the_path() {
        let line = [
            "-n",
            "8",
            "--map-by",
            "node",
            "--hosts",
            "n1,n2:4",
            "--tag-output",
            "--timeout",
            "5s",
            "a/b",
            "--",
            "-x",
            "a b",
        ];
        let expected = "/v1/functions/a/b/invoke?mpi=8&stream&map_by=node&hosts=n1,n2:4\
                        &tag_output&timeout=5000ms&arg=-x&arg=a%20b";
        let key = FunctionKey::new("a", "b").unwrap();
        assert_eq!(path(&key, &parse(&line).unwrap()), expected);
        let plain = "/v1/functions/a/b/invoke?mpi=2&stream&arg=-s&arg=30";
        assert_eq!(path(&key, &parse(&["--np", "2", "./b", "-s", "30"]).unwrap()), plain);
    }

    #[test]
    fn what_cannot_be_is_refused_by_the_command_line() {
        for line in [
            &["a/b"][..],
            &["-n", "x", "a/b"],
            &["-n", "2", "--hosts", "n0:x", "a/b"],
            &["-n", "2", "--map-by", "core", "a/b"],
        ] {
            assert!(parse(line).is_err(), "{line:?} was taken");
        }
    }
}
