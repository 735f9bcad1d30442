//! Sizes and durations as people write them: `64MiB`, `10s`.

use std::time::Duration;

/// Text that is no size or no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a size.
    #[error("`{0}` is no size: write a whole number of bytes, or one with KiB, MiB or GiB")]
    Size(String),
    /// Not a duration.
    #[error("`{0}` is no duration: write a whole number with ms, s, m or h, as in 500ms or 10s")]
    Duration(String),
}

const SIZES: [(&str, u64); 5] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1), ("", 1)];
const DURATIONS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

/// Reads a size in bytes: `65536`, `64KiB`, `1GiB`.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    parse(text, &SIZES).ok_or_else(|| UnitError::Size(shortened(text)))
}

/// Reads a duration: `500ms`, `10s`, `5m`, `1h`. The unit must be there.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    parse(text, &DURATIONS)
        .map(Duration::from_millis)
        .ok_or_else(|| UnitError::Duration(shortened(text)))
}

/// A size in the largest unit that divides it: what [`parse_size`] reads back.
pub fn format_size(bytes: u64) -> String {
    let (unit, factor) = SIZES
        .into_iter()
        .take(3)
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor))
        .unwrap_or(("B", 1));
    format!("{}{unit}", bytes / factor)
}

/// Milliseconds in the largest unit that divides them: what [`parse_duration`] reads back.
pub fn format_millis(ms: u64) -> String {
    let (unit, factor) = DURATIONS
        .into_iter()
        .rev()
        .find(|(_, factor)| ms >= *factor && ms.is_multiple_of(*factor))
        .unwrap_or(("ms", 1));
    format!("{}{unit}", ms / factor)
}

/// The number times the factor of its unit, `None` for other text and past `u64`.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

/// What is quoted in an error: never a whole hostile text.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_read() {
        assert_eq!(parse_size("65536"), Ok(65536));
        assert_eq!(parse_size("7B"), Ok(7));
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
    }

    #[test]
    fn other_text_is_refused_with_what_is_allowed() {
        for bad in ["", "MiB", "-1", "1.5GiB", "1mb", "64 MiB", "99999999999GiB", "+1"] {
            let error = parse_size(bad).unwrap_err().to_string();
            assert!(error.contains("KiB, MiB or GiB"), "{bad}: {error}");
        }
        for bad in ["5", "s", "1d", "5 s", "-5s", "99999999999999999h"] {
            assert!(parse_duration(bad).is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for bytes in [0, 1, 1000, 1024, 65536, 64 << 20, 3 << 30, (1 << 30) + 1] {
            assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }
        for ms in [0, 1, 999, 1000, 1500, 60_000, 300_000, 86_400_000] {
            let read = parse_duration(&format_millis(ms));
            assert_eq!(read, Ok(Duration::from_millis(ms)));
        }
        assert_eq!(format_size(64 << 20), "64MiB");
        assert_eq!(format_millis(300_000), "5m");
    }
}
