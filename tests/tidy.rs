//! The code's rules, as tests: sizes, which module may know which, banned calls, and that what the
//! documents name exists.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Longest Rust file, in lines.
const MAX_LINES: usize = 500;
/// Largest median of them under `src/`, in lines.
const MAX_MEDIAN: usize = 200;

/// What every module may use.
const BASE: &[&str] = &["actor", "clock", "config", "errno", "id", "telemetry"];

/// What each top-level module may use of the crate, beside itself. The direction is
/// `id, errno, config <- wire <- net <- components <- gateway, node, cli <- main`.
const EDGES: &[(&str, &[&str])] = &[
    ("id", &[]),
    ("errno", &[]),
    ("clock", &[]),
    ("config", &["id", "errno"]),
    ("actor", &["id", "errno"]),
    ("telemetry", &["id", "errno", "config"]),
    ("wire", &["id", "errno"]),
    ("net", &["wire"]),
    ("consensus", &["wire", "net"]),
    ("files", &["wire", "net"]),
    ("scheduler", &["wire", "net"]),
    // Knows nothing of clusters: chaining goes through its `CallHost`.
    ("function", &["wire", "host"]),
    ("host", &["wire", "function"]),
    // Gives running calls their view of the state: implements a trait of `function`.
    ("state", &["wire", "net", "consensus", "function"]),
    // Imports beside those of `host`, and the ranks behind them.
    ("mpi", &["wire", "net", "function", "host"]),
    ("calls", &["wire", "net", "consensus", "scheduler", "function"]),
    (
        "gateway",
        &["wire", "net", "consensus", "files", "function", "calls", "scheduler", "state", "node"],
    ),
    (
        "node",
        &[
            "wire",
            "net",
            "consensus",
            "files",
            "scheduler",
            "function",
            "host",
            "mpi",
            "calls",
            "state",
            "gateway",
        ],
    ),
    ("cli", &["wire", "net", "files", "calls", "gateway", "node"]),
    ("main", &["cli", "node"]),
];

/// Modules below [`BASE`]: they may use what [`EDGES`] says, and nothing else.
const BELOW_BASE: &[&str] = &["id", "errno", "clock", "config", "actor", "telemetry", "wire"];

/// Files with `unsafe`: small, each block with the argument why it is sound.
const UNSAFE: &[&str] = &[
    "src/function/deserialize.rs",
    "src/function/mapping.rs",
    "src/function/memory.rs",
    "src/function/regions.rs",
    "src/gateway/listening.rs",
    "src/host/guest.rs",
    "src/host/heap.rs",
];

/// Files whose threads, all their own, sleep: the epoch ticker, and the
/// driver of the shards while inputs gather for an fsync.
const SLEEPERS: &[&str] = &["src/function/count.rs", "src/state/driver.rs"];

/// What is banned everywhere. Written in pieces, so that this file does not hold it.
const BANNED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
    concat!("#[ig", "nore"),
    concat!("unbounded", "_channel"),
];

struct Source {
    /// From the root, as in `src/id.rs`.
    name: String,
    text: String,
}

impl Source {
    /// Without comments and without the tests at the end.
    fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        let is_tests = |line: &str| line.trim_start().starts_with("#[cfg(test)]");
        let mut lines = self.text.lines().enumerate().map(|(at, line)| (at + 1, line)).peekable();
        let mut ended = self.is_test();
        std::iter::from_fn(move || {
            let (at, line) = lines.next()?;
            let opens_tests = |next: &(usize, &str)| next.1.trim_start().starts_with("mod tests {");
            ended |= is_tests(line) && lines.peek().is_some_and(opens_tests);
            Some((at, if ended { "" } else { line.split("//").next().unwrap_or("") }))
        })
    }

    fn is_test(&self) -> bool {
        let parts: Vec<&str> = self.name.split(['/', '.']).collect();
        parts.iter().any(|part| *part == "tests" || part.ends_with("_tests"))
    }

    /// The top-level module that it belongs to.
    fn module(&self) -> &str {
        self.name.split(['/', '.']).nth(1).unwrap_or_default()
    }
}

/// All files below a folder with one of these endings, in order.
fn files(folder: &str, endings: &[&str]) -> Vec<Source> {
    fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() && name != "target" && name != ".git" {
                walk(&path, into);
            } else if path.is_file() {
                into.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    walk(&Path::new(ROOT).join(folder), &mut paths);
    paths.sort();
    let fits = |path: &PathBuf| {
        let ending = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
        endings.contains(&ending)
    };
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let name = path.strip_prefix(ROOT).unwrap_or(&path).to_string_lossy().into_owned();
        Source { name, text }
    };
    paths.into_iter().filter(fits).map(read).collect()
}

fn rust_files() -> Vec<Source> {
    ["src", "tests"].iter().flat_map(|folder| files(folder, &["rs"])).collect()
}

fn assert_none(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn files_are_small() {
    let sources = rust_files();
    let long = |s: &&Source| s.text.lines().count() > MAX_LINES;
    let broken: Vec<_> = sources.iter().filter(long).map(|s| s.name.clone()).collect();
    assert_none("longer than 500 lines; split by what happens in it", &broken);

    let product = sources.iter().filter(|s| s.name.starts_with("src/") && !s.is_test());
    let mut lengths: Vec<_> = product.map(|s| s.text.lines().count()).collect();
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= MAX_MEDIAN, "the median file has {median} lines");
}

