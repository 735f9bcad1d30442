//! Functions as people have them: in Faasm's manner, unchanged, and in our own. Each returns what
//! the comment at its head promises.

mod common;

use common::cluster::Cluster;
use common::guests::guest;
use faasm::calls::Finished;
use faasm::errno::Errno;
use faasm::wire::function::Limits;

async fn with(names: &[&str]) -> Cluster {
    let cluster = Cluster::builder().nodes(3).start().await;
    for name in names {
        let wasm = std::fs::read(guest(name)).expect("the guest was compiled");
        cluster.upload(0, name, &wasm, Limits::default()).await;
    }
    cluster
}

async fn log(cluster: &Cluster, done: &Finished) -> String {
    let log = cluster.node(0).handles().calls.log(done.call).await.expect("a log");
    String::from_utf8_lossy(&log).into_owned()
}

/// Invokes through a node; the function must return 0. Its output.
async fn output(cluster: &Cluster, at: usize, name: &str, input: &str, args: &[&str]) -> String {
    let done = cluster.invoke(at, name, input.as_bytes(), args).await.expect("accepted");
    assert_eq!(done.result, Ok(0), "{name}: {}", log(cluster, &done).await);
    String::from_utf8_lossy(&done.output).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn faasm_functions_for_input_output_and_chaining_run_unchanged() {
    let cluster = with(&["faasm_chain", "faasm_helpers", "echo", "zygote"]).await;
    for at in 0..3 {
        assert_eq!(output(&cluster, at, "faasm_chain", "", &[]).await, "done");
        assert_eq!(output(&cluster, at, "faasm_helpers", "41", &[]).await, "41 42");
        // Constructors and the zygote ran before the chained function, main did not.
        assert_eq!(output(&cluster, at, "zygote", "", &[]).await, "11 0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faasm_functions_for_state_run_unchanged() {
    let cluster = with(&["faasm_state", "faasm_values"]).await;
    for (at, name) in [(0, "faasm_state"), (1, "faasm_state"), (2, "faasm_values")] {
        let done = cluster.invoke(at, name, b"", &[]).await.expect("accepted");
        assert_eq!(done.result, Ok(0), "{name}: {}", log(&cluster, &done).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_offered_ends_the_call_with_an_error_that_names_it() {
    let cluster = with(&["throws"]).await;
    for (name, word) in [("throws", "__cxa_")] {
        let done = cluster.invoke(0, name, b"", &[]).await.expect("accepted");
        let error = done.result.expect_err("it cannot end well");
        assert_eq!(error.code, Errno::NoSys, "{name}: {}", error.detail);
        assert!(error.detail.contains(word), "{name}: no word of {word}: {}", error.detail);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c_and_cpp_programs_run_as_they_would_anywhere() {
    let cluster = with(&["iostream", "heap", "args", "exit_code"]).await;
    let done = cluster.invoke(0, "iostream", b"", &[]).await.expect("accepted");
    let said = log(&cluster, &done).await;
    assert_eq!((done.result, &done.output[..]), (Ok(0), &b"large 16\nsmall 2.25\n321"[..]));
    assert_eq!(said, "announcer up\nannouncer down\n", "static objects come and go");

    output(&cluster, 0, "heap", "", &[]).await;

    let args = ["", "two words", "ä%&="];
    let done = cluster.invoke(1, "args", b"", &args).await.expect("accepted");
    assert_eq!(String::from_utf8_lossy(&done.output), "args\n\ntwo words\nä%&=\n");
    let said = log(&cluster, &done).await;
    assert!(said.contains("4 arguments\n") && said.contains("last: ä%&=\n"), "{said}");

    for (args, result) in
        [(&[][..], 0), (&["7"], 7), (&["255"], 255), (&["7", "by exit"], 7), (&["0", "by exit"], 0)]
    {
        let done = cluster.invoke(2, "exit_code", b"", args).await.expect("accepted");
        assert_eq!(done.result, Ok(result), "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_compute_what_they_say() {
    let cluster = with(&["fib", "pointer", "pi", "hello"]).await;
    assert_eq!(output(&cluster, 0, "fib", "10", &[]).await, "55\n");
    assert_eq!(output(&cluster, 1, "pointer", "", &["20"]).await, "1^2 + ... + 20^2 = 2870\n");
    assert_eq!(output(&cluster, 2, "pi", "", &["4"]).await, "3.141592654\n");
    let greeted = output(&cluster, 0, "hello", "good morning", &["Ada", "Grace"]).await;
    assert_eq!(greeted, "Hello Ada Grace: good morning\n");
    let done = cluster.invoke(0, "pointer", b"", &["0"]).await.expect("accepted");
    assert_eq!(done.result, Ok(2), "an argument that it refuses");
}
