//! `faasm upload`, `functions`, `delete`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::client::{ANSWER, Ask, Client};
use super::exit::CliError;
use super::table::{Table, size};
use super::{Globals, out};
use crate::config::units::{format_millis, format_size, parse_duration, parse_size};
use crate::files::MAX_BLOB;
use crate::gateway::view::{DeletedView, FunctionView, FunctionsView};
use crate::id::{FunctionKey, Name, NodeId};
use crate::wire::function::Policy;

/// Longest time for an upload to be compiled, stored and known: the node's own bounds, summed.
pub const UPLOAD: Duration = Duration::from_secs(390);

/// Arguments of `faasm upload`. What is not given has its default, which `faasm functions` shows.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  faasm upload alice/hello hello.wasm
  faasm upload alice/count count.wasm --memory 64MiB --run-time 10s --policy spread --retries 2")]
pub struct UploadArgs {
    /// What it will be called, as USER/NAME.
    #[arg(value_name = "USER/NAME")]
    function: FunctionKey,
    /// The module, as faasm-cc makes it.
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Memory of an instance, as in 64MiB.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory: Option<u64>,
    /// Longest run of one call, as in 10s.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    run_time: Option<Duration>,
    /// Largest output.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    output: Option<u64>,
    /// Largest log.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    log: Option<u64>,
    /// Most instances at once on one node.
    #[arg(long, value_name = "N")]
    instances: Option<u32>,
    /// How a node is chosen: bin-pack, spread or locality.
    #[arg(long, value_name = "P")]
    policy: Option<Policy>,
    /// How often a call runs again when its node dies: then at least once instead of at most once.
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// The only nodes that may run it.
    #[arg(long, value_name = "N1,N2", value_delimiter = ',')]
    pin: Vec<NodeId>,
}

/// Arguments of `faasm functions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  faasm functions alice")]
pub struct FunctionsArgs {
    /// Only this user's.
    user: Option<String>,
}

/// Arguments of `faasm delete`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  faasm delete alice/hello")]
pub struct DeleteArgs {
    /// The function, as USER/NAME.
    #[arg(value_name = "USER/NAME")]
    function: FunctionKey,
}

/// Uploads a module.
pub fn upload(globals: &Globals, args: &UploadArgs) -> Result<(), CliError> {
    let client = Client::find(globals)?;
    let failed = |error| CliError::file(&args.file, &error);
    let length = std::fs::metadata(&args.file).map_err(failed)?.len();
    if length > MAX_BLOB {
        let file = args.file.display();
        let message =
            format!("{file}: {length} bytes are more than a module may have ({MAX_BLOB})");
        return Err(CliError::local(message));
    }
    let module = std::fs::read(&args.file).map_err(failed)?;
    let path = path(args);
    let ask = Ask { method: "PUT", path: &path, body: &module, within: UPLOAD };
    let function: FunctionView = client.json(ask)?;
    match globals.json {
        true => out::json(&function),
        false => out::line(format!(
            "uploaded {}: version {}, {}, {}",
            function.function,
            function.version,
            size(function.size),
            function.hash
        )),
    }
}

/// Lists functions.
pub fn list(globals: &Globals, args: &FunctionsArgs) -> Result<(), CliError> {
    let path = match &args.user {
        None => "/v1/functions".to_owned(),
        Some(user) => {
            let user = Name::new(user)
                .map_err(|error| CliError::new(super::Exit::Usage, error.to_string()))?;
            format!("/v1/functions?user={user}")
        }
    };
    let functions: FunctionsView = Client::find(globals)?.json(Ask::get(&path))?;
    match globals.json {
        true => out::json(&functions),
        false => out::line(table(&functions)),
    }
}

