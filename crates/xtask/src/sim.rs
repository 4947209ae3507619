//! `cargo xtask sim`: plays simulated worlds, seed after seed; some hundred are a test.

use std::path::Path;

use anyhow::Result;

use crate::command::{cargo, run};

/// Plays `seeds` worlds from `first` on, and writes their steps down if they are to be `traced`.
pub(crate) fn start(root: &Path, seeds: u64, first: u64, traced: bool) -> Result<()> {
    run(cargo(root)
        .args(["run", "--release", "--locked", "--package", "simulation", "--"])
        .args(["--seeds", &seeds.to_string(), "--first", &first.to_string()])
        .args(traced.then_some("--trace")))
}
