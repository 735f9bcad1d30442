//! What a rank has posted, and what came before it was asked for. Pure: it decides which receive
//! takes which message, and nothing else.
//!
//! Messages of one sender with one tag are taken in the order they came in; a receive with wild
//! cards takes the first of all that it matches; of several receives that match, the one posted
//! first takes the message.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::lanes::Lanes;
use super::{Envelope, Found, Pattern, Request, Span, Target};

/// Most receives that a rank may have posted, and most messages that may wait for it: past this a
/// call gives `MPI_ERR_NO_MEM`.
pub const MOST_QUEUED: usize = 1 << 17;
/// Most bytes of short messages of ranks of its own node that are kept for a rank: past this a
/// message stays with its sender, as a long one does.
pub const MOST_KEPT: u64 = 8 << 20;
/// What a kept message counts beside its bytes.
pub const OVERHEAD: u64 = 128;

/// A receive that waits for its message.
#[derive(Debug)]
pub struct Posted {
    /// What it takes.
    pub pattern: Pattern,
    /// Where it puts that.
    pub target: Target,
    /// Completed with it.
    pub request: Arc<Request>,
}

/// Where a message's bytes are.
#[derive(Debug)]
pub enum Body {
    /// In the memory of its sender, on this node.
    Guest(Span),
    /// With the host.
    Host(Bytes),
    /// With its sender, on another node: so many bytes, under this number.
    Away(u64, u64),
}

/// A message that waits for its receive.
#[derive(Debug)]
pub struct Unexpected {
    /// Who sent it, and how.
    pub envelope: Envelope,
    /// Its sender, by the rank in the world.
    pub from: u32,
    /// Its bytes.
    pub body: Body,
    /// Completed when they are copied; the sender waits for it.
    pub request: Option<Arc<Request>>,
    /// What the sender's node is told when it is taken: the credit that it gets back.
    pub credit: u64,
    /// The number under which the sender on another node waits for that; 0 if it does not.
    pub number: u64,
}

impl Unexpected {
    /// How many bytes it has.
    pub fn bytes(&self) -> u64 {
        match &self.body {
            Body::Guest(span) => span.bytes(),
            Body::Host(bytes) => bytes.len() as u64,
            Body::Away(bytes, _) => *bytes,
        }
    }

    /// What it counts against [`MOST_KEPT`].
    fn kept(&self) -> u64 {
        match &self.body {
            Body::Host(bytes) if self.credit == 0 => bytes.len() as u64 + OVERHEAD,
            _ => 0,
        }
    }
}

type Exact = (u64, u32, i32);
type Wild = (u64, Option<u32>, Option<i32>);

/// See the top.
#[derive(Debug, Default)]
pub struct Inbox {
    posted: Lanes<Wild, Posted>,
    /// Of those, the ones with a wild card.
    wild: usize,
    unexpected: Lanes<Exact, Unexpected>,
    /// Where those are that a sender on another node waits for, by its rank and number.
    awaited: HashMap<(u32, u64), u32>,
    kept: u64,
    order: u64,
}

impl Inbox {
    /// Takes out the receive that a message goes to.
    pub fn match_posted(&mut self, envelope: &Envelope) -> Option<Posted> {
        let Envelope { context, source, tag } = *envelope;
        let mut first = self.posted.first(&(context, Some(source), Some(tag)));
        if self.wild > 0 {
            for key in
                [(context, None, Some(tag)), (context, Some(source), None), (context, None, None)]
            {
                first = [first, self.posted.first(&key)].into_iter().flatten().min();
            }
        }
        let (_, slot) = first?;
        self.remove_posted(slot)
    }

    /// Keeps a receive until its message comes; gives its slot. It is given back when there are too
    /// many.
    pub fn post(&mut self, posted: Posted) -> Result<u32, Posted> {
        if self.posted.len() >= MOST_QUEUED {
            return Err(posted);
        }
        let Pattern { context, source, tag, .. } = posted.pattern;
        self.wild += usize::from(source.is_none() || tag.is_none());
        self.order += 1;
        Ok(self.posted.push((context, source, tag), self.order, posted))
    }

