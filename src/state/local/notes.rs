//! Notes of where somebody wrote a copy, while they are being dealt with.

use std::ops::Range;

use super::copy::Copy;
use super::ranges::Ranges;

/// Notes taken from a copy. They go back unless all was dealt with: also when whoever took them is
/// cancelled.
pub struct Notes<'a> {
    copy: &'a Copy,
    /// Where somebody may have written.
    pub touched: Ranges,
    /// Bytes flagged as written.
    pub flagged: Ranges,
}

impl<'a> Notes<'a> {
    /// Takes none yet.
    pub fn none(copy: &'a Copy) -> Self {
        Self { copy, touched: Ranges::default(), flagged: Ranges::default() }
    }

    /// Takes those of a range; gives the chunks to look at.
    pub fn take(&mut self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut chunks = self.copy.chunks();
        let places = chunks.candidates(range.clone());
        self.touched.add_all(&chunks.take_touched(range.clone()));
        self.flagged.add_all(&chunks.take_flagged(range));
        places
    }

    /// Takes only what was flagged in a range.
    pub fn take_flagged(&mut self, range: Range<u64>) {
        let taken = self.copy.chunks().take_flagged(range);
        self.flagged.add_all(&taken);
    }

    /// All was dealt with.
    pub fn done(mut self) {
        self.touched = Ranges::default();
        self.flagged = Ranges::default();
    }
}

impl Drop for Notes<'_> {
    fn drop(&mut self) {
        if !self.touched.is_empty() || !self.flagged.is_empty() {
            self.copy.chunks().give_back(&self.touched, &self.flagged);
        }
    }
}
