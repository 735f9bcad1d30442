//! Clusters on hosts: namespaces cut as they say, `scripts/up --hosts` over ssh, and what virtual
//! machines are made from. What this machine does not allow or have is skipped, with the reason.

mod common;
#[path = "hosts/ssh.rs"]
mod ssh;

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use common::guests::guest;
use common::netns::{self, Hosts, Request};
use common::processes::{PATIENCE, wait_for};
use ssh::Ssh;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$0\"", program]).output();
    found.is_ok_and(|output| output.status.success())
}

/// Whether the test is to go on; if not, it says why.
fn possible(why_not: Option<String>) -> bool {
    if let Some(why) = &why_not {
        println!("skipped: {why}");
    }
    why_not.is_none()
}

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat()
}

/// Whether a packet from one host reaches another.
fn reaches(hosts: &Hosts, from: usize, to: usize) -> bool {
    let address = format!("10.77.0.{to}:9999");
    let receiver = hosts.on(to, || UdpSocket::bind(&address).expect("a free port"));
    receiver.set_read_timeout(Some(Duration::from_millis(200))).expect("a time");
    let sender = hosts.on(from, || UdpSocket::bind("0.0.0.0:0").expect("a socket"));
    sender.send_to(b"hello", &address).expect("it is sent");
    receiver.recv(&mut [0; 8]).is_ok()
}

#[test]
fn cuts_stop_packets_in_their_direction_only_and_healing_undoes_them() {
    if !possible(netns::missing()) {
        return;
    }
    let hosts = Hosts::bare(3);
    let all = [(1, 2), (2, 1), (1, 3), (3, 1), (2, 3), (3, 2)];
    // A link that comes up takes the kernel up to a second.
    let opens = |wanted: &[(usize, usize)]| {
        wait_for(&format!("packets pass only {wanted:?}"), PATIENCE, || {
            all.into_iter()
                .all(|(a, b)| reaches(&hosts, a, b) == wanted.contains(&(a, b)))
                .then_some(())
        });
    };
    opens(&all);
    hosts.must(&["cut", "1", "2", "--one-way"]);
    opens(&all[1..]);
    hosts.must(&["cut", "2", "3"]);
    opens(&all[1..4]);
    assert!(hosts.must(&["status"]).contains("to 2"));
    hosts.must(&["heal", "2", "1"]);
    opens(&all[..4]);
    hosts.must(&["cut", "3"]);
    opens(&all[..2]);
    hosts.must(&["heal"]);
    opens(&all);
    for wrong in [&["cut", "1", "4"][..], &["cut", "1", "1"], &["kill", "1"], &["up", "2"]] {
        let output = hosts.run(wrong);
        assert!(!output.status.success() && !output.stderr.is_empty(), "{wrong:?}");
    }
}

#[test]
fn nodes_are_killed_paused_and_healed_and_down_leaves_nothing() {
    if !possible(netns::missing()) {
        return;
    }
    let hosts = Hosts::up(2);
    let status = || -> Vec<String> {
        let lines = hosts.must(&["status"]);
        let word = |line: &str| line.split_whitespace().nth(2).map(str::to_owned);
        lines.lines().skip(1).filter_map(word).collect()
    };
    assert_eq!(status(), ["running", "running"]);
    let killed = hosts.pid(1);
    hosts.must(&["kill", "1"]);
    hosts.must(&["pause", "2"]);
    assert_eq!(status(), ["dead", "paused"]);
    assert!(!hosts.run(&["pause", "1"]).status.success());
    hosts.must(&["heal"]);
    assert_eq!(status(), ["running", "running"]);
    assert_ne!(hosts.pid(1), killed);
    let data = hosts.dir().to_str().expect("UTF-8").to_owned();
    let faasm = |host: &str, args: &[&str]| {
        let faasm = ["exec", host, env!("CARGO_BIN_EXE_faasm"), "--data-dir", &data];
        hosts.must(&[&faasm[..], args].concat())
    };
    let nodes = faasm("2", &["nodes"]);
    assert!(nodes.contains("10.77.0.1:7101") && nodes.contains("10.77.0.2:7001"), "{nodes}");
    // Through the gateway of one node, and on the other.
    let echo = guest("echo");
    faasm("1", &["upload", "alice/echo", echo.to_str().expect("UTF-8")]);
    let call = ["invoke", "alice/echo", "--node", "2", "--input", "over TLS"];
    assert_eq!(faasm("0", &call), "over TLS");
    let line = "POST /v1/functions/alice/echo/invoke?node=n1";
    let answer = hosts.ask(2, line, Request { body: b"too", ..Request::default() });
    assert_eq!(answer.expect("n2 answers").text(), "too");
    let (dir, pids) = (hosts.dir().to_owned(), [hosts.pid(1), hosts.pid(2)]);
    hosts.must(&["down"]);
    assert!(!dir.exists());
    assert!(pids.iter().all(|pid| !Path::new(&format!("/proc/{pid}/exe")).exists()));
    let left = Command::new("ip").args(["netns", "list"]).output().expect("ip starts");
    let ours = format!("t{}-", std::process::id());
    let left = text(&left);
    // Other tests of this process may have theirs.
    let of_this =
        left.lines().filter(|line| line.starts_with(&ours) && line.contains(hosts.prefix()));
    assert_eq!(of_this.count(), 0, "{left}");
}

