//! The explorer has teeth: file systems that are wrong on purpose are found out.

use crate::clones::{clones_against_writes, completions_against_the_end_of_time};
use crate::explore::explore_seed;
use crate::names::{files_in_two_directories, names_of_one_file};
use crate::orphans;
use crate::trees::removed_trees_against_open_files;
use cawfs_fs::broken::{self, Fault};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Explores with a fault; what the failure said.
fn found(fault: Fault, work: fn()) -> String {
    let found = catch_unwind(AssertUnwindSafe(|| {
        broken::choose(Some(fault));
        explore_seed(1, 5000, work);
    }));
    broken::choose(None);
    let said = found.expect_err("the fault is not found");
    let text = said.downcast_ref::<String>().cloned();
    text.or_else(|| said.downcast_ref::<&str>().map(|text| text.to_string()))
        .unwrap_or_default()
}

#[test]
fn teeth_two_directories_in_the_order_of_naming() {
    let said = found(Fault::OrderOfNaming, files_in_two_directories);
    assert!(said.contains("deadlock"), "{said}");
}

#[test]
fn teeth_a_name_that_is_looked_for_before_it_is_taken() {
    let said = found(Fault::LooksFirst, files_in_two_directories);
    assert!(said.contains("no order explains"), "{said}");
}

#[test]
fn teeth_links_that_are_counted_without_the_file() {
    let said = found(Fault::FileNotHeld, names_of_one_file);
    let wrong = ["BadLinks", "NoName", "no order explains"];
    assert!(wrong.iter().any(|wrong| said.contains(wrong)), "{said}");
}

#[test]
fn teeth_a_tree_that_is_removed_beside_all_else() {
    found(Fault::NamespaceNotHeld, removed_trees_against_open_files);
}

#[test]
fn teeth_clones_of_several_instants() {
    let said = found(Fault::InstantsApart, clones_against_writes);
    assert!(said.contains("two instants"), "{said}");
}

#[test]
fn teeth_a_file_without_a_name_that_is_not_held() {
    for (work, wrong) in [
        (orphans::named as fn(), "content is lost"),
        (orphans::cloned, "content is lost"),
        (orphans::flagged, "orphan 0"),
    ] {
        let said = found(Fault::OrphanNotHeld, work);
        assert!(said.contains(wrong), "{said}");
    }
}

#[test]
fn teeth_a_stage_that_ends_while_it_is_made_real() {
    let said = found(Fault::StageNotHeld, completions_against_the_end_of_time);
    assert!(said.contains("content is lost"), "{said}");
}
