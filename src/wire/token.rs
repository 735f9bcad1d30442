//! Tokens as text: what a user shows.

/// What a token begins with, so that people and scanners of secrets know it.
pub const PREFIX: &str = "faasm_";

/// A new token: 256 random bits.
pub fn draw() -> String {
    let bits: [u8; 32] = rand::random();
    let hex = bits.iter().map(|byte| format!("{byte:02x}"));
    std::iter::once(PREFIX.to_owned()).chain(hex).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let (one, two) = (draw(), draw());
        assert_ne!(one, two);
        let hex = one.strip_prefix(PREFIX).unwrap();
        assert!(hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()), "{one}");
    }
}
