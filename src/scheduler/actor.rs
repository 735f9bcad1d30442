//! The scheduler's books: tells this node's load to the others, takes theirs, notices lost nodes.

use std::sync::Arc;

use bytes::Bytes;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use sysinfo::System;

use super::{Scheduler, metrics as names};
use crate::actor::Kept;
use crate::config::SchedulerOptions;
use crate::net::{BulkStream, Inbound, Net, Peer, Replier, ServiceId};
use crate::wire::Malformed;
use crate::wire::load::Load;

/// The machine's CPU and memory are read every this many reports: reading them costs milliseconds.
const SYSTEM_EVERY: u64 = 10;

/// Starts the actor and takes the others' datagrams.
pub(super) async fn spawn(
    scheduler: Scheduler,
    net: Net,
    options: SchedulerOptions,
) -> anyhow::Result<Kept> {
    net.register(ServiceId::Load, Arc::new(Reports(scheduler.clone())));
    let make =
        move || Books { scheduler: scheduler.clone(), net: net.clone(), options: options.clone() };
    Ok(crate::actor::keep(make).await?)
}

struct Books {
    scheduler: Scheduler,
    net: Net,
    options: SchedulerOptions,
}

struct Tick;

struct State {
    system: System,
    cpu_percent: u8,
    memory_percent: u8,
    ticks: u64,
}

impl Actor for Books {
    type Msg = Tick;
    type State = State;
    type Arguments = ();

    async fn pre_start(&self, me: ActorRef<Tick>, (): ()) -> Result<State, ActorProcessingErr> {
        me.send_interval(self.options.report, || Tick);
        Ok(State { system: System::new()?, cpu_percent: 0, memory_percent: 0, ticks: 0 })
    }

    async fn handle(
        &self,
        _: ActorRef<Tick>,
        _: Tick,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        if state.ticks.is_multiple_of(SYSTEM_EVERY) {
            state.read_machine();
        }
        state.ticks += 1;
        let mut load = self.scheduler.load();
        load.cpu_percent = state.cpu_percent;
        load.memory_percent = state.memory_percent;
        gauges(&load);
        let peers = self.net.peers().borrow().clone();
        let up = peers.values().filter_map(|status| status.up);
        let up = up.map(|peer| (peer.node, peer.incarnation)).collect();
        for (node, datagram) in self.scheduler.round(load, up) {
            self.net.datagram(node, ServiceId::Load, &datagram);
        }
        Ok(())
    }
}

impl State {
    fn read_machine(&mut self) {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        self.cpu_percent = self.system.global_cpu_usage().clamp(0.0, 100.0) as u8;
        let used = self.system.used_memory() * 100 / self.system.total_memory().max(1);
        self.memory_percent = used.min(100) as u8;
    }
}

fn gauges(load: &Load) {
    metrics::gauge!(names::QUEUED).set(load.queued);
    metrics::gauge!(names::FREE_SLOTS).set(load.room.free_slots);
    metrics::gauge!(names::FREE_PLACES).set(load.room.free_places);
    metrics::gauge!(names::RUNNING).set(load.room.running);
}

/// Takes the others' reports.
struct Reports(Scheduler);

impl Inbound for Reports {
    fn datagram(&self, from: Peer, bytes: &[u8]) -> Result<(), Malformed> {
        self.0.heard(from, bytes)
    }

    fn message(&self, _: Peer, _: &[u8], _: Bytes) -> Result<(), Malformed> {
        Err(only_datagrams())
    }

    fn request(&self, _: Peer, _: &[u8], _: Bytes, _: Replier) -> Result<(), Malformed> {
        Err(only_datagrams())
    }

    fn bulk(&self, _: Peer, _: &[u8], _: BulkStream) -> Result<(), Malformed> {
        Err(only_datagrams())
    }
}

fn only_datagrams() -> Malformed {
    Malformed { what: "load report", why: "load is told by datagrams only".to_owned() }
}
