//! `cargo xtask package FOLDER`: what users of each language install, built for release and for this platform.
//!
//! | language | what | by |
//! | --- | --- | --- |
//! | Python | a wheel for every `CPython` from 3.9 on | maturin |
//! | Node | the package, and the one with its native half | npm |
//! | C and C++ | headers, both libraries, the files of pkg-config and `CMake` | `cargo xtask install-c` |
//!
//! Wheel and packages are installed as a user does it, in an empty place, and asked for their version there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::command::{cargo, command, output, run};
use crate::test::{Built, c, node};
use crate::tools::python_folder;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Makes all of them in `folder`.
pub(crate) fn make(root: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let folder = folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
    let wheel = wheel(root, &folder)?;
    let packages = packages(root, &folder)?;
    c::release(root, &folder.join("c"))?;
    [wheel].iter().chain(&packages).chain([&folder.join("c")]).for_each(|made| println!("{}", made.display()));
    Ok(())
}

fn wheel(root: &Path, folder: &Path) -> Result<PathBuf> {
    let tools = python_folder(root, "python-package", "crates/xtask/tools/python-package-requirements.txt")?;
    let scratch = tempfile::tempdir().context("cannot make a folder")?;
    run(command(tools.join("bin/maturin"), &root.join("crates/py"))
        .args(["build", "--release", "--locked", "--strip", "--out"])
        .arg(scratch.path())
        .env("CARGO_TARGET_DIR", root.join("target")))?;
    let made =
        fs::read_dir(scratch.path()).context("maturin made no folder")?.next().context("maturin made nothing")?;
    let made = made.context("cannot list what maturin made")?;
    let name = made.file_name().to_string_lossy().into_owned();
    ensure!(name.contains("-cp39-abi3-"), "{name} is not for every CPython from 3.9 on");
    let wheel = folder.join(name);
    fs::copy(made.path(), &wheel).with_context(|| format!("cannot write {}", wheel.display()))?;

    let environment = scratch.path().join("environment");
    run(command("python3", root).args(["-m", "venv"]).arg(&environment))?;
    let python = environment.join("bin/python3");
    run(command(&python, root).args(["-m", "pip", "install", "--quiet", "--no-index"]).arg(&wheel))?;
    let seen = "import libmigrate, pathlib; here = pathlib.Path(libmigrate.__file__).parent; \
                print(libmigrate.__version__, (here / 'py.typed').is_file(), (here / '_native.pyi').is_file())";
    let told = output(command(&python, scratch.path()).args(["-c", seen]))?;
    ensure!(told.trim() == format!("{VERSION} True True"), "the wheel, installed, says {told}");
    Ok(wheel)
}

fn packages(root: &Path, folder: &Path) -> Result<[PathBuf; 2]> {
    let mut build = cargo(root);
    build.args(["build", "--release", "--locked", "--package", "libmigrate-node", "--lib"]);
    let library = Built::of(&mut build)?.node()?;
    let scratch = tempfile::tempdir().context("cannot make a folder")?;
    let (main, half) = (scratch.path().join("main"), scratch.path().join("half"));
    run(command("cp", root).arg("-R").arg(root.join("crates/node")).arg(&main))?;
    run(command("cp", root).arg("-R").arg(root.join("crates/node/npm").join(node::PREBUILT)).arg(&half))?;
    let native = half.join(format!("libmigrate.{}.node", node::PREBUILT));
    run(command("objcopy", root).arg("--strip-debug").arg(library).arg(native))?;

    let mut made = Vec::new();
    for package in [&main, &half] {
        for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
            fs::copy(root.join(licence), package.join(licence)).with_context(|| format!("cannot copy {licence}"))?;
        }
        let mut npm = command("npm", package);
        let name = output(npm.args(["pack", "--silent", "--ignore-scripts", "--pack-destination"]).arg(folder))?;
        made.push(folder.join(name.trim()));
    }

    let user = scratch.path().join("user");
    fs::create_dir(&user).context("cannot make a folder")?;
    fs::write(user.join("package.json"), "{}").context("cannot write a package")?;
    run(command("npm", &user)
        .args(["install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund"])
        .args(&made))?;
    for program in [
        "import('libmigrate').then(({ version }) => console.log(version))",
        "console.log(require('libmigrate').version)",
    ] {
        let told = output(command("node", &user).args(["-e", program]))?;
        ensure!(told.trim() == VERSION, "the package, installed, says {told}");
    }
    made.try_into().ok().context("there are two packages")
}
