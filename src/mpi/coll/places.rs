//! Elements between memories and packed bytes.

use bytes::Bytes;

use crate::mpi::constants as c;
use crate::mpi::engine::Span;
use crate::mpi::error::{Error, Result};
use crate::mpi::types::Datatype;

/// Most bytes that a rank packs for one collective.
pub const MOST: u64 = 1 << 32;
/// Bytes that are copied through the host at a time.
const PIECE: u64 = 64 << 10;

/// Whether its elements lie one after the other, so that bytes in memory are those that are packed.
pub fn is_dense(span: &Span) -> bool {
    span.datatype.is_contiguous()
}

/// Where elements begin before or behind their address, and how many bytes they take.
pub fn extent_of(datatype: &Datatype, count: u64) -> (i64, u64) {
    let more = count.saturating_sub(1).try_into().unwrap_or(i64::MAX);
    let last = datatype.extent().saturating_mul(more);
    // Programs may touch what lies between the bounds, and data may lie beyond those.
    let low = datatype.true_lb().min(datatype.lb());
    let data = datatype.true_lb().saturating_add(datatype.true_extent());
    let high = data.max(datatype.lb().saturating_add(datatype.extent()));
    let (low, high) = (low.saturating_add(last.min(0)), high.saturating_add(last.max(0)));
    (low, high.saturating_sub(low).try_into().unwrap_or(0))
}

/// Room for so many bytes.
pub fn room(len: u64) -> Result<Vec<u8>> {
    let too_many = || Error::new(c::MPI_ERR_COUNT, format!("{len} bytes are too many to pack"));
    if len > MOST {
        return Err(too_many());
    }
    usize::try_from(len).map(|len| vec![0; len]).map_err(|_| too_many())
}

/// Copies elements out.
pub fn pack(span: &Span) -> Result<Bytes> {
    let len = span.bytes();
    if len == 0 {
        return Ok(Bytes::new());
    }
    if is_dense(span) {
        // Whether there are as many is known before room is made for them.
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        return span.memory.read_vec(span.at, len).map(Bytes::from);
    }
    let mut bytes = room(len)?;
    span.datatype.pack(&span.memory, span.at, span.count, 0, &mut bytes)?;
    Ok(bytes.into())
}

/// Copies elements in, as many as there are. More than there is room for is an error.
pub fn unpack(span: &Span, bytes: &[u8]) -> Result<()> {
    let len = usize::try_from(span.bytes()).unwrap_or(usize::MAX).min(bytes.len());
    if len > 0 {
        span.datatype.unpack(&span.memory, span.at, span.count, 0, &bytes[..len])?;
    }
    fits(bytes.len() as u64, span)
}

/// Copies elements from one place to another.
pub fn copy(from: &Span, to: &Span) -> Result<()> {
    let len = from.bytes().min(to.bytes());
    if len > 0 && is_dense(from) && is_dense(to) {
        to.memory.copy(to.at, &from.memory, from.at, len)?;
    } else {
        let mut piece = room(len.min(PIECE))?;
        let mut at = 0;
        while at < len {
            let count = usize::try_from(len - at).unwrap_or(usize::MAX).min(piece.len());
            let piece = &mut piece[..count];
            from.datatype.pack(&from.memory, from.at, from.count, at, piece)?;
            to.datatype.unpack(&to.memory, to.at, to.count, at, piece)?;
            at += count as u64;
        }
    }
    fits(from.bytes(), to)
}

fn fits(len: u64, span: &Span) -> Result<()> {
    match len <= span.bytes() {
        true => Ok(()),
        false => Err(Error::new(
            c::MPI_ERR_TRUNCATE,
            format!("a collective brings {len} bytes, and there is room for {}", span.bytes()),
        )),
    }
}
