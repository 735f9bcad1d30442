//! What a running instance asks of its node about calls: the host side of `chain_call` and the
//! rest. See [`CallHost`] for the meaning of each.

use std::future::{Future, poll_fn, ready};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::cell::{CallCell, Ended};
use super::gang::Gang;
use super::live::LiveCall;
use super::spec::{Role, Spec, Tree};
use crate::errno::{CallError, Errno};
use crate::function::{CallHost, EndReason, RankNews, Target};
use crate::id::{CallId, FunctionKey, Name};
use crate::scheduler::Needs;
use crate::wire::calls::Entry;

impl CallHost for LiveCall {
    fn chain(&self, target: Target<'_>, input: Bytes) -> BoxFuture<'_, Result<u32, CallError>> {
        let spec = match self.child_spec(target, input) {
            Ok(spec) => Arc::new(spec),
            Err(error) => return Box::pin(ready(Err(error))),
        };
        let cell = CallCell::new(Some(self.me.clone()));
        let handle = self.add_child(spec.call, cell.clone());
        if self.calls.originate(&spec, &cell) {
            return Box::pin(ready(Ok(handle)));
        }
        Box::pin(async move {
            let _rest = Rest::begin(self);
            match self.calls.originate_elsewhere(&spec, &cell).await {
                Ok(()) => Ok(handle),
                Err(error) => {
                    self.drop_child(handle);
                    Err(error)
                }
            }
        })
    }

    fn wait(&self, child: u32, limit: Option<Duration>) -> BoxFuture<'_, Result<u8, Errno>> {
        let Some((call, cell)) = self.child(child) else {
            return Box::pin(ready(Err(Errno::Inval)));
        };
        if let Some(ended) = cell.ended() {
            return Box::pin(ready(result_of(&ended)));
        }
        Box::pin(async move {
            let _rest = Rest::begin(self);
            let wait = within(limit, async { Ok(cell.wait().await) });
            let ended = self.awaits(|| vec![call], wait).await?;
            result_of(&ended)
        })
    }

    fn wait_any(
        &self,
        children: Vec<u32>,
        limit: Option<Duration>,
    ) -> BoxFuture<'_, Result<u32, Errno>> {
        let cells: Option<Vec<_>> =
            children.iter().map(|handle| Some((*handle, self.child(*handle)?))).collect();
        let Some(cells) = cells.filter(|cells| !cells.is_empty()) else {
            return Box::pin(ready(Err(Errno::Inval)));
        };
        if let Some((handle, _)) = cells.iter().find(|(_, (_, cell))| cell.ended().is_some()) {
            return Box::pin(ready(Ok(*handle)));
        }
        Box::pin(async move {
            let _rest = Rest::begin(self);
            let first = poll_fn(|cx| {
                let done = cells.iter().find(|(_, (_, cell))| cell.poll(cx.waker()).is_ready());
                done.map_or(Poll::Pending, |(handle, _)| Poll::Ready(Ok(*handle)))
            });
            let children = || cells.iter().map(|(_, (call, _))| *call).collect();
            self.awaits(children, within(limit, first)).await
        })
    }

    fn output(&self, child: u32) -> BoxFuture<'_, Result<Bytes, Errno>> {
        let Some((call, cell)) = self.child(child) else {
            return Box::pin(ready(Err(Errno::Inval)));
        };
        Box::pin(async move {
            let ended = match cell.ended() {
                Some(ended) => ended,
                None => {
                    let _rest = Rest::begin(self);
                    self.awaits(|| vec![call], async { Ok(cell.wait().await) }).await?
                }
            };
            result_of(&ended)?;
            self.calls
                .payload(call, &ended.output, self.spec.tree.deadline)
                .await
                .map_err(|e| e.code)
        })
    }

    fn cancel(&self, child: u32) -> Result<(), Errno> {
        let (call, cell) = self.child(child).ok_or(Errno::Inval)?;
        self.calls.cancel_branch(call, cell.placed_as());
        self.calls.end_below(call, EndReason::Cancelled);
        Ok(())
    }

    fn error_text(&self, child: u32) -> Result<String, Errno> {
        let (_, cell) = self.child(child).ok_or(Errno::Inval)?;
        let failed = cell.ended().and_then(|ended| ended.result.clone().err());
        Ok(failed.map(|error| error.to_string()).unwrap_or_default())
    }

    fn child_id(&self, child: u32) -> Option<CallId> {
        self.children.lock().get(child as usize).map(|child| child.call)
    }

    fn waiting(&self) {
        self.give_slot();
        self.rests();
    }

    fn resumed(&self) {
        self.runs();
    }

    fn long_running(&self) {
        self.give_slot();
    }

    fn started(&self) {
        self.begins();
    }

    fn wrote(&self, text: &[u8]) {
        if self.spec.role.is_rank() {
            self.calls.rank_wrote(self, text);
        }
    }

    fn rank_news(&self, news: RankNews) {
        self.calls.rank_news(self, news);
    }
}

