//! Floating-point numbers that the processor does not have: of 16 and of 128 bits, which is the
//! `long double` of WebAssembly. Rounded to nearest, ties to even.

use super::numbers::{Arithmetic, Ordered, Signed, Value};

/// One of 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Half(pub u16);

impl Half {
    /// Its value, which is exact.
    pub fn wide(self) -> f64 {
        let fraction = f64::from(self.0 & 0x3ff);
        let value = match (self.0 >> 10) & 0x1f {
            0 => fraction * 2f64.powi(-24),
            31 if fraction > 0.0 => f64::NAN,
            31 => f64::INFINITY,
            exponent => (1024.0 + fraction) * 2f64.powi(i32::from(exponent) - 25),
        };
        if self.0 >> 15 == 1 { -value } else { value }
    }

    /// The nearest one.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
    pub fn nearest(value: f64) -> Self {
        let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
        let size = value.abs();
        let bits = if size.is_nan() {
            0x7e00
        } else if size >= 65520.0 {
            0x7c00
        } else if size < 2f64.powi(-14) {
            (size * 2f64.powi(24)).round_ties_even() as u16
        } else {
            let exponent = ((size.to_bits() >> 52) as i32) - 1023;
            let fraction = (size * 2f64.powi(10 - exponent)).round_ties_even() as u16;
            (((exponent + 15) as u16) << 10) + (fraction - 1024)
        };
        Self(sign | bits)
    }
}

impl Value for Half {
    const SIZE: usize = 2;
    fn load(bytes: &[u8]) -> Self {
        Self(u16::load(bytes))
    }
    fn store(self, bytes: &mut [u8]) {
        self.0.store(bytes);
    }
}

impl Arithmetic for Half {
    fn plus(self, other: Self) -> Self {
        Self::nearest(self.wide() + other.wide())
    }
    fn times(self, other: Self) -> Self {
        Self::nearest(self.wide() * other.wide())
    }
}

impl Signed for Half {
    fn negative(self) -> Self {
        Self(self.0 ^ 0x8000)
    }
}

impl Ordered for Half {
    fn less(self, other: Self) -> bool {
        self.wide() < other.wide()
    }
}

/// Bits of the fraction.
const FRACTION: u32 = 112;
const SIGN: u128 = 1 << 127;
const INFINITY: u128 = 0x7fff << FRACTION;
const NAN: u128 = INFINITY | (1 << (FRACTION - 1));
/// Bits kept below the fraction while one is computed.
const GUARD: u32 = 3;

/// One of 128 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quad(pub u128);

impl Quad {
    fn size(self) -> u128 {
        self.0 & !SIGN
    }

    fn is_nan(self) -> bool {
        self.size() > INFINITY
    }

    /// Its exponent, at least 1, and its digits, with the one before the point.
    fn parts(self) -> (i32, u128) {
        let exponent = (self.size() >> FRACTION) as i32;
        let fraction = self.0 & ((1 << FRACTION) - 1);
        if exponent == 0 { (1, fraction) } else { (exponent, fraction | (1 << FRACTION)) }
    }
}

/// Shifts right; a lost bit stays visible in the last one.
fn shift(digits: u128, by: u32) -> u128 {
    match by {
        0 => digits,
        1..128 => (digits >> by) | u128::from(digits << (128 - by) != 0),
        _ => u128::from(digits != 0),
    }
}

