use std::fs;
use std::path::Path;

use super::fabric::{Cluster, blob, soon};
use crate::files::{BlobError, MAX_BLOB};
use crate::id::NodeId;

const N1: NodeId = NodeId(1);

fn flip(path: &Path, at: usize) {
    let mut file = fs::read(path).unwrap();
    file[at] ^= 1;
    fs::write(path, file).unwrap();
}

fn cut(path: &Path, len: u64) {
    fs::File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_found_on_read_and_healed_from_another_copy() {
    let cluster = Cluster::start(3).await;
    let bytes = blob(1, 10_000);
    let hash = cluster.put_everywhere(N1, &bytes).await;
    let path = cluster.file(N1, &hash);
    let whole = fs::read(&path).unwrap();
    let damages: [(&str, &dyn Fn()); 7] = [
        ("a bit of the blob", &|| flip(&path, 5000)),
        ("a bit of the header", &|| flip(&path, 9)),
        ("all after a page", &|| cut(&path, 4096)),
        ("a byte too many", &|| cut(&path, whole.len() as u64 + 1)),
        ("everything", &|| cut(&path, 0)),
        ("the file", &|| fs::remove_file(&path).unwrap()),
        ("its length, which no blob may have", &|| cut(&path, MAX_BLOB + 17)),
    ];
    for (what, damage) in damages {
        damage();
        assert_eq!(cluster.blobs[&N1].get(hash, soon()).await.as_ref(), Ok(&bytes), "{what}");
        assert!(fs::read(&path).unwrap() == whole, "{what} was not healed");
    }
}

#[tokio::test]
async fn a_damaged_copy_is_not_served_to_others() {
    let mut cluster = Cluster::start(3).await;
    let hash = cluster.put_everywhere(N1, &blob(1, 10_000)).await;
    for node in [NodeId(2), NodeId(3)] {
        flip(&cluster.file(node, &hash), 3000);
    }
    fs::remove_file(cluster.file(N1, &hash)).unwrap();
    let error = cluster.blobs[&N1].get(hash, soon()).await.unwrap_err();
    assert!(matches!(error, BlobError::NotFound(..)), "{error}");
    assert!(!cluster.file(NodeId(2), &hash).exists(), "the damaged file was left");
    // And none of them claims to have it when it starts again.
    cluster.down(NodeId(2)).await;
    cluster.up(NodeId(2)).await;
    assert!(!cluster.has(NodeId(2), &hash));
}

#[tokio::test]
async fn a_file_of_a_newer_format_is_not_used_and_not_removed() {
    let mut cluster = Cluster::start(1).await;
    let hash = cluster.put_everywhere(N1, &blob(1, 1000)).await;
    let path = cluster.file(N1, &hash);
    let mut file = fs::read(&path).unwrap();
    file[4] = 9;
    fs::write(&path, &file).unwrap();
    let error = cluster.blobs[&N1].get(hash, soon()).await.unwrap_err();
    assert!(matches!(error, BlobError::NotFound(..)), "{error}");
    assert!(path.exists());
    cluster.down(N1).await;
    cluster.up(N1).await;
    cluster.put_everywhere(N1, &blob(1, 1000)).await;
    assert_eq!(cluster.blobs[&N1].get(hash, soon()).await, Ok(blob(1, 1000)));
}
