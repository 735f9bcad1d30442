//! Reductions among ranks of one node: whoever is awake combines the next piece of the vectors,
//! in the order of the ranks, and writes it to all who get it; or keeps it for the leader of the
//! node. A rank that combines with an operation of the program calls its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::SMALL;
use super::combine::Combine;
use super::local::piece;
use super::meeting::{Attendance, Gift, Need, Piece};
use super::places::{pack, room};
use crate::mpi::constants as c;
use crate::mpi::engine::Span;
use crate::mpi::error::{Error, Result};

/// Bytes that are combined at a time.
const STEP: u64 = 16 << 10;

/// Who gets what.
#[derive(Debug, Clone, Copy)]
pub enum Share<'w> {
    /// All that ask get everything.
    All,
    /// Each gets as many elements as this says.
    Counts(&'w [u64]),
    /// Each gets what those up to it have; without its own if it is so.
    Scan(bool),
    /// The leader does.
    Leader,
}

/// What one brings, and what it gets.
#[derive(Debug)]
pub struct Reduction<'w> {
    /// Its elements.
    pub send: &'w Span,
    /// Where the result goes, if this rank gets one.
    pub receive: Option<&'w Span>,
    /// How elements are combined.
    pub combine: &'w Combine,
    /// Who gets what.
    pub share: Share<'w>,
}

/// Runs one.
pub async fn run(meeting: &Attendance<'_>, of: &Reduction<'_>) -> Result<()> {
    let len = of.send.bytes();
    // What a piece's result is written over must not be part of another piece.
    let piece = match of.share {
        Share::Counts(_) => Piece::Bytes(pack(of.send)?),
        _ => piece(of.send)?,
    };
    let last = meeting.give(Gift { into: of.receive.cloned(), ..Gift::of(vec![piece]) });
    if len <= SMALL {
        if last {
            combine(meeting, of, 0, len).await?;
            meeting.combined();
        } else if of.receive.is_some() {
            meeting.until(Need::Combined).await?;
        }
        return Ok(());
    }
    in_pieces(meeting, of).await
}

/// Combines what the ranks of a node have; the leader gets it. Who is not can leave when it is
/// over.
pub async fn for_leader(
    meeting: &Attendance<'_>,
    leads: bool,
    send: &Span,
    combine_by: &Combine,
) -> Result<Bytes> {
    let of = Reduction { send, receive: None, combine: combine_by, share: Share::Leader };
    let len = send.bytes();
    meeting.give(Gift::of(vec![piece(send)?]));
    match (len <= SMALL, leads) {
        (true, false) => return Ok(Bytes::new()),
        (true, true) => {
            meeting.until(Need::AllArrived).await?;
            combine(meeting, &of, 0, len).await?;
        }
        (false, _) => in_pieces(meeting, &of).await?,
    }
    match leads {
        true => Ok(std::mem::take(&mut *meeting.meeting().sum.lock()).into()),
        false => Ok(Bytes::new()),
    }
}

/// All who are awake take the next piece, until none is left.
async fn in_pieces(meeting: &Attendance<'_>, of: &Reduction<'_>) -> Result<()> {
    meeting.until(Need::AllArrived).await?;
    let len = of.send.bytes();
    let element = of.combine.element().max(1);
    let step = (STEP / element).max(1) * element;
    let steps = len.div_ceil(step);
    let shared = meeting.meeting();
    loop {
        let at = shared.next.fetch_add(1, Ordering::Relaxed);
        if at >= steps {
            break;
        }
        combine(meeting, of, at * step, step.min(len - at * step)).await?;
        if shared.done.fetch_add(1, Ordering::AcqRel) + 1 == steps {
            meeting.combined();
        }
    }
    meeting.until(Need::Combined).await
}

/// Combines a piece; nobody waits for one that could not be.
async fn combine(meeting: &Attendance<'_>, of: &Reduction<'_>, at: u64, len: u64) -> Result<()> {
    let gifts = meeting.gifts();
    let combined = match of.combine {
        Combine::Builtin(..) => combine_now(meeting, &gifts, of, at, len),
        Combine::User(_) => combine_by_program(meeting, &gifts, of, at, len).await,
    };
    if let Err(error) = &combined {
        meeting.meeting().fail(error.class().unwrap_or(c::MPI_ERR_OTHER));
    }
    combined
}

