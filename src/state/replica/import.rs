//! A copy that is made whole by a difference. Its store asks for one part at a time, and knows
//! again after a restart what it has: whoever begins anew asks only for what is missing.

use bytes::Bytes;

use super::base::Base;
use super::event::Effect;
use super::follower::Follower;
use crate::id::NodeId;
use crate::wire::replicas::{Point, What};

/// An import under way.
pub struct Import {
    /// Of this term and round of the owner, and to this point.
    from: (u64, u64),
    base: Point,
    /// Names it to the store.
    id: u64,
    /// The number of the part that is wanted or eaten.
    number: u64,
    /// What was asked and not answered; `None` while the store is busy.
    asked: Option<Bytes>,
}

impl Follower {
    /// The owner will send a difference, or asks what became of it.
    pub fn import_begin(&mut self, base: &mut Base, owner: NodeId, at: Point) {
        let from = (base.promised.0, self.round);
        if let Some(import) = self.import.as_ref().filter(|import| import.from == from) {
            let number = import.number;
            if let Some(request) = import.asked.clone() {
                base.send(owner, base.promised, self.round, What::Want { number }, request);
            }
            return;
        }
        if self.has_acked() {
            // Late, or the acknowledgement was lost. To begin would take back what it said.
            self.due = true;
            return;
        }
        base.blank = true;
        base.imports += 1;
        let id = base.imports;
        self.import = Some(Import { from, base: at, id, number: 0, asked: None });
        base.out.push(Effect::ImportBegin { round: id, base: at });
    }

    /// The store wants a part.
    pub fn import_wants(&mut self, base: &mut Base, id: u64, request: Bytes) {
        let Some(import) = self.import.as_mut().filter(|import| import.id == id) else { return };
        import.number += 1;
        import.asked = Some(request.clone());
        let (number, from) = (import.number, import.from);
        if let Some(owner) = self.owner().filter(|_| from == (base.promised.0, self.round)) {
            base.send(owner, base.promised, self.round, What::Want { number }, request);
        }
    }

    /// The owner sent a part.
    pub fn import_part(&mut self, base: &mut Base, number: u64, part: Bytes) {
        let from = (base.promised.0, self.round);
        let Some(import) = self.import.as_mut() else { return };
        if import.from == from && import.number == number && import.asked.take().is_some() {
            base.out.push(Effect::Import { round: import.id, part });
        }
    }

    /// The store is whole: the log goes on behind the base.
    pub fn import_done(&mut self, base: &mut Base, id: u64) {
        let Some(import) = self.import.take_if(|import| import.id == id) else { return };
        base.reset(import.base);
        if import.from == (base.promised.0, self.round) {
            self.imported(import.base);
        }
    }
}
