//! `cargo xtask tools`: what the tests need besides cargo, python3, node and cc.
//!
//! | what | where | from |
//! | --- | --- | --- |
//! | Azurite, Microsoft's storage emulator, and the Node.js 22 that it asks for | `target/tools/npm/` | npm, by lock file |
//! | Microsoft's Python client, an independent reader of what we wrote | `target/tools/python/` | `PyPI`, by version |
//! | Microsoft's Python clients of Azure Resource Manager, which drive the tests' fake of it | `target/tools/python/` | `PyPI`, by version |
//! | libvhdi, libvmdk and dissect, independent readers of chains that QEMU reads wrong or not at all | `target/tools/python/` | `PyPI`, by version |
//! | blake3, for `docs/check_proof.py` | `target/tools/python/` | `PyPI`, by version |
//! | `qemu-img`, `qemu-io` and `qemu-nbd`, independent readers and writers of disk formats | the system | Debian |
//! | `nbdkit` and `nbdinfo`, an independent NBD server and client | the system | Debian |
//! | `unbound`, a DNS server that plays a company's own; it is not run as a service | the system | Debian |
//! | `ip`, for tests in a network of their own | the system | Debian |
//! | `mypy`, `pyright`, pytest and `rich`; TypeScript, a browser driver and Chromium; valgrind, `CMake`, pkg-config and a JSON reader for C++ | `target/tools/python-binding/`, `target/tools/node-binding/`, the system | `PyPI`, npm, Debian: see `test/` |
//! | for `cargo xtask contracts` alone: oav, Azure's validator of live traffic | `target/tools/oav/` | npm, by lock file |
//! | with `--bench`: `AzCopy`, rsync | `target/tools/npm/`, the system | npm, Debian |
//!
//! Package registries only; no install script of a package runs. Each folder under `target/tools/` keeps a stamp
//! of what it was made from, written last: a matching stamp means that there is nothing to do, and an
//! interrupted install is done again.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::{command, on_path, output, run};

/// What the tools are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// What `cargo xtask test` runs.
    Tests,
    /// That, and the programs that we compare ourselves with.
    TestsAndBenches,
}

/// Installs what is missing or out of date.
pub(crate) fn install(root: &Path, wanted: Wanted) -> Result<()> {
    install_npm(root, wanted)?;
    python_folder(root, "python", "crates/xtask/tools/requirements.txt")?;
    install_debian(root, wanted)
}

fn install_npm(root: &Path, wanted: Wanted) -> Result<()> {
    let recipe = root.join("crates/xtask/tools");
    let made_from = read(&recipe.join("package-lock.json"))?;
    let tests = Folder { path: root.join("target/tools/npm"), stamp: "tests.stamp", made_from };
    let benches = Folder { stamp: "benches.stamp", ..tests.clone() };
    let folder = match wanted {
        // Every run of `npm ci` starts from nothing, so one for the tests alone would lose AzCopy again.
        Wanted::Tests if benches.is_current() => return said_current(&benches),
        Wanted::Tests => tests,
        Wanted::TestsAndBenches => benches,
    };
    if folder.is_current() {
        return said_current(&folder);
    }

    folder.begin(&["tests.stamp", "benches.stamp"])?;
    for name in ["package.json", "package-lock.json", ".npmrc"] {
        fs::copy(recipe.join(name), folder.path.join(name)).with_context(|| format!("cannot copy {name}"))?;
    }
    let mut npm = npm_ci(&folder.path);
    if wanted == Wanted::Tests {
        npm.arg("--omit=dev");
    }
    run(&mut npm)?;
    if wanted == Wanted::TestsAndBenches {
        link_azcopy(&folder.path)?;
    }
    folder.finish()
}

/// Where Azure's validator of live traffic is, installed now if it is not: only `cargo xtask contracts` needs it.
pub(crate) fn install_validator(root: &Path) -> Result<PathBuf> {
    // One of its packages reports every install to its maker, by an install script: none runs.
    npm_folder(root, "oav", "crates/xtask/contracts")
}

/// What a recipe of npm says, installed under `target/tools/`: `recipe` is a folder with a lock file.
pub(crate) fn npm_folder(root: &Path, name: &str, recipe: &str) -> Result<PathBuf> {
    let recipe = root.join(recipe);
    let made_from = read(&recipe.join("package-lock.json"))?;
    let folder = Folder { path: root.join("target/tools").join(name), stamp: "stamp", made_from };
    if !folder.is_current() {
        folder.begin(&["stamp"])?;
        for name in ["package.json", "package-lock.json"] {
            fs::copy(recipe.join(name), folder.path.join(name)).with_context(|| format!("cannot copy {name}"))?;
        }
        run(&mut npm_ci(&folder.path))?;
        folder.finish()?;
    }
    Ok(folder.path)
}

/// Installs what the lock file says, and runs no install script.
fn npm_ci(folder: &Path) -> Command {
    let mut npm = command("npm", folder);
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    npm
}

/// A virtual environment under `target/tools/` with what `recipe`, a file of requirements, says.
pub(crate) fn python_folder(root: &Path, name: &str, recipe: &str) -> Result<PathBuf> {
    let recipe = root.join(recipe);
    // A virtual environment is tied to the interpreter that made it.
    let interpreter = output(command("python3", root).arg("--version"))?;
    let made_from = format!("{interpreter}{}", read(&recipe)?);
    let folder = Folder { path: root.join("target/tools").join(name), stamp: "stamp", made_from };
    if !folder.is_current() {
        folder.begin(&["stamp"])?;
        run(command("python3", root).args(["-m", "venv", "--clear"]).arg(&folder.path))
            .context("cannot make a virtual environment; on Debian: apt-get install python3-venv")?;
        run(command(folder.path.join("bin/python3"), root)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"])
            .arg(&recipe))?;
        folder.finish()?;
    }
    Ok(folder.path)
}

