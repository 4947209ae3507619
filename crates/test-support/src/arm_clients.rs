//! Foreign clients of Azure Resource Manager: Microsoft's own, in Python, drive the fake.
//!
//! They share no code with us. What they cannot read, or an order of requests that they would not follow, is a
//! mistake of the fake's.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::fake_arm::{FakeArm, GROUP, SUBSCRIPTION, Scenery};
use crate::tools;

/// Lets the clients do `what` (`vmware`, `hyper-v` or `order`, see `arm_migration.py`); what they saw, or `None`
/// when they are not installed.
///
/// # Panics
/// When they are not installed but must be.
pub async fn drive_with_python(fake: &FakeArm, scenery: &Scenery, what: &str) -> Option<Result<Value>> {
    if !tools::installed("python/stamp").exists() || !has_clients() {
        tools::missing("Microsoft's Python clients of Azure Resource Manager");
        return None;
    }
    let mut python = Command::new(tools::installed("python/bin/python3"));
    python
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/arm_migration.py"))
        .arg(what)
        .env("LIBMIGRATE_ARM", fake.endpoint().as_str())
        .env("LIBMIGRATE_SCENERY", names(scenery).to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let done = async {
        let output = python.output().await.context("cannot start the Python clients")?;
        let words = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the Python clients cannot do {what}: {words}");
        serde_json::from_slice(&output.stdout).context("the Python clients say something else than JSON")
    };
    Some(done.await)
}

/// Whether the environment is one that was made since the clients belong to it.
fn has_clients() -> bool {
    let stamp = std::fs::read_to_string(tools::installed("python/stamp")).unwrap_or_default();
    stamp.contains("azure-mgmt-recoveryservicesbackup")
}

/// What is where, for the script.
fn names(scenery: &Scenery) -> Value {
    json!({
        "subscription": SUBSCRIPTION,
        "group": GROUP,
        "target_group": scenery.target_group(),
        "network": scenery.network(),
        "subnet": scenery.subnet(),
        "test_network": scenery.test_network(),
        "vault": scenery.vault(),
        "fabric": scenery.fabric(),
        "container": scenery.container(),
        "account": scenery.account(),
        "machine": scenery.machine(1),
        "run_as_account": scenery.run_as_account(),
        "disks": [scenery.disk(1, 0), scenery.disk(1, 1)],
    })
}
