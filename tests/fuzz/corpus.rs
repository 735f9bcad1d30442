//! Valid inputs, made of real messages, of which malformed ones are made.

use faasm::consensus::fuzzing as consensus;
use faasm::errno::{CallError, Errno};
use faasm::files::fuzzing as files;
use faasm::id::{Attempt, BlobHash, CallId, ClusterId, Incarnation, NodeId};
use faasm::net::{CertificateAuthority, fuzzing as net};
use faasm::wire::blobs::{BlobBulk, BulkReply, Have, Lacking};
use faasm::wire::calls::{
    CallBulk, CallMessage, CallReply, CallRequest, CallSummary, Done, Entry, Kept, KeptAt, Phase,
    Record, Room, Start, Times, TreeContext, Work,
};
use faasm::wire::consensus::{
    Answer, Command, Message, Part, Proposal, Renewal, Request, RequestId, SessionId,
};
use faasm::wire::function::{FunctionEntry, Limits, Options, Policy};
use faasm::wire::hello::Hello;
use faasm::wire::jobs::{Aborted, JobRecord, RankEnd, RankSummary, Reserve, Sent, Traffic};
use faasm::wire::load::{Load, Report, Rumor};
use faasm::wire::members::{KeyHash, MemberCommand, TokenHash};
use faasm::wire::mpi::{Mark, MpiMessage, MpiPull, MpiTold, Route, Seat, WorldId};
use faasm::wire::users::UserCommand;
use faasm::wire::{Encode, encode};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

const NODE: NodeId = NodeId(2);
const CALL: CallId = CallId(0x0123_4567_89ab_cdef);
const TIMES: Times = Times { accepted_us: 1_000, started_us: 2_000, ended_us: 3_000 };
const RUMOR: Rumor = Rumor {
    node: 4,
    incarnation: 1,
    age_ms: 120,
    free_slots: 3,
    free_places: 900,
    running: 5,
    accepting: true,
    tags: [1, 2, 0, 0],
};
const ROOM: Room = Room { free_slots: 4, free_places: 100, running: 1 };

fn bytes<T: Encode>(message: &T) -> Vec<u8> {
    encode(message).to_vec()
}

/// A start with an input of so many bytes.
pub fn start(input_len: u64) -> Start {
    Start {
        call: CALL,
        attempt: Attempt(0),
        user: "alice".into(),
        name: "wordcount".into(),
        version: 17,
        wasm: BlobHash::of(b"module"),
        limits: Limits::default(),
        input_len,
        entry: Entry::Table(3),
        args: vec!["one".into(), "an argument that is stored out of line".into()],
        tree: TreeContext { root: CALL, home: NODE, left_ms: 5_000, depth: 1, trace: 7, clock: 99 },
        above: vec![CALL],
        may_queue: true,
        seat: None,
    }
}

fn seat() -> Seat {
    Seat { world: CALL, epoch: 1, rank: 2, nodes: vec![NODE; 4] }
}

fn reserve() -> Reserve {
    let (user, name) = ("alice".into(), "jacobi".into());
    Reserve { world: CALL, ticket: 17, user, name, ranks: 4, instances: 100 }
}

/// The end of a call, its output inline.
pub fn done(output: u64) -> Done {
    let work =
        vec![Work { node: NODE, function: "wordcount_map".into(), calls: 3, busy_us: 40 }; 3];
    Done {
        call: CALL,
        attempt: Attempt(0),
        result: Err(CallError::new(Errno::Failed, "it stopped at an unreachable instruction")),
        output: Kept::Inline(output),
        log: Kept::At(KeptAt {
            node: NODE,
            incarnation: Incarnation(1),
            attempt: Attempt(0),
            len: 100_000,
        }),
        times: TIMES,
        work,
        clock: 100,
        room: ROOM,
        rank: Some(rank_end()),
    }
}

fn rank_end() -> RankEnd {
    let sent = vec![Sent { to: 1, messages: 2, bytes: 3 }];
    let aborted = Some(Aborted { code: Some(-1), why: "rank 1 called MPI_Abort".into() });
    RankEnd { begun: true, finalized: false, aborted, sent }
}

fn job() -> JobRecord {
    JobRecord {
        ranks: 4,
        epoch: 1,
        note: "rank 2 on n2 called MPI_Abort with 3".into(),
        nodes: vec![(NODE, 4)],
        traffic: vec![Traffic { from: 0, to: 1, messages: 2, bytes: 3 }],
        by_node: false,
    }
}

