//! What must be true of a history, a function for each rule. Pure: a history goes in, the
//! violations come out.

use std::collections::BTreeSet;
use std::time::Duration;

use super::history::{Call, End, Fault, History, Kind, Seen, Sort, What};

/// What a call may take past its deadline until its end is seen, when no fault was near: the poll
/// of the client and a busy machine.
const LATE: Duration = Duration::from_secs(3);
/// The same with a fault near: until a lost node is known for lost, and its calls with it.
const LATE_BY_FAULT: Duration = Duration::from_secs(9);
/// How long after its end a fault may still be the reason of an error: all works by then.
pub const AFTERMATH: Duration = Duration::from_secs(8);

/// The longest between the filing of a call's record and its acceptance.
const CLAIM: Duration = Duration::from_secs(3);

/// Codes that a call may end with because of a fault.
const BY_FAULT: [&str; 3] = ["FAASM_EHOSTLOST", "FAASM_EUNAVAILABLE", "FAASM_ETIMEDOUT"];
/// A tree's own result when one of its children failed.
const CHILD_FAILED: u8 = 4;

/// All violations of all rules, each with the call or function that it is about.
pub fn violations(history: &History) -> Vec<String> {
    let by_call: [fn(&History, &Call) -> Option<String>; 6] =
        [ended_twice, lost, wrong, without_reason, late, ran_twice];
    let calls = history.calls.iter().flat_map(|call| {
        by_call.iter().filter_map(|rule| {
            let why = rule(history, call)?;
            let (name, id, sort) = (&call.name, call.id.as_deref().unwrap_or("-"), call.sort);
            let looks = looks(call);
            Some(format!("{name} {id} ({sort:?}, begun at {:.3?}): {why}; {looks}", call.begun))
        })
    });
    calls.chain(lost_uploads(history)).collect()
}

/// What the client saw, for who wants to know why.
fn looks(call: &Call) -> String {
    let look =
        |seen: &Seen| format!("{:.1}s n{} {}", seen.at.as_secs_f64(), seen.through, seen.what);
    let looks: Vec<String> = call.seen.iter().map(look).collect();
    format!("asked of n{}, looks: {}", call.through, looks.join(", "))
}

/// The faults that may be the reason of what happened from one time to another.
fn faults_near(history: &History, from: Duration, to: Duration) -> impl Iterator<Item = &Fault> {
    let aftermath = history.slack(AFTERMATH);
    history.faults.iter().filter(move |f| f.from <= to && f.until + aftermath >= from)
}

/// Whether the nodes that keep a call's record may all have died with it: two of them do, from
/// shortly before it is accepted, and the second one before others have what the first one kept.
fn record_died(history: &History, call: &Call, until: Duration) -> bool {
    let from = call.accepted.unwrap_or(call.begun);
    let dead = |f: &&Fault| f.kind == Kind::Kill && f.until + CLAIM >= from && f.from <= until;
    let dead: Vec<&Fault> = history.faults.iter().filter(dead).collect();
    let moved = history.slack(AFTERMATH);
    dead.windows(2).any(|pair| pair[1].from <= pair[0].from + moved)
}

fn ends(call: &Call) -> impl Iterator<Item = (Duration, &End)> {
    call.seen.iter().filter_map(|seen| match &seen.what {
        What::Ended(end) => Some((seen.at, end)),
        _ => None,
    })
}

/// A call ends once: all ends that were seen are the same one, and after it the call never lives.
/// While nodes do not reach each other, one may show what was so before; once healed, none may.
pub fn ended_twice(history: &History, call: &Call) -> Option<String> {
    let (first, rest) = first_end(call)?;
    rest.iter().find_map(|seen| match &seen.what {
        What::Ended(end)
            if !same(&first.1, end) && !was_given_up(history, call, &first, seen, end) =>
        {
            Some(format!("ended as {:?}, then as {end:?} at {:.3?}", first.1, seen.at))
        }
        What::Alive if faults_near(history, seen.at, seen.at).next().is_none() => {
            Some(format!("ended as {:?}, but lives at {:.3?}", first.1, seen.at))
        }
        _ => None,
    })
}

