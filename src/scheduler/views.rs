//! What this node believes of the others: from their reports and replies, from what third nodes
//! have heard of them, less what it sent them since. Pure; time is passed in.
//!
//! Whom to believe: a node itself always goes before third nodes, for [`FIRST_HAND`]; of what third
//! nodes say only what is younger than the belief, and than [`STALE`], and only about lives of nodes
//! that this node is connected to. So a peer that lies about others misleads a node for as long as
//! it goes on lying, and until that node asks the one lied about: each start is answered with its
//! real room.

use std::time::{Duration, Instant};

use super::policy::Candidate;
use crate::id::{Incarnation, NodeId};
use crate::wire::calls::Room;
use crate::wire::load::{Load, RUMOR_TAGS, Rumor};

/// A belief older than this is not acted on: a node that is well is heard of several times a second.
pub const STALE: Duration = Duration::from_secs(2);
/// For this long nobody else is believed about a node that was heard itself.
pub const FIRST_HAND: Duration = Duration::from_secs(1);

/// One other node.
#[derive(Debug, Clone)]
struct View {
    node: NodeId,
    incarnation: Incarnation,
    /// Its last own report, and the slots it has in all; 0 when only others told of it.
    seq: u64,
    slots: u32,
    accepting: bool,
    modules: Vec<u64>,
    tags: [u16; RUMOR_TAGS],
    /// Its room, from the last report, reply or rumor.
    room: Room,
    /// Starts sent to it that it has not answered.
    unanswered: u32,
    /// When that was so.
    measured: Instant,
    /// When it was heard itself.
    heard: Option<Instant>,
}

/// All other nodes.
#[derive(Debug, Clone, Default)]
pub struct Views {
    /// In the order of their numbers.
    nodes: Vec<View>,
    /// Those connected to, likewise.
    up: Vec<(NodeId, Incarnation)>,
}

impl Views {
    /// The nodes that are connected to; what is known of others, or of earlier lives, is void.
    pub fn connected(&mut self, up: Vec<(NodeId, Incarnation)>) {
        if up != self.up {
            let is_up = |view: &View| up.contains(&(view.node, view.incarnation));
            self.nodes.retain(is_up);
            self.up = up;
        }
    }

    /// A node told of itself. What is older than the last is dropped.
    pub fn report(&mut self, node: NodeId, incarnation: Incarnation, load: Load, now: Instant) {
        let view = self.entry(node, incarnation, now);
        if view.incarnation == incarnation && view.heard.is_some() && view.seq >= load.seq {
            return;
        }
        view.incarnation = incarnation;
        view.seq = load.seq;
        view.slots = load.slots;
        view.accepting = load.accepting;
        view.room = load.room;
        view.tags = tags(&load.modules);
        view.modules = load.modules;
        (view.measured, view.heard) = (now, Some(now));
    }

    /// A third node told of one.
    pub fn rumor(&mut self, rumor: &Rumor, now: Instant) {
        let age = Duration::from_millis(rumor.age_ms.into());
        let node = NodeId(rumor.node.into());
        let known = self.up.binary_search_by_key(&node, |(node, _)| *node).ok();
        let known =
            known.and_then(|at| self.up.get(at)).filter(|(_, life)| rumor.is_of_life(*life));
        let (Some((_, incarnation)), true) = (known.copied(), age < STALE) else { return };
        let measured = now.checked_sub(age).unwrap_or(now);
        let is_new = self.position(node).is_err();
        let view = self.entry(node, incarnation, measured);
        let heard = view.heard.is_some_and(|at| now.saturating_duration_since(at) < FIRST_HAND);
        if heard || (measured <= view.measured && !is_new) {
            return;
        }
        view.measured = measured;
        view.accepting = rumor.accepting;
        view.room = rumor.room();
        if view.tags != rumor.tags {
            view.tags = rumor.tags;
            view.modules.clear();
        }
    }

    /// A reply told of a node's room.
    pub fn reply(&mut self, node: NodeId, room: Room, now: Instant) {
        if let Some(view) = self.get(node) {
            view.room = room;
            (view.measured, view.heard) = (now, Some(now));
        }
    }

    /// A start was sent.
    pub fn sent(&mut self, node: NodeId) {
        if let Some(view) = self.get(node) {
            view.unanswered += 1;
        }
    }

    /// A start was answered, taken or not.
    pub fn answered(&mut self, node: NodeId) {
        if let Some(view) = self.get(node) {
            view.unanswered = view.unanswered.saturating_sub(1);
        }
    }

    /// The node is gone; what is known of it is void.
    pub fn lost(&mut self, node: NodeId) {
        if let Ok(at) = self.position(node) {
            self.nodes.remove(at);
        }
    }

