//! Types in memory: packing, limits, what a huge count costs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Budget, Datatype, MAX_DEPTH, MAX_NUMBERS, Recipe, Subarray};
use crate::function::memory::Door;
use crate::mpi::constants as c;
use crate::mpi::memory::Memory;

fn basic(handle: i32) -> Datatype {
    Datatype::predefined(handle).unwrap()
}

fn make(recipe: Recipe, of: &Datatype) -> Datatype {
    Datatype::make(recipe, vec![of.clone()], false, &Budget::default()).unwrap()
}

fn class_of(recipe: Recipe, of: &Datatype) -> Option<i32> {
    let made = Datatype::make(recipe, vec![of.clone()], false, &Budget::default());
    made.err().and_then(|error| error.class())
}

#[test]
fn what_is_contiguous_is_one_run_however_it_was_made() {
    let int = basic(c::MPI_INT);
    let row = make(Recipe::Contiguous { count: 5 }, &int);
    let rows = make(Recipe::Vector { count: 7, length: 2, stride: 2 }, &row);
    let pieces = make(Recipe::Indexed { lengths: vec![1, 2], at: vec![0, 1] }, &rows);
    let sizes = vec![4, 6];
    let whole = Subarray { subsizes: sizes.clone(), starts: vec![0, 0], sizes, order: 12 };
    let whole = make(Recipe::Subarray(whole), &pieces);
    for datatype in [row, rows, pieces, whole] {
        assert!(datatype.is_contiguous(), "{datatype:?}");
        assert_eq!(datatype.basic(), int.named());
    }
    let apart = make(Recipe::Vector { count: 2, length: 1, stride: 2 }, &int);
    assert!(!apart.is_contiguous() && apart.run(1).is_none());
    let wide = make(Recipe::Resized { lb: 0, extent: 8 }, &int);
    assert!(!wide.is_contiguous() && wide.run(1) == Some((0, 4)) && wide.run(2).is_none());
}

