//! What clients saw, by key, and whether one order of operations explains it.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use porcupine_rs::{CheckResult, Model, Operation, check_operations_timeout};

use super::model::{Counter, CounterOp, List, ListOp, Register, RegisterOp, chained};

/// Longest time to check one key. What is not decided then counts as wrong.
const CHECK: Duration = Duration::from_secs(20);

/// An operation of a client: when it was begun, and when it was answered, if it was.
#[derive(Debug, Clone)]
pub struct Entry<O> {
    pub client: u32,
    pub called: Duration,
    pub returned: Option<Duration>,
    pub what: O,
}

/// What a client saw of a list.
#[derive(Debug, Clone)]
pub enum Seen {
    Append(u64),
    Read(Vec<u64>),
}

/// All keys.
#[derive(Default)]
pub struct Histories {
    pub registers: BTreeMap<String, Vec<Entry<RegisterOp>>>,
    pub lists: BTreeMap<String, Vec<Entry<Seen>>>,
    pub counters: BTreeMap<String, Vec<Entry<CounterOp>>>,
}

impl Histories {
    /// Operations in all, and how many of them stayed without an answer.
    pub fn size(&self) -> (usize, usize) {
        fn of<O>(all: &BTreeMap<String, Vec<Entry<O>>>) -> (usize, usize) {
            let open = |entries: &Vec<Entry<O>>| {
                entries.iter().filter(|entry| entry.returned.is_none()).count()
            };
            (all.values().map(Vec::len).sum(), all.values().map(open).sum())
        }
        let all = [of(&self.registers), of(&self.lists), of(&self.counters)];
        (all.iter().map(|(all, _)| all).sum(), all.iter().map(|(_, open)| open).sum())
    }

    /// The keys whose histories no order of operations explains, each with its history.
    pub fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (key, entries) in &self.registers {
            found.extend(judge::<Register>(key, entries.clone()));
        }
        for (key, entries) in &self.lists {
            let violation = judge::<List>(key, appends_resolved(entries));
            found.extend(violation.map(|text| text + &about_list(entries)));
        }
        for (key, entries) in &self.counters {
            found.extend(judge::<Counter>(key, adds_resolved(entries)));
        }
        found
    }
}

/// The read that saw most.
fn longest(entries: &[Entry<Seen>]) -> &[u64] {
    let reads = entries.iter().filter_map(|entry| match &entry.what {
        Seen::Read(elements) => Some(elements.as_slice()),
        Seen::Append(_) => None,
    });
    reads.max_by_key(|elements| elements.len()).unwrap_or_default()
}

/// For who reads why: what the longest read lacks, or has twice.
fn about_list(entries: &[Entry<Seen>]) -> String {
    let longest = longest(entries);
    let lost = entries.iter().filter_map(|entry| match entry.what {
        Seen::Append(id) if entry.returned.is_some() && !longest.contains(&id) => Some(id),
        _ => None,
    });
    let lost: Vec<u64> = lost.collect();
    let mut sorted = longest.to_vec();
    sorted.sort_unstable();
    let doubled: Vec<u64> =
        sorted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    format!("  the longest read: {longest:?}\n  it lacks {lost:?}, and has twice {doubled:?}\n")
}

/// Unknown appends that nobody saw might as well never happen: the last read came after all of them.
/// One that was seen had happened when the first reader that saw it was answered.
fn appends_resolved(entries: &[Entry<Seen>]) -> Vec<Entry<ListOp>> {
    let mut seen: HashMap<u64, Duration> = HashMap::new();
    for entry in entries {
        if let (Seen::Read(elements), Some(at)) = (&entry.what, entry.returned) {
            for id in elements {
                seen.entry(*id).and_modify(|first| *first = at.min(*first)).or_insert(at);
            }
        }
    }
    let longest = longest(entries);
    let resolved = entries.iter().filter_map(|entry| {
        let (returned, what) = match &entry.what {
            Seen::Append(id) => {
                let at = longest.iter().position(|element| element == id);
                let returned = entry.returned.or(seen.get(id).copied())?;
                (Some(returned), ListOp::Append { id: *id, at })
            }
            Seen::Read(elements) => {
                let hash = elements.iter().fold(0, |hash, id| chained(hash, *id));
                (entry.returned, ListOp::Read { count: elements.len(), hash })
            }
        };
        Some(Entry { client: entry.client, called: entry.called, returned, what })
    });
    resolved.collect()
}

/// The same for unknown additions, and for what was written over: whoever comes next is told who was before.
fn adds_resolved(entries: &[Entry<CounterOp>]) -> Vec<Entry<CounterOp>> {
    let mut seen: HashMap<u64, Duration> = HashMap::new();
    for entry in entries {
        let id = match entry.what {
            CounterOp::Add { told, .. } => told.map(|(_, before)| before),
            CounterOp::Set { .. } => None,
            CounterOp::Look { last, .. } => Some(last),
        };
        if let (Some(id), Some(at)) = (id, entry.returned) {
            seen.entry(id).and_modify(|first| *first = at.min(*first)).or_insert(at);
        }
    }
    let resolved = entries.iter().filter_map(|entry| {
        let mut entry = entry.clone();
        if let (CounterOp::Add { id, .. } | CounterOp::Set { id, .. }, None) =
            (&entry.what, entry.returned)
        {
            entry.returned = Some(*seen.get(id)?);
        }
        Some(entry)
    });
    resolved.collect()
}

fn judge<M: Model>(key: &str, mut entries: Vec<Entry<M::Op>>) -> Option<String> {
    let nanos = |at: Duration| i64::try_from(at.as_nanos()).expect("a short time");
    let operations: Vec<Operation<M>> = entries
        .iter()
        .map(|entry| Operation {
            client_id: Some(entry.client),
            call_time: nanos(entry.called),
            return_time: entry.returned.map_or(i64::MAX, nanos),
            op: entry.what.clone(),
            metadata: None,
        })
        .collect();
    let verdict = check_operations_timeout::<M>(&operations, CHECK);
    if verdict == CheckResult::Ok {
        return None;
    }
    entries.sort_by_key(|entry| entry.called);
    let mut text = format!("{key}: {verdict:?}, {} operations\n", entries.len());
    for Entry { client, called, returned, what } in entries {
        let returned = returned.map_or("-".to_owned(), |at| format!("{:.6}", at.as_secs_f64()));
        let called = called.as_secs_f64();
        writeln!(text, "  {called:10.6} {returned:>10} client {client}: {what:?}").expect("memory");
    }
    Some(text)
}