/// A record.
pub fn record() -> Record {
    let Done { result, work, times, log, .. } = done(0);
    Record {
        call: CALL,
        user: "alice".into(),
        name: "wordcount".into(),
        parent: Some(CallId(5)),
        home: NODE,
        home_incarnation: Incarnation(1),
        home_session: 3,
        node: Some(NodeId(3)),
        attempt: Attempt(1),
        phase: Phase::Done,
        result: Some(result),
        output: Kept::Inline(0),
        log,
        times,
        requested_us: 900,
        work,
        trace: 7,
        job: Some(job()),
    }
}

fn summary() -> CallSummary {
    CallSummary {
        call: CALL,
        root: CALL,
        user: "alice".into(),
        name: "wordcount".into(),
        node: NODE,
        depth: 2,
        phase: Phase::Running,
        since_us: 1_000,
        note: "waits for 4 places".into(),
        rank: Some(RankSummary { rank: 1, messages: 2, bytes: 3 }),
    }
}

fn entry() -> FunctionEntry {
    let options = Options { policy: Policy::Spread, retries: 2, pin: vec![NODE, NodeId(3)] };
    FunctionEntry {
        wasm: BlobHash::of(b"module"),
        size: 6,
        version: 17,
        uploaded_ms: 1,
        limits: Limits::default(),
        options,
    }
}

/// One proposal of each kind.
pub fn proposals() -> Vec<Proposal> {
    let session = SessionId { node: NODE, incarnation: Incarnation(1), opened: 3 };
    let (wasm, artifact) = (BlobHash::of(b"module"), BlobHash::of(b"artifact"));
    let commands = [
        Command::OpenSession {
            node: NODE,
            incarnation: Incarnation(1),
            http: "127.0.0.1:8081".into(),
            key: Some(KeyHash([3; 32])),
            birth: 77,
        },
        Command::PutFunction { user: "alice".into(), name: "wordcount".into(), entry: entry() },
        Command::RecordArtifact { wasm, engine: 9, artifact },
        Command::DeleteFunction { user: "alice".into(), name: "an_unknown_function".into() },
        Command::ExpireSession { session },
        Command::Member(MemberCommand::Join {
            token: TokenHash::of("faasm_join"),
            key: KeyHash([4; 32]),
            quic: "10.0.0.4:7101".into(),
            http: "10.0.0.4:7001".into(),
            replaces: Some(NODE),
            now_ms: 1,
        }),
        Command::Member(MemberCommand::SetDraining { node: NODE, draining: true }),
        Command::User(UserCommand::Remove { name: "alice".into() }),
    ];
    let propose = |(number, command)| Proposal {
        id: RequestId { node: NODE, incarnation: Incarnation(1), number },
        command,
    };
    (1..).zip(commands).map(propose).collect()
}

/// The heads of messages; the place is the kind that `message` takes.
pub fn heads() -> [Vec<Vec<u8>>; 14] {
    let session = SessionId { node: NODE, incarnation: Incarnation(1), opened: 3 };
    let renewal = Renewal { session, number: 4, applied: 20 };
    let hashes: Vec<_> = (0..9_u8).map(|n| BlobHash::of(&[n])).collect();
    [
        vec![
            bytes(&Message::Raft(Part { message: 1, part: 0, parts: 2 })),
            bytes(&Message::Propose(proposals())),
            bytes(&Message::Renew(renewal)),
            bytes(&Message::Renewed { session, number: 4 }),
        ],
        vec![bytes(&Request::WaitApplied { index: 5, wait_ms: 10 })],
        vec![
            bytes(&CallMessage::Start(start(4))),
            bytes(&CallMessage::Accepted(CALL, Attempt(0), ROOM)),
            bytes(&CallMessage::Refused(
                CALL,
                Attempt(0),
                CallError::new(Errno::Full, "the node has no slot free"),
                ROOM,
            )),
            bytes(&CallMessage::Done(done(4))),
            bytes(&CallMessage::Cancel(CALL, Attempt(0))),
            bytes(&CallMessage::CancelTree(CALL)),
            bytes(&CallMessage::CancelBelow(CALL)),
            bytes(&CallMessage::Keep(Box::new(record()))),
            bytes(&CallMessage::Involved(CALL)),
            bytes(&CallMessage::Start(Start { seat: Some((seat(), 17)), ..start(4) })),
            bytes(&CallMessage::Printed(CALL, 3)),
            bytes(&CallMessage::Tolerates(CALL, 3)),
            bytes(&CallMessage::Release(CALL, 17)),
        ],
        vec![
            bytes(&CallRequest::Claim(Box::new(record()))),
            bytes(&CallRequest::Prepare(7, Box::new(record()))),
            bytes(&CallRequest::Accept(1, Box::new(record()))),
            bytes(&CallRequest::Lookup(CALL)),
            bytes(&CallRequest::Cancel(CALL)),
            bytes(&CallRequest::List(100)),
            bytes(&CallRequest::Reserve(reserve())),
            bytes(&CallRequest::Follow(CALL, 9)),
        ],
        vec![
            bytes(&CallReply::Done),
            bytes(&CallReply::NoRoom(ROOM)),
            bytes(&CallReply::Text(true)),
            bytes(&CallReply::Record(Box::new(record()))),
            bytes(&CallReply::Accepted(1, Box::new(record()))),
            bytes(&CallReply::Calls(vec![summary(); 4])),
        ],
        vec![
            bytes(&CallBulk::Start(Box::new(start(100_000)))),
            bytes(&CallBulk::Output(CALL, Attempt(0))),
        ],
        vec![
            bytes(&BlobBulk::Fetch(BlobHash::of(b"x"))),
            bytes(&BlobBulk::Store(BlobHash::of(b"x"), 1 << 20)),
        ],
        vec![bytes(&BulkReply::Found(7)), bytes(&BulkReply::refused("the disk is full, it says"))],
        vec![bytes(&Have(hashes.clone()))],
        vec![bytes(&Lacking(hashes))],
        vec![bytes(&Report {
            own: Load { seq: 5, room: ROOM, modules: vec![1, 2, 3], ..Load::default() },
            rumors: vec![RUMOR],
        })],
        vec![bytes(&Answer::Applied(9))],
        mpi().iter().map(bytes).collect(),
        vec![bytes(&MpiPull { world: WORLD, route: ROUTE, number: 7, most: 1 << 20 })],
    ]
}

