//! Reductions among ranks of one node: whoever is awake combines the next piece of the vectors,
//! in the order of the ranks, and writes it to all who get it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::SMALL;
use super::local::piece;
use super::meeting::{Attendance, Gift, Need, Piece};
use super::places::{pack, room};
use crate::mpi::constants as c;
use crate::mpi::engine::Span;
use crate::mpi::error::{Error, Result};
use crate::mpi::ops::Op;
use crate::mpi::types::Basic;

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
}

/// What one brings, and what it gets.
#[derive(Debug)]
pub struct Reduction<'w> {
    /// Its elements.
    pub send: &'w Span,
    /// Where the result goes, if this rank gets one.
    pub receive: Option<&'w Span>,
    /// The operation.
    pub op: Op,
    /// The elements' type.
    pub basic: Basic,
    /// Who gets what.
    pub share: Share<'w>,
}

/// Runs one.
pub async fn run(meeting: &Attendance<'_>, of: &Reduction<'_>) -> Result<()> {
    let len = of.send.bytes();
    // What a piece's result is written over must not be part of another piece.
    let apart = matches!(of.share, Share::Counts(_));
    let piece = match apart {
        true => Piece::Bytes(pack(of.send)?),
        false => piece(of.send)?,
    };
    let last = meeting.give(Gift { pieces: vec![piece], into: of.receive.cloned() });
    if len <= SMALL {
        if last {
            combine(meeting, of, 0, len)?;
            meeting.combined();
        } else if of.receive.is_some() {
            meeting.until(Need::Combined).await?;
        }
        return Ok(());
    }
    meeting.until(Need::AllArrived).await?;
    let element = of.basic.size().max(1);
    let step = (STEP / element).max(1) * element;
    let steps = len.div_ceil(step);
    let shared = meeting.meeting();
    loop {
        let at = shared.next.fetch_add(1, Ordering::Relaxed);
        if at >= steps {
            break;
        }
        combine(meeting, of, at * step, step.min(len - at * step))?;
        if shared.done.fetch_add(1, Ordering::AcqRel) + 1 == steps {
            meeting.combined();
        }
    }
    meeting.until(Need::Combined).await
}

/// Combines a piece; nobody waits for one that could not be.
fn combine(meeting: &Attendance<'_>, of: &Reduction<'_>, at: u64, len: u64) -> Result<()> {
    let combined = combine_piece(&meeting.gifts(), of, at, len);
    if let Err(error) = &combined {
        meeting.meeting().fail(error.class().unwrap_or(c::MPI_ERR_OTHER));
    }
    combined
}

fn combine_piece(gifts: &[Arc<Gift>], of: &Reduction<'_>, at: u64, len: u64) -> Result<()> {
    let (mut sum, mut next) = (room(len)?, room(len)?);
    for (rank, gift) in gifts.iter().enumerate() {
        if rank == 0 {
            read(gift, at, of.send.bytes(), &mut sum)?;
        } else {
            // What is written may lie where this was.
            read(gift, at, of.send.bytes(), &mut next)?;
            if matches!(of.share, Share::Scan(true)) {
                write(gift, at, &sum)?;
            }
            of.op.apply(of.basic, &next, &mut sum);
        }
        if matches!(of.share, Share::Scan(false)) {
            write(gift, at, &sum)?;
        }
    }
    match of.share {
        Share::Scan(_) => Ok(()),
        Share::All => gifts.iter().try_for_each(|gift| write(gift, at, &sum)),
        Share::Counts(counts) => {
            let mut begin = 0;
            for (gift, count) in gifts.iter().zip(counts) {
                let end = begin + count * of.basic.size();
                let (low, high) = (begin.max(at), end.min(at + len));
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
