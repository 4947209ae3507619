//! A short storm of each kind: `cargo xtask crash-storm`, `fault-storm` and `fence-storm` run longer ones.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// 64 MiB: what the protocol promises to send again at most.
const MOST: u64 = 64 << 20;

/// The report of a storm; panics when it failed.
fn storm(kind: &str, runs: u32, target: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_storms"))
        .args([kind, "--runs", &runs.to_string(), "--target", target])
        .output()
        .unwrap();
    let (report, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    println!("{kind} on {target}: {report}");
    assert!(output.status.success(), "{errors}");
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((number(&report, "runs"), number(&report, "wrong_replicas")), (u64::from(runs), 0));
    report
}

fn number(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap()
}

/// Whether Azurite is there; says so when not.
fn azurite() -> bool {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/npm/node_modules/azurite");
    let there = std::env::var_os("LIBMIGRATE_REQUIRE_TOOLS").is_some() || tools.exists();
    if !there {
        println!("skipped: Azurite is not installed (`cargo xtask tools` installs it)");
    }
    there
}

#[test]
fn a_killed_process_is_followed_by_one_that_makes_the_local_replica_equal() {
    let report = storm("crash", 12, "local");
    assert!(number(&report, "most_sent_again") <= MOST, "{report}");
}

#[test]
fn a_killed_process_is_followed_by_one_that_makes_the_page_blob_equal() {
    if azurite() {
        let report = storm("crash", 5, "azurite");
        assert!(number(&report, "most_sent_again") <= MOST, "{report}");
    }
}

#[test]
fn cycles_whose_requests_fail_in_every_way_end_equal() {
    let report = storm("fault", 8, "server");
    assert!(number(&report, "retries") > 0, "{report}");
    assert!(report["faults"].as_object().unwrap().len() >= 10, "{report}");
}

#[test]
fn cycles_whose_requests_fail_on_their_way_to_azurite_end_equal() {
    if azurite() {
        let report = storm("fault", 2, "azurite");
        assert!(number(&report, "retries") > 0, "{report}");
    }
}

#[test]
fn an_owner_who_was_paused_lands_nothing_after_a_take_over() {
    let report = storm("fence", 6, "server");
    assert_eq!(number(&report, "landed_after_takeover"), 0);
    assert!(number(&report, "paused_owners") > 0, "{report}");
}
