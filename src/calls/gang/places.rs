//! Places that this node keeps for ranks to come, for a launcher here or on another node. They end by
//! themselves, so that a launcher that is gone holds nothing for long.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::calls::Calls;
use crate::calls::place::{Entered, PlaceHere};
use crate::clock;
use crate::errno::CallError;
use crate::id::{CallId, FunctionKey, NodeId};
use crate::wire::calls::{CallReply, Room};
use crate::wire::jobs::Reserve;
use crate::wire::mpi::MAX_RANKS;

/// How long places are kept for ranks that do not come.
pub const KEPT: Duration = Duration::from_secs(10);
/// Most jobs for which places are kept at once.
const MOST: usize = 1024;

/// Which launcher keeps them, and for what.
type Key = (NodeId, CallId, u64);

/// All of them.
#[derive(Default)]
pub struct Places {
    kept: HashMap<Key, (Instant, Vec<PlaceHere>)>,
}

impl Places {
    /// Keeps places; those kept under the same name before are given back.
    fn keep(&mut self, key: Key, until: Instant, places: Vec<PlaceHere>) {
        self.kept.insert(key, (until, places));
    }

    /// A rank came.
    pub fn take(&mut self, key: Key) -> Option<PlaceHere> {
        let (_, places) = self.kept.get_mut(&key)?;
        let place = places.pop();
        if places.is_empty() {
            self.kept.remove(&key);
        }
        place
    }

    /// They are not wanted any more.
    pub fn release(&mut self, key: Key) {
        self.kept.remove(&key);
    }

    /// Time has passed.
    pub fn trim(&mut self, now: Instant) {
        self.kept.retain(|_, (until, _)| now < *until);
    }

    /// A node is gone.
    pub fn lost(&mut self, node: NodeId) {
        self.kept.retain(|(from, ..), _| *from != node);
    }

    fn is_full(&self) -> bool {
        self.kept.len() >= MOST
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

impl Calls {
    /// Keeps places here for a launcher on `from`, all or none.
    pub(in crate::calls) fn reserve(&self, from: NodeId, asked: &Reserve) -> CallReply {
        match self.try_reserve(from, asked) {
            Ok(Some(())) => CallReply::Done,
            Ok(None) => CallReply::NoRoom(self.room_for_ranks(asked)),
            Err(error) => CallReply::Error(error),
        }
    }

    fn try_reserve(&self, from: NodeId, asked: &Reserve) -> Result<Option<()>, CallError> {
        let wrong = |why: String| CallError::new(crate::errno::Errno::Inval, why);
        let key = FunctionKey::new(&asked.user, &asked.name).map_err(|e| wrong(e.to_string()))?;
        if !(1..=MAX_RANKS).contains(&asked.ranks) {
            return Err(wrong(format!("places for {} ranks cannot be kept", asked.ranks)));
        }
        if !self.registry().session_is_live() {
            return Err(super::super::place::no_session());
        }
        if !self.scheduler().takes_calls() || self.places().lock().is_full() {
            return Ok(None);
        }
        let user = self.user(&key.user);
        let book = self.book(&key);
        let mut places = Vec::with_capacity(asked.ranks as usize);
        for _ in 0..asked.ranks {
            // What was taken so far is given back when one is missing.
            let Some(place) = self.place_here(&user) else { return Ok(None) };
            let Some(entered) = Entered::new(&book, asked.instances) else { return Ok(None) };
            places.push(place.entered(entered));
        }
        let until = clock::now() + KEPT;
        self.places().lock().keep((from, asked.world, asked.ticket), until, places);
        Ok(Some(()))
    }

    /// What this node could take of a function's ranks.
    fn room_for_ranks(&self, asked: &Reserve) -> Room {
        let room = self.scheduler().room();
        let key = FunctionKey::new(&asked.user, &asked.name);
        let book = key.ok().map(|key| self.book(&key));
        let left = book.map_or(0, |book| (asked.instances as usize).saturating_sub(book.live()));
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        Room { free_places: room.free_places.min(left), ..room }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_came_for_is_given_back_in_time_and_with_its_launcher() {
        let now = Instant::now();
        let mut places = Places::default();
        let (a, b) = ((NodeId(1), CallId(1), 0), (NodeId(2), CallId(1), 0));
        places.keep(a, now + KEPT, Vec::new());
        places.keep(b, now + 2 * KEPT, Vec::new());
        places.trim(now + KEPT);
        assert!(!places.kept.contains_key(&a) && places.kept.contains_key(&b));
        places.lost(NodeId(1));
        assert!(!places.is_empty());
        places.lost(NodeId(2));
        assert!(places.is_empty());
    }
}
