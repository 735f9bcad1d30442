//! Identifiers. Each is a type of its own, so that one cannot be passed for another, with a short
//! [`Display`](std::fmt::Display) form for logs and tables.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rkyv::{Archive, Deserialize, Serialize};

/// Longest user or function name, in bytes. Names become path segments and metric labels.
pub const MAX_NAME_LEN: usize = 64;

/// A node's number, given once at its first join and kept on disk. Also its Raft id, so never 0.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug,
)]
#[rkyv(derive(PartialEq, Eq, Hash, PartialOrd, Ord, Debug))]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl FromStr for NodeId {
    type Err = IdError;

    /// Reads `n3` or `3`.
    fn from_str(s: &str) -> Result<Self, IdError> {
        match s.strip_prefix('n').unwrap_or(s).parse::<u64>() {
            Ok(id) if id > 0 => Ok(Self(id)),
            _ => Err(IdError::Node(s.to_owned())),
        }
    }
}

/// How often a node has started; grows at every start, so that a restarted node is not taken for
/// the process that died.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug,
)]
#[rkyv(derive(PartialEq, Eq, Debug))]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "i{}", self.0)
    }
}

/// The cluster a node belongs to; drawn at random when the cluster is made.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[rkyv(derive(PartialEq, Eq, Debug))]
pub struct ClusterId(pub u128);

impl ClusterId {
    /// Draws a new one.
    pub fn random() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for ClusterId {
    type Err = IdError;

    fn from_str(s: &str) -> Result<Self, IdError> {
        parse_hex128(s).map(Self).ok_or_else(|| IdError::Cluster(s.to_owned()))
    }
}

/// A call, across the cluster. Random, so it says nothing of where the call runs.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug,
)]
#[rkyv(derive(PartialEq, Eq, Hash, Debug))]
pub struct CallId(pub u128);

impl CallId {
    /// Draws a new one.
    pub fn random() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for CallId {
    type Err = IdError;

    fn from_str(s: &str) -> Result<Self, IdError> {
        parse_hex128(s).map(Self).ok_or_else(|| IdError::Call(s.to_owned()))
    }
}

/// Which try at a call this is; only the result of the current one is taken.
#[derive(
    Archive,
    Serialize,
    Deserialize,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Debug,
)]
#[rkyv(derive(PartialEq, Eq, Debug))]
pub struct Attempt(pub u32);

/// The BLAKE3 hash of a blob, which is also its name.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug,
)]
#[rkyv(derive(PartialEq, Eq, Hash, PartialOrd, Ord, Debug))]
pub struct BlobHash(pub [u8; 32]);

impl BlobHash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for BlobHash {
    type Err = IdError;

    fn from_str(s: &str) -> Result<Self, IdError> {
        let bad = || IdError::Blob(s.to_owned());
        if s.len() != 64 || !s.is_ascii() {
            return Err(bad());
        }
        let mut out = [0; 32];
        for (byte, pair) in out.iter_mut().zip(s.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self(out))
    }
}

/// A user or function name: 1 to [`MAX_NAME_LEN`] bytes of `a-z A-Z 0-9 _ - .`, not starting with
/// a dot. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Name(Arc<str>);

impl Name {
    /// Checks and takes a name.
    pub fn new(s: &str) -> Result<Self, IdError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        let fits = (1..=MAX_NAME_LEN).contains(&s.len());
        if fits && !s.starts_with('.') && s.bytes().all(allowed) {
            Ok(Self(s.into()))
        } else {
            Err(IdError::Name(s.chars().take(MAX_NAME_LEN + 1).collect()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A function of a user, written `user/name`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct FunctionKey {
    /// Who uploaded it.
    pub user: Name,
    /// What it is called.
    pub name: Name,
}

impl FunctionKey {
    /// Checks both parts.
    pub fn new(user: &str, name: &str) -> Result<Self, IdError> {
        Ok(Self { user: Name::new(user)?, name: Name::new(name)? })
    }
}

impl fmt::Display for FunctionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.user, self.name)
    }
}

impl FromStr for FunctionKey {
    type Err = IdError;

    fn from_str(s: &str) -> Result<Self, IdError> {
        let (user, name) = s.split_once('/').ok_or_else(|| IdError::Function(s.to_owned()))?;
        Self::new(user, name)
    }
}

/// Text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a node id.
    #[error("`{0}` is no node id: use a number from 1, as in n3 or 3")]
    Node(String),
    /// Not a cluster id.
    #[error("`{0}` is no cluster id: use 32 hexadecimal digits")]
    Cluster(String),
    /// Not a call id.
    #[error("`{0}` is no call id: use the 32 hexadecimal digits that invoke printed")]
    Call(String),
    /// Not a blob hash.
    #[error("`{0}` is no blob hash: use 64 hexadecimal digits")]
    Blob(String),
    /// Not a user or function name.
    #[error("`{0}` is no name: use 1 to 64 of a-z A-Z 0-9 _ - . and no dot in front")]
    Name(String),
    /// Not user/name.
    #[error("`{0}` names no function: write USER/NAME, as in alice/hello")]
    Function(String),
}

fn parse_hex128(s: &str) -> Option<u128> {
    let digits = s.len() == 32 && s.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| u128::from_str_radix(s, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_what_they_print() {
        let call = CallId::random();
        assert_eq!(call.to_string().parse(), Ok(call));
        let hash = BlobHash::of(b"x");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!("n7".parse(), Ok(NodeId(7)));
        let key = FunctionKey::new("alice", "hello").unwrap();
        assert_eq!(key.to_string().parse(), Ok(key));
    }

    #[test]
    fn names_that_could_escape_a_path_are_refused() {
        for bad in ["", "..", ".x", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(Name::new(bad).is_err(), "{bad:?} was taken");
        }
        assert!("n0".parse::<NodeId>().is_err());
        assert!("+0000000000000000000000000000000".parse::<CallId>().is_err());
    }
}