/// The last lines of what a script printed: how the cluster is used.
fn how_to_use(shown: &str) -> (String, String) {
    let (_, how) = shown.split_once("To use it from ").unwrap_or_else(|| panic!("{shown}"));
    let mut commands = how.lines().filter_map(|line| line.strip_prefix("  "));
    let by_folder = commands.next().expect("a command").to_owned();
    (by_folder, commands.collect::<Vec<_>>().join("\n"))
}

#[test]
fn the_machine_itself_uses_a_cluster_of_namespaces_as_the_script_says() {
    if !possible(netns::missing()) {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let (cluster, prefix) = (dir.path().join("cluster"), format!("m{}-", std::process::id()));
    // A network of its own stands for the machine's. What is printed is run as it is.
    let script = r#"
        ip link set lo up
        down() { "$NETNS" --dir "$DIR" --prefix "$PREFIX" down; }
        trap down EXIT
        shown=$("$NETNS" --dir "$DIR" --prefix "$PREFIX" up 2 --binary "$BINARY") || exit
        echo "$shown"
        echo "$shown" | sed -n '/To use it/,$s/^  //p' >"$DIR/how"
        . "$DIR/how" || exit
        # Another cluster's hosts would have the same addresses.
        "$NETNS" --dir "$DIR-2" --prefix "$PREFIX"2 up 1 --bare
        "$NETNS" --dir "$DIR-2" --prefix "$PREFIX"2 down
        down && trap - EXIT
        ip -o link"#;
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "bash", "-c", script]);
    unshare.env("NETNS", root().join("scripts/netns")).env("BINARY", env!("CARGO_BIN_EXE_faasm"));
    unshare.env("DIR", &cluster).env("PREFIX", &prefix);
    for name in ["FAASM_CLUSTER", "FAASM_TOKEN", "FAASM_CA", "FAASM_DATA_DIR"] {
        unshare.env_remove(name);
    }
    let output = unshare.output().expect("unshare starts");
    let shown = text(&output);
    assert!(output.status.success(), "{shown}");
    let (by_folder, by_address) = how_to_use(&shown);
    assert!(by_folder.contains("--data-dir") && by_address.contains("FAASM_CA="), "{shown}");
    // Once for each of the two ways.
    assert_eq!(shown.matches("10.77.0.2:7101").count(), 2, "{shown}");
    assert_eq!(shown.matches("has a way to 10.77.0.0/24 already").count(), 1, "{shown}");
    assert!(shown.contains("link/loopback") && !shown.contains("link/ether"), "{shown}");
}

