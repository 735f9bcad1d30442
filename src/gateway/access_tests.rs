use http::HeaderValue;

use super::*;
use crate::wire::users::{Token, UserCommand};

fn put(users: &mut Users, name: &str, role: Role) {
    let quotas = Quotas::default();
    users.change(UserCommand::Put { name: name.into(), role, quotas, now_ms: 1, new: true });
}

fn give(users: &mut Users, name: &str, text: &str, expires_ms: u64) {
    let hash = TokenHash::of(text);
    let token = Token { hash, label: String::new(), created_ms: 1, expires_ms };
    users.change(UserCommand::PutToken { name: name.into(), token });
}

/// A cluster with its first admin, and alice if `tokens_needed`.
fn users(tokens_needed: bool) -> Users {
    let mut users = Users::default();
    users.found(Some(TokenHash::of("root")), 1);
    if tokens_needed {
        put(&mut users, "alice", Role::User);
        give(&mut users, "alice", "a", 0);
        give(&mut users, "alice", "old", 5);
    }
    users
}

fn door(users: Users, loopback: bool) -> (watch::Sender<Arc<Users>>, Door) {
    let (sender, known) = watch::channel(Arc::new(users));
    (sender, Door::new(known, loopback))
}

fn asks(door: &Door, header: Option<&str>) -> Result<String, u16> {
    let mut headers = HeaderMap::new();
    header.map(|value| headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap()));
    let caller = door.caller(&headers);
    caller.map(|p| p.name.to_string()).map_err(|error| error.status().as_u16())
}

#[test]
fn without_users_on_loopback_a_request_is_the_admins_unless_it_shows_a_wrong_token() {
    let (_keep, open) = door(users(false), true);
    assert_eq!(asks(&open, None), Ok("admin".into()));
    assert_eq!(asks(&open, Some("Bearer root")), Ok("admin".into()));
    for wrong in ["Bearer x", "Bearer ", "Bearer", "Basic root", "root", "Bearer root x", ""] {
        assert_eq!(asks(&open, Some(wrong)), Err(401), "{wrong}");
    }
    let (_keep, unfounded) = door(Users::default(), true);
    assert_eq!(asks(&unfounded, None), Ok("admin".into()));
}

#[test]
fn a_token_that_a_node_without_a_session_does_not_know_is_not_called_wrong() {
    for loopback in [true, false] {
        let (_keep, late) = door(users(true), loopback);
        let late = late.knowing(|| false);
        assert_eq!(asks(&late, Some("Bearer new")), Err(503));
        assert_eq!(asks(&late, Some("Bearer root")), Ok("admin".into()));
        assert_eq!(asks(&late, Some("Basic root")), Err(401), "no token at all");
        assert_eq!(asks(&late, None), Err(401));
        assert_eq!(asks(&late.knowing(|| true), Some("Bearer new")), Err(401));
    }
}

#[test]
fn off_loopback_and_with_users_every_request_needs_a_token() {
    for (tokens_needed, loopback) in [(true, true), (true, false), (false, false)] {
        let (_keep, door) = door(users(tokens_needed), loopback);
        assert_eq!(asks(&door, None), Err(401));
        assert_eq!(asks(&door, Some("bearer root")), Ok("admin".into()));
    }
    let (_keep, needed) = door(users(true), true);
    assert_eq!(asks(&needed, Some("Bearer a")), Ok("alice".into()));
    assert_eq!(asks(&needed, Some("Bearer old")), Err(401), "it has expired");
    let (_keep, unfounded) = door(Users::default(), false);
    assert_eq!(asks(&unfounded, None), Err(401), "also before anybody is known");
}

#[test]
fn a_web_page_is_not_the_admin() {
    let (_keep, open) = door(users(false), true);
    let mut headers = HeaderMap::new();
    headers.insert(ORIGIN, HeaderValue::from_static("https://example.org"));
    assert_eq!(open.caller(&headers).unwrap_err().status(), 401);
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer root"));
    assert!(open.caller(&headers).is_ok());
}

#[test]
fn two_tokens_are_none() {
    let (_keep, door) = door(users(true), true);
    let mut headers = HeaderMap::new();
    for token in ["Bearer a", "Bearer root"] {
        headers.append(AUTHORIZATION, HeaderValue::from_static(token));
    }
    assert_eq!(door.caller(&headers).unwrap_err().status(), 401);
}

#[test]
fn the_answer_to_a_stranger_says_how_to_come_in() {
    let response = unauthorized("no token came with the request").into_response();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"faasm\"");
}

fn caller(door: &Door, token: &str) -> Principal {
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    headers.insert(AUTHORIZATION, value);
    door.caller(&headers).unwrap()
}

#[tokio::test]
async fn whoever_loses_its_token_its_name_or_its_role_is_revoked_and_nobody_else() {
    let changes = [
        UserCommand::RemoveToken { name: "alice".into(), token: TokenHash::of("a").name() },
        UserCommand::RemoveToken { name: "alice".into(), token: String::new() },
        UserCommand::Remove { name: "alice".into() },
    ];
    for change in changes {
        let (sender, door) = door(users(true), true);
        let (alice, root) = (caller(&door, "a"), caller(&door, "root"));
        let mut still = users(true);
        put(&mut still, "bob", Role::User);
        sender.send_replace(Arc::new(still.clone()));
        let early = tokio::time::timeout(Duration::from_millis(1), door.revoked(&alice)).await;
        assert!(early.is_err(), "another user does not matter");
        still.change(change);
        sender.send_replace(Arc::new(still));
        door.revoked(&alice).await;
        let admin = tokio::time::timeout(Duration::from_millis(1), door.revoked(&root)).await;
        assert!(admin.is_err());
    }
}

#[tokio::test]
async fn a_token_that_ends_while_a_request_waits_ends_the_request() {
    let mut users = users(true);
    give(&mut users, "alice", "soon", now_ms() + 50);
    let (_keep, door) = door(users, true);
    let alice = caller(&door, "soon");
    door.revoked(&alice).await;
    assert!(asks(&door, Some("Bearer soon")).is_err());
}

#[test]
fn a_user_reaches_what_is_its_own_and_an_admin_all() {
    let (_keep, door) = door(users(true), true);
    let (alice, root) = (caller(&door, "a"), caller(&door, "root"));
    let name = |name: &str| Name::new(name).unwrap();
    assert!(alice.check(&name("alice")).is_ok() && root.check(&name("alice")).is_ok());
    let (bob, nobody) = (alice.check(&name("bob")), alice.check(&name("nobody")));
    assert_eq!(bob, nobody);
    assert_eq!(bob.unwrap_err().status(), 403);
    assert_eq!((alice.only().map(Name::as_str), root.only()), (Some("alice"), None));
}
