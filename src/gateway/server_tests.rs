use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::routing::{get, post};
use tokio::sync::Notify;

use super::*;
use crate::config::GatewayOptions;
use crate::gateway::access::Door;
use crate::gateway::body;
use crate::gateway::body::Budget;

/// Short enough for a test to wait out, long enough not to strike a loaded machine by chance.
const SHORT: Duration = Duration::from_millis(300);

async fn start(router: Router, connections: usize, patience: Patience) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = GatewayOptions { requests: 100, ..Default::default() };
    let front = Front::new(router, Arc::new(Door::unguarded()), &options);
    let bounds = Bounds { all: connections, address: connections };
    Server::start(listener, front, bounds, None, patience).unwrap()
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.local_addr()).await.unwrap()
}

/// Sends `text`, and reads until the server closes.
async fn exchange(stream: &mut TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(20), reading)
        .await
        .expect("waited for the server to close")
        .unwrap();
    answer
}

/// Waits until a server takes no new connections.
async fn until_closed(address: SocketAddr) {
    let takes = async || {
        let connected = tokio::time::timeout(SHORT / 6, TcpStream::connect(address)).await;
        connected.is_ok_and(|connected| connected.is_ok())
    };
    while takes().await {}
}

/// Tells when it is dropped.
struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn a_client_that_goes_away_drops_its_request() {
    let (entered, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inside, gone) = (entered.clone(), dropped.clone());
    let hold = move || async move {
        let _guard = Dropped(gone);
        inside.notify_one();
        std::future::pending::<()>().await;
    };
    let router = Router::new().route("/wait", post(hold));
    let server = start(router, 10, Patience::default()).await;
    let mut client = connect(&server).await;
    client
        .write_all(b"POST /wait HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi")
        .await
        .unwrap();
    entered.notified().await;
    drop(client);
    let told = tokio::time::timeout(Duration::from_secs(10), dropped.notified()).await;
    assert!(told.is_ok(), "the handler outlived its client");
    server.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let router = Router::new().route("/", get(|| async { "yes" }));
    let server = start(router, 10, Patience::default()).await;
    let mut client = connect(&server).await;
    let twice =
        "GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = exchange(&mut client, twice).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    server.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_as_json() {
    let router = Router::new().route("/", get(|| async { "yes" }));
    let server = start(router, 1, Patience::default()).await;
    let mut first = connect(&server).await;
    // An answer proves that the first has its place.
    first.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let mut second = connect(&server).await;
    let answer = exchange(&mut second, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("FAASM_EFULL") && answer.contains("retry-after"), "{answer}");
    server.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_head_that_does_not_come_is_a_408_and_an_idle_connection_just_closes() {
    let patience = Patience { head: SHORT, ..Patience::default() };
    let router = Router::new().route("/", get(|| async { "yes" }));
    let server = start(router, 10, patience).await;
    let answer = exchange(&mut connect(&server).await, "GET / HTTP/1.1\r\nhos").await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("FAASM_ETIMEDOUT"), "{answer}");
    let answer = exchange(&mut connect(&server).await, "").await;
    assert_eq!(answer, "");
    server.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_refused_upload_still_reads_its_error() {
    const SENT: usize = 8 << 20;
    let refuse = |request: axum::extract::Request| async move {
        let error = body::read(request.into_body(), 10, &Budget::new(100)).await;
        error.map(|_| ())
    };
    let router = Router::new().route("/", post(refuse));
    let server = start(router, 10, Patience::default()).await;
    let mut client = connect(&server).await;
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {SENT}\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&vec![0; SENT]).await.unwrap();
    let answer = exchange(&mut client, "").await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("FAASM_ETOOBIG"), "{answer}");
    server.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_head_past_all_limits_is_refused() {
    let server = start(Router::new(), 10, Patience::default()).await;
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(MAX_HEAD + 1000));
    let answer = exchange(&mut connect(&server).await, &head).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    server.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_first_request_that_is_on_its_way_when_the_server_stops_is_answered() {
    let router = Router::new().route("/", get(async || "done"));
    let server = start(router, 10, Patience::default()).await;
    let address = server.local_addr();
    let mut late = connect(&server).await;
    let stopping = tokio::spawn(server.stop(SHORT * 5));
    until_closed(address).await;
    let answer = exchange(&mut late, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.ends_with("done"), "{answer}");
    stopping.await.unwrap();
}

