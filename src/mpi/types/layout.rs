//! Where the bytes of a type lie, as loops over runs: a run of bytes, a loop of equal pieces at a
//! stride, or a list of pieces. Runs that touch are one, so that what is contiguous costs nothing
//! however it was made, and a loop costs the same for any count.

use std::sync::Arc;

use crate::mpi::error::Result;

/// Bytes at a displacement.
#[derive(Debug, Clone)]
pub struct Piece {
    /// The displacement.
    pub at: i64,
    /// How they lie from there.
    pub form: Form,
}

/// How bytes lie.
#[derive(Debug, Clone)]
pub enum Form {
    /// So many, one after the other.
    Run(u64),
    /// In equal pieces.
    Loop(Arc<Loop>),
    /// In pieces.
    List(Arc<List>),
}

/// Equal pieces at a stride.
#[derive(Debug)]
pub struct Loop {
    count: u64,
    stride: i64,
    each: Piece,
    size: u64,
}

impl Loop {
    fn form(count: u64, stride: i64, each: Piece) -> Form {
        let size = count * each.size();
        Form::Loop(Arc::new(Self { count, stride, each, size }))
    }
}

/// Pieces in order, and where each ends in the data.
#[derive(Debug)]
pub struct List {
    pieces: Vec<Piece>,
    ends: Vec<u64>,
}

/// Who is shown where bytes lie, in the order of the data. Addresses are modulo 2^64.
pub trait Visitor {
    /// So many bytes at an address.
    fn run(&mut self, at: i64, len: u64) -> Result<()>;

    /// `count` times `len` bytes, `stride` apart.
    fn strided(&mut self, at: i64, stride: i64, len: u64, count: u64) -> Result<()>;
}

impl Piece {
    /// No bytes.
    pub const EMPTY: Self = Self { at: 0, form: Form::Run(0) };

    /// Bytes of data.
    pub fn size(&self) -> u64 {
        match &self.form {
            Form::Run(len) => *len,
            Form::Loop(all) => all.size,
            Form::List(list) => list.ends.last().copied().unwrap_or(0),
        }
    }

    /// Where the bytes are when they are one run.
    pub fn as_run(&self) -> Option<(i64, u64)> {
        match self.form {
            Form::Run(len) => Some((self.at, len)),
            _ => None,
        }
    }

    /// The same bytes elsewhere.
    pub fn shifted(&self, by: i64) -> Self {
        Self { at: self.at.wrapping_add(by), form: self.form.clone() }
    }

    /// Such pieces at a stride. The caller has seen that the size of all fits.
    pub fn repeated(&self, count: u64, stride: i64) -> Self {
        if count == 0 || self.size() == 0 {
            return Self::EMPTY;
        }
        if count == 1 {
            return self.clone();
        }
        let end = |n: u64, step: i64| step.checked_mul(n.try_into().ok()?);
        match &self.form {
            Form::Run(len) if u64::try_from(stride) == Ok(*len) => {
                Self { at: self.at, form: Form::Run(len * count) }
            }
            Form::Loop(inner) if end(inner.count, inner.stride) == Some(stride) => {
                let (count, stride) = (inner.count * count, inner.stride);
                Self { at: self.at, form: Loop::form(count, stride, inner.each.clone()) }
            }
            _ => {
                let each = Self { at: 0, form: self.form.clone() };
                Self { at: self.at, form: Loop::form(count, stride, each) }
            }
        }
    }

    /// Shows bytes `skip..skip + len` of the data when displacement 0 is at `base`.
    pub fn visit<V: Visitor>(&self, base: i64, skip: u64, len: u64, to: &mut V) -> Result<()> {
        let base = base.wrapping_add(self.at);
        match &self.form {
            Form::Run(_) if len == 0 => Ok(()),
            Form::Run(_) => to.run(base.wrapping_add(skip.cast_signed()), len),
            Form::Loop(all) => visit_loop(&all.each, all.stride, base, skip, len, to),
            Form::List(list) => list.visit(base, skip, len, to),
        }
    }
}

/// The same for pieces at a stride, as many as that needs.
pub fn visit_loop<V: Visitor>(
    each: &Piece,
    stride: i64,
    base: i64,
    skip: u64,
    len: u64,
    to: &mut V,
) -> Result<()> {
    let size = each.size();
    if size == 0 || len == 0 {
        return Ok(());
    }
    let place = |n: u64| base.wrapping_add(stride.wrapping_mul(n.cast_signed()));
    let (mut at, mut within, mut left) = (skip / size, skip % size, len);
    if let Form::Run(run) = each.form {
        let place = |n: u64| place(n).wrapping_add(each.at);
        if within > 0 || left < run {
            let part = left.min(run - within);
            to.run(place(at).wrapping_add(within.cast_signed()), part)?;
            (at, left) = (at + 1, left - part);
        }
        let whole = left / run;
        if whole > 0 {
            to.strided(place(at), stride, run, whole)?;
        }
        let part = left % run;
        return if part > 0 { to.run(place(at + whole), part) } else { Ok(()) };
    }
    while left > 0 {
        let part = left.min(size - within);
        each.visit(place(at), within, part, to)?;
        (at, within, left) = (at + 1, 0, left - part);
    }
    Ok(())
}

impl List {
    fn visit<V: Visitor>(&self, base: i64, skip: u64, len: u64, to: &mut V) -> Result<()> {
        let first = self.ends.partition_point(|end| *end <= skip);
        let begun = first.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let (mut within, mut left) = (skip - begun.unwrap_or(0), len);
        for piece in self.pieces.get(first..).unwrap_or_default() {
            if left == 0 {
                break;
            }
            let part = left.min(piece.size() - within);
            match piece.form {
                Form::Run(_) => {
                    let at = base.wrapping_add(piece.at).wrapping_add(within.cast_signed());
                    to.run(at, part)?;
                }
                _ => piece.visit(base, within, part, to)?,
            }
            (within, left) = (0, left - part);
        }
        Ok(())
    }
}

/// Makes a piece of pieces, in order.
#[derive(Debug, Default)]
pub struct Lister {
    pieces: Vec<Piece>,
}

impl Lister {
    /// Adds one.
    pub fn push(&mut self, piece: Piece) {
        if piece.size() == 0 {
            return;
        }
        if let (Some(last), Form::Run(more)) = (self.pieces.last_mut(), &piece.form)
            && let Form::Run(len) = &mut last.form
            && last.at.checked_add_unsigned(*len) == Some(piece.at)
        {
            *len += more;
            return;
        }
        self.pieces.push(piece);
    }

    /// Them all. The caller has seen that the size of all fits.
    pub fn finish(mut self) -> Piece {
        if let Some(regular) = self.regular() {
            return regular;
        }
        if self.pieces.len() <= 1 {
            return self.pieces.pop().unwrap_or(Piece::EMPTY);
        }
        let mut end = 0;
        let ends = self.pieces.iter().map(|piece| {
            end += piece.size();
            end
        });
        let ends = ends.collect();
        self.pieces.shrink_to_fit();
        Piece { at: 0, form: Form::List(Arc::new(List { pieces: self.pieces, ends })) }
    }

    /// Equal runs at equal strides are a loop.
    fn regular(&self) -> Option<Piece> {
        let [first, second, ..] = self.pieces.as_slice() else { return None };
        let (at, len) = first.as_run()?;
        let stride = second.at.checked_sub(at)?;
        let mut expected = at;
        for piece in &self.pieces {
            if piece.as_run()? != (expected, len) {
                return None;
            }
            expected = expected.checked_add(stride)?;
        }
        Some(first.repeated(self.pieces.len() as u64, stride))
    }
}
