//! Grids. Ranks are numbered row by row: the last coordinate changes fastest.

use crate::mpi::constants as c;

/// Most dimensions of a grid.
pub const MOST_DIMS: usize = 1024;

/// A grid.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cart {
    /// How many ranks each dimension has.
    pub dims: Vec<u32>,
    /// Which dimensions are rings.
    pub periods: Vec<bool>,
}

impl Cart {
    /// How many ranks it has; `None` when that is no number of ranks.
    pub fn size(&self) -> Option<u32> {
        self.dims.iter().try_fold(1_u32, |size, dim| size.checked_mul(*dim))
    }

    /// The coordinates of a rank.
    pub fn coords(&self, rank: u32) -> Vec<u32> {
        let mut rest = rank;
        let mut coords = vec![0; self.dims.len()];
        for (coord, dim) in coords.iter_mut().zip(&self.dims).rev() {
            let dim = (*dim).max(1);
            *coord = rest % dim;
            rest /= dim;
        }
        coords
    }

    /// The rank at these coordinates; `None` outside of the grid. In a ring every number is inside.
    pub fn rank(&self, coords: &[i64]) -> Option<u32> {
        let mut rank = 0_u32;
        for ((dim, ring), coord) in self.dims.iter().zip(&self.periods).zip(coords) {
            let size = i64::from(*dim).max(1);
            let coord = if *ring { coord.rem_euclid(size) } else { *coord };
            if !(0..size).contains(&coord) {
                return None;
            }
            rank = rank.checked_mul(*dim)?.checked_add(u32::try_from(coord).ok()?)?;
        }
        Some(rank)
    }

    /// The rank so many steps away in one dimension, or `MPI_PROC_NULL`.
    pub fn step(&self, rank: u32, direction: usize, steps: i64) -> i32 {
        let mut coords: Vec<i64> = self.coords(rank).into_iter().map(i64::from).collect();
        if let Some(coord) = coords.get_mut(direction) {
            *coord = coord.saturating_add(steps);
        }
        let found = self.rank(&coords).and_then(|rank| i32::try_from(rank).ok());
        found.unwrap_or(c::MPI_PROC_NULL)
    }

    /// The neighbours: for each dimension the one before and the one after.
    pub fn around(&self, rank: u32) -> Vec<i32> {
        let both = |dim| [self.step(rank, dim, -1), self.step(rank, dim, 1)];
        (0..self.dims.len()).flat_map(both).collect()
    }

    /// The grid of those dimensions that remain; of the ranks in it are those that differ there
    /// only. Also which of such grids a rank is in, and its rank there.
    pub fn sub(&self, remain: &[bool], rank: u32) -> (Self, u32, u32) {
        let mut sub = Self::default();
        let (mut which, mut place) = (0, 0);
        let all = self.dims.iter().zip(&self.periods).zip(self.coords(rank)).zip(remain);
        for (((dim, ring), coord), remains) in all {
            if *remains {
                sub.dims.push(*dim);
                sub.periods.push(*ring);
                place = place * dim + coord;
            } else {
                which = which * dim + coord;
            }
        }
        (sub, which, place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(dims: &[u32], periods: &[bool]) -> Cart {
        Cart { dims: dims.to_vec(), periods: periods.to_vec() }
    }

    #[test]
    fn ranks_and_coordinates_are_each_others_inverse() {
        let cart = grid(&[3, 4, 2], &[false, true, false]);
        let mut at = 0;
        for x in 0..3 {
            for y in 0..4 {
                for z in 0..2 {
                    assert_eq!(cart.coords(at), [x, y, z]);
                    let coords = [x, y, z].map(i64::from);
                    assert_eq!(cart.rank(&coords), Some(at));
                    at += 1;
                }
            }
        }
        assert_eq!(cart.size(), Some(24));
        assert_eq!(cart.rank(&[0, -1, 0]), cart.rank(&[0, 3, 0]));
        assert_eq!(cart.rank(&[0, 9, 0]), cart.rank(&[0, 1, 0]));
        assert_eq!(cart.rank(&[-1, 0, 0]), None);
        assert_eq!(cart.rank(&[0, 0, 2]), None);
        assert_eq!(cart.rank(&[i64::from(i32::MIN), 0, 0]), None);
        assert_eq!(grid(&[1 << 16, 1 << 16], &[false; 2]).size(), None);
    }

    #[test]
    fn a_grid_without_dimensions_has_one_rank() {
        let cart = grid(&[], &[]);
        assert_eq!((cart.size(), cart.rank(&[])), (Some(1), Some(0)));
        assert!(cart.coords(0).is_empty() && cart.around(0).is_empty());
    }

    #[test]
    fn steps_end_at_a_border_and_go_around_a_ring() {
        let cart = grid(&[3, 3], &[false, true]);
        assert_eq!(cart.around(0), [c::MPI_PROC_NULL, 3, 2, 1]);
        assert_eq!(cart.around(8), [5, c::MPI_PROC_NULL, 7, 6]);
        assert_eq!(cart.step(4, 0, 0), 4);
        assert_eq!(cart.step(4, 1, -7), 3);
        assert_eq!(cart.step(4, 0, i64::from(i32::MAX)), c::MPI_PROC_NULL);
        // A ring of one is its own neighbour, twice.
        assert_eq!(grid(&[1], &[true]).around(0), [0, 0]);
    }

    #[test]
    fn a_grid_is_cut_along_the_dimensions_that_remain() {
        let cart = grid(&[2, 3, 4], &[true, false, true]);
        let (sub, which, place) = cart.sub(&[true, false, true], 23);
        assert_eq!(sub, grid(&[2, 4], &[true, true]));
        assert_eq!((which, place), (2, 7));
        let (none, which, place) = cart.sub(&[false; 3], 17);
        assert_eq!((none, which, place), (Cart::default(), 17, 0));
        for rank in 0..24 {
            let (sub, _, place) = cart.sub(&[true, false, true], rank);
            let coords = cart.coords(rank);
            assert_eq!(sub.coords(place), [coords[0], coords[2]]);
        }
    }
}
