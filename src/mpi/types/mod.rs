//! Datatypes: how elements lie in memory, what they mean, what they were made of. Nothing here
//! knows of ranks or calls.
//!
//! | part | what it is |
//! |---|---|
//! | `basic` | the predefined types |
//! | `recipe` | the arguments of a constructor, kept for the program to ask for |
//! | `map` | a type map in short, and the three steps that all constructors are made of |
//! | `layout` | where the bytes lie, as loops over runs |
//! | `signature` | of which predefined types the data is |
//! | `arrays` | parts of arrays of several dimensions |
//! | `copy` | packing and unpacking |
//! | `external` | the format "external32" |
//!
//! A type costs memory by the numbers that its constructor was given, never by its counts, and a
//! rank's types together at most [`MAX_NUMBERS`] of them.

mod arrays;
mod basic;
mod copy;
mod external;
mod layout;
mod make;
mod map;
#[cfg(test)]
mod model_tests;
mod recipe;
mod signature;
#[cfg(test)]
mod types_tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

pub use basic::Basic;
pub use make::find_f90;
use map::Map;
pub use recipe::{Darray, Numbers, Recipe, Subarray};

use super::constants as c;

/// Most numbers and types that constructors keep for all types of a rank: each takes up to 50
/// bytes of the host.
pub const MAX_NUMBERS: u64 = 4 << 20;
/// Most types within one another, so that walking them needs little stack.
pub const MAX_DEPTH: u32 = 200;

/// A datatype. Cheap to clone; never changes.
#[derive(Debug, Clone)]
pub struct Datatype(Hold);

#[derive(Debug, Clone)]
enum Hold {
    /// A predefined one: not counted, as all ranks use the same ones.
    Fixed(&'static Inner),
    Made(Arc<Inner>),
}

/// What a datatype is; only its own methods look inside.
#[derive(Debug)]
pub struct Inner {
    map: Map,
    size: u64,
    extent: i64,
    named: Option<Basic>,
    recipe: Recipe,
    parts: Vec<Datatype>,
    /// Whether it was made by a call with `_c`.
    large: bool,
    depth: u32,
    _lease: Lease,
}

impl std::ops::Deref for Datatype {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        match &self.0 {
            Hold::Fixed(inner) => inner,
            Hold::Made(inner) => inner,
        }
    }
}

/// The same object, not only the same layout.
impl PartialEq for Datatype {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq::<Inner>(&**self, &**other)
    }
}

impl Eq for Datatype {}

impl Datatype {
    /// A predefined one, by its handle.
    pub fn predefined(handle: i32) -> Option<Self> {
        static ALL: OnceLock<Vec<Option<Inner>>> = OnceLock::new();
        let all = ALL.get_or_init(|| {
            let handles = c::MPI_DATATYPE_NULL..c::MPI_DATATYPE_NULL + 0x100;
            handles.map(|handle| Basic::of(handle).map(Inner::predefined)).collect()
        });
        let place = usize::try_from(handle.checked_sub(c::MPI_DATATYPE_NULL)?).ok()?;
        Some(Self(Hold::Fixed(all.get(place)?.as_ref()?)))
    }

    /// `MPI_BYTE`.
    pub fn byte() -> Self {
        static BYTE: OnceLock<Inner> = OnceLock::new();
        let own = || Self(Hold::Fixed(BYTE.get_or_init(|| Inner::predefined(Basic::BYTE))));
        Self::predefined(c::MPI_BYTE).unwrap_or_else(own)
    }

    /// Which predefined one it is, if it is one itself.
    pub fn named(&self) -> Option<Basic> {
        self.named
    }

    /// Which predefined one it is made of, if all its elements are of one. A pair such as
    /// `MPI_DOUBLE_INT` is one; see [`Basic::pair`].
    pub fn basic(&self) -> Option<Basic> {
        self.map.signature.basic()
    }

    /// Bytes of data in one element.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// From one element to the next, in bytes.
    pub fn extent(&self) -> i64 {
        self.extent
    }

    /// The lower bound, in bytes from an element's address.
    pub fn lb(&self) -> i64 {
        self.map.bounds.lb()
    }

    /// Where the data of an element begins.
    pub fn true_lb(&self) -> i64 {
        self.map.bounds.data().0
    }

    /// From where the data of an element begins to where it ends.
    pub fn true_extent(&self) -> i64 {
        let (lb, ub) = self.map.bounds.data();
        ub - lb
    }

    /// Whether the data of any number of elements is one run of bytes from their address on.
    pub fn is_contiguous(&self) -> bool {
        match self.map.piece.as_run() {
            Some((at, len)) => at == 0 && u64::try_from(self.extent) == Ok(len),
            None => false,
        }
    }

    /// Where the data of `count` elements is, from their address, if it is one run: its place and
    /// length.
    pub fn run(&self, count: u64) -> Option<(i64, u64)> {
        let (at, len) = self.map.piece.as_run()?;
        let one = count <= 1 || u64::try_from(self.extent) == Ok(len);
        if one { Some((at, len.checked_mul(count)?)) } else { None }
    }

    /// How many predefined types `bytes` bytes of elements of this type are, where a pair is two;
    /// `None` when the last one is not whole. For `MPI_Get_elements`.
    pub fn elements_in(&self, bytes: u64) -> Option<u64> {
        self.map.signature.elements_in(bytes)
    }

    /// How many predefined types are in one element.
    pub fn elements(&self) -> u64 {
        self.map.signature.elements
    }

    /// How many elements of this type `bytes` bytes are; `None` when the last is not whole. For
    /// `MPI_Get_count`.
    pub fn count_in(&self, bytes: u64) -> Option<u64> {
        match (bytes, self.size) {
            (0, _) => Some(0),
            (_, 0) => None,
            (bytes, size) => (bytes % size == 0).then_some(bytes / size),
        }
    }

    /// Bytes to send so that a receiver sees `elements` predefined types of this type; `None` when
    /// that is too many. For `MPI_Status_set_elements`.
    pub fn bytes_of(&self, elements: u64) -> Option<u64> {
        self.map.signature.bytes_of(elements)
    }

    /// The predefined types of one element, in order, with how many of each follow one another.
    pub fn signature(&self) -> impl Iterator<Item = (Basic, u64)> {
        self.map.signature.runs()
    }

    /// How it was made.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Whether that was by a call with `_c`.
    pub fn is_large(&self) -> bool {
        self.large
    }

    /// The types that it was made of.
    pub fn parts(&self) -> &[Datatype] {
        &self.parts
    }

    /// Bytes of one element in external32.
    pub fn external_size(&self) -> u64 {
        self.map.signature.external
    }
}

impl Inner {
    fn predefined(basic: Basic) -> Self {
        let map = Map::basic(basic);
        Self {
            size: map.signature.bytes,
            extent: map.extent(),
            map,
            named: Some(basic),
            recipe: Recipe::Named,
            parts: Vec::new(),
            large: false,
            depth: 0,
            _lease: Lease::default(),
        }
    }
}

/// What a rank's types may keep in all.
#[derive(Debug, Clone, Default)]
pub struct Budget(Arc<AtomicU64>);

/// A part of it, given back at the end.
#[derive(Debug, Default)]
struct Lease {
    of: Budget,
    numbers: u64,
}

impl Budget {
    fn take(&self, numbers: u64) -> Option<Lease> {
        let add = |used: u64| used.checked_add(numbers).filter(|sum| *sum <= MAX_NUMBERS);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Lease { of: self.clone(), numbers })
    }

    /// What is taken.
    pub fn used(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.numbers, Ordering::Relaxed);
    }
}
