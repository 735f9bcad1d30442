//! Groups: ordered sets of processes. A process is known by its rank in the world.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use super::constants as c;
use super::error::{Result, error};

/// From this size on a rank is looked up in an index that is made once.
const INDEXED: usize = 16;

/// An ordered set of processes. Cheap to clone; never changes.
#[derive(Debug, Clone)]
pub struct Group(Arc<Members>);

#[derive(Debug)]
struct Members {
    list: Vec<u32>,
    session: i32,
    index: OnceLock<HashMap<u32, u32>>,
}

impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.list == other.0.list
    }
}

impl Eq for Group {}

/// How two groups, or two communicators, are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// The same members in the same order.
    Same,
    /// The same members.
    Similar,
    /// Neither.
    Unequal,
}

impl Group {
    /// Of these ranks of the world, in this order.
    pub fn new(members: Vec<u32>) -> Self {
        Self::of_session(members, 0)
    }

    /// The same, from a session, by its handle.
    pub fn of_session(members: Vec<u32>, session: i32) -> Self {
        Self(Arc::new(Members { list: members, session, index: OnceLock::new() }))
    }

    /// The session that it comes from; 0 if from none.
    pub fn session(&self) -> i32 {
        self.0.session
    }

    /// Of these members, from where this one comes.
    fn like(&self, members: Vec<u32>) -> Self {
        Self::of_session(members, self.0.session)
    }

    /// Its size.
    pub fn size(&self) -> u32 {
        u32::try_from(self.0.list.len()).unwrap_or(u32::MAX)
    }

    /// The world's rank of the one that has this rank in the group.
    pub fn world_rank(&self, rank: u32) -> Option<u32> {
        self.0.list.get(rank as usize).copied()
    }

    /// The rank in the group of one of the world.
    pub fn rank_of(&self, world_rank: u32) -> Option<u32> {
        let list = &self.0.list;
        // In most groups everybody is at the place of its number.
        if list.get(world_rank as usize) == Some(&world_rank) {
            return Some(world_rank);
        }
        if list.len() < INDEXED {
            let at = list.iter().position(|member| *member == world_rank)?;
            return u32::try_from(at).ok();
        }
        let index = self.0.index.get_or_init(|| list.iter().copied().zip(0..).collect());
        index.get(&world_rank).copied()
    }

    /// All, in order.
    pub fn members(&self) -> &[u32] {
        &self.0.list
    }

    /// Whether all its members are in another.
    pub fn within(&self, other: &Self) -> bool {
        self.members().iter().all(|member| other.rank_of(*member).is_some())
    }

    /// Whether it shares no member with another.
    pub fn apart(&self, other: &Self) -> bool {
        !self.members().iter().any(|member| other.rank_of(*member).is_some())
    }

    /// How alike they are.
    pub fn compare(&self, other: &Self) -> Likeness {
        match self == other {
            true => Likeness::Same,
            false if self.size() == other.size() && self.within(other) => Likeness::Similar,
            false => Likeness::Unequal,
        }
    }

    /// All of the first, then those of the second that are not in the first.
    pub fn union(&self, other: &Self) -> Self {
        let more = other.members().iter().filter(|member| self.rank_of(**member).is_none());
        self.like(self.members().iter().chain(more).copied().collect())
    }

    /// Those of the first that are in the second, as the first orders them.
    pub fn intersection(&self, other: &Self) -> Self {
        let both = self.members().iter().filter(|member| other.rank_of(**member).is_some());
        self.like(both.copied().collect())
    }

    /// Those of the first that are not in the second, as the first orders them.
    pub fn difference(&self, other: &Self) -> Self {
        let rest = self.members().iter().filter(|member| other.rank_of(**member).is_none());
        self.like(rest.copied().collect())
    }

    /// Those of these ranks, in the order given. No rank may be given twice.
    pub fn incl(&self, ranks: &[i64]) -> Result<Self> {
        let mut seen = HashSet::with_capacity(ranks.len().min(self.members().len()));
        let members = ranks.iter().map(|rank| {
            let member = self.member(*rank)?;
            match seen.insert(member) {
                true => Ok(member),
                false => error(c::MPI_ERR_RANK, format!("rank {rank} is given twice")),
            }
        });
        Ok(self.like(members.collect::<Result<_>>()?))
    }

    /// All but those of these ranks.
    pub fn excl(&self, ranks: &[i64]) -> Result<Self> {
        Ok(self.difference(&self.incl(ranks)?))
    }

    /// The ranks of such ranges: first, last, stride.
    pub fn ranks_of(&self, ranges: &[[i64; 3]]) -> Result<Vec<i64>> {
        let mut ranks = Vec::new();
        for &[first, last, stride] in ranges {
            if stride == 0 {
                return error(c::MPI_ERR_ARG, "the stride of a range is 0");
            }
            if (last - first) * stride.signum() < 0 {
                let why = format!("the range from {first} to {last} by {stride} has no end");
                return error(c::MPI_ERR_ARG, why);
            }
            let mut rank = first;
            while (last - rank) * stride.signum() >= 0 {
                self.member(rank)?;
                // So many are never distinct.
                if ranks.len() >= self.members().len() {
                    return error(c::MPI_ERR_RANK, "ranges overlap");
                }
                ranks.push(rank);
                rank += stride;
            }
        }
        Ok(ranks)
    }

