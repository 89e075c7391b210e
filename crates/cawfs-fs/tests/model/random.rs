//! Random operations, on the file system and on its specification; both must agree on every answer and on the whole tree.

use crate::world::step::Step;
use crate::world::{Progress, Shape, generate, replay};
use cawfs_sim::{Plan, search};

const COMMAND: &str = "cargo test -p cawfs-fs --test model";

fn run(plan: &Plan, test: &str) -> Progress {
    let mut total = Progress::default();
    let list = |seed, steps| generate(seed, steps, Shape::of(seed).mix());
    let replayed = |seed, steps: &[Step]| replay(Shape::of(seed), steps);
    search(
        plan,
        &format!("{COMMAND} {test}"),
        list,
        Step::simpler,
        replayed,
    )
    .into_iter()
    .for_each(|progress| total.add(progress));
    total
}

#[test]
fn random_operations_agree_with_the_specification() {
    let plan = Plan::from_env(8, 250);
    let total = run(&plan, "random_operations");
    println!("{total:#?}");
    assert!(total.operations > 0, "{total:?}");
}

/// All that can happen to files, and to the tree and the store below.
const EVERYTHING: [&str; 70] = [
    "absorbed",
    "back_references_moved",
    "bodies_cloned",
    "bodies_in_ranges",
    "bodies_made",
    "bodies_moved",
    "bodies_unmade",
    "checkpoints",
    "clones",
    "clones_into_own_subtree",
    "clones_of_nameless_files",
    "comparisons",
    "completed_stages",
    "crashes",
    "crashes_that_lost_something",
    "cuts",
    "delete_cuts",
    "equal_joins",
    "exchanges",
    "files_with_several_names",
    "flushes",
    "flushes_shared",
    "free_cuts",
    "guards_set",
    "hand_overs",
    "joins",
    "mapped_clones",
    "moves_between_maps",
    "read_only_clones",
    "refused_between_maps",
    "refused_by_a_map",
    "refused_in_a_read_only_clone",
    "journal_groups",
    "links",
    "links_of_nameless_files",
    "memo_hits",
    "merges",
    "merges_shared",
    "moved_directories",
    "moved_files",
    "narrowed",
    "nodes_read",
    "open_at_a_removed_name",
    "open_below_a_removed_tree",
    "parts_read",
    "range_drops",
    "reaped",
    "rebases",
    "rebases_shared_tail",
    "refused_by_guards",
    "remounts",
    "removes",
    "renames",
    "renames_over",
    "replaced_ancestors",
    "replaced_trees",
    "replayed_batches",
    "root_collapses",
    "root_splits",
    "shared_bytes",
    "shared_children",
    "splits",
    "staged_clones",
    "syncs",
    "trees_removed",
    "trims",
    "writes",
    "writes_without_a_name",
    "xattr_changes",
    "creates",
];

/// With `CAWFS_OPERATIONS` it goes on, seed after seed, until so many operations are done.
#[test]
fn everything_happens() {
    let plan = Plan::from_env(32, 400);
    let least = std::env::var("CAWFS_OPERATIONS").map_or(0, |n| n.parse().expect("a number"));
    let mut total = run(&plan, "everything_happens");
    for seed in plan.seeds.. {
        if total.operations >= least || plan.seed.is_some() {
            break;
        }
        let one = Plan {
            seed: Some(seed),
            time: None,
            ..plan.clone()
        };
        total.add(run(&one, "everything_happens"));
    }
    println!("{total:#?}");
    if plan.seed.is_none() && plan.time.is_none() {
        total.assert_met(&EVERYTHING);
    }
}
