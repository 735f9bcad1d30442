//! Doors for tests that feed malformed bytes to what connections take. No part of the API.

use bytes::Bytes;

use super::frame::{self, Decoder, Kind};

/// A frame as bytes: `kind` is 1 to 4. `None` when its parts are too long.
pub fn frame(kind: u8, id: u64, head: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let kind = match kind {
        1 => Kind::Message,
        2 => Kind::Request,
        3 => Kind::Reply,
        _ => Kind::Failure,
    };
    let header = frame::header(kind, id, head.len(), body.len()).ok()?;
    Some([&header[..], head, body].concat())
}

/// Cuts a stream's bytes into frames, as they come in pieces of `step`; `take` is given kind, head
/// and body of each.
pub fn frames(
    bytes: &[u8],
    step: usize,
    mut take: impl FnMut(u8, &[u8], Bytes) -> Result<(), String>,
) -> Result<(), String> {
    let mut decoder = Decoder::new();
    for piece in bytes.chunks(step.max(1)) {
        let mut piece = Bytes::copy_from_slice(piece);
        while let Some(frame) = decoder.next(&mut piece).map_err(|error| error.to_string())? {
            take(frame.kind as u8, frame.head, frame.body)?;
        }
    }
    match decoder.is_between_frames() {
        true => Ok(()),
        false => Err("the stream ends within a frame".to_owned()),
    }
}
