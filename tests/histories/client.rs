//! Clients: each asks one node, about values of one sort, and writes down what it saw.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::common::processes::Answer;
use super::history::{Entry, Histories, Seen};
use super::model::{Came, CounterOp, MISSING, RegisterOp};
use super::place::{Ask, Place, invocation};

/// New keys are used after this time, so that the history of each stays short.
const ROUND: Duration = Duration::from_secs(10);
/// Keys of a sort in a round.
const KEYS: u64 = 2;
/// A reader does not wait for long: another that comes later may see more.
const READ: Duration = Duration::from_millis(900);
/// A writer waits longer than any pause: else nothing is known of what it did.
const WRITE: Duration = Duration::from_secs(12);
/// A pause after what failed.
const PAUSE: Duration = Duration::from_millis(25);
/// Longest time that a holder of a lock dwells, in milliseconds.
pub const DWELL: u64 = 500;
/// Most bytes of a register, in words of 8: more than a chunk.
const WORDS: usize = 1_500;

/// What values are used as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Register,
    List,
    Counter,
}

/// What the clients share.
pub struct Run<'a> {
    pub place: &'a dyn Place,
    pub start: Instant,
    pub stop: AtomicBool,
    pub ids: AtomicU64,
    pub seen: Mutex<Histories>,
}

/// One of them.
pub struct Client<'a> {
    run: &'a Run<'a>,
    number: u32,
    node: usize,
    random: StdRng,
    /// The key and the tag of the register that it saw last.
    tag: Option<(String, String)>,
}

/// What came of a request.
enum Said {
    Answer(Answer),
    /// It was not sent.
    Nothing,
    /// Nobody knows.
    Silence,
}

impl<'a> Run<'a> {
    pub fn new(place: &'a dyn Place) -> Self {
        Self {
            place,
            start: Instant::now(),
            stop: AtomicBool::new(false),
            ids: AtomicU64::new(MISSING + 1),
            seen: Mutex::default(),
        }
    }

    /// The time now.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// One of the keys that are used now.
    pub fn key(&self, sort: Sort, which: u64) -> String {
        let round = self.now().as_secs() / ROUND.as_secs();
        format!("{sort:?}-{round}-{which}").to_lowercase()
    }

    fn id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }
}

impl<'a> Client<'a> {
    /// A client of a node.
    pub fn new(run: &'a Run<'a>, seed: u64, number: u32, node: usize) -> Self {
        let random = StdRng::seed_from_u64(seed ^ (u64::from(number) << 32));
        Self { run, number, node, random, tag: None }
    }

