//! Random operations against values in memory, with starts, crashes and copies in between. A crash
//! keeps of what was written since the last checkpoint any part.

use std::collections::BTreeMap;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::support::*;
use super::*;
use crate::wire::state::{Version, WriteId, Written};

#[derive(Clone, Default)]
pub struct Model {
    pub version: Option<Version>,
    bytes: Vec<u8>,
    /// Where they lie: pushes may write over them.
    elements: Vec<std::ops::Range<usize>>,
    end: usize,
}

pub struct World {
    pub node: Node,
    pub rng: StdRng,
    dir: tempfile::TempDir,
    /// The files as of the last checkpoint.
    synced: tempfile::TempDir,
    pub models: BTreeMap<String, Model>,
    /// Versions that a reader began at.
    held: Vec<(String, Version, Vec<u8>)>,
    done: Vec<(String, WriteId, Bulk, Written)>,
}

fn clone(bulk: &Bulk) -> Bulk {
    Bulk(bulk.0.clone(), bulk.1.clone())
}

/// What becomes of each file.
type Each<'a> = &'a mut dyn FnMut(&Path, Vec<u8>) -> Option<Vec<u8>>;

pub fn copy_tree(from: &Path, to: &Path, each: Each<'_>) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_tree(&path, &to, each);
        } else if let Some(bytes) = each(&path, std::fs::read(&path).unwrap()) {
            std::fs::write(to, bytes).unwrap();
        }
    }
}

impl World {
    pub fn new(seed: u64) -> Self {
        let (dir, synced) = (folder(), folder());
        let node = Node::open(&dir.path().join("0"));
        let rng = StdRng::seed_from_u64(seed);
        let (models, held, done) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { node, rng, dir, synced, models, held, done }
    }

    fn name(&mut self) -> String {
        format!("k{}", self.rng.random_range(0..4))
    }

    fn blob(&mut self, most: usize) -> Vec<u8> {
        let len = self.rng.random_range(0..most);
        (0..len).map(|_| self.rng.random()).collect()
    }

    fn parts(&mut self) -> Vec<(u64, Vec<u8>)> {
        let count = self.rng.random_range(0..4);
        let most = if self.rng.random_bool(0.3) { 20_000 } else { 300 };
        (0..count).map(|_| (self.rng.random_range(0..30_000), self.blob(most))).collect()
    }

    fn write(
        &mut self,
        name: &str,
        bulk: Bulk,
        change: impl FnOnce(&mut Model) -> Result<(), Refusal>,
    ) {
        let mut model = self.models.get(name).cloned().unwrap_or_default();
        let expected = change(&mut model);
        let id = self.node.id();
        let got = self.node.write_as(name, id, clone(&bulk));
        match (expected, got) {
            (Ok(()), Ok(written)) => {
                assert_eq!(written.len, model.bytes.len() as u64);
                for (chunk, hash) in &written.parts {
                    let from = (*chunk * 4096) as usize;
                    let to = model.bytes.len().min(from + 4096);
                    assert_eq!(*hash, crate::wire::state::chunk_hash(&model.bytes[from..to]));
                }
                model.version =
                    (!matches!(bulk.0, Write::Delete { .. })).then_some(written.version);
                self.models.insert(name.into(), model);
                self.done.push((name.into(), id, bulk, written));
            }
            (Err(expected), Err(got)) => assert_eq!(expected, got),
            (expected, got) => panic!("{name}: {expected:?}, and it was {got:?}"),
        }
    }

    /// Any write.
    pub fn change(&mut self) {
        match self.rng.random_range(0..10) {
            0..6 => self.push(),
            6..8 => self.append(),
            8 => self.other(),
            _ => self.repeat(),
        }
    }

    fn push(&mut self) {
        let name = self.name();
        let (staged, parts) = (self.parts(), self.parts());
        let refer = |parts: &[(u64, Vec<u8>)]| -> (Vec<Extent>, Vec<u8>) {
            split(&parts.iter().map(|(off, bytes)| (*off, &bytes[..])).collect::<Vec<_>>())
        };
        let mut push = plain();
        if self.rng.random_bool(0.3) {
            let id = self.node.id();
            let (extents, bytes) = refer(&staged);
            let stage = Write::Stage { push: id.number, extents };
            self.node.write_as(&name, id, Bulk(stage, bytes)).unwrap();
            push.staged = Some(id.number);
        }
        push.create = self.rng.random_bool(0.7);
        push.replace = self.rng.random_bool(0.1);
        push.len = self.rng.random_bool(0.3).then(|| self.rng.random_range(0..50_000));
        let model = self.models.get(&name).cloned().unwrap_or_default();
        push.only = match self.rng.random_range(0..8) {
            0 => Only::Exists,
            1 => Only::Missing,
            2 => Only::Generation(model.version.map_or(9, |version| version.generation)),
            3 => Only::Version(model.version.unwrap_or(Version { generation: 1, seq: 1 })),
            _ => Only::Any,
        };
        let (extents, bytes) = refer(&parts);
        push.extents = extents;
        let mut writes = if push.staged.is_some() { staged } else { vec![] };
        writes.extend(parts);
        let wanted = push.clone();
        self.write(&name, Bulk(Write::Push(push), bytes), |model| pushed(model, &wanted, &writes));
    }

