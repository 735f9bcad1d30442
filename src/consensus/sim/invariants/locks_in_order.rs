//! Locks are granted in the order of the line, to a writer alone or to readers together, with
//! tokens that grow; none outlives its session; nobody in line waits for ever.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::consensus::locks::{Lock, LockView};
use crate::consensus::machine::Machine;
use crate::id::NodeId;
use crate::wire::locks::{Mode, Token};
use crate::wire::shards::StateKey;

/// The locks as each node had them last, and the highest token of each key.
#[derive(Default)]
pub struct Lines {
    seen: BTreeMap<NodeId, (u64, BTreeMap<Arc<StateKey>, Lock>)>,
    tokens: BTreeMap<StateKey, BTreeMap<Token, Mode>>,
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
            for (_, token) in &lock.holders {
                let tokens = self.tokens.entry(lock.key.clone()).or_default();
                // Another node may have seen it before, with later ones.
                let known = tokens.insert(*token, lock.mode);
                if known.is_some_and(|mode| mode != lock.mode) {
                    return Err(format!("token {token} of {} was granted twice", lock.key));
                }
            }
        }
        *before = (machine.applied(), machine.locks().keys.clone());
        Ok(())
    }

    /// A node's process was killed: it may begin anew at an older state.
    pub fn killed(&mut self, id: NodeId) {
        self.seen.remove(&id);
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

/// Who was behind somebody that still stands where it stood has got nothing.
fn in_order(key: &StateKey, old: &Lock, now: &Lock) -> Result<(), String> {
    let stays = old.line.keys().find(|number| now.line.contains_key(number));
    let Some(first) = stays else { return Ok(()) };
    for (holder, _) in old.line.range(first + 1..).map(|(_, waiter)| waiter) {
        if now.holders.contains_key(holder) {
            return Err(format!("{holder:?} got {key} before its turn"));
        }
    }
    Ok(())
}