    /// Works until it is told to stop.
    pub fn work(mut self, sort: Sort) {
        while !self.run.stop.load(Ordering::SeqCst) {
            let which = self.random.random_range(0..KEYS);
            let key = self.run.key(sort, which);
            let done = match sort {
                Sort::Register if self.random.random_bool(0.5) => self.get(&key),
                Sort::Register => self.put(&key),
                Sort::List if self.random.random_bool(0.75) => self.append(&key),
                Sort::List => self.list(&key),
                Sort::Counter if self.random.random_bool(0.1) => self.set(&key),
                Sort::Counter if self.random.random_bool(0.7) => self.add(&key),
                Sort::Counter => self.look(&key),
            };
            if !done {
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// Reads a value; whether that was done.
    pub fn read_as(&mut self, sort: Sort, key: &str) -> bool {
        match sort {
            Sort::Register => self.get(key),
            Sort::List => self.list(key),
            Sort::Counter => self.look(key),
        }
    }

    fn entry<O>(&self, called: Duration, known: bool, what: O) -> Entry<O> {
        let returned = known.then(|| self.run.now());
        Entry { client: self.number, called, returned, what }
    }

    fn ask(&self, ask: &Ask<'_>) -> Said {
        match self.run.place.ask(self.node, ask) {
            Ok(answer) => Said::Answer(answer),
            Err(ureq::Error::Io(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                Said::Nothing
            }
            Err(_) => Said::Silence,
        }
    }

    /// Reads a value over HTTP; a value that is not there has no bytes, and no tag.
    fn read(&self, key: &str) -> Option<(Vec<u8>, String)> {
        let line = format!("GET /v1/state/alice/{key}");
        let ask = Ask { line: &line, body: b"", headers: &[], patience: READ };
        match self.ask(&ask) {
            Said::Answer(answer) if answer.status == 200 => {
                let tag = answer.header("etag").to_owned();
                Some((answer.body, tag))
            }
            Said::Answer(answer) if answer.status == 404 => Some((Vec::new(), String::new())),
            _ => None,
        }
    }

    /// Runs the guest; what it says.
    fn call(&self, args: &[&str]) -> Said {
        self.call_within(args, WRITE)
    }

    fn call_within(&self, args: &[&str], patience: Duration) -> Said {
        let line = invocation(self.node, args, patience - Duration::from_secs(2));
        self.ask(&Ask { line: &line, body: b"", headers: &[], patience })
    }

    fn get(&mut self, key: &str) -> bool {
        let called = self.run.now();
        let Some((bytes, tag)) = self.read(key) else { return false };
        let mut words =
            bytes.chunks(8).map(|word| word.try_into().map_or(u64::MAX, u64::from_le_bytes));
        let value = words.next().unwrap_or(MISSING);
        // What is torn was written by nobody.
        let value = if words.all(|word| word == value) { value } else { u64::MAX };
        let what = RegisterOp::Get { value, tag: hashed(&tag) };
        self.tag = Some((key.to_owned(), tag)).filter(|(_, tag)| !tag.is_empty());
        let entry = self.entry(called, true, what);
        self.register(key, entry);
        true
    }

    fn register(&self, key: &str, entry: Entry<RegisterOp>) {
        let mut seen = self.run.seen.lock().expect("no client failed");
        seen.registers.entry(key.to_owned()).or_default().push(entry);
    }

    fn put(&mut self, key: &str) -> bool {
        let value = self.run.id();
        let only = self.tag.take().filter(|(of, _)| of == key && self.random.random_bool(0.6));
        let only = only.map(|(_, tag)| tag);
        let words = self.random.random_range(1..WORDS);
        let body = value.to_le_bytes().repeat(words);
        let headers: Vec<(&str, &str)> = only.iter().map(|tag| ("if-match", &**tag)).collect();
        let line = format!("PUT /v1/state/alice/{key}");
        let called = self.run.now();
        let said = self.ask(&Ask { line: &line, body: &body, headers: &headers, patience: WRITE });
        let came = match said {
            Said::Answer(answer) if matches!(answer.status, 200 | 201) => {
                let tag = answer.header("etag").to_owned();
                let came = Came::Done(hashed(&tag));
                self.tag = Some((key.to_owned(), tag));
                came
            }
            Said::Answer(answer) if answer.status == 412 => Came::Refused,
            Said::Nothing => return false,
            Said::Answer(_) | Said::Silence => Came::Unknown,
        };
        let only = only.as_deref().map(hashed);
        let what = RegisterOp::Put { value, only, came };
        let entry = self.entry(called, came != Came::Unknown, what);
        self.register(key, entry);
        came != Came::Unknown
    }

    fn append(&self, key: &str) -> bool {
        let (id, called) = (self.run.id(), self.run.now());
        let done = match self.call(&["append", key, &id.to_string()]) {
            Said::Answer(answer) => {
                said(&answer).is_some_and(|(step, _, _, error)| step == "done" && error == 0)
            }
            Said::Silence => false,
            Said::Nothing => return false,
        };
        self.listed(key, self.entry(called, done, Seen::Append(id)));
        done
    }

    fn listed(&self, key: &str, entry: Entry<Seen>) {
        let mut seen = self.run.seen.lock().expect("no client failed");
        seen.lists.entry(key.to_owned()).or_default().push(entry);
    }

    /// Reads a list, over HTTP or by a function.
    fn list(&mut self, key: &str) -> bool {
        let called = self.run.now();
        let bytes = if self.random.random_bool(0.7) {
            self.read(key).map(|(bytes, _)| bytes)
        } else {
            match self.call(&["elements", key]) {
                Said::Answer(answer) if answer.status == 200 && said(&answer).is_none() => {
                    Some(answer.body)
                }
                _ => None,
            }
        };
        let Some(bytes) = bytes else { return false };
        let elements = bytes.chunks(8).map(|id| id.try_into().map_or(u64::MAX, u64::from_le_bytes));
        self.listed(key, self.entry(called, true, Seen::Read(elements.collect())));
        true
    }

    fn add(&mut self, key: &str) -> bool {
        let dwells = self.random.random_bool(0.2);
        let dwell = if dwells { self.random.random_range(1..DWELL) } else { 0 };
        self.add_after(key, dwell)
    }

    /// Adds to a counter, and dwells for so many milliseconds between reading and writing it.
    pub fn add_after(&self, key: &str, dwell: u64) -> bool {
        let (id, called) = (self.run.id(), self.run.now());
        // Who dwells for long may be paused as well.
        let patience = WRITE + Duration::from_millis(10 * dwell);
        let args = ["add", key, &id.to_string(), &dwell.to_string()];
        let told = match self.call_within(&args, patience) {
            Said::Nothing => return false,
            Said::Silence => None,
            Said::Answer(answer) => match said(&answer) {
                Some(("done", count, before, 0)) => Some((count, before)),
                // Nothing was sent to the owner.
                Some(("lock" | "get", ..)) => return false,
                _ => None,
            },
        };
        let what = CounterOp::Add { id, told };
        self.counted(key, self.entry(called, told.is_some(), what));
        told.is_some()
    }

    /// Writes a counter over, without its lock.
    fn set(&self, key: &str) -> bool {
        let id = self.run.id();
        let count = id << 20;
        let body = [count.to_le_bytes(), id.to_le_bytes()].concat();
        let line = format!("PUT /v1/state/alice/{key}");
        let called = self.run.now();
        let said = self.ask(&Ask { line: &line, body: &body, headers: &[], patience: WRITE });
        let done = match said {
            Said::Answer(answer) if answer.status == 423 => return false,
            Said::Nothing => return false,
            Said::Answer(answer) => matches!(answer.status, 200 | 201),
            Said::Silence => false,
        };
        self.counted(key, self.entry(called, done, CounterOp::Set { id, count }));
        done
    }

    fn counted(&self, key: &str, entry: Entry<CounterOp>) {
        let mut seen = self.run.seen.lock().expect("no client failed");
        seen.counters.entry(key.to_owned()).or_default().push(entry);
    }

    /// Reads a counter, over HTTP or under the read lock.
    fn look(&mut self, key: &str) -> bool {
        let called = self.run.now();
        let found = if self.random.random_bool(0.6) {
            self.read(key).map(|(bytes, _)| {
                let word = |at: usize| {
                    let bytes = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
                    bytes.map_or(0, u64::from_le_bytes)
                };
                (word(0), word(8))
            })
        } else {
            match self.call(&["look", key]) {
                Said::Answer(answer) => match said(&answer) {
                    Some(("done", count, last, 0)) => Some((count, last)),
                    _ => None,
                },
                _ => None,
            }
        };
        let Some((count, last)) = found else { return false };
        self.counted(key, self.entry(called, true, CounterOp::Look { count, last }));
        true
    }
}

/// The words of the guest's output, if the call succeeded and these are what it is.
fn said(answer: &Answer) -> Option<(&str, u64, u64, i64)> {
    if answer.status != 200 {
        return None;
    }
    let mut words = std::str::from_utf8(&answer.body).ok()?.split(' ');
    let step = words.next()?;
    let (one, two) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((step, one, two, words.next()?.parse().ok()?))
}

fn hashed(tag: &str) -> u64 {
    if tag.is_empty() {
        return MISSING;
    }
    let mut hasher = DefaultHasher::new();
    tag.hash(&mut hasher);
    hasher.finish()
}
