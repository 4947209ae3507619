//! `cargo xtask reference`: the reference of each language, from its own sources.
//!
//! | language | by | where |
//! | --- | --- | --- |
//! | Rust | rustdoc | `target/doc/libmigrate` |
//! | Python | pdoc | `target/reference/python` |
//! | Node | `TypeDoc` | `target/reference/node` |
//! | C and C++ | the headers, which say everything beside each function | `include/` |

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::command::{cargo, command, output, run};
use crate::test::{self, python};
use crate::tools::{Folder, read};

/// Writes all of them.
pub(crate) fn write(root: &Path) -> Result<()> {
    run(cargo(root).args(["doc", "--locked", "--no-deps", "--package", "libmigrate"]))?;
    let to = root.join("target/reference");
    python(root, &to.join("python"))?;
    node(root, &to.join("node"))?;
    println!("target/doc/libmigrate, target/reference/python, target/reference/node, include/migrate.h");
    Ok(())
}

fn python(root: &Path, to: &Path) -> Result<()> {
    let recipe = root.join("crates/xtask/tools/python-reference-requirements.txt");
    let made_from = format!("{}{}", output(command("python3", root).arg("--version"))?, read(&recipe)?);
    let folder = Folder { path: root.join(".tools/python-reference"), stamp: "stamp", made_from };
    if !folder.is_current() {
        folder.begin(&["stamp"])?;
        run(command("python3", root).args(["-m", "venv", "--clear"]).arg(&folder.path))?;
        run(command(folder.path.join("bin/python3"), root)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"])
            .arg(&recipe))?;
        folder.finish()?;
    }
    // pdoc imports what it describes.
    let built = test::Built::of(cargo(root).args(["build", "--locked", "--package", "libmigrate-py", "--lib"]))?;
    let site = python::put_together(root, &built.python()?)?;
    run(command(folder.path.join("bin/python3"), root)
        .args(["-m", "pdoc", "libmigrate", "--docformat", "markdown", "--output-directory"])
        .arg(to)
        .env("PYTHONPATH", site))
}

fn node(root: &Path, to: &Path) -> Result<()> {
    let recipe = root.join("crates/xtask/tools/node-reference");
    let made_from = read(&recipe.join("package-lock.json"))?;
    let folder = Folder { path: root.join(".tools/node-reference"), stamp: "stamp", made_from };
    if !folder.is_current() {
        folder.begin(&["stamp"])?;
        for name in ["package.json", "package-lock.json", ".npmrc"] {
            fs::copy(recipe.join(name), folder.path.join(name)).with_context(|| format!("cannot copy {name}"))?;
        }
        run(command("npm", &folder.path).args([
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ]))?;
        folder.finish()?;
    }
    // TypeScript looks for the types of Node.js above the file that it reads.
    fs::copy(root.join("crates/node/index.d.ts"), folder.path.join("index.d.ts")).context("cannot copy index.d.ts")?;
    run(command(folder.path.join("node_modules/.bin/typedoc"), &folder.path)
        .args(["--entryPoints", "index.d.ts", "--name", "libmigrate", "--readme", "none", "--treatWarningsAsErrors"])
        .args(["--skipErrorChecking", "--disableGit", "--sourceLinkTemplate", "index.d.ts#L{line}", "--out"])
        .arg(to))
}
