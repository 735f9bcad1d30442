//! The global locks: who holds which, who stands in line, and who waits for whom. Pure and
//! deterministic. A line is first come, first served: a reader behind a writer waits although
//! others read, so that nobody starves.
//!
//! A request that would wait for ever is found when it is made, or when the wait for a call is
//! made known that closes the circle; see [`lock_cycles`](super::lock_cycles).
// The fields of the variants below say all by their names.
#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rkyv::{Archive, Deserialize, Serialize};

use crate::id::CallId;
use crate::wire::consensus::SessionId;
use crate::wire::locks::{Holder, LockAnswer, Mode, Token};
use crate::wire::shards::StateKey;

/// Locks held and requests in line, of all users: they are kept in memory by every node and travel
/// whole in a snapshot.
pub const MAX_LOCKS: usize = 50_000;
/// The same, of the keys of one user.
pub const MAX_USER_LOCKS: usize = 10_000;
/// Calls whose wait for others is known.
pub const MAX_AWAITS: usize = 50_000;
/// Calls that one call waits for at once; the wait for more is not made known.
pub const MAX_CHILDREN: usize = 256;

/// How a lock ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockEnd {
    /// Its holder released it.
    Released,
    /// Its holder ended, or did not want it any more when it was granted.
    Call,
    /// The session of its holder's node ended.
    Session,
}

/// What happened to a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockChange {
    /// It was granted.
    Granted { key: Arc<StateKey>, mode: Mode, holder: Holder, token: Token },
    /// It ended.
    Ended { key: Arc<StateKey>, mode: Mode, holder: Holder, how: LockEnd },
    /// A request in line will never be granted, and left it.
    Refused { key: Arc<StateKey>, holder: Holder },
}

/// A lock that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lock {
    pub(super) mode: Mode,
    pub(super) holders: BTreeMap<Holder, Token>,
    /// By their number in line.
    pub(super) line: BTreeMap<u64, (Holder, Mode)>,
}

/// What a call has to do with locks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Party {
    pub(super) held: BTreeSet<Arc<StateKey>>,
    /// Where it stands in line.
    pub(super) waits: Option<(Arc<StateKey>, u64)>,
    /// It goes on when one of these has ended.
    pub(super) awaits: Vec<CallId>,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Locks {
    pub(super) keys: BTreeMap<Arc<StateKey>, Lock>,
    pub(super) parties: BTreeMap<Holder, Party>,
    /// Calls that others wait for, and how many do.
    pub(super) awaited: BTreeMap<CallId, usize>,
    /// Locks and requests per user.
    users: BTreeMap<String, usize>,
    count: usize,
    awaits: usize,
    next: u64,
}

/// One lock, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockView {
    /// Of which value.
    pub key: StateKey,
    /// How it is held.
    pub mode: Mode,
    /// By whom, with the tokens.
    pub holders: Vec<(Holder, Token)>,
    /// Who stands in line, and for what.
    pub waiters: Vec<(Holder, Mode)>,
}

impl Locks {
    /// All locks, in the order of their keys; at most so many.
    pub fn view(&self, most: usize) -> Vec<LockView> {
        let view = |(key, lock): (&Arc<StateKey>, &Lock)| LockView {
            key: StateKey::clone(key),
            mode: lock.mode,
            holders: lock.holders.iter().map(|(holder, token)| (*holder, *token)).collect(),
            waiters: lock.line.values().copied().collect(),
        };
        self.keys.iter().take(most).map(view).collect()
    }

    /// How a call holds a lock, and its token.
    pub fn held(&self, key: &StateKey, holder: &Holder) -> Option<(Mode, Token)> {
        let lock = self.keys.get(key)?;
        Some((lock.mode, *lock.holders.get(holder)?))
    }

    /// Whether a call stands in line for a lock.
    pub fn waits(&self, key: &StateKey, holder: &Holder) -> bool {
        let waits = self.parties.get(holder).and_then(|party| party.waits.as_ref());
        waits.is_some_and(|(of, _)| **of == *key)
    }