#[test]
fn nodes_join_over_tls_from_host_to_host_and_the_advice_for_a_lost_disk_works_as_printed() {
    if !possible(netns::missing()) {
        return;
    }
    let hosts = Hosts::bare(3);
    let home = |name: &str| hosts.dir().join(name).to_str().expect("UTF-8").to_owned();
    let start = |host: usize, args: &[&str]| {
        let log = fs::File::options().create(true).append(true).open(home("node.log"));
        let host = host.to_string();
        let words = [&["exec", &host, env!("CARGO_BIN_EXE_faasm")], args].concat();
        hosts.command(&words).stderr(log.expect("a log")).spawn().expect("it starts")
    };
    let at_first = |args: &[&str]| {
        let words = ["exec", "1", env!("CARGO_BIN_EXE_faasm"), "--data-dir", &home("d1")];
        let output = hosts.run(&[&words[..], args].concat());
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let until_up = |nodes: &[&str]| {
        wait_for(&format!("{nodes:?} are up"), PATIENCE, || {
            let shown = at_first(&["nodes"])?;
            let up = |node: &&str| shown.contains(&format!("{node}    i1"));
            nodes.iter().all(up).then_some(())
        });
    };
    let bootstrap = ["node", "--bootstrap", "--listen", "10.77.0.1", "--data-dir", &home("d1")];
    let mut running = vec![start(1, &bootstrap)];
    let token =
        || wait_for("a join token", PATIENCE, || at_first(&["nodes", "token", "--uses", "2"]));
    let first = token();
    let joins = ["node", "--join", "10.77.0.1:7001", "--token", &first, "--listen"];
    running.push(start(2, &[&joins[..], &["10.77.0.2", "--data-dir", &home("d2")]].concat()));
    until_up(&["n1", "n2"]);
    let mut third = start(3, &[&joins[..], &["10.77.0.3", "--data-dir", &home("d3")]].concat());
    until_up(&["n1", "n2", "n3"]);

    third.kill().and_then(|()| third.wait()).expect("it ran");
    for name in ["raft", "identity.json"] {
        let path = hosts.dir().join("d3").join(name);
        let _gone = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        assert!(!path.exists(), "{name}");
    }
    let refused = start(3, &["node", "--data-dir", &home("d3")]).wait().expect("it ends");
    assert!(!refused.success());
    let log = fs::read_to_string(home("node.log")).expect("its log");
    let (_, advice) = log.rsplit_once("`faasm node --join").unwrap_or_else(|| panic!("{log}"));
    let advice = advice.split('`').next().expect("a command").trim();
    let (again, empty) = (token(), home("d4"));
    let words = ["node", "--join"].into_iter().chain(advice.split(' ').map(|word| match word {
        "ADDR" => "10.77.0.1:7001",
        "TOKEN" => &again,
        "IP" => "10.77.0.3",
        "DIR" => &empty,
        word => word,
    }));
    running.push(start(3, &words.collect::<Vec<_>>()));
    until_up(&["n1", "n2", "n4"]);
    assert!(!at_first(&["nodes"]).expect("they are up").contains("n3"));
    for mut node in running {
        node.kill().and_then(|()| node.wait()).expect("it ran");
    }
}

#[test]
fn a_cluster_is_installed_started_kept_and_stopped_over_ssh() {
    if !possible(ssh::missing()) {
        return;
    }
    let hosts = Hosts::bare(3);
    let ssh = Ssh::on(&hosts);
    let shown = ssh.up();
    for host in 1..=3 {
        assert!(shown.contains(&format!("10.77.0.{host}:7101")), "{shown}");
    }
    // What it says is run as it is, on the machine that it was said on.
    let (by_folder, by_address) = how_to_use(&shown);
    for how in [by_folder, by_address] {
        let nodes = hosts.must(&["exec", "0", "env", "-i", "PATH=/usr/bin:/bin", "sh", "-c", &how]);
        assert!(nodes.contains("10.77.0.3:7001"), "{how}: {nodes}");
    }
    let pids = [1, 2, 3].map(|host| ssh.pid(host));

    // Again: what runs is left alone, what died is started.
    let died = pids[1].parse().ok().and_then(rustix::process::Pid::from_raw).expect("a process");
    rustix::process::kill_process(died, rustix::process::Signal::KILL).expect("it runs");
    wait_for("the node is gone", PATIENCE, || {
        (!Path::new(&format!("/proc/{}/exe", pids[1])).exists()).then_some(())
    });
    let again = ssh.up();
    assert_eq!(again.matches("the node runs already").count(), 2, "{again}");
    assert_eq!((ssh.pid(1), ssh.pid(3)), (pids[0].clone(), pids[2].clone()));
    assert_ne!(ssh.pid(2), pids[1]);

    // The hosts of a cluster stay as they were.
    let lines = fs::read_to_string(&ssh.file).expect("the hosts");
    fs::write(&ssh.file, lines.replace("10.77.0.3 2222 -", "10.77.0.3 2222 10.77.0.9"))
        .expect("written");
    let other = ssh.script("up", &["--binary", env!("CARGO_BIN_EXE_faasm")]);
    assert!(!other.status.success());
    assert!(text(&other).contains("10.77.0.9"), "{}", text(&other));
    fs::write(&ssh.file, &lines).expect("written");

    let pids = [1, 2, 3].map(|host| ssh.pid(host));
    for _ in 0..2 {
        let down = ssh.script("down", &[]);
        assert!(down.status.success(), "{}", text(&down));
    }
    assert!(pids.iter().all(|pid| !Path::new(&format!("/proc/{pid}/exe")).exists()));
    // Its data is there: the same cluster goes on.
    assert!(ssh.up().contains("i2"));
}

#[test]
fn a_hosts_file_that_is_wrong_says_where() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("hosts");
    for (lines, wanted) in [
        ("", "names no host"),
        ("# only this\n", "names no host"),
        ("10.0.0.1\n-oProxyCommand=x\n", "line 2: no destination"),
        ("a;b\n", "line 1: no destination"),
        ("10.0.0.1 22x\n", "line 1: no port"),
        ("10.0.0.1 22 10.0.0.x\n", "line 1: no address"),
        ("10.0.0.1 22 - relative\n", "line 1: no absolute path"),
        ("10.0.0.1 22 - /a/$(id)\n", "line 1: no absolute path"),
        ("10.0.0.1 22 - /a b\n", "line 1: more than four words"),
        ("no-such-host.invalid\n", "line 1: no-such-host.invalid has no address"),
    ] {
        fs::write(&file, lines).expect("written");
        for script in ["up", "down"] {
            let mut command = Command::new(root().join("scripts").join(script));
            let output = command.arg("--hosts").arg(&file).output().expect("bash starts");
            assert!(!output.status.success(), "{lines:?}");
            assert!(text(&output).contains(wanted), "{lines:?}: {}", text(&output));
        }
    }
}

