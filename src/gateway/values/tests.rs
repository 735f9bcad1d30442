//! The routes of values over an owner in memory, also as a user who wants another's.

use axum::Router;
use http::header::{AUTHORIZATION, IF_MATCH, IF_NONE_MATCH, RANGE};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::*;
use crate::consensus::locks;
use crate::gateway::access::{Access, Caller, Door as Guard};
use crate::gateway::routes::{build, row};
use crate::id::{CallId, Incarnation, Name, NodeId};
use crate::state::fake::Owner;
use crate::state::overview::LocalCopy;
use crate::wire::consensus::SessionId;
use crate::wire::locks::{Holder, Mode};
use crate::wire::shards::{Shard, ShardId};
use crate::wire::state::{Listed, MAX_PIECE};
use crate::wire::users::{Quotas, Role};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;

/// Lists what the owner in memory has; one lock on a value of each of two users.
struct Seen(Arc<Owner>);

impl Overview for Seen {
    fn list(&self, list: List, _by: Instant) -> BoxFuture<'_, Result<Vec<Listed>, StateError>> {
        let fits = |listed: &Listed| {
            listed.key.user == list.user
                && listed.key.key.starts_with(&list.prefix)
                && list.after.as_ref().is_none_or(|after| listed.key > *after)
        };
        let all = self.0.keys().into_iter().map(|(key, stat)| Listed { key, stat });
        let found: Vec<Listed> = all.filter(fits).take(list.most as usize).collect();
        Box::pin(async move { Ok(found) })
    }

    fn copies(&self, _: Arc<StateKey>, _: Instant) -> BoxFuture<'_, Vec<LocalCopy>> {
        let copy = LocalCopy { node: NodeId(2), bytes: 4096, mapped: true };
        Box::pin(async move { vec![copy] })
    }

    fn shards(&self) -> Vec<(ShardId, Arc<Shard>)> {
        let nodes = vec![NodeId(1), NodeId(2)];
        let shard = Shard {
            epoch: 3,
            revision: 1,
            owner: NodeId(2),
            in_sync: nodes.clone(),
            targets: nodes,
        };
        let shard = Arc::new(shard);
        (0..128).map(|id| (ShardId(id), shard.clone())).collect()
    }

    fn locks(&self, _: Instant) -> BoxFuture<'_, Result<Vec<locks::LockView>, StateError>> {
        let session = SessionId { node: NodeId(1), incarnation: Incarnation(1), opened: 1 };
        let holder = |call| Holder { call: CallId(call), session };
        let lock = |user: &str| locks::LockView {
            key: StateKey { user: user.into(), key: "k".into() },
            mode: Mode::Write,
            holders: vec![(holder(1), 77)],
            waiters: vec![(holder(2), Mode::Read)],
        };
        let locks = vec![lock("alice"), lock("bob")];
        Box::pin(async move { Ok(locks) })
    }
}

struct Place {
    owner: Arc<Owner>,
    values: Values,
    router: Router,
}

impl Place {
    fn new(budget: usize) -> Self {
        let owner = Owner::new();
        let overview = Arc::new(Seen(owner.clone()));
        let budget = Budget::new(budget);
        let values = Values { global: owner.clone(), overview, budget };
        let rows = vec![
            row("GET", "/v1/state/{user}", Access::User, list),
            row("GET", "/v1/state/{user}/{*key}", Access::User, get),
            row("PUT", "/v1/state/{user}/{*key}", Access::User, put),
            row("DELETE", "/v1/state/{user}/{*key}", Access::User, delete),
            row("GET", "/v1/locks", Access::User, super::locks),
            row("GET", "/v1/shards", Access::User, shards),
        ];
        let router = build(rows, Arc::new(Guard::unguarded())).with_state(values.clone());
        Self { owner, values, router }
    }

