//! What waits to be written to one stream: a queue of encoded frames, bounded in bytes. Any thread
//! appends, one task takes all there is at once.
//!
//! While that task sleeps, the stream lies in the queue, and whoever appends may borrow it to
//! write at once: on the component's own runtime this saves the wake of a task, and with it often
//! that of a thread.

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

/// A frame to append.
pub(super) struct Outgoing<'a> {
    /// Its header.
    pub header: &'a [u8; HEADER],
    /// Its archive.
    pub head: &'a [u8],
    /// The bytes beside it.
    pub body: Bytes,
}

/// The stream and all that waits, borrowed to write at once; to be given back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lent<S> {
    /// The stream.
    pub stream: S,
    /// What waits.
    pub batch: Vec<Bytes>,
}

/// The queue of a stream of type `S`.
pub(super) struct Outbox<S> {
    limit: usize,
    inner: Mutex<Inner<S>>,
}

struct Inner<S> {
    /// Whole pieces before `tail`.
    pieces: Vec<Bytes>,
    /// What is appended to.
    tail: BytesMut,
    /// Bytes here, with the writer and lent.
    bytes: usize,
    /// Bytes here.
    waiting: usize,
    closed: bool,
    /// The writer, when it sleeps.
    waker: Option<Waker>,
    /// The stream, when the writer sleeps and has opened it.
    stream: Option<S>,
    /// Somebody has borrowed the stream.
    lent: bool,
}

impl<S> Outbox<S> {
    /// Takes at most `limit` bytes, those that the writer has not yet handed on included.
    pub(super) fn new(limit: usize) -> Self {
        let inner = Inner {
            pieces: Vec::new(),
            tail: BytesMut::new(),
            bytes: 0,
            waiting: 0,
            closed: false,
            waker: None,
            stream: None,
            lent: false,
        };
        Self { limit, inner: Mutex::new(inner) }
    }

    /// Appends a frame; `reserve` bytes may be used beyond the limit. Never waits. If the writer
    /// sleeps it is woken, or, if the caller can `write` itself, the stream is lent.
    pub(super) fn push(
        &self,
        frame: Outgoing<'_>,
        reserve: usize,
        write: bool,
    ) -> Result<Option<Lent<S>>, PushError> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(PushError::Closed);
        }
        let size = HEADER + frame.head.len() + frame.body.len();
        if inner.bytes + size > self.limit + reserve {
            return Err(PushError::Full);
        }
        inner.append(frame, size);
        if inner.lent || inner.waker.is_none() {
            return Ok(None);
        }
        if let Some(stream) = inner.stream.take_if(|_| write) {
            inner.lent = true;
            let mut batch = Vec::new();
            inner.take(&mut batch);
            return Ok(Some(Lent { stream, batch }));
        }
        let waker = inner.waker.take();
        drop(inner);
        wake(waker);
        Ok(None)
    }

    /// Takes the stream back, with what could not be written; `written` bytes were.
    pub(super) fn give_back(&self, mut lent: Lent<S>, written: usize) {
        let mut inner = self.inner.lock();
        inner.lent = false;
        inner.bytes = inner.bytes.saturating_sub(written);
        inner.waiting += lent.batch.iter().map(Bytes::len).sum::<usize>();
        lent.batch.append(&mut inner.pieces);
        inner.pieces = lent.batch;
        inner.stream = Some(lent.stream);
        if inner.waiting > 0 || inner.closed {
            let waker = inner.waker.take();
            drop(inner);
            wake(waker);
        }
    }

    /// Moves all that waits into `batch`, which must be empty, for the one task that writes. While
    /// nothing waits, `stream` lies here.
    pub(super) fn poll_take(
        &self,
        cx: &Context<'_>,
        stream: &mut Option<S>,
        batch: &mut Vec<Bytes>,
    ) -> Poll<Taken> {
        let mut inner = self.inner.lock();
        if inner.lent {
            inner.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if inner.waiting == 0 && !inner.closed {
            inner.waker = Some(cx.waker().clone());
            if stream.is_some() {
                inner.stream = stream.take();
            }
            return Poll::Pending;
        }
        if inner.stream.is_some() {
            *stream = inner.stream.take();
        }
        Poll::Ready(match inner.take(batch) {
            0 => Taken::End,
            bytes => Taken::Bytes(bytes),
        })
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
        wake(waker);
    }

    /// Bytes that wait, those with the writer included.
    pub(super) fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }
}

impl<S> Inner<S> {
    fn append(&mut self, frame: Outgoing<'_>, size: usize) {
        self.bytes += size;
        self.waiting += size;
        self.tail.extend_from_slice(frame.header);
        self.tail.extend_from_slice(frame.head);
        if frame.body.len() <= COPY_BELOW {
            self.tail.extend_from_slice(&frame.body);
        } else {
            let tail = self.tail.split().freeze();
            self.pieces.push(tail);
            self.pieces.push(frame.body);
        }
    }

    /// Moves all that waits into `batch`; gives its length.
    fn take(&mut self, batch: &mut Vec<Bytes>) -> usize {
        std::mem::swap(&mut self.pieces, batch);
        if !self.tail.is_empty() {
            batch.push(self.tail.split().freeze());
        }
        std::mem::take(&mut self.waiting)
    }
}