/// The nearest number; `digits` have the guard's bits, and at most one too many before the point.
fn round(sign: u128, exponent: i32, digits: u128) -> Quad {
    let (mut exponent, mut digits) = (exponent, digits);
    if digits >> (FRACTION + GUARD + 1) != 0 {
        digits = shift(digits, 1);
        exponent += 1;
    }
    if exponent < 1 {
        digits = shift(digits, exponent.abs_diff(1));
        exponent = 1;
    }
    let (rest, mut digits) = (digits & 7, digits >> GUARD);
    if rest > 4 || (rest == 4 && digits & 1 == 1) {
        digits += 1;
    }
    if digits >> (FRACTION + 1) != 0 {
        digits >>= 1;
        exponent += 1;
    }
    if exponent >= 0x7fff {
        return Quad(sign | INFINITY);
    }
    match digits >> FRACTION {
        0 => Quad(sign | digits),
        _ => {
            let exponent = u128::from(exponent.unsigned_abs()) << FRACTION;
            Quad(sign | exponent | (digits & ((1 << FRACTION) - 1)))
        }
    }
}

impl Value for Quad {
    const SIZE: usize = 16;
    fn load(bytes: &[u8]) -> Self {
        Self(i128::load(bytes).cast_unsigned())
    }
    fn store(self, bytes: &mut [u8]) {
        self.0.cast_signed().store(bytes);
    }
}

impl Arithmetic for Quad {
    fn plus(self, other: Self) -> Self {
        if self.is_nan() || other.is_nan() {
            return Self(NAN);
        }
        let (a, b) = if self.size() < other.size() { (other, self) } else { (self, other) };
        if a.size() == INFINITY {
            let opposed = b.size() == INFINITY && a.0 != b.0;
            return if opposed { Self(NAN) } else { a };
        }
        let ((exponent, high), (lower, low)) = (a.parts(), b.parts());
        let (high, low) = (high << GUARD, shift(low << GUARD, exponent.abs_diff(lower)));
        let sign = a.0 & SIGN;
        if sign == b.0 & SIGN {
            return round(sign, exponent, high + low);
        }
        let left = high - low;
        if left == 0 {
            return Self(0);
        }
        let room = left.leading_zeros() - (127 - FRACTION - GUARD);
        let by = room.min(exponent.abs_diff(1));
        round(sign, exponent - by.cast_signed(), left << by)
    }

    fn times(self, other: Self) -> Self {
        let sign = (self.0 ^ other.0) & SIGN;
        let (a, b) = (self.size(), other.size());
        if self.is_nan() || other.is_nan() || (a.max(b) == INFINITY && a.min(b) == 0) {
            return Self(NAN);
        }
        if a.max(b) == INFINITY {
            return Self(sign | INFINITY);
        }
        if a.min(b) == 0 {
            return Self(sign);
        }
        let (left, right) = (normal(self), normal(other));
        let (high, low) = product(left.1, right.1);
        // Of 226 bits those that count; what is lost below stays visible.
        let digits = (high << 19) | shift(low, 109);
        round(sign, left.0 + right.0 - 0x3fff, digits)
    }
}

/// The parts, with the first digit before the point.
fn normal(number: Quad) -> (i32, u128) {
    let (exponent, digits) = number.parts();
    let by = digits.leading_zeros() - (127 - FRACTION);
    (exponent - by.cast_signed(), digits << by)
}

/// The product in two halves.
fn product(a: u128, b: u128) -> (u128, u128) {
    let low = u128::from(u64::MAX);
    let ((a1, a0), (b1, b0)) = ((a >> 64, a & low), (b >> 64, b & low));
    let (mid, carry) = (a1 * b0).overflowing_add(a0 * b1);
    let (bottom, over) = (a0 * b0).overflowing_add(mid << 64);
    (a1 * b1 + (mid >> 64) + (u128::from(carry) << 64) + u128::from(over), bottom)
}

impl Signed for Quad {
    fn negative(self) -> Self {
        Self(self.0 ^ SIGN)
    }
}

impl Ordered for Quad {
    fn less(self, other: Self) -> bool {
        if self.is_nan() || other.is_nan() || (self.size() == 0 && other.size() == 0) {
            return false;
        }
        match (self.0 & SIGN != 0, other.0 & SIGN != 0) {
            (false, false) => self.0 < other.0,
            (true, true) => self.0 > other.0,
            (negative, _) => negative,
        }
    }
}
