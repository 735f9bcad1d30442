//! A type as the standard defines it, by its type map, in short: bounds, where the bytes lie, and
//! of which predefined types they are. All constructors are made of three steps: repeat, shift,
//! join. Every step is checked: nothing gets larger than fits.

use super::Basic;
use super::layout::{Lister, Piece};
use super::signature::{Joiner, Signature};
use crate::mpi::error::{Error, Result};

/// Bounds are within plus and minus this, so that sums and differences of them fit.
const MOST: i64 = 1 << 61;

/// Where a type begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Of the data: the first byte, and behind the last.
    data: Option<(i64, i64)>,
    /// What the program said, here or of a part.
    marks: Option<(i64, i64)>,
    /// The largest alignment of a part.
    align: i64,
}

/// See the top.
#[derive(Debug, Clone)]
pub struct Map {
    /// Where it begins and ends.
    pub bounds: Bounds,
    /// Where its bytes lie.
    pub piece: Piece,
    /// What they are.
    pub signature: Signature,
}

impl Bounds {
    const NONE: Self = Self { data: None, marks: None, align: 1 };

    /// The lower bound.
    pub fn lb(&self) -> i64 {
        self.marks.or(self.data).map_or(0, |(lb, _)| lb)
    }

    /// The upper bound: without a mark, the end of the data with what alignment adds.
    pub fn ub(&self) -> i64 {
        match (self.marks, self.data) {
            (Some((_, ub)), _) => ub,
            (None, Some((lb, ub))) => {
                let over = (ub - lb) % self.align;
                ub + if over == 0 { 0 } else { self.align - over }
            }
            (None, None) => 0,
        }
    }

    /// Of the data only.
    pub fn data(&self) -> (i64, i64) {
        self.data.unwrap_or((0, 0))
    }

    fn moved(&self, low: i64, high: i64) -> Result<Self> {
        type Ends = Option<(i64, i64)>;
        let moved = |bounds: Ends| -> Result<Ends> {
            let Some((lb, ub)) = bounds else { return Ok(None) };
            Ok(Some((fits(lb.checked_add(low))?, fits(ub.checked_add(high))?)))
        };
        Ok(Self { data: moved(self.data)?, marks: moved(self.marks)?, align: self.align })
    }

    fn join(&mut self, other: &Self) {
        let join = |a: Option<(i64, i64)>, b: Option<(i64, i64)>| match (a, b) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
        self.data = join(self.data, other.data);
        self.marks = join(self.marks, other.marks);
        self.align = self.align.max(other.align);
    }

    /// Of so many at a stride.
    fn repeated(&self, count: u64, stride: i64) -> Result<Self> {
        let Some(last) = count.checked_sub(1) else { return Ok(Self::NONE) };
        let last = fits(i64::try_from(last).ok().and_then(|last| last.checked_mul(stride)))?;
        self.moved(last.min(0), last.max(0))
    }
}

fn fits(value: Option<i64>) -> Result<i64> {
    match value {
        Some(value) if (-MOST..=MOST).contains(&value) => Ok(value),
        _ => Err(too_large()),
    }
}

fn too_large() -> Error {
    Error::arg("the type would be larger than 2^61 bytes")
}

impl Map {
    /// Of a predefined type.
    pub fn basic(basic: Basic) -> Self {
        let mut map = Joining::default();
        let align = i64::try_from(basic.align()).unwrap_or(1);
        let parts = match basic.pair() {
            None => vec![(0, basic)],
            Some((value, index)) => {
                vec![(0, value), (value.size().next_multiple_of(index.align()), index)]
            }
        };
        for (at, part) in parts {
            let (at, len) = (at.cast_signed(), part.size());
            map.pieces.push(Piece { at, form: super::layout::Form::Run(len) });
            let data = Some((at, at + len.cast_signed()));
            map.bounds.join(&Bounds { data, marks: None, align });
        }
        let signature = Signature::basics(basic, 1).unwrap_or(Signature::EMPTY);
        Self { signature, ..map.finish() }
    }

    /// From one to the next.
    pub fn extent(&self) -> i64 {
        self.bounds.ub() - self.bounds.lb()
    }

    /// So many at a stride.
    pub fn repeated(&self, count: u64, stride: i64) -> Result<Self> {
        let signature = self.signature.repeated(count).ok_or_else(too_large)?;
        let bounds = self.bounds.repeated(count, stride)?;
        Ok(Self { bounds, piece: self.piece.repeated(count, stride), signature })
    }

    /// The same elsewhere.
    pub fn shifted(&self, by: i64) -> Result<Self> {
        let bounds = self.bounds.moved(by, by)?;
        Ok(Self { bounds, piece: self.piece.shifted(by), signature: self.signature.clone() })
    }

    /// With such bounds.
    pub fn resized(&self, lb: i64, extent: i64) -> Result<Self> {
        let marks = Some((fits(Some(lb))?, fits(lb.checked_add(extent))?));
        Ok(Self { bounds: Bounds { marks, ..self.bounds }, ..self.clone() })
    }
}

/// Joins maps, in order.
#[derive(Debug)]
pub struct Joining {
    bounds: Bounds,
    pieces: Lister,
    signature: Joiner,
}

impl Default for Joining {
    fn default() -> Self {
        let (pieces, signature) = (Lister::default(), Joiner::default());
        Self { bounds: Bounds::NONE, pieces, signature }
    }
}

impl Joining {
    /// Adds what `block` made of one map of so many copies, moved.
    pub fn push(&mut self, map: &Map, block: &Block, by: i64) -> Result<()> {
        self.signature.push(&map.signature, block.count).ok_or_else(too_large)?;
        self.bounds.join(&block.bounds.moved(by, by)?);
        self.pieces.push(block.piece.shifted(by));
        Ok(())
    }

    /// Them all.
    pub fn finish(self) -> Map {
        let (piece, signature) = (self.pieces.finish(), self.signature.finish());
        Map { bounds: self.bounds, piece, signature }
    }
}

/// So many copies of a map, one behind the other.
#[derive(Debug)]
pub struct Block {
    /// How many.
    pub count: u64,
    bounds: Bounds,
    piece: Piece,
}

impl Block {
    /// Of a map.
    pub fn of(map: &Map, count: u64) -> Result<Self> {
        // The signature's own sum also says that the size fits.
        map.signature.repeated(count).ok_or_else(too_large)?;
        let bounds = map.bounds.repeated(count, map.extent())?;
        Ok(Self { count, bounds, piece: map.piece.repeated(count, map.extent()) })
    }
}