/// The package brings its binary without the permission to run it, under a name with the architecture.
fn link_azcopy(npm: &Path) -> Result<()> {
    let name = if cfg!(target_arch = "aarch64") { "azcopy_linux_arm64" } else { "azcopy_linux_amd64" };
    let binary = npm.join("node_modules/@azure-tools/azcopy-linux/dist/bin").join(name);
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", binary.display()))?;
    let link = npm.join("azcopy");
    if link.is_symlink() {
        fs::remove_file(&link).with_context(|| format!("cannot replace {}", link.display()))?;
    }
    symlink(&binary, &link).with_context(|| format!("cannot link {}", link.display()))
}

/// What would make unbound a service that listens on port 53, at once (also in a container, by its init script)
/// or from the next start of the machine: left out when it is unpacked. The package allows for that, and nothing
/// else of the system is touched, as it would be by a `policy-rc.d`.
const NO_SERVICE: [&str; 3] =
    ["/etc/init.d/unbound", "/lib/systemd/system/unbound*", "/usr/lib/systemd/system/unbound*"];

fn install_debian(root: &Path, wanted: Wanted) -> Result<()> {
    let mut packages = Vec::new();
    if !on_path("qemu-img") {
        packages.push("qemu-utils");
    }
    if !on_path("nbdkit") {
        packages.push("nbdkit");
    }
    if !on_path("nbdinfo") {
        packages.push("libnbd-bin");
    }
    if !on_path("unbound") {
        packages.push("unbound");
    }
    if !on_path("ip") {
        packages.push("iproute2");
    }
    if wanted == Wanted::TestsAndBenches {
        if !on_path("time") {
            packages.push("time"); // GNU time, which knows peak memory
        }
        if !on_path("rsync") {
            packages.push("rsync");
        }
        if !output(command("/sbin/ldconfig", root).arg("-p"))?.contains("libsecret-1.so.0") {
            packages.push("libsecret-1-0"); // AzCopy's keyring
        }
    }
    let options: Vec<String> =
        NO_SERVICE.iter().map(|path| format!("--option=DPkg::Options::=--path-exclude={path}")).collect();
    debian(root, &packages, &options)
}

/// Installs packages of Debian, if there are any to install.
pub(crate) fn debian(root: &Path, packages: &[&str], options: &[String]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    ensure!(
        on_path("apt-get") && rustix::process::geteuid().is_root(),
        "{0} not found; as root on Debian or Ubuntu: apt-get install {0}, elsewhere the package of the same purpose",
        packages.join(" ")
    );
    run(command("apt-get", root).args(["update", "--quiet=2"]))?;
    run(command("apt-get", root)
        .args(["install", "--yes", "--quiet=2", "--no-install-recommends"])
        .args(options)
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

/// A folder under `target/tools/`, whole and up to date exactly when its stamp holds what it was made from.
#[derive(Clone, Debug)]
struct Folder {
    path: PathBuf,
    stamp: &'static str,
    made_from: String,
}

impl Folder {
    fn is_current(&self) -> bool {
        fs::read_to_string(self.path.join(self.stamp)).is_ok_and(|stamp| stamp == self.made_from)
    }

    /// Takes the stamps away, so that nobody takes a half-made folder for a whole one.
    fn begin(&self, stamps: &[&str]) -> Result<()> {
        fs::create_dir_all(&self.path).with_context(|| format!("cannot make {}", self.path.display()))?;
        for stamp in stamps.iter().map(|stamp| self.path.join(stamp)).filter(|stamp| stamp.exists()) {
            fs::remove_file(&stamp).with_context(|| format!("cannot remove {}", stamp.display()))?;
        }
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        let stamp = self.path.join(self.stamp);
        fs::write(&stamp, &self.made_from).with_context(|| format!("cannot write {}", stamp.display()))
    }
}

#[allow(clippy::unnecessary_wraps)] // the last word of functions that return a Result
fn said_current(folder: &Folder) -> Result<()> {
    println!("{} is up to date", folder.path.display());
    Ok(())
}

pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(path: &Path, made_from: &str) -> Folder {
        Folder { path: path.join("npm"), stamp: "stamp", made_from: made_from.into() }
    }

    #[test]
    fn a_folder_is_current_once_finished_and_until_its_recipe_changes() {
        let temp = tempfile::tempdir().unwrap();
        let first = folder(temp.path(), "azurite 1");
        assert!(!first.is_current());

        first.begin(&["stamp"]).unwrap();
        assert!(!first.is_current());
        first.finish().unwrap();

        assert!(first.is_current());
        assert!(!folder(temp.path(), "azurite 2").is_current());
    }

    #[test]
    fn an_interrupted_install_is_not_current() {
        let temp = tempfile::tempdir().unwrap();
        let folder = folder(temp.path(), "azurite 1");
        folder.begin(&["stamp"]).unwrap();
        folder.finish().unwrap();

        folder.begin(&["stamp"]).unwrap();

        assert!(!folder.is_current());
    }

    #[test]
    fn the_lock_files_name_versions_and_hashes_but_no_host() {
        for (folder, package) in [("tools", "azurite"), ("contracts", "oav")] {
            let lock = read(&crate::repository().join("crates/xtask").join(folder).join("package-lock.json")).unwrap();
            assert!(lock.contains(&format!("\"node_modules/{package}\"")));
            assert!(lock.contains("\"integrity\": \"sha512-"));
            assert!(!lock.contains("\"resolved\""));
        }
    }
}
