//! Clients: they call, upload and cancel through all nodes, and write down what they saw.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use faasm::gateway::view::{CALL_HEADER, CallView, ErrorBody, RESULT_HEADER, SubmittedView};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::common::netns::{Hosts, Request};
use super::common::processes::Answer;
use super::history::{Call, End, Read, Seen, Sort, Upload, What};

/// The timeout of calls.
const LIMIT: Duration = Duration::from_secs(5);
/// How long a client waits for an answer that takes no call's time.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long it waits for a call that answers at once: its deadline, and until a lost node is known.
const SYNC_PATIENCE: Duration = Duration::from_secs(14);
/// How long it goes on to look for the end of a call past its deadline.
const LOOKS: Duration = Duration::from_secs(12);
/// What the names of values begin with.
const VALUE: &str = "value-";
/// A pause between two calls of a client, in milliseconds.
const PAUSE: std::ops::Range<u64> = 20..200;

/// What the clients share.
pub struct Run<'a> {
    /// The cluster.
    pub hosts: &'a Hosts,
    /// Its begin.
    pub start: Instant,
    /// Tells the clients to come to an end.
    pub stop: AtomicBool,
    /// What they saw.
    pub calls: Mutex<Vec<Call>>,
    /// The versions they uploaded.
    pub uploads: Mutex<Vec<Upload>>,
    /// The versions they saw.
    pub reads: Mutex<Vec<Read>>,
}

/// One of them.
pub struct Client<'a> {
    run: &'a Run<'a>,
    random: StdRng,
    name: String,
    turn: u32,
    version: u32,
    /// The value that it writes, and how often it has.
    value: (u32, u32),
}

impl Run<'_> {
    /// The time now.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// A look at a call through a node.
    pub fn look(&self, call: &str, through: usize) -> Seen {
        let line = format!("GET /v1/calls/{call}?wait=1s");
        let answer = self.hosts.ask(through, &line, Request::default());
        let what = match answer {
            Err(_) => What::Silence,
            Ok(answer) if answer.status == 404 => What::Unknown,
            Ok(answer) if answer.status != 200 => What::Refused(answer.code()),
            Ok(answer) => match answer.json::<CallView>() {
                record if record.phase != "done" => What::Alive,
                record => What::Ended(self.end(&record, through)),
            },
        };
        Seen { at: self.now(), through, what }
    }

    fn end(&self, record: &CallView, through: usize) -> End {
        let get = |what: &str| {
            let line = format!("GET /v1/calls/{}/{what}", record.call);
            let answer = self.hosts.ask(through, &line, Request::default()).ok()?;
            (answer.status == 200).then(|| answer.text())
        };
        let result = match (&record.error, record.result) {
            // A rank whose messages do not reach another one's node ends the job itself.
            (Some(error), _) if error.detail.contains("was lost with its node") => {
                Err("FAASM_EHOSTLOST".to_owned())
            }
            // It is never fine, and says why.
            (Some(error), _) if error.code == "FAASM_EFAILED" => {
                Err(format!("{}: {}", error.code, error.detail))
            }
            (Some(error), _) => Err(error.code.clone()),
            (None, result) => Ok(result.unwrap_or(u8::MAX)),
        };
        let output = if result.is_ok() { get("output") } else { None };
        let runs = get("logs").map(|log| log.lines().filter(|l| l.starts_with("ran ")).count());
        End { result, output, attempt: Some(record.attempt), runs }
    }

    /// Reads a function or a value through a node; true when it answered.
    pub fn read(&self, name: &str, through: usize) -> bool {
        match name.starts_with(VALUE) {
            true => self.read_value(name, through),
            false => self.read_version(name, through),
        }
    }

    /// Calls a version function through a node; true when it answered.
    fn read_version(&self, function: &str, through: usize) -> bool {
        let begun = self.now();
        let line = format!("POST /v1/functions/chaos/{function}/invoke?timeout=5s");
        let request = Request { patience: SYNC_PATIENCE, ..Request::default() };
        let Ok(answer) = self.hosts.ask(through, &line, request) else { return false };
        let Some(version) = (answer.status == 200).then(|| answer.text().parse().ok()).flatten()
        else {
            return false;
        };
        let read = Read { function: function.to_owned(), begun, through, version };
        self.reads.lock().expect("no client failed").push(read);
        true
    }

    fn read_value(&self, key: &str, through: usize) -> bool {
        let begun = self.now();
        let answer = self.hosts.ask(through, &format!("GET /v1/state/chaos/{key}"), patient(b""));
        let version = match answer {
            Ok(answer) if answer.status == 200 => answer.text().parse().expect("a number"),
            Ok(answer) if answer.status == 404 => 0,
            _ => return false,
        };
        let read = Read { function: key.to_owned(), begun, through, version };
        self.reads.lock().expect("no client failed").push(read);
        true
    }

    /// Writes a value through a node; true when it was confirmed.
    fn write_value(&self, key: &str, version: u32, through: usize) -> bool {
        let text = version.to_string();
        let line = format!("PUT /v1/state/chaos/{key}");
        self.change(key, version, || self.hosts.ask(through, &line, patient(text.as_bytes())))
    }

    /// Writes a change down, makes it, and writes down whether it was confirmed.
    fn change<E>(
        &self,
        name: &str,
        version: u32,
        make: impl FnOnce() -> Result<Answer, E>,
    ) -> bool {
        let upload = Upload { function: name.to_owned(), version, confirmed: None };
        // Written down first: others may see it before it is confirmed.
        let at = {
            let mut uploads = self.uploads.lock().expect("no client failed");
            uploads.push(upload);
            uploads.len() - 1
        };
        let confirmed = make().is_ok_and(|answer| answer.status / 100 == 2);
        if confirmed {
            let mut uploads = self.uploads.lock().expect("no client failed");
            uploads[at].confirmed = Some(self.now());
        }
        confirmed
    }

    /// Uploads the next version of a function through a node; true when it was confirmed.
    pub fn upload(&self, function: &str, version: u32, through: usize) -> bool {
        let wasm = super::module_of(version);
        let line = format!("PUT /v1/functions/chaos/{function}");
        self.change(function, version, || self.hosts.ask(through, &line, patient(&wasm)))
    }
}

