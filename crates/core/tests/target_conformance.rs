//! What every [`PageTarget`](libmigrate::target::PageTarget) must do, run against each of them.
//!
//! A backend joins with one line at the end of this file: its name, and a function that makes a place where
//! nothing is yet (`None`, and a word why, where the backend is not to be had). What a backend cannot do is
//! asked of its capabilities, never of its name.

mod target_conformance {
    pub(crate) mod existence;
    pub(crate) mod fencing;
    pub(crate) mod metadata;
    pub(crate) mod model;
    pub(crate) mod objects;
    pub(crate) mod pages;
    pub(crate) mod place;
    pub(crate) mod snapshots;
}

use target_conformance::place::{self, Place};

/// One test per behaviour.
macro_rules! tests_of {
    ($fresh:path; $($group:ident { $($behaviour:ident,)* })*) => {$(
        mod $group {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $behaviour() {
                    let fresh: Option<crate::Place> = $fresh().await;
                    if let Some(place) = fresh {
                        crate::target_conformance::$group::$behaviour(place).await;
                    }
                }
            )*
        }
    )*};
}

macro_rules! conforms {
    ($backend:ident, $fresh:path) => {
        mod $backend {
            tests_of! { $fresh;
                existence {
                    nothing_is_there_at_first,
                    a_created_target_is_all_zero,
                    a_second_create_is_refused_and_changes_nothing,
                    what_is_not_there_cannot_be_read_or_leased,
                    growing_keeps_the_bytes_and_adds_zeros,
                    a_length_is_not_changed_under_an_old_etag,
                    bytes_cut_off_do_not_come_back,
                }
                metadata {
                    metadata_is_replaced_whole,
                    metadata_is_replaced_while_the_etag_is_current,
                    metadata_is_refused_under_an_old_etag,
                    a_changed_sequence_number_changes_the_etag,
                }
                pages {
                    a_put_reads_back_through_another_handle,
                    a_put_replaces_what_was_there,
                    a_cleared_range_reads_as_zero_and_holds_nothing,
                    clearing_what_is_clear_is_no_error,
                    page_ranges_are_in_order_and_merged,
                    page_ranges_stay_inside_the_window,
                    flushed_bytes_read_back,
                    puts_at_once_all_land,
                    the_largest_put_is_taken,
                    a_larger_put_is_refused,
                    a_put_of_another_length_than_its_range_is_refused,
                    a_put_past_the_end_is_refused,
                    a_clear_past_the_end_is_refused,
                    a_read_past_the_end_is_refused,
                }
                fencing {
                    a_put_without_a_lease_is_fenced,
                    a_put_under_another_lease_is_fenced,
                    a_clear_under_another_lease_is_fenced,
                    a_put_with_an_old_sequence_number_is_fenced,
                    a_clear_with_an_old_sequence_number_is_fenced,
                    the_sequence_number_never_goes_down,
                    changes_under_another_lease_are_fenced,
                    a_second_writer_is_refused,
                    one_handle_does_not_hold_two_leases,
                    the_same_lease_is_taken_again,
                    a_lease_is_seen_by_others,
                    a_released_lease_goes_to_the_next,
                    the_owner_of_the_past_writes_nothing,
                    releasing_a_lease_that_is_not_ours_changes_nothing,
                    a_lease_that_is_not_ours_is_not_renewed,
                    a_broken_lease_goes_to_the_next_and_its_holder_writes_nothing,
                    breaking_a_lease_that_nobody_holds_is_no_error,
                    a_lock_goes_with_its_handle,
                }
                snapshots {
                    a_snapshot_keeps_its_bytes_and_pages,
                    a_snapshot_keeps_its_length,
                    a_snapshot_leaves_the_etag_and_is_refused_under_an_old_one,
                    a_snapshot_has_metadata_of_its_own,
                    snapshots_are_listed_oldest_first,
                    a_deleted_snapshot_is_gone_and_the_others_stay,
                    a_deleted_snapshots_name_is_not_used_again,
                }
                objects {
                    an_object_reads_back,
                    an_object_is_replaced_whole,
                    an_object_may_be_empty,
                    objects_are_listed_by_prefix_in_order,
                    a_deleted_object_is_gone,
                    an_object_longer_than_asked_is_refused,
                }
                model {
                    random_writes_agree_with_a_model,
                }
            }
        }
    };
}

conforms!(local, crate::place::local);
conforms!(page_blob_server, crate::place::page_blob_server);
conforms!(azurite, crate::place::azurite);
