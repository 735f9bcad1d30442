//! Locks are granted in the order of the line, to a writer alone or to readers together, with
//! tokens that grow; none outlives its session; nobody in line waits for ever.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::consensus::locks::{Lock, LockView};
use crate::consensus::machine::Machine;
use crate::id::NodeId;
use crate::wire::locks::{Mode, Token};
use crate::wire::shards::StateKey;

/// The locks as each node had them last, and the highest token of each key that it saw.
#[derive(Default)]
pub struct Lines {
    seen: BTreeMap<NodeId, (u64, BTreeMap<Arc<StateKey>, Lock>)>,
    tokens: BTreeMap<(NodeId, StateKey), (Token, Mode)>,
}

impl Lines {
    /// After each step of a node.
    pub fn stepped(&mut self, id: NodeId, machine: &Machine) -> Result<(), String> {
        let before = self.seen.entry(id).or_default();
        if before.0 == machine.applied() {
            return Ok(());
        }
        for (key, now) in &machine.locks().keys {
            if let Some(old) = before.1.get(key) {
                in_order(key, old, now)?;
            }
        }
        for lock in machine.locks().view(1000) {
            check(&lock, machine)?;
            let newest = lock.holders.iter().map(|(_, token)| *token).max().unwrap_or(0);
            let name = (id, lock.key.clone());
            let (known, mode) =
                self.tokens.insert(name, (newest, lock.mode)).unwrap_or((0, lock.mode));
            let same = before.1.get(&lock.key).is_some_and(|old| {
                lock.holders.iter().all(|(holder, _)| old.holders.contains_key(holder))
            });
            // Of readers the newest may have left.
            let grew = newest > known || (newest == known && mode == lock.mode) || same;
            if !grew {
                return Err(format!("token {newest} of {} came after {known}", lock.key));
            }
        }
        *before = (machine.applied(), machine.locks().keys.clone());
        Ok(())
    }

    /// A node's process was killed: it may begin anew at an older state.
    pub fn killed(&mut self, id: NodeId) {
        self.seen.remove(&id);
        self.tokens.retain(|(node, _), _| *node != id);
    }
}

fn check(lock: &LockView, machine: &Machine) -> Result<(), String> {
    let key = &lock.key;
    if lock.mode == Mode::Write && lock.holders.len() != 1 {
        return Err(format!("{} hold {key} for writing", lock.holders.len()));
    }
    let (Some(newest), Some(oldest)) = (
        lock.holders.iter().map(|(_, token)| *token).max(),
        lock.holders.iter().map(|(_, token)| *token).min(),
    ) else {
        return Err(format!("a line for {key}, which nobody holds"));
    };
    if newest > machine.applied() || oldest == 0 {
        return Err(format!("{key} has tokens {oldest} to {newest}"));
    }
    if let Some((_, first)) = lock.waiters.first()
        && (*first, lock.mode) == (Mode::Read, Mode::Read)
    {
        return Err(format!("a reader waits for {key}, and nothing is in its way"));
    }
    let all = lock.holders.iter().map(|(holder, _)| holder);
    for holder in all.chain(lock.waiters.iter().map(|(holder, _)| holder)) {
        let session = machine.session(holder.session.node).map(|session| session.id);
        if session != Some(holder.session) {
            return Err(format!("{holder:?} has or wants {key}, and its session is over"));
        }
    }
    for (holder, _) in &lock.waiters {
        if machine.locks().is_stuck(*holder) {
            return Err(format!("{holder:?} waits for {key} for ever"));
        }
    }
    Ok(())
}

/// While somebody still stands where it stood, only those that stood before it got anything.
fn in_order(key: &StateKey, old: &Lock, now: &Lock) -> Result<(), String> {
    let stays = old.line.keys().find(|number| now.line.contains_key(number));
    let Some(first) = stays else { return Ok(()) };
    let ahead = |holder| old.line.range(..first).any(|(_, (waiter, _))| waiter == holder);
    let new = now.holders.keys().filter(|holder| !old.holders.contains_key(holder));
    for holder in new {
        if !ahead(holder) {
            return Err(format!("{holder:?} got {key} before its turn"));
        }
    }
    Ok(())
}
