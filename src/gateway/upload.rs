//! What an upload asks for: limits and placement, from the query, each within a sane maximum.

use std::ops::RangeInclusive;

use super::error::ApiError;
use super::query;
use crate::config::units::{format_millis, format_size, parse_duration, parse_size};
use crate::consensus::MemberView;
use crate::id::NodeId;
use crate::wire::function::{Limits, Options, Policy};

/// Linear memory: from one wasm page.
const MEMORY: RangeInclusive<u64> = (64 << 10)..=Limits::MAX_MEMORY;
/// Run time: longer jobs are better cut into calls that can be placed anew.
const RUN_MS: RangeInclusive<u64> = 1..=(24 * 3_600_000);
/// Output: kept in memory until it is fetched.
const OUTPUT: RangeInclusive<u64> = 0..=(1 << 30);
/// Log: kept in memory beside the record.
const LOG: RangeInclusive<u64> = 0..=(64 << 20);
/// Instances of one function on one node.
const INSTANCES: RangeInclusive<u64> = 1..=100_000;
/// Attempts after the first: a call that kills its nodes must end.
const RETRIES: RangeInclusive<u64> = 0..=100;
/// Most nodes a function can be pinned to.
const MAX_PINS: usize = 64;

const ALLOWED: &str = "memory, run_time, output, log, instances, policy, retries, pin";

/// Reads the limits and the placement of an upload. What is not named has its default.
pub fn parse(query: Option<&str>) -> Result<(Limits, Options), ApiError> {
    let (mut limits, mut options) = (Limits::default(), Options::default());
    for (name, value) in query::parse(query)? {
        match name.as_str() {
            "memory" => limits.memory = size(&name, &value, &MEMORY)?,
            "output" => limits.output = size(&name, &value, &OUTPUT)?,
            "log" => limits.log = size(&name, &value, &LOG)?,
            "run_time" => limits.run_ms = run_time(&value)?,
            "instances" => limits.instances = count(&name, &value, &INSTANCES)?,
            "retries" => options.retries = count(&name, &value, &RETRIES)?,
            "policy" => options.policy = policy(&value)?,
            "pin" => options.pin = pins(&name, &value)?,
            _ => return Err(query::unknown(&name, ALLOWED)),
        }
    }
    Ok((limits, options))
}

/// Reads a policy's name.
pub fn policy(value: &str) -> Result<Policy, ApiError> {
    value.parse().map_err(|why| query::bad("policy", why))
}

/// Reads nodes: `n1,n2` or `1,2`.
pub fn pins(name: &str, value: &str) -> Result<Vec<NodeId>, ApiError> {
    let nodes: Result<Vec<NodeId>, _> = value.split(',').map(str::parse).collect();
    let mut nodes = nodes.map_err(|why| query::bad(name, why))?;
    nodes.sort_unstable();
    nodes.dedup();
    if nodes.len() > MAX_PINS {
        return Err(query::bad(name, format!("at most {MAX_PINS} nodes are allowed")));
    }
    Ok(nodes)
}

/// Refuses nodes that the cluster does not have; `members` is asked only when there are pins.
pub fn check_pins(
    pins: &[NodeId],
    members: impl FnOnce() -> Vec<MemberView>,
) -> Result<(), ApiError> {
    if pins.is_empty() {
        return Ok(());
    }
    let members = members();
    let stranger = |pin: &&NodeId| !members.iter().any(|member| member.node == **pin);
    match pins.iter().find(stranger) {
        None => Ok(()),
        Some(pin) => {
            let known: Vec<String> = members.iter().map(|m| m.node.to_string()).collect();
            let known = known.join(", ");
            Err(ApiError::invalid(format!("the cluster has no node {pin}: its nodes are {known}")))
        }
    }
}

/// Refuses at once what is no binary module; the compiler checks the rest.
pub fn check_module(bytes: &[u8]) -> Result<(), ApiError> {
    match bytes {
        [] => Err(ApiError::invalid("the body is empty: send the module's bytes")),
        [0, b'a', b's', b'm', ..] => Ok(()),
        _ => Err(ApiError::invalid(
            "the body is no WebAssembly module: it does not begin with \\0asm; compile it with \
             sdk/c/faasm-cc",
        )),
    }
}

