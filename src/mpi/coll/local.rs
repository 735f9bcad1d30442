//! Collectives among ranks of one node that only move elements.

use super::meeting::{Attendance, Gift, Need, Piece};
use super::places::{copy, pack, unpack};
use super::{Root, SMALL, Work};
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
                room.give(Gift { pieces: pieces(send)?, into: None });
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
        Work::Alltoall { send: Some(send), receive } => {
            room.give(Gift { pieces: pieces(send)?, into: None });
            take_all(room, me, receive, false).await?;
            readers(room, send).await
        }
        Work::Alltoall { send: None, receive } => {
            // What comes takes the place of what goes.
            let copies: Result<Vec<_>> =
                receive.iter().map(|span| pack(span).map(Piece::Bytes)).collect();
            room.give(Gift { pieces: copies?, into: None });
            take_all(room, me, receive, false).await
        }
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
    Ok(room.give(Gift { pieces: vec![piece(span)?], into: None }))
}

/// What a rank brings of its elements.
pub fn piece(span: &Span) -> Result<Piece> {
    match span.bytes() <= SMALL {
        true => pack(span).map(Piece::Bytes),
        false => Ok(Piece::Span(span.clone())),
    }
}

fn pieces(spans: &[Span]) -> Result<Vec<Piece>> {
    // Copies only where all are short, so that they can be waited for together.
    match spans.iter().map(Span::bytes).sum::<u64>() <= SMALL {
        true => spans.iter().map(|span| pack(span).map(Piece::Bytes)).collect(),
        false => Ok(spans.iter().cloned().map(Piece::Span).collect()),
    }
}

/// Waits for who reads this rank's memory.
async fn readers(room: &Attendance<'_>, of: impl IntoIterator<Item = &Span>) -> Result<()> {
    room.finish();
    match of.into_iter().map(Span::bytes).sum::<u64>() <= SMALL {
        true => Ok(()),
        false => room.until(Need::AllFinished).await,
    }
}

async fn take(room: &Attendance<'_>, from: u32, me: u32, into: &Span) -> Result<()> {
    room.until(Need::Arrived(from)).await?;
    let gift = room.gift(from)?;
    match gift.piece(me) {
        Some(Piece::Bytes(bytes)) => unpack(into, bytes),
        Some(Piece::Span(span)) => copy(span, into),
        None => Ok(()),
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