    /// The message that a pattern takes: its slot.
    fn find_slot(&self, pattern: &Pattern) -> Option<u32> {
        let Pattern { context, source, tag, .. } = *pattern;
        if let (Some(source), Some(tag)) = (source, tag) {
            return self.unexpected.first(&(context, source, tag)).map(|(_, slot)| slot);
        }
        self.unexpected.first_where(|&(context, source, tag)| {
            pattern.takes(&Envelope { context, source, tag })
        })
    }

    /// The first message that a pattern takes.
    pub fn find(&self, pattern: &Pattern) -> Option<Found> {
        let found = self.unexpected.get(self.find_slot(pattern)?)?;
        Some(Found { envelope: found.envelope, bytes: found.bytes() })
    }

    /// Takes it out.
    pub fn take(&mut self, pattern: &Pattern) -> Option<Unexpected> {
        let slot = self.find_slot(pattern)?;
        self.remove_unexpected(slot)
    }

    /// Whether the host may keep so many bytes more.
    pub fn may_keep(&self, bytes: u64) -> bool {
        self.kept.saturating_add(bytes + OVERHEAD) <= MOST_KEPT
    }

    /// Keeps a message until it is asked for; gives its slot. It is given back when there are too
    /// many; what a credit was taken for always has room.
    pub fn keep(&mut self, message: Unexpected) -> Result<u32, Unexpected> {
        if message.credit == 0 && self.unexpected.len() >= MOST_QUEUED {
            return Err(message);
        }
        let Envelope { context, source, tag } = message.envelope;
        self.kept += message.kept();
        self.order += 1;
        let awaited = (message.number > 0).then_some((message.from, message.number));
        let slot = self.unexpected.push((context, source, tag), self.order, message);
        if let Some(name) = awaited {
            self.awaited.insert(name, slot);
        }
        Ok(slot)
    }

    /// Withdraws a posted receive.
    pub fn withdraw(&mut self, slot: u32, request: &Arc<Request>) -> Option<Posted> {
        let same = |posted: &Posted| Arc::ptr_eq(&posted.request, request);
        self.posted.get(slot).is_some_and(same).then(|| self.remove_posted(slot))?
    }

    /// Withdraws a message whose sender waits for it.
    pub fn withdraw_sent(&mut self, slot: u32, request: &Arc<Request>) -> Option<Unexpected> {
        let its = |message: &Unexpected| {
            message.request.as_ref().is_some_and(|known| Arc::ptr_eq(known, request))
        };
        self.unexpected.get(slot).is_some_and(its).then(|| self.remove_unexpected(slot))?
    }

    /// Withdraws a message of a sender on another node, by its number.
    pub fn withdraw_away(&mut self, from: u32, number: u64) -> Option<Unexpected> {
        let slot = *self.awaited.get(&(from, number))?;
        self.remove_unexpected(slot)
    }

    /// The receives that wait.
    pub fn posted(&self) -> impl Iterator<Item = &Posted> {
        self.posted.values()
    }

    /// Takes out the receives that `wanted` wants.
    pub fn drain_posted(&mut self, wanted: impl Fn(&Posted) -> bool) -> Vec<Posted> {
        let drained = self.posted.drain_where(wanted);
        self.wild -= drained.iter().filter(|posted| is_wild(posted)).count();
        drained
    }

    /// Takes out the messages that `wanted` wants.
    pub fn drain_unexpected(&mut self, wanted: impl Fn(&Unexpected) -> bool) -> Vec<Unexpected> {
        let drained = self.unexpected.drain_where(wanted);
        drained.iter().for_each(|message| self.gone(message));
        drained
    }

    fn remove_posted(&mut self, slot: u32) -> Option<Posted> {
        let posted = self.posted.remove(slot)?;
        self.wild -= usize::from(is_wild(&posted));
        Some(posted)
    }

    fn remove_unexpected(&mut self, slot: u32) -> Option<Unexpected> {
        let message = self.unexpected.remove(slot)?;
        self.gone(&message);
        Some(message)
    }

    fn gone(&mut self, message: &Unexpected) {
        self.kept -= message.kept();
        if message.number > 0 {
            self.awaited.remove(&(message.from, message.number));
        }
    }
}

fn is_wild(posted: &Posted) -> bool {
    posted.pattern.source.is_none() || posted.pattern.tag.is_none()
}

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
