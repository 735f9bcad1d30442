//! A process: its tasks stand still while it is stopped, and are gone when it is killed.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use crate::clock::skew::{self, Skew};
use crate::id::{Incarnation, NodeId};

/// One life of a node.
pub struct Life {
    pub node: NodeId,
    pub incarnation: Incarnation,
    clock: Skew,
    alive: AtomicBool,
    stopped: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
    tasks: Mutex<Vec<tokio::task::AbortHandle>>,
}

impl Life {
    pub fn new(node: NodeId, incarnation: u64, clock: Skew) -> Arc<Self> {
        Arc::new(Self {
            node,
            incarnation: Incarnation(incarnation),
            clock,
            alive: AtomicBool::new(true),
            stopped: AtomicBool::new(false),
            waiting: Mutex::default(),
            tasks: Mutex::default(),
        })
    }

    /// Runs a task of the process.
    pub fn spawn(self: &Arc<Self>, task: BoxFuture<'static, ()>) {
        let handle = tokio::spawn(Task { life: self.clone(), task: Some(task) });
        let mut tasks = self.tasks.lock();
        tasks.retain(|task| !task.is_finished());
        tasks.push(handle.abort_handle());
    }

    /// Does something as this process, by its clock.
    pub fn act<T>(&self, act: impl FnOnce() -> T) -> T {
        skew::with(self.clock, act)
    }

    /// How fast its clock runs, in percent.
    pub fn rate(&self) -> u32 {
        self.clock.1
    }

    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Whether it can do something just now.
    pub fn runs(&self) -> bool {
        self.is_alive() && !self.is_stopped()
    }

    /// As by SIGSTOP and SIGCONT.
    pub fn stop(&self, stopped: bool) {
        self.stopped.store(stopped, Ordering::SeqCst);
        self.waiting.lock().drain(..).for_each(Waker::wake);
    }

    /// As by SIGKILL.
    pub fn kill(&self) {
        self.alive.store(false, Ordering::SeqCst);
        self.tasks.lock().drain(..).for_each(|task| task.abort());
    }
}

struct Task {
    life: Arc<Life>,
    task: Option<BoxFuture<'static, ()>>,
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.life.is_alive() {
            self.task = None;
            return Poll::Ready(());
        }
        if self.life.is_stopped() {
            self.life.waiting.lock().push(cx.waker().clone());
            return Poll::Pending;
        }
        let clock = self.life.clock;
        match &mut self.task {
            Some(task) => skew::with(clock, || task.as_mut().poll(cx)),
            None => Poll::Ready(()),
        }
    }
}
