//! A short storm on each target: `cargo xtask crash-storm --runs N` runs longer ones.

use std::path::Path;
use std::process::Command;

/// 64 MiB: what the protocol promises to send again at most.
const MOST: u64 = 64 << 20;

fn storm(target: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_crash-storm"))
        .args(["storm", "--runs", "30", "--target", target])
        .output()
        .unwrap();
    let (report, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{errors}");
    println!("{target}: {report}");
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert!(report["killed"].as_u64().unwrap() >= 15, "most processes must be killed in the middle: {report}");
    assert!(report["most_sent_again"].as_u64().unwrap() <= MOST, "{report}");
}

#[test]
fn a_killed_process_is_followed_by_one_that_makes_the_local_replica_equal() {
    storm("local");
}

#[test]
fn a_killed_process_is_followed_by_one_that_makes_the_page_blob_equal() {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/npm/node_modules/azurite");
    if std::env::var_os("LIBMIGRATE_REQUIRE_TOOLS").is_none() && !tools.exists() {
        println!("skipped: Azurite is not installed (`cargo xtask tools` installs it)");
        return;
    }
    storm("azurite");
}