    fn member(&self, rank: i64) -> Result<u32> {
        match u32::try_from(rank).ok().and_then(|rank| self.world_rank(rank)) {
            Some(member) => Ok(member),
            None => error(
                c::MPI_ERR_RANK,
                format!("{rank} is no rank of a group of {}", self.members().len()),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(seed: &mut u64) -> u32 {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u32::try_from(*seed >> 40).unwrap()
    }

    /// A group of members below 24, in any order.
    fn any(seed: &mut u64) -> Vec<u32> {
        let mut all: Vec<u32> = (0..24).collect();
        for at in (1..all.len()).rev() {
            all.swap(at, numbers(seed) as usize % (at + 1));
        }
        all.truncate(numbers(seed) as usize % 25);
        all
    }

    #[test]
    fn set_operations_do_what_a_naive_model_does() {
        let mut seed = 7;
        for _ in 0..2000 {
            let (a, b) = (any(&mut seed), any(&mut seed));
            let (one, other) = (Group::new(a.clone()), Group::new(b.clone()));
            let both: Vec<u32> = a.iter().copied().filter(|x| b.contains(x)).collect();
            let rest: Vec<u32> = a.iter().copied().filter(|x| !b.contains(x)).collect();
            let more = b.iter().copied().filter(|x| !a.contains(x));
            let all: Vec<u32> = a.iter().copied().chain(more).collect();
            assert_eq!(one.intersection(&other).members(), both);
            assert_eq!(one.difference(&other).members(), rest);
            assert_eq!(one.union(&other).members(), all);
            assert_eq!(one.apart(&other), both.is_empty());
            assert_eq!(one.within(&other), rest.is_empty());
            for world in 0..30 {
                let at = a.iter().position(|x| *x == world).map(|at| u32::try_from(at).unwrap());
                assert_eq!(one.rank_of(world), at);
            }
            let (mut sorted_a, mut sorted_b) = (a.clone(), b.clone());
            sorted_a.sort_unstable();
            sorted_b.sort_unstable();
            let alike = match (a == b, sorted_a == sorted_b) {
                (true, _) => Likeness::Same,
                (_, true) => Likeness::Similar,
                _ => Likeness::Unequal,
            };
            assert_eq!(one.compare(&other), alike);
            let mut turned = a.clone();
            turned.reverse();
            let alike = if a == turned { Likeness::Same } else { Likeness::Similar };
            assert_eq!(one.compare(&Group::new(turned)), alike);
        }
    }

    #[test]
    fn members_are_taken_by_rank_in_the_order_asked_for() {
        let group = Group::new(vec![9, 7, 5, 3, 1]);
        assert_eq!(group.incl(&[4, 0, 2]).unwrap().members(), [1, 9, 5]);
        assert_eq!(group.excl(&[4, 0, 2]).unwrap().members(), [7, 3]);
        assert_eq!(group.incl(&[]).unwrap().size(), 0);
        for wrong in [&[5][..], &[-1], &[1, 1]] {
            assert_eq!(group.incl(wrong).unwrap_err().class(), Some(c::MPI_ERR_RANK));
            assert_eq!(group.excl(wrong).unwrap_err().class(), Some(c::MPI_ERR_RANK));
        }
    }

    #[test]
    fn ranges_count_up_and_down_and_must_not_overlap() {
        let group = Group::new((0..10).collect());
        let ranks = |ranges: &[[i64; 3]]| group.ranks_of(ranges).map_err(|e| e.class().unwrap());
        assert_eq!(ranks(&[[0, 9, 4], [7, 5, -1]]), Ok(vec![0, 4, 8, 7, 6, 5]));
        assert_eq!(ranks(&[[3, 3, -7]]), Ok(vec![3]));
        // The last computed rank counts, not the limit.
        assert_eq!(ranks(&[[0, 11, 5]]), Err(c::MPI_ERR_RANK));
        assert_eq!(ranks(&[[1, 11, 6]]), Ok(vec![1, 7]));
        assert_eq!(ranks(&[[1, 2, 0]]), Err(c::MPI_ERR_ARG));
        assert_eq!(ranks(&[[2, 1, 1]]), Err(c::MPI_ERR_ARG));
        assert_eq!(ranks(&[[0, 9, 1], [0, 0, 1]]), Err(c::MPI_ERR_RANK));
        let huge = i64::from(i32::MAX);
        assert_eq!(ranks(&[[0, huge, huge]]), Err(c::MPI_ERR_RANK));
        assert_eq!(ranks(&[[-1, 3, 1]]), Err(c::MPI_ERR_RANK));
        assert!(group.incl(&ranks(&[[0, 2, 1], [2, 3, 1]]).unwrap()).is_err());
    }
}
