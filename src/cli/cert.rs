//! `faasm cert`: certificates. `rotate`, `ls` and `ca` ask a running cluster; `init` and `issue` make
//! them offline, for a cluster whose file is made by hand.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::authority;
use super::client::{self, Ask, Client};
use super::cluster::interrupt::Interrupt;
use super::exit::CliError;
use super::table::{Table, or_dash, yes_no};
use super::{Globals, out, secret};
use crate::gateway::certs::{CertView, CertsView, RotatedView};
use crate::id::{ClusterId, NodeId};
use crate::net::{CertificateAuthority, IdentityError};
use crate::wire::members::TokenHash;
use crate::wire::token;

/// Arguments of `faasm cert`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  faasm cert ls
  faasm cert rotate
  faasm cert ca > ca.pem

`faasm cluster up`, `faasm node --bootstrap` and `--join` make certificates by themselves. `init` and
`issue` are for a cluster whose file is made by hand: a node reads its certificate from `certs` in
its data directory.")]
pub struct CertArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the authority of a new cluster and its admin's token, and print what its file needs.
    #[command(after_help = "\
Example:
  faasm cert init --dir ca

The file has the token's hash only; the token, in admin.token, is what clients show. A founder that
has ca-key.pem beside its certificate makes the authority known to the cluster when it begins: then
nodes can join and certificates be rotated.")]
    Init {
        /// Where the authority's certificate and key and the token go.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Make the certificate and key of one node.
    #[command(after_help = "\
Example:
  faasm cert issue --dir ca --node 1 --ip 10.0.0.1 --out n1/certs")]
    Issue {
        /// Where the authority is.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// The node's id.
        #[arg(long, value_name = "N")]
        node: NodeId,
        /// Its addresses.
        #[arg(long, value_name = "IP", value_delimiter = ',', required = true)]
        ip: Vec<IpAddr>,
        /// Where the node's certificate and key go, with the authority's certificate.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Give all nodes of a running cluster new keys and certificates; the old ones are revoked.
    #[command(after_help = "\
Examples:
  faasm cert rotate
  faasm cert rotate --authority

No connection is lost. A node that is down follows when it is back, also after a change of the
authority; --finish locks out those that do not come back, and their ids: let them join again.
With --authority open join tokens are void. What a local cluster's directory has of the authority is
replaced too; other clients need it from `faasm cert ca`.")]
    Rotate {
        /// Replace the authority too. Clients need the new one: see `faasm cert ca`.
        #[arg(long, conflicts_with = "finish")]
        authority: bool,
        /// End a change of the authority without the nodes that are down.
        #[arg(long)]
        finish: bool,
        /// How many seconds to wait until all nodes that are up have followed.
        #[arg(long, value_name = "S", default_value_t = 60)]
        timeout: u64,
    },
    /// List the certificates of a running cluster.
    #[command(after_help = "\
Example:
  faasm cert ls")]
    Ls,
    /// Print the authority's certificate, which clients are to trust.
    #[command(after_help = "\
Example:
  faasm cert ca > ca.pem")]
    Ca,
}

#[derive(Debug, Serialize)]
struct InitView {
    cluster: String,
    admin_token_hash: String,
    dir: PathBuf,
}

#[derive(Debug, Serialize)]
struct IssueView {
    node: String,
    dir: PathBuf,
}

/// Runs `faasm cert`.
pub fn run(globals: &Globals, args: &CertArgs) -> Result<(), CliError> {
    match &args.command {
        Command::Init { dir } => init(globals, dir),
        Command::Issue { dir, node, ip, out } => {
            issue(dir, *node, ip, out)?;
            let view = IssueView { node: node.to_string(), dir: out.clone() };
            let text = format!("made the certificate of {node} in {}", out.display());
            if globals.json { out::json(&view) } else { out::line(text) }
        }
        Command::Rotate { authority, finish, timeout } => {
            let flag = match (authority, finish) {
                (true, _) => AUTHORITY,
                (_, true) => "?finish",
                _ => "",
            };
            rotate(globals, flag, Duration::from_secs(*timeout))
        }
        Command::Ls => {
            let view: CertsView = Client::find(globals)?.json(Ask::get("/v1/certs"))?;
            if globals.json { out::json(&view) } else { out::line(listing(&view)) }
        }
        Command::Ca => {
            let reply = Client::find(globals)?.ask(Ask::get("/v1/certs/ca"))?;
            out::line(String::from_utf8_lossy(&reply.body).trim_end())
        }
    }
}

fn init(globals: &Globals, dir: &Path) -> Result<(), CliError> {
    let cluster = ClusterId::random();
    create_authority(cluster, dir)?;
    let token = token::draw();
    secret::write(&dir.join("admin.token"), &token)?;
    let hash = TokenHash::of(&token).to_string();
    let text = format!(
        "made the authority of cluster {cluster} in {0}, and its admin's token in \
         {0}/admin.token; the cluster file needs\n\
         id = \"{cluster}\"\n\
         admin_token_hash = \"{hash}\"",
        dir.display()
    );
    let view =
        InitView { cluster: cluster.to_string(), admin_token_hash: hash, dir: dir.to_owned() };
    if globals.json { out::json(&view) } else { out::line(text) }
}

/// Asks for a new authority.
const AUTHORITY: &str = "?authority";
/// How often the nodes are looked at while they follow.
const LOOK: Duration = Duration::from_millis(200);

fn rotate(globals: &Globals, flag: &str, timeout: Duration) -> Result<(), CliError> {
    let client = Client::find(globals)?;
    let path = format!("/v1/certs/rotate{flag}");
    let ask = Ask { method: "POST", path: &path, body: &[], within: client::ANSWER };
    let rotated: RotatedView = client.json(ask)?;
    // At once: what this waits for may not come before it is interrupted.
    authority::keep_certificate(globals, &client)?;
    let until = Instant::now() + timeout;
    let interrupt = Interrupt::watch()?;
    loop {
        let view: CertsView = client.json(Ask::get("/v1/certs"))?;
        let behind = behind(&view, rotated.generation);
        if behind.is_empty() {
            let kept = authority::keep_all(globals, &client)?;
            let mut text = done_text(&view, rotated.generation);
            if flag == AUTHORITY {
                text += &format!("\nopen join tokens are void now\n{kept}");
            }
            return if globals.json { out::json(&view) } else { out::line(text) };
        }
        if Instant::now() >= until || interrupt.wait(LOOK) {
            return Err(CliError::local(format!(
                "not all nodes have new certificates yet: {} still to follow; they go on, and \
                 `faasm cert ls` shows how far they are",
                behind.join(", ")
            )));
        }
    }
}

/// The nodes that are up and do not yet show a certificate of this generation, or may still show
/// an older one.
fn behind(view: &CertsView, generation: u64) -> Vec<String> {
    let follows = |node: &CertView| {
        let newest = node.generation.is_some_and(|shown| shown >= generation);
        newest && node.key.as_ref().is_some_and(|key| node.registered == [key.clone()])
    };
    let late = view.nodes.iter().filter(|node| node.live && !follows(node));
    late.map(|node| node.node.clone()).collect()
}

fn done_text(view: &CertsView, generation: u64) -> String {
    let down: Vec<&str> =
        view.nodes.iter().filter(|node| !node.live).map(|node| node.node.as_str()).collect();
    let mut text = format!("all nodes that are up show certificates of generation {generation}");
    if !down.is_empty() {
        text += &format!("; {} follow when they are back", down.join(", "));
    }
    if view.replacing && !down.is_empty() {
        text += ", and the authority before is trusted until then";
    }
    text
}

fn listing(view: &CertsView) -> String {
    let headings = ["NODE", "LIVE", "GENERATION", "ISSUED", "KEY", "REGISTERED"];
    let mut table = Table::new(&headings);
    for node in &view.nodes {
        table.row([
            node.node.clone(),
            yes_no(node.live),
            or_dash(node.generation),
            or_dash(node.issued_ms.filter(|ms| *ms > 0).map(|ms| clock(ms / 1000))),
            or_dash(node.key.as_ref()),
            node.registered.join(" "),
        ]);
    }
    let authority = match (view.generation, view.replacing) {
        (0, _) => "the cluster does not have its authority's key".to_owned(),
        (generation, false) => format!("authority: generation {generation}"),
        (generation, true) => {
            format!("authority: generation {generation}; the one before is trusted too")
        }
    };
    format!("{table}\n\n{authority}")
}

/// Seconds since 1970 as a time of the day in UTC, as in `2026-01-31T12:00:00Z`.
fn clock(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // The calendar repeats every 400 years, of 146,097 days; years begin in March here, so that a
    // leap day is the last of its year.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Makes the authority of a cluster in `dir`, which must not have one.
pub fn create_authority(cluster: ClusterId, dir: &Path) -> Result<(), CliError> {
    CertificateAuthority::create(cluster).and_then(|ca| ca.save(dir)).map_err(failed)
}

/// Makes a node's certificate in `out`, by the authority in `dir`.
pub fn issue(dir: &Path, node: NodeId, ips: &[IpAddr], out: &Path) -> Result<(), CliError> {
    let authority = CertificateAuthority::load(dir).map_err(failed)?;
    authority.issue(node, ips).and_then(|identity| identity.save(out)).map_err(failed)
}

fn failed(error: IdentityError) -> CliError {
    CliError::local(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Identity;

    fn view(node: &str, live: bool, generation: u64, registered: &[&str]) -> CertView {
        CertView {
            node: node.into(),
            live,
            generation: Some(generation),
            issued_ms: Some(1_000_000_000_000),
            key: Some("aa".into()),
            registered: registered.iter().map(|key| (*key).to_owned()).collect(),
        }
    }

    #[test]
    fn a_rotation_is_done_when_all_that_are_up_show_new_keys_and_no_old_one_is_left() {
        let nodes = vec![
            view("n1", true, 2, &["aa"]),
            view("n2", true, 1, &["aa"]),
            view("n3", true, 2, &["bb", "aa"]),
            view("n4", false, 1, &["aa"]),
        ];
        let certs = CertsView { generation: 2, replacing: false, nodes };
        assert_eq!(behind(&certs, 2), ["n2", "n3"]);
    }

    #[test]
    fn certificates_are_a_table() {
        let nodes = vec![view("n1", true, 2, &["aa"])];
        let text = listing(&CertsView { generation: 2, replacing: true, nodes });
        let expected = "\
NODE  LIVE  GENERATION  ISSUED                KEY  REGISTERED
n1    yes   2           2001-09-09T01:46:40Z  aa   aa

authority: generation 2; the one before is trusted too";
        assert_eq!(text, expected);
        assert_eq!(clock(951_827_696), "2000-02-29T12:34:56Z");
    }

    #[test]
    fn a_node_gets_what_it_reads() {
        let dir = tempfile::tempdir().unwrap();
        let (ca, node) = (dir.path().join("ca"), dir.path().join("n1/certs"));
        create_authority(ClusterId::random(), &ca).unwrap();
        issue(&ca, NodeId(1), &["127.0.0.1".parse().unwrap()], &node).unwrap();
        assert!(Identity::load(&node).is_ok());
        let error = create_authority(ClusterId::random(), &ca).unwrap_err();
        assert!(error.message.contains("exists"), "{error}");
        let none = dir.path().join("none");
        assert!(issue(&none, NodeId(1), &[], &node).is_err());
    }
}
