//! The windows of values that an instance has mapped, and the pointers that it got to them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::values::{Part, StateHost, StateSpace, Value};
use crate::errno::Errno;
use crate::id::{CallId, Name};

/// Most windows of one instance: each takes mappings of the process, which the kernel limits.
const MAX_WINDOWS: usize = 1_024;
/// Most pointers remembered for a window; one with more stays mapped until the call ends.
const MAX_POINTERS: usize = 4_096;

/// Most parts of a window that are remembered as brought; others are looked up in the copy.
const MAX_FILLED: usize = 32;

/// A window of a value, mapped.
struct View {
    value: Arc<dyn Value>,
    /// In whole wasm pages.
    window: Part,
    address: u32,
    /// Those handed out and not released.
    pointers: BTreeSet<u32>,
    /// Too many pointers were handed out to remember them.
    stays: bool,
    /// Parts that were brought, as long as the copy has this epoch.
    filled: Vec<Part>,
    epoch: u64,
}

/// What the instance has of the state.
pub struct Views {
    space: Option<Arc<dyn StateSpace>>,
    call: CallId,
    user: Name,
    host: Option<Arc<dyn StateHost>>,
    by_key: HashMap<Box<str>, Vec<View>>,
    windows: usize,
}

impl Views {
    /// Of an instance that used none yet.
    pub fn new(space: Option<Arc<dyn StateSpace>>, call: CallId, user: Name) -> Self {
        Self { space, call, user, host: None, by_key: HashMap::new(), windows: 0 }
    }

    /// The call's view of the state; `FAASM_ENOSYS` where there is none.
    pub fn host(&mut self) -> Result<&Arc<dyn StateHost>, Errno> {
        if self.host.is_none() {
            let space = self.space.as_ref().ok_or(Errno::NoSys)?;
            self.host = Some(space.open(self.call, &self.user));
        }
        self.host.as_ref().ok_or(Errno::NoSys)
    }

    /// The same, if the call has used state.
    pub fn open_host(&self) -> Option<&Arc<dyn StateHost>> {
        self.host.as_ref()
    }

    /// A pointer to a part of a value (all of it for `None`) that needs nothing to be done: it is
    /// mapped, the copy is still the value's, and no lock of the cluster makes a difference. With
    /// it the value's length.
    pub fn find(&mut self, key: &str, part: Option<Part>) -> Option<(u32, u64)> {
        if !self.host.as_ref()?.is_plain() {
            return None;
        }
        let views = self.by_key.get_mut(key)?;
        let view = views.iter_mut().rev().find(|view| view.value.is_current())?;
        let size = view.value.size();
        let part = part.unwrap_or(Part { off: 0, len: size });
        let view = views.iter_mut().rev().find(|view| view.covers(part, size))?;
        Some((view.pointer(part.off)?, size))
    }

    /// A pointer into a window that is mapped already, of this very copy.
    pub fn pointer(&mut self, key: &str, value: &dyn Value, part: Part) -> Option<u32> {
        self.view(key, value, part)?.pointer(part.off)
    }

    /// The same, now that the part was brought.
    pub fn mapped(&mut self, key: &str, value: &dyn Value, part: Part) -> Option<u32> {
        let view = self.view(key, value, part)?;
        view.fill(part);
        view.pointer(part.off)
    }

    fn view(&mut self, key: &str, value: &dyn Value, part: Part) -> Option<&mut View> {
        let same = |view: &&mut View| {
            Arc::ptr_eq(view.value.file(), value.file()) && contains(view.window, part)
        };
        self.by_key.get_mut(key)?.iter_mut().rev().find(same)
    }

    /// Whether another window may be mapped.
    pub fn has_room(&self) -> bool {
        self.windows < MAX_WINDOWS
    }

    /// Notes a window; gives the pointer to a part of it.
    pub fn add(
        &mut self,
        key: &str,
        value: Arc<dyn Value>,
        window: Part,
        address: u32,
        part: Part,
    ) -> Option<u32> {
        let (pointers, filled, epoch) = (BTreeSet::new(), Vec::new(), value.epoch());
        let mut view = View { value, window, address, pointers, stays: false, filled, epoch };
        let pointer = view.pointer(part.off);
        self.by_key.entry(key.into()).or_default().push(view);
        self.windows += 1;
        pointer
    }

    /// Gives a pointer back: the address of the region to un-map, if it was the last one to it.
    /// `FAASM_EINVAL` when it is none.
    pub fn release(&mut self, pointer: u32) -> Result<Option<u32>, Errno> {
        let found = self.by_key.iter_mut().find_map(|(key, views)| {
            let at = views.iter().position(|view| view.pointers.contains(&pointer))?;
            Some((key.clone(), at))
        });
        let (key, at) = found.ok_or(Errno::Inval)?;
        let views = self.by_key.get_mut(&key).ok_or(Errno::Inval)?;
        let view = views.get_mut(at).ok_or(Errno::Inval)?;
        view.pointers.remove(&pointer);
        if !view.pointers.is_empty() || view.stays {
            return Ok(None);
        }
        let view = views.swap_remove(at);
        if views.is_empty() {
            self.by_key.remove(&key);
        }
        self.windows -= 1;
        Ok(Some(view.address))
    }
}

impl View {
    fn covers(&self, part: Part, size: u64) -> bool {
        self.value.is_current()
            && self.value.epoch() == self.epoch
            && part.end().is_ok_and(|end| end <= size)
            && self.filled.iter().any(|filled| contains(*filled, part))
    }

    /// Notes that a part was brought.
    fn fill(&mut self, part: Part) {
        let epoch = self.value.epoch();
        if std::mem::replace(&mut self.epoch, epoch) != epoch {
            self.filled.clear();
        }
        if !self.filled.iter().any(|filled| contains(*filled, part)) {
            if self.filled.len() >= MAX_FILLED {
                self.filled.remove(0);
            }
            self.filled.push(part);
        }
    }

    fn pointer(&mut self, off: u64) -> Option<u32> {
        let delta = u32::try_from(off - self.window.off).ok()?;
        let pointer = self.address.checked_add(delta)?;
        if self.pointers.len() >= MAX_POINTERS {
            self.stays = true;
        } else {
            self.pointers.insert(pointer);
        }
        Some(pointer)
    }
}

fn contains(outer: Part, part: Part) -> bool {
    let (Ok(end), Ok(outer_end)) = (part.end(), outer.end()) else { return false };
    outer.off <= part.off && end <= outer_end
}
