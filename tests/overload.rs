//! One user with thousands of clients: it gets its share and clear refusals, another user keeps its
//! latency, the node's memory stays bounded, and all is well again when the clients are gone.
//!
//! `FAASM_OVERLOAD_CLIENTS=10000` sets the number of clients, `FAASM_OVERLOAD_SECONDS` how long they
//! stay, `FAASM_TEST_BIN` which binary runs the node.

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::people::{Person, Wire};
use common::processes::{PATIENCE, Processes, wait_for};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// What the clients were answered: statuses, and 0 for a connection that broke.
type Codes = Mutex<BTreeMap<u16, u64>>;

/// The clients of one user, until they are told to go.
struct Crowd {
    address: String,
    request: String,
    codes: Codes,
    /// Refusals that did not say when to come again.
    impolite: AtomicU64,
    over: AtomicBool,
}

impl Crowd {
    /// One client: asks again as soon as it is answered, or when a refusal says.
    async fn client(self: Arc<Self>) {
        while !self.over.load(Ordering::Acquire) {
            if self.connection().await.is_err() {
                *self.codes.lock().unwrap().entry(0).or_default() += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }

    /// Asks on one connection until it closes.
    async fn connection(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        while !self.over.load(Ordering::Acquire) {
            stream.write_all(self.request.as_bytes()).await?;
            let head = answer(&mut stream).await?;
            let status: u16 = head.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0);
            *self.codes.lock().unwrap().entry(status).or_default() += 1;
            if status != 200 {
                let wait = head.split("retry-after: ").nth(1).and_then(|rest| rest.lines().next());
                match wait.and_then(|seconds| seconds.parse().ok()) {
                    Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                    None => drop(self.impolite.fetch_add(1, Ordering::AcqRel)),
                }
            }
            if head.contains("connection: close") {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Reads a whole answer; gives its head in lower case.
async fn answer(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut text = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut text).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&text[..end]).to_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let length: usize = length.and_then(|text| text.parse().ok()).unwrap_or(0);
        while text.len() < end + 4 + length {
            if stream.read_buf(&mut text).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        return Ok(head);
    }
}

/// The latencies of another user's no-op while `goes_on`: on a connection that is kept, and on new
/// ones. Every single one must succeed.
fn latencies(bob: &Person<'_>, goes_on: &dyn Fn(usize) -> bool) -> Vec<Duration> {
    let mut kept = bob.connect(1);
    let mut took = Vec::new();
    while goes_on(took.len()) {
        let begun = Instant::now();
        let line = "POST /v1/functions/bob/echo/invoke";
        let (status, text) = match took.len() % 5 {
            0 => Wire::new(bob.cluster, 1, &bob.token).ask(line, "", b"x"),
            _ => kept.ask(line, "", b"x"),
        };
        assert_eq!((status, text.as_str()), (200, "x"), "bob is not touched by alice's clients");
        took.push(begun.elapsed());
    }
    took.sort();
    took
}

fn p99(took: &[Duration]) -> Duration {
    took[took.len() * 99 / 100]
}

/// Resident memory of the node, in MiB.
fn resident(cluster: &Processes) -> u64 {
    cluster.resident(1) >> 10
}

#[test]
fn one_users_clients_leave_the_others_their_latency_and_the_node_its_memory() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).expect("the limit of open files is raised");
    let clients = number("FAASM_OVERLOAD_CLIENTS", 2_000);
    let seconds = number("FAASM_OVERLOAD_SECONDS", 6) as u64;
    // As many as the node takes in all, so that alice alone could fill it.
    let options = format!("[gateway]\nrequests = {clients}\nconnections = {clients}\n");
    let cluster = Processes::with_options(1, &options);
    let (alice, bob) = (cluster.add_user("alice", &[]), cluster.add_user("bob", &[]));
    alice.must_upload("sleep");
    bob.must_upload("echo");

    let calm = |most: usize| latencies(&bob, &|count| count < most);
    let before = (p99(&calm(500)), resident(&cluster));
    let crowd = Arc::new(Crowd {
        address: cluster.base(1).trim_start_matches("http://").to_owned(),
        request: format!(
            "POST /v1/functions/alice/sleep/invoke?arg=2000 HTTP/1.1\r\nhost: n\r\nauthorization: \
             Bearer {}\r\ncontent-length: 0\r\n\r\n",
            alice.token
        ),
        codes: Mutex::default(),
        impolite: AtomicU64::new(0),
        over: AtomicBool::new(false),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    for _ in 0..clients {
        runtime.spawn(crowd.clone().client());
    }
    wait_for("alice is refused", PATIENCE, || crowd.codes.lock().unwrap().get(&429).copied());
    // All of them come in one rush, and this address may have so many connections and no more.
    let admin = cluster.admin();
    let token = format!("Bearer {}", admin.token);
    wait_for("those who are refused have gone", PATIENCE, || {
        let headers = [("authorization", token.as_str())];
        let text = cluster.try_ask_with(1, "GET /metrics", b"", &headers).ok()?.text();
        let open = text.lines().find_map(|line| line.strip_prefix("faasm_http_connections "));
        open?.parse().ok().filter(|open: &usize| *open < clients / 2)
    });
    let until = Instant::now() + Duration::from_secs(seconds);
    let took = latencies(&bob, &|_| Instant::now() < until);
    let during = (p99(&took), resident(&cluster));
    let text = admin.ask(1, "GET /metrics", b"").text();
    let live = text.lines().find_map(|line| line.strip_prefix("faasm_calls_live "));
    let live: usize = live.and_then(|live| live.parse().ok()).expect("a number");
    assert!(live <= clients / 5, "{live} calls of alice are alive, more than her share");
    crowd.over.store(true, Ordering::Release);
    runtime.shutdown_timeout(Duration::from_secs(5));
    // By itself: nothing is left of the crowd, and alice is served again.
    wait_for("nothing of the crowd is left", PATIENCE, || {
        let text = admin.ask(1, "GET /metrics", b"").text();
        let zero = |name: &str| text.lines().any(|line| line == format!("{name} 0"));
        (zero("faasm_instances") && zero("faasm_calls_live")).then_some(())
    });
    assert_eq!(alice.invoke(1, "sleep", "arg=1", b"").status, 200);
    let after = (p99(&calm(500)), resident(&cluster));

    let codes = crowd.codes.lock().unwrap().clone();
    let count = |status: u16| codes.get(&status).copied().unwrap_or(0);
    println!(
        "{clients} clients: p99 of the other user before, during ({} calls), after: {:?}, {:?}, \
         {:?}; p50 during {:?}; MiB resident: {}, {}, {}; answers (0: broken): {codes:?}",
        took.len(),
        before.0,
        during.0,
        after.0,
        took[took.len() / 2],
        before.1,
        during.1,
        after.1
    );
    assert!(count(200) > 0 && count(429) > 0, "{codes:?}");
    assert_eq!(count(500) + count(502) + count(504), 0, "{codes:?}");
    assert_eq!(crowd.impolite.load(Ordering::Acquire), 0, "a refusal says when to come again");
    // The goal is 25 ms on an idle machine; here it is told from waiting for alice's clients, each
    // of which takes two seconds.
    assert!(during.0 < Duration::from_millis(1_500), "p99 during the overload was {:?}", during.0);
    let per_client = (during.1.saturating_sub(before.1) << 10) / clients as u64;
    assert!(per_client < 200, "{per_client} KiB a client");
    assert!(after.1 < before.1 + 64 + ((clients as u64 * 64) >> 10), "{} MiB are kept", after.1);
}

/// Bytes that alice's calls may hold, half of the node's, and an output that is a half of that.
const HELD: u64 = 32 << 20;
const OUTPUT: u64 = 16 << 20;

/// Clients that hold what they can get, of each kind so many.
struct Odd {
    address: String,
    token: String,
    over: AtomicBool,
    /// Requests of clients that had closed their half, which count as gone: answered, or ended.
    halves: AtomicU64,
    /// Heads that were too long, and were refused.
    refused: AtomicU64,
    /// Outputs that nobody reads: sent, and refused.
    unread: [AtomicU64; 2],
}

impl Odd {
    async fn begin(&self, text: String) -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.write_all(text.as_bytes()).await?;
        Ok(stream)
    }

    fn head(&self, line: &str, length: usize) -> String {
        format!(
            "{line} HTTP/1.1\r\nhost: n\r\nauthorization: Bearer {}\r\ncontent-length: \
             {length}\r\n\r\n",
            self.token
        )
    }

    /// Sends some, and then a byte now and then.
    async fn slow(self: Arc<Self>, begin: String) -> std::io::Result<()> {
        let mut stream = self.begin(begin).await?;
        while !self.over.load(Ordering::Acquire) {
            stream.write_all(b"x").await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Sends headers without end.
    async fn long_head(self: Arc<Self>) -> std::io::Result<()> {
        while !self.over.load(Ordering::Acquire) {
            let mut stream = self.begin("GET /healthz HTTP/1.1\r\n".to_owned()).await?;
            let mut sent = Ok(());
            for _ in 0..100 {
                sent = stream.write_all(format!("x: {}\r\n", "y".repeat(10_000)).as_bytes()).await;
                if sent.is_err() {
                    break;
                }
            }
            let head = answer(&mut stream).await;
            if sent.is_err() || head.is_ok_and(|head| head.starts_with("http/1.1 431")) {
                self.refused.fetch_add(1, Ordering::AcqRel);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Closes its half behind a request.
    async fn half_closed(self: Arc<Self>) -> std::io::Result<()> {
        while !self.over.load(Ordering::Acquire) {
            let line = "POST /v1/functions/alice/sleep/invoke?arg=50";
            let mut stream = self.begin(self.head(line, 0)).await?;
            stream.shutdown().await?;
            let _ = answer(&mut stream).await;
            self.halves.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Asks for a large output, and reads its first line only.
    async fn reads_nothing(self: Arc<Self>) -> std::io::Result<()> {
        let line = format!("POST /v1/functions/alice/big_output/invoke?arg={OUTPUT}");
        let mut stream = self.begin(self.head(&line, 0)).await?;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await?;
        self.unread[usize::from(!status.ends_with(b"200"))].fetch_add(1, Ordering::AcqRel);
        while !self.over.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

#[test]
fn clients_that_are_slow_or_never_read_hold_up_nobody_and_little_memory() {
    let each = number("FAASM_ODD_CLIENTS", 4);
    let seconds = number("FAASM_OVERLOAD_SECONDS", 2) as u64;
    let options = format!("[calls]\nheld_bytes = {}\n", 2 * HELD);
    let cluster = Processes::with_options(1, &options);
    let (alice, bob) = (cluster.add_user("alice", &[]), cluster.add_user("bob", &[]));
    alice.must_upload("sleep");
    alice.must_upload("big_output");
    bob.must_upload("echo");
    let large = || alice.invoke(1, "big_output", &format!("arg={OUTPUT}"), b"").status;
    assert_eq!(large(), 200);
    let before = resident(&cluster);
    let odd = Arc::new(Odd {
        address: cluster.base(1).trim_start_matches("http://").to_owned(),
        token: alice.token.clone(),
        over: AtomicBool::new(false),
        halves: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        unread: [AtomicU64::new(0), AtomicU64::new(0)],
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let upload = odd.head("PUT /v1/functions/alice/never", 1 << 20);
    for _ in 0..each {
        runtime.spawn(odd.clone().slow("GET /healthz HTTP/1.1\r\nx: ".to_owned()));
        runtime.spawn(odd.clone().slow(upload.clone()));
        runtime.spawn(odd.clone().long_head());
        runtime.spawn(odd.clone().half_closed());
        runtime.spawn(odd.clone().reads_nothing());
    }
    let unread = |which: usize| odd.unread[which].load(Ordering::Acquire);
    wait_for("all were answered that do not read", PATIENCE, || {
        (unread(0) + unread(1) == each as u64).then_some(())
    });
    let until = Instant::now() + Duration::from_secs(seconds);
    let took = latencies(&bob, &|_| Instant::now() < until);
    let during = resident(&cluster);
    odd.over.store(true, Ordering::Release);
    runtime.shutdown_timeout(Duration::from_secs(5));
    let refused = odd.refused.load(Ordering::Acquire);
    let halves = odd.halves.load(Ordering::Acquire);
    println!(
        "{each} clients of each kind: p99 of the other user {:?} ({} calls); MiB resident {before}, \
         {during}; {halves} half-closed over, {refused} long heads refused; unread: {} sent, \
         {} refused",
        p99(&took),
        took.len(),
        unread(0),
        unread(1)
    );
    // Of few calls one may be slow for the machine's other work.
    let median = took[took.len() / 2];
    assert!(median < Duration::from_millis(500), "median of the other user {median:?}");
    assert!(halves > 0 && refused > 0, "{halves} half-closed over, {refused} refused");
    assert!(unread(0) > 0 && unread(0) <= HELD / OUTPUT, "{} outputs wait for readers", unread(0));
    let admin = cluster.admin();
    wait_for("none of their calls is left", PATIENCE, || {
        let text = admin.ask(1, "GET /metrics", b"").text();
        text.lines().any(|line| line == "faasm_calls_live 0").then_some(())
    });
    // What has been read, or given up, counts no more.
    wait_for("a large output is sent again", PATIENCE, || (large() == 200).then_some(()));
}
