//! The predefined types: their sizes and alignments as C has them on 32-bit WebAssembly, and their
//! sizes in the format "external32".

use std::sync::OnceLock;

use crate::mpi::constants as c;

/// The lowest handle of a predefined type, and how many there may be.
const FIRST: i32 = c::MPI_DATATYPE_NULL;
const PLACES: usize = 0x100;

/// A predefined type, by its handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Basic(i32);

#[derive(Debug, Clone, Copy)]
struct Row {
    handle: i32,
    name: &'static str,
    size: u8,
    align: u8,
    /// Bytes of one in external32.
    external: u8,
    /// Numbers in it: 2 for complex ones.
    numbers: u8,
    /// Handles of both, for a pair of a value and an index.
    pair: Option<(i32, i32)>,
}

macro_rules! plain {
    ($($name:ident $size:literal),* $(,)?) => {
        [$(Row { handle: c::$name, name: stringify!($name), size: $size, align: $size,
                 external: $size, numbers: 1, pair: None }),*]
    };
}

macro_rules! complex {
    ($($name:ident $size:literal),* $(,)?) => {
        [$(Row { handle: c::$name, name: stringify!($name), size: $size, align: $size / 2,
                 external: $size, numbers: 2, pair: None }),*]
    };
}

macro_rules! pairs {
    ($($name:ident $size:literal $align:literal ($value:ident $index:ident)),* $(,)?) => {
        [$(Row { handle: c::$name, name: stringify!($name), size: $size, align: $align,
                 external: $size, numbers: 2, pair: Some((c::$value, c::$index)) }),*]
    };
}

const PLAIN: &[Row] = &plain![
    MPI_COUNT 8, MPI_OFFSET 8, MPI_PACKED 1,
    MPI_SHORT 2, MPI_INT 4, MPI_LONG 4, MPI_LONG_LONG 8,
    MPI_UNSIGNED_SHORT 2, MPI_UNSIGNED 4, MPI_UNSIGNED_LONG 4, MPI_UNSIGNED_LONG_LONG 8,
    MPI_FLOAT 4, MPI_DOUBLE 8, MPI_LONG_DOUBLE 16,
    MPI_LOGICAL 4, MPI_INTEGER 4, MPI_REAL 4, MPI_DOUBLE_PRECISION 8, MPI_CHARACTER 1,
    MPI_C_BOOL 1, MPI_CXX_BOOL 1,
    MPI_INT8_T 1, MPI_UINT8_T 1, MPI_CHAR 1, MPI_SIGNED_CHAR 1, MPI_UNSIGNED_CHAR 1, MPI_BYTE 1,
    MPI_INT16_T 2, MPI_UINT16_T 2, MPI_INT32_T 4, MPI_UINT32_T 4, MPI_INT64_T 8, MPI_UINT64_T 8,
    MPI_LOGICAL1 1, MPI_LOGICAL2 2, MPI_LOGICAL4 4, MPI_LOGICAL8 8, MPI_LOGICAL16 16,
    MPI_INTEGER1 1, MPI_INTEGER2 2, MPI_INTEGER4 4, MPI_INTEGER8 8, MPI_INTEGER16 16,
    MPI_REAL2 2, MPI_REAL4 4, MPI_REAL8 8, MPI_REAL16 16,
];

const COMPLEX: &[Row] = &complex![
    MPI_C_FLOAT_COMPLEX 8, MPI_C_DOUBLE_COMPLEX 16, MPI_C_LONG_DOUBLE_COMPLEX 32,
    MPI_CXX_FLOAT_COMPLEX 8, MPI_CXX_DOUBLE_COMPLEX 16, MPI_CXX_LONG_DOUBLE_COMPLEX 32,
    MPI_COMPLEX 8, MPI_DOUBLE_COMPLEX 16,
    MPI_COMPLEX4 4, MPI_COMPLEX8 8, MPI_COMPLEX16 16, MPI_COMPLEX32 32,
];

const PAIRS: &[Row] = &pairs![
    MPI_FLOAT_INT 8 4 (MPI_FLOAT MPI_INT),
    MPI_DOUBLE_INT 12 8 (MPI_DOUBLE MPI_INT),
    MPI_LONG_INT 8 4 (MPI_LONG MPI_INT),
    MPI_2INT 8 4 (MPI_INT MPI_INT),
    MPI_SHORT_INT 6 4 (MPI_SHORT MPI_INT),
    MPI_LONG_DOUBLE_INT 20 16 (MPI_LONG_DOUBLE MPI_INT),
    MPI_2REAL 8 4 (MPI_REAL MPI_REAL),
    MPI_2DOUBLE_PRECISION 16 8 (MPI_DOUBLE_PRECISION MPI_DOUBLE_PRECISION),
    MPI_2INTEGER 8 4 (MPI_INTEGER MPI_INTEGER),
];