    /// The nodes that take calls, as candidates for one that needs `module`, from the `first`-th on
    /// and around.
    pub fn candidates(
        &self,
        module: u64,
        first: usize,
        now: Instant,
    ) -> impl Iterator<Item = Candidate> + '_ {
        let (before, after) = self.nodes.split_at(first.min(self.nodes.len()));
        let views = after.iter().chain(before).filter(move |view| view.takes_calls(now));
        views.map(move |view| view.candidate(module))
    }

    /// All slots of a node, if it told.
    pub fn slots(&self, node: NodeId) -> Option<u32> {
        let at = self.position(node).ok()?;
        self.nodes.get(at).map(|view| view.slots).filter(|slots| *slots > 0)
    }

    /// Whether any node has room.
    pub fn any_room(&self, now: Instant) -> bool {
        let roomy = |view: &View| view.takes_calls(now) && view.candidate(0).has_room();
        self.nodes.iter().any(roomy)
    }

    /// What was heard last, at most `most`.
    pub fn freshest(&self, most: usize, now: Instant) -> Vec<Rumor> {
        let age = |view: &View| now.saturating_duration_since(view.measured);
        let mut fresh: Vec<_> = self.nodes.iter().filter(|view| age(view) < STALE).collect();
        if fresh.len() > most {
            fresh.select_nth_unstable_by_key(most, |view| (age(view), view.node));
            fresh.truncate(most);
        }
        fresh.into_iter().filter_map(|view| view.to_rumor(age(view))).collect()
    }

    /// How old the beliefs are, youngest first.
    pub fn ages(&self, now: Instant) -> Vec<Duration> {
        let age = |view: &View| now.saturating_duration_since(view.measured);
        let mut ages: Vec<_> = self.nodes.iter().map(age).collect();
        ages.sort_unstable();
        ages
    }

    /// How many nodes something is known of.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether nothing is known of any.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Starts that were sent and not answered.
    #[cfg(test)]
    pub fn unanswered(&self) -> usize {
        self.nodes.iter().map(|view| view.unanswered as usize).sum()
    }

    fn position(&self, node: NodeId) -> Result<usize, usize> {
        self.nodes.binary_search_by_key(&node, |view| view.node)
    }

    fn get(&mut self, node: NodeId) -> Option<&mut View> {
        let at = self.position(node).ok()?;
        self.nodes.get_mut(at)
    }

    /// The view of a node; one that takes nothing if there was none.
    fn entry(&mut self, node: NodeId, incarnation: Incarnation, now: Instant) -> &mut View {
        let at = self.position(node).unwrap_or_else(|at| {
            let view = View {
                node,
                incarnation,
                seq: 0,
                slots: 0,
                accepting: false,
                modules: Vec::new(),
                tags: [0; RUMOR_TAGS],
                room: Room::default(),
                unanswered: 0,
                measured: now,
                heard: None,
            };
            self.nodes.insert(at, view);
            at
        });
        &mut self.nodes[at]
    }
}

impl View {
    fn takes_calls(&self, now: Instant) -> bool {
        self.accepting && now.saturating_duration_since(self.measured) < STALE
    }

    fn candidate(&self, module: u64) -> Candidate {
        let room = Room {
            free_slots: self.room.free_slots.saturating_sub(self.unanswered),
            free_places: self.room.free_places.saturating_sub(self.unanswered),
            running: self.room.running.saturating_add(self.unanswered),
        };
        let has_module = self.modules.contains(&module) || self.tags.contains(&tag(module));
        Candidate { node: self.node, room, has_module }
    }

    fn to_rumor(&self, age: Duration) -> Option<Rumor> {
        let clip = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
        Some(Rumor {
            node: u32::try_from(self.node.0).ok()?,
            incarnation: self.incarnation.0 as u32,
            age_ms: u16::try_from(age.as_millis()).ok()?,
            free_slots: clip(self.room.free_slots),
            free_places: clip(self.room.free_places),
            running: clip(self.room.running),
            accepting: self.accepting,
            tags: self.tags,
        })
    }
}

/// A shorter fingerprint of a module; never 0, which stands for none.
fn tag(module: u64) -> u16 {
    ((module >> 48) as u16).max(1)
}

