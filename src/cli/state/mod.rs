//! `faasm state`, `faasm locks`, `faasm shards`.

pub mod tables;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};

use super::client::{ANSWER, Ask, Client};
use super::exit::CliError;
use super::table::size;
use super::transfer::{Source, Transfer, save};
use super::{Globals, out};
use crate::gateway::query::encode;
use crate::gateway::values::view::{InfoView, ValueView, ValuesView};
use crate::gateway::view::DeletedView;
use crate::id::Name;
use crate::wire::shards::{MAX_KEY, StateKey};

/// Values asked for at once.
const PAGE: usize = 1000;

/// Arguments of `faasm state`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  faasm state put alice/model model.bin
  faasm state get alice/model --offset 4096 --len 100 -o part.bin
  faasm state info alice/model
  faasm state ls alice")]
pub struct StateArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List a user's values.
    #[command(after_help = "\
Examples:
  faasm state ls alice
  faasm state ls alice/models/ --limit 20")]
    Ls {
        /// Whose; after a slash, how the keys begin.
        #[arg(value_name = "USER[/PREFIX]")]
        of: String,
        /// Only keys behind this one.
        #[arg(long, value_name = "KEY")]
        after: Option<String>,
        /// Most values listed.
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        limit: usize,
    },
    /// Print a value, or a range of it.
    #[command(after_help = "\
Examples:
  faasm state get alice/model -o model.bin
  faasm state get alice/model --offset 4096 --len 100 > part.bin")]
    Get {
        /// The value.
        #[arg(value_name = "USER/KEY")]
        value: Value,
        /// Write it to a file instead of stdout.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// From this byte on.
        #[arg(long, value_name = "N")]
        offset: Option<u64>,
        /// At most so many bytes.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        len: Option<u64>,
        #[command(flatten)]
        conditions: Conditions,
    },
    /// Write a value: all of it is seen at once, or nothing.
    #[command(after_help = "\
Examples:
  faasm state put alice/model model.bin
  faasm state put alice/model part.bin --offset 4096
  faasm state put alice/model - --if-none-match *")]
    Put {
        /// The value.
        #[arg(value_name = "USER/KEY")]
        value: Value,
        /// What it is to be; - for stdin.
        #[arg(value_name = "FILE", default_value = "-")]
        file: PathBuf,
        /// Write into the value from this byte on, and leave the rest.
        #[arg(long, value_name = "N")]
        offset: Option<u64>,
        #[command(flatten)]
        conditions: Conditions,
    },
    /// Remove a value.
    #[command(after_help = "\
Example:
  faasm state rm alice/model --if-match 1a-2b")]
    Rm {
        /// The value.
        #[arg(value_name = "USER/KEY")]
        value: Value,
        #[command(flatten)]
        conditions: Conditions,
    },
    /// Show size, version, owner and copies of a value, and who holds its lock.
    #[command(after_help = "\
Example:
  faasm state info alice/model")]
    Info {
        /// The value.
        #[arg(value_name = "USER/KEY")]
        value: Value,
    },
}

/// What must be so, else nothing is done.
#[derive(Debug, Default, Args)]
struct Conditions {
    /// Only if the value is at this version, as `info` prints it; * for any.
    #[arg(long, value_name = "VERSION")]
    if_match: Option<String>,
    /// Only if the value is not at this version; * if there must be none.
    #[arg(long, value_name = "VERSION")]
    if_none_match: Option<String>,
}

impl Conditions {
    fn headers(&self) -> Vec<(&'static str, String)> {
        let both = [("if-match", &self.if_match), ("if-none-match", &self.if_none_match)];
        let quoted = |tag: &String| match tag == "*" || tag.contains('"') {
            true => tag.clone(),
            false => format!("\"{tag}\""),
        };
        both.iter().filter_map(|(name, tag)| Some((*name, quoted(tag.as_ref()?)))).collect()
    }
}

/// A value's name, as `USER/KEY`; the key may hold more slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Value(StateKey);

impl FromStr for Value {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (user, key) = text.split_once('/').ok_or("a value is written as USER/KEY")?;
        let user = Name::new(user).map_err(|error| error.to_string())?;
        let key = StateKey { user: user.to_string(), key: key.to_owned() };
        match key.is_valid() {
            true => Ok(Self(key)),
            false => Err(format!("a key has 1 to {MAX_KEY} bytes, none of them NUL")),
        }
    }
}

impl Value {
    fn path(&self) -> String {
        format!("/v1/state/{}/{}", self.0.user, encode(&self.0.key))
    }
}

