//! Users of a cluster of real processes, each with a token.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::guests::guest;
use super::processes::{Answer, Processes};

/// A user, at a node of a cluster.
pub struct Person<'a> {
    /// Where.
    pub cluster: &'a Processes,
    /// Its name.
    pub name: String,
    /// Its token.
    pub token: String,
}

impl Processes {
    /// The admin, with the token that the cluster was made with.
    pub fn admin(&self) -> Person<'_> {
        let token = std::fs::read_to_string(self.dir().join("admin.token")).expect("a token");
        let (name, token) = ("admin".to_owned(), token.trim().to_owned());
        Person { cluster: self, name, token }
    }

    /// Makes a user with `faasm user add`.
    pub fn add_user(&self, name: &str, limits: &[&str]) -> Person<'_> {
        let token = self.done(&[&["user", "add", name], limits].concat());
        let (name, token) = (name.to_owned(), token.trim().to_owned());
        assert!(token.starts_with("faasm_") && token.len() == 70, "{token}");
        Person { cluster: self, name, token }
    }

    /// Runs `faasm`, which must succeed; its stdout.
    pub fn done(&self, args: &[&str]) -> String {
        let output = self.faasm(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "faasm {args:?}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Person<'_> {
    /// Asks a node.
    pub fn ask(&self, node: usize, line: &str, body: &[u8]) -> Answer {
        self.ask_with(node, line, body, &[])
    }

    /// The same, with headers.
    pub fn ask_with(
        &self,
        node: usize,
        line: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers = [headers, &[("authorization", &*bearer)]].concat();
        let answer = self.cluster.try_ask_with(node, line, body, &headers);
        answer.unwrap_or_else(|error| panic!("n{node}: {line}: {error}"))
    }

    /// Uploads a guest under a name.
    pub fn upload(&self, node: usize, source: &str, name: &str) -> Answer {
        let wasm = std::fs::read(guest(source)).expect("the guest was compiled");
        self.ask(node, &format!("PUT /v1/functions/{}/{name}", self.name), &wasm)
    }

    /// Uploads a guest; it must succeed.
    pub fn must_upload(&self, name: &str) {
        let answer = self.upload(1, name, name);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    /// Invokes a function of its own.
    pub fn invoke(&self, node: usize, name: &str, query: &str, input: &[u8]) -> Answer {
        let line = format!("POST /v1/functions/{}/{name}/invoke?{query}", self.name);
        self.ask(node, &line, input)
    }

    /// Begins a call of its own; its id.
    pub fn submit(&self, node: usize, name: &str, query: &str) -> String {
        let answer = self.invoke(node, name, &format!("async&{query}"), b"");
        assert_eq!(answer.status, 202, "{}", answer.text());
        answer.json::<Value>()["call"].as_str().expect("an id").to_owned()
    }

    /// The ids of the living calls that it is shown.
    pub fn calls(&self, node: usize, query: &str) -> Vec<String> {
        let view: Value = self.ask(node, &format!("GET /v1/calls?{query}"), b"").json();
        let calls = view["calls"].as_array().expect("a list");
        calls.iter().map(|call| call["call"].as_str().expect("an id").to_owned()).collect()
    }

    /// A connection to a node, kept open.
    pub fn connect(&self, node: usize) -> Wire {
        Wire::new(self.cluster, node, &self.token)
    }
}

/// One connection, on which requests go exactly as they are written.
pub struct Wire {
    stream: TcpStream,
    token: String,
    closes: bool,
}

impl Wire {
    /// Connects to a node; an empty token is not sent.
    pub fn new(cluster: &Processes, node: usize, token: &str) -> Self {
        Self::try_new(cluster, node, token).expect("connected")
    }

    /// The same with a node that may be down.
    pub fn try_new(cluster: &Processes, node: usize, token: &str) -> std::io::Result<Self> {
        let address = cluster.base(node).trim_start_matches("http://");
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
        stream.set_nodelay(true).expect("set");
        Ok(Self { stream, token: token.to_owned(), closes: false })
    }

    /// Whether the node has closed it, or has said that it will: nothing is to be sent then.
    pub fn is_closed(&self) -> bool {
        self.stream.set_nonblocking(true).expect("set");
        let open = self.stream.peek(&mut [0]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
        self.stream.set_nonblocking(false).expect("set");
        self.closes || !open
    }

    /// Sends a request: its first line without the version, and headers, each with its line's end.
    pub fn send(&mut self, line: &str, headers: &str, body: &[u8]) {
        let token = match self.token.as_str() {
            "" => String::new(),
            token => format!("authorization: Bearer {token}\r\n"),
        };
        let length = body.len();
        let head = format!(
            "{line} HTTP/1.1\r\nhost: n\r\n{token}{headers}content-length: {length}\r\n\r\n"
        );
        // Who is refused early is told so while it still sends: the answer is what counts.
        let sent =
            self.stream.write_all(head.as_bytes()).and_then(|()| self.stream.write_all(body));
        let closed = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
        assert!(
            sent.is_ok() || sent.is_err_and(|error| closed.contains(&error.kind())),
            "not sent"
        );
    }

    /// Reads a response: its status and its body.
    pub fn receive(&mut self) -> (u16, String) {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            self.stream.read_exact(&mut byte).expect("a response");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("text").to_lowercase();
        self.closes = head.contains("\r\nconnection: close\r\n");
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("a body");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// Both.
    pub fn ask(&mut self, line: &str, headers: &str, body: &[u8]) -> (u16, String) {
        self.send(line, headers, body);
        self.receive()
    }
}
