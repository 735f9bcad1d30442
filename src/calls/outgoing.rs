//! The calls that this node sent to others and whose end it awaits. Pure: what comes from a peer
//! goes in, what is to be done comes out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cell::CallCell;
use super::place::PlaceHere;
use super::spec::Spec;
use crate::id::{Attempt, CallId, NodeId};

/// How long after its tree's deadline a silent node is given to report the end it must have made.
pub const GRACE: Duration = Duration::from_secs(2);

/// One call at another node.
pub struct Outgoing {
    /// The call.
    pub spec: Arc<Spec>,
    /// Where its end is awaited.
    pub cell: Arc<CallCell>,
    /// Which try this is.
    pub attempt: Attempt,
    /// Where it was sent.
    pub node: NodeId,
    /// Whether that node took it.
    pub accepted: bool,
    /// The place it may still need here, until it was taken there.
    pub place: Option<PlaceHere>,
    /// Nodes that refused it.
    pub tried: Vec<NodeId>,
    /// The connection on which it was sent; 0 if there was none.
    pub link: u64,
    /// The session of its node that this one knew of then.
    pub session: Option<u64>,
    /// Whether it was cancelled since: it is not placed again.
    pub cancelled: bool,
}

impl Outgoing {
    /// Its node was lost, or gave it up because it stops.
    pub fn lost(mut self) -> Lost {
        // A rank is placed with all others of its job, or not at all.
        let last =
            self.spec.role.is_rank() || self.attempt.0 >= self.spec.function.entry.options.retries;
        if self.cancelled || last {
            return Lost::End(self);
        }
        self.attempt.0 += 1;
        self.tried.clear();
        Lost::Again(self)
    }
}

/// What is to be done with a call whose node was lost.
pub enum Lost {
    /// Place it again, as this attempt.
    Again(Outgoing),
    /// It ends with `FAASM_EHOSTLOST`.
    End(Outgoing),
}

/// All of them.
#[derive(Default)]
pub struct Table {
    calls: HashMap<CallId, Outgoing>,
}

impl Table {
    /// A call was sent.
    pub fn sent(&mut self, outgoing: Outgoing) {
        self.calls.insert(outgoing.spec.call, outgoing);
    }

    /// A node took a call: its place here is free. `None` if that is old news.
    pub fn accepted(
        &mut self,
        from: NodeId,
        call: CallId,
        attempt: Attempt,
    ) -> Option<Option<PlaceHere>> {
        let outgoing = self.current(from, call, attempt)?;
        outgoing.accepted = true;
        Some(outgoing.place.take())
    }

    /// A node refused a call, or it ended there; `None` if it is not the current attempt's node.
    pub fn take(&mut self, from: NodeId, call: CallId, attempt: Attempt) -> Option<Outgoing> {
        self.current(from, call, attempt)?;
        self.calls.remove(&call)
    }

    /// A node was lost, or is connected again, by `link`: what was sent before is lost. Calls with
    /// a retry left get a new attempt number, so that a late result of the old one is not taken.
    pub fn lost(&mut self, node: NodeId, link: Option<u64>) -> Vec<Lost> {
        let lost = self.take_where(|o| o.node == node && Some(o.link) != link);
        lost.into_iter().map(Outgoing::lost).collect()
    }

    /// Sessions that calls were sent in are over: their nodes ended those calls, and did not say so.
    /// A new session may follow so soon that nobody sees that there was none.
    pub fn outlived(&mut self, is_over: impl Fn(NodeId, u64) -> bool) -> Vec<Lost> {
        let over = |o: &Outgoing| o.session.is_some_and(|session| is_over(o.node, session));
        self.take_where(over).into_iter().map(Outgoing::lost).collect()
    }

    /// It is not known whether a call reached the node that it was sent to.
    pub fn lost_one(&mut self, node: NodeId, call: CallId, attempt: Attempt) -> Option<Lost> {
        self.take(node, call, attempt).map(Outgoing::lost)
    }

    /// A tree was cancelled: wherever its calls are refused or lost, they end. Gives those of which it
    /// is not known that they arrived, and where they were sent.
    pub fn cancel_tree(&mut self, root: CallId) -> Vec<(CallId, Attempt, NodeId)> {
        self.cancel(|o| o.spec.tree.root == root, |o| !o.accepted)
    }