    async fn send(&self, role: Role, mut request: http::Request<Body>) -> Answered {
        use tower::ServiceExt;
        let (name, quotas) = (Name::new("alice").unwrap(), Quotas::default());
        let caller = Principal { name, role, quotas, since_ms: 0, token: None };
        request.extensions_mut().insert(Caller(Ok(caller)));
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes());
        Answered { status: head.status.as_u16(), headers: head.headers, body }
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        head: &[(HeaderName, &str)],
        body: &[u8],
    ) -> Answered {
        let body = Body::from(Bytes::copy_from_slice(body));
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in head {
            request = request.header(name, *value);
        }
        self.send(Role::User, request.body(body).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answered {
        self.ask("GET", path, &[], b"").await
    }

    async fn put(&self, path: &str, body: &[u8]) -> Answered {
        self.ask("PUT", path, &[], body).await
    }
}

/// An answer.
#[derive(Debug)]
struct Answered {
    status: u16,
    headers: HeaderMap,
    body: Result<Bytes, axum::Error>,
}

impl Answered {
    fn header(&self, name: HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn bytes(&self) -> &[u8] {
        self.body.as_ref().unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }
}

const K: &str = "/v1/state/alice/k";

#[tokio::test]
async fn a_value_of_many_pieces_goes_in_and_out_and_gives_its_memory_back() {
    let place = Place::new(32 << 20);
    let whole: Vec<u8> = (0..6 * MAX_PIECE + 777).map(|i| (i / 5) as u8).collect();
    let made = place.put(K, &whole).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let again = place.put(K, &whole).await;
    assert_eq!((again.status, again.header(ETAG).is_empty()), (200, false));
    let got = place.get(K).await;
    assert_eq!((got.status, got.header(CONTENT_LENGTH)), (200, &*whole.len().to_string()));
    assert!(got.bytes() == whole);
    assert_eq!(got.header(ETAG), again.header(ETAG));
    assert_eq!(got.header(ACCEPT_RANGES), "bytes");
    assert_eq!(place.values.budget.left(), 32 << 20);
    let head = place.ask("HEAD", K, &[(RANGE, "bytes=0-1")], b"").await;
    assert_eq!((head.status, head.bytes().len()), (200, 0));
    assert_eq!(head.header(CONTENT_LENGTH), whole.len().to_string());
}

#[tokio::test]
async fn ranges_are_parts_and_what_is_outside_is_told() {
    let place = Place::new(32 << 20);
    let whole: Vec<u8> = (0..3 * MAX_PIECE).map(|i| (i / 3) as u8).collect();
    place.put(K, &whole).await;
    let part = |range: &'static str| {
        let place = &place;
        async move { place.ask("GET", K, &[(RANGE, range)], b"").await }
    };
    let some = part("bytes=5000-2500000").await;
    assert_eq!((some.status, some.header(CONTENT_LENGTH)), (206, "2495001"));
    assert_eq!(some.header(CONTENT_RANGE), format!("bytes 5000-2500000/{}", whole.len()));
    assert!(some.bytes() == &whole[5000..2_500_001]);
    let tail = part("bytes=-3").await;
    assert!(tail.status == 206 && tail.bytes() == &whole[whole.len() - 3..]);
    let outside = part("bytes=99999999-").await;
    assert_eq!(outside.status, 416);
    assert_eq!(outside.header(CONTENT_RANGE), format!("bytes */{}", whole.len()));
    assert_eq!(part("bytes=0-1,4-5").await.status, 200);
    let empty = place.put("/v1/state/alice/empty", b"").await;
    assert_eq!(empty.status, 201);
    let empty = place.get("/v1/state/alice/empty").await;
    assert_eq!((empty.status, empty.header(CONTENT_LENGTH), empty.bytes().len()), (200, "0", 0));
}

#[tokio::test]
async fn conditions_decide_what_is_done() {
    let place = Place::new(1 << 20);
    let ask = |method: &'static str, head: (HeaderName, String)| {
        let place = &place;
        async move { place.ask(method, K, &[(head.0, &head.1)], b"next").await.status }
    };
    let any = || "*".to_owned();
    assert_eq!(ask("PUT", (IF_MATCH, any())).await, 412);
    assert_eq!(ask("DELETE", (IF_MATCH, any())).await, 404);
    assert_eq!(ask("GET", (IF_MATCH, any())).await, 404);
    assert_eq!(ask("PUT", (IF_NONE_MATCH, any())).await, 201);
    assert_eq!(ask("PUT", (IF_NONE_MATCH, any())).await, 412);
    let first = place.get(K).await.header(ETAG).to_owned();
    assert_eq!(ask("GET", (IF_NONE_MATCH, first.clone())).await, 304);
    assert_eq!(ask("HEAD", (IF_NONE_MATCH, format!("W/{first}"))).await, 304);
    assert_eq!(ask("PUT", (IF_MATCH, format!("\"0-0\", {first}"))).await, 200);
    assert_eq!(ask("GET", (IF_NONE_MATCH, first.clone())).await, 200);
    assert_eq!(ask("PUT", (IF_MATCH, first.clone())).await, 412);
    assert_eq!(ask("GET", (IF_MATCH, first.clone())).await, 412);
    assert_eq!(ask("DELETE", (IF_MATCH, first)).await, 412);
    assert_eq!(ask("PUT", (IF_MATCH, "x".into())).await, 400);
    let now = place.get(K).await.header(ETAG).to_owned();
    let unchanged = place.ask("GET", K, &[(IF_NONE_MATCH, &now)], b"").await;
    assert_eq!((unchanged.header(ETAG), unchanged.bytes().len()), (&*now, 0));
    assert_eq!(ask("DELETE", (IF_MATCH, now)).await, 200);
    assert_eq!(place.owner.value("alice", "k"), None);
    assert_eq!(place.ask("DELETE", K, &[], b"").await.status, 404);
}

