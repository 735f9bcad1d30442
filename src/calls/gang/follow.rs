//! Following what a call writes, from any node: of a job while it runs, of other calls at their end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::JobRun;
use crate::calls::cell::CallCell;
use crate::calls::root::Root;
use crate::calls::{Calls, Invoke, MAX_DEADLINE};
use crate::clock;
use crate::errno::CallError;
use crate::function::EndReason;
use crate::id::{CallId, NodeId};
use crate::wire::calls::{CallReply, CallRequest, INLINE_MAX, Phase};

/// Between two questions to another node that runs the job: at first, and at most.
const POLL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));
/// How long another node may take to answer.
const ASK: Duration = Duration::from_secs(3);

/// Reads what a call writes, part by part.
pub struct Follower {
    calls: Calls,
    call: CallId,
    at: usize,
    source: Source,
}

enum Source {
    /// Launched here.
    Here(Arc<JobRun>),
    /// Launched there.
    There(NodeId),
    /// It ended, or is no job: its log, at its end.
    Log,
    /// All was read.
    Over,
}

impl Follower {
    /// The next part; `None` when there is no more.
    pub async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        let mut pause = POLL.0;
        loop {
            let (part, over) = match &self.source {
                Source::Over => return Ok(None),
                Source::Here(run) => run.output.next(self.at, INLINE_MAX).await,
                Source::There(node) => match self.ask(*node).await {
                    Some(part) => part,
                    None => {
                        self.source = Source::Log;
                        continue;
                    }
                },
                Source::Log => {
                    let record = self.calls.wait(self.call, MAX_DEADLINE).await?;
                    let log = match record.phase {
                        Phase::Done => self.calls.log(self.call).await?,
                        _ => Bytes::new(),
                    };
                    (log.get(self.at..).map(|part| log.slice_ref(part)).unwrap_or_default(), true)
                }
            };
            if over {
                self.source = Source::Over;
            }
            if !part.is_empty() {
                self.at += part.len();
                return Ok(Some(part));
            }
            if !over {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(POLL.1);
            }
        }
    }

    /// Asks another node; `None` when it knows no such job any more, or is gone.
    async fn ask(&self, node: NodeId) -> Option<(Bytes, bool)> {
        let request = CallRequest::Follow(self.call, self.at as u64);
        let reply = self.calls.net().request(node, request, Bytes::new(), clock::now() + ASK).await;
        match reply {
            Ok((CallReply::Text(over), body)) => Some((body, over)),
            _ => None,
        }
    }
}

/// A root call that ends when this is dropped before its end.
pub struct Streamed {
    /// Its id.
    pub call: CallId,
    follower: Follower,
    cell: Arc<CallCell>,
}

impl Streamed {
    /// The next part of what it writes; `None` when there is no more.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.follower.next().await.ok().flatten()
    }

    /// Waits for its result.
    pub async fn result(&self) -> Result<u8, CallError> {
        self.cell.wait().await.result.clone()
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        if self.cell.ended().is_none() {
            self.follower.calls.end_tree(self.call, EndReason::Cancelled);
        }
    }
}

impl Calls {
    /// Makes a call whose output is read while it runs.
    pub async fn stream(&self, request: Invoke) -> Result<Streamed, CallError> {
        let _entering = self.enters();
        let spec = self.root_spec(request)?;
        let call = spec.call;
        let root: Arc<Root> = self.begin_root(spec, None).await?;
        let (follower, cell) = (self.follower_of(call, None), root.cell.clone());
        let streamed = Streamed { call, follower, cell };
        self.file(&root);
        Ok(streamed)
    }

    /// Follows a call. `FAASM_ENOENT` when no node knows it.
    pub async fn follower(&self, call: CallId) -> Result<Follower, CallError> {
        if self.job_here(call).is_some() {
            return Ok(self.follower_of(call, None));
        }
        let record = self.record(call).await?;
        let there = record.job.is_some() && record.phase != Phase::Done;
        Ok(self.follower_of(call, Some(record.home).filter(|_| there)))
    }

    fn follower_of(&self, call: CallId, there: Option<NodeId>) -> Follower {
        let source = match (self.job_here(call), there) {
            (Some(run), _) => Source::Here(run),
            (None, Some(node)) if node != self.me() => Source::There(node),
            _ => Source::Log,
        };
        Follower { calls: self.clone(), call, at: 0, source }
    }

    /// What a job launched here has written, for another node.
    pub(in crate::calls) fn text_of(&self, call: CallId, from: u64) -> (CallReply, Bytes) {
        let Some(run) = self.job_here(call) else { return (CallReply::Unknown, Bytes::new()) };
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let (part, over) = run.output.read(from, INLINE_MAX);
        (CallReply::Text(over), part)
    }
}
