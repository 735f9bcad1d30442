use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use super::*;

/// A node that answers one request, and gives it back.
fn node(answer: String) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut piece = [0; 1024];
        while !request.windows(4).any(|w| w == b"\r\n\r\n") {
            let read = stream.read(&mut piece).unwrap();
            request.extend_from_slice(&piece[..read]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    (base, serving)
}

/// An address that refuses connections.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn client(bases: Vec<String>) -> Client {
    Client::new(bases, "start it".to_owned(), Credentials::default()).unwrap()
}

/// An answer of a node.
fn answer(status: u16, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nfaasm-result: 7\r\ncontent-length: {length}\r\n\r\n{body}")
}

const FULL: &str = r#"{"error":{"code":"FAASM_EFULL","detail":"full"}}"#;
const MISSING: &str = r#"{"error":{"code":"FAASM_ENOENT","detail":"none"}}"#;
const POST: Ask<'_> = Ask { method: "POST", path: "/x", body: b"hi", within: ANSWER };

#[test]
fn the_next_node_is_asked_when_one_is_down_or_full() {
    let (full, first) = node(answer(503, FULL));
    let (good, second) = node(answer(200, "yes"));
    let reply = client(vec![nobody(), full, good]).ask(POST).unwrap();
    assert_eq!((reply.body.as_slice(), reply.header("faasm-result")), (&b"yes"[..], "7"));
    assert!(first.join().unwrap().starts_with("POST /x "));
    assert!(second.join().unwrap().starts_with("POST /x "));
}

#[test]
fn an_answer_of_refusal_is_final() {
    let (missing, serving) = node(answer(404, MISSING));
    let error = client(vec![missing, nobody()]).ask(Ask::get("/x")).unwrap_err();
    assert_eq!((error.exit, error.message.as_str()), (Exit::Refused, "FAASM_ENOENT: none"));
    serving.join().unwrap();
}

#[test]
fn a_call_that_may_have_been_made_is_not_made_again() {
    let (broken, serving) = node(String::new());
    let error = client(vec![broken, nobody()]).ask(POST).unwrap_err();
    assert_eq!(error.exit, Exit::Unreachable);
    assert!(!error.message.contains("start it"), "{error}");
    serving.join().unwrap();
    let (broken, first) = node(String::new());
    let (good, second) = node(answer(200, "yes"));
    assert!(client(vec![broken, good]).ask(Ask::get("/x")).is_ok());
    first.join().unwrap();
    second.join().unwrap();
}

#[test]
fn when_none_answers_the_error_says_what_to_do() {
    let error = client(vec![nobody()]).ask(POST).unwrap_err();
    assert_eq!(error.exit, Exit::Unreachable);
    assert!(error.message.ends_with("; start it"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let error = Client::of_data_dir(dir.path(), Credentials::default()).err().unwrap();
    assert!(error.message.contains("faasm cluster up --data-dir"), "{error}");
}

#[test]
fn urls_are_checked() {
    assert_eq!(check_url("http://127.0.0.1:1/"), Ok("http://127.0.0.1:1".to_owned()));
    assert_eq!(check_url("https://n1.example"), Ok("https://n1.example".to_owned()));
    for bad in ["", "127.0.0.1:1", "ftp://x", "https://", "http://", "http:///x", "http://a b"] {
        assert_eq!(check_url(bad).unwrap_err().exit, Exit::Usage, "{bad}");
    }
}
