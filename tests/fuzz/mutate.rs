//! Makes malformed input of valid one: by a seeded generator, so that a failure is seen again.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Numbers at which arithmetic goes wrong.
const EXTREMES: [u64; 14] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0xffff,
    1 << 20,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 32,
    u64::MAX / 2,
    u64::MAX - 1,
    u64::MAX,
];

/// A generator over a corpus of valid inputs.
pub struct Mutator {
    rng: StdRng,
    corpus: Vec<Vec<u8>>,
    longest: usize,
}

impl Mutator {
    /// Over `corpus`, which must not be empty; what it makes has at most `longest` bytes.
    pub fn new(seed: u64, corpus: Vec<Vec<u8>>, longest: usize) -> Self {
        assert!(!corpus.is_empty(), "there is nothing to change");
        Self { rng: StdRng::seed_from_u64(seed), corpus, longest }
    }

    /// The generator, for choices beside the bytes.
    pub fn rng(&mut self) -> &mut StdRng {
        &mut self.rng
    }

    /// A number, often an extreme one.
    pub fn number(&mut self, usual: u64) -> u64 {
        match self.rng.random_range(0..8) {
            0..4 => usual,
            4 => usual.wrapping_add(self.rng.random_range(0..5)).wrapping_sub(2),
            5 => self.rng.random(),
            _ => EXTREMES[self.rng.random_range(0..EXTREMES.len())],
        }
    }

    /// The next input: a valid one with one to six changes, or, now and then, none.
    pub fn input(&mut self) -> Vec<u8> {
        let mut bytes = self.corpus[self.rng.random_range(0..self.corpus.len())].clone();
        for _ in 0..self.rng.random_range(0..7) {
            self.change(&mut bytes);
        }
        bytes.truncate(self.longest);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            bytes.push(self.rng.random());
            return;
        }
        let at = self.rng.random_range(0..bytes.len());
        match self.rng.random_range(0..12) {
            0 | 1 => bytes[at] ^= 1 << self.rng.random_range(0..8),
            2 => bytes[at] = self.rng.random(),
            3 | 4 => self.write_number(bytes, at),
            5 => bytes.truncate(at),
            6 => drop(bytes.drain(at..(at + self.rng.random_range(1..=16)).min(bytes.len()))),
            7 => {
                let noise: Vec<u8> =
                    (0..self.rng.random_range(1..=16)).map(|_| self.rng.random()).collect();
                bytes.splice(at..at, noise);
            }
            8 => self.repeat(bytes, at),
            11 => self.write_digits(bytes, at),
            9 => {
                let other = &self.corpus[self.rng.random_range(0..self.corpus.len())];
                let from = self.rng.random_range(0..=other.len());
                let tail = other[from..].to_vec();
                bytes.truncate(at);
                bytes.extend(tail);
            }
            _ => {
                let other = self.rng.random_range(0..bytes.len());
                bytes.swap(at, other);
            }
        }
    }

    /// Puts an extreme number where a length, an offset or an id may be.
    fn write_number(&mut self, bytes: &mut [u8], at: usize) {
        let width = [1, 2, 4, 8][self.rng.random_range(0..4)];
        let at = if self.rng.random() { at - at % width } else { at };
        let number = EXTREMES[self.rng.random_range(0..EXTREMES.len())];
        let number = if self.rng.random_range(0..4) == 0 { bytes.len() as u64 } else { number };
        let mut field = number.to_le_bytes();
        if self.rng.random_range(0..4) == 0 {
            field[..width].reverse();
        }
        for (into, byte) in bytes.iter_mut().skip(at).zip(&field[..width]) {
            *into = *byte;
        }
    }

    /// Puts an extreme number where one is written in digits.
    fn write_digits(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let Some(from) = bytes[at..].iter().position(u8::is_ascii_digit) else { return };
        let from = at + from;
        let len = bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = EXTREMES[self.rng.random_range(0..EXTREMES.len())];
        bytes.splice(from..from + len, number.to_string().into_bytes());
    }

    fn repeat(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let len = self.rng.random_range(1..=64).min(bytes.len() - at);
        let part = bytes[at..at + len].to_vec();
        for _ in 0..self.rng.random_range(1..=8) {
            bytes.splice(at..at, part.iter().copied());
        }
    }
}
