//! `cargo xtask ci`: what must hold before a change lands, cheapest first.
//!
//! Lints and documentation share one check build of the dependencies; the tests need the other, full one.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::command::{cargo, run};
use crate::{guide, licences, test};

/// Runs every check and every test; stops at the first check that fails.
pub(crate) fn run_all(root: &Path) -> Result<()> {
    step("format", || run(cargo(root).args(["fmt", "--all", "--check"])))?;
    step("guide", || guide::check(root))?;
    step("licences", || licences::check(root))?;
    step("lints", || {
        run(cargo(root).args(["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]))
    })?;
    step("documentation", || {
        run(cargo(root).args(["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "--deny warnings"))
    })?;
    step("tests", || test::run(root))
}

fn step(name: &str, check: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("==> {name}");
    let start = Instant::now();
    check().with_context(|| format!("{name}: not in order"))?;
    println!("==> {name}: in order ({:.0?})", start.elapsed());
    Ok(())
}
