//! `faasm mpirun`.

use std::ffi::OsString;
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
terminal, is read to its end and given to rank 0. One that is open and silent when the job begins is
not waited for, and if it speaks later, the job ends with an error: --stdin - waits.
The exit code is the job's: 0 when all ranks ended with 0, else that of the first that did not, or
the code of MPI_Abort. When this command ends before the job, so does the job.

Examples:
  faasm mpirun -n 8 ./jacobi.wasm 1024 400
  faasm mpirun -n 8 alice/jacobi
  faasm mpirun -n 8 --map-by node --tag-output -x DEBUG=1 alice/jacobi -- 1024 400
  faasm mpirun -n 4 --file in.lj --file pots --save results ./md.wasm -i in.lj
  faasm mpirun -n 6 --hosts n1,n2:4 --stdin input.txt alice/solver")]
pub struct MpirunArgs {
    /// How many ranks.
    #[arg(short = 'n', short_alias = 'c', long = "np", value_name = "N")]
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
    /// A variable of the environment of all ranks; NAME alone has the value that it has here. Any
    /// number.
    #[arg(short = 'x', value_name = "NAME[=VALUE]")]
    environment: Vec<String>,
    /// Where to put the files that ranks wrote. Where several wrote different ones of one name, that
    /// of the lowest rank has it, and the others have .rank1 and so on at its end.
    #[arg(long, value_name = "FOLDER")]
    save: Option<PathBuf>,
    /// Taken for the sake of scripts: more ranks than cores need no leave.
    #[arg(long, hide = true)]
    oversubscribe: bool,
    /// Taken for the sake of scripts.
    #[arg(long, hide = true)]
    allow_run_as_root: bool,
    /// The function, as USER/NAME, or a module's file, which is uploaded first, if it is not yet; and
    /// what `main` is given after its name. All that comes after the program is its own; where there
    /// is a -- among it, what is between the program and that are options of mpirun.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        num_args = 1..,
        value_names = ["PROGRAM", "ARGS"]
    )]
    command: Vec<String>,
}

impl MpirunArgs {
    /// The words of a command line whose options stand between the program and a `--`, with those
    /// before the program; `None` if there are none.
    pub fn reordered(&self, words: &[OsString]) -> Option<Vec<OsString>> {
        let options = self.command.iter().skip(1).position(|word| word == "--")?;
        let (before, command) =
            words.split_at_checked(words.len().checked_sub(self.command.len())?)?;
        let (program, rest) = command.split_first()?;
        let (options, own) = rest.split_at_checked(options)?;
        if options.is_empty() || program == "--" || before.last().is_some_and(|word| word == "--") {
            return None;
        }
        Some([before, options, std::slice::from_ref(program), own].concat())
    }

    /// The program, and what it is given.
    fn program(&self) -> Result<(&str, &[String]), CliError> {
        let command = match &self.command[..] {
            [dashes, rest @ ..] if dashes == "--" => rest,
            all => all,
        };
        let Some((program, args)) = command.split_first() else {
            return Err(CliError::new(Exit::Usage, "a program is missing: USER/NAME, or a file"));
        };
        if program.starts_with('-') {
            let message = format!("{program} is no option of mpirun: see faasm mpirun --help");
            return Err(CliError::new(Exit::Usage, message));
        }
        match args {
            [dashes, rest @ ..] if dashes == "--" => Ok((program, rest)),
            all => Ok((program, all)),
        }
    }
}

/// Runs a job; gives its result, for the exit code.
pub fn run(globals: &Globals, args: &MpirunArgs) -> Result<u8, CliError> {
    let (program, given) = args.program()?;
    let client = Client::find(globals)?;
    let function = program::function(&client, program)?;
    let input = bundle::input(&args.environment, &args.files, stdin(args)?)?;
    let path = path(&function, args, given);
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

fn path(function: &FunctionKey, args: &MpirunArgs, given: &[String]) -> String {
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
    for arg in given {
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
        let told = says.send(begun.map(|len| first.get(..len).unwrap_or_default().to_vec()));
        if told.is_err() && more {
            // The job runs without what comes now: it would be wrong in silence.
            let late = "stdin was silent when the job began, and speaks now: the job ends, for it would \
                        miss that; --stdin - has it wait for all of stdin";
            eprintln!("faasm: error: {late}");
            std::process::exit(i32::from(Exit::Usage as u8));
        }
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
        let path_of = |line: &[&str]| {
            let args = parse(line).unwrap();
            path(&key, &args, args.program().unwrap().1)
        };
        assert_eq!(path_of(&line), expected);
        let plain = "/v1/functions/a/b/invoke?mpi=2&stream&arg=-s&arg=30";
        let set = parse(&["-c", "2", "-x", "A=1", "-x", "B", "a/b", "-x", "c"]).unwrap();
        assert_eq!((set.ranks, set.environment), (2, vec!["A=1".to_owned(), "B".to_owned()]));
        assert_eq!(path_of(&["--np", "2", "./b", "-s", "30"]), plain);
        // What comes after the program is its own.
        let own = "/v1/functions/a/b/invoke?mpi=2&stream&arg=-n&arg=9&arg=--&arg=--help";
        assert_eq!(path_of(&["-n", "2", "a/b", "--", "-n", "9", "--", "--help"]), own);
        assert_eq!(path_of(&["-n", "2", "--", "a/b", "--", "-n", "9", "--", "--help"]), own);
    }

    #[test]
    fn options_may_stand_between_the_program_and_two_dashes() {
        let reordered = |line: &[&str]| {
            let words: Vec<OsString> = ["mpirun"].iter().chain(line).map(OsString::from).collect();
            parse(line).unwrap().reordered(&words)
        };
        let expected = ["mpirun", "-n", "2", "--timeout", "5s", "a/b", "--", "-x", "--", "1"];
        let line = ["-n", "2", "a/b", "--timeout", "5s", "--", "-x", "--", "1"];
        assert_eq!(reordered(&line), Some(expected.map(OsString::from).to_vec()));
        for line in [
            &["-n", "2", "a/b"][..],
            &["-n", "2", "a/b", "-s", "30"],
            &["-n", "2", "a/b", "--", "-s", "--", "30"],
            &["-n", "2", "--", "a/b", "-s", "--", "30"],
        ] {
            assert_eq!(reordered(line), None, "{line:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_the_command_line() {
        for line in [
            &["a/b"][..],
            &["-n", "x", "a/b"],
            &["-n", "2", "--hosts", "n0:x", "a/b"],
            &["-n", "2", "--map-by", "core", "a/b"],
            &["-n", "2", "-x"],
        ] {
            assert!(parse(line).is_err(), "{line:?} was taken");
        }
        for line in
            [&["-n", "2", "--bogus", "a/b"][..], &["-n", "2", "-q", "a/b"], &["-n", "2", "--"]]
        {
            let parsed = parse(line);
            assert!(
                parsed.is_err() || parsed.is_ok_and(|args| args.program().is_err()),
                "{line:?}"
            );
        }
    }
}
