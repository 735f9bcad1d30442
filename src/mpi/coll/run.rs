//! Runs a collective, by whatever way is the right one for where its ranks are.

use super::layout::Layout;
use super::meeting::Attendance;
use super::reducing::{Reduction, Share};
use super::{Plan, Work, across, local, messages, nodes, reducing, traffic};
use crate::mpi::constants as c;
use crate::mpi::error::{Error, Result};

impl Plan {
    /// Runs it; `start` counts the starts of a persistent one.
    pub async fn run(&self, start: u32) -> Result<()> {
        let context = self.comm.collective();
        if start > 0
            && let Some(class) = self.endpoint.has_parted(context, self.tag)
        {
            let why = "an earlier start of this collective failed";
            return Err(Error::new(class, why));
        }
        if self.comm.remote.is_some() && !matches!(self.work, Work::Neighbours { .. }) {
            return self.told(across::run(self).await);
        }
        let layout = self.layout();
        let alone = layout.count() == 1;
        let Some(meetings) = self.endpoint.meetings() else {
            return self.told(messages::run(self).await);
        };
        if !alone && !nodes::pays(&self.work, layout) {
            return self.told(messages::run(self).await);
        }
        let first = layout.near().world_rank(0).unwrap_or(0);
        let key = (context, self.tag, start, first);
        let (_, me) = layout.place(self.comm.rank);
        let room = meetings.attend(key, layout.near(), me);
        if let Some(class) = self.endpoint.is_over(context) {
            room.meeting().fail(class);
        }
        let came = match alone {
            true => self.on_one_node(&room).await,
            false => self.told(nodes::run(self, layout, &room).await),
        };
        if let Err(error) = &came {
            room.withdraw(error.class().unwrap_or(c::MPI_ERR_OTHER));
        }
        room.leave();
        came
    }

    /// Tells those that may wait for this rank when it could not do its part. Of ranks that failed,
    /// and of what was revoked, all hear anyway.
    fn told(&self, came: Result<()>) -> Result<()> {
        let heard = [c::MPIX_ERR_PROC_FAILED, c::MPIX_ERR_REVOKED, c::MPI_ERR_PROC_ABORTED];
        if let Err(error) = &came {
            let class = error.class().unwrap_or(c::MPI_ERR_OTHER);
            if !heard.contains(&class) {
                self.endpoint.parts(self.comm.collective(), self.tag, class);
            }
        }
        came
    }

    /// Where the ranks are.
    fn layout(&self) -> &Layout {
        let node_of = |rank| self.endpoint.node_of(rank);
        let new = || Layout::new(&self.comm.group, self.comm.rank, node_of);
        self.comm.layout.get_or_init(new)
    }

    async fn on_one_node(&self, room: &Attendance<'_>) -> Result<()> {
        let (me, size) = (self.comm.rank, self.comm.group.size());
        traffic::on_one_node(&self.work, me, size, |from, to, bytes| self.moved(from, to, bytes));
        match self.work.reduction() {
            Some(reduction) => reducing::run(room, &reduction).await,
            None => local::run(room, me, &self.work).await,
        }
    }

    /// Counts what moves in memory.
    pub(super) fn moved(&self, from: u32, to: u32, bytes: u64) {
        let world = |rank| self.comm.group.world_rank(rank);
        if let (Some(from), Some(to)) = (world(from), world(to)) {
            self.endpoint.took(from, to, bytes);
        }
    }
}

impl Work {
    fn reduction(&self) -> Option<Reduction<'_>> {
        let (send, receive, combine, share) = match self {
            Self::Reduce { send, receive, combine, .. } => {
                (send, receive.as_ref(), combine, Share::All)
            }
            Self::Allreduce { send, receive, combine } => {
                (send, Some(receive), combine, Share::All)
            }
            Self::ReduceScatter { send, receive, counts, combine } => {
                (send, Some(receive), combine, Share::Counts(counts))
            }
            Self::Scan { send, receive, combine, exclusive } => {
                (send, Some(receive), combine, Share::Scan(*exclusive))
            }
            _ => return None,
        };
        Some(Reduction { send, receive, combine, share })
    }
}
