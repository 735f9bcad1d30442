//! What users may have. A user's quota is one for the whole cluster: each owner of shards counts what
//! is on its own, with every write that it decides, and asks the others once a second what is on
//! theirs. So writes through many nodes within that second may go past it, by what those write.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::driver::{Driver, Input, Owners};
use super::values::KEY_COST;
use crate::consensus::Consensus;
use crate::id::NodeId;
use crate::net::{Net, ServiceId};
use crate::wire::decode;
use crate::wire::state::{Ask, MAX_USERS, Op, Request, Response, Write};

/// Pause between looks at what is here, since records were applied; writes are added meanwhile.
const LOOK: Duration = Duration::from_millis(200);
/// Pause between questions to other nodes.
const PAUSE: Duration = Duration::from_secs(1);
/// Users of which it is kept what they have elsewhere.
const MAX_KNOWN: usize = 100_000;

/// Users who write here, of which the other nodes are asked.
pub type Writers = Arc<Mutex<HashSet<String>>>;

/// What users have.
#[derive(Default)]
pub struct Usage {
    /// On the shards that this node serves.
    here: HashMap<String, Here>,
    /// On those of other nodes, as of a moment ago.
    elsewhere: HashMap<String, u64>,
    writers: Writers,
}

/// What one has on the shards that this node serves.
struct Here {
    /// When that was looked at.
    at: Instant,
    /// In values, in bytes.
    used: u64,
    /// Held back for pushes.
    staged: u64,
}

impl Usage {
    /// Users who wrote here are told to this set.
    pub fn new(writers: Writers) -> Self {
        Self { writers, ..Self::default() }
    }
}

impl Driver {
    /// How many bytes more a user may have, and how many more may be held back for pushes.
    pub(super) fn room(&mut self, user: &str, now: Instant) -> (u64, u64) {
        let known = self.usage.here.get(user);
        let known = known.filter(|here| now.saturating_duration_since(here.at) < LOOK);
        let (used, staged) = match known {
            Some(here) => (here.used, here.staged),
            None => {
                let (used, staged) = self.used(user);
                self.usage.here.insert(user.to_owned(), Here { at: now, used, staged });
                self.usage.writers.lock().insert(user.to_owned());
                (used, staged)
            }
        };
        let elsewhere = self.usage.elsewhere.get(user).copied().unwrap_or(0);
        let left = |used: u64| self.user_bytes.saturating_sub(used);
        (left(used.saturating_add(elsewhere)), left(staged))
    }

    /// A write with so many bytes beside it was decided.
    pub(super) fn spend(&mut self, ask: &Ask, bytes: usize) {
        let (Op::Write { write, .. }, user) = (&ask.op, &ask.key.user) else { return };
        let Some(here) = self.usage.here.get_mut(user) else { return };
        let bytes = bytes as u64 + KEY_COST;
        match write {
            Write::Stage { .. } => here.staged = here.staged.saturating_add(bytes),
            // What was staged counts as well from now on.
            Write::Push(push) if push.staged.is_some() => drop(self.usage.here.remove(user)),
            Write::Delete { .. } | Write::ClearAppended => {}
            _ => here.used = here.used.saturating_add(bytes),
        }
    }

    /// What a user has on the shards that this node serves, and what is held back there.
    pub(super) fn used(&self, user: &str) -> (u64, u64) {
        let shards = self.copies.keys().filter(|shard| self.shared.serving(**shard) > 0);
        let used = shards.map(|shard| self.store.usage(*shard, user).unwrap_or_default());
        used.fold((0, 0), |(used, staged), (more, more_staged)| {
            (used.saturating_add(more), staged.saturating_add(more_staged))
        })
    }

    /// Users have this much on other nodes. What was heard of others is kept: who comes back after a
    /// while is not let in as one who has nothing.
    pub(super) fn used_elsewhere(&mut self, used: HashMap<String, u64>, now: Instant) {
        if self.usage.elsewhere.len() > MAX_KNOWN {
            self.usage.elsewhere.clear();
        }
        self.usage.elsewhere.extend(used);
        self.usage.here.retain(|_, here| now.saturating_duration_since(here.at) < PAUSE);
    }
}

/// Asks the other nodes what those have who write here.
pub async fn follow(me: NodeId, net: Net, consensus: Consensus, owners: Owners, writers: Writers) {
    loop {
        tokio::time::sleep(PAUSE).await;
        let users: Vec<String> = {
            let all: Vec<String> = writers.lock().drain().collect();
            all.into_iter().take(MAX_USERS).collect()
        };
        let shards = consensus.shards();
        let nodes: HashSet<NodeId> =
            shards.iter().map(|(_, shard)| shard.owner).filter(|owner| *owner != me).collect();
        if users.is_empty() || nodes.is_empty() {
            continue;
        }
        let asked = nodes.into_iter().map(|node| {
            let (net, request) = (&net, Request::Usage(users.clone()));
            async move {
                let by = Instant::now() + PAUSE;
                let reply = net.request(node, ServiceId::State, &request, Bytes::new(), by).await;
                match decode("what users have", &reply.ok()?.head).ok()? {
                    Response::Usage(used) => Some(used),
                    _ => None,
                }
            }
        });
        let mut all: HashMap<String, u64> = HashMap::new();
        // Without one of them it would be less than it is.
        let Some(answers) = join_all(asked).await.into_iter().collect::<Option<Vec<_>>>() else {
            continue;
        };
        for used in answers {
            for (user, used) in users.iter().zip(used) {
                let sum = all.entry(user.clone()).or_default();
                *sum = sum.saturating_add(used);
            }
        }
        owners.tell(Input::Elsewhere(all));
    }
}

impl Owners {
    /// What each of these users has on the shards that this node serves; none when it is too busy.
    pub async fn used(&self, users: Vec<String>) -> Option<Vec<u64>> {
        let (reply, answer) = oneshot::channel();
        self.try_tell(|| Input::Usage(users, reply)).then_some(())?;
        answer.await.ok()
    }
}
