//! The part of the state that says who may use the cluster, and how much. Pure and deterministic.

use std::collections::{BTreeMap, HashMap};

use crate::id::Name;
use crate::wire::consensus::Response;
use crate::wire::members::TokenHash;
use crate::wire::users::{Quotas, Role, Token, User, UserCommand};

/// Users of a cluster.
pub const MAX_USERS: usize = 10_000;
/// Tokens of one user.
pub const MAX_TOKENS: usize = 100;
/// Longest label of a token, in bytes.
pub const MAX_LABEL: usize = 64;
/// The name of the user that a new cluster has: an admin.
pub const FIRST_ADMIN: &str = "admin";

/// Who may use the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Users {
    users: BTreeMap<Name, User>,
    /// Whose a token is.
    tokens: HashMap<TokenHash, Name>,
}

impl Users {
    /// The users, by name.
    pub fn all(&self) -> &BTreeMap<Name, User> {
        &self.users
    }

    /// A user.
    pub fn get(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    /// Whose this token is, unless it is unknown or its time is over.
    pub fn owner(&self, token: TokenHash, now_ms: u64) -> Option<(&Name, &User)> {
        let (name, user) = self.users.get_key_value(self.tokens.get(&token)?)?;
        let valid = |known: &&Token| {
            known.hash == token && (known.expires_ms == 0 || known.expires_ms > now_ms)
        };
        user.tokens.iter().find(valid).map(|_| (name, user))
    }

    /// Whether anybody was made a user beside the first admin: from then on every request needs a
    /// token.
    pub fn tokens_needed(&self) -> bool {
        self.users.keys().any(|name| name.as_str() != FIRST_ADMIN)
    }

    /// Makes the first admin.
    pub(super) fn found(&mut self, token: Option<TokenHash>, now_ms: u64) {
        let Ok(name) = Name::new(FIRST_ADMIN) else { return };
        let token = token.map(|hash| Token {
            hash,
            label: "made with the cluster".to_owned(),
            created_ms: now_ms,
            expires_ms: 0,
        });
        self.tokens.extend(token.iter().map(|token| (token.hash, name.clone())));
        let user = User {
            role: Role::Admin,
            quotas: Quotas::default(),
            created_ms: now_ms,
            tokens: token.into_iter().collect(),
        };
        self.users.insert(name, user);
    }

    /// Makes a change; nothing changes unless the answer is [`Response::Done`].
    pub(super) fn change(&mut self, command: UserCommand) -> Response {
        let (UserCommand::Put { name, .. }
        | UserCommand::Remove { name }
        | UserCommand::PutToken { name, .. }
        | UserCommand::RemoveToken { name, .. }) = &command;
        let name = match Name::new(name) {
            Ok(name) => name,
            Err(error) => return Response::Refused(error.to_string()),
        };
        match command {
            UserCommand::Put { role, quotas, now_ms, new, .. } => {
                self.put(name, role, quotas, now_ms, new)
            }
            UserCommand::Remove { .. } => self.remove(&name),
            UserCommand::PutToken { token, .. } => self.put_token(&name, token),
            UserCommand::RemoveToken { token, .. } => self.remove_token(&name, &token),
        }
    }

    fn put(&mut self, name: Name, role: Role, quotas: Quotas, now_ms: u64, new: bool) -> Response {
        if role != Role::Admin && self.is_last_admin(&name) {
            return last_admin(&name);
        }
        let full = self.users.len() >= MAX_USERS;
        match self.users.get_mut(&name) {
            Some(_) if new => Response::Refused(format!("there is a user {name} already")),
            Some(user) => {
                (user.role, user.quotas) = (role, quotas);
                Response::Done
            }
            None if full => Response::Refused(format!("a cluster has at most {MAX_USERS} users")),
            None => {
                let user = User { role, quotas, created_ms: now_ms, tokens: Vec::new() };
                self.users.insert(name, user);
                Response::Done
            }
        }
    }

    fn remove(&mut self, name: &Name) -> Response {
        if self.is_last_admin(name) {
            return last_admin(name);
        }
        let Some(user) = self.users.remove(name) else { return Response::NotFound };
        user.tokens.iter().for_each(|token| drop(self.tokens.remove(&token.hash)));
        Response::Done
    }

    fn is_last_admin(&self, name: &Name) -> bool {
        let mut admins = self.users.iter().filter(|(_, user)| user.role == Role::Admin);
        admins.next().is_some_and(|(first, _)| first == name) && admins.next().is_none()
    }

    fn put_token(&mut self, name: &Name, token: Token) -> Response {
        if token.label.len() > MAX_LABEL {
            return Response::Refused(format!("a label has at most {MAX_LABEL} bytes"));
        }
        if self.tokens.contains_key(&token.hash) {
            return Response::Refused("that token exists already".into());
        }
        let Some(user) = self.users.get_mut(name) else { return Response::NotFound };
        if user.tokens.len() >= MAX_TOKENS {
            let why = format!("{name} has {MAX_TOKENS} tokens; revoke some first");
            return Response::Refused(why);
        }
        self.tokens.insert(token.hash, name.clone());
        user.tokens.push(token);
        Response::Done
    }

    fn remove_token(&mut self, name: &Name, token: &str) -> Response {
        let Some(user) = self.users.get_mut(name) else { return Response::NotFound };
        let gone = |known: &Token| token.is_empty() || known.hash.name() == token;
        if !user.tokens.iter().any(gone) {
            return Response::NotFound;
        }
        for token in user.tokens.extract_if(.., |known| gone(known)) {
            self.tokens.remove(&token.hash);
        }
        Response::Done
    }

    /// What a snapshot holds.
    pub(super) fn image(&self) -> Vec<(String, User)> {
        self.users.iter().map(|(name, user)| (name.to_string(), user.clone())).collect()
    }

    /// From a snapshot; an error names the user that cannot be.
    pub(super) fn restore(image: Vec<(String, User)>) -> Result<Self, String> {
        let mut users = Self::default();
        for (name, user) in image {
            let name = Name::new(&name).map_err(|error| error.to_string())?;
            users.tokens.extend(user.tokens.iter().map(|token| (token.hash, name.clone())));
            users.users.insert(name, user);
        }
        Ok(users)
    }
}

fn last_admin(name: &Name) -> Response {
    Response::Refused(format!("{name} is the only admin: make another one first"))
}

#[cfg(test)]
#[path = "users_tests.rs"]
mod tests;
