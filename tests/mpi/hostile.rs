//! A program that calls every function with arguments drawn at random can hurt itself and nobody
//! else.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use faasm::mpi::abi::{Function, Kind, Parameter, Pass, functions};

use crate::ranks::Ranks;

/// What ends the rank or gives its memory back: these are tested where they mean something.
const LEFT_OUT: &[&str] = &["MPI_Abort", "MPI_Finalize", "MPI_Free_mem"];

/// What waits for a message or for other ranks, whatever the size of the world.
const WAITS: &[&str] = &[
    "MPI_Buffer_detach",
    "MPI_Buffer_flush",
    "MPI_Comm_accept",
    "MPI_Comm_connect",
    "MPI_Comm_create_from_group",
    "MPI_Comm_detach_buffer",
    "MPI_Comm_disconnect",
    "MPI_Comm_flush_buffer",
    "MPI_Comm_join",
    "MPI_Intercomm_create",
    "MPI_Intercomm_create_from_groups",
    "MPI_Intercomm_merge",
    "MPI_Mprobe",
    "MPI_Mrecv",
    "MPI_Probe",
    "MPI_Recv",
    "MPI_Rsend",
    "MPI_Send",
    "MPI_Sendrecv",
    "MPI_Sendrecv_replace",
    "MPI_Session_detach_buffer",
    "MPI_Session_flush_buffer",
    "MPI_Ssend",
    "MPI_Wait",
    "MPI_Waitall",
    "MPI_Waitany",
    "MPI_Waitsome",
];

fn c_type(pass: Pass) -> &'static str {
    match pass {
        Pass::Int | Pass::Address | Pass::Aint => "int",
        Pass::Long => "long long",
        Pass::Double => "double",
    }
}

fn argument(parameter: &Parameter) -> String {
    let kinds = [
        Kind::Comm,
        Kind::Group,
        Kind::Datatype,
        Kind::Op,
        Kind::Request,
        Kind::Message,
        Kind::Errhandler,
        Kind::Info,
        Kind::Win,
        Kind::File,
        Kind::Session,
    ];
    match (parameter.handle, parameter.pass) {
        (Some(kind), _) => {
            let at = kinds.iter().position(|known| *known == kind).expect("all are there");
            format!("handle({at})")
        }
        (None, Pass::Address) if parameter.name.ends_with("_fn") => {
            format!("function(\"{}\")", parameter.name)
        }
        (None, Pass::Address) => "address()".to_owned(),
        (None, Pass::Long) => "large()".to_owned(),
        (None, _) => "number()".to_owned(),
    }
}

/// The calls, as C: one function that makes the nth.
fn calls() -> String {
    let called: Vec<&Function> =
        functions().iter().filter(|function| !LEFT_OUT.contains(&function.base)).collect();
    let (mut declared, mut made, mut waits) = (String::new(), String::new(), String::new());
    for (at, function) in called.iter().enumerate() {
        // Some by their other name.
        let name = format!("{}{}", ["", "P"][at % 2], function.name);
        let types: Vec<_> = function.parameters.iter().map(|p| c_type(p.pass)).collect();
        let types = if types.is_empty() { "void".to_owned() } else { types.join(", ") };
        writeln!(
            declared,
            "__attribute__((import_module(\"env\"), import_name(\"{name}\")))\n\
             extern {} raw_{at}({types});",
            c_type(function.result)
        )
        .unwrap();
        let arguments: Vec<_> = function.parameters.iter().map(argument).collect();
        writeln!(made, "    case {at}: (void)raw_{at}({}); break;", arguments.join(", ")).unwrap();
        if WAITS.contains(&function.base) {
            write!(waits, "which == {at} || ").unwrap();
        }
    }
    format!(
        "#define FUNCTIONS {}\n{declared}\nstatic void call(int which) {{\n    switch (which) {{\n\
         {made}    }}\n}}\n\nstatic int waits(int which) {{\n    return {waits}0;\n}}\n",
        called.len()
    )
}

/// The module.
fn hostile() -> Bytes {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("calls.h"), calls()).expect("the calls are written");
    let module = folder.path().join("hostile.wasm");
    let output = Command::new(root.join("sdk/c/faasm-mpicc"))
        .args(["-Wall", "-Werror", "-O1", "-I"])
        .arg(folder.path())
        .arg("-o")
        .args([&module, &root.join("tests/guests/mpi/hostile.c")])
        .output()
        .expect("faasm-mpicc could not be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "it does not compile:\n{errors}");
    Bytes::from(std::fs::read(module).expect("the module is there"))
}

/// Counts panics of threads that are not of a test.
fn count_panics() -> Arc<AtomicUsize> {
    let panics = Arc::new(AtomicUsize::new(0));
    let (count, before) = (panics.clone(), std::panic::take_hook());
    let test = std::thread::current().id();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() != test {
            count.fetch_add(1, Ordering::Relaxed);
        }
        before(info);
    }));
    panics
}

#[test]
fn any_arguments_of_any_call_are_answered() {
    let panics = count_panics();
    let (node, module) = (Ranks::new(), hostile());
    let mut whole = 0;
    for seed in 1..=8_u32 {
        let args = [&seed.to_string(), "3000", "0"];
        let ended = node.run_for(&module, 1, &args, Duration::from_secs(20));
        for outcome in ended {
            let log = String::from_utf8_lossy(&outcome.log);
            eprintln!("seed {seed}: {:?}: {}", outcome.result, log.lines().last().unwrap_or(""));
            whole += usize::from(outcome.result == Ok(0));
        }
        assert_eq!(panics.load(Ordering::Relaxed), 0, "seed {seed}");
    }
    // The others have hurt themselves: written over their own memory, or named a wrong callback.
    assert!(whole >= 3, "only {whole} programs of 8 made all their calls");
    node.is_empty();
}

#[test]
fn a_hostile_world_does_not_disturb_another() {
    let panics = count_panics();
    let (node, module) = (Ranks::new(), hostile());
    std::thread::scope(|scope| {
        for seed in 100..104_u32 {
            let (node, module) = (&node, &module);
            scope.spawn(move || {
                let args = [&seed.to_string(), "3000", "1"];
                node.run_for(module, 3, &args, Duration::from_secs(3));
            });
        }
        for _ in 0..3 {
            node.passes("mpi/p2p_order", 3);
        }
    });
    assert_eq!(panics.load(Ordering::Relaxed), 0);
    node.is_empty();
    node.passes("mpi/ring", 5);
}
