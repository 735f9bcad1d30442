//! What a node knows of the chunks of its copy of a value: which are here, what each was when it
//! was last the same as the owner's, and where somebody may have written since. Pure.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use super::ranges::Ranges;
use crate::wire::state::{CHUNK, Version, chunk_hash};

/// Chunks of one block: what is allocated at once.
const BLOCK: usize = 16;
/// Bytes of a block.
const BLOCK_BYTES: u64 = BLOCK as u64 * CHUNK;
/// The seq of a chunk that was written here and never was the same as the owner's.
const LOCAL: u64 = u64::MAX;
/// Its hash: equals that of no bytes.
const UNKNOWN: u128 = 0;
/// The hash of a chunk of zeros.
static ZEROS: LazyLock<u128> = LazyLock::new(|| chunk_hash(&[0; CHUNK as usize]));

/// One chunk, as of its last synchronisation.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    hash: u128,
    /// It was the owner's at this seq; 0 when it is not here.
    seq: u64,
}

const ABSENT: Chunk = Chunk { hash: UNKNOWN, seq: 0 };

/// A run of chunks, in bytes, and the seq up to which they are known not to have changed: none
/// when they are not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// In whole chunks, but for the end of the value.
    pub range: Range<u64>,
    /// As of when.
    pub seq: Option<u64>,
}

/// The chunks of a copy.
#[derive(Debug, Default)]
pub struct Chunks {
    /// Differs for each creation; `None` before the value was made at its owner.
    pub generation: Option<u64>,
    /// The owner's length when it was last heard of.
    pub synced_len: u64,
    len: u64,
    blocks: BTreeMap<u64, Box<[Chunk; BLOCK]>>,
    /// Chunks that no block tells of are here, as zeros of this seq, up to this byte.
    blank: Option<(u64, u64)>,
    /// Windows that are mapped, in whole wasm pages, and how often.
    mapped: BTreeMap<(u64, u64), usize>,
    /// Where somebody may have written since the last synchronisation.
    touched: Ranges,
    /// Bytes flagged as written.
    flagged: Ranges,
}

impl Chunks {
    /// Of a value of this version, of which nothing is here.
    pub fn absent(version: Version, len: u64) -> Self {
        let generation = Some(version.generation);
        Self { generation, synced_len: len, len, ..Self::default() }
    }

    /// Of a new value of zeros: as of a version, or not made yet.
    pub fn zeros(version: Option<Version>, len: u64) -> Self {
        let seq = version.map_or(LOCAL, |version| version.seq);
        let blank = Some((seq, len.next_multiple_of(CHUNK)));
        let synced_len = if version.is_some() { len } else { 0 };
        let generation = version.map(|version| version.generation);
        Self { generation, synced_len, len, blank, ..Self::default() }
    }

    /// The length of the value here.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The owner's length is another: chunks behind the end are forgotten, new ones are not here.
    pub fn resized_by_owner(&mut self, len: u64) {
        self.synced_len = len;
        if len < self.len {
            self.touched.remove(len..u64::MAX);
            self.flagged.remove(len..u64::MAX);
            self.blocks.split_off(&len.div_ceil(BLOCK_BYTES));
            for at in chunks(len.next_multiple_of(CHUNK)..len.next_multiple_of(BLOCK_BYTES)) {
                self.set(at, ABSENT);
            }
            if let Some((_, to)) = &mut self.blank {
                *to = len.next_multiple_of(CHUNK).min(*to);
            }
        }
        self.len = len;
    }

    /// Notes that the whole value was written here, with this length.
    pub fn replaced(&mut self, len: u64) {
        self.blocks.clear();
        self.flagged = Ranges::default();
        self.blank = None;
        self.len = len;
        for at in chunks(0..len) {
            self.set(at, Chunk { hash: UNKNOWN, seq: LOCAL });
        }
        self.touched = Ranges::default();
        self.touched.add(0..len);
    }

    /// Notes that bytes were written here. Chunks that were not here must be written whole.
    pub fn written(&mut self, range: Range<u64>) {
        for at in chunks(range.clone()) {
            if self.get(at).seq == 0 {
                self.set(at, Chunk { hash: UNKNOWN, seq: LOCAL });
            }
        }
        self.touched.add(range);
    }