    /// The locks that are held for writing, and their tokens.
    pub fn write_locked(&self) -> impl Iterator<Item = (&Arc<StateKey>, Token)> {
        let writing = self.keys.iter().filter(|(_, lock)| lock.mode == Mode::Write);
        writing.filter_map(|(key, lock)| Some((key, *lock.holders.values().next()?)))
    }

    /// The locks that calls of a session hold.
    pub fn held_in(
        &self,
        session: SessionId,
    ) -> impl Iterator<Item = (&StateKey, Mode, CallId)> + use<'_> {
        let of = move |(holder, _): &(&Holder, &Party)| holder.session == session;
        let parties = self.parties.iter().filter(of);
        let held =
            parties.flat_map(|(holder, party)| party.held.iter().map(move |key| (holder, key)));
        held.filter_map(|(holder, key)| Some((&**key, self.keys.get(key)?.mode, holder.call)))
    }

    /// Takes a lock, or a place in line for it, at this log index.
    pub fn acquire(
        &mut self,
        index: u64,
        key: StateKey,
        mode: Mode,
        holder: Holder,
        changes: &mut Vec<LockChange>,
    ) -> LockAnswer {
        let party = self.parties.get(&holder);
        if party.is_some_and(|party| party.held.contains(&key) || party.waits.is_some()) {
            return LockAnswer::Deadlock;
        }
        let of_user = self.users.get(&key.user).copied().unwrap_or(0);
        if self.count >= MAX_LOCKS || of_user >= MAX_USER_LOCKS {
            return LockAnswer::Full;
        }
        let known = self.keys.get_key_value(&key).map(|(key, _)| key.clone());
        let key = known.unwrap_or_else(|| Arc::new(key));
        let new = || Lock { mode, holders: BTreeMap::new(), line: BTreeMap::new() };
        let lock = self.keys.entry(key.clone()).or_insert_with(new);
        self.next += 1;
        lock.line.insert(self.next, (holder, mode));
        self.parties.entry(holder).or_default().waits = Some((key.clone(), self.next));
        self.counted(&key.user, true);
        let before = changes.len();
        self.grant(index, &key, changes);
        if let Some(LockChange::Granted { token, .. }) = changes.get(before) {
            return LockAnswer::Granted(*token);
        }
        if self.may_be_waited_for(&holder) && self.is_stuck(holder) {
            self.leave_line(&holder);
            return LockAnswer::Deadlock;
        }
        LockAnswer::Queued
    }

    /// Releases a lock.
    pub fn release(
        &mut self,
        index: u64,
        key: &StateKey,
        mode: Mode,
        holder: Holder,
        changes: &mut Vec<LockChange>,
    ) -> LockAnswer {
        match self.held(key, &holder) {
            Some((held, token)) if held == mode => {
                self.let_go(key, &holder, LockEnd::Released, changes);
                self.grant(index, key, changes);
                LockAnswer::Granted(token)
            }
            _ => LockAnswer::NotHeld,
        }
    }

    /// A call does not want a lock any more, whether it waits for it or has it by now.
    pub fn give_up(
        &mut self,
        index: u64,
        key: &StateKey,
        holder: Holder,
        changes: &mut Vec<LockChange>,
    ) {
        if self.waits(key, &holder) {
            self.leave_line(&holder);
        } else {
            self.let_go(key, &holder, LockEnd::Call, changes);
        }
        self.grant(index, key, changes);
    }

    /// Calls have ended.
    pub fn end(
        &mut self,
        index: u64,
        holders: &[Holder],
        how: LockEnd,
        changes: &mut Vec<LockChange>,
    ) {
        // All leave before any lock is granted, so that none of them gets one.
        let mut keys = BTreeSet::new();
        for holder in holders {
            let Some(party) = self.parties.get(holder) else { continue };
            keys.extend(party.waits.iter().map(|(key, _)| key.clone()));
            keys.extend(party.held.iter().cloned());
            let held: Vec<_> = party.held.iter().cloned().collect();
            self.leave_line(holder);
            held.iter().for_each(|key| self.let_go(key, holder, how, changes));
            self.set_awaits(holder, Vec::new());
        }
        keys.iter().for_each(|key| self.grant(index, key, changes));
    }

    /// A session is over, and all its locks with it.
    pub fn session_over(&mut self, index: u64, session: SessionId, changes: &mut Vec<LockChange>) {
        let of = |holder: &&Holder| holder.session == session;
        let holders: Vec<Holder> = self.parties.keys().filter(of).copied().collect();
        self.end(index, &holders, LockEnd::Session, changes);
    }

    /// A call waits for others, or for none any more. When that closes a circle, the requests in
    /// line that stand in it are refused. Whether the wait is known from now on.
    pub fn awaits(
        &mut self,
        index: u64,
        holder: Holder,
        children: Vec<CallId>,
        changes: &mut Vec<LockChange>,
    ) -> bool {
        let known = self.parties.get(&holder).map_or(0, |party| party.awaits.len());
        let total = self.awaits - known + children.len();
        if children.len() > MAX_CHILDREN || (!children.is_empty() && total > MAX_AWAITS) {
            self.set_awaits(&holder, Vec::new());
            return false;
        }
        self.set_awaits(&holder, children);
        if !self.may_be_waited_for(&holder) {
            return true;
        }
        while self.is_stuck(holder) {
            let Some(victim) = self.first_in_line_below(holder) else { break };
            let waits = self.parties.get(&victim).and_then(|party| party.waits.clone());
            let Some((key, _)) = waits else { break };
            self.leave_line(&victim);
            changes.push(LockChange::Refused { key: key.clone(), holder: victim });
            self.grant(index, &key, changes);
        }
        true
    }

    /// Whether others may wait for a call.
    fn may_be_waited_for(&self, holder: &Holder) -> bool {
        let holds = self.parties.get(holder).is_some_and(|party| !party.held.is_empty());
        holds || self.awaited.contains_key(&holder.call)
    }

    fn set_awaits(&mut self, holder: &Holder, children: Vec<CallId>) {
        let none = children.is_empty();
        if none && !self.parties.contains_key(holder) {
            return;
        }
        let party = self.parties.entry(*holder).or_default();
        let before = std::mem::replace(&mut party.awaits, children.clone());
        self.awaits = self.awaits - before.len() + children.len();
        for child in children {
            *self.awaited.entry(child).or_default() += 1;
        }
        for child in before {
            if let Some(count) = self.awaited.get_mut(&child) {
                *count -= 1;
                if *count == 0 {
                    self.awaited.remove(&child);
                }
            }
        }
        self.forget_party(holder);
    }

    /// Grants a lock to the first in line, and to those behind that may have it too.
    fn grant(&mut self, index: u64, key: &StateKey, changes: &mut Vec<LockChange>) {
        let Some((key, _)) = self.keys.get_key_value(key) else { return };
        let key = key.clone();
        let Some(lock) = self.keys.get_mut(&key) else { return };
        while let Some((_, (holder, mode))) = lock.line.first_key_value() {
            let (holder, mode) = (*holder, *mode);
            let shared = lock.mode == Mode::Read && mode == Mode::Read;
            if !(lock.holders.is_empty() || shared) {
                break;
            }
            lock.line.pop_first();
            lock.mode = mode;
            lock.holders.insert(holder, index);
            let party = self.parties.entry(holder).or_default();
            party.waits = None;
            party.held.insert(key.clone());
            let token = index;
            changes.push(LockChange::Granted { key: key.clone(), mode, holder, token });
        }
        if lock.holders.is_empty() && lock.line.is_empty() {
            self.keys.remove(&key);
        }
    }

    /// A call leaves the line that it stands in, if it does.
    fn leave_line(&mut self, holder: &Holder) {
        let Some(party) = self.parties.get_mut(holder) else { return };
        let Some((key, number)) = party.waits.take() else { return };
        if let Some(lock) = self.keys.get_mut(&key) {
            lock.line.remove(&number);
        }
        self.counted(&key.user, false);
        self.forget_party(holder);
    }

    fn let_go(
        &mut self,
        key: &StateKey,
        holder: &Holder,
        how: LockEnd,
        changes: &mut Vec<LockChange>,
    ) {
        let Some(lock) = self.keys.get_mut(key) else { return };
        let mode = lock.mode;
        if lock.holders.remove(holder).is_none() {
            return;
        }
        if let Some(party) = self.parties.get_mut(holder)
            && let Some(key) = party.held.take(key)
        {
            changes.push(LockChange::Ended { key, mode, holder: *holder, how });
        }
        self.counted(&key.user, false);
        self.forget_party(holder);
    }

    fn forget_party(&mut self, holder: &Holder) {
        let empty = |p: &Party| p.held.is_empty() && p.waits.is_none() && p.awaits.is_empty();
        if self.parties.get(holder).is_some_and(empty) {
            self.parties.remove(holder);
        }
    }

    fn counted(&mut self, user: &str, more: bool) {
        if more {
            self.count += 1;
            match self.users.get_mut(user) {
                Some(count) => *count += 1,
                None => drop(self.users.insert(user.to_owned(), 1)),
            }
            return;
        }
        self.count -= 1;
        if let Some(count) = self.users.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                self.users.remove(user);
            }
        }
    }
}

