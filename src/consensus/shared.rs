//! What the driver publishes and every handle reads without asking it: the local copy of the state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::RaftStatus;
use super::machine::{Change, Machine, Session};
use super::members::Members;
use super::shards::Shards;
use super::shared_locks::SharedLocks;
use super::users::Users;
use crate::id::{BlobHash, FunctionKey, NodeId};
use crate::wire::function::FunctionEntry;
use crate::wire::members::KeyHash;
use crate::wire::shards::{Shard, ShardId};

/// The local copy.
pub struct Shared {
    functions: DashMap<FunctionKey, Arc<FunctionEntry>>,
    artifacts: DashMap<(BlobHash, u64), BlobHash>,
    sessions: ArcSwap<BTreeMap<NodeId, Session>>,
    members: watch::Sender<Arc<Members>>,
    users: watch::Sender<Arc<Users>>,
    shards: watch::Sender<Arc<Shards>>,
    status: ArcSwap<RaftStatus>,
    applied: watch::Sender<u64>,
    began: Instant,
    /// Nanoseconds after `began` until which the session is live; 0 when it is not.
    live_until: AtomicU64,
    stopping: AtomicBool,
    failure: Mutex<Option<String>>,
    key: Mutex<Option<KeyHash>>,
    /// The global locks.
    pub locks: SharedLocks,
}

impl Shared {
    /// An empty copy.
    pub fn new() -> Self {
        Self {
            functions: DashMap::new(),
            artifacts: DashMap::new(),
            sessions: ArcSwap::default(),
            members: watch::Sender::new(Arc::default()),
            users: watch::Sender::new(Arc::default()),
            shards: watch::Sender::new(Arc::default()),
            status: ArcSwap::default(),
            applied: watch::Sender::new(0),
            began: Instant::now(),
            live_until: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            failure: Mutex::new(None),
            key: Mutex::new(None),
            locks: SharedLocks::default(),
        }
    }

    /// The public key that this node shows now, if it is another one than that it began with.
    pub fn key(&self) -> Option<KeyHash> {
        *self.key.lock()
    }

    /// This node shows another key.
    pub fn set_key(&self, key: KeyHash) {
        *self.key.lock() = Some(key);
    }

    /// A function.
    pub fn function(&self, key: &FunctionKey) -> Option<Arc<FunctionEntry>> {
        self.functions.get(key).map(|entry| entry.value().clone())
    }

    /// All functions (of one user), in order.
    pub fn functions(&self, user: Option<&str>) -> Vec<(FunctionKey, Arc<FunctionEntry>)> {
        let wanted = |key: &FunctionKey| user.is_none_or(|user| key.user.as_str() == user);
        let all = self.functions.iter().filter(|entry| wanted(entry.key()));
        let mut list: Vec<_> = all.map(|e| (e.key().clone(), e.value().clone())).collect();
        list.sort_by(|a, b| a.0.cmp(&b.0));
        list
    }

    /// The artifact recorded for a module and an engine.
    pub fn artifact(&self, wasm: &BlobHash, engine: u64) -> Option<BlobHash> {
        self.artifacts.get(&(*wasm, engine)).map(|artifact| *artifact)
    }

    /// The live sessions.
    pub fn sessions(&self) -> Arc<BTreeMap<NodeId, Session>> {
        self.sessions.load_full()
    }

    /// Who belongs to the cluster, as it changes.
    pub fn members(&self) -> watch::Receiver<Arc<Members>> {
        self.members.subscribe()
    }

    /// Who may use the cluster, as it changes.
    pub fn users(&self) -> watch::Receiver<Arc<Users>> {
        self.users.subscribe()
    }

    /// Which node owns which shard, as it changes.
    pub fn shards(&self) -> watch::Receiver<Arc<Shards>> {
        self.shards.subscribe()
    }

    /// Who holds a shard.
    pub fn shard(&self, id: ShardId) -> Option<Arc<Shard>> {
        self.shards.borrow().get(id).cloned()
    }

    /// How Raft stands.
    pub fn status(&self) -> RaftStatus {
        RaftStatus::clone(&self.status.load())
    }

    /// The applied index.
    pub fn applied_index(&self) -> u64 {
        *self.applied.borrow()
    }

    /// The applied index, as it changes.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    /// Whether this node's session is live now.
    pub fn session_is_live(&self) -> bool {
        let until = self.live_until.load(Ordering::Acquire);
        until > 0 && self.began.elapsed() < Duration::from_nanos(until)
    }

