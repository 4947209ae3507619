//! Where `cargo xtask tools` puts what it installs, and what to do when it has not.

use std::path::{Path, PathBuf};

/// `<repository>/.tools`.
pub(crate) fn folder() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    repository.expect("this crate lies two folders below the repository").join(".tools")
}

/// Says that a tool is missing.
///
/// # Panics
/// When `LIBMIGRATE_REQUIRE_TOOLS` is set: a suite that claims to be whole must not skip.
pub(crate) fn missing(what: &str) {
    assert!(std::env::var_os("LIBMIGRATE_REQUIRE_TOOLS").is_none(), "{what} is missing: run `cargo xtask tools`");
    println!("skipped: {what} is not installed (`cargo xtask tools` installs it)");
}
