//! Raft messages as network messages: split into parts where they are large (a snapshot is), and
//! put together again. The stream between two nodes keeps the order, so parts follow each other.

use bytes::{Bytes, BytesMut};

use crate::wire::Malformed;
use crate::wire::consensus::Part;

/// Bytes of one part.
pub const PART: usize = 512 << 10;
/// Largest Raft message, in bytes: a snapshot of a full registry and of all request ids.
pub const MAX_MESSAGE: usize = 128 << 20;

/// Splits a message into its parts, which share its bytes.
pub fn split(message: u64, bytes: &Bytes) -> Vec<(Part, Bytes)> {
    let parts = bytes.len().div_ceil(PART).max(1);
    let part = |n: usize| {
        let range = n * PART..((n + 1) * PART).min(bytes.len());
        let count = |n| u32::try_from(n).unwrap_or(u32::MAX);
        (Part { message, part: count(n), parts: count(parts) }, bytes.slice(range))
    };
    (0..parts).map(part).collect()
}

/// Puts together what one peer sends.
#[derive(Debug, Default)]
pub struct Assembler {
    link: u64,
    message: u64,
    next: u32,
    bytes: BytesMut,
}

impl Assembler {
    /// Takes a part that came over connection `link`; gives the message when it is whole. A
    /// message of an older connection, or one whose parts were dropped, is forgotten.
    pub fn take(
        &mut self,
        link: u64,
        part: Part,
        bytes: Bytes,
    ) -> Result<Option<Bytes>, Malformed> {
        let malformed = |why: String| Malformed { what: "part of a Raft message", why };
        if part.part >= part.parts || bytes.len() > PART {
            return Err(malformed(format!("{part:?} with {} bytes", bytes.len())));
        }
        if u64::from(part.parts) * PART as u64 > MAX_MESSAGE as u64 {
            return Err(malformed(format!("a message of {} parts is too large", part.parts)));
        }
        let follows = (self.link, self.message, self.next) == (link, part.message, part.part);
        if part.part == 0 {
            self.bytes.clear();
        } else if !follows {
            self.forget();
            return Ok(None);
        }
        if part.parts == 1 {
            return Ok(Some(bytes));
        }
        self.bytes.extend_from_slice(&bytes);
        (self.link, self.message, self.next) = (link, part.message, part.part + 1);
        if self.next < part.parts {
            return Ok(None);
        }
        let whole = std::mem::take(&mut self.bytes).freeze();
        self.forget();
        Ok(Some(whole))
    }

    fn forget(&mut self) {
        self.bytes = BytesMut::new();
        self.next = 0;
        self.message = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn big() -> Bytes {
        (0..2 * PART + 3).map(|n| n as u8).collect::<Vec<_>>().into()
    }

    #[test]
    fn a_large_message_comes_out_as_it_went_in() {
        let parts = split(9, &big());
        assert_eq!(parts.len(), 3);
        let mut assembler = Assembler::default();
        let whole: Vec<_> =
            parts.into_iter().filter_map(|(p, b)| assembler.take(1, p, b).unwrap()).collect();
        assert_eq!(whole, vec![big()]);
        assert_eq!(assembler.bytes.capacity(), 0, "the memory is given back");
    }

    #[test]
    fn an_empty_message_is_one_part() {
        let (part, bytes) = split(1, &Bytes::new()).remove(0);
        assert_eq!(Assembler::default().take(1, part, bytes), Ok(Some(Bytes::new())));
    }

    #[test]
    fn a_message_with_a_lost_part_or_of_a_lost_connection_is_forgotten() {
        let parts = split(9, &big());
        let mut assembler = Assembler::default();
        assert_eq!(assembler.take(1, parts[0].0, parts[0].1.clone()), Ok(None));
        assert_eq!(assembler.take(1, parts[2].0, parts[2].1.clone()), Ok(None));
        assert_eq!(assembler.take(1, parts[0].0, parts[0].1.clone()), Ok(None));
        assert_eq!(assembler.take(2, parts[1].0, parts[1].1.clone()), Ok(None));
        assert_eq!(assembler.take(2, parts[2].0, parts[2].1.clone()), Ok(None));
        for (at, (part, bytes)) in parts.into_iter().enumerate() {
            let whole = assembler.take(3, part, bytes).unwrap();
            assert_eq!(whole.is_some(), at == 2);
        }
    }

    #[test]
    fn nonsense_is_malformed() {
        let mut assembler = Assembler::default();
        let part = |part, parts| Part { message: 1, part, parts };
        assert!(assembler.take(1, part(0, 0), Bytes::new()).is_err());
        assert!(assembler.take(1, part(2, 2), Bytes::new()).is_err());
        assert!(assembler.take(1, part(0, u32::MAX), Bytes::new()).is_err());
        assert!(assembler.take(1, part(0, 2), vec![0; PART + 1].into()).is_err());
    }
}