#[test]
fn a_huge_count_costs_nothing() {
    let begun = Instant::now();
    let budget = Budget::default();
    let make =
        |recipe, of: &Datatype| Datatype::make(recipe, vec![of.clone()], true, &budget).unwrap();
    let billion = 1_000_000_000;
    let vector = make(Recipe::Vector { count: billion, length: 1, stride: 2 }, &basic(c::MPI_INT));
    let more = make(Recipe::Hvector { count: billion, length: 1, stride: 1 << 20 }, &vector);
    assert_eq!(vector.size(), 4_000_000_000);
    assert_eq!(vector.extent(), 8 * billion - 4);
    assert_eq!(more.size(), 4_000_000_000_000_000_000);
    assert_eq!(more.elements_in(4_000_000_004), Some(1_000_000_001));
    let mixed = Recipe::Struct { lengths: vec![1, 1], at: vec![0, 8] };
    let parts = vec![basic(c::MPI_INT), basic(c::MPI_DOUBLE)];
    let mixed = Datatype::make(mixed, parts, true, &budget).unwrap();
    let mixed = make(Recipe::Contiguous { count: billion }, &mixed);
    assert_eq!(mixed.elements_in(12 * 999_999_999 + 4), Some(2 * 999_999_999 + 1));
    assert_eq!(mixed.bytes_of(2 * 999_999_999 + 1), Some(12 * 999_999_999 + 4));
    assert_eq!(mixed.external_size(), 12_000_000_000);
    assert!(budget.used() < 200);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[test]
fn what_does_not_fit_is_an_error_of_the_standard() {
    let int = basic(c::MPI_INT);
    let long = i64::MAX;
    let vector = |count, length, stride| Recipe::Vector { count, length, stride };
    let one = || vec![1];
    let cases = [
        (Recipe::Contiguous { count: -1 }, c::MPI_ERR_COUNT),
        (vector(-1, 1, 1), c::MPI_ERR_COUNT),
        (vector(1, -1, 1), c::MPI_ERR_ARG),
        (Recipe::Contiguous { count: long }, c::MPI_ERR_ARG),
        (vector(2, 1, long), c::MPI_ERR_ARG),
        (vector(3, 1, i64::MIN), c::MPI_ERR_ARG),
        (vector(long, long, 0), c::MPI_ERR_ARG),
        (Recipe::Hvector { count: 2, length: 1, stride: long }, c::MPI_ERR_ARG),
        (Recipe::Hindexed { lengths: one(), at: vec![long] }, c::MPI_ERR_ARG),
        (Recipe::Indexed { lengths: one(), at: vec![long] }, c::MPI_ERR_ARG),
        (Recipe::Indexed { lengths: vec![-1], at: one() }, c::MPI_ERR_ARG),
        (Recipe::IndexedBlock { length: -1, at: one() }, c::MPI_ERR_ARG),
        (Recipe::Resized { lb: long, extent: 1 }, c::MPI_ERR_ARG),
        (Recipe::Resized { lb: 0, extent: i64::MIN }, c::MPI_ERR_ARG),
        (Recipe::F90Real { p: 34, r: 1 }, c::MPI_ERR_ARG),
        (Recipe::F90Integer { r: 39 }, c::MPI_ERR_ARG),
    ];
    for (recipe, class) in cases {
        assert_eq!(class_of(recipe.clone(), &int), Some(class), "{recipe:?}");
    }
}

#[test]
fn boxes_must_lie_within_their_array() {
    let int = basic(c::MPI_INT);
    let array = |size, subsize, start, order| {
        let (sizes, subsizes, starts) = (vec![size], vec![subsize], vec![start]);
        class_of(Recipe::Subarray(Subarray { sizes, subsizes, starts, order }), &int)
    };
    assert_eq!(array(4, 2, 2, c::MPI_ORDER_C), None);
    for (size, subsize, start, order) in
        [(4, 2, 3, 12), (4, 5, 0, 12), (4, 0, 0, 12), (4, 1, -1, 12), (0, 0, 0, 12), (4, 2, 2, 1)]
    {
        let wrong = array(size, subsize, start, order);
        assert_eq!(wrong, Some(c::MPI_ERR_ARG), "{size} {subsize} {start} {order}");
    }
    let huge = vec![1 << 40, 1 << 40];
    let array = Subarray { subsizes: vec![1, 1], starts: vec![0, 0], sizes: huge, order: 12 };
    assert_eq!(class_of(Recipe::Subarray(array), &int), Some(c::MPI_ERR_ARG));
}

#[test]
fn types_within_types_and_all_they_keep_are_limited() {
    let budget = Budget::default();
    let mut datatype = basic(c::MPI_INT);
    let error = loop {
        match Datatype::make(Recipe::Dup, vec![datatype.clone()], false, &budget) {
            Ok(made) => datatype = made,
            Err(error) => break error,
        }
        assert!(datatype.depth <= MAX_DEPTH);
    };
    assert_eq!((error.class(), datatype.depth), (Some(c::MPI_ERR_NO_MEM), MAX_DEPTH));

    let million = || Recipe::IndexedBlock { length: 1, at: (0..1 << 20).map(|n| n * 2).collect() };
    let mut kept = Vec::new();
    let error = loop {
        match Datatype::make(million(), vec![basic(c::MPI_INT)], false, &budget) {
            Ok(made) => kept.push(made),
            Err(error) => break error,
        }
        assert!(kept.len() < 8);
    };
    assert_eq!((error.class(), kept.len()), (Some(c::MPI_ERR_NO_MEM), 3));
    assert!(budget.used() <= MAX_NUMBERS);
    // A type lives on in what was made of it, and so does what it keeps.
    let outer = make(Recipe::Contiguous { count: 1 }, &kept[0]);
    kept.clear();
    assert!(budget.used() >= 1 << 20);
    drop(outer);
    drop(datatype);
    assert_eq!(budget.used(), 0);
}

/// A memory of so many bytes, each another.
fn memory(len: usize) -> (Memory, &'static [u8]) {
    let bytes: Vec<u8> = (0..len).map(|at| (at * 7 + at / 256) as u8).collect();
    let bytes: &'static mut [u8] = bytes.leak();
    let copy: &'static [u8] = bytes.to_vec().leak();
    // SAFETY: the bytes are never freed, and nothing else touches them.
    let door = unsafe { Door::open(bytes.as_mut_ptr(), len) };
    (Memory::new(Arc::new(door)), copy)
}

fn places(count: u64, step: i64, len: u64, first: i64) -> impl Iterator<Item = usize> {
    let start = move |n: u64| first + step * n.cast_signed();
    (0..count).flat_map(move |n| (0..len).map(move |b| (start(n) + b.cast_signed()) as usize))
}

#[test]
fn columns_are_packed_and_unpacked_at_any_stride_and_from_any_byte() {
    let (memory, bytes) = memory(5 << 20);
    for (count, stride, length) in [
        (1000, 9, 1),
        (100, 5000, 3),
        (3, 200_000, 1),
        (4, -150_000, 2),
        (200, -77, 5),
        (2, 300_000, 20_000),
        (40_000, 3, 1),
    ] {
        let vector = make(Recipe::Vector { count, length, stride }, &basic(c::MPI_DOUBLE));
        let first: i64 = if stride < 0 { (5 << 20) - 8 * length } else { 0 };
        let len = 8 * length.unsigned_abs();
        let expected = places(count.unsigned_abs(), stride * 8, len, first);
        let expected: Vec<u8> = expected.map(|at| bytes[at]).collect();
        for (skip, part) in [(0, expected.len()), (3, expected.len() - 7), (8, 9), (5, 1)] {
            let mut out = vec![0; part];
            let at = first.unsigned_abs();
            vector.pack(&memory, at, 1, skip as u64, &mut out).unwrap();
            assert!(out == expected[skip..skip + part], "{count} {stride} {length}, {skip}");
            let turned: Vec<u8> = out.iter().map(|byte| !byte).collect();
            vector.unpack(&memory, at, 1, skip as u64, &turned).unwrap();
            vector.pack(&memory, at, 1, skip as u64, &mut out).unwrap();
            assert!(out == turned, "{count} {stride} {length}, {skip}");
            turned.iter().zip(&mut out).for_each(|(byte, out)| *out = !byte);
            vector.unpack(&memory, at, 1, skip as u64, &out).unwrap();
        }
    }
    let mut all = vec![0; 5 << 20];
    memory.read(0, &mut all).unwrap();
    assert!(all == bytes, "nothing else was written");
}

#[test]
fn addresses_wrap_as_pointers_do_and_what_is_outside_is_an_error() {
    let (memory, bytes) = memory(1000);
    let byte = basic(c::MPI_BYTE);
    // An address above 2 GiB, as a program of 32 bits sees the difference to it.
    let at = vec![5 - (3 << 30), 100 - (3 << 30)];
    let apart = make(Recipe::Hindexed { lengths: vec![2, 1], at }, &byte);
    let mut out = [0; 3];
    apart.pack(&memory, 3 << 30, 1, 0, &mut out).unwrap();
    assert_eq!(out, [bytes[5], bytes[6], bytes[100]]);
    for (count, stride) in [(2, 999), (2, -1), (1001, 1), (2, 1 << 31), (2, 1 << 33)] {
        let vector = make(Recipe::Vector { count, length: 1, stride }, &byte);
        let mut out = vec![0; count.unsigned_abs() as usize];
        let error = vector.pack(&memory, 1, 1, 0, &mut out).err();
        let outside = if stride == -1 { None } else { Some(c::MPI_ERR_BUFFER) };
        assert_eq!(error.and_then(|error| error.class()), outside, "{count} {stride}");
    }
    assert!(byte.pack(&memory, 0, 2, 1, &mut [0; 2]).is_err(), "more than there is");
    // A receive may have room for more than any memory has.
    byte.unpack(&memory, 0, 1 << 40, 1, &[bytes[1]]).unwrap();
}

#[test]
fn a_pair_is_packed_without_its_gap() {
    let (memory, bytes) = memory(64);
    let mut out = [0; 12];
    basic(c::MPI_SHORT_INT).pack(&memory, 8, 2, 0, &mut out).unwrap();
    assert_eq!(out[..2], bytes[8..10]);
    assert_eq!(out[2..6], bytes[12..16]);
    assert_eq!(out[6..8], bytes[16..18]);
    assert_eq!(out[8..], bytes[20..24]);
}
