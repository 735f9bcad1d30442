//! What elements of reductions can do.

/// An element in packed bytes.
pub trait Value: Copy {
    /// Its bytes.
    const SIZE: usize;
    /// Reads one.
    fn load(bytes: &[u8]) -> Self;
    /// Writes it.
    fn store(self, bytes: &mut [u8]);
}

/// What can be added and multiplied.
pub trait Arithmetic: Value {
    /// The sum.
    fn plus(self, other: Self) -> Self;
    /// The product.
    fn times(self, other: Self) -> Self;
}

/// What can be compared.
pub trait Ordered: Value {
    /// Whether it is less.
    fn less(self, other: Self) -> bool;
}

/// What has bits.
pub trait Bits: Value {
    /// Bits of both.
    fn and(self, other: Self) -> Self;
    /// Bits of either.
    fn or(self, other: Self) -> Self;
    /// Bits of one.
    fn xor(self, other: Self) -> Self;
}

/// What can be true.
pub trait Truth: Value {
    /// Whether it is.
    fn truth(self) -> bool;
    /// 1 or 0.
    fn of(truth: bool) -> Self;
}

/// What can be negated.
pub trait Signed: Arithmetic {
    /// With the other sign.
    fn negative(self) -> Self;
}

macro_rules! values {
    ($($number:ty)*) => { $(
        impl Value for $number {
            const SIZE: usize = size_of::<$number>();
            #[inline]
            fn load(bytes: &[u8]) -> Self {
                bytes.first_chunk().map_or(Default::default(), |all| Self::from_le_bytes(*all))
            }
            #[inline]
            fn store(self, bytes: &mut [u8]) {
                if let Some(all) = bytes.first_chunk_mut() {
                    *all = self.to_le_bytes();
                }
            }
        }
        impl Ordered for $number {
            #[inline]
            fn less(self, other: Self) -> bool {
                self < other
            }
        }
    )* };
}

macro_rules! integers {
    ($($number:ty)*) => { $(
        impl Arithmetic for $number {
            #[inline]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            #[inline]
            fn times(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
        }
        impl Bits for $number {
            #[inline]
            fn and(self, other: Self) -> Self {
                self & other
            }
            #[inline]
            fn or(self, other: Self) -> Self {
                self | other
            }
            #[inline]
            fn xor(self, other: Self) -> Self {
                self ^ other
            }
        }
        impl Truth for $number {
            #[inline]
            fn truth(self) -> bool {
                self != 0
            }
            #[inline]
            fn of(truth: bool) -> Self {
                Self::from(truth)
            }
        }
    )* };
}

macro_rules! floats {
    ($($number:ty)*) => { $(
        impl Arithmetic for $number {
            #[inline]
            fn plus(self, other: Self) -> Self {
                self + other
            }
            #[inline]
            fn times(self, other: Self) -> Self {
                self * other
            }
        }
        impl Signed for $number {
            fn negative(self) -> Self {
                -self
            }
        }
    )* };
}

values!(i8 u8 i16 u16 i32 u32 i64 u64 i128 f32 f64);
integers!(i8 u8 i16 u16 i32 u32 i64 u64 i128);
floats!(f32 f64);

/// A complex number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Complex<T>(pub T, pub T);

impl<T: Value> Value for Complex<T> {
    const SIZE: usize = 2 * T::SIZE;
    fn load(bytes: &[u8]) -> Self {
        let (real, imaginary) = bytes.split_at(T::SIZE);
        Self(T::load(real), T::load(imaginary))
    }
    fn store(self, bytes: &mut [u8]) {
        let (real, imaginary) = bytes.split_at_mut(T::SIZE);
        self.0.store(real);
        self.1.store(imaginary);
    }
}

impl<T: Signed> Arithmetic for Complex<T> {
    fn plus(self, other: Self) -> Self {
        Self(self.0.plus(other.0), self.1.plus(other.1))
    }
    fn times(self, other: Self) -> Self {
        let real = self.0.times(other.0).plus(self.1.times(other.1).negative());
        Self(real, self.0.times(other.1).plus(self.1.times(other.0)))
    }
}

/// A value and where it was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair<V, P>(pub V, pub P);

impl<V: Value, P: Value> Value for Pair<V, P> {
    const SIZE: usize = V::SIZE + P::SIZE;
    fn load(bytes: &[u8]) -> Self {
        let (value, place) = bytes.split_at(V::SIZE);
        Self(V::load(value), P::load(place))
    }
    fn store(self, bytes: &mut [u8]) {
        let (value, place) = bytes.split_at_mut(V::SIZE);
        self.0.store(value);
        self.1.store(place);
    }
}

/// A value with its place.
pub trait Located: Value {
    /// The one with the least value, or the greatest; of equal ones that with the lower place.
    fn first(a: Self, b: Self, greatest: bool) -> Self;
}

impl<V: Ordered, P: Ordered> Located for Pair<V, P> {
    fn first(a: Self, b: Self, greatest: bool) -> Self {
        let (a_first, b_first) = match greatest {
            true => (b.0.less(a.0), a.0.less(b.0)),
            false => (a.0.less(b.0), b.0.less(a.0)),
        };
        match (a_first, b_first) {
            (true, _) => a,
            (_, true) => b,
            _ if a.1.less(b.1) => a,
            _ => b,
        }
    }
}
