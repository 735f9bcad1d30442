//! Power failures of a whole cluster on one machine: what no node had made durable of its logs is
//! taken away after a kill -9, which alone takes nothing that was written.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Notes what nodes write, by a library that is preloaded into them.
pub struct Power {
    notes: tempfile::TempDir,
    library: PathBuf,
}

/// What was lost.
#[derive(Debug, Default)]
pub struct Lost {
    /// Writes of logs that were noted, and times that a log was made durable.
    pub writes: usize,
    pub syncs: usize,
    /// Bytes taken away.
    pub bytes: u64,
}

impl Power {
    /// Makes the library.
    pub fn new() -> Self {
        let notes = tempfile::tempdir().expect("a folder");
        let library = notes.path().join("power.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories/power.c");
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&library).arg(source);
        let output = cc.arg("-ldl").output().expect("cc starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { notes, library }
    }

    /// What nodes are started with.
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("LD_PRELOAD", self.library.clone()),
            ("FAASM_POWER_DIR", self.notes.path().to_owned()),
        ]
    }

    /// Zeroes what was not durable in the logs below this folder; all nodes are dead.
    pub fn fails(&self, dir: &Path) -> Lost {
        let mut files = BTreeMap::new();
        logs(dir, &mut files);
        let notes = std::fs::read_dir(self.notes.path()).expect("its folder").flatten();
        let mut notes: Vec<PathBuf> = notes.map(|entry| entry.path()).collect();
        notes.retain(|path| *path != self.library);
        notes.sort();
        let lives: Vec<Vec<u8>> =
            notes.iter().map(|path| std::fs::read(path).expect("notes")).collect();
        let mut lost = Lost::default();
        for (inode, off, len) in open_writes(&lives, &mut lost) {
            let Some(file) = files.get(&inode) else { continue };
            let file = OpenOptions::new().write(true).open(file).expect("a log");
            let there = file.metadata().expect("its size").len();
            let len = len.min(there.saturating_sub(off));
            let zeros = vec![0; usize::try_from(len).expect("small")];
            file.write_all_at(&zeros, off).expect("it is written");
            lost.bytes += len;
        }
        // What is left is durable.
        notes.iter().for_each(|path| std::fs::remove_file(path).expect("it is removed"));
        lost
    }
}

/// The writes behind which there was no sync of their file, by the notes of processes in the order
/// in which these began: what one wrote, a later one may have made durable.
fn open_writes(lives: &[Vec<u8>], lost: &mut Lost) -> Vec<(u64, u64, u64)> {
    let mut open = Vec::new();
    for (life, notes) in lives.iter().enumerate() {
        for record in notes.chunks_exact(40) {
            let numbers: Vec<u64> = record
                .chunks_exact(8)
                .map(|bytes| u64::from_le_bytes(bytes.try_into().expect("8 bytes")))
                .collect();
            let [kind, inode, off, len, number] = numbers[..] else { continue };
            if kind == 0 {
                lost.writes += 1;
                open.push((inode, off, len, (life, number)));
            } else {
                lost.syncs += 1;
                open.retain(|(of, _, _, number)| *of != inode || *number >= (life, off));
            }
        }
    }
    open.into_iter().map(|(inode, off, len, _)| (inode, off, len)).collect()
}

/// The logs below a folder, by their inodes.
fn logs(dir: &Path, into: &mut BTreeMap<u64, PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        let Ok(data) = entry.metadata() else { continue };
        if data.is_dir() {
            logs(&path, into);
        } else if path.extension().is_some_and(|end| end == "raftlog" || end == "rewrite") {
            into.insert(data.ino(), path);
        }
    }
}

#[test]
fn what_no_sync_followed_is_lost_and_nothing_else() {
    let notes = |records: &[[u64; 5]]| -> Vec<u8> {
        records.iter().flatten().flat_map(|number| number.to_le_bytes()).collect()
    };
    let first = notes(&[[0, 7, 0, 10, 0], [0, 8, 0, 5, 1], [1, 7, 1, 0, 2], [0, 7, 10, 4, 3]]);
    let mut lost = Lost::default();
    let open = open_writes(std::slice::from_ref(&first), &mut lost);
    assert_eq!(open, [(8, 0, 5), (7, 10, 4)]);
    assert_eq!((lost.writes, lost.syncs), (3, 1));
    let second = notes(&[[0, 7, 14, 4, 0], [1, 7, 0, 0, 1]]);
    assert_eq!(open_writes(&[first, second], &mut lost), [(8, 0, 5), (7, 14, 4)]);
}