    fn append(&mut self) {
        let (name, bytes) = (self.name(), self.blob(300));
        self.write(&name, Bulk(Write::Append, bytes.clone()), |model| {
            let start = model.bytes.len();
            model.bytes.extend(&bytes);
            model.end = model.bytes.len();
            model.elements.push(start..model.end);
            Ok(())
        });
    }

    fn other(&mut self) {
        let name = self.name();
        let there = |model: &Model| model.version.ok_or(Refusal::Missing).map(drop);
        match self.rng.random_range(0..4) {
            0 => self.write(&name, Write::Delete { only: Only::Any }.into(), |model| {
                there(model)?;
                *model = Model::default();
                Ok(())
            }),
            1 => self.write(&name, Write::ClearAppended.into(), |model| {
                there(model)?;
                *model = Model { version: model.version, ..Model::default() };
                Ok(())
            }),
            2 => {
                let len = self.rng.random_range(0..9_000);
                self.write(&name, Write::Create { len }.into(), |model| {
                    if model.version.is_some() {
                        return Err(Refusal::Exists);
                    }
                    *model = Model { bytes: vec![0; len as usize], ..Model::default() };
                    Ok(())
                });
            }
            _ => {
                self.node.term += 1 << 24;
            }
        }
    }

    /// A repeat gets the answer of the first time, and does nothing.
    fn repeat(&mut self) {
        if self.done.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.done.len());
        let (name, id, bulk, written) = &self.done[at];
        let again = self.node.write_as(name, *id, clone(bulk)).unwrap();
        assert_eq!(
            (again.version, again.len, again.at),
            (written.version, written.len, written.at)
        );
    }

    fn read(&mut self) {
        let name = self.name();
        let model = self.models.get(&name).cloned().unwrap_or_default();
        let Some(version) = model.version else {
            assert_eq!(self.node.read(&name, 0, 10).unwrap_err(), Refusal::Missing);
            return;
        };
        let at = self.rng.random_range(0..model.bytes.len() as u64 + 1);
        let (pulled, bytes) = self.node.read(&name, at, 10_000).unwrap();
        assert_eq!(pulled.version, version);
        let first = pulled.extents.first().map_or(0, |extent| extent.off) as usize;
        assert_eq!(bytes, &model.bytes[first..first + bytes.len()], "{name}");
        self.held.push((name, version, model.bytes));
    }

    /// Readers see what they began with.
    fn read_old(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.held.len());
        let (name, version, was) = self.held[at].clone();
        let off = self.rng.random_range(0..was.len() as u64 + 1);
        let pull = Pull { at: Some(version), ..range(off, 20_000) };
        let (pulled, bytes) = self.node.pull(&name, pull).unwrap();
        assert_eq!((pulled.version, pulled.len), (version, was.len() as u64));
        let first = pulled.extents.first().map_or(0, |extent| extent.off) as usize;
        assert_eq!(bytes, &was[first..first + bytes.len()], "{name} as of {version:?}");
    }

    /// What changed since a version, laid over what was then, gives what there is.
    fn read_since(&mut self) {
        let Some((name, version, mut was)) = self.held.last().cloned() else { return };
        let model = self.models.get(&name).cloned().unwrap_or_default();
        if model.version.is_none_or(|now| now.generation != version.generation) {
            return;
        }
        let pull = Pull { since: Some(version), ..range(0, 1 << 40) };
        let (pulled, bytes) = self.node.pull(&name, pull).unwrap();
        was.resize(pulled.len as usize, 0);
        let mut rest = &bytes[..];
        for extent in pulled.extents {
            let (mine, behind) = rest.split_at(extent.len as usize);
            was[extent.off as usize..][..mine.len()].copy_from_slice(mine);
            rest = behind;
        }
        assert!(was == model.bytes, "{name} since {version:?}");
    }

    pub fn check(&mut self) {
        for (name, model) in self.models.clone() {
            let stat = stat(&mut self.node, &name);
            assert_eq!(stat.as_ref().map(|stat| stat.version), model.version, "{name}");
            let Some(stat) = stat else { continue };
            assert_eq!(stat.appended, model.elements.len() as u64);
            assert!(self.node.bytes(&name) == model.bytes, "{name}");
            let most = self.rng.random_range(0..4);
            let op = Op::Appended { most, off: 0, at: None };
            let (_, bytes) = self.node.ask(&name, op, vec![]);
            let some = model.elements.iter().take(most as usize);
            let some = some.flat_map(|range| model.bytes[range.clone()].to_vec());
            assert_eq!(bytes, some.collect::<Vec<u8>>());
        }
    }

    pub fn checkpoint(&mut self) {
        let through = self.node.last() - self.rng.random_range(0..3).min(self.node.last());
        self.node.store.compact(SHARD, through).unwrap();
        self.node.store.checkpoint(self.node.now).unwrap();
        self.note_synced();
    }

    fn note_synced(&mut self) {
        self.synced = folder();
        let values = self.node.dir.join("values").join(SHARD.0.to_string());
        copy_tree(&values, self.synced.path(), &mut |_, bytes| Some(bytes));
    }

    /// The power fails somewhere in a checkpoint.
    fn crash_in_checkpoint(&mut self, number: usize) {
        let at = self.rng.random_range(0..4);
        let store = &self.node.store;
        let through = self.node.last() - self.rng.random_range(0..3).min(self.node.last());
        store.compact(SHARD, through).unwrap();
        let written = store.write_meta(SHARD, self.node.now).unwrap();
        if at > 0 {
            store.sync_values().unwrap();
            self.note_synced();
        }
        let written: Vec<_> = written.into_iter().collect();
        let store = &self.node.store;
        if at > 1 {
            store.note_metas(&written).unwrap();
        }
        if at > 2 {
            written.iter().for_each(|one| store.remove_doomed(one).unwrap());
        }
        self.crash(number);
    }

    /// The power fails: of each page that was written since the last checkpoint either state.
    fn crash(&mut self, number: usize) {
        let to = self.dir.path().join(number.to_string());
        torn_copy(&self.node.dir, &to, self.synced.path(), &mut self.rng);
        self.start(&to);
    }

    fn start(&mut self, dir: &Path) {
        let (number, term) = (self.node.number, self.node.term);
        self.node = Node::open(dir);
        (self.node.number, self.node.term) = (number, term);
        self.held.clear();
        self.note_synced();
    }
}

