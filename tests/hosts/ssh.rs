//! Hosts that ssh reaches: sshd in each namespace, and what it takes to get in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::common::netns::{self, Hosts};
use super::{has, root, text};

/// sshd on every host, and what it takes to get in.
pub struct Ssh<'a> {
    hosts: &'a Hosts,
    dir: PathBuf,
    /// The hosts file.
    pub file: PathBuf,
}

impl<'a> Ssh<'a> {
    /// Starts sshd on all of them.
    pub fn on(hosts: &'a Hosts) -> Self {
        let dir = hosts.dir().join("ssh");
        fs::create_dir_all(&dir).expect("a folder");
        for name in ["host-key", "key"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(dir.join(name))
                .status();
            assert!(made.expect("ssh-keygen starts").success());
        }
        fs::copy(dir.join("key.pub"), dir.join("authorized")).expect("a copy");
        let client = format!(
            "Host *\nIdentityFile {0}/key\nIdentitiesOnly yes\nUserKnownHostsFile {0}/known\n\
             StrictHostKeyChecking accept-new\nLogLevel ERROR\n",
            dir.display()
        );
        fs::write(dir.join("client"), client).expect("written");
        let mut lines = String::from("# for a test\n\n");
        for host in 1..=hosts.count {
            start_sshd(hosts, &dir, host);
            let place = hosts.dir().join(format!("place{host}"));
            lines.push_str(&format!("root@10.77.0.{host} 2222 - {}\n", place.display()));
        }
        let file = dir.join("hosts");
        fs::write(&file, lines).expect("written");
        Self { hosts, dir, file }
    }

    /// Runs a script of the project on the switch, from where ssh gets to all hosts.
    pub fn script(&self, name: &str, options: &[&str]) -> Output {
        let ssh = format!("FAASM_SSH=ssh -F {}", self.dir.join("client").display());
        let script = root().join("scripts").join(name);
        let (script, file) = (script.to_str().unwrap(), self.file.to_str().unwrap());
        let data = self.dir.join("data");
        let words = [
            "exec",
            "0",
            "env",
            &ssh,
            script,
            "--hosts",
            file,
            "--data-dir",
            data.to_str().unwrap(),
        ];
        self.hosts.run(&[&words[..], options].concat())
    }

    /// Makes the cluster or brings it up; what was printed.
    pub fn up(&self) -> String {
        let output = self.script("up", &["--binary", env!("CARGO_BIN_EXE_faasm")]);
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The process of a node.
    pub fn pid(&self, host: usize) -> String {
        let file = self.hosts.dir().join(format!("place{host}/node.pid"));
        fs::read_to_string(file).expect("a pid file").trim().to_owned()
    }
}

fn start_sshd(hosts: &Hosts, dir: &Path, host: usize) {
    let (dir, log) = (dir.display(), dir.join(format!("sshd{host}.log")));
    let config = format!(
        "ListenAddress 10.77.0.{host}:2222\nHostKey {dir}/host-key\nPidFile none\nUsePAM no\n\
         AuthorizedKeysFile {dir}/authorized\nStrictModes no\nPermitRootLogin prohibit-password\n\
         PasswordAuthentication no\n"
    );
    let file = hosts.dir().join(format!("ssh/sshd{host}"));
    fs::write(&file, config).expect("written");
    fs::create_dir_all("/run/sshd").expect("sshd's own folder");
    let (file, log) = (file.to_str().unwrap(), log.to_str().unwrap());
    hosts.must(&["exec", &host.to_string(), "/usr/sbin/sshd", "-f", file, "-E", log]);
}

/// Why there can be no such hosts here; `None` when there can.
pub fn missing() -> Option<String> {
    netns::missing().or_else(|| {
        let missing =
            ["/usr/sbin/sshd", "ssh", "ssh-keygen"].into_iter().find(|name| !has(name))?;
        Some(format!("there is no {missing} (openssh-server and openssh-client have it)"))
    })
}