/// The top-level modules that a line of code names after `crate::`.
fn modules_in(line: &str) -> Vec<String> {
    let word = |s: &str| -> String {
        s.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    line.split("crate::")
        .skip(1)
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(list) => list.split(',').map(word).collect(),
            None => vec![word(rest)],
        })
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn modules_know_only_those_below_them() {
    let mut broken = Vec::new();
    for source in files("src", &["rs"]).iter().filter(|s| s.name != "src/lib.rs") {
        let module = source.module();
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == module) else {
            broken.push(format!("{}: `{module}` is not in the table", source.name));
            continue;
        };
        let base: &[&str] = if BELOW_BASE.contains(&module) { &[] } else { BASE };
        for (at, line) in source.product() {
            for used in modules_in(line) {
                let known = EDGES.iter().any(|(name, _)| *name == used);
                let fine = used == module
                    || allowed.contains(&&*used)
                    || base.contains(&&*used)
                    // Macros and the like at the crate's root.
                    || !known;
                if !fine {
                    broken.push(format!("{}:{at}: uses {used}", source.name));
                }
            }
        }
    }
    assert_none("a module uses one that it must know nothing of", &broken);
}

#[test]
fn nothing_banned_is_used() {
    let mut broken = Vec::new();
    let mut texts = rust_files();
    texts.extend(files("sdk", &["c", "h", "md"]));
    texts.extend(files("examples", &["c", "cpp", "h"]));
    texts.extend(files("", &["md", "toml"]));
    for source in &texts {
        for (at, line) in source.text.lines().enumerate() {
            let found = BANNED.iter().filter(|banned| line.contains(**banned));
            broken.extend(found.map(|banned| format!("{}:{}: {banned}", source.name, at + 1)));
        }
    }
    assert_none("banned", &broken);
}

#[test]
fn product_code_neither_prints_nor_sleeps_and_unsafe_is_where_it_is_known() {
    let mut broken = Vec::new();
    for source in files("src", &["rs"]) {
        let name = source.name.as_str();
        let may_print = name.starts_with("src/cli") || name == "src/main.rs";
        for (at, line) in source.product() {
            let words: Vec<_> =
                line.split(|c: char| !(c.is_alphanumeric() || "_!:".contains(c))).collect();
            let has = |wanted: &str| words.contains(&wanted);
            let prints = ["println!", "eprintln!", "print!", "eprint!"].into_iter().any(has);
            let sleeps = line.contains("thread::sleep") && !SLEEPERS.contains(&name);
            let is_unsafe = has("unsafe") && !UNSAFE.contains(&name);
            if (prints && !may_print) || sleeps || is_unsafe {
                broken.push(format!("{name}:{at}: {}", line.trim()));
            }
        }
    }
    assert_none("only the CLI prints; waits are timers; unsafe has its list of files", &broken);
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[test]
fn commands_in_the_documents_exist() {
    let mut broken = Vec::new();
    for source in files("", &["md"]) {
        for (at, line) in source.text.lines().enumerate() {
            let words = line.split(|c: char| c.is_whitespace() || "`'\"()|,;".contains(c));
            for word in words.map(|w| w.trim_start_matches("./").trim_end_matches(['.', ':'])) {
                let command = word.starts_with("scripts/") || word.starts_with("sdk/c/faasm-c");
                let plain = word.chars().all(|c| c.is_alphanumeric() || "/-+_.".contains(c));
                let path = Path::new(ROOT).join(word);
                let named = command && plain && !word.ends_with('/') && !path.is_dir();
                if named && !is_program(&path) && !word.ends_with(".sh") {
                    broken.push(format!("{}:{}: {word}", source.name, at + 1));
                }
            }
        }
    }
    assert_none("named in a document, but no file with the run bit", &broken);
}

#[test]
fn links_in_the_documents_resolve() {
    let mut broken = Vec::new();
    for source in files("", &["md"]) {
        let folder = Path::new(ROOT).join(&source.name);
        let folder = folder.parent().unwrap_or(Path::new(ROOT));
        for (at, line) in source.text.lines().enumerate() {
            for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let path = link.split('#').next().unwrap_or_default();
                let elsewhere = path.is_empty() || path.contains("://");
                if !elsewhere && !folder.join(path).exists() {
                    broken.push(format!("{}:{}: {link}", source.name, at + 1));
                }
            }
        }
    }
    assert_none("a link leads nowhere", &broken);
}

#[test]
fn scripts_stop_at_the_first_error() {
    let mut scripts: Vec<_> = files("scripts", &["", "sh"]);
    let single = [".ci/run", "sdk/c/faasm-cc"];
    scripts.extend(single.map(|name| Source {
        name: name.to_owned(),
        text: fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_default(),
    }));
    let mut broken = Vec::new();
    for script in scripts {
        let first = script.text.lines().next().unwrap_or_default();
        let shell = first.ends_with("bash") || first.ends_with("sh");
        let stops = script.text.lines().any(|line| {
            line.starts_with("set -eu") || (line.starts_with("source ") && line.contains("lib.sh"))
        });
        if !first.starts_with("#!") || (shell && !stops) {
            broken.push(script.name);
        }
    }
    assert_none("without a shebang, or without `set -eu` (or lib.sh, which has it)", &broken);
}