const WORLD: WorldId = WorldId { world: CALL, epoch: 1 };
const ROUTE: Route = Route { from: 0, to: 1 };

fn mpi() -> Vec<MpiMessage> {
    let mark = Mark { context: 4, source: 0, tag: 9 };
    [
        MpiTold::Eager(ROUTE, mark, 3),
        MpiTold::Ask(ROUTE, mark, 1 << 20, 4),
        MpiTold::Taken(ROUTE, 3),
        MpiTold::Credit(ROUTE, 4096),
        MpiTold::Cancelled(ROUTE, 4),
        MpiTold::Ended(1, true),
        MpiTold::Abort(5, "rank 0 called MPI_Abort with 5".to_owned()),
        MpiTold::Revoke(8),
        MpiTold::Absent,
    ]
    .map(|what| MpiMessage { world: WORLD, what })
    .into()
}

/// For the target `messages`.
pub fn messages() -> Vec<Vec<u8>> {
    let kinds = (0..).zip(heads());
    kinds
        .flat_map(|(kind, heads)| heads.into_iter().map(move |h| [&[kind], &h[..]].concat()))
        .collect()
}

/// For the target `frames`.
pub fn frames() -> Vec<Vec<u8>> {
    let heads = heads();
    let services: [&[(u8, usize)]; 3] =
        [&[(1, 0), (2, 1), (3, 11)], &[(1, 2), (2, 3), (3, 4)], &[(2, 8), (3, 9)]];
    let mut out = Vec::new();
    for (service, kinds) in (0_u8..).zip(services) {
        for step in [1, 7, 255] {
            let mut stream = vec![service, step];
            for (kind, of) in kinds {
                for head in &heads[*of] {
                    let id = u64::from(*kind != 1);
                    stream.extend(net::frame(*kind, id, head, b"body").expect("short parts"));
                }
            }
            stream.extend(net::frame(4, 1, b"why not", b"").expect("short parts"));
            out.push(stream);
        }
    }
    out
}

/// For the target `hello`.
pub fn hellos() -> Vec<Vec<u8>> {
    let hello = Hello::new(ClusterId(77), NODE, Incarnation(3)).encode();
    let mut longer = hello.clone();
    longer[8] += 3;
    longer.extend_from_slice(b"new");
    vec![hello, longer]
}

/// For the target `certificate`.
pub fn certificates() -> Vec<Vec<u8>> {
    let authority = CertificateAuthority::create(ClusterId(77)).expect("an authority");
    let addrs = ["127.0.0.1".parse().expect("an address")];
    let node = authority.issue(NODE, &addrs).expect("a certificate");
    let der = CertificateDer::from_pem_slice(node.cert_pem.as_bytes());
    vec![der.expect("PEM").to_vec()]
}

/// For the target `cluster_file`.
pub fn cluster_files() -> Vec<Vec<u8>> {
    let local = include_bytes!("../../cluster/local.toml").to_vec();
    vec![local]
}

