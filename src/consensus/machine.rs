//! The replicated state machine: functions, artifacts and sessions. Pure and deterministic: every
//! node applies the same entries at the same indexes and so holds the same state.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::conf::Conf;
use super::dedup::{Answers, Seen};
use super::image;
use super::locks::{LockChange, Locks};
use super::members::Members;
use super::shards::Shards;
use super::users::Users;
use super::{steering, voters};
use crate::id::{BlobHash, FunctionKey, Incarnation, NodeId};
use crate::wire::Malformed;
use crate::wire::consensus::{Command, Proposal, RequestId, Response, SessionId};
use crate::wire::function::FunctionEntry;
use crate::wire::members::{KeyHash, MemberCommand};
use crate::wire::users::UserCommand;

/// Bytes that the function registry may take: it is kept in memory by every node and travels
/// whole in a snapshot.
pub const MAX_REGISTRY: usize = 32 << 20;
/// Artifacts recorded; the one recorded longest ago gives way.
pub const MAX_ARTIFACTS: usize = 50_000;
/// Nodes with a record of their own: bounds the memory of request ids.
pub const MAX_NODES: usize = 256;
/// Nodes that one function may be pinned to.
pub const MAX_PIN: usize = 256;
/// Longest HTTP address announced, in bytes.
pub const MAX_HTTP: usize = 256;
/// What one registered function weighs beside its names and pins, in bytes.
const ENTRY_WEIGHT: usize = 160;

/// A live session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// The HTTP address that the node announced.
    pub http: String,
}

/// What the machine remembers of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NodeRecord {
    pub(super) answers: Answers,
    pub(super) session: Option<Session>,
    /// Of its log, from its first session on.
    pub(super) birth: Option<u64>,
}

impl NodeRecord {
    fn new(incarnation: Incarnation) -> Self {
        Self { answers: Answers::new(incarnation), session: None, birth: None }
    }
}

/// What changed in the state, for the local copy and for whoever watches sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A function was put (or removed).
    Function(FunctionKey, Option<Arc<FunctionEntry>>),
    /// An artifact was recorded.
    Artifact(BlobHash, u64, BlobHash),
    /// An artifact was forgotten.
    ArtifactGone(BlobHash, u64),
    /// A session began.
    Opened(Session),
    /// A session ended.
    Ended(SessionId),
    /// Who belongs to the cluster, or what vouches for it.
    Members(Arc<Members>),
    /// The users.
    Users(Arc<Users>),
    /// Which node owns which shard.
    Shards(Arc<Shards>),
    /// A global lock.
    Lock(LockChange),
}

/// A log entry that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whose proposal it held.
    pub id: RequestId,
    /// Where it was applied first.
    pub index: u64,
    /// The answer.
    pub response: Response,
    /// What it changed; empty for a repeat.
    pub changes: Vec<Change>,
}

/// The state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    pub(super) applied: u64,
    pub(super) functions: BTreeMap<FunctionKey, Arc<FunctionEntry>>,
    pub(super) weight: usize,
    pub(super) artifacts: BTreeMap<(BlobHash, u64), (u64, BlobHash)>,
    pub(super) nodes: BTreeMap<NodeId, NodeRecord>,
    pub(super) members: Arc<Members>,
    pub(super) users: Arc<Users>,
    pub(super) conf: Conf,
    pub(super) shards: Arc<Shards>,
    pub(super) locks: Locks,
}

impl Machine {
    /// The index applied last.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// All functions, in order.
    pub fn functions(&self) -> &BTreeMap<FunctionKey, Arc<FunctionEntry>> {
        &self.functions
    }

    /// All artifacts: module, engine, artifact.
    pub fn artifacts(&self) -> impl Iterator<Item = (BlobHash, u64, BlobHash)> {
        self.artifacts.iter().map(|((wasm, engine), (_, artifact))| (*wasm, *engine, *artifact))
    }

