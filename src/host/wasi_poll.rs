//! WASI: poll_oneoff, and so sleep.

use std::time::Duration;

use wasmtime::{Caller, Linker};

use super::wasi::{self, MODULE, errno};
use super::wasi_process::clock;
use super::{guest, waits};
use crate::function::State;

/// Most events waited for at once.
const MAX_SUBSCRIPTIONS: u32 = 1024;
/// Sizes of the structures, in bytes.
const SUBSCRIPTION: usize = 48;
const EVENT: usize = 32;
/// Event types.
const CLOCK: u8 = 0;
const FD_READ: u8 = 1;
const FD_WRITE: u8 = 2;
/// Longest sleep: the call's own limits end it long before.
const MAX_SLEEP: Duration = Duration::from_secs(7 * 24 * 3600);

/// One thing to wait for. Parsed from guest bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Subscription {
    userdata: u64,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Clock { id: u32, timeout: u64, absolute: bool },
    Stream { fd: u32, write: bool },
    Invalid(u8),
}

/// Adds it.
pub fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        MODULE,
        "poll_oneoff",
        |mut caller, (subscriptions, events, n, stored): (u32, u32, u32, u32)| {
            Box::new(async move {
                if !(1..=MAX_SUBSCRIPTIONS).contains(&n) {
                    return Ok(errno::INVAL);
                }
                let found = poll(&mut caller, subscriptions, n).await?;
                guest::write(&mut caller, events, &found.concat())?;
                let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
                guest::write_u32(&mut caller, stored, count)?;
                Ok::<_, wasmtime::Error>(errno::SUCCESS)
            })
        },
    )?;
    Ok(())
}

async fn poll(
    caller: &mut Caller<'_, State>,
    subscriptions: u32,
    n: u32,
) -> wasmtime::Result<Vec<[u8; EVENT]>> {
    let bytes = guest::read(caller, subscriptions, n * SUBSCRIPTION as u32)?;
    let asked: Vec<_> = bytes.chunks_exact(SUBSCRIPTION).map(Subscription::parse).collect();
    let ready = ready(caller, &asked);
    if !ready.is_empty() {
        return Ok(ready);
    }
    let first = asked.iter().filter_map(|asked| asked.left()).min().unwrap_or_default();
    sleep(caller, first).await;
    let passed = asked.iter().filter(|asked| asked.left().is_some_and(|left| left <= first));
    Ok(passed.map(|asked| asked.event(errno::SUCCESS)).collect())
}

/// Sleeps; the call's slot is free meanwhile. Cancelling the call ends it.
async fn sleep(caller: &mut Caller<'_, State>, time: Duration) {
    // The control runtime's timer: the guest runtime has none.
    waits::away(caller, tokio::time::sleep(time.min(MAX_SLEEP))).await;
}

/// Events that need no waiting: streams, clocks that passed, and errors.
fn ready(caller: &mut Caller<'_, State>, asked: &[Subscription]) -> Vec<[u8; EVENT]> {
    let mut events = Vec::new();
    for asked in asked {
        match asked.kind {
            Kind::Clock { id, .. } if clock(id).is_none() => events.push(asked.event(errno::INVAL)),
            Kind::Clock { .. } if asked.left() == Some(Duration::ZERO) => {
                events.push(asked.event(errno::SUCCESS));
            }
            Kind::Clock { .. } => {}
            Kind::Stream { fd, write } => {
                let open = wasi::of(caller).is_open(fd) && write == (fd != 0);
                events.push(asked.event(if open { errno::SUCCESS } else { errno::BADF }));
            }
            Kind::Invalid(_) => events.push(asked.event(errno::INVAL)),
        }
    }
    events
}

impl Subscription {
    fn parse(bytes: &[u8]) -> Self {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        let kind = match bytes[8] {
            CLOCK => {
                Kind::Clock { id: u32_at(16), timeout: u64_at(24), absolute: u16_at(40) & 1 == 1 }
            }
            tag @ (FD_READ | FD_WRITE) => Kind::Stream { fd: u32_at(16), write: tag == FD_WRITE },
            tag => Kind::Invalid(tag),
        };
        Self { userdata: u64_at(0), kind }
    }

    /// How long until a clock's time; `None` for others. Relative ones count from now.
    fn left(&self) -> Option<Duration> {
        let Kind::Clock { id, timeout, absolute } = self.kind else { return None };
        let now = if absolute { clock(id)? } else { 0 };
        Some(Duration::from_nanos(timeout.saturating_sub(now)))
    }

    fn event(&self, error: i32) -> [u8; EVENT] {
        let tag = match self.kind {
            Kind::Clock { .. } => CLOCK,
            Kind::Stream { write: false, .. } => FD_READ,
            Kind::Stream { write: true, .. } => FD_WRITE,
            Kind::Invalid(tag) => tag,
        };
        let mut event = [0; EVENT];
        event[..8].copy_from_slice(&self.userdata.to_le_bytes());
        event[8..10].copy_from_slice(&u16::try_from(error).unwrap_or(u16::MAX).to_le_bytes());
        event[10] = tag;
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_are_read_as_the_specification_lays_them_out() {
        let mut bytes = [0; SUBSCRIPTION];
        bytes[..8].copy_from_slice(&7u64.to_le_bytes());
        bytes[16] = 1;
        bytes[24..32].copy_from_slice(&5_000u64.to_le_bytes());
        let relative = Subscription::parse(&bytes);
        let kind = Kind::Clock { id: 1, timeout: 5_000, absolute: false };
        assert_eq!(relative, Subscription { userdata: 7, kind });
        assert_eq!(relative.left(), Some(Duration::from_nanos(5_000)));
        bytes[8] = FD_WRITE;
        let stream = Subscription::parse(&bytes);
        assert_eq!(stream.kind, Kind::Stream { fd: 1, write: true });
        assert_eq!(stream.left(), None);
        let event = stream.event(errno::BADF);
        assert_eq!((event[0], event[8], event[10]), (7, 8, FD_WRITE));
    }

    #[test]
    fn an_absolute_time_that_passed_needs_no_wait() {
        let kind = Kind::Clock { id: 0, timeout: 1, absolute: true };
        assert_eq!(Subscription { userdata: 0, kind }.left(), Some(Duration::ZERO));
    }
}
