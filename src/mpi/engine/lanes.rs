//! Queues by key in one slab: the first of a key, and any element by its slot, at once. No queue
//! costs memory of its own.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// No slot.
const NONE: u32 = u32::MAX;
/// Slots that stay when all are free.
const KEEP: usize = 256;

/// A hash of few numbers. The ranks of one job choose the keys, and hurt only themselves.
#[derive(Debug, Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_i32(&mut self, value: i32) {
        self.write_u64(u64::from(value.cast_unsigned()));
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value.cast_unsigned() as u64);
    }

    fn finish(&self) -> u64 {
        self.0.wrapping_mul(0xd6e8_feb8_6659_fd93)
    }
}

#[derive(Debug, Clone, Copy)]
struct Ends {
    first: u32,
    last: u32,
}

#[derive(Debug)]
struct Slot<K, V> {
    before: u32,
    after: u32,
    held: Option<(K, u64, V)>,
}

/// See the top.
#[derive(Debug)]
pub struct Lanes<K, V> {
    ends: HashMap<K, Ends, BuildHasherDefault<Mix>>,
    slots: Vec<Slot<K, V>>,
    free: Vec<u32>,
}

impl<K, V> Default for Lanes<K, V> {
    fn default() -> Self {
        Self { ends: HashMap::default(), slots: Vec::new(), free: Vec::new() }
    }
}

impl<K: Copy + Eq + Hash, V> Lanes<K, V> {
    /// Elements in all queues.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Appends to the queue of a key; gives the slot. `order` is larger than all before.
    pub fn push(&mut self, key: K, order: u64, value: V) -> u32 {
        let slot = Slot { before: NONE, after: NONE, held: Some((key, order, value)) };
        let at = match self.free.pop() {
            Some(at) => {
                if let Some(place) = self.slots.get_mut(at as usize) {
                    *place = slot;
                }
                at
            }
            None => {
                self.slots.push(slot);
                // The queues are bounded far below this.
                u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
            }
        };
        let ends = self.ends.entry(key).or_insert(Ends { first: at, last: NONE });
        let before = std::mem::replace(&mut ends.last, at);
        if let Some(slot) = self.slots.get_mut(at as usize) {
            slot.before = before;
        }
        if let Some(slot) = self.slots.get_mut(before as usize) {
            slot.after = at;
        }
        at
    }

    /// The first of a key: its order and slot.
    pub fn first(&self, key: &K) -> Option<(u64, u32)> {
        let at = self.ends.get(key)?.first;
        let (_, order, _) = self.slots.get(at as usize)?.held.as_ref()?;
        Some((*order, at))
    }

    /// The first of all keys that `takes` takes: its slot.
    pub fn first_where(&self, takes: impl Fn(&K) -> bool) -> Option<u32> {
        let firsts = self.ends.iter().filter(|(key, _)| takes(key)).map(|(_, ends)| ends.first);
        firsts.min_by_key(|at| {
            let held = self.slots.get(*at as usize).and_then(|slot| slot.held.as_ref());
            held.map_or(u64::MAX, |(_, order, _)| *order)
        })
    }

    /// What a slot holds.
    pub fn get(&self, at: u32) -> Option<&V> {
        self.slots.get(at as usize)?.held.as_ref().map(|(_, _, value)| value)
    }

    /// Takes it out.
    pub fn remove(&mut self, at: u32) -> Option<V> {
        let slot = self.slots.get_mut(at as usize)?;
        let (before, after) = (slot.before, slot.after);
        let (key, _, value) = slot.held.take()?;
        if let Some(slot) = self.slots.get_mut(before as usize) {
            slot.after = after;
        }
        if let Some(slot) = self.slots.get_mut(after as usize) {
            slot.before = before;
        }
        if before == NONE && after == NONE {
            self.ends.remove(&key);
        } else if let Some(ends) = self.ends.get_mut(&key) {
            if before == NONE {
                ends.first = after;
            }
            if after == NONE {
                ends.last = before;
            }
        }
        self.free.push(at);
        if self.len() == 0 && self.slots.len() > KEEP {
            *self = Self::default();
        }
        Some(value)
    }

    /// All elements.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.slots.iter().filter_map(|slot| slot.held.as_ref()).map(|(_, _, value)| value)
    }

    /// Takes out all that `wanted` wants, in their order.
    pub fn drain_where(&mut self, wanted: impl Fn(&V) -> bool) -> Vec<V> {
        let held = self.slots.iter().zip(0u32..).filter_map(|(slot, at)| {
            let (_, order, value) = slot.held.as_ref()?;
            wanted(value).then_some((*order, at))
        });
        let mut found: Vec<_> = held.collect();
        found.sort_unstable();
        found.into_iter().filter_map(|(_, at)| self.remove(at)).collect()
    }
}
