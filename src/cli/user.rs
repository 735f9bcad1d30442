//! `faasm user`: users, their limits and tokens.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};

use super::client::{ANSWER, Ask, Client};
use super::exit::CliError;
use super::table::{Table, size};
use super::{Globals, out};
use crate::config::units::parse_size;
use crate::gateway::query::encode;
use crate::gateway::user_query::parse_days;
use crate::gateway::user_view::{NewTokenView, UserView, UsersView, WhoamiView};
use crate::gateway::view::DeletedView;
use crate::id::Name;
use crate::wire::users::{Quotas, Role};

/// Arguments of `faasm user`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  faasm user add alice --functions 20 --running 100
  faasm user token alice --label laptop --expires 30d
  faasm user ls
  faasm user rm alice

Before the first user is added, a cluster on loopback takes every request for the admin's; from then
on every request needs a token. All but `whoami` is for admins.")]
pub struct UserArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a user; prints its first token, once.
    #[command(after_help = "\
Example:
  faasm user add alice --functions 20 --bytes 100MiB --running 100 --requests 50")]
    Add(PutArgs),
    /// Change a user's role or limits; what is not given stays.
    #[command(after_help = "\
Example:
  faasm user set alice --running 200 --requests 0")]
    Set(PutArgs),
    /// Remove a user with its tokens and functions; its calls are cancelled.
    #[command(after_help = "\
Example:
  faasm user rm alice")]
    Rm {
        /// The user.
        #[arg(value_parser = Name::new)]
        name: Name,
    },
    /// Make another token, or revoke some; a revoked one is refused at once everywhere.
    #[command(after_help = "\
Examples:
  faasm user token alice --label laptop --expires 30d
  faasm user token alice --revoke 0123456789ab")]
    Token(TokenArgs),
    /// List the users with their limits and tokens.
    #[command(after_help = "\
Example:
  faasm user ls")]
    Ls,
    /// Show whose the token is that this command line uses.
    #[command(after_help = "\
Example:
  faasm user whoami")]
    Whoami,
}

/// A user and its limits; 0 means none.
#[derive(Debug, Args)]
struct PutArgs {
    /// The user.
    #[arg(value_parser = Name::new)]
    name: Name,
    /// What it may do: `user` (its own functions and calls) or `admin` (everything).
    #[arg(long, value_name = "ROLE")]
    role: Option<Role>,
    /// Most functions.
    #[arg(long, value_name = "N")]
    functions: Option<u32>,
    /// Most bytes of modules, as in 100MiB.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    bytes: Option<u64>,
    /// Most calls alive at once, on each node.
    #[arg(long, value_name = "N")]
    running: Option<u32>,
    /// Most requests a second, at each node.
    #[arg(long, value_name = "N")]
    requests: Option<u32>,
}

#[derive(Debug, Args)]
struct TokenArgs {
    /// The user.
    #[arg(value_parser = Name::new)]
    name: Name,
    /// What to call the token.
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// After which time it is void, as in 12h or 30d; never, if not given.
    #[arg(long, value_name = "TIME", value_parser = parse_days)]
    expires: Option<Duration>,
    /// Revoke this token, by its id in `faasm user ls`.
    #[arg(long, value_name = "ID", conflicts_with_all = ["label", "expires", "all"])]
    revoke: Option<String>,
    /// Revoke all tokens of the user.
    #[arg(long, conflicts_with_all = ["label", "expires"])]
    all: bool,
}

/// Runs `faasm user`.
pub fn run(globals: &Globals, args: UserArgs) -> Result<(), CliError> {
    let client = Client::find(globals)?;
    match args.command {
        Command::Add(args) => {
            let path = format!("/v1/users/{}?{}", args.name, limits(&args));
            made(globals, client.json(ask("PUT", &path))?)
        }
        Command::Set(args) => {
            let path = format!("/v1/users/{}?{}", args.name, limits(&args));
            let user: UserView = client.json(ask("PATCH", &path))?;
            if globals.json { out::json(&user) } else { out::line(table(&[user])) }
        }
        Command::Rm { name } => {
            deleted(globals, &client, &format!("/v1/users/{name}"), "removed user")
        }
        Command::Token(args) => token(globals, &client, &args),
        Command::Ls => {
            let users: UsersView = client.json(Ask::get("/v1/users"))?;
            if globals.json { out::json(&users) } else { out::line(listing(&users.users)) }
        }
        Command::Whoami => {
            let me: WhoamiView = client.json(Ask::get("/v1/whoami"))?;
            if globals.json { out::json(&me) } else { out::line(whoami(&me)) }
        }
    }
}

fn ask<'a>(method: &'a str, path: &'a str) -> Ask<'a> {
    Ask { method, path, body: &[], within: ANSWER }
}

fn token(globals: &Globals, client: &Client, args: &TokenArgs) -> Result<(), CliError> {
    let path = format!("/v1/users/{}/tokens", args.name);
    if let Some(id) = &args.revoke {
        return deleted(globals, client, &format!("{path}/{}", encode(id)), "revoked token");
    }
    if args.all {
        return deleted(globals, client, &path, "revoked");
    }
    let mut query = format!("label={}", encode(args.label.as_deref().unwrap_or_default()));
    if let Some(expires) = args.expires {
        query.push_str(&format!("&expires={}ms", expires.as_millis()));
    }
    made(globals, client.json(ask("POST", &format!("{path}?{query}")))?)
}

