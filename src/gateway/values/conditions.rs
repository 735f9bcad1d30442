//! What a request asks to be so before it is done: `If-Match`, `If-None-Match`, `If-Range`, and the
//! part that it wants, `Range` (RFC 9110, 13 and 14). Pure.

use http::header::{HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE};

use crate::gateway::error::ApiError;
use crate::wire::state::{Extent, Only, Version};

/// Most tags of one request.
const MAX_TAGS: usize = 100;

/// The entity tag of a version.
pub fn etag(version: Version) -> String {
    format!("\"{:x}-{:x}\"", version.generation, version.seq)
}

/// Conditions of one request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    matches: Option<Tags>,
    none_match: Option<Tags>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    /// `*`
    Any,
    /// Each with whether it is weak.
    These(Vec<(bool, String)>),
}

/// What the conditions say of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Holds,
    /// The reader has it already: 304.
    NotModified,
    /// 412.
    Failed,
}

impl Conditions {
    /// Reads them.
    pub fn parse(headers: &HeaderMap) -> Result<Self, ApiError> {
        let (matches, none_match) = (tags(headers, IF_MATCH)?, tags(headers, IF_NONE_MATCH)?);
        Ok(Self { matches, none_match })
    }

    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.matches.is_some() || self.none_match.is_some()
    }

    /// For GET and HEAD of a value that is there.
    pub fn of_read(&self, now: Version) -> Verdict {
        let tag = etag(now);
        if self.matches.as_ref().is_some_and(|tags| !tags.strong(&tag)) {
            return Verdict::Failed;
        }
        match self.none_match.as_ref().is_some_and(|tags| tags.weak(&tag)) {
            true => Verdict::NotModified,
            false => Verdict::Holds,
        }
    }

    /// For a change of what is there now: what must still be there when it is done; `None` when
    /// they fail already.
    pub fn of_write(&self, now: Option<Version>) -> Option<Only> {
        let tag = now.map(etag);
        if let Some(tags) = &self.matches {
            let tag = tag.as_deref().filter(|tag| tags.strong(tag))?;
            if self.none_match.as_ref().is_some_and(|tags| tags.weak(tag)) {
                return None;
            }
            return match (tags, &self.none_match) {
                (Tags::Any, None) => Some(Only::Exists),
                _ => now.map(Only::Version),
            };
        }
        let Some(tags) = &self.none_match else { return Some(Only::Any) };
        match (now, tag) {
            (None, _) | (_, None) => Some(Only::Missing),
            (Some(_), Some(tag)) if tags.weak(&tag) => None,
            (Some(now), Some(_)) => Some(Only::Version(now)),
        }
    }
}

impl Tags {
    fn strong(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|(weak, known)| !weak && known == tag),
        }
    }

    fn weak(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|(_, known)| known == tag),
        }
    }
}

/// What of a value is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it: 200.
    Whole,
    /// 206.
    Some(Extent),
    /// Nothing of the range is there: 416.
    Outside,
}

/// The part that a GET asks for. Several ranges at once are not offered: then it is the whole, as
/// with a `Range` that cannot be read.
pub fn part(headers: &HeaderMap, now: Version, len: u64) -> Part {
    let Some(range) = headers.get(RANGE).and_then(|range| range.to_str().ok()) else {
        return Part::Whole;
    };
    let still = headers.get(IF_RANGE).is_none_or(|tag| tag.as_bytes() == etag(now).as_bytes());
    let Some((unit, set)) = range.split_once('=').filter(|_| still) else { return Part::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Part::Whole;
    }
    let Some((first, last)) = set.trim().split_once('-') else { return Part::Whole };
    match (number(first), number(last)) {
        _ if first.is_empty() && last.is_empty() => Part::Whole,
        (_, Some(count)) if first.is_empty() => inside(len.saturating_sub(count), len, len, count),
        (Some(first), _) if last.is_empty() => inside(first, len, len, 1),
        (Some(first), Some(last)) if first <= last => {
            inside(first, last.saturating_add(1).min(len), len, 1)
        }
        _ => Part::Whole,
    }
}

fn inside(from: u64, to: u64, len: u64, count: u64) -> Part {
    match from < len && count > 0 {
        true => Part::Some(Extent { off: from, len: to - from }),
        false => Part::Outside,
    }
}

/// A number of any length: what is larger than any value is as good as the largest.
fn number(digits: &str) -> Option<u64> {
    let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| digits.parse().unwrap_or(u64::MAX))
}

