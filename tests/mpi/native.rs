//! The programs of the tests against another MPI: what they expect of ours must hold there too, or
//! they expect what the standard does not say. Needs MPICH with the standard's ABI, from the folder
//! that `scripts/setup --tests` installs it in, or whose `mpicc_abi` `FAASM_MPICC` names.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Programs of which nothing is particular to this MPI, and on how many ranks they run there. Left
/// out is what asks for classes of errors that MPICH gives otherwise, for sends to the own rank
/// that nobody has asked for yet, and what its builds do wrong.
const PROGRAMS: [(&str, u32); 13] = [
    ("comm_between", 4),
    ("comm_callbacks", 3),
    ("comm_groups", 3),
    ("comm_inter", 3),
    ("comm_many", 3),
    ("env_hints", 2),
    ("env_state", 2),
    ("p2p_cancel", 3),
    ("p2p_modes", 3),
    ("p2p_odd", 3),
    ("p2p_persistent", 3),
    ("p2p_senders", 3),
    ("ring", 5),
];
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn the_same_programs_pass_with_another_mpi() {
    let Some(compiler) = compiler() else {
        eprintln!("skipped: there is no mpicc_abi; `scripts/setup --tests` installs it");
        return;
    };
    let into = Path::new(env!("CARGO_TARGET_TMPDIR")).join("native");
    std::fs::create_dir_all(&into).expect("the folder could not be made");
    for (name, ranks) in PROGRAMS {
        let source =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/guests/mpi/{name}.c"));
        let program = into.join(format!("{name}.{}", std::process::id()));
        let mut compile = Command::new(&compiler);
        compile.args(["-O1", "-w", "-o"]).arg(&program).arg(source);
        let made = run(compile);
        assert!(made.status.success(), "{name} does not compile:\n{}", said(&made));
        let mut start = Command::new(compiler.with_file_name("mpiexec"));
        start.args(["-iface", "lo", "-n", &ranks.to_string()]).arg(&program);
        let ended = run(start);
        let _ = std::fs::remove_file(&program);
        assert!(ended.status.success(), "{name} on {ranks} ranks there:\n{}", said(&ended));
    }
}

/// The compiler of that MPI, if there is one that works.
fn compiler() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("FAASM_MPICC") {
        return Some(named.into());
    }
    let cache = std::env::var_os("FAASM_CACHE").map(PathBuf::from).or_else(|| {
        let home = || Some(Path::new(&std::env::var_os("HOME")?).join(".cache"));
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
        Some(cache?.join("faasm"))
    });
    let installed = cache?.join("mpich/bin/mpicc_abi");
    let works = Command::new(&installed).arg("--version").output();
    works.is_ok_and(|output| output.status.success()).then_some(installed)
}

/// Runs something to its end, for so long at most.
fn run(mut command: Command) -> Output {
    let what = format!("{command:?}");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
    let until = Instant::now() + PATIENCE;
    let pid = child.id();
    let (ended, watch) = std::sync::mpsc::channel::<()>();
    let watcher = std::thread::spawn(move || {
        let left = until.saturating_duration_since(Instant::now());
        if watch.recv_timeout(left) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            // It ends its ranks itself.
            let _ = Command::new("kill").arg(pid.to_string()).status();
        }
    });
    let output = child.wait_with_output().expect("it ends");
    drop(ended);
    watcher.join().expect("the watcher ends");
    output
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}