fn namespaces_of_files_missing() -> Option<String> {
    let try_it = "mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w && \
                  mount -t overlay o -o lowerdir=/etc,upperdir=/mnt/u,workdir=/mnt/w /etc";
    let unshare = ["--mount", "--net", "--propagation", "private", "sh", "-c", try_it];
    let output = Command::new("unshare").args(unshare).output();
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!("no system folders for a try: {}", text(&output).trim())),
        Err(error) => Some(format!("no unshare: {error}")),
    }
}

#[test]
fn a_machine_is_provisioned_from_its_folder_once_and_its_node_runs_as_its_user() {
    if !possible(namespaces_of_files_missing()) {
        return;
    }
    let work = tempfile::tempdir().expect("a folder");
    let dir = work.path().join("cluster");
    // The node's own user has to get at what is in it.
    fs::set_permissions(work.path(), PermissionsExt::from_mode(0o755)).expect("it is ours");
    for _ in 0..2 {
        let prepared = Command::new(root().join("scripts/hosts.d/vagrant"))
            .args(["prepare", "1"])
            .arg(&dir)
            .env("FAASM_BINARY", env!("CARGO_BIN_EXE_faasm"))
            .output()
            .expect("bash starts");
        assert!(prepared.status.success(), "{}", text(&prepared));
    }
    let output = Command::new(root().join("tests/hosts/provision.sh"))
        .arg(work.path())
        .arg(dir.join("machines/n1"))
        .arg("192.168.56.11")
        .arg(root().join("scripts/hosts.d/vagrant"))
        .output()
        .expect("bash starts");
    let shown = text(&output);
    assert!(output.status.success(), "{shown}");
    for wanted in [
        "faasm 700 /var/lib/faasm\n",
        "faasm 600 /var/lib/faasm/certs/node-key.pem",
        "root 755 /usr/local/bin/faasm",
        // As the machine that has the virtual one sees it: over TLS, with the admin's token.
        "192.168.56.11:7001  192.168.56.11:7101",
        "--data-dir",
        "FAASM_CLUSTER=https://192.168.56.11:7001",
    ] {
        assert!(shown.contains(wanted), "{wanted}: {shown}");
    }
    let settings = fs::read_to_string(work.path().join("sysctl")).expect("they were loaded");
    assert!(settings.contains("vm.max_map_count = 1048576"), "{settings}");
    let asked = fs::read_to_string(work.path().join("systemctl")).expect("it was asked");
    let (first, again) = asked.split_once("then again").expect("both");
    assert!(first.contains("restart") && !again.contains("restart"), "{asked}");
}

#[test]
fn the_unit_is_sound_and_exposes_little() {
    if !possible((!has("systemd-analyze")).then(|| "there is no systemd-analyze".to_owned())) {
        return;
    }
    let unit = fs::read_to_string(root().join("cluster/node.service")).expect("the unit");
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("faasm.service");
    let here = unit.replace("/usr/local/bin/faasm", env!("CARGO_BIN_EXE_faasm"));
    fs::write(&file, here).expect("written");
    let analyze = |args: &[&str]| {
        Command::new("systemd-analyze").args(args).arg(&file).output().expect("it starts")
    };
    let verified = analyze(&["verify", "--man=no"]);
    assert!(verified.status.success() && verified.stderr.is_empty(), "{}", text(&verified));
    let exposed = analyze(&["security", "--offline=true", "--threshold=25", "--no-pager"]);
    assert!(exposed.status.success(), "{}", text(&exposed));
}