fn deleted(globals: &Globals, client: &Client, path: &str, done: &str) -> Result<(), CliError> {
    let view: DeletedView = client.json(ask("DELETE", path))?;
    if globals.json { out::json(&view) } else { out::line(format!("{done}: {}", view.deleted)) }
}

/// Shows a new token: alone on stdout, so that a script can take it; the rest on stderr.
fn made(globals: &Globals, made: NewTokenView) -> Result<(), CliError> {
    if globals.json {
        return out::json(&made);
    }
    eprintln!(
        "The token of {} (id {}). It is shown this once: keep it, and use it with --token or \
         FAASM_TOKEN.",
        made.user, made.about.id
    );
    out::line(made.token)
}

/// What was given, as a query.
fn limits(args: &PutArgs) -> String {
    let mut query = Vec::new();
    args.role.iter().for_each(|role| query.push(format!("role={role}")));
    let counts = [
        ("functions", args.functions.map(u64::from)),
        ("bytes", args.bytes),
        ("running", args.running.map(u64::from)),
        ("requests", args.requests.map(u64::from)),
    ];
    for (name, count) in counts {
        count.iter().for_each(|count| query.push(format!("{name}={count}")));
    }
    query.join("&")
}

fn quotas(quotas: &Quotas) -> [String; 4] {
    let or_none = |shown: String, limit: u64| if limit == 0 { "-".to_owned() } else { shown };
    let count = |limit: u32| or_none(limit.to_string(), u64::from(limit));
    [
        count(quotas.functions),
        or_none(size(quotas.bytes), quotas.bytes),
        count(quotas.running),
        count(quotas.requests),
    ]
}

fn table(users: &[UserView]) -> Table {
    let headings = ["USER", "ROLE", "FUNCTIONS", "BYTES", "RUNNING", "REQUESTS/S", "TOKENS"];
    let mut table = Table::new(&headings);
    for user in users {
        let [functions, bytes, running, requests] = quotas(&user.quotas);
        let tokens = user.tokens.len().to_string();
        let (name, role) = (user.user.clone(), user.role.clone());
        table.row([name, role, functions, bytes, running, requests, tokens]);
    }
    table
}

fn listing(users: &[UserView]) -> String {
    let mut tokens = Table::new(&["TOKEN", "USER", "ENDS", "LABEL"]);
    for user in users {
        for token in &user.tokens {
            let ends = ends(token.expires_ms, now_ms());
            tokens.row([token.id.clone(), user.user.clone(), ends, token.label.clone()]);
        }
    }
    format!("{}\n\n{tokens}", table(users))
}

fn whoami(me: &WhoamiView) -> String {
    let by = match &me.token {
        Some(id) => format!("by token {id}"),
        None => "without a token: the cluster has no users yet".to_owned(),
    };
    let [functions, bytes, running, requests] = quotas(&me.quotas);
    let (user, role) = (&me.user, &me.role);
    format!(
        "{user} ({role}), {by}\nlimits: functions {functions}, bytes {bytes}, running calls \
         {running}, requests/s {requests}"
    )
}

/// When a token ends, from now.
fn ends(expires_ms: u64, now_ms: u64) -> String {
    match expires_ms.checked_sub(now_ms) {
        _ if expires_ms == 0 => "never".to_owned(),
        None | Some(0) => "expired".to_owned(),
        Some(left) if left >= 86_400_000 => format!("in {}d", left / 86_400_000),
        Some(left) if left >= 3_600_000 => format!("in {}h", left / 3_600_000),
        Some(left) => format!("in {}m", left.div_ceil(60_000)),
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::user_view::TokenView;

    #[test]
    fn users_and_tokens_are_listed() {
        let token = TokenView {
            id: "0123456789ab".into(),
            label: "laptop".into(),
            created_ms: 1,
            expires_ms: 0,
        };
        let quotas = Quotas { running: 100, bytes: 1 << 20, ..Quotas::default() };
        let (user, role) = ("alice".to_owned(), "user".to_owned());
        let alice = UserView { user, role, quotas, created_ms: 1, tokens: vec![token] };
        let text = listing(&[alice]);
        assert!(text.contains("alice  user  -          1.0MiB  100      -           1"), "{text}");
        assert!(text.contains("0123456789ab  alice  never  laptop"), "{text}");
    }

    #[test]
    fn the_end_of_a_token_is_told_from_now() {
        let day = 86_400_000;
        let cases =
            [(0, "never"), (5, "expired"), (10 + 30 * day, "in 30d"), (10 + 60_000, "in 1m")];
        for (expires, text) in cases {
            assert_eq!(ends(expires, 10), text);
        }
    }

    #[test]
    fn what_is_given_becomes_the_query() {
        let args = PutArgs {
            name: Name::new("alice").unwrap(),
            role: Some(Role::Admin),
            functions: None,
            bytes: Some(1024),
            running: Some(0),
            requests: None,
        };
        assert_eq!(limits(&args), "role=admin&bytes=1024&running=0");
    }
}
