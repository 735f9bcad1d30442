//! A node whose disk is full: who writes is told so or another copy takes its place, what was
//! acknowledged stays, and the node goes on when there is room again, without being started anew.
//! Only where `FAASM_FULL_DISK` is set: it takes a minute.

use std::path::Path;
use std::process::Command;

use super::*;

/// Set in the process of its own that the test needs: for mounts of its own.
const CHILD: &str = "FAASM_TEST_FULL";
const MIB: u64 = 1 << 20;
/// The small disk, and what of it stays free.
const SIZE: u64 = 32 * MIB;
const RESERVE: u64 = 4 * MIB;
/// The node that has it.
const NODE: usize = 2;
/// Bytes of a value.
const VALUE: usize = 256 << 10;
/// A file of somebody else, and how long it is there.
const FILLER: &str = "filler";
const FULL_FOR: Duration = Duration::from_secs(6);
/// How long a request may take: none waits for room.
const PROMPT: Duration = Duration::from_secs(20);

#[test]
fn a_full_disk_of_one_node_is_told_to_writers_loses_nothing_and_heals() {
    if std::env::var_os("FAASM_FULL_DISK").is_none() {
        println!("skipped: FAASM_FULL_DISK is not set");
        return;
    }
    let mut trial = Command::new("unshare");
    trial.args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]);
    if !trial.output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this user may not mount a file system");
        return;
    }
    // Mounts are this process's and its children's alone, and end with the last of them.
    let mut wrapper = Command::new("unshare");
    wrapper.arg("-m").arg(std::env::current_exe().expect("the test's path"));
    wrapper.args(["--exact", "full::on_a_full_disk", "--nocapture"]).env(CHILD, "1");
    let output = wrapper.output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
    println!("{text}");
}

/// Mounts a file system, or changes it.
fn mount(what: &str, on: &Path) {
    let output = Command::new("mount").args(["-t", "tmpfs", "-o", what, "none"]).arg(on).output();
    let output = output.expect("mount starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn value(number: usize) -> Vec<u8> {
    format!("{number:08}").into_bytes().repeat(VALUE / 8)
}

fn put_value(cluster: &Processes, number: usize) -> (u16, String) {
    let began = Instant::now();
    let line = format!("PUT /v1/state/alice/value{number}");
    let answer = cluster.ask(1 + number % 3, &line, &value(number));
    assert!(began.elapsed() < PROMPT, "{line} took {:?}", began.elapsed());
    (answer.status, answer.text())
}

fn check_values(cluster: &Processes, nodes: &[usize], kept: &[usize]) {
    for node in nodes {
        for number in kept {
            let answer = cluster.ask(*node, &format!("GET /v1/state/alice/value{number}"), b"");
            let right = answer.status == 200 && answer.body == value(*number);
            assert!(right, "n{node}: value{number}: {} {} B", answer.status, answer.body.len());
        }
    }
}

fn free(dir: &Path) -> u64 {
    let disk = rustix::fs::statvfs(dir).expect("the disk");
    disk.f_bavail * disk.f_frsize
}

/// Something else fills the rest of the disk; the others are written to meanwhile.
fn fill_and_go_on(cluster: &Processes, disk: &Path, kept: &mut Vec<usize>) {
    let left = usize::try_from(free(disk)).expect("little");
    let filled = std::fs::write(disk.join(FILLER), vec![1; left]);
    println!("filled: {filled:?}, {} B free", free(disk));
    let (until, mut deleted) = (Instant::now() + FULL_FOR, 0);
    for number in 10_000.. {
        if Instant::now() >= until {
            break;
        }
        if let (200 | 201, _) = put_value(cluster, number) {
            kept.push(number);
        }
        // What frees space works, and gives checkpoints something to do.
        let gone = kept.remove(number % kept.len());
        let answer = cluster.ask(1, &format!("DELETE /v1/state/alice/value{gone}"), b"");
        deleted += usize::from(answer.status == 200);
    }
    assert!(deleted > 0, "nothing could be deleted");
}

#[test]
fn on_a_full_disk() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let options = format!("[state]\nreserve_bytes = {RESERVE}\nlog_bytes = {}\n", 8 * MIB);
    let cluster = Processes::with_options(3, &options);
    let disk = cluster.dir().join(format!("n{NODE}/state"));
    // Where there were no values yet, an empty disk is a lost one, and is filled from the others.
    put_value(&cluster, 0);
    cluster.kill(NODE);
    mount(&format!("size={SIZE}"), &disk);
    cluster.restart();
    wait_in_sync(&cluster);

    // More than fits. Whoever is refused is told why; the others go on.
    let (mut kept, mut refused) = (vec![0], Vec::new());
    let most = 2 * (SIZE / VALUE as u64) as usize;
    for number in 1..most {
        match put_value(&cluster, number) {
            (200 | 201, _) => kept.push(number),
            (status, text) => {
                assert_eq!(status, 507, "{text}");
                assert!(text.contains("FAASM_EFULL") && text.contains("disk"), "{text}");
                refused.push(number);
            }
        }
    }
    println!("{} kept, {} refused, {} B free", kept.len(), refused.len(), free(&disk));
    assert!(kept.len() > most / 3, "{} of {most} were kept", kept.len());
    check_values(&cluster, &[1, 2, 3], &kept);

    fill_and_go_on(&cluster, &disk, &mut kept);
    check_values(&cluster, &[1, 2, 3], &kept);

    // There is room again.
    std::fs::remove_file(disk.join(FILLER)).expect("it is there");
    mount(&format!("remount,size={}", 8 * SIZE), &disk);
    wait_in_sync(&cluster);
    for number in refused {
        let (status, text) = put_value(&cluster, number);
        assert!(matches!(status, 200 | 201), "value{number}: {status} {text}");
        kept.push(number);
    }
    check_values(&cluster, &[1, 2, 3], &kept);
    // Its copies are whole: it serves with one of the others dead.
    cluster.kill(if cluster.leader(1) == 3 { 3 } else { 1 });
    let up: Vec<usize> = (1..=3).filter(|node| cluster.ready(*node).is_some()).collect();
    check_values(&cluster, &up, &kept);
    let gone = Command::new("umount").arg("-l").arg(&disk).status().expect("umount starts");
    assert!(gone.success());
}
