//! The predefined operations of reductions, on bytes as they are packed.

mod numbers;
mod quad;
mod types;

#[cfg(test)]
mod tests;

use super::constants as c;
use super::types::Basic;
use numbers::{Arithmetic, Bits, Ordered, Pair, Truth, Value};
use quad::{Half, Quad};
use types::{Class, Layout};

/// A predefined operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the standard's names")]
pub enum Op {
    Sum,
    Prod,
    Min,
    Max,
    Band,
    Bor,
    Bxor,
    Land,
    Lor,
    Lxor,
    Minloc,
    Maxloc,
    Replace,
    NoOp,
}

impl Op {
    /// Of a handle.
    pub fn of(handle: i32) -> Option<Self> {
        Some(match handle {
            c::MPI_SUM => Self::Sum,
            c::MPI_PROD => Self::Prod,
            c::MPI_MIN => Self::Min,
            c::MPI_MAX => Self::Max,
            c::MPI_BAND => Self::Band,
            c::MPI_BOR => Self::Bor,
            c::MPI_BXOR => Self::Bxor,
            c::MPI_LAND => Self::Land,
            c::MPI_LOR => Self::Lor,
            c::MPI_LXOR => Self::Lxor,
            c::MPI_MINLOC => Self::Minloc,
            c::MPI_MAXLOC => Self::Maxloc,
            c::MPI_REPLACE => Self::Replace,
            c::MPI_NO_OP => Self::NoOp,
            _ => return None,
        })
    }

    /// Whether the order of two operands does not matter.
    pub fn commutes(self) -> bool {
        !matches!(self, Self::Replace | Self::NoOp)
    }

    /// Whether the standard defines it on a type.
    pub fn takes(self, basic: Basic) -> bool {
        use Class::{Byte, CInteger, Complex, FInteger, Floating, Logical, Multi, Pair};
        let Some((class, _)) = types::of(basic.handle()) else {
            return matches!(self, Self::Replace | Self::NoOp);
        };
        match self {
            Self::Replace | Self::NoOp => true,
            Self::Max | Self::Min => matches!(class, CInteger | FInteger | Floating | Multi),
            Self::Sum | Self::Prod => {
                matches!(class, CInteger | FInteger | Floating | Complex | Multi)
            }
            Self::Land | Self::Lor | Self::Lxor => matches!(class, CInteger | Logical),
            Self::Band | Self::Bor | Self::Bxor => {
                matches!(class, CInteger | FInteger | Byte | Multi)
            }
            Self::Minloc | Self::Maxloc => class == Pair,
        }
    }

    /// Makes each element of `inout` what comes of that of `input` and itself. Both hold elements
    /// of a type that it [`takes`](Self::takes), as many.
    pub fn apply(self, basic: Basic, input: &[u8], inout: &mut [u8]) {
        if self == Self::Replace {
            let len = input.len().min(inout.len());
            inout[..len].copy_from_slice(&input[..len]);
        }
        let Some((_, layout)) = types::of(basic.handle()) else { return };
        match layout {
            Layout::I8 => self.integers::<i8>(input, inout),
            Layout::U8 => self.integers::<u8>(input, inout),
            Layout::I16 => self.integers::<i16>(input, inout),
            Layout::U16 => self.integers::<u16>(input, inout),
            Layout::I32 => self.integers::<i32>(input, inout),
            Layout::U32 => self.integers::<u32>(input, inout),
            Layout::I64 => self.integers::<i64>(input, inout),
            Layout::U64 => self.integers::<u64>(input, inout),
            Layout::I128 => self.integers::<i128>(input, inout),
            Layout::F16 => self.floats::<Half>(input, inout),
            Layout::F32 => self.floats::<f32>(input, inout),
            Layout::F64 => self.floats::<f64>(input, inout),
            Layout::F128 => self.floats::<Quad>(input, inout),
            Layout::C16 => self.arithmetic::<numbers::Complex<Half>>(input, inout),
            Layout::C32 => self.arithmetic::<numbers::Complex<f32>>(input, inout),
            Layout::C64 => self.arithmetic::<numbers::Complex<f64>>(input, inout),
            Layout::C128 => self.arithmetic::<numbers::Complex<Quad>>(input, inout),
            Layout::F32I32 => self.located::<Pair<f32, i32>>(input, inout),
            Layout::F64I32 => self.located::<Pair<f64, i32>>(input, inout),
            Layout::I32I32 => self.located::<Pair<i32, i32>>(input, inout),
            Layout::I16I32 => self.located::<Pair<i16, i32>>(input, inout),
            Layout::F128I32 => self.located::<Pair<Quad, i32>>(input, inout),
            Layout::F32F32 => self.located::<Pair<f32, f32>>(input, inout),
            Layout::F64F64 => self.located::<Pair<f64, f64>>(input, inout),
        }
    }

    fn integers<T: Arithmetic + Ordered + Bits + Truth>(self, input: &[u8], inout: &mut [u8]) {
        match self {
            Self::Min | Self::Max => self.ordered::<T>(input, inout),
            Self::Band => each(input, inout, T::and),
            Self::Bor => each(input, inout, T::or),
            Self::Bxor => each(input, inout, T::xor),
            Self::Land => each(input, inout, |a: T, b: T| T::of(a.truth() && b.truth())),
            Self::Lor => each(input, inout, |a: T, b: T| T::of(a.truth() || b.truth())),
            Self::Lxor => each(input, inout, |a: T, b: T| T::of(a.truth() != b.truth())),
            _ => self.arithmetic::<T>(input, inout),
        }
    }

    fn floats<T: Arithmetic + Ordered>(self, input: &[u8], inout: &mut [u8]) {
        match self {
            Self::Min | Self::Max => self.ordered::<T>(input, inout),
            _ => self.arithmetic::<T>(input, inout),
        }
    }

    fn ordered<T: Ordered>(self, input: &[u8], inout: &mut [u8]) {
        match self {
            Self::Min => each(input, inout, |a: T, b: T| if a.less(b) { a } else { b }),
            Self::Max => each(input, inout, |a: T, b: T| if b.less(a) { a } else { b }),
            _ => {}
        }
    }

    fn arithmetic<T: Arithmetic>(self, input: &[u8], inout: &mut [u8]) {
        match self {
            Self::Sum => each(input, inout, T::plus),
            Self::Prod => each(input, inout, T::times),
            _ => {}
        }
    }

    /// Of equal values the one with the lower place counts.
    fn located<T: numbers::Located>(self, input: &[u8], inout: &mut [u8]) {
        match self {
            Self::Minloc => each(input, inout, |a: T, b: T| T::first(a, b, false)),
            Self::Maxloc => each(input, inout, |a: T, b: T| T::first(a, b, true)),
            _ => {}
        }
    }
}

fn each<T: Value>(input: &[u8], inout: &mut [u8], with: impl Fn(T, T) -> T) {
    let pairs = input.chunks_exact(T::SIZE).zip(inout.chunks_exact_mut(T::SIZE));
    for (a, b) in pairs {
        with(T::load(a), T::load(b)).store(b);
    }
}
