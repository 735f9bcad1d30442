//! Tasks that go on with requests while the program computes. They end with the rank.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::mpi::constants as c;
use crate::mpi::error::{Result, error};

/// Those of a rank.
#[derive(Debug, Default)]
pub struct Tasks {
    all: Vec<AbortHandle>,
    /// How many are looked through for those that have ended.
    crowd: usize,
}

impl Tasks {
    /// Begins one.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let Ok(runtime) = Handle::try_current() else {
            return error(c::MPI_ERR_OTHER, "nothing runs tasks here");
        };
        if self.all.len() >= self.crowd {
            self.all.retain(|task| !task.is_finished());
            self.crowd = (self.all.len() * 2).max(64);
        }
        self.all.push(runtime.spawn(task).abort_handle());
        Ok(())
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.all.iter().for_each(AbortHandle::abort);
    }
}
