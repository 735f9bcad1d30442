//! Pushes and pulls of two nodes against a model of what they mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::super::budget::Budget;
use super::super::chunks::Chunks;
use super::super::copy::Copy;
use super::super::metrics::Meters;
use super::super::scan::changed;
use super::{Mapped, World, call, key, set, set_part};
use crate::function::memfd::Memfd;
use crate::function::values::{Part, Pushed};
use crate::wire::state::{CHUNK, chunk_hash};

const SIZE: usize = CHUNK as usize;
/// Not whole chunks.
const LEN: usize = 5 * SIZE + 700;

/// One node, as it should be.
struct Model {
    local: Vec<u8>,
    /// Each chunk as it was when it was last the owner's.
    synced: Vec<u8>,
    flagged: Vec<bool>,
}

fn chunks() -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..LEN).step_by(SIZE).map(|start| start..LEN.min(start + SIZE))
}

impl Model {
    fn push(&mut self, global: &mut [u8]) {
        for chunk in chunks() {
            if self.local[chunk.clone()] != self.synced[chunk.clone()] {
                global[chunk.clone()].copy_from_slice(&self.local[chunk.clone()]);
                self.synced[chunk.clone()].copy_from_slice(&self.local[chunk]);
            }
        }
        self.flagged.fill(false);
    }

    /// Just some bytes: a chunk is clean afterwards only if it is the owner's.
    fn push_bytes(&mut self, global: &mut [u8], which: impl Fn(usize) -> bool) {
        let sent: Vec<usize> = (0..LEN).filter(|at| which(*at)).collect();
        for at in sent {
            global[at] = self.local[at];
            self.flagged[at] = false;
            let start = at / SIZE * SIZE;
            let chunk = start..LEN.min(start + SIZE);
            // Looked at once all are sent; what is equal then was not wrong before.
            let last = !(at + 1..chunk.end).any(&which);
            if last && global[chunk.clone()] == self.local[chunk.clone()] {
                self.synced[chunk.clone()].copy_from_slice(&self.local[chunk]);
            }
        }
    }

    fn pull(&mut self, global: &[u8], range: std::ops::Range<usize>) {
        for chunk in chunks().filter(|chunk| chunk.start < range.end && chunk.end > range.start) {
            self.local[chunk.clone()].copy_from_slice(&global[chunk.clone()]);
            self.synced[chunk.clone()].copy_from_slice(&global[chunk]);
        }
        self.flagged[range].fill(false);
    }
}

async fn run(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let world = World::new();
    let mut global: Vec<u8> = (0..LEN).map(|_| random.random()).collect();
    world.memory.put(&key("k"), &global);
    let nodes = [world.node(), world.node()];
    let hosts = nodes.each_ref().map(call);
    let maps =
        [Mapped::get(&hosts[0], "k").await.unwrap(), Mapped::get(&hosts[1], "k").await.unwrap()];
    let fresh =
        || Model { local: global.clone(), synced: global.clone(), flagged: vec![false; LEN] };
    let mut models = [fresh(), fresh()];
    for step in 0..60 {
        let at = random.random_range(0..2usize);
        let (host, map, model) = (&hosts[at], &maps[at], &mut models[at]);
        let start = random.random_range(0..LEN);
        let end = (start + random.random_range(1..=2 * SIZE)).min(LEN);
        let part = Part { off: start as u64, len: (end - start) as u64 };
        let bytes: Vec<u8> = (start..end).map(|_| random.random()).collect();
        let did = random.random_range(0..8);
        match did {
            0 | 1 => {
                map.poke(part.off, &bytes);
                model.local[start..end].copy_from_slice(&bytes);
            }
            2 => {
                set_part(host, "k", part.off, &bytes).await.unwrap();
                model.local[start..end].copy_from_slice(&bytes);
                model.flagged[start..end].fill(true);
            }
            3 => {
                host.push("k", Pushed::Chunks).await.unwrap();
                model.push(&mut global);
            }
            4 => {
                host.push("k", Pushed::Part(part)).await.unwrap();
                model.push_bytes(&mut global, |at| (start..end).contains(&at));
            }
            5 => {
                host.push("k", Pushed::Flagged).await.unwrap();
                let flagged = model.flagged.clone();
                model.push_bytes(&mut global, |at| flagged[at]);
            }
            6 => {
                host.pull("k", None).await.unwrap();
                model.pull(&global, 0..LEN);
            }
            _ => {
                host.pull("k", Some(part)).await.unwrap();
                model.pull(&global, start..end);
            }
        }
        let said = format!("seed {seed}, step {step}, node {at} did {did} on {start}..{end}");
        assert!(world.memory.bytes(&key("k")).unwrap() == global, "the owner's differs: {said}");
        for (map, model) in maps.iter().zip(&models) {
            assert!(map.peek() == model.local, "a copy differs: {said}");
        }
    }
}

#[tokio::test]
async fn two_nodes_push_and_pull_as_the_model_says() {
    for seed in 0..150 {
        run(seed).await;
    }
}

/// Fills a chunk with one byte after the other until it is told to stop.
fn scribble(file: Arc<Memfd>, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut byte = 0u8;
        while !stop.load(Ordering::SeqCst) {
            byte = byte.wrapping_add(1);
            file.write_at(0, &[byte; SIZE]).unwrap();
        }
    })
}

#[tokio::test]
async fn what_is_hashed_is_what_is_sent_while_somebody_writes() {
    let (budget, meters) = (Arc::new(Budget::new(1 << 30, 1 << 30)), Arc::new(Meters::register()));
    let chunks = Chunks::zeros(None, CHUNK);
    let copy = Copy::new(Arc::new(key("k")), chunks, budget, meters).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = scribble(copy.file.clone(), stop.clone());
    let whole = 0..CHUNK;
    for _ in 0..20_000 {
        changed(&copy, std::slice::from_ref(&whole), |_, hash, bytes| {
            assert_eq!(hash, chunk_hash(bytes), "bytes and hash are of different moments");
            true
        })
        .unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    writer.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_torn_chunk_never_counts_as_sent() {
    let world = World::new();
    let node = world.node();
    let host = call(&node);
    set(&host, "k", &[0; 4 * SIZE]).await.unwrap();
    let map = Mapped::get(&host, "k").await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = scribble(map.value.file().clone(), stop.clone());
    for _ in 0..300 {
        host.push("k", Pushed::Chunks).await.unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    writer.join().unwrap();
    host.push("k", Pushed::Chunks).await.unwrap();
    assert!(world.memory.bytes(&key("k")).unwrap() == map.peek());
}
