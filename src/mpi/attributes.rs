//! Attributes: what programs and libraries keep with communicators, datatypes and windows.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Number of the first key that is made; those of the standard are below.
const FIRST: i32 = 0x1001;
/// Most keys of a rank at once.
const MOST_KEYS: usize = 1 << 16;
/// Most attributes of one object.
pub const MOST_ATTRIBUTES: usize = 1 << 16;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Communicators.
    Comm,
    /// Datatypes.
    Type,
    /// Windows.
    Win,
}

/// A key. Functions are places in the program's table.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// Its number.
    pub number: i32,
    /// What it is for.
    pub owner: Owner,
    /// Called when its object is duplicated.
    pub copy: u32,
    /// Called when the attribute goes.
    pub delete: u32,
    /// Given to both.
    pub extra: u32,
}

/// The attributes of one object, as they were set.
#[derive(Debug, Default)]
pub struct Attributes(Vec<(Arc<Key>, u32)>);

impl Attributes {
    /// The one of a key.
    pub fn get(&self, number: i32) -> Option<(Arc<Key>, u32)> {
        self.0.iter().find(|(key, _)| key.number == number).cloned()
    }

    /// Sets one; it counts as the last one set. `false` when there are too many.
    pub fn set(&mut self, key: Arc<Key>, value: u32) -> bool {
        self.remove(key.number);
        if self.0.len() >= MOST_ATTRIBUTES {
            return false;
        }
        self.0.push((key, value));
        true
    }

    /// Takes one away.
    pub fn remove(&mut self, number: i32) {
        self.0.retain(|(key, _)| key.number != number);
    }

    /// The last one set.
    pub fn last(&self) -> Option<(Arc<Key>, u32)> {
        self.0.last().cloned()
    }

    /// All, the first one set first.
    pub fn all(&self) -> Vec<(Arc<Key>, u32)> {
        self.0.clone()
    }
}

/// The keys of a rank. A key that is freed lives on while attributes have it.
#[derive(Debug)]
pub struct Keys {
    next: i32,
    known: BTreeMap<i32, Known>,
}

#[derive(Debug)]
struct Known {
    key: Arc<Key>,
    freed: bool,
}

impl Known {
    fn lives(&self) -> bool {
        !self.freed || Arc::strong_count(&self.key) > 1
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self { next: FIRST, known: BTreeMap::new() }
    }
}

impl Keys {
    /// Makes one: its number; `None` when there are too many.
    pub fn create(&mut self, owner: Owner, copy: u32, delete: u32, extra: u32) -> Option<i32> {
        if self.known.len() >= MOST_KEYS {
            self.known.retain(|_, known| known.lives());
        }
        if self.known.len() >= MOST_KEYS || self.next == i32::MAX {
            return None;
        }
        let number = self.next;
        self.next += 1;
        let key = Arc::new(Key { number, owner, copy, delete, extra });
        self.known.insert(number, Known { key, freed: false });
        Some(number)
    }

    /// The one of a number.
    pub fn find(&self, owner: Owner, number: i32) -> Option<Arc<Key>> {
        let known = self.known.get(&number)?;
        (known.key.owner == owner && known.lives()).then(|| known.key.clone())
    }

    /// Frees one; whether it was there to be freed.
    pub fn free(&mut self, owner: Owner, number: i32) -> bool {
        let Some(known) = self.known.get_mut(&number) else { return false };
        if known.key.owner != owner || known.freed {
            return false;
        }
        known.freed = true;
        if !known.lives() {
            self.known.remove(&number);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_key_lives_while_an_attribute_has_it() {
        let mut keys = Keys::default();
        let number = keys.create(Owner::Comm, 0, 0, 0).unwrap();
        assert!(keys.find(Owner::Type, number).is_none());
        let mut attributes = Attributes::default();
        assert!(attributes.set(keys.find(Owner::Comm, number).unwrap(), 5));
        assert!(!keys.free(Owner::Win, number));
        assert!(keys.free(Owner::Comm, number));
        assert!(!keys.free(Owner::Comm, number));
        assert!(keys.find(Owner::Comm, number).is_some());
        attributes.remove(number);
        assert!(keys.find(Owner::Comm, number).is_none());
        assert_ne!(keys.create(Owner::Comm, 0, 0, 0), Some(number));
    }

    #[test]
    fn keys_are_limited_and_dead_ones_make_room() {
        let mut keys = Keys::default();
        let first = keys.create(Owner::Type, 0, 0, 0).unwrap();
        let held = keys.find(Owner::Type, first).unwrap();
        (1..MOST_KEYS).for_each(|_| assert!(keys.create(Owner::Type, 0, 0, 0).is_some()));
        assert_eq!(keys.create(Owner::Type, 0, 0, 0), None);
        assert!(keys.free(Owner::Type, first));
        assert_eq!(keys.create(Owner::Type, 0, 0, 0), None);
        drop(held);
        assert!(keys.create(Owner::Type, 0, 0, 0).is_some());
    }

    #[test]
    fn the_last_one_set_is_last() {
        let mut keys = Keys::default();
        let mut key = || {
            let number = keys.create(Owner::Comm, 0, 0, 0).unwrap();
            keys.find(Owner::Comm, number).unwrap()
        };
        let (one, two) = (key(), key());
        let mut attributes = Attributes::default();
        attributes.set(one.clone(), 1);
        attributes.set(two.clone(), 2);
        assert_eq!(attributes.last(), Some((two.clone(), 2)));
        attributes.set(one.clone(), 3);
        assert_eq!(attributes.all(), [(two, 2), (one, 3)]);
    }
}
