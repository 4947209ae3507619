//! `cargo xtask test`: the one command that runs every test of every language.
//!
//! A language is one function that runs its tests, lets their output through and returns what it counted.
//! A failing language does not keep the next from running; the last line sums up.

mod c;
mod node;
mod python;

use std::io::{BufRead, BufReader, Write};
use std::ops::AddAssign;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::command::{cargo, line};
use crate::tools::{self, Wanted};

/// Installs the tools and runs every test.
pub(crate) fn run(root: &Path) -> Result<()> {
    tools::install(root, Wanted::Tests)?;
    let languages = [rust(root)?, python::run(root)?, node::run(root)?, c::run(root)?];

    let mut total = Count::default();
    for language in languages {
        total += language;
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    ensure!(total.failed == 0, "{} tests failed; their output is above", total.failed);
    ensure!(total.passed > 0, "no test ran");
    Ok(())
}

/// Unit, behaviour and documentation tests of every crate. Tests whose tools are missing fail, because
/// here they cannot be.
fn rust(root: &Path) -> Result<Count> {
    let mut cargo = cargo(root);
    cargo.args(["test", "--workspace", "--locked", "--no-fail-fast"]).env("LIBMIGRATE_REQUIRE_TOOLS", "1");
    let line = line(&cargo);
    println!("$ {line}");
    let mut child = cargo.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{line}`"))?;

    let mut total = Count::default();
    let mut out = std::io::stdout();
    for printed in BufReader::new(child.stdout.take().expect("it is piped")).split(b'\n') {
        let mut printed = printed.with_context(|| format!("cannot read what `{line}` prints"))?;
        total += Count::of_libtest(&String::from_utf8_lossy(&printed)).unwrap_or_default();
        printed.push(b'\n');
        out.write_all(&printed).and_then(|()| out.flush()).context("cannot write to standard output")?;
    }
    let status = child.wait().with_context(|| format!("cannot wait for `{line}`"))?;
    // Not a test but the build failed, or a test binary died before it could count.
    ensure!(status.success() || total.failed > 0, "`{line}` ended with {status}");
    Ok(total)
}

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Count {
    /// Reads the closing line of a test binary, `test result: ok. 3 passed; 0 failed; …`.
    fn of_libtest(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let number = |what: &str| counts.split("; ").find_map(|part| part.strip_suffix(what)?.trim_end().parse().ok());
        Some(Self { passed: number("passed")?, failed: number("failed")? })
    }
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_of_a_test_binary_is_counted() {
        let ok = "test result: ok. 40 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.24s";
        let bad = "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(Count::of_libtest(ok), Some(Count { passed: 40, failed: 0 }));
        assert_eq!(Count::of_libtest(bad), Some(Count { passed: 2, failed: 3 }));
    }

    #[test]
    fn no_other_line_is_counted() {
        assert_eq!(Count::of_libtest("test size::tests::it_counts ... ok"), None);
        assert_eq!(Count::of_libtest("5 passed, 1 failed"), None);
        assert_eq!(Count::of_libtest("test result: "), None);
    }
}
