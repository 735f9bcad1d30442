//! Answers to writes, by which a repeat is recognised.

use std::collections::{BTreeMap, BTreeSet};

use crate::wire::consensus::SessionId;
use crate::wire::state::{WRITE_WINDOW, WriteId, Written};

/// What was answered in one session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    /// Every lower number is settled.
    pub settled: u64,
    /// By number.
    pub answers: BTreeMap<u64, Written>,
}

/// What is known of a write's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Nothing: it is new.
    New,
    /// It was done.
    Done(Written),
    /// Its writer said that it was answered, or it is too far ahead.
    Outside,
}

/// All sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sessions {
    /// By name.
    pub all: BTreeMap<SessionId, Session>,
    /// Changed since this was last emptied.
    pub dirty: BTreeSet<SessionId>,
}

impl Sessions {
    /// Whether a write was done.
    pub fn find(&self, id: &WriteId) -> Known {
        if id.number == 0 || id.settled > id.number || id.number - id.settled >= WRITE_WINDOW {
            return Known::Outside;
        }
        let Some(session) = self.all.get(&id.session) else { return Known::New };
        match session.answers.get(&id.number) {
            Some(written) => Known::Done(written.clone()),
            None if id.number < session.settled => Known::Outside,
            None => Known::New,
        }
    }

    /// Whether an answer is kept, or was.
    pub fn has(&self, id: &WriteId) -> bool {
        let session = self.all.get(&id.session);
        session.is_some_and(|session| {
            id.number < session.settled || session.answers.contains_key(&id.number)
        })
    }

    /// Keeps an answer, and forgets those that are settled.
    pub fn keep(&mut self, id: &WriteId, written: Written) {
        let session = self.all.entry(id.session).or_default();
        if id.settled > session.settled {
            session.settled = id.settled;
            while session.answers.first_entry().is_some_and(|first| *first.key() < id.settled) {
                session.answers.pop_first();
            }
        }
        if id.number >= session.settled {
            session.answers.insert(id.number, written);
        }
        self.dirty.insert(id.session);
    }

    /// Forgets a session.
    pub fn forget(&mut self, session: SessionId) {
        if self.all.remove(&session).is_some() {
            self.dirty.insert(session);
        }
    }
}
