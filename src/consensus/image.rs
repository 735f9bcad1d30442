//! Log entries and snapshots of the state machine as bytes: a format version, then an archive.

use std::sync::Arc;

use rkyv::{Archive, Deserialize, Serialize};

use super::conf::Conf;
use super::dedup::Answers;
use super::locks::{Locks, LocksImage};
use super::machine::{Machine, NodeRecord, Session, weight};
use super::members::Members;
use super::shards::Shards;
use super::users::Users;
use crate::id::{BlobHash, FunctionKey, Incarnation, NodeId};
use crate::wire::consensus::{Proposal, Response, SessionId};
use crate::wire::function::FunctionEntry;
use crate::wire::shards::{Shard, ShardId};
use crate::wire::users::User;
use crate::wire::{Malformed, decode, encode};

/// Version of a log entry's bytes, their first byte.
const ENTRY_VERSION: u8 = 1;
/// Version of a snapshot's bytes, their first byte.
const SNAPSHOT_VERSION: u8 = 2;
/// Version of the snapshots of builds that knew no shards; they are still read.
const BASE_VERSION: u8 = 1;
/// Largest log entry, in bytes. A command is far smaller; the bound keeps a batch of proposals
/// inside one message.
pub const MAX_ENTRY: usize = 16 << 10;

/// All that version 1 had.
#[derive(Archive, Serialize, Deserialize)]
struct Base {
    applied: u64,
    functions: Vec<(String, String, FunctionEntry)>,
    artifacts: Vec<(BlobHash, u64, u64, BlobHash)>,
    nodes: Vec<NodeImage>,
    members: Members,
    users: Vec<(String, User)>,
    conf: Conf,
}

#[derive(Archive, Serialize, Deserialize)]
struct Image {
    base: Base,
    shards: Vec<(ShardId, Shard)>,
    locks: LocksImage,
}

#[derive(Archive, Serialize, Deserialize)]
struct NodeImage {
    node: NodeId,
    incarnation: Incarnation,
    newest: u64,
    answers: Vec<(u64, u64, Response)>,
    session: Option<(SessionId, String)>,
    birth: Option<u64>,
}

/// The bytes of a log entry.
pub fn encode_entry(proposal: &Proposal) -> Vec<u8> {
    versioned(ENTRY_VERSION, &encode(proposal))
}

/// Reads a log entry.
pub fn decode_entry(bytes: &[u8]) -> Result<Proposal, Malformed> {
    decode("log entry", body("log entry", ENTRY_VERSION, bytes)?)
}

/// Whether a newer build wrote this snapshot.
pub fn is_newer(snapshot: &[u8]) -> bool {
    snapshot.first().is_some_and(|version| *version > SNAPSHOT_VERSION)
}

impl Machine {
    /// The whole state as bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        let (shards, locks) = (self.shards.image(), self.locks.image());
        versioned(SNAPSHOT_VERSION, &encode(&Image { base: self.base(), shards, locks }))
    }

    fn base(&self) -> Base {
        let functions = self.functions.iter().map(|(key, entry)| {
            (key.user.to_string(), key.name.to_string(), FunctionEntry::clone(entry))
        });
        let artifacts = self.artifacts.iter();
        let nodes = self.nodes.iter().map(|(node, record)| NodeImage {
            node: *node,
            incarnation: record.answers.incarnation(),
            newest: record.answers.newest(),
            answers: record.answers.list().collect(),
            session: record.session.as_ref().map(|s| (s.id, s.http.clone())),
            birth: record.birth,
        });
        Base {
            applied: self.applied,
            functions: functions.collect(),
            artifacts: artifacts
                .map(|(key, (index, hash))| (key.0, key.1, *index, *hash))
                .collect(),
            nodes: nodes.collect(),
            members: Members::clone(&self.members),
            users: self.users.image(),
            conf: self.conf.clone(),
        }
    }

    /// The state that [`Machine::snapshot`] wrote.
    pub fn restore(bytes: &[u8]) -> Result<Self, Malformed> {
        let what = "snapshot of the state";
        let Image { base: image, shards, locks } = match bytes.split_first() {
            Some((&BASE_VERSION, rest)) => Image {
                base: decode(what, rest)?,
                shards: Vec::new(),
                locks: LocksImage::default(),
            },
            _ => decode(what, body(what, SNAPSHOT_VERSION, bytes)?)?,
        };
        let shards = Arc::new(Shards::restore(shards)?);
        let users = Users::restore(image.users).map_err(|why| Malformed { what, why })?;
        let mut machine = Machine {
            applied: image.applied,
            members: Arc::new(image.members),
            users: Arc::new(users),
            conf: image.conf,
            shards,
            locks: Locks::restore(locks),
            ..Machine::default()
        };
        for (user, name, entry) in image.functions {
            let key = FunctionKey::new(&user, &name)
                .map_err(|error| Malformed { what, why: error.to_string() })?;
            machine.weight += weight(&key, &entry);
            machine.functions.insert(key, Arc::new(entry));
        }
        for (wasm, engine, index, artifact) in image.artifacts {
            machine.artifacts.insert((wasm, engine), (index, artifact));
        }
        for node in image.nodes {
            let answers = Answers::restore(node.incarnation, node.newest, node.answers);
            let session = node.session.map(|(id, http)| Session { id, http });
            machine.nodes.insert(node.node, NodeRecord { answers, session, birth: node.birth });
        }
        Ok(machine)
    }
}

fn versioned(version: u8, archive: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(archive.len() + 1);
    bytes.push(version);
    bytes.extend_from_slice(archive);
    bytes
}

fn body<'a>(what: &'static str, version: u8, bytes: &'a [u8]) -> Result<&'a [u8], Malformed> {
    match bytes.split_first() {
        Some((found, rest)) if *found == version => Ok(rest),
        Some((found, _)) => {
            let why = format!("format version {found}, and this build reads {version}");
            Err(Malformed { what, why })
        }
        None => Err(Malformed { what, why: "it is empty".into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_refused_with_both_numbers() {
        let mut bytes = Machine::default().snapshot();
        bytes[0] = 9;
        let error = Machine::restore(&bytes).unwrap_err().to_string();
        assert!(error.contains("version 9") && error.contains("reads 2"), "{error}");
    }

    #[test]
    fn a_snapshot_of_a_build_without_shards_is_read() {
        let machine = Machine { applied: 7, ..Machine::default() };
        let bytes = versioned(BASE_VERSION, &encode(&machine.base()));
        assert_eq!(Machine::restore(&bytes).unwrap(), machine);
    }

    #[test]
    fn damaged_bytes_are_an_error_and_no_panic() {
        let bytes = Machine::default().snapshot();
        for len in 0..bytes.len() {
            assert!(Machine::restore(&bytes[..len]).is_err(), "{len} bytes were taken");
        }
        assert!(decode_entry(&[]).is_err());
    }
}