fn size(name: &str, value: &str, range: &RangeInclusive<u64>) -> Result<u64, ApiError> {
    let size = parse_size(value).map_err(|why| query::bad(name, why))?;
    within(name, size, range, format_size)
}

fn run_time(value: &str) -> Result<u64, ApiError> {
    let time = parse_duration(value).map_err(|why| query::bad("run_time", why))?;
    within("run_time", u64::try_from(time.as_millis()).unwrap_or(u64::MAX), &RUN_MS, format_millis)
}

fn count(name: &str, value: &str, range: &RangeInclusive<u64>) -> Result<u32, ApiError> {
    let bad = || query::bad(name, format!("`{value}` is no whole number"));
    let count = value.parse::<u32>().map_err(|_| bad())?;
    within(name, u64::from(count), range, |count| count.to_string()).map(|_| count)
}

fn within(
    name: &str,
    value: u64,
    range: &RangeInclusive<u64>,
    show: fn(u64) -> String,
) -> Result<u64, ApiError> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (least, most) = (show(*range.start()), show(*range.end()));
    Err(query::bad(name, format!("{} is not in {least} to {most}", show(value))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_taken() {
        let query = "memory=64MiB&run_time=10s&output=1MiB&log=0&instances=5\
                     &policy=spread&retries=2&pin=n2,1,2";
        let (limits, options) = parse(Some(query)).unwrap();
        let expected =
            Limits { memory: 64 << 20, run_ms: 10_000, output: 1 << 20, log: 0, instances: 5 };
        assert_eq!(limits, expected);
        let pin = vec![NodeId(1), NodeId(2)];
        assert_eq!(options, Options { policy: Policy::Spread, retries: 2, pin });
        assert_eq!(parse(None).unwrap(), (Limits::default(), Options::default()));
    }

    #[test]
    fn defaults_are_within_their_own_ranges() {
        let limits = Limits::default();
        assert!(MEMORY.contains(&limits.memory));
        assert!(OUTPUT.contains(&limits.output) && LOG.contains(&limits.log));
        assert!(RUN_MS.contains(&limits.run_ms));
        assert!(INSTANCES.contains(&u64::from(limits.instances)));
    }

    #[test]
    fn pins_name_nodes_that_there_are() {
        let member = |id| MemberView {
            keys: Vec::new(),
            draining: false,
            node: NodeId(id),
            voter: true,
            leader: false,
            caught_up: None,
            quic: String::new(),
            http: String::new(),
            session: None,
        };
        let members = || vec![member(1), member(2)];
        assert_eq!(check_pins(&[NodeId(1), NodeId(2)], members), Ok(()));
        let error = check_pins(&[NodeId(1), NodeId(9)], members).unwrap_err();
        assert!(error.error().detail.contains("n9") && error.error().detail.contains("n1, n2"));
        assert_eq!(check_pins(&[], || panic!("asked without need")), Ok(()));
    }

    #[test]
    fn only_binary_modules_are_taken() {
        assert_eq!(check_module(b"\0asm\x01\0\0\0"), Ok(()));
        for bad in [&b""[..], b"(module)", b"\x7fELF"] {
            assert_eq!(check_module(bad).unwrap_err().status(), 400);
        }
    }

    #[test]
    fn what_is_not_allowed_names_the_parameter_and_what_is() {
        let cases = [
            ("memory=5GiB", "64KiB to 4GiB"),
            ("memory=1", "64KiB to 4GiB"),
            ("memory=big", "KiB, MiB or GiB"),
            ("run_time=0ms", "1ms to 24h"),
            ("run_time=5", "ms, s, m or h"),
            ("output=2GiB", "0B to 1GiB"),
            ("instances=0", "1 to 100000"),
            ("retries=-1", "no whole number"),
            ("policy=random", "bin-pack, spread or locality"),
            ("pin=n0", "node id"),
            ("pin=", "node id"),
        ];
        for (query, hint) in cases {
            let error = parse(Some(query)).unwrap_err();
            let name = query.split('=').next().unwrap();
            let detail = &error.error().detail;
            assert_eq!(error.status(), 400);
            assert!(detail.contains(name) && detail.contains(hint), "{query}: {detail}");
        }
        let error = parse(Some("memroy=1MiB")).unwrap_err();
        assert!(error.error().detail.contains("memory, run_time"));
    }
}
