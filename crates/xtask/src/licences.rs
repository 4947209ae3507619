//! Whether everything we are built from may be given on under our own licences.
//!
//! Each package that the lock file can bring in, on any platform and for tests too, must state a licence
//! expression (SPDX) that the allowed licences satisfy.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use spdx::{Expression, ParseMode};

use crate::command::{cargo, output};

/// Licences that ask for no more than attribution, and why each is needed. Extend it only after reading.
const ALLOWED: &[&str] = &[
    "MIT",                            // ours, and most of the ecosystem's
    "Apache-2.0",                     // ours, and most of the ecosystem's
    "BSD-3-Clause",                   // subtle, aws-lc: MIT, and no advertising with names
    "ISC",                            // rustls-webpki, untrusted, aws-lc: MIT in fewer words
    "Unicode-3.0",                    // ICU's tables under idna: attribution for data
    "MIT-0", // borrow-or-share, under jsonschema, for tests: MIT without the duty to name the author
    "Zlib",  // foldhash, under jsonschema, for tests: changed sources must say that they are changed
    "CDLA-Permissive-2.0", // webpki-root-certs: the list of certificate authorities, data
    "Apache-2.0 WITH LLVM-exception", // target-lexicon, which pyo3 is built with: Apache, and less asked of binaries
];

/// Programs of tests: nothing of them is in what is given on, so their licence asks nothing of it.
const TOOLS: &[(&str, &str)] = &[
    ("cbindgen", "MPL-2.0"), // makes the header again, to be compared
];

/// Fails with every package whose licence is not allowed.
pub(crate) fn check(root: &Path) -> Result<()> {
    let metadata = output(cargo(root).args(["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cannot read the output of cargo metadata")?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;

    let problems: Vec<_> = packages.iter().filter_map(problem).collect();
    if !problems.is_empty() {
        bail!("{}\nuse another crate, or read the licence and extend ALLOWED in {}", problems.join("\n"), file!());
    }
    println!("{} packages, all under allowed licences", packages.len());
    Ok(())
}

fn problem(package: &Value) -> Option<String> {
    let name = format!("{} {}", package["name"].as_str().unwrap_or("?"), package["version"].as_str().unwrap_or("?"));
    let Some(licence) = package["license"].as_str() else {
        return Some(format!("{name} states no licence"));
    };
    let is_tool = TOOLS.iter().any(|tool| package["name"] == tool.0 && licence == tool.1);
    (!is_tool && !is_allowed(licence)).then(|| format!("{name} is under {licence}, which is not allowed"))
}

fn is_allowed(licence: &str) -> bool {
    // Lax: crates from before the standard write "MIT/Apache-2.0".
    Expression::parse_mode(licence, ParseMode::LAX)
        .is_ok_and(|expression| expression.evaluate(|one| ALLOWED.contains(&one.to_string().as_str())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_allowed_alternative_is_enough_and_all_of_a_sum_are_needed() {
        assert!(is_allowed("MIT OR Apache-2.0 OR LGPL-2.1-or-later"));
        assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!is_allowed("MIT AND GPL-3.0-only"));
    }

    #[test]
    fn a_tool_of_tests_is_let_through_by_its_name_and_licence() {
        let package = |name, licence| json!({ "name": name, "version": "1.0.0", "license": licence });
        assert_eq!(problem(&package("cbindgen", "MPL-2.0")), None);
        assert!(problem(&package("cbindgen", "GPL-3.0-only")).is_some());
        assert!(problem(&package("other", "MPL-2.0")).is_some());
    }

    #[test]
    fn exceptions_and_old_spellings_are_understood() {
        assert!(is_allowed("Apache-2.0 WITH LLVM-exception"));
        assert!(!is_allowed("GPL-2.0-only WITH Classpath-exception-2.0"));
        assert!(is_allowed("Unlicense/MIT"));
    }

    #[test]
    fn a_package_without_a_readable_allowed_licence_is_named() {
        let package = |licence: Value| json!({ "name": "leftpad", "version": "1.0.0", "license": licence });
        assert_eq!(problem(&package(Value::Null)).unwrap(), "leftpad 1.0.0 states no licence");
        assert_eq!(
            problem(&package("AGPL-3.0-only".into())).unwrap(),
            "leftpad 1.0.0 is under AGPL-3.0-only, which is not allowed"
        );
        assert!(problem(&package("whatever I like".into())).is_some());
        assert_eq!(problem(&package("MIT".into())), None);
    }
}