/// Removes a function.
pub fn delete(globals: &Globals, args: &DeleteArgs) -> Result<(), CliError> {
    let path = format!("/v1/functions/{}", args.function);
    let ask = Ask { method: "DELETE", path: &path, body: &[], within: ANSWER };
    let deleted: DeletedView = Client::find(globals)?.json(ask)?;
    match globals.json {
        true => out::json(&deleted),
        false => out::line(format!("deleted {}", deleted.deleted)),
    }
}

fn path(args: &UploadArgs) -> String {
    let mut query = Vec::new();
    let sizes = [
        ("memory", args.memory),
        ("output", args.output),
        ("log", args.log),
        ("instances", args.instances.map(u64::from)),
        ("retries", args.retries.map(u64::from)),
    ];
    for (name, value) in sizes {
        query.extend(value.map(|value| format!("{name}={value}")));
    }
    query.extend(args.run_time.map(|time| format!("run_time={}ms", time.as_millis())));
    query.extend(args.policy.map(|policy| format!("policy={policy}")));
    if !args.pin.is_empty() {
        let pin: Vec<String> = args.pin.iter().map(NodeId::to_string).collect();
        query.push(format!("pin={}", pin.join(",")));
    }
    let mark = if query.is_empty() { "" } else { "?" };
    format!("/v1/functions/{}{mark}{}", args.function, query.join("&"))
}

fn table(view: &FunctionsView) -> Table {
    let headings =
        ["FUNCTION", "VERSION", "SIZE", "MEMORY", "RUN TIME", "POLICY", "RETRIES", "PIN", "HASH"];
    let mut table = Table::new(&headings);
    for function in &view.functions {
        let pin = function.pin.join(",");
        table.row([
            function.function.clone(),
            function.version.to_string(),
            size(function.size),
            format_size(function.limits.memory),
            format_millis(function.limits.run_ms),
            function.policy.clone(),
            function.retries.to_string(),
            if pin.is_empty() { "-".to_owned() } else { pin },
            function.hash.chars().take(12).collect(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::gateway::upload;
    use crate::wire::function::Limits;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: UploadArgs,
    }

    fn parse(line: &[&str]) -> UploadArgs {
        Line::try_parse_from([&["upload", "alice/count", "x.wasm"], line].concat()).unwrap().args
    }

    #[test]
    fn the_gateway_reads_every_option_as_it_was_meant() {
        let args = parse(&[
            "--memory",
            "64MiB",
            "--run-time",
            "10s",
            "--output",
            "2MiB",
            "--log",
            "0",
            "--instances",
            "5",
            "--policy",
            "spread",
            "--retries",
            "2",
            "--pin",
            "n1,3",
        ]);
        let path = path(&args);
        let (target, query) = path.split_once('?').unwrap();
        assert_eq!(target, "/v1/functions/alice/count");
        let (limits, options) = upload::parse(Some(query)).unwrap();
        let expected =
            Limits { memory: 64 << 20, run_ms: 10_000, output: 2 << 20, log: 0, instances: 5 };
        assert_eq!(limits, expected);
        assert_eq!((options.policy, options.retries), (Policy::Spread, 2));
        assert_eq!(options.pin, [NodeId(1), NodeId(3)]);
    }

    #[test]
    fn without_options_the_query_is_empty() {
        assert_eq!(path(&parse(&[])), "/v1/functions/alice/count");
    }

    #[test]
    fn functions_are_a_table() {
        let function = FunctionView {
            function: "alice/count".into(),
            hash: "ab".repeat(32),
            size: 2048,
            version: 7,
            uploaded_ms: 0,
            limits: Limits::default(),
            policy: "spread".into(),
            retries: 2,
            pin: vec!["n1".into(), "n2".into()],
        };
        let table = table(&FunctionsView { functions: vec![function] }).to_string();
        let expected = "\
FUNCTION     VERSION  SIZE    MEMORY  RUN TIME  POLICY  RETRIES  PIN    HASH
alice/count  7        2.0KiB  1GiB    5m        spread  2        n1,n2  abababababab";
        assert_eq!(table, expected);
    }
}
