use super::*;

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn token(text: &str, expires_ms: u64) -> Token {
    Token { hash: TokenHash::of(text), label: String::new(), created_ms: 1, expires_ms }
}

fn put(user: &str, role: Role) -> UserCommand {
    let quotas = Quotas::default();
    UserCommand::Put { name: user.into(), role, quotas, now_ms: 5, new: true }
}

fn give(user: &str, token: Token) -> UserCommand {
    UserCommand::PutToken { name: user.into(), token }
}

fn founded() -> Users {
    let mut users = Users::default();
    users.found(Some(TokenHash::of("first")), 1);
    users
}

#[test]
fn a_new_cluster_has_one_admin_and_needs_no_tokens_until_a_user_is_made() {
    let mut users = founded();
    let (owner, admin) = users.owner(TokenHash::of("first"), 10).unwrap();
    assert_eq!((owner.as_str(), admin.role), (FIRST_ADMIN, Role::Admin));
    assert!(!users.tokens_needed());
    assert_eq!(users.change(put("alice", Role::User)), Response::Done);
    assert!(users.tokens_needed());
    assert!(matches!(users.change(put("alice", Role::User)), Response::Refused(_)));
}

#[test]
fn a_token_is_its_users_until_it_expires_or_is_revoked_or_the_user_goes() {
    let mut users = founded();
    users.change(put("alice", Role::User));
    assert_eq!(users.change(give("alice", token("a", 100))), Response::Done);
    assert_eq!(users.change(give("alice", token("b", 0))), Response::Done);
    let owner = |users: &Users, text: &str, now| {
        users.owner(TokenHash::of(text), now).map(|(name, _)| name.to_string())
    };
    assert_eq!(owner(&users, "a", 99).as_deref(), Some("alice"));
    assert_eq!(owner(&users, "a", 100), None);
    assert_eq!(owner(&users, "b", u64::MAX).as_deref(), Some("alice"));
    assert_eq!(owner(&users, "c", 1), None);
    let revoke =
        UserCommand::RemoveToken { name: "alice".into(), token: TokenHash::of("b").name() };
    assert_eq!(users.change(revoke.clone()), Response::Done);
    assert_eq!(users.change(revoke), Response::NotFound);
    assert_eq!(owner(&users, "b", 1), None);
    assert_eq!(users.change(UserCommand::Remove { name: "alice".into() }), Response::Done);
    assert_eq!(owner(&users, "a", 1), None);
    assert_eq!(users.tokens.len(), 1);
}

#[test]
fn a_token_of_one_user_cannot_be_given_to_another() {
    let mut users = founded();
    users.change(put("bob", Role::User));
    assert!(matches!(users.change(give("bob", token("first", 0))), Response::Refused(_)));
    assert_eq!(users.owner(TokenHash::of("first"), 1).unwrap().0.as_str(), FIRST_ADMIN);
}

#[test]
fn the_last_admin_stays_an_admin() {
    let mut users = founded();
    let change = |users: &mut Users, role| {
        let quotas = Quotas::default();
        let name = FIRST_ADMIN.to_owned();
        users.change(UserCommand::Put { name, role, quotas, now_ms: 1, new: false })
    };
    assert!(matches!(change(&mut users, Role::User), Response::Refused(_)));
    let remove = UserCommand::Remove { name: FIRST_ADMIN.into() };
    assert!(matches!(users.change(remove.clone()), Response::Refused(_)));
    users.change(put("root", Role::Admin));
    assert_eq!(users.change(remove), Response::Done);
    assert_eq!(users.owner(TokenHash::of("first"), 1), None);
}

#[test]
fn names_and_numbers_are_bounded() {
    let mut users = founded();
    assert!(matches!(users.change(put("../x", Role::User)), Response::Refused(_)));
    users.change(put("alice", Role::User));
    for n in 0..MAX_TOKENS {
        assert_eq!(users.change(give("alice", token(&n.to_string(), 0))), Response::Done);
    }
    assert!(matches!(users.change(give("alice", token("x", 0))), Response::Refused(_)));
    let long = Token { label: "x".repeat(MAX_LABEL + 1), ..token("y", 0) };
    assert!(matches!(users.change(give("admin", long)), Response::Refused(_)));
}

#[test]
fn a_snapshot_brings_all_back() {
    let mut users = founded();
    users.change(put("alice", Role::User));
    users.change(give("alice", token("a", 0)));
    let restored = Users::restore(users.image()).unwrap();
    assert_eq!(restored, users);
    assert_eq!(restored.owner(TokenHash::of("a"), 1).unwrap().0, &name("alice"));
}
