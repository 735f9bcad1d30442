//! Random types against the standard's definition taken at its word: a type map is a list of
//! predefined types at displacements, and a constructor copies lists.

use super::layout::Visitor;
use super::{Basic, Budget, Darray, Datatype, Recipe, Subarray};
use crate::mpi::constants as c;
use crate::mpi::error::Result;

/// A type map, with the bounds that a program gave.
#[derive(Debug, Clone, Default)]
struct Model {
    entries: Vec<(Basic, i64)>,
    marks: Option<(i64, i64)>,
}

impl Model {
    fn basic(handle: i32) -> Self {
        let basic = Basic::of(handle).unwrap();
        let entries = match basic.pair() {
            None => vec![(basic, 0)],
            Some((value, index)) => {
                let at = value.size().next_multiple_of(index.align());
                vec![(value, 0), (index, at.cast_signed())]
            }
        };
        Self { entries, marks: None }
    }

    fn end(entry: &(Basic, i64)) -> i64 {
        entry.1 + entry.0.size().cast_signed()
    }

    fn true_lb(&self) -> i64 {
        self.entries.iter().map(|entry| entry.1).min().unwrap_or(0)
    }

    fn true_ub(&self) -> i64 {
        self.entries.iter().map(Self::end).max().unwrap_or(0)
    }

    fn lb(&self) -> i64 {
        self.marks.map_or(self.true_lb(), |marks| marks.0)
    }

    fn extent(&self) -> i64 {
        if let Some((lb, ub)) = self.marks {
            return ub - lb;
        }
        let align = self.entries.iter().map(|entry| entry.0.align().cast_signed()).max();
        let align = align.unwrap_or(1);
        let extent = self.true_ub() - self.true_lb();
        (extent + align - 1) / align * align
    }

    fn size(&self) -> u64 {
        self.entries.iter().map(|entry| entry.0.size()).sum()
    }

    /// Adds a copy of another, moved.
    fn add(&mut self, other: &Self, by: i64) {
        self.entries.extend(other.entries.iter().map(|(basic, at)| (*basic, at + by)));
        if let Some((lb, ub)) = other.marks {
            let (lb, ub) = (lb + by, ub + by);
            self.marks = Some(self.marks.map_or((lb, ub), |own| (own.0.min(lb), own.1.max(ub))));
        }
    }

    /// Adds copies one behind the other.
    fn add_block(&mut self, other: &Self, count: i64, by: i64) {
        (0..count).for_each(|n| self.add(other, by + n * other.extent()));
    }

    /// The addresses of all bytes of so many elements, in the order of the data.
    fn bytes(&self, count: i64) -> Vec<i64> {
        let starts = (0..count).map(|n| n * self.extent());
        let entries = |start| self.entries.iter().map(move |entry| (start, *entry));
        let bytes = starts.flat_map(entries).flat_map(|(start, (basic, at))| {
            (0..basic.size().cast_signed()).map(move |byte| start + at + byte)
        });
        bytes.collect()
    }

    fn make(recipe: &Recipe, parts: &[Self]) -> Self {
        let mut made = Self::default();
        let old = &parts[0];
        let extent = old.extent();
        let mut blocks = |lengths: &[i64], at: &[i64], unit: i64| {
            for (n, at) in lengths.iter().zip(at) {
                made.add_block(old, *n, at * unit);
            }
        };
        match recipe {
            Recipe::Dup => made = old.clone(),
            Recipe::Contiguous { count } => made.add_block(old, *count, 0),
            Recipe::Vector { count, length, stride } => {
                (0..*count).for_each(|n| made.add_block(old, *length, n * stride * extent));
            }
            Recipe::Hvector { count, length, stride } => {
                (0..*count).for_each(|n| made.add_block(old, *length, n * stride));
            }
            Recipe::Indexed { lengths, at } => blocks(lengths, at, extent),
            Recipe::Hindexed { lengths, at } => blocks(lengths, at, 1),
            Recipe::IndexedBlock { length, at } => blocks(&vec![*length; at.len()], at, extent),
            Recipe::HindexedBlock { length, at } => blocks(&vec![*length; at.len()], at, 1),
            Recipe::Struct { lengths, at } => {
                for ((part, n), at) in parts.iter().zip(lengths).zip(at) {
                    made.add_block(part, *n, *at);
                }
            }
            Recipe::Resized { lb, extent } => {
                made = Self { marks: Some((*lb, lb + extent)), ..old.clone() };
            }
            Recipe::Subarray(array) => {
                let taken = |d: usize, i: i64| {
                    (array.starts[d]..array.starts[d] + array.subsizes[d]).contains(&i)
                };
                made = Self::array(old, &array.sizes, array.order, &taken);
            }
            Recipe::Darray(array) => {
                made = Self::array(old, &array.gsizes, array.order, &|d, i| owns(array, d, i));
            }
            _ => unreachable!(),
        }
        made
    }

