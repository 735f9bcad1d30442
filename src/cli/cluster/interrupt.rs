//! SIGINT and SIGTERM while a command works: it ends by itself, and leaves nothing behind.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::exit::CliError;

/// Hears the signals from its making on.
pub struct Interrupt {
    heard: Receiver<()>,
}

impl Interrupt {
    /// Begins to hear them, in a thread that ends with the process.
    pub fn watch() -> Result<Self, CliError> {
        let failed = |error| CliError::local(format!("signals cannot be heard: {error}"));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (mut terminate, mut interrupt) = {
            let _inside = runtime.enter();
            let hear = |kind| signal(kind).map_err(failed);
            (hear(SignalKind::terminate())?, hear(SignalKind::interrupt())?)
        };
        let (tell, heard) = sync_channel(1);
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            });
            // Nobody listens once the command is done.
            let _told = tell.send(()).is_ok();
        });
        Ok(Self { heard })
    }

    /// Waits for a signal, at most `time`; whether one came.
    pub fn wait(&self, time: Duration) -> bool {
        !matches!(self.heard.recv_timeout(time), Err(RecvTimeoutError::Timeout))
    }
}
