//! Streams over an owner in memory that keeps old versions, and answers in parts.

use super::*;
use crate::state::fake::Owner;

fn door(owner: &Arc<Owner>) -> Door {
    Door::new(owner.clone(), StateKey { user: "alice".into(), key: "k".into() })
}

async fn write(owner: &Arc<Owner>, bytes: &[u8]) -> Written {
    let mut writer = Writer::new(door(owner), 0);
    for piece in bytes.chunks(MAX_PIECE) {
        writer.piece(Bytes::copy_from_slice(piece), ()).await.unwrap();
    }
    assert_eq!(writer.taken(), bytes.len() as u64);
    writer.commit(Commit { replace: true, only: Only::Any }).await.unwrap()
}

async fn read(owner: &Arc<Owner>, range: Extent) -> Result<Vec<u8>, StateError> {
    let door = door(owner);
    let first = door.first(range).await?;
    let end = range.off.saturating_add(range.len).min(first.len);
    let range = Extent { off: range.off, len: end.saturating_sub(range.off) };
    let mut got = first.bytes.to_vec();
    let mut rest = door.rest(range, got.len() as u64, first.version);
    while let Some(piece) = rest.next().await {
        got.extend_from_slice(&piece?);
    }
    Ok(got)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 4096) as u8).collect()
}

#[tokio::test]
async fn what_is_written_is_read_in_any_range() {
    let owner = Owner::new();
    let whole = pattern(5 * MAX_PIECE + 12_345);
    let len = whole.len() as u64;
    write(&owner, &whole).await;
    for (off, len) in [
        (0, len),
        (0, u64::MAX),
        (1, len - 1),
        (4095, 2),
        (MAX_PIECE as u64 - 1, 2 * MAX_PIECE as u64),
        (len - 1, 1),
        (len - 1, 100),
        (len, 5),
        (7, 0),
    ] {
        let got = read(&owner, Extent { off, len }).await.unwrap();
        let (from, to) = (off as usize, off.saturating_add(len).min(whole.len() as u64) as usize);
        assert!(got == whole[from..to], "{off} + {len}: {} bytes", got.len());
    }
}

#[tokio::test]
async fn an_owner_that_answers_in_parts_is_asked_again() {
    let owner = Owner::new();
    let whole = pattern(3 * MAX_PIECE);
    write(&owner, &whole).await;
    owner.most_chunks(3);
    assert!(read(&owner, Extent { off: 5000, len: u64::MAX }).await.unwrap() == whole[5000..]);
}

#[tokio::test]
async fn a_reader_sees_one_version_or_is_told_that_it_is_gone() {
    let owner = Owner::new();
    let old = pattern(8 * MAX_PIECE);
    write(&owner, &old).await;
    let door = door(&owner);
    let range = Extent { off: 0, len: old.len() as u64 };
    let first = door.first(range).await.unwrap();
    write(&owner, &vec![9; 8 * MAX_PIECE]).await;
    let mut got = first.bytes.to_vec();
    let mut rest = door.rest(range, got.len() as u64, first.version);
    while let Some(piece) = rest.next().await {
        got.extend_from_slice(&piece.unwrap());
    }
    assert!(got == old);

    let first = door.first(range).await.unwrap();
    let mut rest = door.rest(range, first.bytes.len() as u64, first.version);
    write(&owner, b"new").await;
    owner.forget_old();
    assert_eq!(rest.next().await, Some(Err(StateError::Refused(Refusal::Again))));
    assert_eq!(rest.next().await, None);
}

#[tokio::test]
async fn few_pieces_are_under_way_however_large_the_value() {
    let owner = Owner::new();
    let whole = pattern(20 * MAX_PIECE);
    write(&owner, &whole).await;
    read(&owner, Extent { off: 0, len: u64::MAX }).await.unwrap();
    let most = owner.most_under_way();
    assert!((2..=AHEAD).contains(&most), "{most} at once");
}

#[tokio::test]
async fn nothing_is_seen_before_the_commit_and_a_condition_holds_at_the_commit() {
    let owner = Owner::new();
    let was = write(&owner, b"old").await;
    let mut writer = Writer::new(door(&owner), 0);
    for piece in pattern(3 * MAX_PIECE).chunks(MAX_PIECE) {
        writer.piece(Bytes::copy_from_slice(piece), ()).await.unwrap();
    }
    assert_eq!(read(&owner, Extent { off: 0, len: 10 }).await.unwrap(), b"old");
    let now = write(&owner, b"other").await;
    let commit = Commit { replace: true, only: Only::Version(was.version) };
    let refused = writer.commit(commit).await.unwrap_err();
    assert_eq!(refused, StateError::Refused(Refusal::Mismatch(Some(now.version))));
    assert_eq!(read(&owner, Extent { off: 0, len: 10 }).await.unwrap(), b"other");
}

#[tokio::test]
async fn bytes_inside_a_value_leave_the_rest() {
    let owner = Owner::new();
    write(&owner, &[1; 10_000]).await;
    let mut writer = Writer::new(door(&owner), 4000);
    writer.piece(Bytes::from_static(b"xyz"), ()).await.unwrap();
    let commit = Commit { replace: false, only: Only::Exists };
    assert_eq!(writer.commit(commit).await.unwrap().len, 10_000);
    let got = read(&owner, Extent { off: 3999, len: 5 }).await.unwrap();
    assert_eq!(got, b"\x01xyz\x01");
}

#[test]
fn answers_that_lack_what_they_promise_are_errors() {
    let version = Version { generation: 1, seq: 1 };
    let extents = vec![Extent { off: 4096, len: 4096 }];
    let pulled = Pulled { version, len: 10_000, extents, done: 8192 };
    let bytes = Bytes::from(vec![1; 4096]);
    assert_eq!(cut(&pulled, &bytes, Extent { off: 5000, len: 10 }).unwrap().len(), 10);
    assert!(cut(&pulled, &bytes, Extent { off: 0, len: 10 }).is_err());
    assert!(cut(&pulled, &bytes.slice(..100), Extent { off: 5000, len: 10 }).is_err());
    let mad = Pulled { extents: vec![Extent { off: u64::MAX, len: 9 }], ..pulled };
    assert!(cut(&mad, &bytes, Extent { off: 5000, len: 10 }).is_err());
}
