use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::fabric::{Cluster, Script, blob, pipe, soon, until};
use crate::config::FileOptions;
use crate::files::MAX_BLOB;
use crate::files::index::Role;
use crate::files::local::Local;
use crate::files::remote::Stream;
use crate::files::serve::Server;
use crate::files::transfer::{Budget, receive_reply, send_reply};
use crate::id::{BlobHash, NodeId};
use crate::wire::blobs::{BlobBulk, BulkReply, Have, MAX_HAVE};
use crate::wire::encode;

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);

/// A server of its own, which gives a silent peer `patience`.
async fn server(patience: Duration) -> (Server, Local, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let roles = Arc::new(|_: &BlobHash| Role::Target);
    let local = Local::open(dir.path().to_owned(), roles, &FileOptions::default()).await.unwrap();
    (Server::new(local.clone(), patience), local, dir)
}

fn store(server: &Server, hash: BlobHash, len: u64) -> Stream {
    let (here, there) = pipe();
    server.accept(N2, &encode(&BlobBulk::Store(hash, len)), there).unwrap();
    here
}

/// Waits until the server has room.
async fn go(stream: &mut Stream) {
    assert_eq!(receive_reply(&mut stream.recv).await, Ok(BulkReply::Go));
}

async fn refusal(stream: &mut Stream) -> String {
    match receive_reply(&mut stream.recv).await {
        Ok(BulkReply::Refused(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_stream_that_no_honest_peer_opens_is_an_error() {
    let (server, local, _dir) = server(Duration::from_secs(5)).await;
    let hash = BlobHash::of(b"x");
    let heads =
        [encode(&BlobBulk::Store(hash, MAX_BLOB + 1)), encode(&BlobBulk::Store(hash, u64::MAX))];
    for head in heads {
        let error = server.accept(N2, &head, pipe().1).unwrap_err();
        assert!(error.why.contains("more than a blob may have"), "{error}");
    }
    assert!(server.accept(N2, b"no message", pipe().1).is_err());
    assert!(server.lacking(b"no message").is_err());
    assert!(server.lacking(&encode(&Have(vec![hash; MAX_HAVE + 1]))).is_err());
    assert_eq!(local.after(None, 1), []);
}

#[tokio::test]
async fn bytes_that_are_not_the_blob_or_not_all_of_it_are_not_kept() {
    let (server, local, dir) = server(Duration::from_secs(5)).await;
    let hash = BlobHash::of(b"honest");

    let mut wrong = store(&server, hash, 6);
    go(&mut wrong).await;
    wrong.send.write_all(b"hOnest").await.unwrap();
    assert!(refusal(&mut wrong).await.contains("do not have the blob's hash"));

    let mut short = store(&server, hash, 6);
    go(&mut short).await;
    short.send.write_all(b"hon").await.unwrap();
    short.send.shutdown().await.unwrap();
    assert!(refusal(&mut short).await.contains("sent 3 of 6 bytes"));

    // The right bytes under a wrong length, and then bytes without end: reading stops at the
    // length.
    let mut endless = store(&server, hash, 300_000);
    go(&mut endless).await;
    let mut written = 0;
    while endless.send.write_all(&[7; 1 << 16]).await.is_ok() {
        written += 1 << 16;
        assert!(written < 1 << 20, "it goes on reading");
    }
    assert!(refusal(&mut endless).await.contains("do not have the blob's hash"));

    assert_eq!(local.after(None, 1), []);
    let left = walk(dir.path());
    assert!(left.is_empty(), "{left:?}");
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn a_peer_that_stalls_is_given_up_and_its_room_is_free_again() {
    let (server, local, _dir) = server(Duration::from_millis(500)).await;
    let hash = BlobHash::of(b"honest");
    for _ in 0..2 {
        // Announces and sends nothing: given up after the patience and the time for its length.
        let mut stalled = store(&server, hash, 6);
        go(&mut stalled).await;
        assert!(refusal(&mut stalled).await.contains("too slow"));
    }
    assert_eq!(local.after(None, 1), []);
}

#[tokio::test]
async fn more_transfers_than_admitted_are_turned_away_and_later_ones_served() {
    let (server, local, _dir) = server(Duration::from_secs(60)).await;
    let hash = BlobHash::of(b"honest");
    let mut waiting: Vec<Stream> = (0..256).map(|_| store(&server, hash, 6)).collect();
    let mut refused = store(&server, hash, 6);
    assert!(receive_reply(&mut refused.recv).await.is_err(), "the 257th was served");
    let mut first = waiting.pop().unwrap();
    go(&mut first).await;
    first.send.write_all(b"honest").await.unwrap();
    assert_eq!(receive_reply(&mut first.recv).await, Ok(BulkReply::Stored));
    assert_eq!(first.recv.read(&mut [0]).await.unwrap(), 0);
    let mut next = store(&server, hash, 6);
    go(&mut next).await;
    next.send.write_all(b"honest").await.unwrap();
    assert_eq!(receive_reply(&mut next.recv).await, Ok(BulkReply::Stored));
    assert_eq!(local.after(None, 9), [hash]);
}

#[tokio::test]
async fn nothing_is_to_be_sent_before_there_is_room_for_it() {
    let (server, _local, _dir) = server(Duration::from_secs(60)).await;
    let hash = BlobHash::of(b"honest");
    let mut first = store(&server, hash, MAX_BLOB);
    let mut second = store(&server, hash, MAX_BLOB);
    go(&mut first).await;
    go(&mut second).await;
    let mut third = store(&server, hash, 6);
    let mut answer = Box::pin(go(&mut third));
    assert!(futures_util::poll!(&mut answer).is_pending());
    drop(first);
    answer.await;
}

#[tokio::test]
async fn the_bytes_on_their_way_are_bounded() {
    let budget = Budget::new();
    let (first, second) = (budget.take(MAX_BLOB).await, budget.take(MAX_BLOB).await);
    let mut third = Box::pin(budget.take(1));
    assert!(futures_util::poll!(&mut third).is_pending(), "there was room for a third");
    drop(first);
    assert!(futures_util::poll!(&mut third).is_ready());
    drop(second);
}

/// A get through n1 of a blob that only a scripted n2 could have.
async fn get_from(script: Script, within: Duration) -> String {
    let mut cluster = Cluster::start(2).await;
    cluster.down(N2).await;
    cluster.fabric.script(N2, script);
    let hash = BlobHash::of(b"honest");
    let error = cluster.blobs[&N1].get(hash, Instant::now() + within).await.unwrap_err();
    assert!(!cluster.has(N1, &hash));
    let left = walk(&cluster.dir(N1));
    assert!(left.is_empty(), "{left:?}");
    error.to_string()
}

/// Answers a fetch with this, hears what the other says, sends these bytes, and ends.
fn answer(reply: BulkReply, bytes: &'static [u8]) -> Script {
    Arc::new(move |_, mut stream| {
        let reply = reply.clone();
        Box::pin(async move {
            let _ = send_reply(&mut stream.send, &reply).await;
            let _ = receive_reply(&mut stream.recv).await;
            let _ = stream.send.write_all(bytes).await;
        })
    })
}

#[tokio::test]
async fn a_peer_that_lies_about_a_blob_is_named_and_nothing_of_it_is_kept() {
    let long = Duration::from_secs(20);
    let lies: [(BulkReply, &'static [u8], &str); 6] = [
        (BulkReply::Found(MAX_BLOB + 1), b"", "n2: announced 268435457 bytes"),
        (BulkReply::Found(u64::MAX), b"", "n2: announced 18446744073709551615 bytes"),
        (BulkReply::Found(6), b"hOnest", "n2: sent bytes that do not have the blob's hash"),
        (BulkReply::Found(6), b"hon", "n2: sent 3 of 6 bytes"),
        (BulkReply::Found(0), b"honest", "n2: sent bytes that do not have the blob's hash"),
        (BulkReply::Stored, b"honest", "n2: malformed"),
    ];
    for (reply, bytes, expected) in lies {
        let error = get_from(answer(reply, bytes), long).await;
        assert!(error.contains(expected), "{error}");
    }
    let garbage: Script = Arc::new(|_, mut stream| {
        Box::pin(async move {
            let _ = stream.send.write_all(&[0xff; 64]).await;
        })
    });
    let error = get_from(garbage, long).await;
    assert!(error.contains("its length of 4294967295 bytes exceeds"), "{error}");
}

#[tokio::test]
async fn a_peer_that_never_ends_its_blob_costs_the_deadline_and_is_named() {
    let silent: Script = Arc::new(|_, stream| {
        Box::pin(async move {
            let _held = stream;
            std::future::pending::<()>().await;
        })
    });
    let dripping: Script = Arc::new(|_, mut stream| {
        Box::pin(async move {
            let _ = send_reply(&mut stream.send, &BulkReply::Found(6)).await;
            let _ = stream.send.write_all(b"hon").await;
            let _held = stream;
            std::future::pending::<()>().await;
        })
    });
    for script in [silent, dripping] {
        let error = get_from(script, Duration::from_millis(100)).await;
        assert!(error.contains("in time") && error.contains("n2"), "{error}");
    }
}

#[tokio::test]
async fn an_honest_node_is_asked_after_one_that_lies() {
    let mut cluster = Cluster::start(3).await;
    let bytes = blob(9, 5000);
    let hash = cluster.put_everywhere(N1, &bytes).await;
    let [a, b, c] = cluster.blobs[&N1].targets(&hash)[..] else { panic!("not three targets") };
    std::fs::remove_file(cluster.file(c, &hash)).unwrap();
    cluster.down(a).await;
    cluster.fabric.script(a, answer(BulkReply::Found(5000), b"too few"));
    assert_eq!(cluster.blobs[&c].get(hash, soon()).await, Ok(bytes));
    until("it is healed", || cluster.file(c, &hash).exists()).await;
    assert!(cluster.has(b, &hash));
}
