//! Logs, to stderr: for people or as JSON, the node's id on every line.

use std::fmt;
use std::io::IsTerminal;

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::id::NodeId;

/// Environment variable with the filter, as in `info,faasm::calls=debug`.
pub const FILTER_VARIABLE: &str = "FAASM_LOG";
/// What is logged when nothing else was asked for. hyper warns of each idle client, raft speaks
/// through slog: both are noise here.
const DEFAULT_FILTER: &str = "info,hyper=error,quinn=error,quinn_proto=error,ractor=warn";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Human => "human",
            Self::Json => "json",
        })
    }
}

/// Sends the process's logs to stderr. To be called once, first of all; a process that already
/// logs (a test) keeps its logs. A filter that cannot be read is an error that names it.
pub fn init_log(node: NodeId, format: LogFormat) -> Result<(), String> {
    let filter = match std::env::var(FILTER_VARIABLE) {
        Ok(text) => EnvFilter::try_new(&text).map_err(|error| {
            format!("{FILTER_VARIABLE}=`{text}`: {error}; write it as in info,faasm::calls=debug")
        })?,
        Err(_) => EnvFilter::new(DEFAULT_FILTER),
    };
    let base = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // The error says that somebody else's subscriber is in place: that one is kept.
    let _kept = match format {
        LogFormat::Human => base
            .with_ansi(std::io::stderr().is_terminal())
            .event_format(Human { node, inner: Format::default() })
            .try_init(),
        LogFormat::Json => base
            .fmt_fields(JsonFields::new())
            .event_format(JsonLine { node, inner: Format::default().json().flatten_event(true) })
            .try_init(),
    };
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// A panic is a line of the log like any other: with the node's id, and JSON if all else is.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = std::backtrace::Backtrace::capture();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or_default();
    tracing::error!(place, thread, %backtrace, "panic: {message}");
}

/// The usual line, after the node's id.
struct Human {
    node: NodeId,
    inner: Format<Full>,
}

impl<S, N> FormatEvent<S, N> for Human
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "{} ", self.node)?;
        self.inner.format_event(context, writer, event)
    }
}

/// The usual object, with the node's id as its first field.
struct JsonLine {
    node: NodeId,
    inner: Format<Json>,
}

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::with_capacity(256);
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        let rest = line.strip_prefix('{').unwrap_or(&line);
        write!(writer, "{{\"node\":\"{}\",{rest}", self.node)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A writer that keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Kept {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn speak() {
        let span = tracing::info_span!("invoke", function = "a/b");
        span.in_scope(|| tracing::info!(call = 7, "it \"runs\""));
        tracing::warn!("outside");
    }

    #[test]
    fn a_human_line_begins_with_the_node() {
        let kept = Kept::default();
        let out = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || out.clone())
            .event_format(Human { node: NodeId(3), inner: Format::default() })
            .finish();
        tracing::subscriber::with_default(subscriber, speak);
        let text = kept.text();
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().all(|line| line.starts_with("n3 ")), "{text}");
        assert!(text.contains("function=\"a/b\""), "{text}");
    }

    #[test]
    fn a_json_line_is_an_object_with_the_node() {
        let kept = Kept::default();
        let out = kept.clone();
        let inner = Format::default().json().flatten_event(true);
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(JsonFields::new())
            .with_writer(move || out.clone())
            .event_format(JsonLine { node: NodeId(3), inner })
            .finish();
        tracing::subscriber::with_default(subscriber, speak);
        for line in kept.text().lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(value["node"], "n3", "{line}");
            assert!(value["message"].is_string(), "{line}");
        }
        assert_eq!(kept.text().lines().count(), 2);
    }
}
