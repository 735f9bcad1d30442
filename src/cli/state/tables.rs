//! `faasm locks` and `faasm shards`, and how values look in tables.

use std::collections::BTreeMap;

use clap::Args;

use crate::cli::client::{Ask, Client};
use crate::cli::exit::CliError;
use crate::cli::table::{Table, or_dash, size, yes_no};
use crate::cli::{Globals, out};
use crate::gateway::query::encode;
use crate::gateway::values::view::{
    HolderView, InfoView, LockView, LocksView, ShardView, ShardsView, ValuesView,
};

/// Arguments of `faasm locks`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  faasm locks
  faasm locks alice --json")]
pub struct LocksArgs {
    /// Only on this user's values.
    user: Option<String>,
}

/// Arguments of `faasm shards`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  faasm shards
  faasm shards --all")]
pub struct ShardsArgs {
    /// Every shard, not only how many each node has.
    #[arg(long)]
    all: bool,
}

/// Lists locks.
pub fn locks(globals: &Globals, args: &LocksArgs) -> Result<(), CliError> {
    let user = args.user.as_ref().map(|user| format!("?user={}", encode(user)));
    let path = format!("/v1/locks{}", user.unwrap_or_default());
    let locks: LocksView = Client::find(globals)?.json(Ask::get(&path))?;
    match globals.json {
        true => out::json(&locks),
        false => out::line(lock_table(&locks.locks)),
    }
}

/// Lists shards.
pub fn shards(globals: &Globals, args: &ShardsArgs) -> Result<(), CliError> {
    let shards: ShardsView = Client::find(globals)?.json(Ask::get("/v1/shards"))?;
    match (globals.json, args.all) {
        (true, _) => out::json(&shards),
        (_, true) => out::line(shard_table(&shards.shards)),
        _ => out::line(format!("{}\n\n{}", by_node(&shards.shards), sync(&shards.shards))),
    }
}

/// What there is to say of a value.
pub fn info(info: &InfoView) -> Table {
    let mut table = Table::bare();
    let mut line = |name: &str, value: String| table.row([name.to_owned(), value]);
    line("value", format!("{}/{}", info.user, info.key));
    line("size", format!("{} ({} bytes)", size(info.size), info.size));
    line("version", info.etag.trim_matches('"').to_owned());
    line("appended", format!("{} elements", info.appended));
    if let Some(shard) = &info.shard {
        line("shard", format!("{}, epoch {}", shard.shard, shard.epoch));
        line("owner", shard.owner.clone());
        line("in sync", shard.in_sync.join(" "));
    }
    let copy = info.copies.iter().map(|copy| {
        let mapped = if copy.mapped { ", mapped" } else { "" };
        format!("{} ({}{mapped})", copy.node, size(copy.bytes))
    });
    let copies: Vec<String> = copy.collect();
    line("copies in memory", or_dash(Some(copies.join(" ")).filter(|copies| !copies.is_empty())));
    line("lock", or_dash(info.lock.as_ref().map(|lock| lock.mode.as_str())));
    if let Some(lock) = &info.lock {
        lock.holders.iter().for_each(|holder| line("held by", holder_text(holder)));
        for waiter in &lock.waiters {
            let text = format!("{} on {}, for {}", waiter.call, waiter.node, waiter.mode);
            line("waits", text);
        }
    }
    table
}

/// Values in a list.
pub fn values(view: &ValuesView) -> Table {
    let mut table = Table::new(&["VALUE", "SIZE", "VERSION"]);
    for value in &view.values {
        let name = format!("{}/{}", value.user, value.key);
        table.row([name, size(value.size), value.etag.trim_matches('"').to_owned()]);
    }
    if let Some(next) = &view.next {
        table.row([format!("... more: --after {next}"), String::new(), String::new()]);
    }
    table
}

fn holder_text(holder: &HolderView) -> String {
    format!("{} on {}, token {}", holder.call, holder.node, holder.token)
}

