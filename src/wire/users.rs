//! Users of a cluster, their roles, quotas and tokens.
// rkyv's derive makes fields of its own for the variants below, without a word on them.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};

use super::members::TokenHash;

/// What a user may do.
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
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Everything: nodes, users, certificates, and every user's functions and calls.
    Admin,
    /// What is its own: functions, calls, logs and outputs.
    User,
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "admin" => Ok(Self::Admin),
            "user" => Ok(Self::User),
            _ => Err(format!("`{s}` is no role: use admin or user")),
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Admin => "admin",
            Self::User => "user",
        })
    }
}

/// Limits of one user; 0 means none beside the cluster's own.
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
#[serde(default, deny_unknown_fields)]
pub struct Quotas {
    /// Functions registered, in the whole cluster.
    pub functions: u32,
    /// Bytes of the modules registered, in the whole cluster.
    pub bytes: u64,
    /// Calls alive at once, on each node.
    pub running: u32,
    /// Requests a second, at each node.
    pub requests: u32,
}

/// A token as the cluster knows it.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// Of its text.
    pub hash: TokenHash,
    /// What people call it; may be empty.
    pub label: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it ends, in milliseconds since 1970; 0 means never.
    pub expires_ms: u64,
}

/// A user.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// What it may do.
    pub role: Role,
    /// Its limits.
    pub quotas: Quotas,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Its tokens.
    pub tokens: Vec<Token>,
}

/// A change of the users.
#[derive(Archive, Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum UserCommand {
    /// Make a user, or change its role and quotas; its tokens stay.
    Put {
        /// Its name.
        name: String,
        /// Its role.
        role: Role,
        /// Its limits.
        quotas: Quotas,
        /// Now, in milliseconds since 1970.
        now_ms: u64,
        /// Whether it must be new.
        new: bool,
    },
    /// Remove a user with its tokens and functions.
    Remove {
        /// Its name.
        name: String,
    },
    /// Give a user a token.
    PutToken {
        /// The user.
        name: String,
        /// The token.
        token: Token,
    },
    /// Revoke a user's token by its name (see [`TokenHash::name`]), or all for an empty one.
    RemoveToken {
        /// The user.
        name: String,
        /// The token's name.
        token: String,
    },
}