#[tokio::test]
async fn an_offset_writes_inside_a_value_and_leaves_the_rest() {
    let place = Place::new(8 << 20);
    let inside = "/v1/state/alice/k?offset=3";
    assert_eq!(place.put(inside, b"xy").await.status, 404);
    place.put(K, b"0123456789").await;
    assert_eq!(place.put(inside, b"xy").await.status, 200);
    assert_eq!(place.owner.value("alice", "k").unwrap(), b"012xy56789");
    assert_eq!(place.put("/v1/state/alice/k?offset=9", b"abc").await.status, 200);
    assert_eq!(place.get(K).await.bytes(), b"012xy5678abc");
    for (path, head) in [(K, CONTENT_RANGE), ("/v1/state/alice/k?offset=-1", RANGE)] {
        assert_eq!(place.ask("PUT", path, &[(head, "bytes 0-1/2")], b"x").await.status, 400);
    }
}

#[tokio::test]
async fn another_users_values_are_out_of_reach_whatever_the_path() {
    let place = Place::new(1 << 20);
    let bob = http::Request::put("/v1/state/bob/k").body(Body::from("secret")).unwrap();
    assert_eq!(place.send(Role::Admin, bob).await.status, 201);
    for path in [
        "/v1/state/bob/k",
        "/v1/state/bob/k?info",
        "/v1/state/bob",
        "/v1/state/%62ob/k",
        "/v1/state/alice%2F..%2Fbob/k",
        "/v1/state/bob%2Fk/x",
        "/v1/state/alice/../bob/k",
        "/v1/state/alice/%2e%2e/bob/k",
        "/v1/state/alice/..%2Fbob%2Fk",
        "/v1/state//bob/k",
        "/v1/state/alice//bob/k",
        "/v1/state/alice/bob/k",
        "/v1/state/Bob/k",
        "/v1/state/bob%00/k",
        "/v1/state/alice%00bob/k",
        "/v1/state/bob/./k",
        "/v1/locks?user=bob",
    ] {
        for method in ["GET", "PUT", "DELETE"] {
            let answer = place.ask(method, path, &[], b"mine").await;
            assert!(!answer.text().contains("secret"), "{method} {path}");
            let still = place.owner.value("bob", "k").unwrap();
            assert_eq!(still, b"secret", "{method} {path}: {}", answer.status);
        }
    }
    for path in ["/v1/state/bob/k", "/v1/state/nobody/k", "/v1/state/bob"] {
        assert_eq!(place.get(path).await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn keys_hold_any_characters_but_nul() {
    let place = Place::new(1 << 20);
    for (path, key) in [
        ("a/b/c", "a/b/c"),
        ("a%2Fb%2Fd", "a/b/d"),
        ("/a//", "/a//"),
        (".", "."),
        ("../..", "../.."),
        ("%2e%2e", ".."),
        ("%20+%0a%ff".trim_end_matches("%ff"), " +\n"),
        ("%C3%A4%3F%23%25", "ä?#%"),
        ("k/invoke", "k/invoke"),
    ] {
        let path = format!("/v1/state/alice/{path}");
        assert_eq!(place.put(&path, key.as_bytes()).await.status, 201, "{path}");
        assert_eq!(place.owner.value("alice", key).as_deref(), Some(key.as_bytes()), "{path}");
        assert_eq!(place.get(&path).await.bytes(), key.as_bytes(), "{path}");
    }
    let (longest, long) = ("x".repeat(512), "x".repeat(513));
    assert_eq!(place.put(&format!("/v1/state/alice/{longest}"), b"").await.status, 201);
    for key in ["a%00b", "%ff", &long] {
        let answer = place.put(&format!("/v1/state/alice/{key}"), b"").await;
        assert_eq!(answer.status, 400, "{key}: {}", answer.text());
    }
}

#[tokio::test]
async fn lists_info_locks_and_shards_are_told() {
    let place = Place::new(1 << 20);
    for key in ["a/1", "a/2", "b"] {
        place.put(&format!("/v1/state/alice/{key}"), b"12345").await;
    }
    let list: ValuesView =
        serde_json::from_slice(place.get("/v1/state/alice?prefix=a/&limit=1").await.bytes())
            .unwrap();
    assert_eq!((list.values.len(), list.next.as_deref()), (1, Some("a/1")));
    let list: ValuesView =
        serde_json::from_slice(place.get("/v1/state/alice?after=a%2F1").await.bytes()).unwrap();
    let keys: Vec<&str> = list.values.iter().map(|value| value.key.as_str()).collect();
    assert_eq!((keys, list.next), (vec!["a/2", "b"], None));
    place.put(K, b"1").await;
    let info: InfoView =
        serde_json::from_slice(place.get("/v1/state/alice/k?info").await.bytes()).unwrap();
    assert_eq!((info.size, info.copies[0].node.as_str()), (1, "n2"));
    let shard = info.shard.unwrap();
    assert_eq!((shard.owner.as_str(), shard.epoch), ("n2", 3));
    assert_eq!(info.lock.unwrap().holders[0].token, 77);
    let locks: LocksView = serde_json::from_slice(place.get("/v1/locks").await.bytes()).unwrap();
    assert_eq!((locks.locks.len(), locks.locks[0].user.as_str()), (1, "alice"));
    let all = http::Request::get("/v1/locks").body(Body::empty()).unwrap();
    let all = place.send(Role::Admin, all).await;
    assert_eq!(serde_json::from_slice::<LocksView>(all.bytes()).unwrap().locks.len(), 2);
    let shards = place.get("/v1/shards").await;
    assert_eq!(serde_json::from_slice::<ShardsView>(shards.bytes()).unwrap().shards.len(), 128);
    assert_eq!(place.get("/v1/state/alice/none?info").await.status, 404);
}

#[tokio::test]
async fn refusals_have_their_status() {
    let place = Place::new(1 << 20);
    place.put(K, b"x").await;
    for (refusal, status, retry) in [
        (Refusal::Locked, 423, false),
        (Refusal::NoSpace, 507, true),
        (Refusal::TooBig("quota".into()), 403, false),
        (Refusal::Again, 503, true),
        (Refusal::Invalid("x".into()), 400, false),
    ] {
        place.owner.refuse(Some(StateError::Refused(refusal.clone())));
        let answer = place.put(K, b"y").await;
        assert_eq!(answer.status, status, "{refusal:?}");
        assert_eq!(answer.headers.contains_key("retry-after"), retry, "{refusal:?}");
    }
    place.owner.refuse(Some(StateError::Unavailable("no owner".into())));
    let answer = place.get(K).await;
    assert_eq!((answer.status, answer.headers.contains_key("retry-after")), (503, true));
    assert!(answer.text().contains("no owner"));
}

#[tokio::test]
async fn a_body_past_the_budget_is_refused_and_changes_nothing() {
    let place = Place::new(MAX_PIECE);
    place.put(K, b"old").await;
    let whole = vec![1; 8 * MAX_PIECE];
    let answer = place.put(K, &whole).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(place.owner.value("alice", "k").unwrap(), b"old");
    assert_eq!(place.values.budget.left(), MAX_PIECE);
}

#[tokio::test]
async fn a_body_that_breaks_off_changes_nothing() {
    let place = Place::new(64 << 20);
    place.put(K, b"old").await;
    let mut frames: Vec<Result<Frame<Bytes>, std::io::Error>> = Vec::new();
    frames.extend((0..3).map(|_| Ok(Frame::data(Bytes::from(vec![1; MAX_PIECE])))));
    frames.push(Err(std::io::Error::other("gone")));
    let body = Body::new(StreamBody::new(stream::iter(frames)));
    let request = http::Request::put(K).header(AUTHORIZATION, "x").body(body).unwrap();
    let answer = place.send(Role::User, request).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(place.owner.value("alice", "k").unwrap(), b"old");
    // The pieces on their way are dropped by tasks of their own.
    while place.values.budget.left() < 64 << 20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_value_that_is_gone_half_way_ends_the_answer_short() {
    let place = Place::new(64 << 20);
    place.put(K, &vec![1; 12 * MAX_PIECE]).await;
    let request = http::Request::get(K).body(Body::empty()).unwrap();
    let (name, quotas) = (Name::new("alice").unwrap(), Quotas::default());
    let caller = Principal { name, role: Role::User, quotas, since_ms: 0, token: None };
    let mut request = request;
    request.extensions_mut().insert(Caller(Ok(caller)));
    let response = tower::ServiceExt::oneshot(place.router.clone(), request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    place.put(K, b"new").await;
    place.owner.forget_old();
    let rest = body.collect().await;
    assert!(rest.is_err(), "it must not look like the whole");
    assert_eq!(place.values.budget.left(), 64 << 20);
}
