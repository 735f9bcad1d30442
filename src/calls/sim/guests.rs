//! What simulated calls do: programs drawn from the seed in their input, so that every attempt does
//! the same, and what they must return is known.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::errno::{CallError, Errno};
use crate::function::{CallHost, Control, Outcome, Target};
use crate::wire::calls::Times;

/// What a call returns when a child that it needs failed.
pub const CHILD_FAILED: u8 = 255;
/// The functions, by name.
pub const FUNCTIONS: [&str; 4] = ["once", "again", "narrow", "short"];

/// The seed of programs that are not drawn.
const CHAIN: u64 = u64::MAX;

/// What a call does with its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    AwaitAll,
    AwaitAny,
    Leave,
    CancelFirst,
    Output,
}

/// One call's program.
#[derive(Debug, Clone)]
pub struct Plan {
    own: u8,
    work: Duration,
    sleeps: bool,
    mode: Mode,
    /// Function and program of each child.
    children: Vec<(Option<&'static str>, Program)>,
    padding: usize,
}

/// A program, as it stands in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    pub seed: u64,
    pub depth: u8,
    pub padding: u32,
}

impl Program {
    pub fn draw(rng: &mut StdRng, depth: u8) -> Self {
        let padding = if rng.random_range(0..20) == 0 { 70_000 } else { 0 };
        Self { seed: rng.random(), depth, padding }
    }

    pub fn to_input(self) -> Bytes {
        let mut input = self.seed.to_le_bytes().to_vec();
        input.push(self.depth);
        input.resize(input.len() + self.padding as usize, 0);
        input.into()
    }

    pub fn from_input(input: &[u8]) -> Self {
        let seed = u64::from_le_bytes(input[..8].try_into().expect("8 bytes"));
        Self { seed, depth: input[8], padding: (input.len() - 9) as u32 }
    }

    /// A call that leaves a child behind at once, which does the same, so many deep; the last one goes
    /// on for long.
    pub fn chain(depth: u8) -> Self {
        Self { seed: CHAIN, depth, padding: 0 }
    }

    fn chain_plan(self) -> Plan {
        let is_last = self.depth == 0;
        let below = (!is_last).then(|| (None, Self::chain(self.depth - 1)));
        Plan {
            own: 0,
            work: if is_last { Duration::from_secs(20) } else { Duration::from_millis(1) },
            sleeps: false,
            mode: Mode::Leave,
            children: below.into_iter().collect(),
            padding: 0,
        }
    }

    pub fn plan(self) -> Plan {
        if self.seed == CHAIN {
            return self.chain_plan();
        }
        let mut rng = StdRng::seed_from_u64(self.seed);
        let most = if self.depth == 0 { 0 } else { 3 };
        let count = rng.random_range(0..=most);
        let modes = [Mode::AwaitAll, Mode::AwaitAny, Mode::Leave, Mode::CancelFirst, Mode::Output];
        let child = |rng: &mut StdRng| {
            let function = rng.random_range(0..8);
            let name = FUNCTIONS.get(function).copied().filter(|name| *name != "short");
            // Calls of a function with few instances that wait for each other would wait for ever.
            let depth = if name == Some("narrow") { 0 } else { self.depth - 1 };
            (name, Program::draw(rng, depth))
        };
        let work = match rng.random_range(0..30) {
            0 => rng.random_range(4_000_000..7_000_000),
            1..3 => rng.random_range(200_000..1_500_000),
            3..12 => rng.random_range(10_000..100_000),
            _ => rng.random_range(100..5_000),
        };
        Plan {
            own: rng.random_range(0..50),
            work: Duration::from_micros(work),
            sleeps: rng.random(),
            mode: modes[rng.random_range(0..modes.len())],
            children: (0..count).map(|_| child(&mut rng)).collect(),
            padding: if rng.random_range(0..20) == 0 { 70_000 } else { 0 },
        }
    }

    /// What it returns when nothing goes wrong.
    pub fn expected(self) -> u8 {
        let plan = self.plan();
        let mut sum = u32::from(plan.own);
        if matches!(plan.mode, Mode::AwaitAll | Mode::Output) {
            sum += plan.children.iter().map(|(_, child)| u32::from(child.expected())).sum::<u32>();
        }
        (sum % 200) as u8
    }
}

/// Runs a job to its outcome, which tells in its output which execution it was.
pub async fn run(
    program: Program,
    control: Arc<Control>,
    host: Arc<dyn CallHost>,
    execution: u64,
) -> Outcome {
    let plan = program.plan();
    let mut guest = Box::pin(guest(&*host, &plan));
    let result = poll_fn(|cx| match control.poll_ended(cx) {
        Some(reason) => Poll::Ready(Err(reason.error())),
        None => guest.as_mut().poll(cx),
    })
    .await;
    drop(guest);
    let mut output = execution.to_le_bytes().to_vec();
    output.resize(output.len() + plan.padding, 1);
    let times = Times { accepted_us: 0, started_us: 1, ended_us: 2 };
    Outcome { result, output: output.into(), log: Bytes::new(), times }
}

async fn guest(host: &dyn CallHost, plan: &Plan) -> Result<u8, CallError> {
    host.started();
    if plan.sleeps {
        host.waiting();
    } else if plan.work > Duration::from_millis(20) {
        host.long_running();
    }
    tokio::time::sleep(plan.work).await;
    if plan.sleeps {
        host.resumed();
    }
    let mut handles = Vec::new();
    for (name, child) in &plan.children {
        let target = name.map_or(Target::Table(1), Target::Name);
        match host.chain(target, child.to_input()).await {
            Ok(handle) => handles.push(handle),
            Err(_) => return Ok(CHILD_FAILED),
        }
    }
    let mut sum = u32::from(plan.own);
    match plan.mode {
        Mode::Leave => {}
        Mode::CancelFirst => {
            if let Some(first) = handles.first() {
                let _ = host.cancel(*first);
                let _ = host.wait(*first, Some(Duration::from_secs(60))).await;
            }
        }
        Mode::AwaitAny if handles.is_empty() => {}
        Mode::AwaitAny => {
            if host.wait_any(handles, None).await.is_err() {
                return Ok(CHILD_FAILED);
            }
        }
        Mode::AwaitAll | Mode::Output => {
            for handle in handles {
                let ended = host.wait(handle, None).await;
                let Ok(code) = ended else { return Ok(CHILD_FAILED) };
                if code == CHILD_FAILED {
                    return Ok(CHILD_FAILED);
                }
                sum += u32::from(code);
                if plan.mode == Mode::Output {
                    match host.output(handle).await {
                        Ok(_) => {}
                        Err(Errno::HostLost | Errno::TimedOut) => return Ok(CHILD_FAILED),
                        Err(other) => {
                            let detail = format!("an output that is there: {other:?}");
                            return Err(CallError::new(Errno::Io, detail));
                        }
                    }
                }
            }
        }
    }
    Ok((sum % 200) as u8)
}
