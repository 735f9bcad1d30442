//! Records of chained calls, made when somebody asks.

use std::sync::Arc;

use bytes::Bytes;

use super::Calls;
use super::kept::RecentEnd;
use super::live::LiveCall;
use super::records::Stored;
use crate::wire::calls::{Kept, Phase, Record, Times};

impl Calls {
    /// The record of a chained call that lives here.
    pub(super) fn running_child(&self, live: &Arc<LiveCall>) -> Stored {
        let summary = live.summary();
        let started_us = live.control.started_us();
        let record = Record {
            call: summary.call,
            user: summary.user,
            name: summary.name,
            parent: live.spec.parent(),
            home: self.me(),
            home_incarnation: self.incarnation(),
            home_session: self.registry().own_session().unwrap_or_default(),
            node: Some(self.me()),
            attempt: live.attempt,
            phase: summary.phase,
            result: None,
            output: Kept::Inline(0),
            log: Kept::Inline(0),
            times: Times { accepted_us: live.accepted_us, started_us, ended_us: 0 },
            requested_us: live.accepted_us,
            work: Vec::new(),
            trace: live.spec.tree.trace,
            job: live.spec.role.job().map(|run| run.record()),
        };
        Stored { record, output: Bytes::new(), log: Bytes::new() }
    }

    /// The record of a chained call that ended, without its output.
    pub(super) fn ended_child(&self, end: RecentEnd) -> Stored {
        let (output, _) = end.ended.output.to_wire();
        let (log, log_bytes) = end.ended.log.to_wire();
        let record = Record {
            call: end.call,
            user: end.key.user.to_string(),
            name: end.key.name.to_string(),
            parent: end.parent,
            home: self.me(),
            home_incarnation: self.incarnation(),
            home_session: self.registry().own_session().unwrap_or_default(),
            node: Some(end.ended.node),
            attempt: end.attempt,
            phase: Phase::Done,
            result: Some(end.ended.result),
            output,
            log,
            times: end.ended.times,
            requested_us: end.ended.times.accepted_us,
            work: Vec::new(),
            trace: end.trace,
            job: None,
        };
        Stored { record, output: Bytes::new(), log: log_bytes }
    }
}
