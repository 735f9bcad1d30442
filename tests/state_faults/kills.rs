//! Many callers append to a few keys while nodes are killed: one, two, all, also while they start.
//! FAASM_KILLS is how many rounds there are, FAASM_SEED which ones, FAASM_CALLERS how many callers
//! append on each node.

use std::collections::{BTreeMap, HashMap};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;

use super::{ELEMENT, cluster, number, ready, run};
use crate::common::processes::{PATIENCE, Processes, wait_for};

const NODES: usize = 3;
/// Keys that are appended to; each caller has one.
const KEYS: usize = 3;
/// Appends of one call.
const BURST: u64 = 100;

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// An element: by whom, and the how many-th of theirs.
type Element = (usize, u64);

fn parse(bytes: &[u8]) -> Option<Element> {
    let text = std::str::from_utf8(bytes).ok()?.trim_end_matches('\0');
    let (caller, turn) = text.split_once('-')?;
    Some((caller.strip_prefix('c')?.parse().ok()?, turn.parse().ok()?))
}

/// What is known of one key.
#[derive(Default)]
struct List {
    /// Acknowledged, of each caller, in order.
    acknowledged: BTreeMap<usize, Vec<u64>>,
    /// As it was read last.
    read: Vec<u8>,
}

struct Loop {
    cluster: Processes,
    stop: AtomicBool,
    lists: Vec<Mutex<List>>,
}

fn key(list: usize) -> String {
    format!("list{list}")
}

impl Loop {
    /// Appends on a node, burst by burst, until it is told to stop.
    fn append(&self, caller: usize, node: usize) {
        let (key, mut turn) = (key(caller % KEYS), 0);
        while ready(&self.cluster, node, &self.stop) {
            let (name, from) = (format!("c{caller}"), turn.to_string());
            let burst = BURST.to_string();
            let args = ["burst", &key, &name, &from, &burst];
            let done = run(&self.cluster, node, node, &args).map_or(0, |said| number(&said));
            let mut list = self.lists[caller % KEYS].lock();
            list.acknowledged.entry(caller).or_default().extend(turn..turn + done);
            // What was not acknowledged is in doubt: its name is not used again.
            turn += BURST;
        }
    }

    /// Kills these, and starts them again; perhaps kills them while they start.
    fn kill(&self, nodes: &[usize], random: &mut StdRng) {
        for node in nodes {
            self.cluster.kill(*node);
            pause(random, 0..60);
        }
        pause(random, 0..1_500);
        if random.random_bool(0.3) {
            let mut up = self.cluster.command(&["cluster", "up"]);
            let up = up.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            pause(random, 100..1_500);
            // Some may not have begun, or begin just now; all are started below.
            nodes.iter().for_each(|node| self.kill_if_up(*node));
            let _ = up.expect("faasm starts").wait();
        }
        // One that was killed while it started may not have noted its process yet: such a node lives,
        // and a second one in its place cannot.
        wait_for("all nodes run", PATIENCE, || {
            let up = self.cluster.faasm(&["cluster", "up"]);
            up.status.success().then_some(())
        });
    }

    /// Kills a node if it runs: the number in its pid file may be nobody's, or another's.
    fn kill_if_up(&self, node: usize) {
        let pid = self.cluster.pid(node);
        let path = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
        let line = std::fs::read(path).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(&*self.cluster.dir().to_string_lossy()) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }

    /// Reads all keys: what was acknowledged before is there once, in order, and what was read
    /// before is still where it was.
    fn verify(&self, round: u64) -> usize {
        (0..KEYS).map(|list| self.verify_list(list, round)).sum()
    }

    fn verify_list(&self, list: usize, round: u64) -> usize {
        let acknowledged = self.lists[list].lock().acknowledged.clone();
        let line = format!("GET /v1/state/alice/{}", key(list));
        let read = wait_for("a value is read", PATIENCE, || {
            let answer = self.cluster.try_ask(1 + round as usize % NODES, &line, b"").ok()?;
            let none = answer.status == 404 && acknowledged.is_empty();
            if none { Some(Vec::new()) } else { (answer.status == 200).then_some(answer.body) }
        });
        let elements: Vec<Element> = read
            .chunks(ELEMENT)
            .enumerate()
            .map(|(at, bytes)| parse(bytes).unwrap_or_else(|| panic!("{at}: {bytes:?}")))
            .collect();
        let mut places: HashMap<Element, usize> = HashMap::with_capacity(elements.len());
        for (place, element) in elements.iter().enumerate() {
            let before = places.insert(*element, place);
            assert_eq!(before, None, "round {round}: {element:?} is doubled, again at {place}");
        }
        for (caller, turns) in &acknowledged {
            let found = turns.iter().map(|turn| (turn, places.get(&(*caller, *turn))));
            let lost: Vec<_> = found.clone().filter(|(_, place)| place.is_none()).collect();
            assert!(lost.is_empty(), "round {round}, {}: c{caller} lost {lost:?}", key(list));
            let sorted = found.is_sorted_by_key(|(_, place)| place);
            assert!(sorted, "round {round}: those of c{caller} are out of order");
        }
        let mut known = self.lists[list].lock();
        assert!(read.starts_with(&known.read), "round {round}: {} changed", key(list));
        known.read = read;
        elements.len()
    }
}

fn pause(random: &mut StdRng, ms: std::ops::Range<u64>) {
    std::thread::sleep(Duration::from_millis(random.random_range(ms)));
}

/// Who is killed in a round.
fn victims(round: u64, random: &mut StdRng) -> Vec<usize> {
    let mut nodes: Vec<usize> = (1..=NODES).collect();
    rand::seq::SliceRandom::shuffle(&mut nodes[..], random);
    // Two nodes, then all, then one.
    nodes.truncate([2, 3, 1][round as usize % 3]);
    nodes
}

#[test]
fn appends_outlast_kills_of_one_node_of_two_and_of_all() {
    let (rounds, callers) = (setting("FAASM_KILLS", 2), setting("FAASM_CALLERS", 2) as usize);
    let seed = setting("FAASM_SEED", 1);
    let lists = (0..KEYS).map(|_| Mutex::new(List::default())).collect();
    let of = Loop { cluster: cluster(), stop: AtomicBool::new(false), lists };
    let mut random = StdRng::seed_from_u64(seed);
    std::thread::scope(|scope| {
        let of = &of;
        /// Ends the callers, also when something is wrong.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let _stop = Stop(&of.stop);
        for caller in 0..NODES * callers {
            scope.spawn(move || of.append(caller, 1 + caller / callers));
        }
        for round in 0..rounds {
            pause(&mut random, 300..2_000);
            let victims = victims(round, &mut random);
            let began = Instant::now();
            of.kill(&victims, &mut random);
            let elements = of.verify(round);
            println!("round {round}: {victims:?}, {elements} elements, {:?}", began.elapsed());
        }
    });
    let elements = of.verify(rounds);
    assert!(elements > 100, "{elements} elements");
}