    /// All live sessions, by node.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.nodes.values().filter_map(|node| node.session.as_ref())
    }

    /// The session of a node.
    pub fn session(&self, node: NodeId) -> Option<&Session> {
        self.nodes.get(&node)?.session.as_ref()
    }

    /// The birth of a node's log, if the node ever had a session.
    pub fn birth(&self, node: NodeId) -> Option<u64> {
        self.nodes.get(&node)?.birth
    }

    /// Who belongs to the cluster.
    pub fn members(&self) -> &Arc<Members> {
        &self.members
    }

    /// Who may use it.
    pub fn users(&self) -> &Arc<Users> {
        &self.users
    }

    /// Whether a proposal was applied, and with what answer.
    pub fn answer(&self, id: RequestId) -> Option<(u64, Response)> {
        match self.nodes.get(&id.node)?.answers.seen(id) {
            Seen::Before(index, response) => Some((index, response)),
            Seen::Fresh | Seen::Stale => None,
        }
    }

    /// Who votes and who follows.
    pub fn conf(&self) -> &Conf {
        &self.conf
    }

    /// The state of a group that begins.
    pub fn begin(index: u64, conf: Conf) -> Self {
        Self { applied: index, conf, ..Self::default() }
    }

    /// Applies the entry at `index`, which changed the configuration to this.
    pub fn reconfigure(&mut self, index: u64, conf: Conf) {
        self.applied = index;
        self.conf = conf;
    }

    /// Applies an entry that changes nothing (a new leader's first).
    pub fn skip(&mut self, index: u64) {
        self.applied = index;
    }

    /// Applies the entry at `index`. An error means that the entry was written by a newer build:
    /// this node cannot go on without diverging.
    pub fn apply(&mut self, index: u64, entry: &[u8]) -> Result<Outcome, Malformed> {
        let Proposal { id, command } = image::decode_entry(entry)?;
        self.applied = index;
        let seen = self.nodes.get(&id.node).map_or(Seen::Fresh, |node| node.answers.seen(id));
        match seen {
            Seen::Before(index, response) => Ok(Outcome { id, index, response, changes: vec![] }),
            Seen::Stale => Ok(Outcome {
                id,
                index,
                response: Response::Refused(self.stale(id)),
                changes: vec![],
            }),
            Seen::Fresh if self.members.was_removed(id.node) => {
                let why = format!("{} was removed from the cluster", id.node);
                Ok(Outcome { id, index, response: Response::Refused(why), changes: vec![] })
            }
            Seen::Fresh if !self.nodes.contains_key(&id.node) && self.nodes.len() >= MAX_NODES => {
                let why = format!("a cluster has at most {MAX_NODES} nodes");
                Ok(Outcome { id, index, response: Response::Refused(why), changes: vec![] })
            }
            Seen::Fresh => {
                let mut changes = Vec::new();
                let response = self.change(index, id, command, &mut changes);
                self.end_locks_of_sessions(index, &mut changes);
                self.record(id).answers.note(id, index, response.clone());
                Ok(Outcome { id, index, response, changes })
            }
        }
    }

    fn record(&mut self, id: RequestId) -> &mut NodeRecord {
        self.nodes.entry(id.node).or_insert_with(|| NodeRecord::new(id.incarnation))
    }

    fn stale(&self, id: RequestId) -> String {
        let newest = self.nodes.get(&id.node).map_or(Incarnation(0), |n| n.answers.incarnation());
        if id.incarnation < newest {
            format!(
                "{} has started as {newest} before, and this is {}: its data directory was lost \
                 or is an old copy",
                id.node, id.incarnation
            )
        } else {
            format!("proposal {} of {} is too old", id.number, id.node)
        }
    }

    fn change(
        &mut self,
        index: u64,
        id: RequestId,
        command: Command,
        changes: &mut Vec<Change>,
    ) -> Response {
        match command {
            Command::PutFunction { user, name, entry } => {
                self.put(index, &user, &name, entry, changes)
            }
            Command::DeleteFunction { user, name } => self.delete(&user, &name, changes),
            Command::RecordArtifact { wasm, engine, artifact } => {
                self.artifacts.insert((wasm, engine), (index, artifact));
                changes.push(Change::Artifact(wasm, engine, artifact));
                self.evict_artifact(changes);
                Response::Done
            }
            Command::OpenSession { node, incarnation, http, key, birth } => {
                if node != id.node || incarnation != id.incarnation {
                    return Response::Refused("a node opens its own session only".into());
                }
                let session = Session { id: SessionId { node, incarnation, opened: index }, http };
                self.open(session, key, birth, changes)
            }
            Command::ExpireSession { session } => self.expire(session, changes),
            Command::Member(command) => self.change_members(id.node, command, changes),
            Command::User(command) => self.change_users(command, changes),
            Command::Shards(command) => self.change_shards(id.node, &command, changes),
            Command::Lock(command) => self.change_locks(index, id.node, *command, changes),
        }
    }

    fn change_members(
        &mut self,
        proposer: NodeId,
        command: MemberCommand,
        changes: &mut Vec<Change>,
    ) -> Response {
        let leaves = match &command {
            MemberCommand::Remove { node } => Some(*node),
            MemberCommand::Join { replaces, .. } => *replaces,
            _ => None,
        };
        if let Some(node) = leaves.filter(|node| self.members.get(*node).is_some())
            && let Err(why) = voters::removable(node, &self.conf, &steering::standings(self))
                .and_then(|()| self.shards_allow_removal(node))
        {
            return Response::Refused(why);
        }
        if let MemberCommand::Found { admin, now_ms, .. } = &command
            && !self.members.founded()
        {
            Arc::make_mut(&mut self.users).found(*admin, *now_ms);
            changes.push(Change::Users(self.users.clone()));
        }
        let response = Arc::make_mut(&mut self.members).change(command);
        if matches!(response, Response::Done | Response::Joined(_)) {
            self.forget_removed(proposer, changes);
            changes.push(Change::Members(self.members.clone()));
        }
        response
    }

    /// What is left of nodes that are no members any more. The proposer's answers stay until its
    /// proposal is noted.
    fn forget_removed(&mut self, proposer: NodeId, changes: &mut Vec<Change>) {
        let members = self.members.clone();
        for (node, record) in &mut self.nodes {
            if members.was_removed(*node)
                && let Some(session) = record.session.take()
            {
                changes.push(Change::Ended(session.id));
            }
        }
        self.nodes.retain(|node, _| *node == proposer || !members.was_removed(*node));
        self.forget_removed_owners(changes);
    }

    fn change_users(&mut self, command: UserCommand, changes: &mut Vec<Change>) -> Response {
        let removed = match &command {
            UserCommand::Remove { name } => Some(name.clone()),
            _ => None,
        };
        let response = Arc::make_mut(&mut self.users).change(command);
        if response == Response::Done {
            changes.push(Change::Users(self.users.clone()));
            let of = |key: &&FunctionKey| Some(key.user.as_str()) == removed.as_deref();
            let keys: Vec<FunctionKey> = self.functions.keys().filter(of).cloned().collect();
            for key in keys {
                self.delete(key.user.as_str(), key.name.as_str(), changes);
            }
        }
        response
    }

    fn put(
        &mut self,
        index: u64,
        user: &str,
        name: &str,
        mut entry: FunctionEntry,
        changes: &mut Vec<Change>,
    ) -> Response {
        let key = match FunctionKey::new(user, name) {
            Ok(key) => key,
            Err(error) => return Response::Refused(error.to_string()),
        };
        if entry.options.pin.len() > MAX_PIN {
            return Response::Refused(format!("a function is pinned to at most {MAX_PIN} nodes"));
        }
        if let Err(why) = self.within_quota(&key, entry.size) {
            return Response::OverQuota(why);
        }
        let old = self.functions.get(&key).map_or(0, |old| weight(&key, old));
        let after = self.weight - old + weight(&key, &entry);
        if after > MAX_REGISTRY {
            let mib = MAX_REGISTRY >> 20;
            let why = format!("the registry is full ({mib} MiB); delete functions first");
            return Response::Refused(why);
        }
        self.weight = after;
        entry.version = index;
        let entry = Arc::new(entry);
        self.functions.insert(key.clone(), entry.clone());
        changes.push(Change::Function(key, Some(entry)));
        Response::Done
    }

    /// Whether the user may register this function too.
    fn within_quota(&self, key: &FunctionKey, size: u64) -> Result<(), String> {
        let Some(quotas) = self.users.get(key.user.as_str()).map(|user| user.quotas) else {
            return Ok(());
        };
        let others = self.functions.iter().filter(|(k, _)| k.user == key.user && *k != key);
        let (count, bytes) =
            others.fold((1u32, size), |(n, sum), (_, e)| (n + 1, sum.saturating_add(e.size)));
        if quotas.functions > 0 && count > quotas.functions {
            let most = quotas.functions;
            return Err(format!("quota: {} may register {most} functions", key.user));
        }
        if quotas.bytes > 0 && bytes > quotas.bytes {
            let most = quotas.bytes;
            return Err(format!(
                "quota: the functions of {} would have {bytes} bytes, and {most} are allowed",
                key.user
            ));
        }
        Ok(())
    }

    fn delete(&mut self, user: &str, name: &str, changes: &mut Vec<Change>) -> Response {
        let Ok(key) = FunctionKey::new(user, name) else { return Response::NotFound };
        let Some(old) = self.functions.remove(&key) else { return Response::NotFound };
        self.weight -= weight(&key, &old);
        changes.push(Change::Function(key, None));
        Response::Done
    }

    fn evict_artifact(&mut self, changes: &mut Vec<Change>) {
        if self.artifacts.len() <= MAX_ARTIFACTS {
            return;
        }
        let oldest = self.artifacts.iter().min_by_key(|(_, (index, _))| *index);
        if let Some(key) = oldest.map(|(key, _)| *key) {
            self.artifacts.remove(&key);
            changes.push(Change::ArtifactGone(key.0, key.1));
        }
    }

    fn open(
        &mut self,
        session: Session,
        key: Option<KeyHash>,
        birth: u64,
        changes: &mut Vec<Change>,
    ) -> Response {
        if session.http.len() > MAX_HTTP {
            return Response::Refused(format!("an HTTP address has at most {MAX_HTTP} bytes"));
        }
        let id = session.id;
        if self.birth(id.node).is_some_and(|known| known != birth) {
            let why =
                format!("{} had another log: its data directory was lost or replaced", id.node);
            return Response::Refused(why);
        }
        match Arc::make_mut(&mut self.members).opens(id.node, key) {
            Err(why) => return Response::Refused(why),
            Ok(true) => changes.push(Change::Members(self.members.clone())),
            Ok(false) => {}
        }
        let record = self.nodes.entry(id.node).or_insert_with(|| NodeRecord::new(id.incarnation));
        record.birth = Some(birth);
        // A node that did not hear of its first attempt tries again: that must not end the session
        // that it may have by then.
        let same_life = |old: &Session| old.id.incarnation == id.incarnation;
        if record.session.as_ref().is_some_and(same_life) {
            return Response::Done;
        }
        if let Some(old) = record.session.replace(session.clone()) {
            changes.push(Change::Ended(old.id));
        }
        changes.push(Change::Opened(session));
        Response::Done
    }

    fn expire(&mut self, id: SessionId, changes: &mut Vec<Change>) -> Response {
        let Some(record) = self.nodes.get_mut(&id.node) else { return Response::NotFound };
        if record.session.as_ref().is_none_or(|session| session.id != id) {
            return Response::NotFound;
        }
        record.session = None;
        changes.push(Change::Ended(id));
        Response::Done
    }
}

/// Bytes that a function counts in the registry.
pub(super) fn weight(key: &FunctionKey, entry: &FunctionEntry) -> usize {
    let names = key.user.as_str().len() + key.name.as_str().len();
    ENTRY_WEIGHT + names + 8 * entry.options.pin.len()
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