/// Never under the lock: the woken task may run at once on another thread and want it.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
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

    /// An empty header.
    const H: [u8; HEADER] = [b'h'; HEADER];

    /// A queue whose "stream" is a name, its writer, and how often that was woken.
    struct Fixture {
        outbox: Outbox<&'static str>,
        stream: Option<&'static str>,
        waker: Waker,
        wakes: Arc<Wakes>,
    }

    impl Fixture {
        fn new(limit: usize) -> Self {
            let wakes = Arc::new(Wakes::default());
            let waker = Waker::from(Arc::clone(&wakes));
            Self { outbox: Outbox::new(limit), stream: Some("stream"), waker, wakes }
        }

        fn push(&self, head: &[u8], body: Bytes) -> Result<(), PushError> {
            let frame = Outgoing { header: &H, head, body };
            self.outbox.push(frame, 0, false).map(|lent| assert_eq!(lent, None))
        }

        /// Appends a frame whose head is `head`, as one who can write.
        fn push_and_borrow(&self, head: &[u8]) -> Option<Lent<&'static str>> {
            let frame = Outgoing { header: &H, head, body: Bytes::new() };
            self.outbox.push(frame, 0, true).unwrap()
        }

        fn take(&mut self) -> Poll<(Taken, Vec<u8>)> {
            let mut batch = Vec::new();
            let cx = Context::from_waker(&self.waker);
            let taken = self.outbox.poll_take(&cx, &mut self.stream, &mut batch);
            taken.map(|taken| (taken, batch.concat()))
        }

        fn wakes(&self) -> usize {
            self.wakes.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_batch_holds_all_frames_in_order() {
        let mut f = Fixture::new(1 << 20);
        let long = vec![b'l'; COPY_BELOW + 1];
        f.push(b"one", Bytes::from_static(b"1")).unwrap();
        f.push(b"two", Bytes::from(long.clone())).unwrap();
        f.push(b"three", Bytes::new()).unwrap();
        let expected = [&H[..], b"one1", &H, b"two", &long, &H, b"three"].concat();
        assert_eq!(f.take(), Poll::Ready((Taken::Bytes(expected.len()), expected)));
    }

    #[test]
    fn only_a_sleeping_writer_is_woken_and_only_once() {
        let mut f = Fixture::new(1 << 20);
        f.push(b"", Bytes::new()).unwrap();
        assert!(f.take().is_ready());
        assert!(f.take().is_pending());
        assert_eq!(f.wakes(), 0);
        for _ in 0..3 {
            f.push(b"", Bytes::new()).unwrap();
        }
        assert_eq!(f.wakes(), 1);
    }

    #[test]
    fn bytes_count_until_they_are_written_and_the_reserve_is_for_those_who_may() {
        let mut f = Fixture::new(HEADER * 2);
        f.push(b"", Bytes::new()).unwrap();
        f.push(b"", Bytes::new()).unwrap();
        assert!(f.take().is_ready());
        assert_eq!(f.push(b"", Bytes::new()), Err(PushError::Full));
        let frame = Outgoing { header: &H, head: b"", body: Bytes::new() };
        assert_eq!(f.outbox.push(frame, HEADER, false), Ok(None));
        f.outbox.written(HEADER * 2);
        assert_eq!(f.outbox.bytes(), HEADER);
        assert_eq!(f.push(b"", Bytes::new()), Ok(()));
    }

    #[test]
    fn a_closed_queue_gives_what_it_has_and_then_ends() {
        let mut f = Fixture::new(1 << 20);
        f.push(b"", Bytes::new()).unwrap();
        f.outbox.close();
        assert_eq!(f.push(b"", Bytes::new()), Err(PushError::Closed));
        assert_eq!(f.take(), Poll::Ready((Taken::Bytes(HEADER), H.to_vec())));
        assert_eq!(f.take(), Poll::Ready((Taken::End, Vec::new())));
    }

    #[test]
    fn the_stream_is_lent_only_while_the_writer_sleeps_and_only_once() {
        let mut f = Fixture::new(1 << 20);
        assert_eq!(f.push_and_borrow(b"early"), None, "the writer is awake");
        assert!(f.take().is_ready());
        assert!(f.take().is_pending());
        let lent = f.push_and_borrow(b"a").unwrap();
        assert_eq!((lent.stream, lent.batch.concat()), ("stream", [&H[..], b"a"].concat()));
        assert_eq!(f.push_and_borrow(b"b"), None, "it is lent");
        assert!(f.take().is_pending(), "the writer got a batch before the one that is lent");
        assert_eq!(f.wakes(), 0);
    }

    #[test]
    fn what_the_borrower_could_not_write_goes_first_and_wakes_the_writer() {
        let mut f = Fixture::new(1 << 20);
        assert!(f.take().is_pending());
        let lent = f.push_and_borrow(b"first").unwrap();
        assert_eq!(f.push_and_borrow(b"second"), None);
        f.outbox.give_back(lent, 0);
        assert_eq!(f.wakes(), 1);
        let expected = [&H[..], b"first", &H, b"second"].concat();
        assert_eq!(f.take(), Poll::Ready((Taken::Bytes(expected.len()), expected)));
        assert_eq!(f.stream, Some("stream"));
    }

    #[test]
    fn a_borrower_that_wrote_all_leaves_the_writer_asleep() {
        let mut f = Fixture::new(HEADER);
        assert!(f.take().is_pending());
        for _ in 0..3 {
            let lent = f.push_and_borrow(b"").unwrap();
            f.outbox.give_back(Lent { batch: Vec::new(), ..lent }, HEADER);
            assert_eq!(f.outbox.bytes(), 0);
        }
        assert_eq!(f.wakes(), 0);
    }

    #[test]
    fn a_queue_closed_while_the_stream_is_lent_ends_when_it_is_back() {
        let mut f = Fixture::new(1 << 20);
        assert!(f.take().is_pending());
        let lent = f.push_and_borrow(b"").unwrap();
        f.outbox.close();
        assert!(f.take().is_pending());
        f.outbox.give_back(Lent { batch: Vec::new(), ..lent }, HEADER);
        assert_eq!(f.take(), Poll::Ready((Taken::End, Vec::new())));
        assert_eq!(f.stream, Some("stream"));
    }
}
