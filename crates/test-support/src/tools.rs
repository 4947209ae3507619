//! Where the programs are that tests run, and what a test does without them.
//!
//! `cargo xtask tools` installs them into `target/tools/`. Under `cargo xtask test`, which installs them first, a
//! missing one is a failure, so that no test passes by doing nothing. Under a plain `cargo test` the test says so
//! in one line and returns.

use std::env;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};

/// Set by `cargo xtask test`: a missing tool is a failure.
const REQUIRE: &str = "LIBMIGRATE_REQUIRE_TOOLS";

/// A path below `target/tools/`, as `cargo xtask tools` lays it out.
pub(crate) fn installed(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools")).join(path)
}

/// Where Debian has the programs of the administrator, which are not on everybody's `PATH`.
const SBIN: &str = "/usr/sbin";

/// The first place of a program on `PATH`, or in `/usr/sbin`.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([SBIN.into()])
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// Says that a tool is missing, and that a test is skipped therefore.
///
/// # Panics
/// When `LIBMIGRATE_REQUIRE_TOOLS` is set: a suite that claims to be whole must not skip.
pub(crate) fn missing(tool: &str) {
    missing_where(env::var_os(REQUIRE).is_some(), tool);
}

fn missing_where(required: bool, tool: &str) {
    assert!(!required, "{tool} is missing; run `cargo xtask tools`");
    // Not println!, which the test harness keeps to itself when a test passes; a closed stderr is no failure.
    _ = writeln!(stderr(), "{tool} is missing, so a test is skipped; `cargo xtask tools` installs it");
}

/// Says that a test is skipped, and why: for what cannot be installed.
pub(crate) fn skipped(why: &str) {
    _ = writeln!(stderr(), "{why}, so a test is skipped");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "Azurite is missing; run `cargo xtask tools`")]
    fn a_missing_tool_is_a_failure_where_it_is_required() {
        missing_where(true, "Azurite");
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(on_path("sh").is_some());
        assert_eq!(on_path("no-such-program"), None);
    }
}
