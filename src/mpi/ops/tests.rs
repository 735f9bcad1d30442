//! Operations against plain Rust.
use super::*;

fn basic(handle: i32) -> Option<Basic> {
    Basic::of(handle)
}

fn bytes<T: Value>(values: &[T]) -> Vec<u8> {
    let mut all = vec![0; values.len() * T::SIZE];
    all.chunks_exact_mut(T::SIZE).zip(values).for_each(|(place, value)| value.store(place));
    all
}

fn run<T: Value>(op: i32, datatype: i32, input: &[T], inout: &[T]) -> Vec<T> {
    let (op, basic) = (Op::of(op).expect("an operation"), basic(datatype).expect("a type"));
    assert!(op.takes(basic), "{op:?} takes {datatype:#x}");
    let mut out = bytes(inout);
    op.apply(basic, &bytes(input), &mut out);
    out.chunks_exact(T::SIZE).map(T::load).collect()
}

#[test]
fn integers_wrap_compare_and_have_bits() {
    let (a, b) = ([i32::MAX, -5, 12, 0], [1, 3, 10, 7]);
    assert_eq!(run(c::MPI_SUM, c::MPI_INT, &a, &b), [i32::MIN, -2, 22, 7]);
    assert_eq!(run(c::MPI_PROD, c::MPI_INT, &a, &b), [i32::MAX, -15, 120, 0]);
    assert_eq!(run(c::MPI_MIN, c::MPI_INT, &a, &b), [1, -5, 10, 0]);
    assert_eq!(run(c::MPI_MAX, c::MPI_INT, &a, &b), [i32::MAX, 3, 12, 7]);
    assert_eq!(run(c::MPI_BAND, c::MPI_INT, &a, &b), [1, -5 & 3, 8, 0]);
    assert_eq!(run(c::MPI_BOR, c::MPI_INT, &a, &b), [i32::MAX, -5 | 3, 14, 7]);
    assert_eq!(run(c::MPI_BXOR, c::MPI_INT, &a, &b), [i32::MAX ^ 1, -5 ^ 3, 6, 7]);
    assert_eq!(run(c::MPI_LAND, c::MPI_INT, &a, &b), [1, 1, 1, 0]);
    assert_eq!(run(c::MPI_LOR, c::MPI_INT, &a, &[0, 0, 0, 0]), [1, 1, 1, 0]);
    assert_eq!(run(c::MPI_LXOR, c::MPI_INT, &a, &b), [0, 0, 0, 1]);
}

#[test]
fn the_lower_place_counts_among_equal_values() {
    let (a, b) = ([Pair(3, 1), Pair(2, 9), Pair(5, 4)], [Pair(3, 0), Pair(4, 2), Pair(1, 7)]);
    let least = run(c::MPI_MINLOC, c::MPI_2INT, &a, &b);
    assert_eq!(least, [Pair(3, 0), Pair(2, 9), Pair(1, 7)]);
    let greatest = run(c::MPI_MAXLOC, c::MPI_2INT, &a, &b);
    assert_eq!(greatest, [Pair(3, 0), Pair(4, 2), Pair(5, 4)]);
}

#[test]
fn what_the_standard_does_not_define_is_refused() {
    let takes = |op, of| Basic::of(of).map(|of| Op::of(op).expect("an operation").takes(of));
    assert_eq!(takes(c::MPI_SUM, c::MPI_BYTE), Some(false));
    assert_eq!(takes(c::MPI_BAND, c::MPI_DOUBLE), Some(false));
    assert_eq!(takes(c::MPI_BAND, c::MPI_BYTE), Some(true));
    assert_eq!(takes(c::MPI_SUM, c::MPI_CHAR), Some(false));
    assert_eq!(takes(c::MPI_MINLOC, c::MPI_INT), Some(false));
    assert_eq!(takes(c::MPI_LAND, c::MPI_FLOAT), Some(false));
    assert_eq!(takes(c::MPI_REPLACE, c::MPI_CHAR), Some(true));
}

