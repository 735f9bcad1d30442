//! What is logged but not applied: later writes are decided against it.

use std::collections::HashMap;

use super::change::{Change, Does};
use super::staged::{StageId, Staged};
use super::table::{Elements, Entry, KEY_COST, Value, Values};
use crate::wire::consensus::SessionId;
use crate::wire::shards::StateKey;
use crate::wire::state::{Extent, Version};

/// A value, as far as conditions need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brief {
    /// Then.
    pub version: Version,
    /// In bytes.
    pub len: u64,
    /// What was appended.
    pub elements: Elements,
}

/// A key once all that is logged is applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyHead {
    /// The last record about it that is not applied; 0 if all are.
    pub pending: u64,
    /// The highest fencing token.
    pub token: u64,
    /// The value.
    pub value: Option<Brief>,
}

/// Staged bytes once all that is logged is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageHead {
    /// The last record about them that is not applied; 0 if all are.
    pub pending: u64,
    /// How many; `None` if they are used or given up.
    pub len: Option<u64>,
    /// Where the last one ends in the value.
    pub reach: u64,
}

/// All that is logged but not applied.
#[derive(Debug, Default)]
pub struct Head {
    keys: HashMap<StateKey, KeyHead>,
    staged: HashMap<StageId, StageHead>,
    writes: HashMap<(SessionId, u64), u64>,
    /// A push of staged bytes: its record, of which value, and how many.
    long: Option<(u64, StateKey, u64)>,
    last: u64,
    /// What the records add at most to what each user has, and to what is staged, in bytes.
    charged: HashMap<String, (u64, u64)>,
}

impl Values {
    /// A key with all that is logged.
    pub fn key_head(&self, key: &StateKey) -> KeyHead {
        self.head.keys.get(key).copied().unwrap_or_else(|| {
            let entry = self.keys.get(key);
            let value = entry.and_then(|entry| entry.value.as_ref()).map(brief);
            KeyHead { pending: 0, token: entry.map_or(0, |entry: &Entry| entry.token), value }
        })
    }

    /// Staged bytes with all that is logged.
    pub fn stage_head(&self, id: StageId) -> StageHead {
        self.head.staged.get(&id).copied().unwrap_or_else(|| {
            let staged = self.staged.get(&id);
            StageHead {
                pending: 0,
                len: staged.map(Staged::bytes),
                reach: staged.map_or(0, Staged::reach),
            }
        })
    }

    /// The record of a write that is logged but not applied.
    pub fn pending_write(&self, session: SessionId, number: u64) -> Option<u64> {
        self.head.writes.get(&(session, number)).copied()
    }

    /// The record of a push of staged bytes that is not applied, and its value.
    pub(super) fn long(&self) -> Option<(u64, &StateKey)> {
        self.head.long.as_ref().map(|(seq, key, _)| (*seq, key))
    }

    /// The last record logged.
    pub fn logged_through(&self) -> u64 {
        self.head.last.max(self.applied)
    }

    /// What is logged adds at most so much to what a user has, and to what is staged.
    pub(super) fn charged(&self, user: &str) -> (u64, u64) {
        let (more, staged) = self.head.charged.get(user).copied().unwrap_or_default();
        let long = self.head.long.as_ref().filter(|(_, key, _)| key.user == user);
        (more + long.map_or(0, |(.., bytes)| *bytes), staged)
    }

    /// Notes that a record was logged, so that later writes are decided behind it.
    pub fn note(&mut self, seq: u64, change: &Change) {
        self.head.last = seq;
        if let Some((user, more)) = charge(change) {
            match self.head.charged.get_mut(user) {
                Some(charged) => *charged = (charged.0 + more.0, charged.1 + more.1),
                None => drop(self.head.charged.insert(user.to_owned(), more)),
            }
        }
        match change {
            Change::Fence { key, token } => {
                let mut head = self.key_head(key);
                head.pending = seq;
                head.token = head.token.max(*token);
                self.head.keys.insert(key.clone(), head);
            }
            Change::Write { id, key, token, version, does } => {
                self.head.writes.insert((id.session, id.number), seq);
                let mut head = self.key_head(key);
                head.pending = seq;
                head.token = head.token.max(token.unwrap_or(0));
                head.value = after(head.value, seq, *version, does);
                if let Does::Push { staged: Some(push), .. } = does {
                    let bytes = self.stage_head((id.session, *push)).len.unwrap_or(0);
                    let gone = StageHead { pending: seq, len: None, reach: 0 };
                    self.head.staged.insert((id.session, *push), gone);
                    self.head.long = Some((seq, key.clone(), bytes));
                }
                if let Does::Stage { push, at, extents } = does {
                    self.note_stage((id.session, *push), seq, *at, extents);
                }
                self.head.keys.insert(key.clone(), head);
            }
            Change::Unstage { pushes } => {
                for id in pushes {
                    let gone = StageHead { pending: seq, len: None, reach: 0 };
                    self.head.staged.insert(*id, gone);
                }
            }
            Change::Forget { .. } => {}
        }
    }

