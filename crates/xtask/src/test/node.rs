//! The npm package: packed and installed as a user has it, and tested.
//!
//! The tests are Node's own; the compiler of TypeScript and a real Chromium, which looks at the example portal, are
//! among what they run. They run as copies inside the folder where the package is installed, so that every import is
//! resolved as it is for a user.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Count;
use crate::command::{command, line, on_path, output, run as run_command};
use crate::tools::{debian, npm_folder, read};
use anyhow::{Context, Result, ensure};

/// The package with the native half for this machine.
pub(crate) const PREBUILT: &str = "linux-x64-gnu";

/// Runs the package's tests, over the library that was built.
pub(crate) fn run(root: &Path, library: &Path, fake_arm: &Path) -> Result<Count> {
    let tools = npm_folder(root, "node-binding", "crates/xtask/tools/node-binding")?;
    install_browser(root)?;
    put_together(root, &tools, library)?;

    let (work, counts) = (tools.join("work"), tools.join("counts.tap"));
    let mut node = command("node", &work);
    node.args(["--test", "--test-reporter=spec", "--test-reporter-destination=stdout", "--test-reporter=tap"])
        .arg(format!("--test-reporter-destination={}", counts.display()))
        .args(tests(&work.join("test"))?)
        .env("LIBMIGRATE_REPOSITORY", root)
        .env("LIBMIGRATE_FAKE_ARM", fake_arm);
    let line = line(&node);
    println!("$ {line}");
    let status = node.status().with_context(|| format!("cannot start `{line}`"))?;
    let counted = of_tap(&read(&counts)?).with_context(|| format!("`{line}` ended with {status} and did not count"))?;
    ensure!(status.success() || counted.failed > 0, "`{line}` ended with {status}");
    Ok(counted)
}

/// A program of the repository, over the library that was built: it uses `crates/node/index.mjs` as it lies there.
pub(crate) fn program(root: &Path, library: &Path, source: &str) -> Command {
    let mut node = command("node", root);
    node.arg(root.join(source)).env("LIBMIGRATE_NATIVE", library);
    node
}

/// npm has no browser: those of its packages come from other places.
fn install_browser(root: &Path) -> Result<()> {
    if ["chromium", "chromium-browser", "google-chrome"].into_iter().any(on_path) {
        return Ok(());
    }
    debian(root, &["chromium"], &[])
}

/// The package as npm packs and unpacks it, its native half beside it, and copies of tests and examples.
fn put_together(root: &Path, tools: &Path, library: &Path) -> Result<()> {
    let package = root.join("crates/node");
    let (main, prebuilt) =
        (tools.join("node_modules/libmigrate"), tools.join("node_modules").join(format!("libmigrate-{PREBUILT}")));
    let (packed, work) = (tools.join("packed"), tools.join("work"));
    for folder in [&main, &prebuilt, &packed, &work] {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }

    let mut npm = command("npm", &package);
    npm.args(["pack", "--silent", "--ignore-scripts", "--pack-destination"]).arg(&packed);
    let name = output(&mut npm)?;
    run_command(command("tar", &main).arg("-xzf").arg(packed.join(name.trim())).arg("--strip-components=1"))?;

    let half = package.join("npm").join(PREBUILT).join("package.json");
    fs::copy(&half, prebuilt.join("package.json")).with_context(|| format!("cannot copy {}", half.display()))?;
    // Node.js loads a library by the name that it has behind all symbolic links.
    let native = prebuilt.join(format!("libmigrate.{PREBUILT}.node"));
    fs::hard_link(library, &native)
        .or_else(|_| fs::copy(library, &native).map(drop))
        .with_context(|| format!("cannot copy {}", library.display()))?;

    for name in ["test", "examples"] {
        run_command(command("cp", root).arg("-R").arg(package.join(name)).arg(work.join(name)))?;
    }
    Ok(())
}

/// The files that hold tests, in order.
fn tests(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
    let mut tests = paths.with_context(|| format!("cannot list {}", folder.display()))?;
    tests.retain(|path| path.to_string_lossy().ends_with(".test.mjs"));
    tests.sort();
    ensure!(!tests.is_empty(), "there is no test in {}", folder.display());
    Ok(tests)
}

/// Reads the closing lines of a report in TAP, `# pass 12`. What was cancelled did not pass.
fn of_tap(report: &str) -> Option<Count> {
    let number = |what: &str| report.lines().rev().find_map(|line| line.strip_prefix(what)?.trim().parse::<u64>().ok());
    Some(Count { passed: number("# pass ")?, failed: number("# fail ")? + number("# cancelled ")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_lines_of_a_report_are_counted() {
        let report =
            "TAP version 13\n# pass 1000\nok 1 - it works\n1..3\n# tests 6\n# pass 3\n# fail 1\n# cancelled 2\n";
        assert_eq!(of_tap(report), Some(Count { passed: 3, failed: 3 }));
        assert_eq!(of_tap("TAP version 13\nok 1 - it works\n"), None);
    }
}
