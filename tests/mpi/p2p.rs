//! Point-to-point messages.

use crate::ranks::Ranks;

#[test]
fn a_number_goes_around_the_ring() {
    let node = Ranks::new();
    for ranks in [1, 2, 5, 17] {
        node.passes("mpi/ring", ranks);
    }
}