    fn note_stage(&mut self, id: StageId, seq: u64, at: u64, extents: &[Extent]) {
        let len: u64 = extents.iter().map(|extent| extent.len).sum();
        let reach = extents.iter().filter_map(Extent::end).max().unwrap_or(0);
        let reach = reach.max(self.stage_head(id).reach);
        self.head.staged.insert(id, StageHead { pending: seq, len: Some(at + len), reach });
    }

    /// Forgets what was noted of a record that is applied now.
    pub(super) fn settle_head(&mut self, seq: u64, change: &Change) {
        if let Some(key) = change.key()
            && self.head.keys.get(key).is_some_and(|head| head.pending <= seq)
        {
            self.head.keys.remove(key);
        }
        if let Some((user, more)) = charge(change)
            && let Some(charged) = self.head.charged.get_mut(user)
        {
            *charged = (charged.0.saturating_sub(more.0), charged.1.saturating_sub(more.1));
            if *charged == (0, 0) {
                self.head.charged.remove(user);
            }
        }
        if self.head.long.as_ref().is_some_and(|(long, ..)| *long == seq) {
            self.head.long = None;
        }
        let mut settle = |id: StageId| {
            if self.head.staged.get(&id).is_some_and(|head| head.pending <= seq) {
                self.head.staged.remove(&id);
            }
        };
        match change {
            Change::Write { id, does, .. } => {
                match does {
                    Does::Stage { push, .. } | Does::Push { staged: Some(push), .. } => {
                        settle((id.session, *push));
                    }
                    _ => {}
                }
                self.head.writes.remove(&(id.session, id.number));
            }
            Change::Unstage { pushes } => pushes.iter().copied().for_each(settle),
            Change::Fence { .. } | Change::Forget { .. } => {}
        }
    }

    /// Forgets all that was noted: those records may never be applied.
    pub fn forget_head(&mut self) {
        self.head = Head::default();
    }
}

/// What a record adds at most to what a user has, and to what is staged: a little more than it does.
fn charge(change: &Change) -> Option<(&str, (u64, u64))> {
    let Change::Write { key, does, .. } = change else { return None };
    let sum = |extents: &[Extent]| extents.iter().map(|extent| extent.len).sum();
    let bytes: u64 = match does {
        Does::Create { .. } => 0,
        Does::Stage { extents, .. } | Does::Push { extents, .. } => sum(extents),
        Does::Append { len, .. } => *len,
        Does::Clear | Does::Delete => return None,
    };
    let bytes = bytes.saturating_add(KEY_COST);
    let staged = matches!(does, Does::Stage { .. });
    Some((&key.user, if staged { (0, bytes) } else { (bytes, 0) }))
}

pub(super) fn brief(value: &Value) -> Brief {
    Brief { version: value.version, len: value.len, elements: value.elements }
}

/// A value after a write.
pub(super) fn after(was: Option<Brief>, seq: u64, version: Version, does: &Does) -> Option<Brief> {
    let elements = was.map_or_else(Elements::default, |was| was.elements);
    match does {
        Does::Create { len } => Some(Brief { version, len: *len, elements: Elements::default() }),
        Does::Stage { .. } => was,
        Does::Push { len, forget, .. } => {
            let elements = if *forget { Elements::default() } else { elements };
            Some(Brief { version, len: *len, elements })
        }
        Does::Append { at, index, before, len, .. } => {
            let file = if *index == 0 { seq } else { elements.file };
            let (bytes, end) = (before + len, at + len);
            let elements = Elements { file, count: index + 1, bytes, end };
            Some(Brief { version, len: end, elements })
        }
        Does::Clear => Some(Brief { version, len: 0, elements: Elements::default() }),
        Does::Delete => None,
    }
}