    /// All elements of an array whose indices are taken.
    fn array(old: &Self, sizes: &[i64], order: i32, taken: &dyn Fn(usize, i64) -> bool) -> Self {
        let mut made = Self::default();
        let plain = Self { marks: None, ..old.clone() };
        let all: i64 = sizes.iter().product();
        for place in 0..all {
            let (mut left, mut within) = (place, true);
            let mut check = |d: usize| {
                within &= taken(d, left % sizes[d]);
                left /= sizes[d];
            };
            // The index that changes fastest comes first.
            match order {
                c::MPI_ORDER_C => (0..sizes.len()).rev().for_each(&mut check),
                _ => (0..sizes.len()).for_each(&mut check),
            }
            if within {
                made.add(&plain, place * old.extent());
            }
        }
        made.marks = Some((0, all * old.extent()));
        made
    }
}

/// Whether an index of a dimension of a distributed array belongs to the process.
fn owns(array: &Darray, dimension: usize, index: i64) -> bool {
    let mut below = i64::from(array.size);
    let mut place = i64::from(array.rank);
    for d in 0..dimension {
        below /= array.psizes[d];
        place %= below;
    }
    below /= array.psizes[dimension];
    place /= below;
    let (size, processes) = (array.gsizes[dimension], array.psizes[dimension]);
    let darg = array.dargs[dimension];
    let default = darg == i64::from(c::MPI_DISTRIBUTE_DFLT_DARG);
    match i32::try_from(array.distribs[dimension]).unwrap() {
        c::MPI_DISTRIBUTE_NONE => true,
        c::MPI_DISTRIBUTE_BLOCK => {
            let block = if default { (size + processes - 1) / processes } else { darg };
            index / block == place
        }
        _ => index / if default { 1 } else { darg } % processes == place,
    }
}

/// Numbers that depend on the seed only.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, low: i64, high: i64) -> i64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        low + i64::try_from((self.0 >> 33) % (high - low + 1).unsigned_abs()).unwrap()
    }

    fn rolls(&mut self, count: i64, low: i64, high: i64) -> Vec<i64> {
        (0..count).map(|_| self.roll(low, high)).collect()
    }

    fn recipe(&mut self) -> Recipe {
        let (count, length, stride) = (self.roll(0, 4), self.roll(0, 3), self.roll(-5, 5));
        let blocks = self.roll(0, 4);
        let (lengths, at) = (self.rolls(blocks, 0, 3), self.rolls(blocks, -20, 20));
        match self.roll(0, 13) {
            0 => Recipe::Dup,
            1 => Recipe::Contiguous { count },
            2 | 3 => Recipe::Vector { count, length, stride },
            4 => Recipe::Hvector { count, length, stride: stride * 7 },
            5 => Recipe::Indexed { lengths, at },
            6 => Recipe::Hindexed { lengths, at },
            7 => Recipe::IndexedBlock { length, at },
            8 => Recipe::HindexedBlock { length, at: (0..blocks).map(|n| n * 8).collect() },
            9 | 10 => Recipe::Struct { lengths, at },
            11 => Recipe::Resized { lb: stride, extent: self.roll(-10, 40) },
            12 => self.subarray(),
            _ => self.darray(),
        }
    }

    fn order(&mut self) -> i32 {
        if self.roll(0, 1) == 0 { c::MPI_ORDER_C } else { c::MPI_ORDER_FORTRAN }
    }

    fn subarray(&mut self) -> Recipe {
        let dimensions = self.roll(1, 3);
        let sizes = self.rolls(dimensions, 1, 4);
        let subsizes: Vec<_> = sizes.iter().map(|size| self.roll(1, *size)).collect();
        let both = sizes.iter().zip(&subsizes);
        let starts = both.map(|(size, sub)| self.roll(0, size - sub)).collect();
        Recipe::Subarray(Subarray { sizes, subsizes, starts, order: self.order() })
    }

    fn darray(&mut self) -> Recipe {
        let dimensions = self.roll(1, 3);
        let mut array = Darray { size: 1, order: self.order(), ..Darray::default() };
        for _ in 0..dimensions {
            let (size, kind) = (self.roll(1, 7), self.roll(0, 2));
            let processes = if kind == 0 { 1 } else { self.roll(1, 3) };
            let least = (size + processes - 1) / processes;
            let darg = match (self.roll(0, 1), kind) {
                (0, _) => i64::from(c::MPI_DISTRIBUTE_DFLT_DARG),
                (_, 1) => self.roll(least, size),
                _ => self.roll(1, 3),
            };
            array.gsizes.push(size);
            array.dargs.push(darg);
            array.psizes.push(processes);
            array.distribs.push(i64::from(c::MPI_DISTRIBUTE_NONE) + kind);
            array.size *= i32::try_from(processes).unwrap();
        }
        array.rank = i32::try_from(self.roll(0, i64::from(array.size) - 1)).unwrap();
        Recipe::Darray(array)
    }

    fn made(&mut self, depth: i64, budget: &Budget) -> (Datatype, Model) {
        const LEAVES: [i32; 8] = [
            c::MPI_CHAR,
            c::MPI_INT,
            c::MPI_INT,
            c::MPI_DOUBLE,
            c::MPI_SHORT,
            c::MPI_SHORT_INT,
            c::MPI_DOUBLE_INT,
            c::MPI_LONG_DOUBLE_INT,
        ];
        if depth == 0 {
            let leaf = LEAVES[usize::try_from(self.roll(0, 7)).unwrap()];
            return (Datatype::predefined(leaf).unwrap(), Model::basic(leaf));
        }
        let recipe = self.recipe();
        let parts = match &recipe {
            Recipe::Struct { at, .. } => at.len(),
            _ => 1,
        };
        let shallower = |dice: &mut Self| {
            let depth = dice.roll(0, depth - 1);
            dice.made(depth, budget)
        };
        let (types, mut models): (Vec<_>, Vec<_>) = (0..parts).map(|_| shallower(self)).unzip();
        if models.is_empty() {
            models.push(Model::default());
        }
        let model = Model::make(&recipe, &models);
        let large = self.roll(0, 1) == 0;
        let made = Datatype::make(recipe.clone(), types, large, budget);
        (made.unwrap_or_else(|error| panic!("{recipe:?}: {error:?}")), model)
    }
}

