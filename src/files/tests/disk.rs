use std::fs;
use std::path::Path;
use std::process::Command;

use super::fabric::{Cluster, blob, soon};
use crate::files::BlobError;
use crate::files::disk::{Disk, Durability, Held};
use crate::files::format::HEADER;
use crate::id::{BlobHash, NodeId};

/// All files below a directory.
fn files(dir: &Path) -> Vec<String> {
    let subs = fs::read_dir(dir).unwrap().map(|sub| sub.unwrap().path());
    let files = subs.flat_map(|sub| fs::read_dir(sub).unwrap());
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn what_unfinished_writes_left_is_removed_at_start_and_strange_files_are_not_listed() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, found) = Disk::open(dir.path().to_owned(), 0).await.unwrap();
    assert_eq!(found, []);
    let hash = BlobHash::of(b"whole");
    disk.write(&hash, "whole".into(), Durability::Synced).await.unwrap();
    let sub = dir.path().join(&hash.to_string()[..1]);
    fs::write(sub.join(format!("{hash}#1")), "half").unwrap();
    fs::write(sub.join(format!("{}#27", BlobHash::of(b"other"))), "half").unwrap();
    fs::write(sub.join("notes.txt"), "no blob, though long enough for one").unwrap();
    let too_short = BlobHash([hash.0[0]; 32]).to_string();
    fs::write(sub.join(&too_short), vec![0; HEADER - 1]).unwrap();
    let (disk, found) = Disk::open(dir.path().to_owned(), 0).await.unwrap();
    let found: Vec<_> = found.iter().map(|found| (found.hash, found.len)).collect();
    assert_eq!(found, [(hash, 5)]);
    assert_eq!(disk.read(&hash).await, Ok(Held::Good("whole".into())));
    let mut left = files(dir.path());
    left.sort();
    let mut expected = [hash.to_string(), "notes.txt".to_owned(), too_short];
    expected.sort();
    assert_eq!(left, expected);
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("blobs");
    fs::write(&path, "a file").unwrap();
    let Err(BlobError::Io(why)) = Disk::open(path.clone(), 0).await else { panic!("it was used") };
    assert!(why.contains(path.to_str().unwrap()), "{why}");
}

#[tokio::test]
async fn a_disk_that_refuses_costs_one_copy_or_the_put_and_the_error_says_so() {
    let cluster = Cluster::start(3).await;
    let bytes = blob(1, 1000);
    let hash = BlobHash::of(&bytes);
    let broken = |node: u64| {
        let sub = cluster.file(NodeId(node), &hash).parent().unwrap().to_owned();
        fs::remove_dir_all(&sub).unwrap();
        fs::write(sub, "no directory").unwrap();
    };
    broken(2);
    let through = &cluster.blobs[&NodeId(1)];
    assert_eq!(through.put(bytes.clone(), soon()).await, Ok(hash));
    broken(3);
    let error = through.put(bytes, soon()).await.unwrap_err();
    let BlobError::TooFewCopies { have: 1, need: 2, why } = &error else { panic!("{error}") };
    assert!(why.contains("n2: refused: the blob store's disk refused"), "{why}");
    assert!(why.contains("n3: refused: the blob store's disk refused"), "{why}");
}

/// Set in the process of its own that [`a_full_disk`] needs: a limit on the size of files, which
/// fails a write half-way as a full disk does, holds for a whole process.
const CHILD: &str = "FAASM_TEST_FULL_DISK";

#[test]
fn a_full_disk_gives_a_clear_error_and_leaves_nothing_half_written() {
    let dir = tempfile::tempdir().unwrap();
    let limited = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "files::tests::disk::a_full_disk", "--nocapture"])
        .env(CHILD, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&limited.stdout);
    assert!(limited.status.success() && text.contains("1 passed"), "{limited:?}");
    assert_eq!(files(dir.path()), [BlobHash::of(b"small").to_string()]);
}

#[tokio::test]
async fn a_full_disk() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let (disk, _) = Disk::open(dir.into(), 0).await.unwrap();
    let large = blob(1, 1 << 20);
    for durability in [Durability::Synced, Durability::Relaxed] {
        let error = disk.write(&BlobHash::of(&large), large.clone(), durability).await;
        let Err(BlobError::Io(why)) = error else { panic!("it was written") };
        assert!(why.contains("File too large"), "{why}");
    }
    assert_eq!(disk.read(&BlobHash::of(&large)).await, Ok(Held::Missing));
    disk.write(&BlobHash::of(b"small"), "small".into(), Durability::Synced).await.unwrap();
}
