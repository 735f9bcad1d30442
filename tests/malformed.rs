//! Malformed input: what reads bytes from peers, users and disk is given mutated ones, and neither
//! panics nor takes memory without bound. `FAASM_FUZZ=20` does twenty times as many.

#[path = "fuzz/corpus.rs"]
mod corpus;
#[path = "fuzz/modules.rs"]
mod modules;
#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "fuzz/raft.rs"]
mod raft;
#[path = "fuzz/targets.rs"]
mod targets;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use faasm::consensus::fuzzing as consensus;

use mutate::Mutator;
use targets::Verdict;

/// Counts what each thread holds, and the most it held.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that ends counts no more.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: it hands every request on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// More than this may not stay behind after all inputs, in bytes.
const LEFT_BEHIND: isize = 256 << 10;
/// Longest text of an error: it goes into a log line or an answer.
const LONGEST_ERROR: usize = 6 << 10;

/// How many inputs: so many, or what `FAASM_FUZZ` makes of it.
fn times(usual: usize) -> usize {
    let factor = std::env::var("FAASM_FUZZ").ok().and_then(|text| text.parse::<usize>().ok());
    usual * factor.unwrap_or(1).max(1)
}

/// What a run came to.
#[derive(Default)]
struct Tally {
    taken: usize,
    refused: usize,
    texts: BTreeSet<String>,
}

impl Tally {
    fn add(&mut self, what: &str, verdict: Verdict) {
        let Err(text) = verdict else {
            self.taken += 1;
            return;
        };
        self.refused += 1;
        assert!(!text.is_empty(), "{what}: an error without a word");
        // Those that peers get. Others quote what they are about.
        let told = ["messages", "frames"].contains(&what) && text.contains("0x7");
        assert!(!told, "{what}: an address of this process: {text}");
        assert!(text.len() <= LONGEST_ERROR, "{what}: an error of {} bytes", text.len());
        if self.texts.len() < 1000 {
            self.texts.insert(text.chars().filter(|c| !c.is_ascii_digit()).take(60).collect());
        }
    }
}

/// Gives a target `inputs` mutated inputs; one at a time may take `most` bytes of memory.
fn feed(
    what: &str,
    corpus: Vec<Vec<u8>>,
    inputs: usize,
    most: isize,
    target: fn(&[u8]) -> Verdict,
) {
    for input in &corpus {
        assert_eq!(target(input), Ok(()), "{what}: a valid input is refused: {input:02x?}");
    }
    let begun = Instant::now();
    let mut tally = Tally::default();
    let mut mutator = Mutator::new(1, corpus, 64 << 10);
    let mut settled = 0;
    for number in 0..inputs {
        let input = mutator.input();
        if number == inputs / 10 {
            settled = HELD.get();
        }
        let before = HELD.get();
        MOST.set(before);
        let verdict = catch_unwind(AssertUnwindSafe(|| target(&input)));
        let took = MOST.get() - before;
        let verdict = verdict.unwrap_or_else(|_| panic!("{what}: input {number}: {input:02x?}"));
        assert!(took <= most, "{what}: {took} bytes of memory for input {number}: {input:02x?}");
        tally.add(what, verdict);
    }
    let left = HELD.get() - settled;
    assert!(left < LEFT_BEHIND, "{what}: {left} bytes were left behind");
    let (taken, refused, kinds) = (tally.taken, tally.refused, tally.texts.len());
    assert!(taken > 0 && refused > inputs / 20, "{what}: {taken} taken, {refused} refused");
    println!(
        "{what}: {inputs} in {:?}: {taken} taken, {refused} refused, {kinds} texts",
        begun.elapsed()
    );
}

/// Largest archive, what is read of it, and the copies made on the way.
const OF_A_MESSAGE: isize = 4 << 20;

#[test]
fn heads_of_messages() {
    feed("messages", corpus::messages(), times(100_000), OF_A_MESSAGE, targets::messages);
}

#[test]
fn streams_of_frames() {
    feed("frames", corpus::frames(), times(20_000), OF_A_MESSAGE, targets::frames);
}

#[test]
fn hellos_and_certificates() {
    feed("hello", corpus::hellos(), times(200_000), 16 << 10, targets::hello);
    feed("certificate", corpus::certificates(), times(100_000), 64 << 10, targets::certificate);
}

#[test]
fn requests() {
    feed("http", corpus::connections(), times(20_000), 1 << 20, targets::http);
}

#[test]
fn configuration_files() {
    feed("cluster file", corpus::cluster_files(), times(20_000), 1 << 20, targets::cluster_file);
    feed("options file", corpus::options_files(), times(20_000), 1 << 20, targets::options_file);
    feed("identity", corpus::identity_files(), times(20_000), 1 << 20, targets::identity_file);
}

#[test]
fn what_was_on_disk() {
    feed("log entry", corpus::log_entries(), times(100_000), OF_A_MESSAGE, targets::log_entry);
    feed("image", corpus::images(), times(40_000), OF_A_MESSAGE, targets::image);
    feed("snapshot file", corpus::snapshot_files(), times(5_000), 1 << 20, targets::snapshot_file);
    feed("blob file", corpus::blob_files(), times(100_000), 1 << 20, targets::blob_file);
}