/// Calls whose record died with all that kept it, so that they were given up as lost, though how they
/// ended was known before, or was still known to their home. They are not among the violations.
pub fn given_up(history: &History) -> Vec<String> {
    let found = history.calls.iter().filter_map(|call| {
        let (first, rest) = first_end(call)?;
        rest.iter().find_map(|seen| match &seen.what {
            What::Ended(end) if was_given_up(history, call, &first, seen, end) => Some(format!(
                "{} ({:?}): {:?} at {:.3?}, {:?} at {:.3?} through n{}",
                call.name, call.sort, first.1.result, first.0, end.result, seen.at, seen.through
            )),
            _ => None,
        })
    });
    found.collect()
}

fn first_end(call: &Call) -> Option<((Duration, End), &[Seen])> {
    call.seen.iter().enumerate().find_map(|(at, seen)| match &seen.what {
        What::Ended(end) => Some(((seen.at, end.clone()), &call.seen[at + 1..])),
        _ => None,
    })
}

fn same(a: &End, b: &End) -> bool {
    let outputs = a.output.as_ref().zip(b.output.as_ref());
    a.result == b.result && outputs.is_none_or(|(a, b)| a == b)
}

fn was_given_up(
    history: &History,
    call: &Call,
    first: &(Duration, End),
    seen: &Seen,
    end: &End,
) -> bool {
    let is_lost = |end: &End| end.result == Err("FAASM_EHOSTLOST".to_owned());
    let died = record_died(history, call, seen.at);
    died && !same(&first.1, end) && (is_lost(&first.1) || is_lost(end))
}

/// Every accepted call ends. Its record is in memory on two nodes: that two were killed is an
/// excuse.
pub fn lost(history: &History, call: &Call) -> Option<String> {
    let accepted = call.accepted?;
    let until = call.seen.last().map_or(history.healed, |seen| seen.at);
    let known = ends(call).next().is_some();
    (!known && !record_died(history, call, until)).then(|| {
        let last = call.seen.last().map(|seen| format!("{:?} at {:.3?}", seen.what, seen.at));
        format!("accepted at {accepted:.3?}, and no end was ever seen; last: {last:?}")
    })
}

/// The answer is the right one.
pub fn wrong(_: &History, call: &Call) -> Option<String> {
    ends(call).find_map(|(_, end)| {
        let right = match (&end.result, call.sort) {
            (Err(_), _) => true,
            (Ok(0), Sort::Endless) => false,
            (Ok(0), Sort::Job) => end.output.as_ref().is_none_or(String::is_empty),
            (Ok(0), Sort::Tree) => end.output.as_ref().is_none_or(|output| *output == tree(call)),
            (Ok(0), _) => end.output.as_ref().is_none_or(|output| is_answer_to(call, output)),
            (Ok(result), sort) => sort == Sort::Tree && *result == CHILD_FAILED,
        };
        (!right).then(|| format!("a wrong answer: {end:?}"))
    })
}

