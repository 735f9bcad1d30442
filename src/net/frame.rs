//! Frames: how messages follow one another on a service's stream. Knows nothing of connections.
//!
//! A frame is a header of fixed size, the head (an archive) and the body (bytes beside it). All
//! numbers are little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0 | kind |
//! | 1–3 | zero |
//! | 4–7 | length of the head, at most [`MAX_HEAD`] |
//! | 8–11 | length of the body, at most [`MAX_BODY`] |
//! | 12–19 | request id; zero for a one-way message only |

use bytes::{Buf, Bytes, BytesMut};
use rkyv::util::AlignedVec;

use crate::wire::calls::INLINE_MAX;
use crate::wire::{MAX_HEAD, Malformed};

/// Bytes of a header.
pub(super) const HEADER: usize = 20;
/// Longest body: what calls send inline, with room for a part of a longer output.
pub(super) const MAX_BODY: usize = INLINE_MAX + (1 << 20);
/// Longest text of a [`Kind::Failure`].
pub(super) const MAX_FAILURE: usize = 512;
/// A head buffer that grew beyond this for a rare large head is let go after it.
const KEEP_HEAD: usize = 64 << 10;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A one-way message.
    Message = 1,
    /// A request.
    Request = 2,
    /// The answer to a request.
    Reply = 3,
    /// There is no answer to a request; the head is text that says why.
    Failure = 4,
}

/// A frame that arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// What it is.
    pub kind: Kind,
    /// The request it belongs to.
    pub id: u64,
    /// Its archive, aligned for reading in place.
    pub head: &'a [u8],
    /// The bytes beside it, in memory of their own.
    pub body: Bytes,
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    kind: Kind,
    head: usize,
    body: usize,
    id: u64,
}

/// The header of a frame whose lengths are within the limits.
///
/// # Errors
/// The whole length, when head or body is too long.
pub(super) fn header(kind: Kind, id: u64, head: usize, body: usize) -> Result<[u8; HEADER], usize> {
    if head > MAX_HEAD || body > MAX_BODY {
        return Err(head.saturating_add(body));
    }
    let mut out = [0; HEADER];
    out[0] = kind as u8;
    out[4..8].copy_from_slice(&(head as u32).to_le_bytes());
    out[8..12].copy_from_slice(&(body as u32).to_le_bytes());
    out[12..20].copy_from_slice(&id.to_le_bytes());
    Ok(out)
}

fn parse_header(bytes: &[u8; HEADER]) -> Result<Header, Malformed> {
    let field = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i])) as usize;
    let kind = match bytes[0] {
        1 => Kind::Message,
        2 => Kind::Request,
        3 => Kind::Reply,
        4 => Kind::Failure,
        other => return Err(malformed(format!("{other} is no kind of frame"))),
    };
    if bytes[1..4] != [0, 0, 0] {
        return Err(malformed("bytes that must be zero are not".to_owned()));
    }
    let (head, body) = (field(4), field(8));
    let id = u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| bytes[12 + i]));
    let max_head = if kind == Kind::Failure { MAX_FAILURE } else { MAX_HEAD };
    let max_body = if kind == Kind::Failure { 0 } else { MAX_BODY };
    if head > max_head || body > max_body {
        return Err(malformed(format!("a head of {head} or a body of {body} bytes is too long")));
    }
    if (id == 0) != (kind == Kind::Message) {
        return Err(malformed(format!("request id {id} does not go with {kind:?}")));
    }
    Ok(Header { kind, head, body, id })
}

fn malformed(why: String) -> Malformed {
    Malformed { what: "frame", why }
}

/// Makes frames of the bytes of one stream. Holds one frame at most, and allocates for it only
/// after its lengths were checked.
pub(super) struct Decoder {
    header: [u8; HEADER],
    filled: usize,
    parsed: Option<Header>,
    head: AlignedVec<16>,
    body: BytesMut,
    /// The last frame was handed out: its head is to be cleared.
    done: bool,
}

impl Decoder {
    /// Before the first byte.
    pub(super) fn new() -> Self {
        Self {
            header: [0; HEADER],
            filled: 0,
            parsed: None,
            head: AlignedVec::new(),
            body: BytesMut::new(),
            done: false,
        }
    }

