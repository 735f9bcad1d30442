//! The SDK: what faasm-cc makes, and what it refuses. Running the functions is for the tests of
//! whole clusters.

#[path = "common/guests.rs"]
mod guests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use guests::guest;
use wasmparser::{Parser, Payload};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn faasm_cc() -> Command {
    Command::new(Path::new(ROOT).join("sdk/c/faasm-cc"))
}

fn names_in(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(Path::new(ROOT).join(folder)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_source = |p: &PathBuf| p.extension().is_some_and(|end| end == "c" || end == "cpp");
    paths.filter(is_source).map(|p| p.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

/// The module of an import; what MPI offers counts as a module of its own.
fn door_of(import: &wasmparser::Import<'_>) -> String {
    let mpi = ["MPI_", "PMPI_", "MPIX_", "PMPIX_"].iter().any(|it| import.name.starts_with(it));
    (if mpi && import.module == "env" { "mpi" } else { import.module }).to_owned()
}

/// The modules that a wasm file imports from, and the names that it exports.
fn doors_of(wasm: &[u8]) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut imports, mut exports) = (BTreeSet::new(), BTreeSet::new());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.unwrap() {
            Payload::ImportSection(section) => {
                imports.extend(section.into_imports().map(|i| door_of(&i.unwrap())));
            }
            Payload::ExportSection(section) => {
                exports.extend(section.into_iter().map(|e| e.unwrap().name.to_owned()));
            }
            _ => {}
        }
    }
    (imports, exports)
}

/// Writes a source into a folder of its own and compiles it with these options.
fn compile(name: &str, source: &str, options: &[&str]) -> (Output, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, source).unwrap();
    let out = folder.path().join("out.wasm");
    (faasm_cc().args(options).arg(path).arg("-o").arg(out).output().unwrap(), folder)
}

fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_guest_and_example_has_the_exports_and_imports_that_the_runtime_expects() {
    for name in names_in("tests/guests").into_iter().chain(names_in("examples")) {
        let (imports, exports) = doors_of(&std::fs::read(guest(&name)).unwrap());
        for needed in [
            "_start",
            "memory",
            "malloc",
            "free",
            "__indirect_function_table",
            "__stack_pointer",
            "__wasm_call_ctors",
            "__wasm_call_dtors",
        ] {
            assert!(exports.contains(needed), "{name} does not export {needed}");
        }
        for module in &imports {
            let known =
                ["faasm", "wasi_snapshot_preview1", "env", "mpi"].contains(&module.as_str());
            let strange = name == "unknown_import" && module == "strange";
            assert!(known || strange, "{name} imports from {module}");
        }
        // `env` is where names that nobody defines end up: only the existing interface may.
        let old = name.starts_with("faasm_") || ["throws", "iostream", "pi"].contains(&&*name);
        assert!(old || !imports.contains("env"), "{name} uses something that is not defined");
    }
}

/// Memory that somebody else adds, before the first malloc of main and later, is not handed out by
/// malloc. Fails when faasm-cc leaves out the constructor that claims the heap.
#[test]
fn the_heap_leaves_alone_what_the_host_maps() {
    let engine = wasmtime::Engine::default();
    let module = wasmtime::Module::from_file(&engine, guest("heap")).unwrap();
    let mut linker = wasmtime::Linker::new(&engine);
    linker.define_unknown_imports_as_traps(&module).unwrap();
    let mut store = wasmtime::Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let mut call = |name: &str| {
        let function = instance.get_func(&mut store, name).unwrap();
        let mut results = vec![wasmtime::Val::I32(0); function.ty(&store).results().len()];
        function.call(&mut store, &[], &mut results).unwrap();
        results.first().and_then(wasmtime::Val::i32)
    };
    call("__wasm_call_ctors");
    assert_eq!(call("heap_check"), Some(0), "the step of tests/guests/heap.c that failed");
}

#[test]
fn our_header_and_the_existing_ones_can_be_included_together() {
    let folder = Path::new(ROOT).join("sdk/c/include/faasm");
    let headers = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut includes: Vec<_> =
        headers.map(|h| format!("#include \"faasm/{}\"\n", h.to_str().unwrap())).collect();
    includes.push("#include <faasm.h>\n".to_owned());
    includes.sort();
    let forwards = includes.concat();
    includes.reverse();
    for source in [forwards, includes.concat()] {
        let source = source + "int main(void) { return await_call(0) + (int)faasmAwaitCall(0); }\n";
        for name in ["all.c", "all.cpp"] {
            let (output, _folder) = compile(name, &source, &["-Wall", "-Wextra", "-Werror"]);
            assert!(output.status.success(), "{name}: {}", text_of(&output));
        }
    }
}

/// The host's own headers must not be found behind the libc's: what compiles would be wrong.
#[test]
fn a_header_that_the_libc_lacks_is_an_error() {
    let (output, _folder) =
        compile("host.c", "#include <execinfo.h>\nint main(void) { return 0; }\n", &[]);
    assert!(!output.status.success(), "a header of the host was taken");
    assert!(text_of(&output).contains("execinfo.h"), "{}", text_of(&output));
}