/// For the target `options_file`.
pub fn options_files() -> Vec<Vec<u8>> {
    let all = toml::to_string(&faasm::config::Options::default()).expect("TOML");
    vec![all.into_bytes(), b"[net]\nsilence = 3000\n\n[function]\nworkers = 2\n".to_vec()]
}

/// For the target `identity_file`.
pub fn identity_files() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().expect("a folder");
    let made = faasm::consensus::identity::load_and_bump(dir.path(), NodeId(1), ClusterId(1));
    made.expect("an identity");
    vec![std::fs::read(dir.path().join("identity.json")).expect("the file")]
}

/// For the target `log_entry`.
pub fn log_entries() -> Vec<Vec<u8>> {
    proposals().iter().map(consensus::entry).collect()
}

/// For the target `image`.
pub fn images() -> Vec<Vec<u8>> {
    vec![consensus::image(&log_entries()), consensus::image(&[])]
}

/// For the target `snapshot_file`.
pub fn snapshot_files() -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().expect("a folder");
    consensus::write_snapshot_file(dir.path(), &images()[0]).expect("a file");
    let file = std::fs::read_dir(dir.path()).expect("the folder").flatten().next();
    vec![std::fs::read(file.expect("the file").path()).expect("its bytes")]
}

/// For the target `blob_file`.
pub fn blob_files() -> Vec<Vec<u8>> {
    vec![files::file(b"a blob of some bytes")]
}

/// For the target `http`.
pub fn connections() -> Vec<Vec<u8>> {
    let texts = [
        "GET /v1/functions?user=alice HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "PUT /v1/functions/alice/f?memory=64MiB&run_time=10s&output=1MiB&log=1KiB&instances=5\
         &policy=spread&retries=2&pin=n1,2 HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n\
         \0asm\x01\0\0\0",
        "POST /v1/functions/alice/f/invoke?async&timeout=5s&arg=a%20b&arg=c+d&policy=locality\
         &node=2 HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k1\r\ntraceparent: \
         00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nContent-Length: 5\r\n\r\nhello",
        "POST /v1/functions/alice/f/invoke HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\
         Expect: 100-continue\r\n\r\n5\r\nhello\r\na;x=\"y\"\r\n, 10 bytes\r\n0\r\nTrailer: t\r\n\r\n",
        "GET /v1/calls/0123456789abcdef0123456789abcdef?wait=10s HTTP/1.1\r\nHost: x\r\n\r\n\
         GET /v1/calls?limit=10 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /v1/functions/alice/a%2Eb HTTP/1.0\r\n\r\n",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// For the target `module`: small ones that use most of what a module may have.
pub fn modules() -> Vec<Vec<u8>> {
    let texts = [
        r#"(module (memory (export "memory") 1) (func (export "_start")))"#,
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write"
                (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1 4)
            (table (export "__indirect_function_table") 4 funcref)
            (elem (i32.const 1) $one $start)
            (data (i32.const 8) "hello\0a")
            (global $g (mut i32) (i32.const 3))
            (func $one (param i32) (result i32) local.get 0 i32.const 1 i32.add)
            (func $start (export "_start") (local i32 i64 f64)
                (i32.store (i32.const 0) (i32.const 8))
                (i32.store (i32.const 4) (i32.const 6))
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))
                (loop $again
                    (local.set 0 (call $one (local.get 0)))
                    (br_if $again (i32.lt_u (local.get 0) (i32.const 100))))
                (drop (memory.grow (i32.const 1)))
                (global.set $g (i32.div_s (i32.const 7) (global.get $g)))))"#,
        r#"(module
            (memory (export "memory") 1)
            (func (export "main") (param i32 i32) (result i32) i32.const 0)
            (func (export "_initialize")))"#,
    ];
    texts.iter().map(|text| wat::parse_str(text).expect("a module")).collect()
}

/// For the target `raft`: what a member is sent, with ticks between.
pub fn raft() -> Vec<Vec<u8>> {
    let message = |kind: u8, bytes: &[u8]| {
        let len = u16::try_from(bytes.len()).expect("short").to_le_bytes();
        [&len[..], &[kind], bytes].concat()
    };
    let mut whole = Vec::new();
    for kind in super::raft::KINDS {
        whole.extend(message(0, &consensus::raft_bytes(&super::raft::usual(kind, 1, 1))));
        whole.extend(message(2, b""));
    }
    whole.extend(heads()[0].iter().flat_map(|head| message(1, head)));
    vec![[&[0], &whole[..]].concat(), [&[1], &whole[..]].concat()]
}
