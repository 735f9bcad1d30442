//! The load: clients that ask whatever node is up, and write down what was acknowledged.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use faasm::wire::shards::StateKey;

use super::common::members::Growing;
use super::common::processes::{Answer, PATIENCE, wait_for};

/// Clients that write values and read them, and how many values each has, all on other shards.
pub const PROBES: usize = 3;
const VALUES: usize = 10;
/// Bytes of an element.
const ELEMENT: usize = 16;
/// Appends of a call.
const BURST: u64 = 10;
/// Counts of a call.
const COUNTS: u64 = 2;
/// A client that was not answered asks again after this time.
const PAUSE: Duration = Duration::from_millis(10);

/// What was used longest, for how long, and how many operations there were.
type Longest = (Duration, String, usize);

/// See the top.
pub struct Load<'a> {
    pub cluster: &'a Growing,
    pub stop: AtomicBool,
    /// Acknowledged elements of each client, in order.
    appended: Mutex<BTreeMap<usize, Vec<u64>>>,
    counted: AtomicU64,
    doubtful: AtomicU64,
    longest: Mutex<Longest>,
    /// Passes of the probes over their values.
    passes: [AtomicUsize; PROBES],
    /// Is asked no more.
    leaving: Mutex<Option<String>>,
}

/// Ends the load.
pub struct Stop<'a>(pub &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl<'a> Load<'a> {
    pub fn new(cluster: &'a Growing) -> Self {
        let (stop, appended, counted, doubtful) = Default::default();
        let (longest, passes, leaving) = Default::default();
        Self { cluster, stop, appended, counted, doubtful, longest, passes, leaving }
    }

    /// A client that fails ends all others.
    pub fn guard(&self, work: impl FnOnce()) {
        let _stop = Stop(&self.stop);
        work();
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// From now on this node is not asked.
    pub fn leaves(&self, node: &str) {
        *self.leaving.lock().expect("nobody failed") = Some(node.to_owned());
    }

    /// Asks one of the nodes; none if it did not answer, or could not do it.
    fn ask(&self, turn: usize, line: &str, body: &[u8]) -> Option<Answer> {
        let leaving = self.leaving.lock().expect("nobody failed").clone();
        let mut up = self.cluster.up();
        up.retain(|(node, _)| Some(node) != leaving.as_ref());
        let (_, base) = &up[turn % up.len()];
        let answer = self.cluster.try_ask(base, line, body).ok();
        let answer = answer.filter(|answer| answer.status != 503);
        if answer.is_none() {
            std::thread::sleep(PAUSE);
        }
        answer
    }

    /// Runs the guest; what it says.
    fn run(&self, turn: usize, args: &[&str]) -> Option<String> {
        let args: String = args.iter().map(|arg| format!("&arg={arg}")).collect();
        let line =
            format!("POST /v1/functions/alice/ledger/invoke?policy=spread&timeout=20s{args}");
        let answer = self.ask(turn, &line, b"")?;
        (answer.status == 200).then(|| answer.text())
    }

    pub fn append(&self, client: usize) {
        for turn in (0_u64..).take_while(|_| self.goes_on()) {
            let (name, from) = (format!("c{client}"), (turn * BURST).to_string());
            let args = ["burst", "list", &name, &from, &BURST.to_string()];
            let said = self.run(client + turn as usize, &args);
            let done = said.map_or(0, |said| number(&said));
            let mut appended = self.appended.lock().expect("nobody failed");
            let first = turn * BURST;
            appended.entry(client).or_default().extend(first..first + done);
        }
    }

    pub fn count(&self, client: usize) {
        for turn in (client..).take_while(|_| self.goes_on()) {
            let done = self.run(turn, &["count", "total", &COUNTS.to_string()]);
            let (done, doubtful) = match done.map(|said| number(&said)) {
                // The one that failed may have been done.
                Some(done) => (done, u64::from(done < COUNTS)),
                None => (0, COUNTS),
            };
            self.counted.fetch_add(done, Ordering::SeqCst);
            self.doubtful.fetch_add(doubtful, Ordering::SeqCst);
        }
    }

    /// Writes its values through one node and reads them through another: what is read is what was
    /// written last.
    pub fn probe(&self, probe: usize) {
        let keys: Vec<String> = (0..VALUES).map(|value| key(probe * VALUES + value)).collect();
        for pass in (0_usize..).take_while(|_| self.goes_on()) {
            for (at, key) in keys.iter().enumerate() {
                let bytes = format!("{pass:08}").repeat(600).into_bytes();
                let put = self.until_done(pass + at, &format!("PUT /v1/state/alice/{key}"), &bytes);
                assert!(matches!(put.status, 200 | 201), "{key}: {}", put.text());
                let get =
                    self.until_done(pass + at + 1, &format!("GET /v1/state/alice/{key}"), b"");
                assert!(get.status == 200 && get.body == bytes, "{key} in pass {pass}: {get:?}");
            }
            self.passes[probe].fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Asks one node after the other until it is done, and notes how long that took.
    fn until_done(&self, turn: usize, line: &str, body: &[u8]) -> Answer {
        let began = Instant::now();
        let mut turns = turn..;
        let answer = wait_for(line, PATIENCE, || self.ask(turns.next()?, line, body));
        let took = began.elapsed();
        let mut longest = self.longest.lock().expect("nobody failed");
        longest.2 += 1;
        if took > longest.0 {
            (longest.0, longest.1) = (took, line.to_owned());
        }
        answer
    }

    /// Waits until every value was written and read once more.
    pub fn settle(&self) {
        let passes = || self.passes.each_ref().map(|passes| passes.load(Ordering::SeqCst));
        let before = passes();
        wait_for("all values are used", PATIENCE, || {
            assert!(self.goes_on(), "a client failed");
            passes().iter().zip(before).all(|(now, before)| *now > before + 1).then_some(())
        });
    }

    /// The longest operation since the last time.
    pub fn longest(&self) -> Longest {
        std::mem::take(&mut *self.longest.lock().expect("nobody failed"))
    }

    /// What was acknowledged is there once, in order.
    pub fn verify(&self) {
        let get = |key: &str| {
            let answer = self.until_done(0, &format!("GET /v1/state/alice/{key}"), b"");
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.body
        };
        let total = u64::from_le_bytes(get("total").try_into().expect("8 bytes"));
        let load = |number: &AtomicU64| number.load(Ordering::SeqCst);
        let (counted, doubtful) = (load(&self.counted), load(&self.doubtful));
        assert!(
            (counted..=counted + doubtful).contains(&total),
            "the counter is {total}: {counted} were acknowledged, {doubtful} are in doubt"
        );
        let list = get("list");
        let mut places = HashMap::new();
        for (place, element) in list.chunks(ELEMENT).enumerate() {
            let before = places.insert(element.to_vec(), place);
            assert_eq!(before, None, "{element:?} is doubled, again at {place}");
        }
        let appended = self.appended.lock().expect("nobody failed");
        for (client, turns) in appended.iter() {
            let place = |turn: &u64| {
                let mut element = format!("c{client}-{turn:08}").into_bytes();
                element.resize(ELEMENT, 0);
                places.get(&element)
            };
            let found: Vec<Option<&usize>> = turns.iter().map(place).collect();
            let lost = found.iter().filter(|place| place.is_none()).count();
            assert_eq!(lost, 0, "of c{client}'s {} elements", turns.len());
            assert!(found.is_sorted(), "those of c{client} are out of order");
        }
        let elements: usize = appended.values().map(Vec::len).sum();
        println!(
            "{counted} counted, {doubtful} in doubt; {elements} elements acknowledged, {} there",
            places.len()
        );
        assert!(counted > 10 && elements > 100, "too little to prove anything");
    }
}

/// The number that the guest says was done.
fn number(said: &str) -> u64 {
    said.split(' ').nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// A key on a shard of its own: the shards are spread over all nodes.
fn key(number: usize) -> String {
    let wanted = number as u16 * 4 + 1;
    let names = (0..).map(|at| format!("probe{number}-{at}"));
    let on = |name: &String| StateKey { user: "alice".into(), key: name.clone() }.shard().0;
    names.into_iter().find(|name| on(name) == wanted).expect("there is one")
}
