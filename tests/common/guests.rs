//! Guests for tests: C and C++ functions, compiled with the SDK when they are stale.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

/// The module made of `tests/guests/NAME.c` (or `.cpp`; a name may have a folder), or of the example of that name.
///
/// # Panics
/// When there is no such source, or it does not compile without a warning.
pub fn guest(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = source_of(root, name);
    let into = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests");
    let module = into.join(format!("{name}.wasm"));
    let folder = module.parent().unwrap_or(&into);
    std::fs::create_dir_all(folder).expect("the guests' folder could not be made");
    let newest = newest_in(&root.join("sdk/c")).max(newest_in(source.parent().unwrap_or(root)));
    if changed(&module) < newest {
        compile(root, &source, &module);
    }
    module
}

fn source_of(root: &Path, name: &str) -> PathBuf {
    ["tests/guests", "examples"]
        .iter()
        .flat_map(|folder| ["c", "cpp"].map(|end| root.join(folder).join(format!("{name}.{end}"))))
        .find(|path| path.is_file())
        .unwrap_or_else(|| panic!("no guest and no example is called {name}"))
}

/// Compiles aside and moves into place: other tests may want the same guest now.
fn compile(root: &Path, source: &Path, module: &Path) {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let aside = module.with_extension(format!("{}.{number}.part", std::process::id()));
    let mpi = source.parent().is_some_and(|folder| folder.ends_with("mpi"));
    let compiler = if mpi { "faasm-mpicc" } else { "faasm-cc" };
    let output = Command::new(root.join("sdk/c").join(compiler))
        .args(["-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", "-o"])
        .args([&aside, source])
        .output()
        .expect("faasm-cc could not be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} does not compile:\n{errors}", source.display());
    std::fs::rename(&aside, module).expect("the module could not be moved into place");
}

/// When a file last changed; long ago if there is none.
fn changed(path: &Path) -> SystemTime {
    path.metadata().and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn newest_in(folder: &Path) -> SystemTime {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .map(|path| if path.is_dir() { newest_in(&path) } else { changed(&path) })
        .max()
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
