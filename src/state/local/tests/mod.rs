//! Tests of the local tier over a global one in memory.

mod limits;
mod locks;
#[path = "../../../../tests/common/global.rs"]
mod memory;
mod model;
mod transfers;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use memory::{Locks, Memory};

use super::{Local, LocalSetup};
use crate::errno::Errno;
use crate::function::values::{Missing, Part, StateHost, Value, Written};
use crate::function::{StateSpace, memfd::PAGE};
use crate::id::{CallId, Name};
use crate::wire::shards::StateKey;

/// Nodes over one global tier.
struct World {
    memory: Arc<Memory>,
    locks: Arc<Locks>,
}

impl World {
    fn new() -> Self {
        Self { memory: Memory::new(), locks: Arc::default() }
    }

    fn node(&self) -> Local {
        self.node_with(1 << 40, 1 << 40)
    }

    fn node_with(&self, memory: u64, user_memory: u64) -> Local {
        Local::new(LocalSetup {
            global: self.memory.clone(),
            locks: self.locks.clone(),
            memory,
            user_memory,
            threads: 2,
            patience: Duration::from_secs(10),
        })
    }
}

fn key(name: &str) -> StateKey {
    StateKey { user: "tester".into(), key: name.into() }
}

fn call(node: &Local) -> Arc<dyn StateHost> {
    node.open(CallId::random(), &Name::new("tester").unwrap())
}

/// All of a value, mapped as an instance has it.
struct Mapped {
    value: Arc<dyn Value>,
    _window: Box<dyn Any + Send + Sync>,
}

impl Mapped {
    async fn get(host: &Arc<dyn StateHost>, key: &str) -> Result<Self, Errno> {
        let value = host.value(key, Missing::Fail, None).await?;
        Self::part(value.clone(), Part { off: 0, len: value.size() }).await
    }

    async fn part(value: Arc<dyn Value>, part: Part) -> Result<Self, Errno> {
        let off = part.off / PAGE * PAGE;
        let len = (part.off + part.len).max(1).next_multiple_of(PAGE) - off;
        let window = value.map(Part { off, len }).await?;
        value.fill(part, false).await?;
        Ok(Self { value, _window: window })
    }

    /// What an instance does through its pointer.
    fn poke(&self, off: u64, bytes: &[u8]) {
        self.value.file().write_at(off, bytes).unwrap();
    }

    fn peek(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.value.size() as usize];
        self.value.file().read_at(0, &mut bytes).unwrap();
        bytes
    }
}

async fn set(host: &Arc<dyn StateHost>, key: &str, bytes: &[u8]) -> Result<(), Errno> {
    let mut writer = host.begin_write(key, Written::All(bytes.len() as u64)).await?;
    writer.write(0, bytes)?;
    writer.finish();
    Ok(())
}

async fn set_part(
    host: &Arc<dyn StateHost>,
    key: &str,
    off: u64,
    bytes: &[u8],
) -> Result<(), Errno> {
    let part = Part { off, len: bytes.len() as u64 };
    let mut writer = host.begin_write(key, Written::Part(part, Missing::Fail)).await?;
    writer.write(off, bytes)?;
    writer.finish();
    Ok(())
}
