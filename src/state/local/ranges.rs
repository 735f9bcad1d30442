//! Sets of bytes, as ranges that neither overlap nor touch. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

/// A set of bytes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Ranges {
    /// Start to end.
    map: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Adds a range.
    pub fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let Range { mut start, mut end } = range;
        // The usual case in a loop over an array: the range is there, or the last one grows.
        if let Some((_, last)) = self.map.range_mut(..=start).next_back()
            && *last >= start
        {
            if *last >= end {
                return;
            }
            if let Some((&at, _)) = self.map.range(..=start).next_back() {
                start = at;
            }
        }
        while let Some((&at, &to)) = self.map.range(start..=end).next_back() {
            end = end.max(to);
            self.map.remove(&at);
        }
        self.map.insert(start, end);
    }

    /// Removes a range.
    pub fn remove(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        if let Some((&at, &to)) = self.map.range(..range.start).next_back()
            && to > range.start
        {
            self.map.insert(at, range.start);
            if to > range.end {
                self.map.insert(range.end, to);
                return;
            }
        }
        while let Some((&at, &to)) = self.map.range(range.clone()).next() {
            self.map.remove(&at);
            if to > range.end {
                self.map.insert(range.end, to);
                return;
            }
        }
    }

    /// Adds all of another set.
    pub fn add_all(&mut self, other: &Self) {
        other.iter().for_each(|range| self.add(range));
    }

    /// Its ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.map.iter().map(|(start, end)| *start..*end)
    }

    /// What of it lies within a range, in order.
    pub fn within(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let first = self.map.range(..=range.start).next_back().map_or(range.start, |(at, _)| *at);
        let Range { start, end } = range;
        let cut = move |(at, to): (&u64, &u64)| (*at).max(start)..(*to).min(end);
        self.map.range(first..end.max(first)).map(cut).filter(|range| !range.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn it_is_the_set_of_its_bytes() {
        const LEN: u64 = 60;
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let (mut ranges, mut bytes) = (Ranges::default(), [false; LEN as usize]);
            for _ in 0..60 {
                let start = random.random_range(0..LEN);
                let end = random.random_range(start..=LEN);
                let add = random.random_bool(0.5);
                if add {
                    ranges.add(start..end)
                } else {
                    ranges.remove(start..end)
                }
                bytes[start as usize..end as usize].fill(add);
                let mut seen = [false; LEN as usize];
                let mut last = None;
                for range in ranges.iter() {
                    assert!(last.is_none_or(|last| range.start > last), "seed {seed}: they touch");
                    last = Some(range.end);
                    seen[range.start as usize..range.end as usize].fill(true);
                }
                assert_eq!(seen, bytes, "seed {seed}");
                let (from, to) = (start / 2, end);
                let within: u64 = ranges.within(from..to).map(|r| r.end - r.start).sum();
                let count = bytes[from as usize..to as usize].iter().filter(|b| **b).count();
                assert_eq!(within, count as u64, "seed {seed}");
            }
        }
    }
}
