//! The sender's side of a partitioned message.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::mpi::constants as c;
use crate::mpi::cx::Cx;
use crate::mpi::engine::{Envelope, Mode, Payload, Request, Span, Status};
use crate::mpi::error::{Result, error};

use super::super::Again;
use super::super::check;
use super::{OPENING, PARTS, Parts};

/// See the top.
#[derive(Debug)]
pub struct Outgoing {
    to: Option<u32>,
    /// The first part.
    first: Span,
    parts: u64,
    /// Of the parts' messages; their tags are their numbers.
    envelope: Envelope,
    round: Mutex<Option<Round>>,
}

/// What was started last.
#[derive(Debug)]
struct Round {
    request: Arc<Request>,
    /// Which parts are under way, by number.
    sent: Vec<Option<Arc<Request>>>,
    /// How many are not.
    left: u64,
}

impl Outgoing {
    /// Opens a channel, and tells the receiver.
    pub fn open(cx: &mut Cx<'_>, message: check::Outgoing, parts: u64) -> Self {
        let rank = cx.rank();
        let channel = rank.p2p.channels;
        rank.p2p.channels = channel.wrapping_add(1);
        let envelope =
            Envelope { context: PARTS | u64::from(channel), source: rank.endpoint.rank(), tag: 0 };
        if let Some(to) = message.to {
            let opening = [u64::from(channel), parts, message.span.bytes()];
            let opening: Vec<u8> = opening.iter().flat_map(|word| word.to_le_bytes()).collect();
            let context = message.envelope.context | OPENING;
            let envelope = Envelope { context, ..message.envelope };
            rank.endpoint.send(to, envelope, Payload::Host(Bytes::from(opening)), Mode::Standard);
        }
        Self { to: message.to, first: message.span, parts, envelope, round: Mutex::default() }
    }
}

impl Again for Outgoing {
    fn start(&self, _cx: &mut Cx<'_>) -> Result<Arc<Request>> {
        let request = Request::pending();
        if self.parts == 0 || self.to.is_none() {
            request.complete(Status::EMPTY, None);
        }
        let sent = (0..self.parts).map(|_| None).collect();
        let round = Round { request: request.clone(), sent, left: self.parts };
        *self.round.lock() = Some(round);
        Ok(request)
    }

    fn parts(&self) -> Option<&dyn Parts> {
        Some(self)
    }
}

impl Parts for Outgoing {
    fn ready(&self, cx: &mut Cx<'_>, part: u64) -> Result<()> {
        let Some(to) = self.to else { return Ok(()) };
        let mut round = self.round.lock();
        let slot = round.as_mut().and_then(|round| {
            let at = usize::try_from(part).ok()?;
            Some((round.sent.get_mut(at)?, &mut round.left))
        });
        let Some((slot @ None, left)) = slot else {
            return error(c::MPI_ERR_ARG, format!("partition {part} is ready already"));
        };
        let offset = i128::from(self.first.datatype.extent())
            * i128::from(self.first.count)
            * i128::from(part);
        let Ok(at) = u64::try_from(i128::from(self.first.at) + offset) else {
            return error(c::MPI_ERR_BUFFER, format!("partition {part} is not in the memory"));
        };
        let span = Span { at, ..self.first.clone() };
        let tag = i32::try_from(part).unwrap_or(i32::MAX);
        let envelope = Envelope { tag, ..self.envelope };
        *slot = Some(cx.rank().endpoint.send(to, envelope, Payload::Guest(span), Mode::Standard));
        *left -= 1;
        if *left == 0
            && let Some(round) = round.take()
        {
            complete(cx, round)?;
        }
        Ok(())
    }

    fn arrived(&self, _part: u64) -> Result<bool> {
        error(c::MPI_ERR_REQUEST, "the request is no partitioned receive")
    }

    fn count(&self) -> u64 {
        self.parts
    }
}

/// Completes a round whose parts are all under way, when they are complete.
fn complete(cx: &mut Cx<'_>, round: Round) -> Result<()> {
    let Round { request, sent, .. } = round;
    let error = |sent: &Arc<Request>| sent.status().map_or(0, |status| status.error);
    if sent.iter().flatten().all(|sent| sent.is_done()) {
        let error = sent.iter().flatten().map(error).find(|error| *error != 0);
        request.complete(Status::failed(error.unwrap_or(c::MPI_SUCCESS)), None);
        return Ok(());
    }
    cx.rank().p2p.tasks.spawn(async move {
        let mut error = c::MPI_SUCCESS;
        for sent in sent.into_iter().flatten() {
            let status = sent.done().await;
            error = if error == c::MPI_SUCCESS { status.error } else { error };
        }
        request.complete(Status::failed(error), None);
    })
}
