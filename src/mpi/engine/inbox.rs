//! What a rank has posted, and what came before it was asked for.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::{Envelope, Found, Pattern, Payload, Request, Target};

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

/// A message that waits for its receive.
#[derive(Debug)]
pub struct Unexpected {
    /// Who sent it, and how.
    pub envelope: Envelope,
    /// Its bytes.
    pub payload: Payload,
    /// Completed when they are copied; the sender waits for it.
    pub request: Option<Arc<Request>>,
}

impl Unexpected {
    /// How many bytes it has.
    pub fn bytes(&self) -> u64 {
        match &self.payload {
            Payload::Guest(span) => span.bytes(),
            Payload::Host(bytes) => bytes.len() as u64,
        }
    }
}

/// See the top.
#[derive(Debug, Default)]
pub struct Inbox {
    posted: VecDeque<Posted>,
    unexpected: VecDeque<Unexpected>,
}

impl Inbox {
    /// A message comes: the receive that takes it; else it waits.
    pub fn arrive(&mut self, message: Unexpected) -> Option<(Posted, Unexpected)> {
        match self.posted.iter().position(|posted| posted.pattern.takes(&message.envelope)) {
            Some(at) => self.posted.remove(at).map(|posted| (posted, message)),
            None => {
                self.unexpected.push_back(message);
                None
            }
        }
    }

    /// A receive is posted: the message that it takes; else it waits.
    pub fn post(&mut self, posted: Posted) -> Option<(Posted, Unexpected)> {
        match self.take(&posted.pattern) {
            Some(message) => Some((posted, message)),
            None => {
                self.posted.push_back(posted);
                None
            }
        }
    }

    /// Whether a receive waits for such a message.
    pub fn find_posted(&self, envelope: &Envelope) -> bool {
        self.posted.iter().any(|posted| posted.pattern.takes(envelope))
    }

    /// The first message that a pattern takes.
    pub fn find(&self, pattern: &Pattern) -> Option<Found> {
        let found = self.unexpected.iter().find(|message| pattern.takes(&message.envelope))?;
        Some(Found { envelope: found.envelope, bytes: found.bytes() })
    }

    /// Takes it out.
    pub fn take(&mut self, pattern: &Pattern) -> Option<Unexpected> {
        let at = self.unexpected.iter().position(|message| pattern.takes(&message.envelope))?;
        self.unexpected.remove(at)
    }

    /// Withdraws a posted receive.
    pub fn withdraw(&mut self, request: &Arc<Request>) -> bool {
        let before = self.posted.len();
        self.posted.retain(|posted| !Arc::ptr_eq(&posted.request, request));
        self.posted.len() < before
    }
}

/// Bytes of the host, for a message that waits.
pub fn packed(payload: &Payload) -> crate::mpi::error::Result<Bytes> {
    match payload {
        Payload::Host(bytes) => Ok(bytes.clone()),
        Payload::Guest(span) => {
            let len = usize::try_from(span.bytes()).unwrap_or(usize::MAX);
            let mut bytes = vec![0; len];
            span.datatype.pack(&span.memory, span.at, span.count, 0, &mut bytes)?;
            Ok(bytes.into())
        }
    }
}