    /// Those below a call were cancelled; gives them, and where they were sent.
    pub fn cancel_below(&mut self, above: CallId) -> Vec<(CallId, Attempt, NodeId)> {
        self.cancel(|o| o.spec.above.contains(&above), |_| true)
    }

    fn cancel(
        &mut self,
        picks: impl Fn(&Outgoing) -> bool,
        tells: impl Fn(&Outgoing) -> bool,
    ) -> Vec<(CallId, Attempt, NodeId)> {
        let mut told = Vec::new();
        for outgoing in self.calls.values_mut().filter(|outgoing| picks(outgoing)) {
            outgoing.cancelled = true;
            if tells(outgoing) {
                told.push((outgoing.spec.call, outgoing.attempt, outgoing.node));
            }
        }
        told.sort_unstable();
        told
    }

    /// One call was cancelled.
    pub fn cancel_one(&mut self, call: CallId) {
        if let Some(outgoing) = self.calls.get_mut(&call) {
            outgoing.cancelled = true;
        }
    }

    /// Whether a node was sent a call of which it is not known whether it took it.
    pub fn awaits(&self, node: NodeId) -> bool {
        self.calls.values().any(|outgoing| outgoing.node == node && !outgoing.accepted)
    }

    /// The nodes that have calls of this one.
    pub fn nodes(&self) -> std::collections::BTreeSet<NodeId> {
        self.calls.values().map(|outgoing| outgoing.node).collect()
    }

    /// Takes out what should have ended long ago.
    pub fn overdue(&mut self, now: Instant) -> Vec<Outgoing> {
        self.take_where(|o| now >= o.spec.tree.deadline + GRACE)
    }

    fn take_where(&mut self, picks: impl Fn(&Outgoing) -> bool) -> Vec<Outgoing> {
        let picked = self.calls.iter().filter(|(_, o)| picks(o));
        let mut calls: Vec<_> = picked.map(|(call, _)| *call).collect();
        calls.sort_unstable();
        calls.into_iter().filter_map(|call| self.calls.remove(&call)).collect()
    }

    /// Where the end of a call at a node is awaited.
    pub fn cell_of(&self, node: NodeId, call: CallId) -> Option<Arc<CallCell>> {
        self.calls.get(&call).filter(|o| o.node == node).map(|o| o.cell.clone())
    }

    /// Where a call was sent, and as which try.
    pub fn sent_as(&self, call: CallId) -> Option<(NodeId, Attempt)> {
        self.calls.get(&call).map(|o| (o.node, o.attempt))
    }

