//! `cargo xtask fuzz`: every fuzz target for a while, from seeds that the tests' own generators make.
//!
//! Runs here are campaigns. In the test suite, each parser has a property of its own that changes images at
//! random and holds the reader to the same promises.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::command::{cargo, command, output, run};

/// The version that is installed; another one may want other flags.
const CARGO_FUZZ: &str = "0.13.2";

/// Stable compilers accept the sanitizers' flags only with this.
const BOOTSTRAP: (&str, &str) = ("RUSTC_BOOTSTRAP", "1");

/// Runs `target`, or each target, for `seconds`. Ends at the first finding, which cargo-fuzz leaves in
/// `fuzz/artifacts/`.
pub(crate) fn start(root: &Path, seconds: u64, target: Option<&str>) -> Result<()> {
    let home = root.join("target/tools/cargo-fuzz");
    let program = home.join("bin/cargo-fuzz");
    if !program.is_file() {
        run(cargo(root).args(["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ, "--root"]).arg(&home))?;
    }
    let fuzz = root.join("fuzz");
    run(cargo(&fuzz).args(["run", "--quiet", "--bin", "seeds"]).env(BOOTSTRAP.0, BOOTSTRAP.1))?;
    let known = output(command(&program, &fuzz).args(["fuzz", "list"]))?;
    let targets: Vec<&str> = known.lines().filter(|name| target.is_none_or(|wanted| wanted == *name)).collect();
    ensure!(
        !targets.is_empty(),
        "no such target; there are {}",
        known.split_whitespace().collect::<Vec<_>>().join(", ")
    );
    for name in targets {
        let mut fuzzer = command(&program, &fuzz);
        fuzzer.args(["fuzz", "run", name, "--"]).env(BOOTSTRAP.0, BOOTSTRAP.1);
        // An input that takes longer, or more memory, is a finding.
        fuzzer.args(["-timeout=20", "-rss_limit_mb=2048", "-max_len=8192", "-print_final_stats=1"]);
        run(fuzzer.arg(format!("-max_total_time={seconds}")))?;
    }
    Ok(())
}
