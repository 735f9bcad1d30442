//! A value as the body of a response: in pieces, at the pace of its reader, but not slower than is
//! allowed.

use std::io;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;

use crate::gateway::body::{Share, earned};
use crate::state::stream::{AHEAD, Door, Piece, Pieces};
use crate::wire::state::{Extent, MAX_PIECE};

/// Most bytes of a range that are in memory at once.
pub fn held(len: u64) -> usize {
    let most = AHEAD * MAX_PIECE;
    usize::try_from(len).unwrap_or(most).min(most)
}

struct Sending {
    first: Option<Bytes>,
    rest: Pieces,
    /// Its part of the budget, for as long as it is sent.
    _share: Share,
    sent: u64,
    /// Time that the reader took for what was sent.
    waited: Duration,
    /// When the last piece was handed out.
    handed: Option<Instant>,
}

/// The body that sends a range of a value, of which the first piece is here.
pub fn body(door: Door, range: Extent, first: Piece, share: Share) -> Body {
    let done = first.bytes.len() as u64;
    // Nothing is to come: no stream is needed.
    if done >= range.len {
        return Body::from(first.bytes);
    }
    let rest = door.rest(range, done, first.version);
    let sending = Sending {
        first: Some(first.bytes),
        rest,
        _share: share,
        sent: 0,
        waited: Duration::ZERO,
        handed: None,
    };
    Body::from_stream(stream::unfold(Some(sending), |sending| async move {
        let mut sending = sending?;
        match sending.next().await? {
            Ok(piece) => Some((Ok(piece), Some(sending))),
            // The connection ends here, short of the length that was told.
            Err(error) => {
                tracing::warn!(%error, "a value was sent in part only");
                Some((Err(error), None))
            }
        }
    }))
}

impl Sending {
    async fn next(&mut self) -> Option<Result<Bytes, io::Error>> {
        if let Some(handed) = self.handed.take() {
            self.waited += handed.elapsed();
        }
        if self.waited > earned(self.sent) {
            return Some(Err(io::Error::new(io::ErrorKind::TimedOut, "the reader is too slow")));
        }
        let piece = match self.first.take() {
            Some(first) => Ok(first),
            None => self.rest.next().await?.map_err(io::Error::other),
        };
        if let Ok(piece) = &piece {
            self.sent += piece.len() as u64;
            self.handed = Some(Instant::now());
        }
        Some(piece)
    }
}