#[test]
fn sources_objects_and_options_go_through() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("include")).unwrap();
    std::fs::write(path("include/part.h"), "int part(int);\n").unwrap();
    std::fs::write(path("part.c"), "#include <part.h>\nint part(int x) { return x + N; }\n")
        .unwrap();
    std::fs::write(
        path("main.cpp"),
        "extern \"C\" {\n#include <part.h>\n}\n#include <cmath>\n#include <string>\n\
         int main(int c, char **v) { return part(int(std::sin(c)) + std::string(v[0]).size()); }\n",
    )
    .unwrap();
    let run = |arguments: &[&str]| {
        let output = faasm_cc().current_dir(folder.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text_of(&output));
    };
    run(&["-c", "-O1", "-DN=3", "-Iinclude", "part.c", "-o", "part.o"]);
    run(&["-g", "-I", "include", "main.cpp", "part.o", "-lm", "-o", "with-debug.wasm"]);
    run(&["-Iinclude", "-D", "N=4", "part.c", "main.cpp", "-o", "job.wasm"]);
    let size = |name: &str| std::fs::metadata(path(name)).unwrap().len();
    assert!(size("with-debug.wasm") > size("job.wasm"), "-g keeps nothing more");
    let (_, exports) = doors_of(&std::fs::read(path("job.wasm")).unwrap());
    assert!(exports.contains("part"));
}

#[test]
fn without_a_toolchain_the_error_says_what_to_do() {
    let tools = tempfile::tempdir().unwrap();
    for tool in ["bash", "dirname", "readlink", "cat", "env"] {
        let found = ["/usr/bin", "/bin"].map(|folder| Path::new(folder).join(tool));
        let found = found.iter().find(|path| path.exists()).unwrap();
        std::os::unix::fs::symlink(found, tools.path().join(tool)).unwrap();
    }
    let run = |sdk: Option<&str>| {
        let mut command = faasm_cc();
        command.args(["x.c", "-o", "x.wasm"]).env("PATH", tools.path());
        command.env("FAASM_CACHE", tools.path()).env_remove("WASI_SDK_PATH");
        sdk.map(|path| command.env("WASI_SDK_PATH", path));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        text_of(&output)
    };
    assert!(run(None).contains("./scripts/setup"), "{}", run(None));
    assert!(run(Some("/no/such/sdk")).contains("/no/such/sdk/bin/clang"));
}

/// Makefiles and configure scripts are written for a native mpicc: what only means something there
/// is passed over, and what does not exist does not link.
#[test]
fn mpicc_has_the_habits_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mpicc = |arguments: &[&str]| {
        let mut command = Command::new(Path::new(ROOT).join("sdk/c/faasm-mpicc"));
        command.current_dir(folder.path()).args(arguments).output().unwrap()
    };
    let run = |arguments: &[&str]| {
        let output = mpicc(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text_of(&output));
        text_of(&output)
    };
    std::fs::write(path("part.c"), "int part(int x) { return x + N; }\n").unwrap();
    std::fs::write(
        path("main.c"),
        "#include <mpi.h>\nint part(int);\nstatic MPI_Datatype type = MPI_INT;\n\
         int MPI_Send(const void *b, int n, MPI_Datatype t, int d, int g, MPI_Comm c)\n\
         { return PMPI_Send(b, n, t, d, g, c); }\n\
         int main(int c, char **v)\n\
         { (void)v; MPI_Init(0, 0); MPI_Send(&c, 1, type, 0, 0, MPI_COMM_WORLD);\n\
         return part(c); }\n",
    )
    .unwrap();
    std::fs::write(path("flags"), "-DN=3 -O3\n-march=native '-Wl,-rpath,/a b'\n").unwrap();
    run(&["-Wall", "-Werror", "-MMD", "-fPIC", "-pthread", "-c", "@flags", "part.c"]);
    assert!(path("part.o").exists() && path("part.d").exists());
    // The libc has a library of this name too.
    let mut archive = Command::new("ar");
    archive.current_dir(folder.path()).args(["rcs", "libutil.a", "part.o"]);
    assert!(archive.status().unwrap().success());
    let warned = run(&["-fopenmp", "-Wall", "-Werror", "-c", "main.c"]);
    assert!(warned.contains("OpenMP"), "{warned}");
    run(&[
        "-static",
        "-rdynamic",
        "main.o",
        "-L.",
        "-lutil",
        "-lm",
        "-lpthread",
        "-lmpi",
        "-lrt",
        "-Wl,-z,now,-rpath,/x,--as-needed",
        "-Wl,--start-group",
        "-o",
        "prog",
    ]);
    let (imports, _) = doors_of(&std::fs::read(path("prog")).unwrap());
    assert!(!imports.contains("env"), "something was not found");
    std::fs::write(path("missing.c"), "char no_such_call(); int main(void) { no_such_call(); }\n")
        .unwrap();
    let missing = mpicc(&["missing.c", "-o", "missing"]);
    assert!(text_of(&missing).contains("undefined symbol: no_such_call"), "{missing:?}");
    assert!(!missing.status.success());
    let shown = String::from_utf8(mpicc(&["-show"]).stdout).unwrap();
    assert!(shown.trim().ends_with("sdk/c/faasm-cc"), "{shown}");
}

/// The newer parts of the library, and those for threads, which a libc++ without threads lacks.
#[test]
fn programs_of_newer_cplusplus_compile_and_link() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.wasm");
    let output = Command::new(Path::new(ROOT).join("sdk/c/faasm-mpicxx"))
        .args(["-std=c++20", "-Wall", "-Werror", "-o"])
        .arg(&out)
        .arg(Path::new(ROOT).join("tests/guests/mpi/port_threads.cpp"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text_of(&output));
}