    /// Takes bytes from the front of `input` until a frame is whole. `None` when they are used up
    /// first. After an error the stream is of no use.
    pub(super) fn next(&mut self, input: &mut Bytes) -> Result<Option<Frame<'_>>, Malformed> {
        if self.done {
            self.restart();
        }
        let header = match self.parsed {
            Some(header) => header,
            None => match self.take_header(input)? {
                Some(header) => header,
                None => return Ok(None),
            },
        };
        let wanted = (header.head - self.head.len()).min(input.len());
        self.head.extend_from_slice(&input[..wanted]);
        input.advance(wanted);
        // The body is copied: a slice would keep alive the whole packet buffer it came in.
        let wanted = (header.body - self.body.len()).min(input.len());
        self.body.extend_from_slice(&input[..wanted]);
        input.advance(wanted);
        if self.head.len() < header.head || self.body.len() < header.body {
            return Ok(None);
        }
        self.done = true;
        let body = std::mem::take(&mut self.body).freeze();
        Ok(Some(Frame { kind: header.kind, id: header.id, head: &self.head, body }))
    }

    /// Whether the stream may end here.
    pub(super) fn is_between_frames(&self) -> bool {
        self.done || self.filled == 0
    }

    fn take_header(&mut self, input: &mut Bytes) -> Result<Option<Header>, Malformed> {
        let wanted = (HEADER - self.filled).min(input.len());
        self.header[self.filled..self.filled + wanted].copy_from_slice(&input[..wanted]);
        input.advance(wanted);
        self.filled += wanted;
        if self.filled < HEADER {
            return Ok(None);
        }
        let header = parse_header(&self.header)?;
        self.head.reserve(header.head);
        self.body.reserve(header.body);
        self.parsed = Some(header);
        Ok(Some(header))
    }

    fn restart(&mut self) {
        self.done = false;
        self.filled = 0;
        self.parsed = None;
        if self.head.capacity() > KEEP_HEAD {
            self.head = AlignedVec::new();
        } else {
            self.head.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(kind: Kind, id: u64, head: &[u8], body: &[u8]) -> Vec<u8> {
        let mut out = header(kind, id, head.len(), body.len()).unwrap().to_vec();
        out.extend_from_slice(head);
        out.extend_from_slice(body);
        out
    }

    /// Kind, id, head and body.
    type Owned = (Kind, u64, Vec<u8>, Vec<u8>);

    /// All frames of `bytes`, handed over in pieces of `step`.
    fn decode(bytes: &[u8], step: usize) -> Result<Vec<Owned>, Malformed> {
        let mut decoder = Decoder::new();
        let mut out = Vec::new();
        for piece in bytes.chunks(step.max(1)) {
            let mut piece = Bytes::copy_from_slice(piece);
            while let Some(frame) = decoder.next(&mut piece)? {
                assert_eq!(frame.head.as_ptr().align_offset(16), 0, "a head is not aligned");
                out.push((frame.kind, frame.id, frame.head.to_vec(), frame.body.to_vec()));
            }
            assert!(piece.is_empty(), "bytes were left behind");
        }
        if decoder.is_between_frames() { Ok(out) } else { Err(malformed("cut".to_owned())) }
    }

    fn some_frames() -> Vec<u8> {
        [
            encode(Kind::Message, 0, b"head", b""),
            encode(Kind::Request, 1, b"", b"body"),
            encode(Kind::Reply, u64::MAX, &[7; 100], &[8; 1000]),
            encode(Kind::Message, 0, b"", b""),
            encode(Kind::Failure, 2, b"why", b""),
        ]
        .concat()
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_the_bytes_are_cut() {
        let bytes = some_frames();
        let whole = decode(&bytes, bytes.len()).unwrap();
        assert_eq!(whole.len(), 5);
        assert_eq!(whole[2], (Kind::Reply, u64::MAX, vec![7; 100], vec![8; 1000]));
        for step in 1..60 {
            assert_eq!(decode(&bytes, step).unwrap(), whole, "pieces of {step}");
        }
    }

    #[test]
    fn every_cut_stream_is_known_to_be_cut() {
        let bytes = some_frames();
        let ends: Vec<usize> =
            (0..=bytes.len()).filter(|n| decode(&bytes[..*n], 64).is_ok()).collect();
        assert_eq!(ends, [0, 24, 48, 1168, 1188, 1211]);
    }

    #[test]
    fn no_header_whatever_panics_or_allocates_beyond_the_limits() {
        let frame = encode(Kind::Request, 5, b"head", b"body");
        for at in 0..HEADER {
            for value in 0..=255 {
                let mut changed = frame.clone();
                changed[at] = value;
                let mut decoder = Decoder::new();
                let mut input = Bytes::from(changed);
                while let Ok(Some(_)) = decoder.next(&mut input) {}
                assert!(decoder.head.capacity() <= MAX_HEAD * 2);
                assert!(decoder.body.capacity() <= MAX_BODY * 2);
            }
        }
    }

    #[test]
    fn lengths_are_checked_before_anything_is_allocated() {
        for (head, body) in [(MAX_HEAD + 1, 0), (0, MAX_BODY + 1), (usize::MAX, usize::MAX)] {
            assert!(header(Kind::Message, 0, head, body).is_err());
        }
        let mut too_long = header(Kind::Message, 0, 0, 0).unwrap();
        too_long[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut decoder = Decoder::new();
        let error = decoder.next(&mut Bytes::copy_from_slice(&too_long)).unwrap_err();
        assert!(error.why.contains("too long"), "{error}");
        assert_eq!((decoder.head.capacity(), decoder.body.capacity()), (0, 0));
    }

    #[test]
    fn ids_and_kinds_that_do_not_fit_are_refused() {
        for (kind, id) in [(Kind::Message, 1), (Kind::Request, 0), (Kind::Reply, 0)] {
            assert!(decode(&encode(kind, id, b"", b""), 99).is_err(), "{kind:?} with id {id}");
        }
        assert!(decode(&encode(Kind::Failure, 1, &[b'x'; MAX_FAILURE + 1], b""), 99).is_err());
        assert!(decode(&encode(Kind::Failure, 1, b"", b"body"), 99).is_err());
    }
}
