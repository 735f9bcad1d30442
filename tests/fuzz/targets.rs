//! What is fed: each reader of bytes from outside as a function that takes any, gives an error's
//! text for those it refuses, and must neither panic nor allocate without bound. The fuzzing
//! targets and the tests share them.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use faasm::config::{ClusterConfig, Options};
use faasm::consensus::fuzzing as consensus;
use faasm::id::{BlobHash, ClusterId, NodeId};
use faasm::net::{CertName, fuzzing as net};
use faasm::wire::blobs::{BlobBulk, BulkReply, Have, Lacking};
use faasm::wire::calls::{CallBulk, CallMessage, CallReply, CallRequest};
use faasm::wire::consensus::{Answer, Message, Request};
use faasm::wire::hello::{Hello, PREFIX_LEN};
use faasm::wire::load::Report;
use faasm::wire::mpi::{MpiMessage, MpiPull};
use faasm::wire::{decode, encode};

/// Taken, or refused with this text.
pub type Verdict = Result<(), String>;

/// Reads an archive and, if it is one, writes and reads it again: what was taken must be whole.
macro_rules! archive {
    ($what:ty, $bytes:expr) => {{
        let read: $what = decode("message", $bytes).map_err(|error| error.to_string())?;
        let again: $what = decode("message", &encode(&read)).expect("what was written is read");
        assert!(again == read, "{read:?} became {again:?}");
    }};
}

/// The head of a message: which kind is in the first byte, which stands where the service and the
/// kind of frame do on a connection.
pub fn message(kind: u8, head: &[u8]) -> Verdict {
    match kind % 14 {
        0 => archive!(Message, head),
        1 => archive!(Request, head),
        2 => archive!(CallMessage, head),
        3 => archive!(CallRequest, head),
        4 => archive!(CallReply, head),
        5 => archive!(CallBulk, head),
        6 => archive!(BlobBulk, head),
        7 => archive!(BulkReply, head),
        8 => archive!(Have, head),
        9 => archive!(Lacking, head),
        10 => archive!(Report, head),
        12 => archive!(MpiMessage, head),
        13 => archive!(MpiPull, head),
        _ => archive!(Answer, head),
    }
    Ok(())
}

/// A stream: the service, the size of the pieces it comes in, and its bytes.
pub fn frames(input: &[u8]) -> Verdict {
    let [service, step, stream @ ..] = input else { return Err("too short".to_owned()) };
    net::frames(stream, usize::from(*step), |kind, head, _body| match (service % 3, kind) {
        (_, 4) => Ok(()),
        (0, 1) => message(0, head),
        (0, 2) => message(1, head),
        (0, _) => message(11, head),
        (1, 1) => message(2, head),
        (1, 2) => message(3, head),
        (1, _) => message(4, head),
        (_, 1) => message(12, head),
        (_, 3) => message(9, head),
        _ => message(8, head),
    })
}

/// A message by itself: the first byte says which.
pub fn messages(input: &[u8]) -> Verdict {
    let [kind, head @ ..] = input else { return Err("too short".to_owned()) };
    message(*kind, head)
}

/// A hello.
pub fn hello(input: &[u8]) -> Verdict {
    let (prefix, rest) = input.split_first_chunk::<PREFIX_LEN>().ok_or("too short")?;
    let len = Hello::rest_len(prefix).map_err(|error| error.to_string())?;
    let rest = rest.get(..len).ok_or("cut")?;
    Hello::decode_rest(rest).map(drop).map_err(|error| error.to_string())
}

/// A certificate, in DER.
pub fn certificate(input: &[u8]) -> Verdict {
    CertName::of(&input.into()).map(drop).map_err(|error| error.to_string())
}