fn tags(headers: &HeaderMap, name: HeaderName) -> Result<Option<Tags>, ApiError> {
    let wrong = || {
        let detail = format!("header {name}: use * or tags in quotes, as in \"1a-2b\", \"1a-2c\"");
        ApiError::invalid(detail)
    };
    let mut found = Vec::new();
    let mut values = headers.get_all(&name).iter().peekable();
    if values.peek().is_none() {
        return Ok(None);
    }
    for value in values {
        let mut rest = value.to_str().map_err(|_| wrong())?.trim();
        if rest == "*" {
            return Ok(Some(Tags::Any));
        }
        loop {
            // Empty elements count for nothing.
            rest = rest.trim_start_matches([',', ' ', '\t']);
            if rest.is_empty() {
                break;
            }
            if found.len() == MAX_TAGS {
                let detail = format!("header {name}: at most {MAX_TAGS} tags are allowed");
                return Err(ApiError::invalid(detail));
            }
            let weak = rest.starts_with("W/");
            let quoted = rest.strip_prefix("W/").unwrap_or(rest);
            let inner = quoted.strip_prefix('"').ok_or_else(wrong)?;
            let (tag, after) = inner.split_once('"').ok_or_else(wrong)?;
            found.push((weak, format!("\"{tag}\"")));
            let after = after.trim_start();
            if !after.is_empty() && !after.starts_with(',') {
                return Err(wrong());
            }
            rest = after;
        }
    }
    Ok(Some(Tags::These(found)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const NOW: Version = Version { generation: 0x1a, seq: 0x2b };

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn conditions(lines: &[(HeaderName, &str)]) -> Conditions {
        Conditions::parse(&headers(lines)).unwrap()
    }

    #[test]
    fn readers_get_304_for_what_they_have_and_412_for_what_is_gone() {
        let read =
            |name: &HeaderName, value: &str| conditions(&[(name.clone(), value)]).of_read(NOW);
        for tags in [
            "*",
            "\"1a-2b\"",
            "W/\"1a-2b\"",
            "\"x,y\" , \"1a-2b\"",
            ",\"1a-2b\"",
            " , ,\t\"x\",,\"1a-2b\" , ",
        ] {
            assert_eq!(read(&IF_NONE_MATCH, tags), Verdict::NotModified, "{tags}");
        }
        assert_eq!(read(&IF_NONE_MATCH, "\"1a-2c\""), Verdict::Holds);
        assert_eq!(read(&IF_MATCH, "\"0-0\", \"1a-2b\""), Verdict::Holds);
        assert_eq!(read(&IF_MATCH, "*"), Verdict::Holds);
        assert_eq!(read(&IF_MATCH, "W/\"1a-2b\""), Verdict::Failed, "strong comparison");
        assert_eq!(read(&IF_MATCH, "\"1a-2c\""), Verdict::Failed);
        let both = conditions(&[(IF_MATCH, "\"x\""), (IF_NONE_MATCH, "\"1a-2b\"")]);
        assert_eq!(both.of_read(NOW), Verdict::Failed, "If-Match goes first");
        assert_eq!(Conditions::default().of_read(NOW), Verdict::Holds);
    }

    #[test]
    fn writers_must_find_what_they_named() {
        let write = |lines: &[(HeaderName, &str)], now| conditions(lines).of_write(now);
        let this = Some(Only::Version(NOW));
        assert_eq!(write(&[], None), Some(Only::Any));
        assert_eq!(write(&[(IF_MATCH, "*")], None), None);
        assert_eq!(write(&[(IF_MATCH, "*")], Some(NOW)), Some(Only::Exists));
        assert_eq!(write(&[(IF_MATCH, "\"1a-2b\"")], Some(NOW)), this);
        assert_eq!(write(&[(IF_MATCH, "\"1a-2b\"")], None), None);
        assert_eq!(write(&[(IF_MATCH, "W/\"1a-2b\"")], Some(NOW)), None);
        assert_eq!(write(&[(IF_NONE_MATCH, "*")], None), Some(Only::Missing));
        assert_eq!(write(&[(IF_NONE_MATCH, "*")], Some(NOW)), None);
        assert_eq!(write(&[(IF_NONE_MATCH, "\"1a-2b\"")], Some(NOW)), None);
        assert_eq!(write(&[(IF_NONE_MATCH, "\"0-1\"")], Some(NOW)), this);
        assert_eq!(write(&[(IF_MATCH, "*"), (IF_NONE_MATCH, "\"1a-2b\"")], Some(NOW)), None);
        assert_eq!(write(&[(IF_MATCH, "*"), (IF_NONE_MATCH, "\"0-1\"")], Some(NOW)), this);
    }

    #[test]
    fn conditions_that_cannot_be_read_are_refused() {
        let many = "\"a\",".repeat(MAX_TAGS + 1);
        for tags in ["1a-2b", "\"1a", "\"a\" \"b\"", "w/\"a\"", &many] {
            let error = Conditions::parse(&headers(&[(IF_MATCH, tags)])).unwrap_err();
            assert_eq!(error.status(), 400, "{tags}");
        }
    }

    #[test]
    fn ranges_are_parts_of_the_value() {
        let of = |range: &str, len| part(&headers(&[(RANGE, range)]), NOW, len);
        let some = |off, len| Part::Some(Extent { off, len });
        let huge = "bytes=1-99999999999999999999999";
        for (range, expected) in [
            ("bytes=0-0", some(0, 1)),
            ("bytes=2-5", some(2, 4)),
            ("BYTES=2-", some(2, 8)),
            ("bytes=9-100", some(9, 1)),
            (huge, some(1, 9)),
            ("bytes=-3", some(7, 3)),
            ("bytes=-30", some(0, 10)),
            ("bytes=10-", Part::Outside),
            ("bytes=99999999999999999999999-", Part::Outside),
            ("bytes=-0", Part::Outside),
            ("bytes=5-2", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("lines=1-2", Part::Whole),
            ("bytes", Part::Whole),
        ] {
            assert_eq!(of(range, 10), expected, "{range}");
        }
        assert_eq!(of("bytes=0-", 0), Part::Outside);
        assert_eq!(of("bytes=-5", 0), Part::Outside);
    }

    #[test]
    fn a_part_of_another_version_is_the_whole() {
        let of = |tag: &str| part(&headers(&[(RANGE, "bytes=0-1"), (IF_RANGE, tag)]), NOW, 10);
        assert_eq!(of("\"1a-2b\""), Part::Some(Extent { off: 0, len: 2 }));
        for tag in ["\"1a-2c\"", "W/\"1a-2b\"", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            assert_eq!(of(tag), Part::Whole, "{tag}");
        }
    }
}