    /// Publishes until when the session is live.
    pub fn set_live_until(&self, until: Option<Instant>) {
        let nanos = until.map_or(0, |until| {
            let after = until.saturating_duration_since(self.began).as_nanos();
            u64::try_from(after).unwrap_or(u64::MAX)
        });
        self.live_until.store(nanos, Ordering::Release);
    }

    /// Publishes how Raft stands, and the applied index; after the changes that led there.
    pub fn set_status(&self, status: RaftStatus) {
        let applied = status.applied;
        if **self.status.load() != status {
            self.status.store(Arc::new(status));
        }
        self.applied.send_if_modified(|old| std::mem::replace(old, applied) != applied);
    }

    /// Publishes changes.
    pub fn change(&self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Function(key, Some(entry)) => drop(self.functions.insert(key, entry)),
                Change::Function(key, None) => drop(self.functions.remove(&key)),
                Change::Artifact(wasm, engine, artifact) => {
                    self.artifacts.insert((wasm, engine), artifact);
                }
                Change::ArtifactGone(wasm, engine) => {
                    self.artifacts.remove(&(wasm, engine));
                }
                Change::Opened(session) => self.change_sessions(|all| {
                    all.insert(session.id.node, session);
                }),
                Change::Ended(id) => self.change_sessions(|all| {
                    if all.get(&id.node).is_some_and(|session| session.id == id) {
                        all.remove(&id.node);
                    }
                }),
                Change::Members(members) => drop(self.members.send_replace(members)),
                Change::Users(users) => drop(self.users.send_replace(users)),
                Change::Shards(shards) => drop(self.shards.send_replace(shards)),
                Change::Lock(change) => self.locks.change(change),
            }
        }
    }

    fn change_sessions(&self, change: impl FnOnce(&mut BTreeMap<NodeId, Session>)) {
        // Only the driver writes, so nothing is lost between the load and the store.
        let mut all = BTreeMap::clone(&self.sessions.load());
        change(&mut all);
        self.sessions.store(Arc::new(all));
    }

    /// Replaces all by the state. What is in both is never missing meanwhile.
    pub fn replace(&self, machine: &Machine) {
        for (key, entry) in machine.functions() {
            self.functions.insert(key.clone(), entry.clone());
        }
        self.functions.retain(|key, _| machine.functions().contains_key(key));
        let artifacts: BTreeMap<_, _> =
            machine.artifacts().map(|(wasm, engine, hash)| ((wasm, engine), hash)).collect();
        for (key, hash) in &artifacts {
            self.artifacts.insert(*key, *hash);
        }
        self.artifacts.retain(|key, _| artifacts.contains_key(key));
        let sessions = machine.sessions().map(|session| (session.id.node, session.clone()));
        self.sessions.store(Arc::new(sessions.collect()));
        self.members.send_replace(machine.members().clone());
        self.users.send_replace(machine.users().clone());
        self.shards.send_replace(machine.shards().clone());
        self.locks.replace(machine.locks());
    }

    /// The node stops; also ends the session, as far as this node is concerned.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.set_live_until(None);
    }

    /// Whether the node stops.
    pub fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Consensus cannot go on here, and why.
    pub fn fail(&self, why: String) {
        self.set_live_until(None);
        self.failure.lock().get_or_insert(why);
    }

    /// Why consensus cannot go on here, if it cannot.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_by_itself_when_its_time_is_over() {
        let shared = Shared::new();
        assert!(!shared.session_is_live());
        shared.set_live_until(Some(Instant::now() + Duration::from_secs(60)));
        assert!(shared.session_is_live());
        shared.set_live_until(Some(Instant::now()));
        assert!(!shared.session_is_live());
        shared.set_live_until(Some(Instant::now() + Duration::from_secs(60)));
        shared.stop();
        assert!(!shared.session_is_live());
    }

    #[test]
    fn watchers_hear_of_a_new_index_only() {
        let shared = Shared::new();
        let mut applied = shared.applied();
        applied.mark_unchanged();
        shared.set_status(RaftStatus { term: 3, ..RaftStatus::default() });
        assert!(!applied.has_changed().unwrap());
        shared.set_status(RaftStatus { applied: 1, ..RaftStatus::default() });
        assert!(applied.has_changed().unwrap());
    }
}
