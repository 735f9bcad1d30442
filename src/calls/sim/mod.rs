//! Whole clusters of [`Calls`](super::Calls) and their schedulers in one process and in virtual
//! time, from a seed. The code that decides is that of a node; the network, the sessions and the
//! instances are made up. Messages are late and lost with their connection; paths are cut, one way
//! or both; nodes stand still, are killed, and start again; callers cancel and leave. The properties
//! in [`invariants`] are checked all the while; at the end all is healed and everything must have
//! ended and been given back.
//!
//! `FAASM_SEED=7 cargo test --lib calls::sim` replays one seed, `FAASM_SIM_SEEDS=5000` tries that
//! many.

mod below;
mod chaos;
mod clients;
mod functions;
mod guests;
mod invariants;
mod life;
mod network;
mod overtaken;
mod ports;
mod repeats;
mod sessions;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use world::{Plant, Setup, World};

/// Seeds tried by default.
const SEEDS: u64 = 800;
/// Seeds that are run twice by default.
const REPLAYS: u64 = 12;
/// Seeds in which a planted bug must be found.
const PLANTED: u64 = 100;
/// Failures after which a core stops to look for more.
const FEW: usize = 12;

/// True time; the nodes' clocks run faster and slower.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Of every eight seeds, one has neither faults nor callers that give up, and one no faults.
fn setup(seed: u64, plant: Option<Plant>) -> Setup {
    Setup { faults: seed % 8 > 1, fickle: !seed.is_multiple_of(8), plant }
}

/// Runs one seed to the end: chaos, then healing. Gives a digest of all that happened.
fn run(seed: u64, plant: Option<Plant>) -> Result<u64, String> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let world = World::new(seed, setup(seed, plant));
            let mut done = chaos::rage(&world).await;
            if done.is_ok() {
                done = chaos::heal(&world).await;
            }
            world.close();
            done.map(|()| world.digest())
        })
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(format!("a node panicked: {}", text.unwrap_or_default()))
    })
}

/// Runs seeds on all cores; gives those that failed, in order, as each core found its first few.
fn failures(seeds: std::ops::Range<u64>, plant: Option<Plant>) -> Vec<(u64, String)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        let share = |thread| {
            let seeds = seeds.clone().skip(thread as usize).step_by(threads as usize);
            scope.spawn(move || {
                let failed = |seed| run(seed, plant).err().map(|why| (seed, why));
                seeds.into_iter().filter_map(failed).take(FEW).collect::<Vec<_>>()
            })
        };
        let workers: Vec<_> = (0..threads).map(share).collect();
        let mut failed: Vec<_> =
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
        failed.sort();
        failed
    })
}

#[test]
fn every_call_ends_once_and_leaves_nothing() {
    let seeds = match number("FAASM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("FAASM_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let failed = failures(seeds, None);
    let Some((seed, _)) = failed.first() else { return };
    let all: String = failed.iter().map(|(seed, why)| format!("seed {seed}: {why}\n")).collect();
    panic!("{all}replay it: FAASM_SEED={seed} cargo test --lib calls::sim::every_call");
}

#[test]
fn a_seed_replays_the_same_run() {
    for seed in 0..number("FAASM_SIM_REPLAYS").unwrap_or(REPLAYS) {
        assert_eq!(run(seed, None), run(seed, None), "seed {seed}");
    }
    assert_ne!(run(3, None), run(4, None), "the digest tells runs apart");
}

/// Proof that the simulation finds what it is for.
fn is_found(plant: Plant, as_what: &str) {
    let found = (0..PLANTED).find_map(|seed| run(seed, Some(plant)).err());
    let why = found.expect("no seed noticed it");
    assert!(why.contains(as_what), "found something else: {why}");
}

#[test]
fn a_node_that_starts_calls_without_a_session_is_found() {
    is_found(Plant::SessionsLast, "which has no session");
}

#[test]
fn a_cancel_that_is_not_passed_on_is_found() {
    is_found(Plant::CancelsVanish, "its root was cancelled");
}

#[test]
fn an_instance_that_ends_without_telling_is_found() {
    is_found(Plant::EndsUntold, "");
}
