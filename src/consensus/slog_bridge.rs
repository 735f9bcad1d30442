//! raft-rs logs through slog; this hands its records to `tracing`.

use std::fmt::Write as _;

use slog::{Drain, KV, Level, Logger, Never, OwnedKVList, Record, Serializer, o};

/// A logger for raft-rs.
pub fn logger() -> Logger {
    Logger::root(Bridge, o!())
}

struct Bridge;

impl Drain for Bridge {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        // raft-rs reports each vote and each election at info: of use when looking for a fault
        // only, so one level lower here.
        match record.level() {
            Level::Critical | Level::Error => tracing::error!("{}", text(record, values)),
            Level::Warning => tracing::warn!("{}", text(record, values)),
            Level::Info if tracing::enabled!(tracing::Level::DEBUG) => {
                tracing::debug!("{}", text(record, values));
            }
            Level::Debug | Level::Trace if tracing::enabled!(tracing::Level::TRACE) => {
                tracing::trace!("{}", text(record, values));
            }
            _ => {}
        }
        Ok(())
    }
}

fn text(record: &Record<'_>, values: &OwnedKVList) -> String {
    let mut text = Text(format!("{}", record.msg()));
    // Writing into a string cannot fail.
    let _ = record.kv().serialize(record, &mut text);
    let _ = values.serialize(record, &mut text);
    text.0
}

struct Text(String);

impl Serializer for Text {
    fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
        let _ = write!(self.0, " {key}={value}");
        Ok(())
    }
}