#[tokio::test]
async fn stopping_lets_requests_end_and_answers_for_those_that_do_not() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let done = Arc::new(AtomicBool::new(false));
    let (inside, wait, finished) = (entered.clone(), release.clone(), done.clone());
    let hold = move || async move {
        inside.notify_one();
        wait.notified().await;
        finished.store(true, Ordering::Relaxed);
        "done"
    };
    let never = get(std::future::pending::<()>).post(std::future::pending::<()>);
    let router = Router::new().route("/hold", get(hold)).route("/never", never);
    let server = start(router, 10, Patience::default()).await;
    let mut held = connect(&server).await;
    held.write_all(b"GET /hold HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    entered.notified().await;
    let address = server.local_addr();
    let (mut read, mut written) = (connect(&server).await, connect(&server).await);
    read.write_all(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let stopping = tokio::spawn(server.stop(SHORT * 5));
    until_closed(address).await;
    // Its first request was on its way.
    written
        .write_all(b"POST /never HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    release.notify_one();
    assert!(exchange(&mut held, "").await.ends_with("done"));
    let answer = exchange(&mut read, "").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("EUNAVAILABLE"), "{answer}");
    let answer = exchange(&mut written, "").await;
    assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("EHOSTLOST"), "{answer}");
    stopping.await.unwrap();
    assert!(done.load(Ordering::Relaxed));
}

#[tokio::test]
async fn stopping_closes_idle_connections_while_requests_are_under_way() {
    let router = Router::new()
        .route("/", get(async || "yes"))
        .route("/never", get(std::future::pending::<()>));
    let server = start(router, 10, Patience::default()).await;
    let (mut idle, mut never) = (connect(&server).await, connect(&server).await);
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    never.write_all(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let stopping = tokio::spawn(server.stop(Duration::from_secs(60)));
    assert!(exchange(&mut idle, "").await.ends_with("yes"));
    assert!(!stopping.is_finished());
    drop(never);
    stopping.await.unwrap();
}

/// Asks on one connection after the other, as fast as it can, until the server listens no more.
/// How many were answered; an error is one of a connection that was made.
fn ask_until_refused(address: SocketAddr) -> io::Result<usize> {
    for answered in 0.. {
        let mut stream = match std::net::TcpStream::connect(address) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(answered),
            connected => connected?,
        };
        io::Write::write_all(&mut stream, b"GET / HTTP/1.0\r\nhost: x\r\n\r\n")?;
        let mut answer = String::new();
        io::Read::read_to_string(&mut stream, &mut answer)?;
        if !answer.ends_with("done") {
            return Err(io::Error::other(format!("not answered: {answer:?}")));
        }
    }
    Ok(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stopping_resets_no_connection_that_a_client_could_make() {
    const SERVERS: usize = 30;
    const CLIENTS: usize = 4;
    let (mut servers, mut clients) = (Vec::new(), Vec::new());
    for _ in 0..SERVERS {
        let router = Router::new().route("/", get(async || "done"));
        let server = start(router, 1000, Patience::default()).await;
        let address = server.local_addr();
        clients
            .extend((0..CLIENTS).map(|_| std::thread::spawn(move || ask_until_refused(address))));
        servers.push(server);
    }
    let stop = servers.into_iter().map(|server| tokio::spawn(server.stop(SHORT * 10)));
    for stopping in stop.collect::<Vec<_>>() {
        stopping.await.unwrap();
    }
    let answered = clients.into_iter().map(|client| client.join().unwrap());
    let answered = answered.sum::<io::Result<usize>>().expect("a connection was reset");
    assert!(answered > SERVERS * CLIENTS, "{answered} answers: there was hardly any load");
}

#[tokio::test]
async fn before_it_stops_each_answer_closes_its_connection_and_the_next_one_is_served() {
    let router = Router::new().route("/", get(async || "done"));
    let server = start(router, 10, Patience::default()).await;
    let mut kept = connect(&server).await;
    kept.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    kept.read_exact(&mut first).await.unwrap();
    server.begin_to_stop();
    for stream in [&mut kept, &mut connect(&server).await] {
        let answer = exchange(stream, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(answer.contains("connection: close") && answer.ends_with("done"), "{answer}");
    }
    server.stop(Duration::from_secs(5)).await;
}