/// Runs `faasm state`.
pub fn run(globals: &Globals, args: StateArgs) -> Result<(), CliError> {
    match args.command {
        Command::Ls { of, after, limit } => list(globals, &of, after, limit),
        Command::Get { value, output, offset, len, conditions } => {
            let mut headers = conditions.headers();
            headers.extend(range(offset, len).map(|range| ("range", range)));
            let path = value.path();
            let source = Source::Nothing;
            let asked = Transfer { method: "GET", path: &path, headers: &headers, source };
            save(Client::find(globals)?.transfer(&asked)?, output.as_deref())
        }
        Command::Put { value, file, offset, conditions } => {
            let mut path = value.path();
            path.extend(offset.map(|offset| format!("?offset={offset}")));
            let view: ValueView = change(globals, "PUT", &path, &conditions, Source::named(&file))?;
            match globals.json {
                true => out::json(&view),
                false => {
                    let version = view.etag.trim_matches('"');
                    out::line(format!("wrote {}: {}, version {version}", value.0, size(view.size)))
                }
            }
        }
        Command::Rm { value, conditions } => {
            let gone: DeletedView =
                change(globals, "DELETE", &value.path(), &conditions, Source::Nothing)?;
            match globals.json {
                true => out::json(&gone),
                false => out::line(format!("deleted {}", gone.deleted)),
            }
        }
        Command::Info { value } => {
            let info: InfoView =
                Client::find(globals)?.json(Ask::get(&format!("{}?info", value.path())))?;
            match globals.json {
                true => out::json(&info),
                false => out::line(tables::info(&info)),
            }
        }
    }
}

fn change<T: serde::de::DeserializeOwned>(
    globals: &Globals,
    method: &str,
    path: &str,
    conditions: &Conditions,
    source: Source,
) -> Result<T, CliError> {
    let headers = conditions.headers();
    let asked = Transfer { method, path, headers: &headers, source };
    let mut coming = Client::find(globals)?.transfer(&asked)?;
    coming.body_mut().read_json().map_err(|error| {
        let message = format!("the answer is not what this version of faasm reads: {error}");
        CliError::new(super::Exit::Unreachable, message)
    })
}

/// Lists, page by page.
fn list(
    globals: &Globals,
    of: &str,
    mut after: Option<String>,
    limit: usize,
) -> Result<(), CliError> {
    let (user, prefix) = of.split_once('/').unwrap_or((of, ""));
    let user =
        Name::new(user).map_err(|error| CliError::new(super::Exit::Usage, error.to_string()))?;
    let client = Client::find(globals)?;
    let mut all = ValuesView { values: Vec::new(), next: None };
    while all.values.len() < limit {
        let page = PAGE.min(limit - all.values.len());
        let mut path = format!("/v1/state/{user}?limit={page}&prefix={}", encode(prefix));
        path.extend(after.iter().map(|after| format!("&after={}", encode(after))));
        let ask = Ask { within: ANSWER, ..Ask::get(&path) };
        let more: ValuesView = client.json(ask)?;
        all.values.extend(more.values);
        all.next = more.next;
        after = all.next.clone();
        if after.is_none() {
            break;
        }
    }
    match globals.json {
        true => out::json(&all),
        false => out::line(tables::values(&all)),
    }
}

/// The header for a range; none for the whole.
fn range(offset: Option<u64>, len: Option<u64>) -> Option<String> {
    match (offset, len) {
        (None, None) => None,
        (Some(from), None) => Some(format!("bytes={from}-")),
        (from, Some(len)) => {
            let from = from.unwrap_or(0);
            Some(format!("bytes={from}-{}", from.saturating_add(len - 1)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_values_become_paths_that_mean_the_same() {
        for (text, path) in [
            ("alice/k", "/v1/state/alice/k"),
            ("alice/a/b", "/v1/state/alice/a%2Fb"),
            ("alice//a?#%", "/v1/state/alice/%2Fa%3F%23%25"),
            ("alice/ä b", "/v1/state/alice/%C3%A4%20b"),
        ] {
            assert_eq!(text.parse::<Value>().unwrap().path(), path);
        }
        let long = format!("alice/{}", "x".repeat(MAX_KEY + 1));
        for text in ["alice", "alice/", "/k", "a b/k", &long] {
            assert!(text.parse::<Value>().is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_and_conditions_become_headers() {
        assert_eq!(range(None, None), None);
        assert_eq!(range(Some(5), None).unwrap(), "bytes=5-");
        assert_eq!(range(None, Some(5)).unwrap(), "bytes=0-4");
        assert_eq!(range(Some(10), Some(1)).unwrap(), "bytes=10-10");
        let both = Conditions { if_match: Some("1a-2b".into()), if_none_match: Some("*".into()) };
        let expected = [("if-match", "\"1a-2b\"".to_owned()), ("if-none-match", "*".to_owned())];
        assert_eq!(both.headers(), expected);
        let quoted = Conditions { if_match: Some("\"1a\"".into()), ..Default::default() };
        assert_eq!(quoted.headers(), [("if-match", "\"1a\"".to_owned())]);
    }
}
