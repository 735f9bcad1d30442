//! Datatypes.

use crate::ranks::Ranks;

#[test]
fn predefined_types_are_cs_types_and_cannot_be_changed() {
    Ranks::new().passes("mpi/types_named", 1);
}

#[test]
fn constructors_give_the_standards_bounds_and_tell_their_arguments() {
    Ranks::new().passes("mpi/types_made", 1);
}

#[test]
fn large_counts_are_right_or_said_not_to_fit() {
    Ranks::new().passes("mpi/types_large", 1);
}

#[test]
fn programs_pack_and_unpack_also_in_the_external_format() {
    Ranks::new().passes("mpi/types_pack", 2);
}

#[test]
fn both_sides_of_a_message_may_see_it_in_their_own_way() {
    let node = Ranks::new();
    for ranks in [1, 2, 3, 6, 17] {
        node.passes("mpi/types_send", ranks);
    }
}

#[test]
fn what_came_is_counted_by_elements_and_attributes_go_with_types() {
    Ranks::new().passes("mpi/types_count", 1);
}

#[test]
fn types_of_types_are_what_their_type_maps_say() {
    let node = Ranks::new();
    [1, 2].into_iter().for_each(|ranks| node.passes("mpi/types_model", ranks));
}
