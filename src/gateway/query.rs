//! Query strings: read by the gateway, written by the command line.

use super::error::ApiError;

/// Most parameters of one request: each argument of a function is one.
pub const MAX_PARAMETERS: usize = 1024;

/// The parameters of a query string, in order, percent-decoded. `?async` has an empty value.
pub fn parse(query: Option<&str>) -> Result<Vec<(String, String)>, ApiError> {
    let mut parameters = Vec::new();
    for part in query.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
        if parameters.len() == MAX_PARAMETERS {
            let detail = format!("more than {MAX_PARAMETERS} query parameters");
            return Err(ApiError::invalid(detail));
        }
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        parameters.push((decode(name)?, decode(value)?));
    }
    Ok(parameters)
}

/// The error for a parameter that the path does not have.
pub fn unknown(name: &str, allowed: &str) -> ApiError {
    let name: String = name.chars().take(40).collect();
    ApiError::invalid(format!("there is no query parameter `{name}` here: use {allowed}"))
}

/// The error for a parameter whose value is not allowed.
pub fn bad(name: &str, why: impl std::fmt::Display) -> ApiError {
    ApiError::invalid(format!("query parameter {name}: {why}"))
}

/// Whether a switch is on: `?async`, `?async=true`, `?async=1`.
pub fn switch(name: &str, value: &str) -> Result<bool, ApiError> {
    match value {
        "" | "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(bad(name, "use true or false")),
    }
}

/// `text` as a query value.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for half in [byte >> 4, byte & 15] {
                out.push(char::from(b"0123456789ABCDEF"[usize::from(half)]));
            }
        }
    }
    out
}

fn decode(text: &str) -> Result<String, ApiError> {
    if !text.contains(['%', '+']) {
        return Ok(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
                let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
                    return Err(ApiError::invalid(
                        "a % in the query is not followed by two digits",
                    ));
                };
                // Both are below 16.
                out.push((high * 16 + low) as u8);
            }
            other => out.push(other),
        }
    }
    String::from_utf8(out).map_err(|_| ApiError::invalid("the query is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_in_order() {
        let read = parse(Some("async&arg=a%20b&arg=c+d%26&timeout=5s&")).unwrap();
        let pairs: Vec<_> = read.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("async", ""), ("arg", "a b"), ("arg", "c d&"), ("timeout", "5s")]);
        assert_eq!(parse(None), Ok(Vec::new()));
    }

    #[test]
    fn what_is_encoded_is_decoded_again() {
        for text in ["", "plain", "a b&c=d%e+f", "ä€😀", "\n\0/?#"] {
            let query = format!("arg={}", encode(text));
            assert_eq!(parse(Some(&query)).unwrap()[0].1, text);
        }
    }

    #[test]
    fn broken_queries_are_errors() {
        for query in ["a=%", "a=%2", "a=%zz", "a=%ff", "a=%+1"] {
            assert_eq!(parse(Some(query)).unwrap_err().status(), 400, "{query}");
        }
        let many = "a&".repeat(MAX_PARAMETERS + 1);
        assert_eq!(parse(Some(&many)).unwrap_err().status(), 400);
        assert!(switch("async", "maybe").is_err());
    }
}