/// A request that may take as long as a call.
fn patient(body: &[u8]) -> Request<'_> {
    Request { body, patience: SYNC_PATIENCE, ..Request::default() }
}

impl<'a> Client<'a> {
    /// The client of this number; of what it does, the seed decides.
    pub fn new(run: &'a Run<'a>, seed: u64, number: u64) -> Self {
        let random = StdRng::seed_from_u64(seed.wrapping_mul(1_000).wrapping_add(number));
        Self { run, random, name: format!("c{number}"), turn: 0, version: 0, value: (0, 0) }
    }

    /// Works until told to stop.
    pub fn work(mut self) {
        while !self.run.stop.load(Ordering::SeqCst) {
            self.turn += 1;
            match self.random.random_range(0..100) {
                0..28 => self.sync(Sort::Sync, "witness"),
                28..42 => self.sync(Sort::Tree, "tree"),
                42..59 => self.detached(Sort::Keyed, "witness"),
                59..68 => self.detached(Sort::Patient, "patient"),
                68..76 => self.detached(Sort::Endless, "witness"),
                76..80 => self.detached(Sort::Job, "sums"),
                80..90 => self.values(),
                _ => self.versions(),
            }
            std::thread::sleep(Duration::from_millis(self.random.random_range(PAUSE)));
        }
    }

    fn host(&mut self) -> usize {
        self.random.random_range(1..=self.run.hosts.count)
    }

    fn call(&mut self, sort: Sort) -> Call {
        Call {
            name: format!("{}-{}", self.name, self.turn),
            id: None,
            sort,
            through: self.host(),
            begun: self.run.now(),
            accepted: None,
            limit: LIMIT,
            cancelled: None,
            seen: Vec::new(),
        }
    }

    fn line(&mut self, sort: Sort, function: &str) -> String {
        let args = match sort {
            Sort::Sync => format!("arg={}", self.random.random_range(0..300)),
            Sort::Tree => "arg=3&arg=2&policy=spread".to_owned(),
            Sort::Keyed | Sort::Patient => {
                format!("async&policy=spread&arg={}", self.random.random_range(0..3_000))
            }
            Sort::Endless => "async&policy=spread&arg=3600000".to_owned(),
            Sort::Job => {
                format!("async&mpi=3&map_by=node&arg={}", self.random.random_range(0..800))
            }
        };
        let limit = LIMIT.as_secs();
        format!("POST /v1/functions/chaos/{function}/invoke?timeout={limit}s&{args}")
    }

