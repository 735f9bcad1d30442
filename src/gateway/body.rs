//! Request bodies: read whole or in pieces, within a size, a pace, and a budget that all requests
//! share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt;

use super::error::ApiError;
use crate::config::units::format_size;
use crate::errno::Errno;

/// What any body may take before its pace counts.
pub const GRACE: Duration = Duration::from_secs(10);
/// Slowest pace of a body, in bytes a second: below it, a client only holds memory.
const MIN_PACE: u64 = 64 << 10;
/// Bytes set aside at most before any has come: a length is a claim, not yet bytes.
const MAX_EARLY: usize = 1 << 20;

/// Bytes of bodies held by all requests, bounded. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Budget {
    left: Arc<AtomicUsize>,
}

impl Budget {
    /// A budget of this many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(bytes)) }
    }

    /// What is left of it.
    pub fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// So many bytes of it, until what is returned is dropped.
    pub fn share(&self, bytes: usize) -> Result<Share, ApiError> {
        let mut share = Share { budget: self.clone(), bytes: 0 };
        share.grow(bytes)?;
        Ok(share)
    }

    fn take(&self, bytes: usize) -> bool {
        let less = |left: usize| left.checked_sub(bytes);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

/// A body that was read. Its bytes count to the budget until this is dropped.
#[derive(Debug)]
pub struct Held {
    /// The bytes.
    pub bytes: Bytes,
    share: Share,
}

/// A part of the budget; dropping it gives it back.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    bytes: usize,
}

impl Share {
    fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        if !self.budget.take(bytes) {
            let detail = "the requests under way hold all memory that request bodies may have; \
                          try again";
            return Err(ApiError::new(Errno::Full, detail));
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

impl Held {
    /// Bytes that it holds of the budget.
    pub fn share(&self) -> usize {
        self.share.bytes
    }
}

/// Reads a body of at most `limit` bytes. One that says it is longer is refused unread.
pub async fn read(mut body: Body, limit: usize, budget: &Budget) -> Result<Held, ApiError> {
    let mut share = Share { budget: budget.clone(), bytes: 0 };
    let claimed = usize::try_from(HttpBody::size_hint(&body).lower()).unwrap_or(usize::MAX);
    if claimed > limit {
        return Err(too_big(limit));
    }
    let started = Instant::now();
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(data) = next_data(&mut body, deadline(started, share.bytes)).await? {
        share.grow(data.len())?;
        if share.bytes > limit {
            return Err(too_big(limit));
        }
        // Most bodies come in one piece, which then needs no copy.
        if first.is_empty() && rest.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.reserve(claimed.min(MAX_EARLY).max(first.len() + data.len()));
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        rest.extend_from_slice(&data);
    }
    let bytes = if rest.is_empty() { first } else { rest.freeze() };
    Ok(Held { bytes, share })
}

/// A body of any length, taken piece by piece. Only what of it is in memory counts to the budget.
#[derive(Debug)]
pub struct Pieces {
    body: Body,
    budget: Budget,
    received: u64,
    /// Time spent on waiting for the client; what its pieces wait for here does not count.
    waited: Duration,
    /// What came with the last piece and did not fit.
    rest: Bytes,
}

impl Pieces {
    /// Takes a body.
    pub fn new(body: Body, budget: &Budget) -> Self {
        let (budget, waited) = (budget.clone(), Duration::ZERO);
        Self { body, budget, received: 0, waited, rest: Bytes::new() }
    }

    /// The next piece: `most` bytes, or fewer at the end; `None` behind it.
    pub async fn next(&mut self, most: usize) -> Result<Option<Held>, ApiError> {
        let mut share = self.budget.share(0)?;
        let (mut first, mut more) = (Bytes::new(), BytesMut::new());
        while share.bytes < most {
            let mut data = std::mem::take(&mut self.rest);
            if data.is_empty() {
                let Some(came) = self.frame().await? else { break };
                data = came;
            }
            let room = most - share.bytes;
            if data.len() > room {
                self.rest = data.split_off(room);
            }
            share.grow(data.len())?;
            if first.is_empty() {
                first = data;
                continue;
            }
            if more.is_empty() {
                more.extend_from_slice(&first);
            }
            more.extend_from_slice(&data);
        }
        let bytes = if more.is_empty() { first } else { more.freeze() };
        Ok((!bytes.is_empty()).then_some(Held { bytes, share }))
    }

    async fn frame(&mut self) -> Result<Option<Bytes>, ApiError> {
        let begun = Instant::now();
        let deadline = begun + earned(self.received).saturating_sub(self.waited);
        let data = next_data(&mut self.body, deadline).await?;
        self.waited += begun.elapsed();
        self.received += data.as_ref().map_or(0, |data| data.len() as u64);
        Ok(data)
    }
}

/// The next piece with bytes in it; trailers are passed over.
async fn next_data(body: &mut Body, deadline: Instant) -> Result<Option<Bytes>, ApiError> {
    loop {
        let frame = tokio::time::timeout_at(deadline.into(), body.frame()).await;
        match frame.map_err(|_| too_slow())? {
            None => return Ok(None),
            Some(Err(error)) => {
                return Err(ApiError::invalid(format!("the request's body broke off: {error}")));
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(Some(data)),
                _ => {}
            },
        }
    }
}

/// When the next piece must have come: `received` bytes earn their time at [`MIN_PACE`].
fn deadline(started: Instant, received: usize) -> Instant {
    started + earned(received as u64)
}

/// The time that a client may take for so many bytes.
pub fn earned(bytes: u64) -> Duration {
    GRACE + Duration::from_millis(bytes.saturating_mul(1000) / MIN_PACE)
}

fn too_big(limit: usize) -> ApiError {
    let limit = format_size(limit as u64);
    let detail = format!("the body is larger than {limit}, the most that a request may carry");
    ApiError::new(Errno::TooBig, detail)
}

fn too_slow() -> ApiError {
    let pace = format_size(MIN_PACE);
    let detail = format!("the body came more slowly than {pace} a second");
    ApiError::new(Errno::TimedOut, detail).with_status(StatusCode::REQUEST_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    use super::*;

    fn pieces(pieces: &[&'static [u8]]) -> Body {
        let frames: Vec<Result<Frame<Bytes>, Infallible>> =
            pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece)))).collect();
        Body::new(StreamBody::new(stream::iter(frames)))
    }

