//! `cargo xtask contracts`: Azure's own validator judges what the tests and the fake said to each other.
//!
//! The tests that talk to the fake of Azure Resource Manager run once more with `LIBMIGRATE_ARM_PAIRS` set, so that
//! every request is written down with its answer; `contracts/judge.js` holds each pair to the published contracts
//! with oav. It says what it judged, what it left out and why, and fails on any violation. The contracts are 13 MB
//! of other people's files: their folder is an argument, as is that of the schemas of templates.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::command::{cargo, command, run};
use crate::tools::{self, Wanted};

/// The tests whose requests are judged: package, and what selects the tests.
const RECORDED: &[(&str, &[&str])] = &[
    ("libmigrate-test-support", &["--test", "fake_arm", "--test", "arm_by_python"]),
    ("libmigrate", &["--test", "control_plane", "--test", "cutover"]),
];

/// Runs the tests, and judges what they said. With Azure's schemas of templates, the tests judge by these too.
pub(crate) fn judge(root: &Path, specs: &Path, schemas: Option<&Path>) -> Result<()> {
    let find = |path: &Path| fs::canonicalize(path).with_context(|| format!("cannot find {}", path.display()));
    let specs = find(specs)?;
    ensure!(specs.join("specification").is_dir(), "{} holds no folder specification", specs.display());
    let schemas = schemas.map(find).transpose()?;
    tools::install(root, Wanted::Tests)?;
    let validator = tools::install_validator(root)?;

    let pairs = tempfile::tempdir().context("cannot make a folder for the pairs")?;
    for (package, selection) in RECORDED {
        let mut cargo = cargo(root);
        cargo.args(["test", "--locked", "--package", package]).args(*selection);
        if let Some(schemas) = &schemas {
            cargo.env("LIBMIGRATE_TEMPLATE_SCHEMAS", schemas);
        }
        run(cargo.env("LIBMIGRATE_REQUIRE_TOOLS", "1").env("LIBMIGRATE_ARM_PAIRS", pairs.path()))?;
    }
    run(command("node", &validator).arg(root.join("crates/xtask/contracts/judge.js")).arg(specs).arg(pairs.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_contracts_is_named_before_anything_is_installed() {
        let folder = tempfile::tempdir().unwrap();

        let (nowhere, none) = (Path::new("/nowhere"), folder.path().join("none"));
        let empty = judge(nowhere, folder.path(), None).unwrap_err().to_string();
        let missing = judge(nowhere, &none, None).unwrap_err().to_string();
        fs::create_dir(folder.path().join("specification")).unwrap();
        let no_schemas = judge(nowhere, folder.path(), Some(&none)).unwrap_err().to_string();

        assert!(empty.ends_with("holds no folder specification"), "{empty}");
        for missing in [missing, no_schemas] {
            assert!(missing.starts_with("cannot find ") && missing.ends_with("/none"), "{missing}");
        }
    }
}