/// What a snapshot holds of them.
#[derive(Archive, Serialize, Deserialize, Default)]
pub struct LocksImage {
    keys: Vec<KeyImage>,
    awaits: Vec<(Holder, Vec<CallId>)>,
    next: u64,
}

#[derive(Archive, Serialize, Deserialize)]
struct KeyImage {
    key: StateKey,
    mode: Mode,
    holders: Vec<(Holder, Token)>,
    line: Vec<(u64, Holder, Mode)>,
}

impl Locks {
    /// What a snapshot holds of them.
    pub fn image(&self) -> LocksImage {
        let key = |(key, lock): (&Arc<StateKey>, &Lock)| KeyImage {
            key: StateKey::clone(key),
            mode: lock.mode,
            holders: lock.holders.iter().map(|(holder, token)| (*holder, *token)).collect(),
            line: lock.line.iter().map(|(at, (holder, mode))| (*at, *holder, *mode)).collect(),
        };
        let awaits = self.parties.iter().filter(|(_, party)| !party.awaits.is_empty());
        LocksImage {
            keys: self.keys.iter().map(key).collect(),
            awaits: awaits.map(|(holder, party)| (*holder, party.awaits.clone())).collect(),
            next: self.next,
        }
    }

    /// The locks of which a snapshot holds this.
    pub fn restore(image: LocksImage) -> Self {
        let mut locks = Self { next: image.next, ..Self::default() };
        for KeyImage { key, mode, holders, line } in image.keys {
            let key = Arc::new(key);
            for (holder, _) in &holders {
                locks.parties.entry(*holder).or_default().held.insert(key.clone());
                locks.counted(&key.user, true);
            }
            for (number, holder, _) in &line {
                locks.parties.entry(*holder).or_default().waits = Some((key.clone(), *number));
                locks.counted(&key.user, true);
            }
            let line = line.into_iter().map(|(at, holder, mode)| (at, (holder, mode))).collect();
            let holders = holders.into_iter().collect();
            locks.keys.insert(key, Lock { mode, holders, line });
        }
        for (holder, children) in image.awaits {
            locks.set_awaits(&holder, children);
        }
        locks
    }
}

#[cfg(test)]
#[path = "locks_tests.rs"]
mod tests;