    /// Notes that bytes may have been written.
    pub fn touch(&mut self, range: Range<u64>) {
        self.touched.add(range);
    }

    /// Flags bytes as written.
    pub fn flag(&mut self, range: Range<u64>) {
        self.flagged.add(range.start..range.end.min(self.len));
    }

    /// Takes the flagged bytes within a range.
    pub fn take_flagged(&mut self, range: Range<u64>) -> Ranges {
        let mut taken = Ranges::default();
        self.flagged.within(range.clone()).for_each(|part| taken.add(part));
        self.flagged.remove(range);
        taken
    }

    /// The value was made at its owner, as it is here: zeros where nothing was sent.
    pub fn born(&mut self, version: Version) {
        self.generation = Some(version.generation);
        if let Some((seq, _)) = &mut self.blank {
            *seq = version.seq;
        }
        for chunk in self.blocks.values_mut().flat_map(|block| block.iter_mut()) {
            if chunk.seq == LOCAL && chunk.hash == *ZEROS {
                chunk.seq = version.seq;
            }
        }
    }

    /// The value has this version at its owner; what is here of it is perhaps not the same.
    pub fn adopted(&mut self, version: Version, len: u64) {
        self.generation = Some(version.generation);
        self.synced_len = len;
    }

    /// Whether bytes are flagged.
    pub fn is_flagged(&self) -> bool {
        !self.flagged.is_empty()
    }

    /// Notes that a window was mapped.
    pub fn map(&mut self, window: Range<u64>) {
        *self.mapped.entry((window.start, window.end)).or_default() += 1;
    }

