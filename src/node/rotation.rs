//! What a node does next about its certificate: a pure decision.
//!
//! Each certificate says with which generation of the authority it was made. An admin who wants
//! new keys raises the generation; each node sees that its own is older, and goes through the
//! steps one by one, from whatever it finds: so a crash between two of them loses nothing.

use crate::wire::members::KeyHash;

/// A certificate, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The authority's generation when it was made.
    pub generation: u64,
    /// Its key.
    pub key: KeyHash,
}

/// What a node knows when it decides.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// The authority's generation now.
    pub generation: u64,
    /// What is to be trusted, in PEM.
    pub trusted: &'a str,
    /// What this node trusts, in PEM.
    pub trusts: &'a str,
    /// The keys that are registered for this node.
    pub keys: &'a [KeyHash],
    /// The certificate in use.
    pub current: Held,
    /// The one that is to replace it.
    pub next: Option<Held>,
    /// Whether this node is to end a change of the authority: it leads, and all members are known
    /// to show certificates of this generation.
    pub completes: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Rest,
    /// Trust what is to be trusted.
    Trust,
    /// Make a new key and certificate.
    Issue,
    /// Register a key.
    Register(KeyHash),
    /// Use the new certificate.
    Switch,
    /// Prove the key to the peers, then let no other one be registered.
    Keep(KeyHash),
    /// Trust the authority before no longer.
    Complete,
}

/// The next step.
pub fn next(view: &View<'_>) -> Step {
    if view.trusts != view.trusted {
        return Step::Trust;
    }
    // A session that was opened before the cluster was founded has registered no key.
    if view.keys.is_empty() {
        return Step::Register(view.current.key);
    }
    // Others are registered: this one was revoked, and registering it is not for its holder.
    if !view.keys.contains(&view.current.key) {
        return Step::Rest;
    }
    if view.current.generation < view.generation {
        return match view.next {
            Some(next) if next.generation < view.generation => Step::Issue,
            Some(next) if view.keys.contains(&next.key) => Step::Switch,
            Some(next) => Step::Register(next.key),
            None => Step::Issue,
        };
    }
    if view.keys.len() > 1 {
        return Step::Keep(view.current.key);
    }
    if view.completes { Step::Complete } else { Step::Rest }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: KeyHash = KeyHash([1; 32]);
    const NEW: KeyHash = KeyHash([2; 32]);

    fn held(generation: u64, key: KeyHash) -> Held {
        Held { generation, key }
    }

    fn view(keys: &[KeyHash], current: Held, next: Option<Held>) -> View<'_> {
        let (trusted, trusts) = ("ca", "ca");
        View { generation: 2, trusted, trusts, keys, current, next, completes: false }
    }

    #[test]
    fn an_old_certificate_is_replaced_step_by_step() {
        let (old, new) = (held(1, OLD), held(2, NEW));
        let steps = [
            (view(&[OLD], old, None), Step::Issue),
            (view(&[OLD], old, Some(new)), Step::Register(NEW)),
            (view(&[OLD, NEW], old, Some(new)), Step::Switch),
            (view(&[OLD, NEW], new, None), Step::Keep(NEW)),
            (view(&[NEW], new, None), Step::Rest),
        ];
        for (view, step) in steps {
            assert_eq!(next(&view), step, "{view:?}");
        }
    }

    #[test]
    fn a_node_that_crashed_before_it_used_its_new_key_makes_another_one() {
        assert_eq!(next(&view(&[OLD, NEW], held(1, OLD), None)), Step::Issue);
    }

    #[test]
    fn a_certificate_that_is_old_before_it_is_used_is_made_anew() {
        assert_eq!(next(&view(&[OLD], held(0, OLD), Some(held(1, NEW)))), Step::Issue);
    }

    #[test]
    fn trust_comes_first_and_completing_last() {
        let current = held(2, NEW);
        let trusts = View { trusts: "other", completes: true, ..view(&[OLD], held(1, OLD), None) };
        assert_eq!(next(&trusts), Step::Trust);
        let completes = View { completes: true, ..view(&[NEW], current, None) };
        assert_eq!(next(&completes), Step::Complete);
        let first = View { completes: true, ..view(&[OLD, NEW], current, None) };
        assert_eq!(next(&first), Step::Keep(NEW));
    }

    #[test]
    fn a_node_without_a_registered_key_registers_its_own_and_one_whose_key_was_revoked_does_not() {
        assert_eq!(next(&view(&[], held(1, OLD), None)), Step::Register(OLD));
        assert_eq!(next(&view(&[NEW], held(1, OLD), None)), Step::Rest);
    }
}