    /// Forgets all.
    #[cfg(test)]
    pub fn clear(&mut self) {
        self.calls.clear();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    fn current(&mut self, from: NodeId, call: CallId, attempt: Attempt) -> Option<&mut Outgoing> {
        self.calls.get_mut(&call).filter(|o| o.node == from && o.attempt == attempt)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::calls::budget::Budget;
    use crate::calls::spec::{Function, Role, Tree, UserBook};
    use crate::id::{BlobHash, FunctionKey, Name};
    use crate::scheduler::Needs;
    use crate::wire::calls::Entry;
    use crate::wire::function::{FunctionEntry, Limits, Options, Policy};

    const FIRST: Attempt = Attempt(0);

    fn spec(call: u128, retries: u32) -> Arc<Spec> {
        let wasm = BlobHash::of(b"module");
        let entry = FunctionEntry {
            wasm,
            size: 6,
            version: 1,
            uploaded_ms: 0,
            limits: Limits::default(),
            options: Options { retries, ..Options::default() },
        };
        let key = FunctionKey::new("alice", "f").unwrap();
        let user = UserBook::new(Name::new("alice").unwrap(), 10, 0);
        let tree = Tree {
            root: CallId(call),
            home: NodeId(1),
            deadline: Instant::now(),
            depth: 0,
            trace: 1,
        };
        Arc::new(Spec {
            call: CallId(call),
            function: Arc::new(Function { key, entry: Arc::new(entry), book: Arc::default() }),
            share: Budget::new(10).take(&user, 0).unwrap(),
            user,
            start: Entry::Main,
            args: Vec::new(),
            input: Bytes::new(),
            tree,
            above: Arc::default(),
            needs: Needs { policy: Policy::BinPack, pin: Vec::new(), wasm },
            role: Role::Plain,
        })
    }

    fn table(node: u64, specs: &[&Arc<Spec>]) -> Table {
        let mut table = Table::default();
        for spec in specs {
            table.sent(Outgoing {
                spec: (*spec).clone(),
                cell: CallCell::new(None),
                attempt: FIRST,
                node: NodeId(node),
                accepted: false,
                place: None,
                tried: vec![NodeId(9)],
                link: 5,
                session: Some(3),
                cancelled: false,
            });
        }
        table
    }

    #[test]
    fn only_the_current_node_and_attempt_are_heard() {
        let mut table = table(2, &[&spec(1, 0)]);
        assert!(table.accepted(NodeId(3), CallId(1), FIRST).is_none());
        assert!(table.take(NodeId(2), CallId(1), Attempt(1)).is_none());
        assert!(table.accepted(NodeId(2), CallId(1), FIRST).is_some());
        assert!(table.take(NodeId(2), CallId(1), FIRST).is_some_and(|o| o.accepted));
        assert!(table.take(NodeId(2), CallId(1), FIRST).is_none(), "it ends once");
        assert!(table.is_empty());
    }

    #[test]
    fn a_lost_nodes_calls_end_or_get_a_new_attempt() {
        let mut table = table(2, &[&spec(1, 0), &spec(2, 1)]);
        assert!(table.lost(NodeId(3), None).is_empty());
        let mut lost = table.lost(NodeId(2), None);
        lost.sort_by_key(|lost| matches!(lost, Lost::Again(_)));
        let [Lost::End(ended), Lost::Again(again)] = &lost[..] else { panic!("one of each") };
        assert_eq!((ended.spec.call, again.spec.call), (CallId(1), CallId(2)));
        assert_eq!((again.attempt, again.accepted, again.tried.len()), (Attempt(1), false, 0));
        assert!(table.is_empty());
    }

    #[test]
    fn a_result_of_an_older_attempt_is_not_taken_and_retries_run_out() {
        let mut table = table(2, &[&spec(1, 1)]);
        let Some(Lost::Again(again)) = table.lost(NodeId(2), None).pop() else { panic!("a retry") };
        table.sent(Outgoing { node: NodeId(2), ..again });
        assert!(table.take(NodeId(2), CallId(1), FIRST).is_none(), "a late result");
        assert!(matches!(table.lost(NodeId(2), None).pop(), Some(Lost::End(_))));
    }

    #[test]
    fn what_was_sent_on_the_new_connection_is_not_lost_with_the_old_one() {
        let mut table = table(2, &[&spec(1, 0)]);
        assert!(table.lost(NodeId(2), Some(5)).is_empty());
        assert_eq!(table.lost(NodeId(2), Some(6)).len(), 1);
    }

    #[test]
    fn what_was_sent_in_a_session_that_is_over_is_lost_though_there_is_a_new_one() {
        let mut table = table(2, &[&spec(1, 0)]);
        assert!(table.outlived(|_, session| session < 3).is_empty());
        assert!(table.outlived(|node, _| node == NodeId(3)).is_empty());
        assert_eq!(table.outlived(|_, session| session < 4).len(), 1);
    }

    #[test]
    fn a_cancelled_call_is_not_placed_again() {
        let mut table = table(2, &[&spec(1, 3)]);
        table.cancel_one(CallId(1));
        assert!(matches!(table.lost(NodeId(2), None).pop(), Some(Lost::End(_))));
    }

    #[test]
    fn of_a_cancelled_tree_those_are_told_of_that_may_not_have_arrived() {
        let mut table = table(2, &[&spec(1, 3)]);
        assert!(table.cancel_tree(CallId(2)).is_empty());
        assert_eq!(table.cancel_tree(CallId(1)), [(CallId(1), FIRST, NodeId(2))]);
        assert!(table.accepted(NodeId(2), CallId(1), FIRST).is_some());
        assert!(table.cancel_tree(CallId(1)).is_empty());
        assert!(matches!(table.lost(NodeId(2), None).pop(), Some(Lost::End(_))));
    }

    #[test]
    fn a_silent_node_is_given_grace_and_no_more() {
        let spec = spec(1, 0);
        let mut table = table(2, &[&spec]);
        assert!(table.overdue(spec.tree.deadline).is_empty());
        assert_eq!(table.overdue(spec.tree.deadline + GRACE).len(), 1);
        assert!(table.is_empty());
    }
}
