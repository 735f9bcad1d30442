//! Handles of what a program makes: numbers above 0x1000, checked on every use. A number says of
//! which kind it is and which use of its place, so that a stale one is an error and not another
//! object.

/// The number of the first place; below are the standard's own handles.
const FIRST: u32 = 0x1001;
/// Bits of the place.
const PLACE_BITS: u32 = 20;
/// Bits of the use of a place.
const USE_BITS: u32 = 7;
/// Most objects of one kind at once.
pub const MAX_HANDLES: usize = (1 << PLACE_BITS) - FIRST as usize - 1;

/// The objects of one kind.
#[derive(Debug)]
pub struct Handles<T> {
    kind: u32,
    slots: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Handles<T> {
    /// With none. `kind` is less than 16, and another for each kind.
    pub fn new(kind: u32) -> Self {
        Self { kind, slots: Vec::new(), free: Vec::new() }
    }

    /// Takes an object in; `None` when there are too many.
    pub fn insert(&mut self, object: T) -> Option<i32> {
        let place = match self.free.pop() {
            Some(place) => place,
            None if self.slots.len() >= MAX_HANDLES => return None,
            None => {
                self.slots.push((0, None));
                u32::try_from(self.slots.len() - 1).ok()?
            }
        };
        let slot = self.slots.get_mut(place as usize)?;
        slot.1 = Some(object);
        Some(self.number(place))
    }

    /// The object of a handle.
    pub fn get(&self, handle: i32) -> Option<&T> {
        let place = self.place(handle)?;
        self.slots.get(place)?.1.as_ref()
    }

    /// The object of a handle.
    pub fn get_mut(&mut self, handle: i32) -> Option<&mut T> {
        let place = self.place(handle)?;
        self.slots.get_mut(place)?.1.as_mut()
    }

    /// Takes an object out; its handle is void from then on.
    pub fn remove(&mut self, handle: i32) -> Option<T> {
        let place = self.place(handle)?;
        let slot = self.slots.get_mut(place)?;
        let object = slot.1.take()?;
        slot.0 = (slot.0 + 1) & ((1 << USE_BITS) - 1);
        self.free.push(u32::try_from(place).ok()?);
        Some(object)
    }

    /// All objects with their handles.
    pub fn iter(&self) -> impl Iterator<Item = (i32, &T)> {
        let all = self.slots.iter().enumerate();
        all.filter_map(|(place, (_, object))| {
            Some((self.number(u32::try_from(place).ok()?), object.as_ref()?))
        })
    }

    fn number(&self, place: u32) -> i32 {
        let uses = self.slots.get(place as usize).map_or(0, |slot| slot.0);
        let number =
            (self.kind << (PLACE_BITS + USE_BITS)) | (uses << PLACE_BITS) | (place + FIRST);
        number.cast_signed()
    }

    fn place(&self, handle: i32) -> Option<usize> {
        let handle = handle.cast_unsigned();
        let place = (handle & ((1 << PLACE_BITS) - 1)).checked_sub(FIRST)?;
        let uses = (handle >> PLACE_BITS) & ((1 << USE_BITS) - 1);
        let kind = handle >> (PLACE_BITS + USE_BITS);
        let slot = self.slots.get(place as usize)?;
        (kind == self.kind && uses == slot.0).then_some(place as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_names_one_object_of_one_kind_until_it_is_removed() {
        let (mut a, mut b) = (Handles::new(1), Handles::new(2));
        let first = a.insert("a").unwrap();
        let other = b.insert("b").unwrap();
        assert!(first > 0x1000 && first != other);
        assert_eq!((a.get(first), a.get(other), b.get(other)), (Some(&"a"), None, Some(&"b")));
        assert_eq!(a.remove(first), Some("a"));
        let second = a.insert("c").unwrap();
        assert_ne!(first, second);
        assert_eq!((a.get(first), a.get(second)), (None, Some(&"c")));
        for wrong in [0, -1, 0x1000, i32::MIN, i32::MAX] {
            assert_eq!(a.get(wrong), None);
        }
    }
}