fn combine_now(
    meeting: &Attendance<'_>,
    gifts: &[Arc<Gift>],
    of: &Reduction<'_>,
    at: u64,
    len: u64,
) -> Result<()> {
    let Combine::Builtin(op, basic) = of.combine else { return Ok(()) };
    let (mut sum, mut next) = (room(len)?, room(len)?);
    for (rank, gift) in gifts.iter().enumerate() {
        if rank == 0 {
            read(gift, at, of.send.bytes(), &mut sum)?;
        } else {
            // What is written may lie where this was.
            read(gift, at, of.send.bytes(), &mut next)?;
            before(of, gift, at, &sum)?;
            op.apply(*basic, &next, &mut sum);
        }
        after(of, gift, at, &sum)?;
    }
    share(meeting, gifts, of, at, &sum)
}

async fn combine_by_program(
    meeting: &Attendance<'_>,
    gifts: &[Arc<Gift>],
    of: &Reduction<'_>,
    at: u64,
    len: u64,
) -> Result<()> {
    let mut sum = Vec::new();
    for (rank, gift) in gifts.iter().enumerate() {
        let mut next = room(len)?;
        read(gift, at, of.send.bytes(), &mut next)?;
        if rank == 0 {
            sum = next;
        } else {
            before(of, gift, at, &sum)?;
            sum = of.combine.apply(&sum.into(), next).await?;
        }
        after(of, gift, at, &sum)?;
    }
    share(meeting, gifts, of, at, &sum)
}

/// What a rank of a scan gets before its own elements are combined.
fn before(of: &Reduction<'_>, gift: &Gift, at: u64, sum: &[u8]) -> Result<()> {
    if matches!(of.share, Share::Scan(true)) { write(gift, at, sum) } else { Ok(()) }
}

/// The same, after that.
fn after(of: &Reduction<'_>, gift: &Gift, at: u64, sum: &[u8]) -> Result<()> {
    if matches!(of.share, Share::Scan(false)) { write(gift, at, sum) } else { Ok(()) }
}

/// Gives a piece of the sum to those who get it.
fn share(
    meeting: &Attendance<'_>,
    gifts: &[Arc<Gift>],
    of: &Reduction<'_>,
    at: u64,
    sum: &[u8],
) -> Result<()> {
    match of.share {
        Share::Scan(_) => Ok(()),
        Share::All => gifts.iter().try_for_each(|gift| write(gift, at, sum)),
        Share::Leader => {
            let begin = usize::try_from(at).unwrap_or(usize::MAX);
            let mut all = meeting.meeting().sum.lock();
            if all.is_empty() {
                *all = room(of.send.bytes())?;
            }
            if let Some(place) = all.get_mut(begin..).and_then(|rest| rest.get_mut(..sum.len())) {
                place.copy_from_slice(sum);
            }
            Ok(())
        }
        Share::Counts(counts) => {
            let (mut begin, end_of_sum) = (0, at + sum.len() as u64);
            for (gift, count) in gifts.iter().zip(counts) {
                let end = begin + count * of.combine.element();
                let (low, high) = (begin.max(at), end.min(end_of_sum));
                if low < high {
                    let range = usize::try_from(low - at).unwrap_or(0)
                        ..usize::try_from(high - at).unwrap_or(0);
                    write(gift, low - begin, sum.get(range).unwrap_or_default())?;
                }
                begin = end;
            }
            Ok(())
        }
    }
}

fn read(gift: &Gift, at: u64, due: u64, out: &mut [u8]) -> Result<()> {
    let differ = || {
        let why = "the ranks differ in how many elements they bring to a reduction";
        Error::new(c::MPI_ERR_COUNT, why)
    };
    match gift.piece(0) {
        Some(Piece::Bytes(bytes)) if bytes.len() as u64 == due => {
            let begin = usize::try_from(at).unwrap_or(usize::MAX);
            let from = begin.checked_add(out.len()).and_then(|end| bytes.get(begin..end));
            out.copy_from_slice(from.ok_or_else(differ)?);
            Ok(())
        }
        Some(Piece::Span(span)) if span.bytes() == due => {
            span.datatype.pack(&span.memory, span.at, span.count, at, out)
        }
        _ => Err(differ()),
    }
}

fn write(gift: &Gift, at: u64, bytes: &[u8]) -> Result<()> {
    match &gift.into {
        Some(span) if !bytes.is_empty() => {
            span.datatype.unpack(&span.memory, span.at, span.count, at, bytes)
        }
        _ => Ok(()),
    }
}
