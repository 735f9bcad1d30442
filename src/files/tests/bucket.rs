use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use tempfile::TempDir;

use super::fabric::{blob, soon};
use crate::config::{FileOptions, S3Options};
use crate::files::BlobError;
use crate::files::bucket::{Bucket, Keys};
use crate::files::shared::Shared;
use crate::id::BlobHash;

/// A node over a bucket that is in memory.
async fn node(bucket: &Arc<InMemory>) -> (Arc<Shared>, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let bucket = Bucket::over(bucket.clone(), "bucket `b`".to_owned(), "some/prefix");
    let shared = Shared::start(bucket, dir.path().to_owned(), &FileOptions::default()).await;
    (Arc::new(shared.unwrap()), dir)
}

fn object(hash: &BlobHash) -> object_store::path::Path {
    let name = hash.to_string();
    object_store::path::Path::from(format!("some/prefix/{}/{name}", &name[..1]))
}

#[tokio::test]
async fn what_one_node_puts_another_gets_and_caches() {
    let bucket = Arc::new(InMemory::new());
    let (one, _dir) = node(&bucket).await;
    let (two, dir) = node(&bucket).await;
    for len in [0, 1, 300_000] {
        let bytes = blob(1, len);
        let hash = one.put(bytes.clone(), soon()).await.unwrap();
        assert_eq!(two.get(hash, soon()).await.as_ref(), Ok(&bytes));
        // From the cache, and if that is damaged, from the bucket.
        bucket.delete(&object(&hash)).await.unwrap();
        assert_eq!(two.get(hash, soon()).await.as_ref(), Ok(&bytes));
        let name = hash.to_string();
        fs::write(dir.path().join(&name[..1]).join(&name), "damaged").unwrap();
        let error = two.get(hash, soon()).await.unwrap_err();
        assert!(matches!(error, BlobError::NotFound(of, _) if of == hash), "{error}");
        one.put(bytes.clone(), soon()).await.unwrap();
        assert_eq!(two.get(hash, soon()).await.as_ref(), Ok(&bytes));
    }
}

#[tokio::test]
async fn a_damaged_object_is_never_given_to_anybody() {
    let bucket = Arc::new(InMemory::new());
    let (one, _dir) = node(&bucket).await;
    let (two, dir) = node(&bucket).await;
    let bytes = blob(1, 1000);
    let hash = one.put(bytes.clone(), soon()).await.unwrap();
    let whole = bucket.get(&object(&hash)).await.unwrap().bytes().await.unwrap();
    let mut flipped = whole.to_vec();
    flipped[500] ^= 1;
    let mut longer = whole.to_vec();
    longer.push(0);
    let damaged = [flipped, longer, whole[..700].to_vec(), Vec::new(), vec![0; 5000]];
    for object_bytes in damaged {
        bucket.put(&object(&hash), object_bytes.into()).await.unwrap();
        let error = two.get(hash, soon()).await.unwrap_err().to_string();
        assert!(error.contains("damaged") && error.contains("bucket `b`"), "{error}");
    }
    let left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .flat_map(|sub| fs::read_dir(sub.unwrap().path()).unwrap())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    // To upload it again heals it.
    one.put(bytes.clone(), soon()).await.unwrap();
    assert_eq!(two.get(hash, soon()).await, Ok(bytes));
}

#[tokio::test]
async fn a_service_that_cannot_be_reached_is_named_and_costs_no_longer_than_allowed() {
    let options = S3Options {
        bucket: "blobs".to_owned(),
        // Nothing listens there: the port is reserved.
        endpoint: Some("http://127.0.0.1:1".to_owned()),
        allow_http: true,
        ..S3Options::default()
    };
    let keys = Keys::of("id", "secret");
    let bucket = Bucket::open(&options, &keys).unwrap();
    assert_eq!(bucket.probe().await, Ok(()), "a node starts without it");
    let dir = tempfile::tempdir().unwrap();
    let shared = Shared::start(bucket, dir.path().to_owned(), &FileOptions::default()).await;
    let shared = Arc::new(shared.unwrap());
    let error = shared.put(blob(1, 10), soon()).await.unwrap_err();
    let BlobError::Unavailable(why) = &error else { panic!("{error}") };
    assert!(why.contains("`blobs` at http://127.0.0.1:1"), "{why}");
    let error = shared.get(BlobHash::of(b"x"), soon()).await.unwrap_err();
    assert!(matches!(error, BlobError::Unavailable(_)), "{error}");
    let error = shared.put(blob(1, 10), Instant::now() + Duration::from_millis(1)).await;
    assert!(matches!(error, Err(BlobError::TimedOut(_))), "{error:?}");
}
