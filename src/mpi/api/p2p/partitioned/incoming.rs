//! The receiver's side of a partitioned message.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;

use crate::mpi::constants as c;
use crate::mpi::cx::Cx;
use crate::mpi::engine::{Endpoint, Pattern, Request, Span, Status, Target};
use crate::mpi::error::{Result, error};
use crate::mpi::types::Datatype;

use super::super::{Again, check, status};
use super::{MAX_PARTS, OPENING, PARTS, Parts};

/// See the top.
#[derive(Debug)]
pub struct Incoming {
    link: Option<Arc<Link>>,
    parts: u64,
    round: Mutex<Option<Arc<Round>>>,
}

/// What a round needs to go on by itself.
#[derive(Debug)]
struct Link {
    endpoint: Arc<Endpoint>,
    /// The first part.
    first: Span,
    parts: u64,
    /// Whether its bytes lie in memory as they come.
    direct: bool,
    /// From whom: source and tag as the program knows them, and the rank in the world.
    source: u32,
    tag: i32,
    world_source: u32,
    /// Receives the sender's first message.
    opening: Arc<Request>,
    /// What that says.
    cut: OnceLock<Option<Cut>>,
}

/// How the sender cuts what it sends.
#[derive(Debug, Clone, Copy)]
struct Cut {
    channel: u64,
    parts: u64,
    /// Bytes of each.
    bytes: u64,
}

/// What was started last.
#[derive(Debug)]
struct Round {
    request: Arc<Request>,
    /// Which parts of the sender's have come, by number; known once the channel is.
    come: OnceLock<Vec<AtomicBool>>,
}

impl Incoming {
    /// Opens a channel: takes the sender's word of it.
    pub fn open(cx: &mut Cx<'_>, message: check::Incoming, parts: u64) -> Self {
        let endpoint = cx.rank().endpoint.clone();
        let link = message.pattern.and_then(|pattern| {
            let (source, world_source) = (pattern.source?, pattern.world_source?);
            let tag = pattern.tag?;
            let pattern = Pattern { context: pattern.context | OPENING, ..pattern };
            let opening = endpoint.receive(pattern, Target::Host(24));
            let (first, cut) = (message.span, OnceLock::new());
            let direct = first.datatype.is_contiguous();
            let link =
                Link { endpoint, first, parts, direct, source, tag, world_source, opening, cut };
            Some(Arc::new(link))
        });
        Self { link, parts, round: Mutex::default() }
    }
}

impl Again for Incoming {
    fn start(&self, cx: &mut Cx<'_>) -> Result<Arc<Request>> {
        let request = Request::pending();
        let round = Arc::new(Round { request: request.clone(), come: OnceLock::new() });
        *self.round.lock() = Some(round.clone());
        match &self.link {
            None => request.complete(status::OF_NOBODY, None),
            Some(link) => {
                let link = link.clone();
                cx.rank().p2p.tasks.spawn(async move {
                    let status = link.run(&round).await;
                    round.request.complete(status, None);
                })?;
            }
        }
        Ok(request)
    }

    fn parts(&self) -> Option<&dyn Parts> {
        Some(self)
    }
}

impl Parts for Incoming {
    fn ready(&self, _cx: &mut Cx<'_>, _part: u64) -> Result<()> {
        error(c::MPI_ERR_REQUEST, "the request is no partitioned send")
    }

    fn arrived(&self, part: u64) -> Result<bool> {
        let Some(round) = self.round.lock().clone() else { return Ok(true) };
        if round.request.is_done() {
            return Ok(true);
        }
        let Some(link) = &self.link else { return Ok(true) };
        let (Some(Some(cut)), Some(come)) = (link.cut.get(), round.come.get()) else {
            return Ok(false);
        };
        let mine = link.first.bytes();
        if mine == 0 || cut.bytes == 0 {
            // Nothing of it comes but the end of the message.
            return Ok(false);
        }
        let at = |bytes: u64| usize::try_from(bytes / cut.bytes).unwrap_or(usize::MAX);
        let (first, last) = (at(mine * part), at(mine * (part + 1) - 1));
        let of_sender = come.get(first..=last).unwrap_or_default();
        let all = first < come.len() && last < come.len();
        Ok(all && of_sender.iter().all(|come| come.load(Ordering::Acquire)))
    }

    fn count(&self) -> u64 {
        self.parts
    }
}

impl Link {
    /// Receives all parts once.
    async fn run(&self, round: &Round) -> Status {
        let opened = self.opening.done().await;
        if opened.error != c::MPI_SUCCESS {
            return Status::failed(opened.error);
        }
        let cut = *self.cut.get_or_init(|| self.opening.take_bytes().and_then(|b| read(&b)));
        let Some(cut) = cut.filter(|cut| cut.parts <= MAX_PARTS) else {
            return Status::failed(c::MPI_ERR_OTHER);
        };
        let total = self.first.bytes().saturating_mul(self.parts);
        let sent = cut.bytes.saturating_mul(cut.parts);
        if sent > total {
            return Status::failed(c::MPI_ERR_TRUNCATE);
        }
        let come = round.come.get_or_init(|| (0..cut.parts).map(|_| false.into()).collect());
        let parts = come.iter().enumerate().map(|(part, come)| async move {
            let error = self.part(&cut, part as u64).await;
            come.store(true, Ordering::Release);
            error
        });
        let mut parts: FuturesUnordered<_> = parts.collect();
        let mut error = c::MPI_SUCCESS;
        while let Some(one) = parts.next().await {
            error = if error == c::MPI_SUCCESS { one } else { error };
        }
        let source = self.source.cast_signed();
        Status { source, tag: self.tag, error, bytes: sent, cancelled: false }
    }

    /// Receives one part of the sender's; its error.
    async fn part(&self, cut: &Cut, part: u64) -> i32 {
        let pattern = Pattern {
            context: PARTS | cut.channel,
            source: Some(self.world_source),
            world_source: Some(self.world_source),
            tag: i32::try_from(part).ok(),
        };
        let skip = part * cut.bytes;
        if let Some(span) = self.span_of(cut, part) {
            return self.endpoint.receive(pattern, Target::Guest(span)).done().await.error;
        }
        let request = self.endpoint.receive(pattern, Target::Host(cut.bytes));
        let status = request.done().await;
        let Some(bytes) = request.take_bytes().filter(|_| status.error == c::MPI_SUCCESS) else {
            return status.error;
        };
        let Span { memory, at, count, datatype } = &self.first;
        match datatype.unpack(memory, *at, count * self.parts, skip, &bytes) {
            Ok(()) => c::MPI_SUCCESS,
            Err(error) => error.class().unwrap_or(c::MPI_ERR_OTHER),
        }
    }

    /// Where a part of the sender's goes, if that is whole elements or bytes in a row.
    fn span_of(&self, cut: &Cut, part: u64) -> Option<Span> {
        let Span { memory, at, count, datatype } = &self.first;
        if cut.parts == self.parts && cut.bytes == self.first.bytes() {
            let offset = i128::from(datatype.extent()) * i128::from(*count) * i128::from(part);
            let at = u64::try_from(i128::from(*at) + offset).ok()?;
            return Some(Span { at, ..self.first.clone() });
        }
        let (at, count) = (at.checked_add(part * cut.bytes)?, cut.bytes);
        let memory = memory.clone();
        self.direct.then(|| Span { memory, at, count, datatype: Datatype::byte() })
    }
}

fn read(bytes: &[u8]) -> Option<Cut> {
    let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    Some(Cut { channel: word(0)?, parts: word(8)?, bytes: word(16)? })
}
