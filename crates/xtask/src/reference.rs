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

use crate::command::{cargo, command, run};
use crate::test::{self, python};
use crate::tools::{npm_folder, python_folder};

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
    let tools = python_folder(root, "python-reference", "crates/xtask/tools/python-reference-requirements.txt")?;
    // pdoc imports what it describes.
    let built = test::Built::of(cargo(root).args(["build", "--locked", "--package", "libmigrate-py", "--lib"]))?;
    let site = python::put_together(root, &built.python()?)?;
    run(command(tools.join("bin/python3"), root)
        .args(["-m", "pdoc", "libmigrate", "--docformat", "markdown", "--output-directory"])
        .arg(to)
        .env("PYTHONPATH", site))
}

fn node(root: &Path, to: &Path) -> Result<()> {
    let tools = npm_folder(root, "node-reference", "crates/xtask/tools/node-reference")?;
    // TypeScript looks for the types of Node.js above the file that it reads.
    fs::copy(root.join("crates/node/index.d.ts"), tools.join("index.d.ts")).context("cannot copy index.d.ts")?;
    run(command(tools.join("node_modules/.bin/typedoc"), &tools)
        .args(["--entryPoints", "index.d.ts", "--name", "libmigrate", "--readme", "none", "--treatWarningsAsErrors"])
        .args(["--skipErrorChecking", "--disableGit", "--sourceLinkTemplate", "index.d.ts#L{line}", "--out"])
        .arg(to))
}
