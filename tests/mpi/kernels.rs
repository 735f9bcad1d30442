//! Kernels of the kinds that programs for clusters are made of, each of which checks its result.

use crate::ranks::Ranks;

const KERNELS: [&str; 3] = ["mpi/kernel_cg", "mpi/kernel_farm", "mpi/kernel_sort"];

#[test]
fn kernels_are_right_on_one_node() {
    let node = Ranks::new();
    for kernel in KERNELS {
        for ranks in [1, 2, 5, 8, 16] {
            node.passes(kernel, ranks);
        }
    }
}

#[test]
fn kernels_are_right_on_three_nodes() {
    let mut nodes = Ranks::linked(3);
    for places in [&[1, 2, 3][..], &[1, 1, 2, 3, 3, 2, 1]] {
        nodes.place(places);
        for kernel in KERNELS {
            nodes.passes(kernel, u32::try_from(places.len()).expect("few"));
        }
    }
}
