//! Ranks that could not do their part in a collective: who waits for them in it is told, and what
//! comes for them is taken off the hands of who sends it. So an error at one rank is the end of that
//! collective at all that depend on it, and of nothing else.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::failure::is_collective;
use super::inbox::{Posted, Unexpected};
use super::world::{World, fail_all};
use super::{Envelope, Pattern, Status};
use crate::mpi::constants as c;
use crate::wire::mpi::MpiTold;

/// Most parts that are known of; the oldest are forgotten.
const MOST: usize = 1 << 12;
/// The bits of a tag that number the collectives of a communicator; the others tell messages of one
/// collective apart.
const NUMBER: i32 = 0x3fff_ffff;

/// One rank's part in a collective: its context, its number there, and the rank in the world.
type Part = (u64, i32, u32);

/// See the top.
#[derive(Debug, Default)]
pub struct Parted {
    known: HashMap<Part, i32>,
    order: VecDeque<Part>,
}

impl Parted {
    /// Whether that is news.
    fn add(&mut self, part: Part, class: i32) -> bool {
        if self.known.contains_key(&part) {
            return false;
        }
        if self.order.len() >= MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(part);
        self.known.insert(part, class);
        true
    }

    /// Why a rank takes no part any more in the collective of a message.
    fn of(&self, context: u64, tag: i32, rank: u32) -> Option<i32> {
        self.known.get(&(context, tag & NUMBER, rank)).copied()
    }

    /// Why nothing will come that a receive takes.
    pub fn no_receive(&self, pattern: &Pattern) -> Option<i32> {
        if self.known.is_empty() || !is_collective(pattern.context) {
            return None;
        }
        self.of(pattern.context, pattern.tag?, pattern.world_source?)
    }
}

impl World {
    /// Why a rank takes no part in a collective any more.
    pub(super) fn has_parted(&self, rank: u32, context: u64, tag: i32) -> Option<i32> {
        if !self.trouble.load(Ordering::Acquire) {
            return None;
        }
        self.fate.lock().parted.of(context, tag, rank)
    }

    /// Whether a message is for a rank that waits for none any more in its collective. Look with
    /// that rank's inbox locked, if it is here.
    pub(super) fn is_idle(&self, to: u32, envelope: &Envelope) -> bool {
        is_collective(envelope.context)
            && self.has_parted(to, envelope.context, envelope.tag).is_some()
    }

    /// A rank here takes no part in a collective any more, for this reason.
    pub(super) fn parts(self: &Arc<Self>, rank: u32, context: u64, tag: i32, class: i32) {
        if self.parted(rank, context, tag, class) {
            self.tell_all(&MpiTold::Parted(rank, context, tag & NUMBER, class));
        }
    }

    /// The same of any rank; whether that is news.
    pub(super) fn parted(self: &Arc<Self>, rank: u32, context: u64, tag: i32, class: i32) -> bool {
        if !is_collective(context) {
            return false;
        }
        let class =
            if (1..=c::MPI_ERR_LASTCODE).contains(&class) { class } else { c::MPI_ERR_OTHER };
        if !self.fate.lock().parted.add((context, tag & NUMBER, rank), class) {
            return false;
        }
        self.trouble.store(true, Ordering::Release);
        for (receiver, place) in self.places_here() {
            let of = |in_context: u64, of: Option<i32>| {
                in_context == context && of.is_some_and(|of| of & NUMBER == tag & NUMBER)
            };
            let its = |posted: &Posted| {
                of(posted.pattern.context, posted.pattern.tag)
                    && (receiver == rank || posted.pattern.world_source == Some(rank))
            };
            let to_it = |message: &Unexpected| {
                receiver == rank && of(message.envelope.context, Some(message.envelope.tag))
            };
            let mut inbox = place.inbox.lock();
            let (posted, sent) = (inbox.drain_posted(its), inbox.drain_unexpected(to_it));
            drop(inbox);
            fail_all(posted, Vec::new(), class);
            sent.iter().for_each(|message| self.settle(receiver, message, Status::EMPTY));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_known_by_their_number_and_the_oldest_are_forgotten() {
        let mut parted = Parted::default();
        assert!(parted.add((3, 7, 1), 15));
        assert!(!parted.add((3, 7, 1), 16), "the first reason stays");
        let pattern = |context, tag, rank| Pattern {
            context,
            source: Some(0),
            world_source: Some(rank),
            tag: Some(tag),
        };
        assert_eq!(parted.no_receive(&pattern(3, 7, 1)), Some(15));
        assert_eq!(parted.no_receive(&pattern(3, 7 | 1 << 30, 1)), Some(15));
        for other in [pattern(5, 7, 1), pattern(3, 8, 1), pattern(3, 7, 2), pattern(2, 7, 1)] {
            assert_eq!(parted.no_receive(&other), None);
        }
        for number in 0..MOST {
            parted.add((5, i32::try_from(number).unwrap(), 0), 15);
        }
        assert_eq!(parted.no_receive(&pattern(3, 7, 1)), None);
        assert_eq!((parted.known.len(), parted.order.len()), (MOST, MOST));
    }
}
