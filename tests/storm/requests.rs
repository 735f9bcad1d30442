//! What comes in over HTTP: requests with changed bytes, heads without end, bodies that break off,
//! requests behind each other, and clients that stop in the middle.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rand::Rng;

use super::common::processes::Processes;
use super::corpus;
use super::mutate::Mutator;

/// Connections that are left open in the middle of a head or a body.
const SLOW: usize = 100;
/// How long an answer may take. A connection that waits for more of a request is left.
const PATIENCE: Duration = Duration::from_millis(30);

/// Sends `count` requests.
pub fn send(cluster: &Processes, count: usize, seed: u64) {
    let address = cluster.base(2).trim_start_matches("http://").to_owned();
    let mut mutator = Mutator::new(seed, corpus::connections(), 64 << 10);
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    let mut slow = Vec::new();
    for number in 0..count {
        let Ok(mut stream) = TcpStream::connect(&address) else { continue };
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let input = match mutator.rng().random_range(0..24) {
            0 => endless(&mut mutator),
            1 => [mutator.input(), mutator.input(), mutator.input()].concat(),
            _ => mutator.input(),
        };
        // Where the node does not read on, it has answered.
        let _ = stream.write_all(&input);
        if slow.len() < SLOW && number % 3 == 0 {
            slow.push(stream);
            continue;
        }
        if mutator.rng().random_range(0..2) == 0 {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let mut answer = vec![0; 2048];
        let text = match stream.read(&mut answer) {
            Ok(0) => "(closed)".to_owned(),
            Ok(len) => String::from_utf8_lossy(&answer[..len]).into_owned(),
            Err(_) => "(waits for more)".to_owned(),
        };
        // A function that was uploaded may fail; the node may not.
        let internal = text.contains(" 500 ") && !text.contains("FAASM_E");
        assert!(!internal, "{text} for {input:02x?}");
        *answers.entry(text.chars().take(12).collect()).or_default() += 1;
    }
    // One byte more, and the end.
    for mut stream in slow {
        let _ = stream.write_all(b"x");
    }
    println!("{answers:?}");
}

/// A head that goes on, in one of several ways.
fn endless(mutator: &mut Mutator) -> Vec<u8> {
    let size = mutator.rng().random_range(1_000..200_000);
    match mutator.rng().random_range(0..4) {
        0 => format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(size)).into_bytes(),
        1 => format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "b".repeat(size)).into_bytes(),
        2 => format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(size / 6)).into_bytes(),
        _ => vec![b'G'; size],
    }
}
