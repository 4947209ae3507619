//! The Python package: put together as a wheel would be, and tested.
//!
//! The tests are pytest's; mypy, pyright and stubtest are among them. The package is used from a folder instead of
//! an installed wheel, whose packing takes longer than all tests.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Count;
use crate::command::{command, line};
use crate::tools::python_folder;
use anyhow::{Context, Result, ensure};

/// Runs the package's tests, over the library that was built.
pub(crate) fn run(root: &Path, library: &Path, fake_arm: &Path) -> Result<Count> {
    let tools = python_folder(root, "python-binding", "crates/xtask/tools/python-binding-requirements.txt")?;
    let site = put_together(root, library)?;

    let mut pytest = command(interpreter(root), &root.join("crates/py"));
    pytest
        .args(["-m", "pytest", "--quiet", "--color=no"])
        .env("PYTHONPATH", &site)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("LIBMIGRATE_REPOSITORY", root)
        .env("LIBMIGRATE_FAKE_ARM", fake_arm)
        // pyright comes from npm, by the version of its Python package.
        .env("PYRIGHT_PYTHON_CACHE_DIR", tools.join("pyright"));
    let line = line(&pytest);
    println!("$ {line}");
    let mut child = pytest.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{line}`"))?;

    let mut counted = None;
    let mut out = std::io::stdout();
    for printed in BufReader::new(child.stdout.take().expect("it is piped")).lines() {
        let printed = printed.with_context(|| format!("cannot read what `{line}` prints"))?;
        counted = of_pytest(&printed).or(counted);
        writeln!(out, "{printed}").context("cannot write to standard output")?;
    }
    let status = child.wait().with_context(|| format!("cannot wait for `{line}`"))?;
    let counted = counted.with_context(|| format!("`{line}` ended with {status} before it could count"))?;
    ensure!(status.success() || counted.failed > 0, "`{line}` ended with {status}");
    Ok(counted)
}

/// A program of the repository, over the library that was built.
pub(crate) fn program(root: &Path, library: &Path, source: &str) -> Result<Command> {
    let site = put_together(root, library)?;
    let mut python = command(interpreter(root), root);
    python.arg(root.join(source)).env("PYTHONPATH", site).env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(python)
}

/// The interpreter of the tests' virtual environment.
fn interpreter(root: &Path) -> PathBuf {
    root.join("target/tools/python-binding/bin/python3")
}

/// The package as it is in a wheel, in a folder of its own, which is given: Python's half, and the native one under
/// its own name.
pub(crate) fn put_together(root: &Path, library: &Path) -> Result<PathBuf> {
    let site = root.join("target/tools/python-site");
    let (from, to) = (root.join("crates/py/python/libmigrate"), site.join("libmigrate"));
    if site.exists() {
        fs::remove_dir_all(&site).with_context(|| format!("cannot remove {}", site.display()))?;
    }
    fs::create_dir_all(&to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(&from).with_context(|| format!("cannot list {}", from.display()))? {
        let file = entry.with_context(|| format!("cannot list {}", from.display()))?.path();
        let name = file.file_name().expect("an entry has a name");
        if file.is_file() {
            fs::copy(&file, to.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
        }
    }
    let native = to.join("_native.abi3.so");
    symlink(library, &native).with_context(|| format!("cannot link {}", native.display()))?;
    Ok(site)
}

/// Reads pytest's closing line, `1 failed, 160 passed in 12.34s`.
fn of_pytest(line: &str) -> Option<Count> {
    let (counts, seconds) = line.trim_matches(['=', ' ']).rsplit_once(" in ")?;
    if !seconds.split(' ').next()?.strip_suffix('s')?.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let mut count = Count::default();
    for part in counts.split(", ") {
        let (number, what) = part.split_once(' ')?;
        let number: u64 = number.parse().ok()?;
        match what {
            "passed" => count.passed += number,
            "failed" | "error" | "errors" => count.failed += number,
            _ => {}
        }
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_of_pytest_is_counted() {
        let count = |passed, failed| Some(Count { passed, failed });
        assert_eq!(of_pytest("161 passed in 89.72s (0:01:29)"), count(161, 0));
        assert_eq!(of_pytest("==== 2 failed, 3 passed, 1 skipped, 1 error in 0.50s ===="), count(3, 3));
        assert_eq!(of_pytest("1 error in 0.04s"), count(0, 1));
        assert_eq!(of_pytest("no tests ran in 0.01s"), None);
        assert_eq!(of_pytest("8.20s call     tests/test_process.py::test_it"), None);
    }
}
