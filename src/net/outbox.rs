//! What waits to be written to one stream: a queue of encoded frames, bounded in bytes. Any thread
//! appends, one task takes all there is at once.

use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use crate::net::frame::HEADER;

/// Bodies up to this many bytes are copied behind their head, so that many small frames make one
/// piece; longer ones are handed to the transport as they are.
const COPY_BELOW: usize = 4 << 10;

/// Why a frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PushError {
    /// Too many bytes wait.
    Full,
    /// The stream is gone, or is to be.
    Closed,
}

/// What the writer finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// This many bytes, in the batch.
    Bytes(usize),
    /// Nothing, and nothing will come.
    End,
}

/// The queue.
pub(super) struct Outbox {
    limit: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Whole pieces before `tail`.
    pieces: Vec<Bytes>,
    /// What is appended to.
    tail: BytesMut,
    /// Bytes here and with the writer.
    bytes: usize,
    /// Bytes here.
    waiting: usize,
    closed: bool,
    /// The writer, when it sleeps.
    waker: Option<Waker>,
}

impl Outbox {
    /// Takes at most `limit` bytes, those that the writer has not yet handed on included.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, inner: Mutex::default() }
    }

    /// Appends a frame and wakes the writer if it sleeps. `reserve` bytes may be used beyond the
    /// limit. Never waits.
    pub(super) fn push(
        &self,
        header: &[u8; HEADER],
        head: &[u8],
        body: Bytes,
        reserve: usize,
    ) -> Result<(), PushError> {
        let size = HEADER + head.len() + body.len();
        let waker = {
            let mut inner = self.inner.lock();
            if inner.closed {
                return Err(PushError::Closed);
            }
            if inner.bytes + size > self.limit + reserve {
                return Err(PushError::Full);
            }
            inner.bytes += size;
            inner.waiting += size;
            inner.tail.extend_from_slice(header);
            inner.tail.extend_from_slice(head);
            if body.len() <= COPY_BELOW {
                inner.tail.extend_from_slice(&body);
            } else {
                let tail = inner.tail.split().freeze();
                inner.pieces.push(tail);
                inner.pieces.push(body);
            }
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Moves all that waits into `batch`, which must be empty.
    pub(super) fn poll_take(&self, cx: &Context<'_>, batch: &mut Vec<Bytes>) -> Poll<Taken> {
        let mut inner = self.inner.lock();
        if inner.waiting == 0 {
            if inner.closed {
                return Poll::Ready(Taken::End);
            }
            inner.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        std::mem::swap(&mut inner.pieces, batch);
        if !inner.tail.is_empty() {
            batch.push(inner.tail.split().freeze());
        }
        Poll::Ready(Taken::Bytes(std::mem::take(&mut inner.waiting)))
    }

    /// The writer handed this many bytes on: there is room for as many.
    pub(super) fn written(&self, bytes: usize) {
        let mut inner = self.inner.lock();
        inner.bytes = inner.bytes.saturating_sub(bytes);
    }

    /// Takes no more frames; the writer ends when it has taken what there is.
    pub(super) fn close(&self) {
        let waker = {
            let mut inner = self.inner.lock();
            inner.closed = true;
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Bytes that wait, those with the writer included.
    pub(super) fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    const H: [u8; HEADER] = [b'h'; HEADER];

    fn take(outbox: &Outbox, waker: &Waker) -> Poll<(Taken, Vec<u8>)> {
        let mut batch = Vec::new();
        outbox
            .poll_take(&Context::from_waker(waker), &mut batch)
            .map(|taken| (taken, batch.concat()))
    }

    #[test]
    fn a_batch_holds_all_frames_in_order() {
        let outbox = Outbox::new(1 << 20);
        let long = vec![b'l'; COPY_BELOW + 1];
        outbox.push(&H, b"one", Bytes::from_static(b"1"), 0).unwrap();
        outbox.push(&H, b"two", Bytes::from(long.clone()), 0).unwrap();
        outbox.push(&H, b"three", Bytes::new(), 0).unwrap();
        let expected = [&H[..], b"one1", &H, b"two", &long, &H, b"three"].concat();
        let got = take(&outbox, Waker::noop());
        assert_eq!(got, Poll::Ready((Taken::Bytes(expected.len()), expected)));
    }

    #[test]
    fn only_a_sleeping_writer_is_woken_and_only_once() {
        let outbox = Outbox::new(1 << 20);
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        outbox.push(&H, b"", Bytes::new(), 0).unwrap();
        assert!(take(&outbox, &waker).is_ready());
        assert!(take(&outbox, &waker).is_pending());
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        for _ in 0..3 {
            outbox.push(&H, b"", Bytes::new(), 0).unwrap();
        }
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn bytes_count_until_they_are_written_and_the_reserve_is_for_those_who_may() {
        let outbox = Outbox::new(HEADER * 2);
        outbox.push(&H, b"", Bytes::new(), 0).unwrap();
        outbox.push(&H, b"", Bytes::new(), 0).unwrap();
        assert!(take(&outbox, Waker::noop()).is_ready());
        assert_eq!(outbox.push(&H, b"", Bytes::new(), 0), Err(PushError::Full));
        assert_eq!(outbox.push(&H, b"", Bytes::new(), HEADER), Ok(()));
        outbox.written(HEADER * 2);
        assert_eq!(outbox.bytes(), HEADER);
        assert_eq!(outbox.push(&H, b"", Bytes::new(), 0), Ok(()));
    }

    #[test]
    fn a_closed_queue_gives_what_it_has_and_then_ends() {
        let outbox = Outbox::new(1 << 20);
        outbox.push(&H, b"", Bytes::new(), 0).unwrap();
        outbox.close();
        assert_eq!(outbox.push(&H, b"", Bytes::new(), 0), Err(PushError::Closed));
        assert_eq!(take(&outbox, Waker::noop()), Poll::Ready((Taken::Bytes(HEADER), H.to_vec())));
        assert_eq!(take(&outbox, Waker::noop()), Poll::Ready((Taken::End, Vec::new())));
    }
}
