//! `cargo xtask test`: the one command that runs every test of every language.
//!
//! A language is one function that runs its tests, lets their output through and returns what it counted.
//! A failing language does not keep the next from running; the last line sums up.

pub(crate) mod c;
pub(crate) mod node;
pub(crate) mod python;
mod take_over;

use std::io::{BufRead, BufReader, Write};
use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::command::{cargo, line, output};
use crate::tools::{self, Wanted};

/// Installs the tools and runs every test.
pub(crate) fn run(root: &Path) -> Result<()> {
    tools::install(root, Wanted::Tests)?;
    // What the tests of Rust are made of, so that nothing is compiled a second time for them.
    let built =
        Built::of(cargo(root).args(["build", "--workspace", "--locked", "--lib", "--bins", "--tests", "--examples"]))?;
    let languages = [
        rust(root)?,
        python::run(root, &built.python()?, &built.fake_arm()?)?,
        node::run(root, &built.node()?, &built.fake_arm()?)?,
        c::run(root, &built.c()?, &built.fake_arm()?)?,
        take_over::run(root, &built)?,
    ];

    let mut total = Count::default();
    for language in languages {
        total += language;
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    ensure!(total.failed == 0, "{} tests failed; their output is above", total.failed);
    ensure!(total.passed > 0, "no test ran");
    Ok(())
}

/// What a build made of the libraries of the other languages, and of examples.
#[derive(Debug)]
pub(crate) struct Built {
    /// The name of each target, its kind, and its files.
    targets: Vec<(String, String, Vec<PathBuf>)>,
}

impl Built {
    /// Runs a `cargo build`, and reads what it says that it made.
    pub(crate) fn of(cargo: &mut Command) -> Result<Self> {
        println!("$ {}", line(cargo));
        let messages = output(cargo.arg("--message-format=json-render-diagnostics"))?;
        Ok(Self::read(&messages))
    }

    fn read(messages: &str) -> Self {
        let messages = messages.lines().filter_map(|message| serde_json::from_str::<Value>(message).ok());
        let made = messages.filter(|message| {
            message["reason"] == "compiler-artifact" && message["profile"]["test"] != Value::Bool(true)
        });
        let targets = made.map(|message| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let files = message["filenames"].as_array().into_iter().flatten().map(|file| text(file).into()).collect();
            (text(&message["target"]["name"]), text(&message["target"]["kind"][0]), files)
        });
        Self { targets: targets.collect() }
    }

    /// The native half of the Python package.
    pub(crate) fn python(&self) -> Result<PathBuf> {
        self.file("libmigrate_py", "cdylib", "so")
    }

    /// The native half of the npm package.
    pub(crate) fn node(&self) -> Result<PathBuf> {
        self.file("libmigrate_node", "cdylib", "so")
    }

    /// The static library of C, of which the shared one is made.
    pub(crate) fn c(&self) -> Result<PathBuf> {
        self.file("migrate", "cdylib", "a")
    }

    /// The fake of Azure Resource Manager, which the conformance suite asks.
    pub(crate) fn fake_arm(&self) -> Result<PathBuf> {
        self.file("fake-arm", "bin", "")
    }

    /// An example.
    pub(crate) fn example(&self, name: &str) -> Result<PathBuf> {
        self.file(name, "example", "")
    }

    fn file(&self, name: &str, kind: &str, extension: &str) -> Result<PathBuf> {
        let of_name = self.targets.iter().filter(|(target, of, _)| target == name && of == kind);
        let mut files = of_name.flat_map(|(.., files)| files);
        let found = files.find(|file| file.extension().unwrap_or_default() == extension);
        found.cloned().with_context(|| format!("cargo built no {name}"))
    }
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
    fn what_was_built_is_found_by_name_and_kind() {
        let message = |name: &str, kind: &str, files: &[&str]| {
            let target = serde_json::json!({ "name": name, "kind": [kind] });
            let profile = serde_json::json!({ "test": false });
            serde_json::json!({ "reason": "compiler-artifact", "target": target, "profile": profile, "filenames": files })
                .to_string()
        };
        let built = Built::read(
            &[
                message("libmigrate_py", "cdylib", &["/t/liblibmigrate_py.so"]),
                message("migrate", "test", &["/t/migrate-1"]),
                message("migrate", "cdylib", &["/t/libmigrate.so", "/t/libmigrate.a"]),
                message("replicate", "example", &["/t/examples/replicate"]),
                message("fake-arm", "bin", &["/t/deps/fake_arm-1"]).replace("false", "true"),
                message("fake-arm", "bin", &["/t/fake-arm"]),
                "no JSON".to_owned(),
            ]
            .join("\n"),
        );
        assert_eq!(built.python().unwrap(), PathBuf::from("/t/liblibmigrate_py.so"));
        assert_eq!(built.c().unwrap(), PathBuf::from("/t/libmigrate.a"));
        assert_eq!(built.example("replicate").unwrap(), PathBuf::from("/t/examples/replicate"));
        assert_eq!(built.fake_arm().unwrap(), PathBuf::from("/t/fake-arm"), "and not its unit tests");
        assert!(built.node().is_err());
    }

    #[test]
    fn no_other_line_is_counted() {
        assert_eq!(Count::of_libtest("test size::tests::it_counts ... ok"), None);
        assert_eq!(Count::of_libtest("5 passed, 1 failed"), None);
        assert_eq!(Count::of_libtest("test result: "), None);
    }
}
