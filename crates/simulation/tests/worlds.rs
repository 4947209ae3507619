//! Whole worlds: the real engine among simulated machines, network and service.

use simulation::{Chapter, Outcome, Planted, Replay, die_at_every_step, run_seed};

/// Fails with everything that did not hold, and how to see it again.
fn assert_kept(outcomes: impl IntoIterator<Item = Outcome>) {
    let broken: Vec<String> = outcomes
        .into_iter()
        .filter(|outcome| !outcome.violations.is_empty())
        .map(|outcome| format!("seed {}: {:#?}", outcome.seed, outcome.violations))
        .collect();
    assert!(broken.is_empty(), "{}\nreplay with: cargo xtask sim --seeds 1 --first SEED --trace", broken.join("\n"));
}

#[test]
fn two_hundred_histories_keep_every_promise() {
    assert_kept((1..=200).map(|seed| run_seed(seed, Planted::None, Replay::Silent)));
}

#[test]
fn a_seed_is_one_history() {
    for seed in [3, 14, 15] {
        let [one, two] = [0; 2].map(|_| run_seed(seed, Planted::None, Replay::Traced));
        assert_eq!(one.text, two.text);
        assert_eq!(one.trace, two.trace);
        assert_ne!(one.trace, run_seed(seed + 100, Planted::None, Replay::Silent).trace);
    }
}

#[test]
fn a_first_cycle_may_die_at_every_step() {
    assert_kept(die_at_every_step(1, Chapter::First));
}

#[test]
fn a_life_of_deltas_and_a_roll_back_may_end_at_every_step() {
    assert_kept(die_at_every_step(2, Chapter::Later));
}

#[test]
fn a_disk_may_grow_twice_and_die_at_every_step() {
    assert_kept(die_at_every_step(5, Chapter::Growth));
}

/// Plays seeds until one shows the defect.
fn assert_found(planted: Planted, within: u64) {
    let found = (1..=within).any(|seed| run_seed(seed, planted, Replay::Silent).violations.iter().any(|_| true));
    assert!(found, "{planted:?} was not found within {within} seeds");
}

#[test]
fn a_service_that_ignores_the_sequence_number_is_found() {
    assert_found(Planted::SequenceIgnored, 300);
}

#[test]
fn a_disk_that_lies_about_syncs_is_found() {
    assert_found(Planted::DiskLies, 300);
}

#[test]
fn settling_before_the_acknowledgement_is_found() {
    assert_found(Planted::EarlyAcknowledgement, 300);
}

#[test]
fn a_snapshot_that_moves_is_found() {
    assert_found(Planted::SnapshotMoves, 300);
}

#[test]
fn a_diff_that_leaves_something_out_is_found() {
    assert_found(Planted::DiffLeavesOut, 300);
}

#[test]
fn a_change_list_that_leaves_something_out_is_found() {
    assert_found(Planted::ListLeavesOut, 300);
}