fn quad(value: f64) -> Quad {
    // Every f64 but the least is exact with another exponent and zeros behind.
    let bits = value.to_bits();
    let sign = u128::from(bits >> 63) << 127;
    let exponent = (bits >> 52) & 0x7ff;
    let fraction = u128::from(bits & ((1 << 52) - 1)) << 60;
    match exponent {
        0 => Quad(sign),
        0x7ff => Quad(sign | (0x7fff << 112) | fraction),
        _ => Quad(sign | (u128::from(exponent + 0x3fff - 1023) << 112) | fraction),
    }
}

#[test]
fn numbers_of_128_bits_are_exact_where_64_bits_are() {
    let values = [0.0, 1.0, -1.0, 1.5, -2.25, 3e10, -7e-9, 1e15, 65537.0, f64::INFINITY];
    for a in values {
        for b in values {
            // Small enough sums and products of these are exact in 64 bits when they are whole.
            let whole = |x: f64| x.is_infinite() || (x.fract() == 0.0 && x.abs() < 1e16);
            let sum = a + b;
            if !sum.is_nan() && whole(a) && whole(b) && whole(sum) {
                assert_eq!(quad(a).plus(quad(b)), quad(sum), "{a} + {b}");
            }
            let product = a * b;
            if !product.is_nan() && whole(a) && whole(b) && whole(product) {
                assert_eq!(quad(a).times(quad(b)), quad(product), "{a} * {b}");
            }
            assert_eq!(quad(a).less(quad(b)), a < b, "{a} < {b}");
        }
    }
    assert!(quad(f64::INFINITY).plus(quad(f64::NEG_INFINITY)).0 & (0x7fff << 112) != 0);
}

#[test]
fn numbers_of_128_bits_round_to_nearest_even() {
    let one = quad(1.0);
    // 2^-113 is half of the last digit of 1: the tie goes to even.
    let half = Quad(u128::from(0x3fff_u32 - 113) << 112);
    assert_eq!(one.plus(half), one);
    let next = Quad(one.0 + 1);
    assert_eq!(next.plus(half), Quad(one.0 + 2));
    assert_eq!(one.plus(Quad(half.0 + 1)), next);
    // (1 + e)^2 = 1 + 2e + e^2, of which the last is lost.
    assert_eq!(next.times(next), Quad(one.0 + 2));
    // The least number, halved, is a tie between 0 and itself.
    let least = Quad(1);
    assert_eq!(least.times(quad(0.5)), Quad(0));
    assert_eq!(Quad(3).times(quad(0.5)), Quad(2));
    assert_eq!(least.plus(least), Quad(2));
    let most = Quad((0x7fff << 112) - 1);
    assert_eq!(most.plus(most), Quad(0x7fff << 112));
    assert_eq!(one.plus(Quad(one.0 | SIGN_BIT)), Quad(0));
    assert_eq!(next.plus(Quad(one.0 | SIGN_BIT)), Quad(u128::from(0x3fff_u32 - 112) << 112));
}

const SIGN_BIT: u128 = 1 << 127;

#[test]
fn halves_round_as_the_standard_of_floats_says() {
    assert_eq!(Half::nearest(1.0), Half(0x3c00));
    assert_eq!(Half::nearest(65504.0), Half(0x7bff));
    assert_eq!(Half::nearest(65520.0), Half(0x7c00));
    assert_eq!(Half::nearest(2f64.powi(-24)), Half(1));
    assert_eq!(Half::nearest(2f64.powi(-25)), Half(0));
    assert_eq!(Half::nearest(2049.0), Half::nearest(2048.0));
    for bits in (0..0x7c00).chain(0x8000..0xfc00) {
        assert_eq!(Half::nearest(Half(bits).wide()), Half(bits));
    }
}

#[test]
fn complex_numbers_multiply() {
    let a = numbers::Complex(1.0, 2.0);
    let b = numbers::Complex(3.0, -1.0);
    assert_eq!(a.times(b), numbers::Complex(5.0, 5.0));
}