/// What a Raft member is sent by a peer: the first byte chooses a follower or a leader; then
/// messages, each behind its length in two bytes and a byte that says whether it is a Raft message
/// in itself, or a message of the service.
pub fn raft(input: &[u8]) -> Verdict {
    let [role, rest @ ..] = input else { return Err("too short".to_owned()) };
    let mut member = match role % 2 {
        0 => consensus::Member::new()?,
        _ => consensus::Member::leading()?,
    };
    let mut rest = rest;
    while let [low, high, kind, after @ ..] = rest {
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (one, others) = after.split_at(len);
        match kind % 3 {
            0 => member.raft(one)?,
            1 => member.take(one, Bytes::new())?,
            _ => member.tick()?,
        }
        rest = others;
    }
    Ok(())
}

/// The bytes of one HTTP connection.
pub fn http(input: &[u8]) -> Verdict {
    thread_local! {
        static SERVER: (tokio::runtime::Runtime, faasm::gateway::fuzzing::Readers) = (
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"),
            Default::default(),
        );
    }
    SERVER.with(|(runtime, readers)| {
        let answer = runtime.block_on(readers.serve(input));
        assert_eq!(readers.held(), 0, "a request that is over holds bytes of bodies");
        let text = String::from_utf8_lossy(&answer).into_owned();
        match text.contains(" 200 OK\r\n") {
            true => Ok(()),
            false if text.is_empty() => Err("no answer".to_owned()),
            false => Err(text),
        }
    })
}

/// A folder of this thread, on a file system in memory where there is one.
fn scratch<T>(work: impl FnOnce(&Path) -> T) -> T {
    thread_local! {
        static DIR: tempfile::TempDir = {
            let shm = Path::new("/dev/shm");
            let dir = if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() };
            dir.expect("a folder")
        };
    }
    DIR.with(|dir| work(dir.path()))
}

fn in_file(name: &str, input: &[u8], read: impl FnOnce(&Path) -> Verdict) -> Verdict {
    scratch(|dir| {
        let path = dir.join(name);
        fs::write(&path, input).expect("a file");
        read(&path)
    })
}

/// A cluster file.
pub fn cluster_file(input: &[u8]) -> Verdict {
    in_file("cluster.toml", input, |path| {
        ClusterConfig::load(path).map(drop).map_err(|error| error.to_string())
    })
}

/// An options file.
pub fn options_file(input: &[u8]) -> Verdict {
    in_file("options.toml", input, |path| {
        Options::load(path).map(drop).map_err(|error| error.to_string())
    })
}

/// The file that counts a node's starts.
pub fn identity_file(input: &[u8]) -> Verdict {
    in_file("identity.json", input, |path| {
        let dir = path.parent().expect("a folder");
        faasm::consensus::identity::load_and_bump(dir, NodeId(1), ClusterId(1))
            .map(drop)
            .map_err(|error| error.to_string())
    })
}

/// A log entry.
pub fn log_entry(input: &[u8]) -> Verdict {
    consensus::read_entry(input)
}

/// An image of the state, as a snapshot holds it.
pub fn image(input: &[u8]) -> Verdict {
    consensus::read_image(input)
}

/// A snapshot file: all of it.
pub fn snapshot_file(input: &[u8]) -> Verdict {
    scratch(|dir| {
        consensus::write_snapshot_file(dir, b"").expect("a file to replace");
        let file = fs::read_dir(dir).expect("the folder").flatten().map(|entry| entry.path());
        let mut file = file.filter(|path| path.to_string_lossy().contains("snapshot-"));
        fs::write(file.next().expect("the file"), input).expect("it is replaced");
        consensus::read_snapshot_file(dir)
    })
}

/// A blob's file, under the name of a blob.
pub fn blob_file(input: &[u8]) -> Verdict {
    let blob = faasm::files::fuzzing::open(&BlobHash::of(BLOB), input.to_vec())?;
    assert_eq!(blob, BLOB, "bytes that are not those of the hash");
    Ok(())
}

/// The blob that [`blob_file`] wants.
pub const BLOB: &[u8] = b"a blob of some bytes";