/// A copy of a store of which nothing after `synced` was sure to be written, but for the log.
fn torn_copy(from: &Path, to: &Path, synced: &Path, rng: &mut StdRng) {
    copy_tree(from, to, &mut |path, bytes| {
        if !path.starts_with(from.join("values").join(SHARD.0.to_string())) {
            return Some(bytes);
        }
        let old = std::fs::read(synced.join(path.file_name().unwrap())).ok();
        if old.is_none() && rng.random_bool(0.3) {
            return None;
        }
        let mut torn = old.unwrap_or_default();
        torn.resize(torn.len().max(bytes.len()), 0);
        if rng.random_bool(0.5) {
            torn.truncate(bytes.len());
        }
        for (new, old) in bytes.chunks(512).zip(torn.chunks_mut(512)) {
            if rng.random_bool(0.5) {
                old[..new.len()].copy_from_slice(new);
            }
        }
        Some(torn)
    });
}

fn pushed(model: &mut Model, push: &Push, writes: &[(u64, Vec<u8>)]) -> Result<(), Refusal> {
    let mismatch = Err(Refusal::Mismatch(model.version));
    match push.only {
        Only::Exists if model.version.is_none() => return mismatch,
        Only::Missing if model.version.is_some() => return mismatch,
        Only::Generation(_) if model.version.is_none() => return Err(Refusal::Stale),
        Only::Version(version) if model.version != Some(version) => return mismatch,
        _ => {}
    }
    if model.version.is_none() && !push.create {
        return Err(Refusal::Missing);
    }
    let fresh = push.replace || model.version.is_none();
    let ends = writes.iter().map(|(off, bytes)| *off as usize + bytes.len());
    let end = ends.max().unwrap_or(0);
    let was = if fresh { 0 } else { model.bytes.len() };
    let len = push.len.map_or(was.max(end), |len| len as usize);
    if end > len {
        return Err(Refusal::Invalid("bytes behind the end of the value".into()));
    }
    if fresh {
        model.bytes.clear();
    }
    if fresh || len < model.end {
        model.elements.clear();
        model.end = 0;
    }
    model.bytes.resize(len, 0);
    for (off, bytes) in writes {
        model.bytes[*off as usize..][..bytes.len()].copy_from_slice(bytes);
    }
    Ok(())
}

/// How many seeds to run; each is told.
pub fn seeds(usual: u64) -> impl Iterator<Item = u64> {
    let told = std::env::var("FAASM_STORE_SEEDS").ok().and_then(|n| n.parse().ok());
    (0..told.unwrap_or(usual)).inspect(|seed| eprintln!("seed {seed}"))
}

#[test]
fn random_operations_are_those_of_the_model_through_crashes() {
    for seed in seeds(4) {
        let mut world = World::new(seed);
        for step in 1..250 {
            match world.rng.random_range(0..100) {
                0..30 => world.push(),
                30..45 => world.append(),
                45..55 => world.other(),
                55..60 => world.repeat(),
                60..75 => world.read(),
                75..85 => world.read_old(),
                85..92 => world.read_since(),
                92..95 => world.checkpoint(),
                95 => world.crash_in_checkpoint(step),
                96..98 => world.check(),
                98 => {
                    let dir = world.node.dir.clone();
                    let other = world.dir.path().join("other");
                    world.node.store = Store::open(Node::options(&other), 0).unwrap();
                    world.start(&dir);
                }
                _ => world.crash(step),
            }
        }
        world.check();
    }
}