    /// Notes that it is no more: somebody may have written there.
    pub fn unmap(&mut self, window: Range<u64>) {
        let key = (window.start, window.end);
        if let Some(count) = self.mapped.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.mapped.remove(&key);
            }
        }
        self.touched.add(window.start..window.end.min(self.len));
    }

    /// Whether any of it is mapped.
    pub fn is_mapped(&self) -> bool {
        !self.mapped.is_empty()
    }

    /// Whether something may have been written since the last synchronisation.
    pub fn is_touched(&self) -> bool {
        !self.touched.is_empty() || !self.mapped.is_empty() || self.len != self.synced_len
    }

    /// Where somebody may have written, within a range: chunks that are here, in order.
    pub fn candidates(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut places = self.touched.clone();
        self.mapped.keys().for_each(|(start, end)| places.add(*start..*end));
        let mut found = Ranges::default();
        for place in places.within(range.start..range.end.min(self.len)) {
            let whole = self.whole(place);
            self.runs(whole).into_iter().filter(|run| run.seq.is_some()).for_each(|run| {
                found.add(run.range);
            });
        }
        found.iter().collect()
    }

    /// Whether all of a range is here.
    pub fn has(&self, range: Range<u64>) -> bool {
        self.runs(range).iter().all(|run| run.seq.is_some())
    }

    /// The chunks of a range as runs of the same seq. A chunk that was never the owner's counts
    /// as of seq 0.
    pub fn runs(&self, range: Range<u64>) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let range = self.whole(range);
        let mut add = |from: u64, to: u64, chunk: Chunk| {
            let seq = match chunk.seq {
                0 => None,
                LOCAL => Some(0),
                seq => Some(seq),
            };
            let place = (from * CHUNK).max(range.start)..(to * CHUNK).min(range.end);
            match runs.last_mut() {
                _ if place.is_empty() => {}
                Some(last) if last.seq == seq => last.range.end = place.end,
                _ => runs.push(Run { range: place, seq }),
            }
        };
        let all = chunks(range.clone());
        let mut next = all.start;
        let size = BLOCK as u64;
        for (block, within) in self.blocks.range(all.start / size..all.end.div_ceil(size)) {
            self.gap(next..block * size, &mut add);
            within.iter().zip(block * size..).for_each(|(chunk, at)| add(at, at + 1, *chunk));
            next = (block + 1) * size;
        }
        self.gap(next..all.end, &mut add);
        runs
    }

    /// Chunks that no block tells of.
    fn gap(&self, gap: Range<u64>, add: &mut impl FnMut(u64, u64, Chunk)) {
        let (seq, to) = self.blank.unwrap_or_default();
        let to = (to / CHUNK).clamp(gap.start, gap.end.max(gap.start));
        add(gap.start, to, Chunk { hash: *ZEROS, seq });
        add(to, gap.end, ABSENT);
    }

    /// The hash of a chunk when it was last the owner's.
    pub fn hash(&self, chunk: u64) -> u128 {
        self.get(chunk).hash
    }

    /// Notes that a chunk is the same as the owner's at a seq.
    pub fn synced(&mut self, chunk: u64, hash: u128, seq: u64) {
        self.set(chunk, Chunk { hash, seq });
    }

    /// Notes that what is here of a range and was not written here is as of this seq.
    pub fn unchanged(&mut self, range: Range<u64>, seq: u64) {
        let range = self.whole(range);
        if let Some((blank, to)) = &mut self.blank
            && *blank != LOCAL
            && range.start == 0
            && range.end.next_multiple_of(CHUNK) >= *to
        {
            *blank = seq.max(*blank);
        }
        let (all, size) = (chunks(range), BLOCK as u64);
        for (block, within) in self.blocks.range_mut(all.start / size..all.end.div_ceil(size)) {
            for (chunk, at) in within.iter_mut().zip(block * size..) {
                let older = chunk.seq != 0 && chunk.seq < seq;
                if older && all.contains(&at) {
                    chunk.seq = seq;
                }
            }
        }
    }

    /// Takes the notes of where somebody may have written, to deal with all of it.
    pub fn take_touched(&mut self, range: Range<u64>) -> Ranges {
        let mut taken = Ranges::default();
        self.touched.within(range.clone()).for_each(|part| taken.add(part));
        self.touched.remove(range);
        taken
    }

    /// Gives such notes back: it was not dealt with.
    pub fn give_back(&mut self, touched: &Ranges, flagged: &Ranges) {
        self.touched.add_all(touched);
        self.flagged.add_all(flagged);
    }

    /// Bytes that are here.
    pub fn resident(&self) -> u64 {
        let here = self.runs(0..self.len).into_iter().filter(|run| run.seq.is_some());
        here.map(|run| run.range.end - run.range.start).sum()
    }

    /// A range in whole chunks, but for the end of the value.
    fn whole(&self, range: Range<u64>) -> Range<u64> {
        let end = range.end.min(self.len);
        let start = range.start.min(end) / CHUNK * CHUNK;
        start..end.checked_next_multiple_of(CHUNK).unwrap_or(end).min(self.len)
    }

    fn get(&self, chunk: u64) -> Chunk {
        let (block, at) = place(chunk);
        match self.blocks.get(&block) {
            Some(block) => block.get(at).copied().unwrap_or(ABSENT),
            None => self.empty(chunk),
        }
    }

    /// What a chunk is that no block tells of.
    fn empty(&self, chunk: u64) -> Chunk {
        match self.blank {
            Some((seq, to)) if chunk * CHUNK < to => Chunk { hash: *ZEROS, seq },
            _ => ABSENT,
        }
    }

    fn set(&mut self, chunk: u64, to: Chunk) {
        let (block, at) = place(chunk);
        if !self.blocks.contains_key(&block) {
            let first = block * BLOCK as u64;
            let mut made = Box::new([ABSENT; BLOCK]);
            made.iter_mut().zip(first..).for_each(|(chunk, at)| *chunk = self.empty(at));
            self.blocks.insert(block, made);
        }
        if let Some(chunk) = self.blocks.get_mut(&block).and_then(|block| block.get_mut(at)) {
            *chunk = to;
        }
    }
}

/// The chunks that a range touches.
pub fn chunks(range: Range<u64>) -> Range<u64> {
    if range.is_empty() { 0..0 } else { range.start / CHUNK..range.end.div_ceil(CHUNK) }
}

fn place(chunk: u64) -> (u64, usize) {
    (chunk / BLOCK as u64, (chunk % BLOCK as u64) as usize)
}