/// Modules run on threads of their own, so their memory is not counted here: limits of the
/// component bound it.
#[test]
fn module_bytes() {
    let mut tally = Tally::default();
    let mut mutator = Mutator::new(1, corpus::modules(), 16 << 10);
    for input in corpus::modules() {
        assert_eq!(
            modules::module_within(&input, modules::PATIENCE),
            Ok(()),
            "a valid module is refused"
        );
    }
    for number in 0..times(1_500) {
        let input = mutator.input();
        let verdict = catch_unwind(AssertUnwindSafe(|| modules::module(&input)));
        tally.add("module", verdict.unwrap_or_else(|_| panic!("module {number}: {input:02x?}")));
    }
    assert!(tally.taken > 0 && tally.refused > 0, "{} and {}", tally.taken, tally.refused);
    println!(
        "modules: {} taken, {} refused, {} texts",
        tally.taken,
        tally.refused,
        tally.texts.len()
    );
}

/// A log whose files have a changed byte or a cut is opened as far as it was synced, or refused.
#[test]
fn damaged_logs() {
    use rand::Rng;
    let whole = tempfile::tempdir().expect("a folder");
    consensus::make_log(whole.path(), 30).expect("a log");
    let log = |dir: &std::path::Path| {
        let files = std::fs::read_dir(dir.join("log")).expect("its folder").flatten();
        let mut files: Vec<_> = files.map(|file| file.path()).filter(|p| p.is_file()).collect();
        files.sort();
        files
    };
    let originals: Vec<(_, Vec<u8>)> = log(whole.path())
        .into_iter()
        .map(|path| {
            (path.file_name().expect("a name").to_owned(), std::fs::read(&path).expect("bytes"))
        })
        .collect();
    let mut tally = Tally::default();
    let mut mutator = Mutator::new(1, originals.iter().map(|(_, b)| b.clone()).collect(), 1 << 20);
    for _ in 0..times(300) {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("log")).expect("its folder");
        let victim = mutator.rng().random_range(0..originals.len());
        for (at, (name, bytes)) in originals.iter().enumerate() {
            let mut bytes = bytes.clone();
            if at == victim && !bytes.is_empty() {
                let place = mutator.rng().random_range(0..bytes.len());
                match mutator.rng().random_range(0..3) {
                    0 => bytes.truncate(place),
                    1 => bytes[place] ^= 1 << mutator.rng().random_range(0..8),
                    _ => bytes[place..].iter_mut().take(8).for_each(|byte| *byte = 0xff),
                }
            }
            std::fs::write(dir.path().join("log").join(name), bytes).expect("a file");
        }
        tally.add("log", consensus::open_log(dir.path()));
    }
    assert!(tally.taken > 0 && tally.refused > 0, "{} and {}", tally.taken, tally.refused);
    println!("logs: {} taken, {} refused: {:?}", tally.taken, tally.refused, tally.texts);
}

/// raft-rs panics on some messages: none of those reaches it.
#[test]
fn raft_messages() {
    for leads in [false, true] {
        let mut mutator = Mutator::new(u64::from(leads), corpus::log_entries(), 4096);
        let make = || match leads {
            false => consensus::Member::new(),
            true => consensus::Member::leading(),
        };
        let mut member = make().expect("a member");
        assert_eq!(member.leads(), leads);
        let (mut tally, mut trail) = (Tally::default(), Vec::new());
        for number in 0..times(20_000) {
            use rand::Rng;
            let message = raft::next(&mut mutator, member.term(), member.last());
            let bytes = consensus::raft_bytes(&message);
            let tick = mutator.rng().random_range(0..8) == 0;
            let mut shown = message.clone();
            shown.clear_snapshot();
            shown.entries.iter_mut().for_each(|entry| entry.data.clear());
            trail.push(format!("{shown:?} {:?}", message.get_snapshot().get_metadata()));
            let step = || {
                member.raft(&bytes)?;
                if tick { member.tick() } else { Ok(()) }
            };
            let verdict = catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|_| {
                let from = trail.len().saturating_sub(8);
                panic!("message {number} to a member that leads: {leads}: {:#?}", &trail[from..])
            });
            // Some break what the member has to believe of its cluster: it is begun anew.
            if trail.len() >= 60 || verdict.is_err() {
                member = make().expect("a member");
                trail.clear();
            }
            tally.add("Raft", verdict);
        }
        println!("raft, leads {leads}: {} taken, {} refused", tally.taken, tally.refused);
    }
}

/// Whole conversations, of the bytes that the fuzzer mutates.
#[test]
fn raft_conversations() {
    let mut mutator = Mutator::new(3, corpus::raft(), 4096);
    let mut tally = Tally::default();
    for number in 0..times(5_000) {
        let input = mutator.input();
        let verdict = catch_unwind(AssertUnwindSafe(|| targets::raft(&input)));
        tally
            .add("Raft", verdict.unwrap_or_else(|_| panic!("conversation {number}: {input:02x?}")));
    }
    println!("conversations: {} taken, {} refused", tally.taken, tally.refused);
}
