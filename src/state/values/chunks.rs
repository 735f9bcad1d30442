//! What is known of the chunks of a value: the record that wrote each last, and the hash of what
//! it holds. Only chunks that were written take memory.

use std::collections::BTreeMap;

/// Chunks in a block.
pub const BLOCK: u64 = 256;
/// Most cuts that are told apart; more are joined.
const MAX_CUTS: usize = 32;

/// A chunk that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// The record that wrote it last; 0 in a block's gaps.
    pub seq: u64,
    /// Of its bytes, those past the end of the value being zeros.
    pub hash: u128,
}

const ABSENT: Chunk = Chunk { seq: 0, hash: 0 };

/// The chunks of one value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunks {
    blocks: BTreeMap<u64, Vec<Chunk>>,
    /// Chunks that are there.
    count: u64,
    /// From this chunk on all were zeros as of this record, in order of both.
    cuts: Vec<(u64, u64)>,
}

impl Chunks {
    /// None, as of this record.
    pub fn new(born: u64) -> Self {
        Self { blocks: BTreeMap::new(), count: 0, cuts: vec![(0, born)] }
    }

    /// What was read from a disk or a peer.
    pub fn with_cuts(cuts: Vec<(u64, u64)>) -> Self {
        Self { blocks: BTreeMap::new(), count: 0, cuts }
    }

    /// The cuts, for [`with_cuts`](Self::with_cuts).
    pub fn cuts(&self) -> &[(u64, u64)] {
        &self.cuts
    }

    /// How many are there.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// One that was written.
    pub fn get(&self, at: u64) -> Option<Chunk> {
        let block = self.blocks.get(&(at / BLOCK))?;
        block.get((at % BLOCK) as usize).copied().filter(|chunk| chunk.seq > 0)
    }

    /// The record that last changed a chunk, also one that is zeros.
    pub fn changed(&self, at: u64) -> u64 {
        self.get(at).map_or_else(|| self.cut(at), |chunk| chunk.seq)
    }

    fn cut(&self, at: u64) -> u64 {
        self.cuts.iter().rev().find(|(from, _)| *from <= at).map_or(0, |(_, seq)| *seq)
    }

    /// The first chunk from `start` on and below `end` that changed after `seq`.
    pub fn next_changed(&self, start: u64, end: u64, seq: u64) -> Option<u64> {
        // A cut after `seq` changed everything behind it; what is there was written later.
        let cut = self.cuts.iter().find(|(_, when)| *when > seq);
        let cut = cut.map_or(u64::MAX, |(from, _)| *from);
        let mut at = start;
        while at < end.min(cut) {
            let Some((index, block)) = self.blocks.range(at / BLOCK..).next() else { break };
            let first = at.max(index * BLOCK);
            let stop = (index * BLOCK + block.len() as u64).min(end).min(cut);
            let newer = |chunk: &u64| {
                block.get((chunk % BLOCK) as usize).is_some_and(|chunk| chunk.seq > seq)
            };
            if let Some(found) = (first..stop).find(newer) {
                return Some(found);
            }
            at = (index + 1) * BLOCK;
        }
        Some(start.max(cut)).filter(|at| *at < end)
    }

    /// Notes that one was written.
    pub fn set(&mut self, at: u64, chunk: Chunk) {
        let block = self.blocks.entry(at / BLOCK).or_default();
        let slot = (at % BLOCK) as usize;
        if block.len() <= slot {
            block.reserve_exact(slot + 1 - block.len());
            block.resize(slot + 1, ABSENT);
        }
        if let Some(place) = block.get_mut(slot) {
            self.count += u64::from(place.seq == 0);
            *place = chunk;
        }
    }

    /// As if this record had written all of them, and nothing else were there.
    pub fn stamp(&mut self, seq: u64) {
        for chunk in self.blocks.values_mut().flatten().filter(|chunk| chunk.seq > 0) {
            chunk.seq = seq;
        }
        self.cuts = vec![(0, seq)];
    }

    /// Forgets all from this one on: they are zeros as of this record.
    pub fn cut_from(&mut self, from: u64, seq: u64) {
        let mut gone = self.blocks.split_off(&(from / BLOCK));
        if let Some(mut block) = gone.remove(&(from / BLOCK)) {
            let keep = (from % BLOCK) as usize;
            self.count -= written(block.get(keep..).unwrap_or_default());
            block.truncate(keep);
            if !block.is_empty() {
                self.blocks.insert(from / BLOCK, block);
            }
        }
        self.count -= gone.values().map(|block| written(block)).sum::<u64>();
        self.cuts.retain(|(at, _)| *at < from);
        self.cuts.push((from, seq));
        if self.cuts.len() > MAX_CUTS {
            // As if the later one had been as deep as the one before.
            let (from, _) = self.cuts.remove(1);
            let first = self.cuts.get(1).map_or(seq, |(_, seq)| *seq);
            if let Some(next) = self.cuts.get_mut(1) {
                *next = (from, first);
            }
        }
    }

    /// All that are there from this one on, in order.
    pub fn iter_from(&self, from: u64) -> impl Iterator<Item = (u64, Chunk)> + '_ {
        self.blocks
            .range(from / BLOCK..)
            .flat_map(|(index, block)| {
                let first = index * BLOCK;
                block.iter().enumerate().map(move |(at, chunk)| (first + at as u64, *chunk))
            })
            .filter(move |(at, chunk)| *at >= from && chunk.seq > 0)
    }
}

fn written(block: &[Chunk]) -> u64 {
    block.iter().filter(|chunk| chunk.seq > 0).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_that_changed_are_found_through_gaps_and_cuts() {
        let mut chunks = Chunks::new(5);
        let set = |chunks: &mut Chunks, at, seq| chunks.set(at, Chunk { seq, hash: 1 });
        set(&mut chunks, 3, 6);
        set(&mut chunks, 26_214_400, 7);
        assert_eq!(chunks.next_changed(0, u64::MAX, 5), Some(3));
        assert_eq!(chunks.next_changed(4, u64::MAX, 5), Some(26_214_400));
        assert_eq!(chunks.next_changed(4, 1_000, 5), None);
        assert_eq!(chunks.next_changed(0, 10, 4), Some(0), "all of it is newer than that");
        assert_eq!(chunks.count(), 2);
        chunks.cut_from(10, 8);
        assert_eq!(chunks.count(), 1);
        assert_eq!(chunks.next_changed(0, 100, 6), Some(10), "it is zeros since then");
        assert_eq!(chunks.next_changed(0, 100, 8), None);
        set(&mut chunks, 20, 9);
        assert_eq!(chunks.next_changed(0, 100, 8), Some(20));
        assert_eq!(chunks.changed(3), 6);
        assert_eq!(chunks.changed(4), 5);
    }

    #[test]
    fn many_cuts_are_joined_and_never_hide_a_change() {
        let mut chunks = Chunks::new(1);
        for at in 0..200 {
            chunks.cut_from(at + 1, at + 2);
        }
        assert!(chunks.cuts().len() <= MAX_CUTS);
        assert!((0..200).all(|at| chunks.changed(at + 1) >= at + 2));
    }
}