/// Notes the addresses of all bytes shown.
#[derive(Default)]
struct Addresses(Vec<i64>);

impl Visitor for Addresses {
    fn run(&mut self, at: i64, len: u64) -> Result<()> {
        self.0.extend(at..at + len.cast_signed());
        Ok(())
    }

    fn strided(&mut self, at: i64, stride: i64, len: u64, count: u64) -> Result<()> {
        (0..count.cast_signed()).try_for_each(|n| self.run(at + n * stride, len))
    }
}

fn shown(datatype: &Datatype, skip: u64, len: u64) -> Vec<i64> {
    let mut to = Addresses::default();
    datatype.visit(0, skip, len, &mut to).unwrap();
    to.0
}

fn same(datatype: &Datatype, model: &Model, dice: &mut Dice, seed: u64) {
    let what = format!("seed {seed}: {datatype:?}");
    assert_eq!(datatype.size(), model.size(), "size, {what}");
    assert_eq!(datatype.true_lb(), model.true_lb(), "true lb, {what}");
    let true_extent = model.true_ub() - model.true_lb();
    assert_eq!(datatype.true_extent(), true_extent, "true extent, {what}");
    assert_eq!(datatype.lb(), model.lb(), "lb, {what}");
    assert_eq!(datatype.extent(), model.extent(), "extent, {what}");

    let bytes = model.bytes(3);
    let all = bytes.len() as u64;
    assert_eq!(shown(datatype, 0, all), bytes, "bytes, {what}");
    for _ in 0..6 {
        let skip = dice.roll(0, all.cast_signed()).unsigned_abs();
        let len = dice.roll(0, (all - skip).cast_signed()).unsigned_abs();
        let part = &bytes[usize::try_from(skip).unwrap()..][..usize::try_from(len).unwrap()];
        assert_eq!(shown(datatype, skip, len), part, "{len} bytes from {skip}, {what}");
    }
    if let Some((at, len)) = datatype.run(3) {
        let run: Vec<i64> = (at..at + len.cast_signed()).collect();
        assert_eq!(run, bytes, "one run, {what}");
    }
    let from_start = bytes.iter().copied().eq(0..all.cast_signed());
    assert!(!datatype.is_contiguous() || from_start, "contiguous, {what}");

    let listed = datatype.signature().flat_map(|(basic, count)| {
        let parts = basic.pair().map_or(vec![basic], |(value, index)| vec![value, index]);
        (0..count).flat_map(move |_| parts.clone())
    });
    let listed: Vec<Basic> = listed.collect();
    let expected: Vec<Basic> = model.entries.iter().map(|entry| entry.0).collect();
    assert_eq!(listed, expected, "signature, {what}");
    assert_eq!(datatype.elements(), expected.len() as u64, "elements, {what}");

    let (mut end, mut elements) = (0, 0);
    for basic in expected.iter().cycle().take(2 * expected.len()) {
        for more in 1..basic.size() {
            assert_eq!(datatype.elements_in(end + more), None, "part of one, {what}");
        }
        assert_eq!(datatype.bytes_of(elements), Some(end), "{elements} elements, {what}");
        end += basic.size();
        elements += 1;
        assert_eq!(datatype.elements_in(end), Some(elements), "{end} bytes, {what}");
    }
}

#[test]
fn random_types_are_what_the_standards_type_maps_say() {
    let budget = Budget::default();
    for seed in 0..1500 {
        let mut dice = Dice(seed);
        dice.roll(0, 1);
        let (datatype, model) = dice.made(3, &budget);
        if model.entries.len() <= 20_000 {
            same(&datatype, &model, &mut dice, seed);
        }
    }
    assert_eq!(budget.used(), 0, "what types keep is given back when they are gone");
}

#[test]
fn every_predefined_type_is_what_its_type_map_says() {
    for basic in Basic::all() {
        let datatype = Datatype::predefined(basic.handle()).unwrap();
        same(&datatype, &Model::basic(basic.handle()), &mut Dice(1), 0);
        assert_eq!((datatype.named(), datatype.basic()), (Some(basic), Some(basic)));
    }
}
