//! How a type was made: the arguments of its constructor, and what the standard's calls tell of
//! them.

use crate::mpi::constants as c;

/// A constructor with its arguments, but for the types it is made of. Counts and lengths are
/// checked by [`Datatype::make`](super::Datatype::make).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the standard's names")]
pub enum Recipe {
    Named,
    Dup,
    Contiguous { count: i64 },
    Vector { count: i64, length: i64, stride: i64 },
    Hvector { count: i64, length: i64, stride: i64 },
    Indexed { lengths: Vec<i64>, at: Vec<i64> },
    Hindexed { lengths: Vec<i64>, at: Vec<i64> },
    IndexedBlock { length: i64, at: Vec<i64> },
    HindexedBlock { length: i64, at: Vec<i64> },
    Struct { lengths: Vec<i64>, at: Vec<i64> },
    Subarray(Subarray),
    Darray(Darray),
    Resized { lb: i64, extent: i64 },
    F90Real { p: i32, r: i32 },
    F90Complex { p: i32, r: i32 },
    F90Integer { r: i32 },
}

/// The arguments of `MPI_Type_create_subarray`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the standard's names")]
pub struct Subarray {
    pub sizes: Vec<i64>,
    pub subsizes: Vec<i64>,
    pub starts: Vec<i64>,
    pub order: i32,
}

/// The arguments of `MPI_Type_create_darray`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the standard's names")]
pub struct Darray {
    pub size: i32,
    pub rank: i32,
    pub gsizes: Vec<i64>,
    pub distribs: Vec<i64>,
    pub dargs: Vec<i64>,
    pub psizes: Vec<i64>,
    pub order: i32,
}

/// The numbers of `MPI_Type_get_contents`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Numbers {
    /// `array_of_integers`.
    pub integers: Vec<i64>,
    /// `array_of_addresses`.
    pub addresses: Vec<i64>,
    /// `array_of_large_counts`; only of types made by a call with `_c`.
    pub counts: Vec<i64>,
}

impl Recipe {
    /// `MPI_COMBINER_...`.
    pub fn combiner(&self) -> i32 {
        match self {
            Self::Named => c::MPI_COMBINER_NAMED,
            Self::Dup => c::MPI_COMBINER_DUP,
            Self::Contiguous { .. } => c::MPI_COMBINER_CONTIGUOUS,
            Self::Vector { .. } => c::MPI_COMBINER_VECTOR,
            Self::Hvector { .. } => c::MPI_COMBINER_HVECTOR,
            Self::Indexed { .. } => c::MPI_COMBINER_INDEXED,
            Self::Hindexed { .. } => c::MPI_COMBINER_HINDEXED,
            Self::IndexedBlock { .. } => c::MPI_COMBINER_INDEXED_BLOCK,
            Self::HindexedBlock { .. } => c::MPI_COMBINER_HINDEXED_BLOCK,
            Self::Struct { .. } => c::MPI_COMBINER_STRUCT,
            Self::Subarray(_) => c::MPI_COMBINER_SUBARRAY,
            Self::Darray(_) => c::MPI_COMBINER_DARRAY,
            Self::Resized { .. } => c::MPI_COMBINER_RESIZED,
            Self::F90Real { .. } => c::MPI_COMBINER_F90_REAL,
            Self::F90Complex { .. } => c::MPI_COMBINER_F90_COMPLEX,
            Self::F90Integer { .. } => c::MPI_COMBINER_F90_INTEGER,
        }
    }

    /// Its numbers, in the standard's order. With `large`, all that such a call takes as
    /// `MPI_Count` is among the counts.
    pub fn numbers(&self, large: bool) -> Numbers {
        let (mut integers, mut addresses) = (Vec::new(), Vec::new());
        let mut narrow = Vec::new();
        match self {
            Self::Named | Self::Dup => {}
            Self::Contiguous { count } => integers.push(*count),
            Self::Vector { count, length, stride } => {
                integers.extend([*count, *length, *stride]);
            }
            Self::Hvector { count, length, stride } => {
                integers.extend([*count, *length]);
                addresses.push(*stride);
            }
            Self::Indexed { lengths, at } => {
                integers.push(count(at));
                integers.extend(lengths.iter().chain(at));
            }
            Self::Hindexed { lengths, at } | Self::Struct { lengths, at } => {
                integers.push(count(at));
                integers.extend(lengths);
                addresses.extend(at);
            }
            Self::IndexedBlock { length, at } => {
                integers.extend([count(at), *length]);
                integers.extend(at);
            }
            Self::HindexedBlock { length, at } => {
                integers.extend([count(at), *length]);
                addresses.extend(at);
            }
            Self::Subarray(array) => return array.numbers(large),
            Self::Darray(array) => return array.numbers(large),
            Self::Resized { lb, extent } => addresses.extend([*lb, *extent]),
            Self::F90Real { p, r } | Self::F90Complex { p, r } => {
                narrow.extend([i64::from(*p), i64::from(*r)]);
            }
            Self::F90Integer { r } => narrow.push(i64::from(*r)),
        }
        match large {
            true => Numbers {
                integers: narrow,
                addresses: Vec::new(),
                counts: integers.into_iter().chain(addresses).collect(),
            },
            false => {
                integers.extend(narrow);
                Numbers { integers, addresses, counts: Vec::new() }
            }
        }
    }

    /// How many numbers it keeps.
    pub fn len(&self) -> usize {
        match self {
            Self::Indexed { lengths, at }
            | Self::Hindexed { lengths, at }
            | Self::Struct { lengths, at } => lengths.len() + at.len(),
            Self::IndexedBlock { at, .. } | Self::HindexedBlock { at, .. } => at.len(),
            Self::Subarray(array) => 3 * array.sizes.len(),
            Self::Darray(array) => 4 * array.gsizes.len(),
            _ => 0,
        }
    }

    /// Whether it keeps none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn count(array: &[i64]) -> i64 {
    i64::try_from(array.len()).unwrap_or(i64::MAX)
}

impl Subarray {
    fn numbers(&self, large: bool) -> Numbers {
        let sizes = self.sizes.iter().chain(&self.subsizes).chain(&self.starts).copied();
        let (counts, sizes) = match large {
            true => (sizes.collect(), Vec::new()),
            false => (Vec::new(), sizes.collect()),
        };
        let mut integers = vec![count(&self.sizes)];
        integers.extend(sizes);
        integers.push(i64::from(self.order));
        Numbers { integers, counts, ..Numbers::default() }
    }
}

impl Darray {
    fn numbers(&self, large: bool) -> Numbers {
        let (counts, sizes) = match large {
            true => (self.gsizes.clone(), Vec::new()),
            false => (Vec::new(), self.gsizes.clone()),
        };
        let mut integers = vec![i64::from(self.size), i64::from(self.rank), count(&self.gsizes)];
        integers.extend(sizes);
        integers.extend(self.distribs.iter().chain(&self.dargs).chain(&self.psizes));
        integers.push(i64::from(self.order));
        Numbers { integers, counts, ..Numbers::default() }
    }
}