    fn sync(&mut self, sort: Sort, function: &str) {
        let mut call = self.call(sort);
        let line = self.line(sort, function);
        let body = call.name.clone();
        let request =
            Request { body: body.as_bytes(), patience: SYNC_PATIENCE, ..Request::default() };
        let answer = self.run.hosts.ask(call.through, &line, request);
        let what = answer.map_or(What::Silence, |answer| sync_end(&answer));
        if matches!(what, What::Ended(_)) {
            call.accepted = Some(call.begun);
        }
        call.seen.push(Seen { at: self.run.now(), through: call.through, what });
        self.run.calls.lock().expect("no client failed").push(call);
    }

    /// Begins a call, again through other nodes with the same key while nobody took it, perhaps
    /// cancels it, and looks at it through all nodes until it ends.
    fn detached(&mut self, sort: Sort, function: &str) {
        let mut call = self.call(sort);
        let line = self.line(sort, function);
        let body = call.name.clone();
        let mut id = None;
        let mut through = call.through;
        for _ in 0..3 {
            let (body, key) = (body.as_bytes(), Some(&*body));
            let request = Request { body, key, patience: PATIENCE, ..Request::default() };
            match self.run.hosts.ask(through, &line, request) {
                Ok(answer) if answer.status == 202 => {
                    id = Some(answer.json::<SubmittedView>().call);
                    break;
                }
                Ok(answer) => {
                    let what = What::Refused(answer.code());
                    call.seen.push(Seen { at: self.run.now(), through, what });
                }
                Err(_) => {
                    call.seen.push(Seen { at: self.run.now(), through, what: What::Silence });
                }
            }
            through = self.host();
        }
        if let Some(id) = id {
            call.accepted = Some(self.run.now());
            self.follow(&mut call, &id);
            call.id = Some(id);
        }
        self.run.calls.lock().expect("no client failed").push(call);
    }

    fn follow(&mut self, call: &mut Call, id: &str) {
        if call.sort == Sort::Endless && self.random.random_ratio(2, 3) {
            std::thread::sleep(Duration::from_millis(self.random.random_range(0..1_000)));
            let line = format!("DELETE /v1/calls/{id}");
            let answer = self.run.hosts.ask(self.host(), &line, Request::default());
            if answer.is_ok_and(|answer| answer.status == 200) {
                call.cancelled = Some(self.run.now());
            }
        }
        let until = self.run.now() + call.limit + LOOKS;
        let mut ended = 0;
        // Twice: the second look is through another node, and must see the same.
        while ended < 2 && self.run.now() < until {
            let seen = self.run.look(id, self.host());
            if matches!(seen.what, What::Ended(_)) {
                ended += 1;
            } else {
                std::thread::sleep(Duration::from_millis(50));
            }
            call.seen.push(seen);
        }
    }

    /// Uploads the next version of this client's function, or calls that or another client's.
    fn versions(&mut self) {
        let function = format!("version-{}", self.name);
        if self.version == 0 || self.random.random_ratio(1, 3) {
            self.version += 1;
            let host = self.host();
            self.run.upload(&function, self.version, host);
        } else {
            let host = self.host();
            self.run.read_version(&function, host);
        }
    }

    /// Writes the next version of this client's value, or reads it.
    fn values(&mut self) {
        let (number, version) = self.value;
        let key = format!("{VALUE}{}-{number}", self.name);
        let host = self.host();
        if version > 0 && self.random.random_ratio(2, 3) {
            self.run.read(&key, host);
        } else if self.run.write_value(&key, version + 1, host) {
            self.value.1 += 1;
        } else {
            // It may still be written, also after the next one: that is another value.
            self.value = (number + 1, 0);
        }
    }
}

/// What the answer to a synchronous call says.
fn sync_end(answer: &Answer) -> What {
    if answer.status == 200 {
        let result = Ok(answer.header(RESULT_HEADER).parse().unwrap_or(u8::MAX));
        return What::Ended(End { result, output: Some(answer.text()), attempt: None, runs: None });
    }
    let error = answer.json::<ErrorBody>().error;
    match error.call.is_some() || !answer.header(CALL_HEADER).is_empty() {
        false => What::Refused(error.code),
        true => {
            let result = Err(error.code);
            What::Ended(End { result, output: None, attempt: None, runs: None })
        }
    }
}