/// Those that are of another size in external32.
const OTHERS: &[Row] =
    &[Row { external: 8, ..plain![MPI_AINT 4][0] }, Row { external: 2, ..plain![MPI_WCHAR 4][0] }];

fn row(handle: i32) -> Option<&'static Row> {
    static ALL: OnceLock<Vec<Option<Row>>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let mut all = vec![None; PLACES];
        for row in [PLAIN, COMPLEX, PAIRS, OTHERS].into_iter().flatten() {
            let place = usize::try_from(row.handle - FIRST).ok();
            if let Some(place) = place.and_then(|place| all.get_mut(place)) {
                *place = Some(*row);
            }
        }
        all
    });
    let place = usize::try_from(handle.checked_sub(FIRST)?).ok()?;
    all.get(place)?.as_ref()
}

impl Basic {
    /// `MPI_BYTE`.
    pub const BYTE: Self = Self(c::MPI_BYTE);

    /// Of this handle.
    pub fn of(handle: i32) -> Option<Self> {
        row(handle).map(|_| Self(handle))
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let rows = [PLAIN, COMPLEX, PAIRS, OTHERS].into_iter().flatten();
        rows.map(|row| Self(row.handle))
    }

    /// The handle.
    pub fn handle(self) -> i32 {
        self.0
    }

    /// Its name in the standard.
    pub fn name(self) -> &'static str {
        row(self.0).map_or("", |row| row.name)
    }

    /// Bytes of data in one: without the gaps of a pair.
    pub fn size(self) -> u64 {
        row(self.0).map_or(0, |row| u64::from(row.size))
    }

    /// What its address is a multiple of.
    pub fn align(self) -> u64 {
        row(self.0).map_or(1, |row| u64::from(row.align))
    }

    /// Bytes of one in external32.
    pub fn external(self) -> u64 {
        row(self.0).map_or(0, |row| u64::from(row.external))
    }

    /// Numbers in one: 2 in a complex one, else 1; for a pair see [`Basic::pair`].
    pub fn numbers(self) -> u64 {
        row(self.0).map_or(1, |row| u64::from(row.numbers))
    }

    /// The value and the index of a pair, such as `MPI_DOUBLE_INT`. In memory the index is at the
    /// next multiple of its alignment; in packed data it follows at once.
    pub fn pair(self) -> Option<(Self, Self)> {
        let (value, index) = row(self.0)?.pair?;
        Some((Self(value), Self(index)))
    }

    /// The pair of this value and this index, if it has a name.
    pub fn pair_of(value: Self, index: Self) -> Option<Self> {
        let pair = Some((value.0, index.0));
        PAIRS.iter().find(|row| row.pair == pair).map(|row| Self(row.handle))
    }

    /// Whether it is a number with a sign that is an integer; only such ones get wider.
    pub(super) fn widens(self) -> bool {
        self.0 == c::MPI_AINT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every datatype that the standard's table of constants names.
    fn named() -> Vec<(&'static str, i32)> {
        let table = include_str!("../../../sdk/c/mpi/constants.tsv");
        let fields = table.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        let types = fields.filter(|fields| fields.get(1) == Some(&"MPI_Datatype"));
        let number = |text: &str| i32::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
        types.map(|fields| (fields[0], number(fields[2]))).filter(|row| row.1 != FIRST).collect()
    }

    #[test]
    fn every_datatype_of_the_standard_is_there_with_its_name() {
        let named = named();
        assert_eq!(named.len(), Basic::all().count());
        for (name, handle) in named {
            let basic = Basic::of(handle).unwrap_or_else(|| panic!("{name} is not there"));
            assert_eq!(basic.name(), name);
        }
        for wrong in [0, -1, c::MPI_DATATYPE_NULL, 0x206, 0x300, i32::MAX, i32::MIN] {
            assert_eq!(Basic::of(wrong), None);
        }
    }

    /// The ABI's handles carry the sizes of types of fixed size: bits 3 to 5 are its logarithm.
    #[test]
    fn sizes_are_those_of_32_bit_webassembly() {
        for (name, handle) in named() {
            if (0x240..0x300).contains(&handle) && name != "MPI_PACKED" {
                assert_eq!(Basic(handle).size(), 1 << ((handle >> 3) & 7), "{name}");
            }
        }
        let sizes = [
            (c::MPI_AINT, 4),
            (c::MPI_LONG, 4),
            (c::MPI_UNSIGNED_LONG, 4),
            (c::MPI_LONG_DOUBLE, 16),
            (c::MPI_WCHAR, 4),
            (c::MPI_C_BOOL, 1),
            (c::MPI_COUNT, 8),
            (c::MPI_SHORT_INT, 6),
            (c::MPI_DOUBLE_INT, 12),
            (c::MPI_LONG_DOUBLE_INT, 20),
        ];
        for (handle, size) in sizes {
            assert_eq!(Basic(handle).size(), size, "{}", Basic(handle).name());
        }
    }
}
