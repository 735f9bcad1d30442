//! Which nodes this one talks to: the members, as far as it knows them.
//!
//! A node that was away knows an old list. Until it has caught up (its session is open then) it
//! talks to all that it ever heard of and that were not removed, and what it heard last is kept on
//! disk: when it starts again, those that it began with may be gone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::draining::Drained;
use crate::config::ClusterConfig;
use crate::consensus::Consensus;
use crate::consensus::members::{Members, configured};
use crate::id::NodeId;
use crate::net::{Net, PeerSpec};
use crate::wire::members::{KeyHash, Member};

/// Name of the file in the data directory.
const FILE: &str = "members.json";
/// Format of the file.
const FORMAT: u32 = 1;
/// Largest file read, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// How often the session is looked at, which says whether the list is current.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    id: u64,
    quic: String,
    keys: Vec<[u8; 32]>,
}

#[derive(Serialize, Deserialize)]
struct File {
    format: u32,
    members: Vec<Known>,
}

/// The peers to begin with: those heard of last, else those of the configuration.
pub(super) fn at_start(me: NodeId, dir: &Path, cluster: &ClusterConfig) -> Vec<PeerSpec> {
    let known = read(&dir.join(FILE)).unwrap_or_default();
    let configured = configured(cluster);
    let all = configured.iter().filter_map(spec).chain(known.iter().filter_map(known_spec));
    let all: BTreeMap<NodeId, PeerSpec> = all.map(|peer| (peer.node, peer)).collect();
    all.into_values().filter(|peer| peer.node != me).collect()
}

/// Keeps the connections, and what this node takes, in step with the members. Ends when consensus
/// does.
pub(super) async fn follow(
    me: NodeId,
    dir: PathBuf,
    net: Net,
    consensus: Consensus,
    mut drained: Drained,
    mut peers: Vec<PeerSpec>,
) {
    let mut changes = consensus.watch_membership();
    let mut looks = tokio::time::interval(LOOK);
    let mut seen = None;
    loop {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            _ = looks.tick() => {}
        }
        let now = (changes.borrow_and_update().clone(), consensus.session_is_live());
        if seen.as_ref() == Some(&now) {
            continue;
        }
        let (membership, current) = &now;
        if !membership.founded() {
            continue;
        }
        peers = merge(me, membership, &peers, *current);
        net.set_peers(peers.clone());
        drained.set(membership.get(me).is_some_and(|member| member.draining));
        if *current {
            let members: Vec<Known> = membership.all().values().map(known_of).collect();
            let path = dir.join(FILE);
            let written = tokio::task::spawn_blocking(move || write(&path, members)).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(%error, "the list of members could not be written");
            }
        }
        seen = Some(now);
    }
}

/// The members, and while the list may be old, those known before that were not removed.
fn merge(me: NodeId, members: &Members, older: &[PeerSpec], current: bool) -> Vec<PeerSpec> {
    let stays = |peer: &&PeerSpec| !current && !members.was_removed(peer.node);
    let older = older.iter().filter(stays).cloned();
    let all = older.chain(members.all().values().filter_map(spec));
    let all: BTreeMap<NodeId, PeerSpec> = all.map(|peer| (peer.node, peer)).collect();
    all.into_values().filter(|peer| peer.node != me).collect()
}

fn spec(member: &Member) -> Option<PeerSpec> {
    let addr = member.quic.parse().ok()?;
    Some(PeerSpec { node: member.node, addr, keys: member.keys.clone() })
}

fn known_spec(known: &Known) -> Option<PeerSpec> {
    let addr = known.quic.parse().ok()?;
    let keys = known.keys.iter().map(|key| KeyHash(*key)).collect();
    (known.id > 0).then_some(PeerSpec { node: NodeId(known.id), addr, keys })
}

fn known_of(member: &Member) -> Known {
    let keys = member.keys.iter().map(|key| key.0).collect();
    Known { id: member.node.0, quic: member.quic.clone(), keys }
}

/// What was heard last; nothing when the file is not there or of no use: it is a help only.
fn read(path: &Path) -> Option<Vec<Known>> {
    if std::fs::metadata(path).ok()?.len() > MAX_FILE {
        return None;
    }
    let file: File = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    (file.format == FORMAT).then_some(file.members)
}

fn write(path: &Path, members: Vec<Known>) -> std::io::Result<()> {
    let bytes = serde_json::to_vec(&File { format: FORMAT, members })?;
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, bytes)?;
    std::fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(id: u64, port: u16) -> PeerSpec {
        PeerSpec::new(NodeId(id), ([10, 0, 0, 1], port).into())
    }

    fn ids(peers: &[PeerSpec]) -> Vec<u64> {
        peers.iter().map(|peer| peer.node.0).collect()
    }

    fn cluster() -> ClusterConfig {
        toml::from_str(include_str!("../../cluster/local.toml")).unwrap()
    }

    #[test]
    fn what_was_heard_last_goes_before_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ids(&at_start(NodeId(1), dir.path(), &cluster())), [2, 3]);
        let moved = Known { id: 3, quic: "10.0.0.9:1".into(), keys: vec![[7; 32]] };
        let new = Known { id: 4, quic: "10.0.0.4:1".into(), keys: vec![] };
        write(&dir.path().join(FILE), vec![moved, new]).unwrap();
        let peers = at_start(NodeId(1), dir.path(), &cluster());
        assert_eq!(ids(&peers), [2, 3, 4]);
        assert_eq!(peers[1].addr, "10.0.0.9:1".parse::<std::net::SocketAddr>().unwrap());
        assert_eq!(peers[1].keys, [KeyHash([7; 32])]);
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        assert_eq!(ids(&at_start(NodeId(1), dir.path(), &cluster())), [2, 3]);
    }

    #[test]
    fn an_old_list_takes_nobody_away_but_who_was_removed() {
        let members = Members::default();
        let older = [peer(2, 1), peer(5, 1)];
        assert_eq!(ids(&merge(NodeId(1), &members, &older, false)), [2, 5]);
        assert!(merge(NodeId(1), &members, &older, true).is_empty());
    }
}