fn tags(modules: &[u64]) -> [u16; RUMOR_TAGS] {
    std::array::from_fn(|at| modules.get(at).map_or(0, |module| tag(*module)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Incarnation = Incarnation(1);
    const MODULE: u64 = 7 << 48;

    fn load(seq: u64, free_slots: u32) -> Load {
        let room = Room { free_slots, free_places: 100, running: 0 };
        Load { seq, room, accepting: true, modules: vec![MODULE], ..Load::default() }
    }

    fn rumor(age_ms: u16, free_slots: u16) -> Rumor {
        let tags = [7, 0, 0, 0];
        let (free_places, running, accepting) = (100, 0, true);
        Rumor { node: 2, incarnation: 1, age_ms, free_slots, free_places, running, accepting, tags }
    }

    fn free(views: &Views, now: Instant) -> Vec<u32> {
        views.candidates(MODULE, 0, now).map(|c| c.room.free_slots).collect()
    }

    fn views() -> (Views, Instant) {
        let mut views = Views::default();
        views.connected(vec![(NodeId(2), LIFE)]);
        (views, Instant::now())
    }

    #[test]
    fn an_older_report_does_not_replace_a_newer_one() {
        let (mut views, now) = views();
        views.report(NodeId(2), LIFE, load(5, 3), now);
        views.report(NodeId(2), LIFE, load(4, 8), now);
        assert_eq!(free(&views, now), [3]);
    }

    #[test]
    fn what_was_sent_and_not_answered_counts_as_taken() {
        let (mut views, now) = views();
        views.report(NodeId(2), LIFE, load(1, 2), now);
        views.sent(NodeId(2));
        views.sent(NodeId(2));
        views.sent(NodeId(2));
        assert_eq!(free(&views, now), [0]);
        views.answered(NodeId(2));
        views.answered(NodeId(2));
        views.reply(NodeId(2), Room { free_slots: 4, free_places: 9, running: 1 }, now);
        assert_eq!(free(&views, now), [3]);
    }

    #[test]
    fn a_node_that_says_it_runs_more_than_can_be_counted_is_counted_as_the_busiest() {
        let (mut views, now) = views();
        let room = Room { free_slots: 1, free_places: 1, running: u32::MAX };
        views.report(NodeId(2), LIFE, Load { room, ..load(1, 1) }, now);
        views.sent(NodeId(2));
        assert_eq!(views.candidates(7, 0, now).map(|c| c.room.running).max(), Some(u32::MAX));
    }

    #[test]
    fn silent_lost_and_unwilling_nodes_are_no_candidates() {
        let (mut views, now) = views();
        views.report(NodeId(2), LIFE, load(1, 2), now);
        assert!(free(&views, now + STALE).is_empty());
        views.report(NodeId(2), LIFE, Load { accepting: false, ..load(2, 2) }, now);
        assert!(free(&views, now).is_empty());
        views.report(NodeId(2), LIFE, load(3, 2), now);
        views.lost(NodeId(2));
        assert!(free(&views, now).is_empty());
    }

    #[test]
    fn a_restarted_node_is_believed_from_its_first_report() {
        let (mut views, now) = views();
        views.report(NodeId(2), LIFE, load(50, 0), now);
        views.report(NodeId(2), Incarnation(2), load(1, 8), now);
        assert_eq!(free(&views, now), [8]);
        views.connected(vec![(NodeId(2), Incarnation(3))]);
        assert!(free(&views, now).is_empty(), "what an earlier life said is void");
    }

    #[test]
    fn the_youngest_rumor_counts_and_an_old_or_unknown_one_does_not() {
        let (mut views, now) = views();
        let now = now + Duration::from_secs(60);
        views.rumor(&rumor(500, 3), now);
        views.rumor(&rumor(800, 4), now);
        assert_eq!(free(&views, now), [3]);
        assert!(views.candidates(MODULE, 0, now).all(|c| c.has_module));
        views.rumor(&rumor(100, 5), now);
        assert_eq!(free(&views, now), [5]);
        views.rumor(&Rumor { incarnation: 9, ..rumor(0, 6) }, now);
        views.rumor(&Rumor { node: 3, ..rumor(0, 6) }, now);
        assert_eq!(free(&views, now), [5], "another life, and a node that is not connected");
        let (mut views, _) = self::views();
        views.rumor(&rumor(2_000, 5), now);
        assert!(views.is_empty());
    }

    #[test]
    fn nobody_is_believed_about_a_node_that_spoke_itself() {
        let (mut views, now) = views();
        views.report(NodeId(2), LIFE, load(1, 0), now);
        views.rumor(&rumor(0, 999), now + Duration::from_millis(900));
        assert_eq!(free(&views, now), [0]);
        // A liar is believed for a while, and no longer than until the next true word.
        let later = now + FIRST_HAND;
        views.rumor(&rumor(0, 999), later);
        assert_eq!(free(&views, later), [999]);
        views.report(NodeId(2), LIFE, load(2, 1), later);
        assert_eq!(free(&views, later), [1]);
    }

    #[test]
    fn what_is_passed_on_is_the_freshest_and_grows_older_on_the_way() {
        let mut views = Views::default();
        let now = Instant::now();
        for node in 2..10 {
            let at = now + Duration::from_millis(100 * node);
            views.report(NodeId(node), LIFE, load(1, 1), at);
        }
        let told = views.freshest(3, now + Duration::from_millis(1_000));
        let mut told: Vec<_> = told.into_iter().map(|r| (r.node, r.age_ms)).collect();
        told.sort_unstable();
        assert_eq!(told, [(7, 300), (8, 200), (9, 100)]);
    }
}
