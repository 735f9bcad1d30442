//! Collectives among ranks of one node that only move elements: each copies what is for it out of
//! the memory of the others.

use std::collections::BTreeMap;

use super::meeting::{Attendance, Gift, Need, Piece};
use super::places::{copy, pack, unpack};
use super::{Root, SMALL, Work};
use crate::mpi::constants as c;
use crate::mpi::engine::Span;
use crate::mpi::error::{Error, Result};

/// Runs one of them.
pub async fn run(room: &Attendance<'_>, me: u32, work: &Work) -> Result<()> {
    match work {
        Work::Barrier => {
            room.give(Gift::default());
            room.until(Need::AllArrived).await
        }
        Work::Bcast { root: Root::At(root), buffer } if *root == me => {
            give(room, buffer).await.map(drop)?;
            readers(room, [buffer]).await
        }
        Work::Bcast { root: Root::At(root), buffer } => {
            room.give(Gift::default());
            take(room, *root, me, buffer).await
        }
        Work::Gather { root: Root::At(root), send, receive, .. } => {
            gather(room, me, *root, send.as_ref(), receive).await
        }
        Work::Scatter { root: Root::At(root), send, receive, .. } => {
            if *root == me {
                room.give(Gift::of(pieces(send)?));
            } else {
                room.give(Gift::default());
            }
            if let Some(receive) = receive {
                take(room, *root, me, receive).await?;
            }
            if *root == me { readers(room, send).await } else { Ok(()) }
        }
        Work::Allgather { send, receive, .. } => {
            let mine = send.as_ref().or_else(|| receive.get(me as usize));
            if let Some(mine) = mine {
                give(room, mine).await?;
            }
            take_all(room, me, receive, send.is_none()).await?;
            readers(room, mine).await
        }
        Work::Alltoall { send: Some(send), receive, .. } => {
            room.give(Gift::of(pieces(send)?));
            take_all(room, me, receive, false).await?;
            readers(room, send).await
        }
        Work::Alltoall { send: None, receive, .. } => {
            // What comes takes the place of what goes.
            let copies: Result<Vec<_>> =
                receive.iter().map(|span| pack(span).map(Piece::Bytes)).collect();
            room.give(Gift::of(copies?));
            take_all(room, me, receive, false).await
        }
        Work::Neighbours { send, receive } => neighbours(room, me, send, receive).await,
        _ => Err(Error::unsupported("this collective between groups of one node")),
    }
}

async fn gather(
    room: &Attendance<'_>,
    me: u32,
    root: u32,
    send: Option<&Span>,
    receive: &[Span],
) -> Result<()> {
    if me != root {
        if let Some(send) = send {
            give(room, send).await?;
            if send.bytes() > SMALL {
                room.until(Need::Finished(root)).await?;
            }
        }
        return Ok(());
    }
    match send {
        Some(send) => drop(give(room, send).await?),
        None => drop(room.give(Gift::default())),
    }
    take_all(room, me, receive, send.is_none()).await
}

/// Brings one piece for all: a copy of a short one.
async fn give(room: &Attendance<'_>, span: &Span) -> Result<bool> {
    Ok(room.give(Gift::of(vec![piece(span)?])))
}

/// What a rank brings of its elements.
pub fn piece(span: &Span) -> Result<Piece> {
    match span.bytes() <= SMALL {
        true => pack(span).map(Piece::Bytes),
        false => Ok(Piece::Span(span.clone())),
    }
}

pub fn pieces<'s>(
    spans: impl IntoIterator<Item = &'s Span, IntoIter: Clone>,
) -> Result<Vec<Piece>> {
    // Copies only where all are short, so that they can be waited for together.
    let spans = spans.into_iter();
    match spans.clone().map(Span::bytes).sum::<u64>() <= SMALL {
        true => spans.map(|span| pack(span).map(Piece::Bytes)).collect(),
        false => Ok(spans.cloned().map(Piece::Span).collect()),
    }
}

/// Each rank takes from those that have something for it, in the order in which they have it.
async fn neighbours(
    room: &Attendance<'_>,
    me: u32,
    send: &[(u32, Span)],
    receive: &[(u32, Span)],
) -> Result<()> {
    let pieces = pieces(send.iter().map(|(_, span)| span))?;
    room.give(Gift { to: send.iter().map(|(to, _)| *to).collect(), ..Gift::of(pieces) });
    let mut taken = BTreeMap::new();
    for (from, into) in receive {
        room.until(Need::Arrived(*from)).await?;
        let gift = room.gift(*from)?;
        let nth: &mut usize = taken.entry(from).or_default();
        // It has nothing more: the others' topology is another.
        let none = || Error::new(c::MPI_ERR_TOPOLOGY, "a neighbour has nothing for this rank");
        take_piece(gift.pieces_to(me).nth(*nth).ok_or_else(none)?, into)?;
        *nth += 1;
    }
    room.finish();
    if send.iter().map(|(_, span)| span.bytes()).sum::<u64>() > SMALL {
        for (to, _) in send {
            room.until(Need::Finished(*to)).await?;
        }
    }
    Ok(())
}

/// Waits for who reads this rank's memory.
pub async fn readers(room: &Attendance<'_>, of: impl IntoIterator<Item = &Span>) -> Result<()> {
    room.finish();
    match of.into_iter().map(Span::bytes).sum::<u64>() <= SMALL {
        true => Ok(()),
        false => room.until(Need::AllFinished).await,
    }
}

async fn take(room: &Attendance<'_>, from: u32, me: u32, into: &Span) -> Result<()> {
    room.until(Need::Arrived(from)).await?;
    let gift = room.gift(from)?;
    gift.piece(me).map_or(Ok(()), |piece| take_piece(piece, into))
}

/// Takes one piece.
pub fn take_piece(piece: &Piece, into: &Span) -> Result<()> {
    match piece {
        Piece::Bytes(bytes) => unpack(into, bytes),
        Piece::Span(span) => copy(span, into),
    }
}

/// Takes what all bring, the own first; not that when it is there.
async fn take_all(room: &Attendance<'_>, me: u32, receive: &[Span], has_own: bool) -> Result<()> {
    room.until(Need::AllArrived).await?;
    let size = room.size();
    for step in u32::from(has_own)..size {
        let from = (me + step) % size;
        if let Some(into) = receive.get(from as usize) {
            take(room, from, me, into).await?;
        }
    }
    Ok(())
}
