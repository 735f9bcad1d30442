//! The first message on a connection, in both directions: who speaks, and which protocol versions
//! it knows.
//!
//! Two builds must be able to read it before they know whether they understand each other, so it
//! is the one message that is no archive and whose layout never changes; a later version may only
//! add bytes at its end, which older ones skip.

use crate::id::{ClusterId, Incarnation, NodeId};
use crate::wire::{Malformed, PROTOCOL_MAX, PROTOCOL_MIN};

/// What a hello begins with.
pub const MAGIC: [u8; 8] = *b"faasmnet";
/// Bytes of the magic and of the length that follows it.
pub const PREFIX_LEN: usize = MAGIC.len() + 2;
/// Bytes after the prefix, in this version.
const REST_LEN: usize = 2 + 2 + 16 + 8 + 8;
/// Most bytes after the prefix that any version may send.
pub const MAX_REST: usize = 1024;

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hello {
    /// The oldest protocol version it speaks.
    pub protocol_min: u16,
    /// The newest one.
    pub protocol_max: u16,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its number there.
    pub node: NodeId,
    /// Which of its lives.
    pub incarnation: Incarnation,
}

impl Hello {
    /// The hello of this build.
    pub fn new(cluster: ClusterId, node: NodeId, incarnation: Incarnation) -> Self {
        Self { protocol_min: PROTOCOL_MIN, protocol_max: PROTOCOL_MAX, cluster, node, incarnation }
    }

    /// All its bytes, prefix included.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PREFIX_LEN + REST_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&(REST_LEN as u16).to_le_bytes());
        out.extend_from_slice(&self.protocol_min.to_le_bytes());
        out.extend_from_slice(&self.protocol_max.to_le_bytes());
        out.extend_from_slice(&self.cluster.0.to_le_bytes());
        out.extend_from_slice(&self.node.0.to_le_bytes());
        out.extend_from_slice(&self.incarnation.0.to_le_bytes());
        out
    }

    /// How many bytes follow the prefix, at most [`MAX_REST`].
    pub fn rest_len(prefix: &[u8; PREFIX_LEN]) -> Result<usize, Malformed> {
        let (magic, len) = prefix.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(malformed("it does not begin as a faasm node's hello does".to_owned()));
        }
        match usize::from(u16::from_le_bytes([len[0], len[1]])) {
            len @ REST_LEN..=MAX_REST => Ok(len),
            len => Err(malformed(format!("{len} bytes is no length of it"))),
        }
    }

    /// Reads what follows the prefix.
    pub fn decode_rest(rest: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields(rest);
        let hello = Self {
            protocol_min: u16::from_le_bytes(fields.take()?),
            protocol_max: u16::from_le_bytes(fields.take()?),
            cluster: ClusterId(u128::from_le_bytes(fields.take()?)),
            node: NodeId(u64::from_le_bytes(fields.take()?)),
            incarnation: Incarnation(u64::from_le_bytes(fields.take()?)),
        };
        if hello.node.0 == 0 || hello.protocol_min > hello.protocol_max {
            return Err(malformed("its node or its protocol range is impossible".to_owned()));
        }
        Ok(hello)
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (field, rest) =
            self.0.split_first_chunk().ok_or_else(|| malformed("it is too short".to_owned()))?;
        self.0 = rest;
        Ok(*field)
    }
}

fn malformed(why: String) -> Malformed {
    Malformed { what: "hello", why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello::new(ClusterId(0x0102), NodeId(3), Incarnation(7))
    }

    fn decode(bytes: &[u8]) -> Result<Hello, Malformed> {
        let (prefix, rest) =
            bytes.split_first_chunk().ok_or_else(|| malformed("cut".to_owned()))?;
        let len = Hello::rest_len(prefix)?;
        Hello::decode_rest(rest.get(..len).ok_or_else(|| malformed("cut".to_owned()))?)
    }

    /// The layout is fixed for ever: these are the bytes.
    #[test]
    fn the_layout_stays_as_it_is() {
        let mut bytes = b"faasmnet\x24\0\x02\0\x02\0".to_vec();
        bytes.extend_from_slice(&[2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&[3, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&[7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(hello().encode(), bytes);
        assert_eq!(decode(&bytes), Ok(hello()));
    }

    #[test]
    fn bytes_that_a_later_version_adds_are_skipped() {
        let mut bytes = hello().encode();
        bytes[8] += 3;
        bytes.extend_from_slice(b"new");
        assert_eq!(decode(&bytes), Ok(hello()));
    }

    #[test]
    fn every_cut_is_refused_and_no_changed_byte_panics() {
        let bytes = hello().encode();
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "{len} bytes were taken");
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                if let Err(error) = decode(&changed) {
                    assert_eq!(error.what, "hello");
                }
            }
        }
    }
}