#[test]
fn the_vagrantfile_is_valid_for_three_machines_and_more() {
    if !possible((!has("vagrant")).then(|| "there is no vagrant".to_owned())) {
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    for nodes in ["3", "5"] {
        let output = Command::new("vagrant")
            // Without -p it looks for a provider that works here.
            .args(["validate", "-p"])
            .current_dir(root())
            .env("FAASM_NODES", nodes)
            .env("VAGRANT_HOME", home.path())
            .env("VAGRANT_DOTFILE_PATH", home.path().join("machines"))
            .env("VAGRANT_CHECKPOINT_DISABLE", "1")
            .output()
            .expect("vagrant starts");
        assert!(output.status.success(), "{}", text(&output));
    }
}

/// A job while its third host is cut off, one way or both, for a while: it goes on as if nothing had
/// been, or ends in time with an error that says so; and its sums are right all the while.
#[test]
fn a_job_outlives_a_short_cut_and_ends_in_a_long_one() {
    if !possible(netns::missing()) {
        return;
    }
    let hosts = Hosts::up(3);
    let ask = |host, line: &str, body: &[u8]| {
        let request = Request { body, patience: Duration::from_secs(60), ..Request::default() };
        hosts.ask(host, line, request).expect("the node answers")
    };
    let module = std::fs::read(guest("mpi/sums")).expect("it was compiled");
    assert_eq!(ask(1, "PUT /v1/functions/alice/sums", &module).status, 200);
    let all_ready = || {
        for host in 1..=3 {
            wait_for("the node is ready", PATIENCE, || {
                (ask(host, "GET /readyz", b"").status == 200).then_some(())
            });
        }
    };
    let job = "POST /v1/functions/alice/sums/invoke?mpi=6&hosts=n1:2,n2:2,n3:2&timeout=60s";
    let begins = |query: &str| {
        let answer = wait_for("all hosts have room", PATIENCE, || {
            let answer = ask(1, &format!("{job}&arg=1"), b"");
            (answer.status == 200).then(|| ask(1, &format!("{job}&async&{query}"), b""))
        });
        assert_eq!(answer.status, 202, "{}", answer.text());
        let call = answer.json::<faasm::gateway::view::SubmittedView>().call;
        wait_for("all ranks run", PATIENCE, || {
            let calls: faasm::gateway::view::CallsView = ask(1, "GET /v1/calls", b"").json();
            (calls.calls.iter().filter(|call| call.phase == "running").count() == 7).then_some(())
        });
        call
    };
    // Healed before and after the cluster has ended the session of who hears nothing.
    let cuts = [
        (&["cut", "3"][..], 1_000),
        (&["cut", "2", "3", "--one-way"], 3_300),
        (&["cut", "3", "1", "--one-way"], 1_000),
        (&["cut", "3"], 4_000),
        (&["cut", "2", "3", "--one-way"], 4_000),
        (&["cut", "2", "3"], 10_000),
    ];
    // All of them take a minute.
    let count = if std::env::var_os("FAASM_JOB_CUTS").is_some() { cuts.len() } else { 2 };
    for (cut, heals_after) in cuts.into_iter().take(count) {
        all_ready();
        // It runs for about 3 s.
        let call = begins("arg=3000");
        let begun = std::time::Instant::now();
        hosts.must(cut);
        let healed = Duration::from_millis(heals_after);
        std::thread::sleep(healed);
        hosts.must(&["heal"]);
        let record = ask(1, &format!("GET /v1/calls/{call}?wait=50s"), b"");
        let record: faasm::gateway::view::CallView = record.json();
        let error = record.error.as_ref().map(|error| error.code.as_str());
        println!(
            "{cut:?} {heals_after} ms: {:?} {error:?} after {:?}",
            record.result,
            begun.elapsed()
        );
        let goes_on = record.result == Some(0);
        // Two nodes that do not hear each other, though the launcher hears both, say it themselves.
        let detail = record.error.as_ref().map_or("", |error| &error.detail);
        let lost = error == Some("FAASM_EHOSTLOST") || detail.contains("was lost with its node");
        assert!(goes_on || lost, "{cut:?}: {record:?}");
        assert!(goes_on || heals_after > 1_000, "a short cut ended it: {record:?}");
        let ended = Duration::from_secs(if goes_on { 30 } else { 8 }) + healed;
        assert!(begun.elapsed() < ended, "{cut:?}: it ended after {:?}", begun.elapsed());
        for host in 1..=3 {
            wait_for("no call is left", PATIENCE, || {
                let calls: faasm::gateway::view::CallsView = ask(host, "GET /v1/calls", b"").json();
                calls.calls.is_empty().then_some(())
            });
        }
    }
}