fn lock_table(locks: &[LockView]) -> Table {
    let mut table = Table::new(&["VALUE", "MODE", "CALL", "NODE", "TOKEN"]);
    for lock in locks {
        let name = format!("{}/{}", lock.user, lock.key);
        for holder in &lock.holders {
            let token = holder.token.to_string();
            let (call, node) = (holder.call.clone(), holder.node.clone());
            table.row([name.clone(), lock.mode.clone(), call, node, token]);
        }
        for waiter in &lock.waiters {
            let mode = format!("waits: {}", waiter.mode);
            let (call, node) = (waiter.call.clone(), waiter.node.clone());
            table.row([name.clone(), mode, call, node, "-".to_owned()]);
        }
    }
    table
}

fn shard_table(shards: &[ShardView]) -> Table {
    let mut table = Table::new(&["SHARD", "OWNER", "EPOCH", "IN SYNC", "TARGETS", "AS WANTED"]);
    for shard in shards {
        table.row([
            shard.shard.to_string(),
            shard.owner.clone(),
            shard.epoch.to_string(),
            shard.in_sync.join(" "),
            shard.targets.join(" "),
            yes_no(as_wanted(shard)),
        ]);
    }
    table
}

/// How many shards each node owns, and holds copies of.
fn by_node(shards: &[ShardView]) -> Table {
    let mut nodes: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for shard in shards {
        nodes.entry(&shard.owner).or_default().0 += 1;
        for node in &shard.in_sync {
            nodes.entry(node).or_default().1 += 1;
        }
    }
    let mut table = Table::new(&["NODE", "OWNS", "IN SYNC"]);
    for (node, (owns, copies)) in nodes {
        table.row([node.to_owned(), owns.to_string(), copies.to_string()]);
    }
    table
}

/// Whether a shard is where it should be.
fn as_wanted(shard: &ShardView) -> bool {
    let all = shard.targets.iter().all(|target| shard.in_sync.contains(target));
    all && shard.targets.first() == Some(&shard.owner)
}

fn sync(shards: &[ShardView]) -> String {
    let moving = shards.iter().filter(|shard| !as_wanted(shard)).count();
    match (shards.len(), moving) {
        (0, _) => "there are no shards yet".to_owned(),
        (all, 0) => format!("all {all} shards are where they should be"),
        (all, moving) => format!("{moving} of {all} shards are on their way"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::values::view::WaiterView;

    fn shard(id: u16, owner: &str, in_sync: &[&str]) -> ShardView {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let (owner, in_sync) = (owner.to_owned(), names(in_sync));
        ShardView { shard: id, epoch: 1, owner, in_sync, targets: names(&["n1", "n2"]) }
    }

    #[test]
    fn shards_are_counted_by_node_and_those_on_their_way_are_told() {
        let shards = [shard(0, "n1", &["n1", "n2"]), shard(1, "n2", &["n2"])];
        let expected = "NODE  OWNS  IN SYNC\nn1    1     1\nn2    1     2";
        assert_eq!(by_node(&shards).to_string(), expected);
        assert_eq!(sync(&shards), "1 of 2 shards are on their way");
        assert_eq!(sync(&shards[..1]), "all 1 shards are where they should be");
        assert!(
            shard_table(&shards).to_string().ends_with("1      n2     1      n2       n1 n2    no")
        );
    }

    #[test]
    fn locks_show_who_has_them_and_who_waits() {
        let lock = LockView {
            user: "alice".into(),
            key: "k".into(),
            mode: "write".into(),
            holders: vec![HolderView { call: "c1".into(), node: "n1".into(), token: 7 }],
            waiters: vec![WaiterView { call: "c2".into(), node: "n2".into(), mode: "read".into() }],
        };
        let expected = "\
VALUE    MODE         CALL  NODE  TOKEN
alice/k  write        c1    n1    7
alice/k  waits: read  c2    n2    -";
        assert_eq!(lock_table(&[lock]).to_string(), expected);
    }
}