    #[tokio::test]
    async fn a_body_is_read_whole_and_counts_to_the_budget_while_held() {
        let budget = Budget::new(100);
        let held = read(pieces(&[b"one ", b"", b"two ", b"three"]), 50, &budget).await.unwrap();
        assert_eq!((&held.bytes[..], held.share(), budget.left()), (&b"one two three"[..], 13, 87));
        drop(held);
        assert_eq!(budget.left(), 100);
        let held = read(Body::empty(), 50, &budget).await.unwrap();
        assert!(held.bytes.is_empty());
    }

    #[tokio::test]
    async fn a_body_in_one_piece_is_not_copied() {
        let bytes = Bytes::from(vec![1; 1000]);
        let held = read(Body::from(bytes.clone()), 1000, &Budget::new(1000)).await.unwrap();
        assert_eq!(held.bytes.as_ptr(), bytes.as_ptr());
    }

    #[tokio::test]
    async fn a_body_past_its_limit_is_refused_with_or_without_a_length() {
        let budget = Budget::new(1000);
        let error = read(Body::from(vec![0; 11]), 10, &budget).await.unwrap_err();
        assert_eq!((error.status().as_u16(), error.error().code), (413, Errno::TooBig));
        let error = read(pieces(&[b"123456", b"78901"]), 10, &budget).await.unwrap_err();
        assert_eq!(error.status(), 413);
        assert_eq!(budget.left(), 1000);
    }

    #[tokio::test]
    async fn a_spent_budget_refuses_with_503_and_is_whole_again_afterwards() {
        let budget = Budget::new(10);
        let held = read(Body::from("123456"), 10, &budget).await.unwrap();
        let error = read(Body::from("123456"), 10, &budget).await.unwrap_err();
        assert_eq!((error.status().as_u16(), error.error().code), (503, Errno::Full));
        drop(held);
        assert_eq!(budget.left(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_coming_is_given_up() {
        let silent =
            Body::new(StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>()));
        let error = read(silent, 10, &Budget::new(10)).await.unwrap_err();
        assert_eq!((error.status().as_u16(), error.error().code), (408, Errno::TimedOut));
    }

    #[tokio::test]
    async fn pieces_of_a_body_count_to_the_budget_only_while_held() {
        let budget = Budget::new(10);
        let mut body = Pieces::new(pieces(&[b"0123", b"", b"456789ab", b"cdef"]), &budget);
        let one = body.next(6).await.unwrap().unwrap();
        assert_eq!((&one.bytes[..], budget.left()), (&b"012345"[..], 4));
        let refused = body.next(6).await.unwrap_err();
        assert_eq!(refused.error().code, Errno::Full);
        drop(one);
        assert_eq!(budget.left(), 10);

        let mut body = Pieces::new(pieces(&[b"0123", b"456789ab", b"cdef"]), &budget);
        let mut got = Vec::new();
        while let Some(held) = body.next(6).await.unwrap() {
            assert!(held.share() == held.bytes.len() && held.share() <= 6);
            got.push(held.bytes.to_vec());
        }
        assert_eq!(got, [&b"012345"[..], b"6789ab", b"cdef"]);
        assert!(body.next(6).await.unwrap().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_in_pieces_that_stops_coming_is_given_up() {
        let silent =
            Body::new(StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>()));
        let error = Pieces::new(silent, &Budget::new(10)).next(5).await.unwrap_err();
        assert_eq!(error.status(), 408);
    }

    #[test]
    fn bytes_earn_time() {
        let start = Instant::now();
        assert_eq!(deadline(start, 0), start + GRACE);
        assert_eq!(
            deadline(start, 10 * MIN_PACE as usize),
            start + GRACE + Duration::from_secs(10)
        );
    }
}