/// What `witness` makes of the call's name: the name, and a number in 16 digits.
fn is_answer_to(call: &Call, output: &str) -> bool {
    let number = output.strip_prefix(&call.name).and_then(|rest| rest.strip_prefix(' '));
    number.is_some_and(|n| n.len() == 16 && n.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The output of every tree here: 3 wide, 2 deep.
fn tree(_: &Call) -> String {
    "1:13".to_owned()
}

/// An error has one of the documented codes, and a reason: a fault near it, a cancellation, or the
/// deadline of a call that never ends by itself.
pub fn without_reason(history: &History, call: &Call) -> Option<String> {
    let fault_near = |at| faults_near(history, call.begun, at).next().is_some();
    let refused = call.seen.iter().filter_map(|seen| match &seen.what {
        What::Refused(code) => Some((seen.at, Err(code.clone()))),
        // Whoever is silent must have had a fault of its own.
        What::Silence if !silenced(history, seen.through, call.begun, seen.at) => {
            Some((seen.at, Err(format!("silence of n{}", seen.through))))
        }
        _ => None,
    });
    let ended = ends(call).map(|(at, end)| (at, end.result.clone()));
    refused.chain(ended).find_map(|(at, result)| {
        let fine = match &result {
            Ok(CHILD_FAILED) => fault_near(at),
            Ok(_) => true,
            Err(code) if code == "FAASM_ECANCELLED" => call.sort == Sort::Endless,
            Err(code) if code == "FAASM_ETIMEDOUT" && call.sort == Sort::Endless => true,
            Err(code) => BY_FAULT.contains(&code.as_str()) && fault_near(at),
        };
        (!fine).then(|| format!("{result:?} at {at:.3?} without a reason"))
    })
}

/// Whether a node was killed or paused in this time.
fn silenced(history: &History, node: usize, from: Duration, to: Duration) -> bool {
    let own = |f: &Fault| matches!(f.kind, Kind::Kill | Kind::Pause) && f.hosts.contains(&node);
    faults_near(history, from, to).any(own)
}

/// A call ends within its deadline, or, when cancelled, soon; and a bound.
pub fn late(history: &History, call: &Call) -> Option<String> {
    let from = call.accepted?;
    let due = from + call.limit;
    let due = call.cancelled.map_or(due, |at| due.min(at));
    let alive = |seen: &&Seen| seen.what == What::Alive;
    let (seen, what) = match call.sort {
        Sort::Sync | Sort::Tree => ends(call).map(|(at, end)| (at, format!("{end:?}"))).next()?,
        // Who could not ask for a while, or asked a node that could not know, cannot say when it ended.
        _ => call.seen.iter().rfind(alive).map(|seen| (seen.at, "alive".to_owned()))?,
    };
    let near = faults_near(history, from, seen).next().is_some();
    let bound = history.slack(if near { LATE_BY_FAULT } else { LATE });
    // Without a majority of voters, no node can be declared lost.
    let due = due.max(majority_back(history, from, seen).unwrap_or_default());
    (seen > due + bound).then(|| format!("due at {due:.3?}, at {seen:.3?} it was {what}"))
}

/// When, in this time, the last two faults at once were over: two of three voters may have had them.
fn majority_back(history: &History, from: Duration, to: Duration) -> Option<Duration> {
    let in_it = |f: &&Fault| f.from <= to && f.until >= from;
    let faults: Vec<&Fault> = history.faults.iter().filter(in_it).collect();
    let pairs = faults.iter().enumerate().flat_map(|(at, a)| {
        faults[at + 1..].iter().filter(|b| a.from < b.until && b.from < a.until).map(|b| (*a, *b))
    });
    pairs.map(|(a, b)| a.until.min(b.until)).max()
}

/// A function without retries runs at most once for each accepted call.
pub fn ran_twice(_: &History, call: &Call) -> Option<String> {
    ends(call).find_map(|(_, end)| {
        let again = call.sort != Sort::Patient && end.attempt.is_some_and(|attempt| attempt > 0);
        let twice = end.runs.is_some_and(|runs| runs > 1);
        (again || twice).then(|| format!("ran more than once: {end:?}"))
    })
}

/// What was asked for after an upload was confirmed finds that version or a later one, anywhere;
/// and at the end every node was read.
pub fn lost_uploads(history: &History) -> Vec<String> {
    let mut found = Vec::new();
    for read in &history.reads {
        let of_it = history.uploads.iter().filter(|u| u.function == read.function);
        let confirmed = of_it.clone().filter(|u| u.confirmed.is_some_and(|at| at < read.begun));
        let least = confirmed.map(|u| u.version).max().unwrap_or(0);
        let most = of_it.map(|u| u.version).max().unwrap_or(0);
        if !(least..=most).contains(&read.version) {
            let (function, begun, through) = (&read.function, read.begun, read.through);
            let version = read.version;
            found.push(format!(
                "{function}: version {version} at {begun:.3?} through n{through}, \
                 where {least} to {most} can be"
            ));
        }
    }
    let confirmed = history.uploads.iter().filter(|u| u.confirmed.is_some());
    let functions: BTreeSet<&String> = confirmed.map(|u| &u.function).collect();
    for function in functions {
        for node in 1..=history.nodes {
            let last = |r: &&super::history::Read| {
                r.function == *function && r.through == node && r.begun >= history.healed
            };
            if history.reads.iter().find(last).is_none() {
                found.push(format!("{function} cannot be read through n{node} after healing"));
            }
        }
    }
    found
}
