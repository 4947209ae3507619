//! `cargo xtask crash-storm`: kills replicating processes at random moments; the short version is a test.

use std::path::Path;

use anyhow::Result;

use crate::command::{cargo, run};
use crate::tools::{self, Wanted};

/// Runs `runs` kills on `target`, from `seed`.
pub(crate) fn start(root: &Path, runs: u32, seed: u64, target: &str) -> Result<()> {
    if target == "azurite" {
        tools::install(root, Wanted::Tests)?;
    }
    run(cargo(root).args(["run", "--release", "--locked", "--package", "crash-storm", "--", "storm"]).args([
        "--runs",
        &runs.to_string(),
        "--seed",
        &seed.to_string(),
        "--target",
        target,
    ]))
}
