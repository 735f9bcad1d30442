//! The log of one call: its stdout and stderr, in order, bounded.

use bytes::Bytes;

/// Bytes written so far, never more than the limit.
#[derive(Debug)]
pub struct Log {
    bytes: Vec<u8>,
    limit: usize,
}

impl Log {
    /// An empty log that takes this many bytes.
    pub fn new(limit: u64) -> Self {
        Self { bytes: Vec::new(), limit: usize::try_from(limit).unwrap_or(usize::MAX) }
    }

    /// Bytes that still fit.
    pub fn room(&self) -> usize {
        self.limit - self.bytes.len()
    }

    /// Takes what fits of `text`; `false` when it did not all fit.
    pub fn append(&mut self, text: &[u8]) -> bool {
        let fits = text.len().min(self.room());
        self.bytes.extend_from_slice(&text[..fits]);
        fits == text.len()
    }

    /// All of it; the log is empty after.
    pub fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_are_kept() {
        let mut log = Log::new(5);
        assert!(log.append(b"abc"));
        assert!(!log.append(b"def"));
        assert!(!log.append(b"g"));
        assert_eq!(log.take(), "abcde");
    }
}