impl LiveCall {
    fn child(&self, handle: u32) -> Option<(CallId, Arc<CallCell>)> {
        self.children.lock().get(handle as usize).map(|child| (child.call, child.cell.clone()))
    }

    fn child_spec(&self, target: Target<'_>, input: Bytes) -> Result<Spec, CallError> {
        let options = self.calls.options();
        let tree = Tree { depth: self.spec.tree.depth.saturating_add(1), ..self.spec.tree };
        if tree.depth > options.depth {
            let detail = format!("a call may have at most {} calls above it", options.depth);
            return Err(CallError::new(Errno::Limit, detail));
        }
        if self.children.lock().len() >= options.children as usize {
            let detail = format!("a call may chain at most {} calls", options.children);
            return Err(CallError::new(Errno::Limit, detail));
        }
        let (function, start) = match target {
            Target::Table(index) => (self.spec.function.clone(), Entry::Table(index)),
            Target::Name(name) | Target::Ranks(name, _) => {
                let name = Name::new(name)
                    .map_err(|error| CallError::new(Errno::Inval, error.to_string()))?;
                let key = FunctionKey { user: self.spec.function.key.user.clone(), name };
                (self.calls.function(&key)?, Entry::Main)
            }
        };
        let options = &function.entry.options;
        let needs =
            Needs { policy: options.policy, pin: options.pin.clone(), wasm: function.entry.wasm };
        let share = self.calls.budget().take(&self.spec.user, input.len())?;
        let role = match target {
            Target::Ranks(_, ranks) => {
                self.calls.job_role(Gang::of(ranks), &function, &self.spec.user)?
            }
            Target::Name(_) | Target::Table(_) => Role::Plain,
        };
        Ok(Spec {
            call: CallId(self.calls.draw()),
            function,
            user: self.spec.user.clone(),
            start,
            args: Vec::new(),
            input,
            share,
            tree,
            above: self.above_children(),
            needs,
            role,
        })
    }
}

/// A wait of a call: its slot is given back, and it does not count as running.
struct Rest<'a>(&'a LiveCall);

impl<'a> Rest<'a> {
    fn begin(call: &'a LiveCall) -> Self {
        CallHost::waiting(call);
        Self(call)
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        // A call that ended during the wait is not to count as running again.
        if self.0.phase() == crate::wire::calls::Phase::Running && self.0.control.ended().is_none()
        {
            self.0.runs();
        }
    }
}

fn result_of(ended: &Ended) -> Result<u8, Errno> {
    ended.result.as_ref().map(|code| *code).map_err(|error| error.code)
}

async fn within<T>(
    limit: Option<Duration>,
    wait: impl Future<Output = Result<T, Errno>>,
) -> Result<T, Errno> {
    match limit {
        None => wait.await,
        Some(limit) => tokio::time::timeout(limit, wait).await.unwrap_or(Err(Errno::TimedOut)),
    }
}
