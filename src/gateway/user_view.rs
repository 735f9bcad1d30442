//! The JSON about users and tokens, as types. Fields are only ever added.

use serde::{Deserialize, Serialize};

use crate::id::Name;
use crate::wire::users::{Quotas, Token, User};

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserView {
    /// Its name.
    pub user: String,
    /// `admin` or `user`.
    pub role: String,
    /// Its limits; 0 means none.
    pub quotas: Quotas,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// Its tokens, without their text.
    pub tokens: Vec<TokenView>,
}

impl UserView {
    /// Shows a user.
    pub fn new(name: &Name, user: &User) -> Self {
        Self {
            user: name.to_string(),
            role: user.role.to_string(),
            quotas: user.quotas,
            created_ms: user.created_ms,
            tokens: user.tokens.iter().map(TokenView::from).collect(),
        }
    }
}

/// The users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsersView {
    /// By name.
    pub users: Vec<UserView>,
}

/// A token, without its text, which nobody keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// Names it, to revoke it.
    pub id: String,
    /// What people call it.
    pub label: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it ends, in milliseconds since 1970; 0 means never.
    pub expires_ms: u64,
}

impl From<&Token> for TokenView {
    fn from(token: &Token) -> Self {
        Self {
            id: token.hash.name(),
            label: token.label.clone(),
            created_ms: token.created_ms,
            expires_ms: token.expires_ms,
        }
    }
}

/// A token that was made just now: the only time that its text is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTokenView {
    /// Whose it is.
    pub user: String,
    /// Its text.
    pub token: String,
    /// What is kept of it.
    pub about: TokenView,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoamiView {
    /// The user.
    pub user: String,
    /// `admin` or `user`.
    pub role: String,
    /// Its limits; 0 means none.
    pub quotas: Quotas,
    /// The id of the token that came with the request; none on a loopback cluster without users.
    pub token: Option<String>,
}
