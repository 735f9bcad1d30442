//! What the registry knows of a function: its bytes by hash, its limits, and how it is placed.

use rkyv::{Archive, Deserialize, Serialize};

use crate::id::{BlobHash, NodeId};

/// Limits of one function, set at upload. Each is checked by the node that runs the call.
#[derive(
    Archive,
    Serialize,
    Deserialize,
    serde::Serialize,
    serde::Deserialize,
    Clone,
    PartialEq,
    Eq,
    Debug,
)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Linear memory of an instance, in bytes.
    pub memory: u64,
    /// Longest run of one call, in milliseconds, waiting included.
    pub run_ms: u64,
    /// Largest output, in bytes.
    pub output: u64,
    /// Largest log (stdout and stderr together), in bytes.
    pub log: u64,
    /// Most instances alive at once on one node.
    pub instances: u32,
}

impl Limits {
    /// The native stack of every instance, in bytes. One for all: the engine has no other.
    pub const MAX_STACK: u64 = 512 << 10;
    /// Largest output that a function may be allowed, in bytes.
    pub const MAX_OUTPUT: u64 = 1 << 30;
    /// Largest linear memory, in bytes: all of a 32-bit address space.
    pub const MAX_MEMORY: u64 = 4 << 30;
    /// What a rank of a job may write at least, in bytes: its output is all that it writes.
    pub const RANK_LOG: u64 = 16 << 20;

    /// Largest log of a rank, in bytes.
    pub fn rank_log(&self) -> u64 {
        self.log.max(Self::RANK_LOG)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 1 << 30, run_ms: 300_000, output: 64 << 20, log: 1 << 20, instances: 10_000 }
    }
}

/// How the node for a call is chosen.
#[derive(
    Archive,
    Serialize,
    Deserialize,
    serde::Serialize,
    serde::Deserialize,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    Default,
)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Here while there is room, then the fullest node that has room.
    #[default]
    BinPack,
    /// The node with the most room.
    Spread,
    /// The node that has what the call needs (its module compiled), then as bin-pack.
    Locality,
}

impl std::str::FromStr for Policy {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "bin-pack" => Ok(Self::BinPack),
            "spread" => Ok(Self::Spread),
            "locality" => Ok(Self::Locality),
            _ => Err(format!("`{s}` is no policy: use bin-pack, spread or locality")),
        }
    }
}

impl std::fmt::Display for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::BinPack => "bin-pack",
            Self::Spread => "spread",
            Self::Locality => "locality",
        })
    }
}

/// How a function's calls are placed and retried.
#[derive(
    Archive,
    Serialize,
    Deserialize,
    serde::Serialize,
    serde::Deserialize,
    Clone,
    PartialEq,
    Eq,
    Debug,
    Default,
)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// How a node is chosen.
    pub policy: Policy,
    /// How often a call is placed again when its node dies; then it runs at least once.
    pub retries: u32,
    /// The only nodes that may run it; empty means all.
    #[serde(skip)]
    pub pin: Vec<NodeId>,
}

/// One registered function.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct FunctionEntry {
    /// The module's bytes.
    pub wasm: BlobHash,
    /// Their number.
    pub size: u64,
    /// The log index of the upload: it grows with every version.
    pub version: u64,
    /// When it was uploaded, in milliseconds since 1970, by the clock of the node that took it.
    pub uploaded_ms: u64,
    /// Its limits.
    pub limits: Limits,
    /// Its placement.
    pub options: Options,
}
