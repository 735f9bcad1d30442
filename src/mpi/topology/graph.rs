//! Graphs.

/// A graph that every rank knows whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Graph {
    /// For each rank where its edges end in `edges`.
    pub index: Vec<u32>,
    /// The neighbours of all ranks, one after the other.
    pub edges: Vec<i32>,
}

impl Graph {
    /// The neighbours of a rank, in the order given.
    pub fn neighbours(&self, rank: u32) -> &[i32] {
        let rank = rank as usize;
        let end = self.index.get(rank).copied().unwrap_or(0) as usize;
        let start = rank.checked_sub(1).and_then(|before| self.index.get(before)).copied();
        self.edges.get(start.unwrap_or(0) as usize..end).unwrap_or(&[])
    }
}

/// A rank's own edges of a graph.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DistGraph {
    /// From whom edges come.
    pub sources: Vec<i32>,
    /// To whom edges go.
    pub destinations: Vec<i32>,
    /// The weights of both, if it has weights.
    pub weights: Option<(Vec<i32>, Vec<i32>)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_those_between_two_ends() {
        // The example of the standard.
        let graph = Graph { index: vec![2, 3, 4, 6], edges: vec![1, 3, 0, 3, 0, 2] };
        assert_eq!(graph.neighbours(0), [1, 3]);
        assert_eq!(graph.neighbours(1), [0]);
        assert_eq!(graph.neighbours(2), [3]);
        assert_eq!(graph.neighbours(3), [0, 2]);
        assert_eq!(graph.neighbours(4), [0; 0]);
    }
}
