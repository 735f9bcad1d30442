//! Processes by more than their number: a pid is given to another process once its own has ended,
//! so a pid file also has the start time and the boot, and signals go through a pidfd.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::make::write_whole;
use crate::cli::exit::CliError;

/// A process that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pid: i32,
    /// In clock ticks since the boot.
    start: u64,
    boot: String,
}

/// A process that was found to run, held so that it cannot be mistaken for another.
#[derive(Debug)]
pub struct Running {
    /// Its number, for people.
    pub pid: i32,
    fd: OwnedFd,
}

impl Process {
    /// The process that has this number now; none if it has ended.
    pub fn of(pid: u32) -> Option<Self> {
        let pid = i32::try_from(pid).ok()?;
        Some(Self { pid, start: start_time(pid)?, boot: boot()? })
    }

    /// Reads a pid file; none when there is none, or none that can be read.
    pub fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        let mut words = text.split_whitespace();
        let pid = words.next()?.parse().ok()?;
        let start = words.next()?.parse().ok()?;
        Some(Self { pid, start, boot: words.next()?.to_owned() })
    }

    /// Writes a pid file.
    pub fn write(&self, path: &Path) -> Result<(), CliError> {
        let line = format!("{} {} {}\n", self.pid, self.start, self.boot);
        write_whole(path, line.as_bytes())
    }

    /// Waits until nothing of this process is left, at most until `deadline`; whether that is so.
    /// One that was killed keeps its ports a little longer than it runs: until its last thread has
    /// ended, and its memory is gone.
    pub fn wait_gone(&self, deadline: Instant) -> bool {
        let fd = Pid::from_raw(self.pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        // Looked at after the pidfd was taken, as below.
        let same = stat(self.pid).is_some_and(|stat| stat.start == self.start)
            && boot().as_ref() == Some(&self.boot);
        match fd {
            Some(fd) if same => Running { pid: self.pid, fd }.wait_until(deadline),
            _ => true,
        }
    }

    /// This very process, if it still runs.
    pub fn running(&self) -> Option<Running> {
        let fd = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // Looked at after the pidfd was taken: what it names now, it names for ever.
        let same = start_time(self.pid) == Some(self.start) && boot().as_ref() == Some(&self.boot);
        same.then_some(Running { pid: self.pid, fd })
    }
}

impl Running {
    /// Asks it to end.
    pub fn terminate(&self) {
        self.send(Signal::TERM);
    }

    /// Ends it.
    pub fn kill(&self) {
        self.send(Signal::KILL);
    }

    fn send(&self, signal: Signal) {
        // The only error is that it has ended already, which is what was wanted.
        let _sent = pidfd_send_signal(&self.fd, signal).is_ok();
    }

    /// Waits for its end, at most until `deadline`; whether it has ended.
    pub fn wait_until(&self, deadline: Instant) -> bool {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
            match poll(&mut fds, Some(&timespec(left))) {
                Ok(0) => return false,
                Err(rustix::io::Errno::INTR) => {}
                Ok(_) | Err(_) => return true,
            }
        }
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(time.subsec_nanos()),
    }
}

/// What `/proc/PID/stat` tells.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// Whether its first thread has ended, be it that nobody has taken note of that yet.
    ended: bool,
    /// In clock ticks since the boot.
    start: u64,
}

/// When a process started; none if it has ended, also if nobody has taken note of that yet.
fn start_time(pid: i32) -> Option<u64> {
    stat(pid).filter(|stat| !stat.ended).map(|stat| stat.start)
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads `/proc/PID/stat`. The name in it is in brackets and can contain anything.
fn parse_stat(stat: &str) -> Option<Stat> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X");
    // Field 22, of which 3 were taken.
    Some(Stat { ended, start: fields.nth(18)?.parse().ok()? })
}

fn boot() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(boot.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let tail = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(
            parse_stat(&format!("7 (a b) c) S {tail}")),
            Some(Stat { ended: false, start: 4711 })
        );
        assert_eq!(
            parse_stat(&format!("7 (faasm) Z {tail}")),
            Some(Stat { ended: true, start: 4711 })
        );
        assert_eq!(parse_stat("7 (faasm"), None);
        assert_eq!(parse_stat("7 (faasm) S 1 2"), None);
    }

    #[test]
    fn a_process_is_found_again_and_a_recycled_pid_is_not_taken_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("node.pid");
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::of(child.id()).unwrap();
        process.write(&file).unwrap();
        assert_eq!(Process::read(&file), Some(process.clone()));
        let running = process.running().unwrap();
        let recycled = Process { start: process.start + 1, ..process.clone() };
        assert!(recycled.running().is_none(), "another start time is another process");
        let rebooted = Process { boot: "other".into(), ..process.clone() };
        assert!(rebooted.running().is_none(), "another boot is another process");
        assert!(!running.wait_until(Instant::now()) && !process.wait_gone(Instant::now()));
        assert!(recycled.wait_gone(Instant::now()), "another process is not waited for");
        running.terminate();
        assert!(running.wait_until(Instant::now() + Duration::from_secs(10)));
        assert!(process.running().is_none(), "a zombie does not run");
        assert!(process.wait_gone(Instant::now()), "nor does it hold anything");
        child.wait().unwrap();
        assert!(process.running().is_none());
        running.kill();
    }

    #[test]
    fn a_broken_pid_file_names_no_process() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("node.pid");
        assert_eq!(Process::read(&file), None);
        for text in ["", "x y z", "1", "1 2", "99999999999 2 x"] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(Process::read(&file), None, "{text:?}");
        }
    }
}
